"""Dense CRF and every refiner of the table on the maps of one classifier, each at several background scores.

    python studies/refiners.py scenes --out runs/refiners [--results nbs/7_results/stored/refiners]
    python studies/refiners.py animals --data FOLDER --weights mobilenetv2-imagenet-backbone.safetensors \
        --out runs/refiners [--results nbs/7_results/stored/refiners]

FOLDER has VOC's layout with tags.csv. The photographs learned from and scored are VOC's own 437 of five animals, so
that it takes under an hour on two cores. The same command goes on where it was stopped.
"""

import argparse
import time
from pathlib import Path
from vwl.apps.experiments import run_command
from vwl.data.scenes import write_scenes
from vwl.engine.files import write_json
from vwl.engine.processes import Machine
from vwl.engine.settings import preset
from vwl.engine.workers import print_messages
from vwl.stages.pipeline import run_pipeline
from vwl.stages.run import open_run
from vwl.stages.scores import evaluate
from vwl.stages.table import REFINERS, STAGES

BACKGROUNDS = 0.15, 0.25, 0.35, 0.45
ANIMALS = dict(  # beside preset `animals`: a seventh of its images, half as many steps
    train_list='ImageSets/Segmentation/train.txt',
    epochs=7,
    crf='vwl',
    irn_backbone='mobilenet_v2',
    irn_crop=256,
    irn_batch_size=16,
    irn_foreground=0.4,
    irn_background=0.1,
    irn_epochs=4,
)
SCENES = dict(train_list='lists/train.txt', score_list='lists/val.txt')


def recipe_of(kind, args):
    "(preset, recipe, folder of the data set)."
    if kind == 'scenes':
        lists = dict(train=(0, 700), val=(700, 900))
        return 'toy', preset('toy', **SCENES), write_scenes(args.out / 'scenes-data', 900, 1, lists=lists)
    files = {k: str(args.weights) for k in ('weights', 'irn_weights')}
    return 'animals', preset('animals', **ANIMALS, **files), args.data


def score_of(folder, kind, machine, **changes):
    "mIoU of one kind of mask after a change of settings."
    run = open_run(folder, **changes)
    for name in ('pseudo_labels',) if kind == 'pseudo' else ('seeds',):
        STAGES[name](run, machine)
    return evaluate(run, machine)[kind]['miou']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kind', choices=['scenes', 'animals'])
    parser.add_argument('--data', type=Path, help='folder of the photographs')
    parser.add_argument('--weights', type=Path, help='of MobileNetV2')
    parser.add_argument('--out', type=Path, default=Path('runs/refiners'))
    parser.add_argument('--results', type=Path, help='folder to keep the figures in')
    parser.add_argument('--workers', type=int, default=2, help='processes for images and CRF')
    args = parser.parse_args()
    print_messages()
    began, machine = time.time(), Machine('cpu', args.workers)
    base, recipe, data = recipe_of(args.kind, args)
    folder = args.out / args.kind
    if not (folder / 'irnet' / 'weights.safetensors').exists():
        run_pipeline(data, folder, recipe, machine, 'irnet')
    found = evaluate(open_run(folder), machine)
    scores = {'CAM': {f'{found["cam_best"]["threshold"]:g}': found['cam_best']['miou']}}
    scores['CAM + CRF'] = {f'{b:g}': score_of(folder, 'crf', machine, crf_background=b) for b in BACKGROUNDS}
    for name, refiner in REFINERS.items():
        scores[refiner.title] = {}
        for b in BACKGROUNDS:
            miou = score_of(folder, 'pseudo', machine, refiner=name, refiner_background=b)
            scores[refiner.title][f'{b:g}'] = miou
            print(f'{refiner.title}, background {b:g}: {100 * miou:.1f}', flush=True)
    result = dict(
        command=run_command(recipe, base, 'pseudo_labels'),
        images=found['images'],
        seconds=round(time.time() - began),
        miou=scores,
    )
    write_json((args.results or args.out) / f'{args.kind}.json', result)


if __name__ == '__main__':
    main()
