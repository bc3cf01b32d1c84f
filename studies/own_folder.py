"""An own folder by the rules of `vwl run FOLDER --quality Q`: the seconds of each stage beside those foretold, and the
scores. What follows --results goes to `vwl run`.

    python studies/own_folder.py nbs/7_results/stored/own/fast.json FOLDER --out runs/own-fast --quality fast \
        --weights mobilenetv2-imagenet-backbone.safetensors --score-list lists/val.txt --val-list lists/val.txt
    python studies/own_folder.py nbs/7_results/stored/own/labels.json --labels runs/own-fast

The first adds DeepLabV2's way to it, the second compares what labels the maps of that run give on the images that were
learned from (every second one): by threshold, dense CRF, PAR and IRNet, at several background scores.
"""

import sys
import time
from functools import partial
from pathlib import Path
import numpy as np
from vwl.apps.arguments import parse
from vwl.apps.commands import _places, choose_settings, machine_of
from vwl.data.cams import load_cams
from vwl.engine.files import write_json
from vwl.engine.processes import Machine
from vwl.engine.workers import parallel_map, print_messages
from vwl.metrics import confusion_matrix, mean_iou
from vwl.models.irnet import edge_map
from vwl.par import par_seeds
from vwl.seeds import crf_seeds, threshold_seeds
from vwl.stages.cams import make_cams
from vwl.stages.irnet import load_irnet, train_irnet
from vwl.stages.pseudo_labels import walk_between_edges
from vwl.stages.run import make_run, open_run
from vwl.stages.scores import score_stages
from vwl.stages.table import stages_until
from vwl.stages.times import expected_seconds
from vwl.engine.files import read_json
from vwl.crf import CRF_SETTINGS

BACKGROUNDS = (0.15, 0.25, 0.35, 0.45, 0.55)


def run_timed(path, argv):
    "A run, each stage timed, into a JSON file."
    argv = ['run', *argv]
    args = choose_settings(parse(argv), argv)
    (data, out), machine = _places(args), machine_of(args)
    run, until = make_run(data, out, args.settings), args.until.replace('-', '_')
    foretold, took = expected_seconds(run, machine, until), {}
    for stage in stages_until(run.recipe, until):
        started = time.perf_counter()
        stage(run, machine)
        took[stage.name] = time.perf_counter() - started
    score_stages(run, machine)
    scores = read_json(run.metrics_path)
    kept = {
        k: dict(title=v['title'], miou=v['miou'], depends_on=v['depends_on'])
        for k, v in scores.items()
        if isinstance(v, dict) and 'title' in v
    }
    command = ' '.join(
        'FOLDER' if a == args.folder else Path(a).name if '/' in a and Path(a).is_file() else a for a in argv
    )
    write_json(
        path, dict(command=f'vwl {command}', foretold=foretold, seconds=took, images=scores['images'], scores=kept)
    )
    print(path.read_text())


def _labels(i, run, kind):
    "Confusion matrices of one image's labels of a kind at each background score; runs in a worker process."
    name, image, truth = run.scored.names[i], np.asarray(run.scored.image(i)), run.scored.mask(i)
    if kind == 'irnet':
        net = load_irnet(run)
        cams, keys = load_cams(run.cam_path(name), image.shape[:2], edge_map(net, image)[0].shape[1:])
        labels = [walk_between_edges(image, cams, keys, b, 'cpu', net)[0] for b in BACKGROUNDS]
    else:
        cams, keys = load_cams(run.cam_path(name), image.shape[:2])
        make = dict(
            threshold=lambda b: threshold_seeds(cams, keys, b),
            crf=lambda b: crf_seeds(image, cams, keys, b, CRF_SETTINGS['vwl']),
            par=lambda b: par_seeds(image, cams, keys, background=b, device='cpu'),
        )[kind]
        labels = [make(b) for b in BACKGROUNDS]
    return np.stack([confusion_matrix(label, truth, len(run.scored.classes) + 1) for label in labels])


def label_scores(run, machine):
    "mIoU of each kind of label at each background score, and on how many images: every second one learned from."
    run, found = run.with_images(run.train), {}
    make_cams(run, machine)
    train_irnet(run, machine)
    scored = run.scored.masked()[::2]
    for kind in 'threshold', 'crf', 'par', 'irnet':
        total = sum(parallel_map(partial(_labels, run=run, kind=kind), scored, machine.workers))
        found[kind] = [mean_iou(n) for n in total]
        print(kind, [f'{100 * v:.1f}' for v in found[kind]], flush=True)
    return found, len(scored)


def compare_labels(path, folder):
    "What labels the maps of a run give, into a JSON file."
    run = open_run(folder)
    r, (found, scored) = run.recipe, label_scores(run, Machine(workers=2))
    about = dict(
        epochs=r.irnet.epochs, foreground=r.irnet.foreground, background=r.irnet.background, steps=r.walk.steps
    )
    command = 'python studies/own_folder.py RESULTS --labels RUN'
    write_json(path, dict(command=command, backgrounds=BACKGROUNDS, irnet=about, images=scored, miou=found))


if __name__ == '__main__':
    print_messages()
    results, *rest = sys.argv[1:]
    compare_labels(Path(results), rest[1]) if rest[0] == '--labels' else run_timed(Path(results), rest)
