"""From tags to DeepLabV2 on MSRC's photographs by the rules for an own folder, beside full supervision: what labels one
classifier's maps give by threshold, dense CRF, PAR and IRNet, and what DeepLabV2 learns from each.

    python studies/whole_road.py FOLDER --weights mobilenetv2-imagenet-backbone.safetensors --seed 1 \
        --out runs/road [--results nbs/7_results/stored/own/road.json] [--ways crf irnet masks]
    python studies/whole_road.py FOLDER --weights FILE --epochs 24 --ways crf --out runs/road24

FOLDER is MSRC's, with lists/. Labels are scored on `lists/train.txt`, DeepLabV2 on `lists/val.txt`. All networks begin
with the same classifier and see the same crops; only the labels differ. --epochs trains the classifier for as many,
instead of what the rules say. Each call adds its seed to --results; what is there is not made again. A seed takes about
an hour on one thread (OMP_NUM_THREADS=1); calls with other seeds may run beside it.
"""

import argparse
import time
from pathlib import Path
from own_folder import BACKGROUNDS, label_scores
from vwl.data.images import read_folder
from vwl.engine.files import read_json, write_json
from vwl.engine.processes import Machine
from vwl.engine.workers import print_messages
from vwl.stages.choices import choose, facts_of
from vwl.stages.run import make_run, open_run
from vwl.stages.scores import score_stages
from vwl.stages.table import stages_until

LISTS = dict(train_list='lists/train.txt', score_list='lists/train.txt', val_list='lists/val.txt')
WAYS = dict(  # what DeepLabV2 learns from -> settings beside the rules
    crf=dict(seg_labels='crf'),
    irnet=dict(seg_labels='pseudo'),
    par=dict(seg_labels='pseudo', refiner='par', refiner_background=0.35),
    masks=dict(seg_labels='masks'),
)
KINDS = 'cam', 'cam_best', 'crf', 'pseudo', 'segmentation', 'segmentation_crf'


def learn_from(folder, machine, recipe, way):
    "DeepLabV2 of a run with other labels: scores, seconds, losses."
    rules = {name: recipe[name] for name in ('refiner', 'refiner_background')}  # another way may have changed them
    run, started = open_run(folder, **rules | WAYS[way]), time.time()
    for stage in stages_until(run.recipe, 'predictions'):
        stage(run, machine)
    found = score_stages(run, machine)
    scores = {k: dict(miou=found[k]['miou'], depends_on=found[k]['depends_on']) for k in KINDS if k in found}
    losses = [e['loss'] for e in read_json(run.history_path('segmentation'))['losses']]
    return dict(scores=scores, seconds=round(time.time() - started), losses=losses)


def stored(path, seed):
    "What is known of a seed."
    known = read_json(path) if path.exists() else {}
    return known, known.setdefault('seeds', {}).setdefault(str(seed), dict(labels={}, ways={}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--weights', type=Path, required=True, help='ImageNet weights of MobileNetV2')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--out', type=Path, default=Path('runs/road'))
    parser.add_argument('--results', type=Path, help='else stored/own/road.json, with --epochs 24 road_24_epochs.json')
    parser.add_argument('--ways', nargs='+', choices=WAYS, default=['crf', 'irnet', 'masks'])
    parser.add_argument('--epochs', type=int, help="the classifier's; else by the rules")
    parser.add_argument('--workers', type=int, default=0, help='processes for images and CRF')
    args = parser.parse_args()
    name = f'road_{args.epochs}_epochs.json' if args.epochs else 'road.json'
    args.results = args.results or Path('nbs/7_results/stored/own') / name
    print_messages()
    machine, folder = Machine('cpu', args.workers), args.out / f'seed{args.seed}'
    facts = facts_of(read_folder(args.folder, (), LISTS['train_list']), False)
    given = dict(epochs=args.epochs) if args.epochs else {}
    recipe = choose(facts, 'fast', weights=str(args.weights)).recipe.changed(seed=args.seed, **LISTS, **given)
    known, own = stored(args.results, args.seed)
    if not own['labels']:
        run = make_run(args.folder, folder, recipe)
        for stage in stages_until(recipe, 'seeds'):
            stage(run, machine)
        labels, scored = label_scores(run, machine)
        known, own = stored(args.results, args.seed)
        own['labels'] = labels
        command = 'python studies/whole_road.py FOLDER --weights FILE --seed SEED'
        command += ''.join(f' --{name} {value}' for name, value in given.items())
        write_json(args.results, known | dict(command=command, backgrounds=BACKGROUNDS, labels_of=scored))
    for way in args.ways:
        if way not in own['ways']:
            made = learn_from(folder, machine, recipe, way)
            print(args.seed, way, made, flush=True)
            known, own = stored(args.results, args.seed)
            own['ways'][way] = made
            write_json(args.results, known)


if __name__ == '__main__':
    main()
