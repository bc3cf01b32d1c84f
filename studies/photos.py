"""Real photographs: GAP, HP, HP + VWL-L and HP + VWL-M on one folder with one seed and schedule, by way of `vwl run`'s
own function.

    python studies/photos.py FOLDER --weights mobilenetv2-imagenet-backbone.safetensors --out runs/photos [--only GAP]

FOLDER has VOC's layout with tags.csv; classes, lists and schedule are those of the preset `animals` and of SETTINGS
below. Each method is a run folder under --out, so that the same command goes on where it was stopped. --results
copies what nbs/7_results/09_cams shows.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
import numpy as np
from vwl.apps.demo import draw_comparison
from vwl.apps.experiments import run_command
from vwl.engine.files import read_json, write_json
from vwl.engine.processes import Machine
from vwl.engine.workers import print_messages
from vwl.metrics import confusion_matrix, mean_iou
from vwl.stages.images import over_images
from vwl.stages.pipeline import run_pipeline
from vwl.engine.settings import preset
from vwl.seeds import crf_seeds
from vwl.data.cams import load_cams

SETTINGS = dict(
    val_list='', epochs=3, n_words=256, scales=(1.0, 0.5, 1.5, 2.0), flip=True, crf='vwl'
)  # beside preset `animals`
METHODS = {
    'GAP': dict(pooling='gap', words='none', lr_backbone=0.001, lr_heads=0.01),
    'HP': dict(words='none', lr_backbone=0.0005, lr_heads=0.005),
    'HP + VWL-L': dict(words='learned', lr_backbone=0.0005, lr_heads=0.005),
    'HP + VWL-M': dict(words='memory', lr_backbone=0.0005, lr_heads=0.005),
}


def crf_confusion(run):
    "Confusion matrix of a run's one image after CRF; writes nothing."
    truth, image = run.scored.mask(0), np.asarray(run.scored.image(0))
    cams, keys = load_cams(run.cam_path(run.scored.names[0]), truth.shape)
    return confusion_matrix(
        crf_seeds(image, cams, keys, run.recipe.seeds.crf_background), truth, len(run.scored.classes) + 1
    )


def matched_crf(run, threshold, workers):
    "The CRF's mIoU with a background score 0.02 above the best threshold, as the published 0.15 is above 0.13."
    run = replace(run, recipe=run.recipe.changed(crf_background=round(threshold + 0.02, 2)))
    return dict(
        background=run.recipe.seeds.crf_background,
        miou=mean_iou(sum(over_images(crf_confusion, run, range(len(run.scored)), workers))),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--weights', type=Path, required=True)
    parser.add_argument('--out', type=Path, default=Path('runs/photos'))
    parser.add_argument('--only', action='append', choices=METHODS, help='methods to run; all if not given')
    parser.add_argument('--workers', type=int, default=2, help='processes for images and CRF')
    parser.add_argument('--results', type=Path, help='folder to copy results and pictures to')
    args = parser.parse_args()
    print_messages()
    runs, results = {}, {}
    for name in args.only or METHODS:
        fields, out, started = SETTINGS | METHODS[name], args.out / name.lower().replace(' + ', '-'), time.time()
        runs[name] = run = run_pipeline(
            args.folder,
            out,
            preset('animals', weights=str(args.weights), **fields),
            Machine(workers=args.workers),
            until='seeds',
        )
        metrics, history = read_json(out / 'metrics.json'), read_json(out / 'classifier' / 'history.json')
        seconds = round(time.time() - started)  # of this call: what was there already took none
        print(
            name,
            {k: round(100 * metrics[k]['miou'], 2) for k in ('cam', 'cam_best', 'crf')},
            f'{seconds} s',
            flush=True,
        )
        results[name] = dict(
            command=run_command(run.recipe, 'animals', 'seeds'),
            seconds=seconds,
            metrics=metrics,
            history=history,
            crf_matched=matched_crf(run, metrics['cam_best']['threshold'], args.workers),
        )
        if args.results:
            write_json(args.results / f'{out.name}.json', results[name])
    if args.results and not args.only:
        draw_comparison(runs, args.results / 'comparison.png', scenes=4, side=1)


if __name__ == '__main__':
    main()
