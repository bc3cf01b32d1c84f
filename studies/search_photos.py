"""Short trainings on real photographs to choose rates and sizes, scored quickly: every third image of the scored list,
one scale, no flip.

    python studies/search_photos.py FOLDER --weights FILE --out tried.json "HP: words='none', lr_backbone=.0025, \
        lr_heads=.025, epochs=2" ...

Each argument is a name and fields of the preset `animals`, or of recipe='paper'. Adds one entry each to --out.
"""

import argparse
import ast
import json
import time
from pathlib import Path
import numpy as np
import torch
from vwl.data.images import read_folder
from vwl.pixels import resize
from vwl.engine.files import write_json
from vwl.losses import base_rate_loss
from vwl.metrics import mean_iou, sweep_thresholds, threshold_histogram
from vwl.stages.scores import THRESHOLDS
from vwl.engine.settings import preset
from vwl.seeds import multi_scale_maps, normalise_maps
from vwl.stages.classifier import classifier_trainer


def score(net, images, scales):
    "(best mIoU, its threshold) of maps without flips, with the images' own tags."
    histogram = 0
    for i in range(len(images)):
        truth, keys = images.mask(i), np.flatnonzero(images.labels[i])
        maps = normalise_maps(
            multi_scale_maps(
                net.eval().maps, [np.asarray(resize(images.image(i), s)) for s in scales], keys, truth.shape, flip=False
            )
        ).numpy()
        histogram = histogram + threshold_histogram(maps, keys + 1, truth, len(images.classes) + 1, THRESHOLDS)
    miou = [mean_iou(N) for N in sweep_thresholds(histogram)]
    return max(miou), float(THRESHOLDS[int(np.argmax(miou))])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('trials', nargs='+')
    parser.add_argument('--weights', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True)
    args = parser.parse_args()
    animals = preset('animals')
    train = read_folder(args.folder, animals.classes, animals.train_list)
    scored = read_folder(args.folder, animals.classes, animals.score_list)
    scored = scored.select(range(0, len(scored), 3))
    for trial in args.trials:
        name, _, text = trial.partition(':')
        fields = {k.arg: ast.literal_eval(k.value) for k in ast.parse(f'f({text})', mode='eval').body.keywords}
        started, trainer = (
            time.time(),
            classifier_trainer(
                preset(
                    fields.get('recipe', 'animals'),
                    **dict(weights=str(args.weights), classes=animals.classes)
                    | {k: v for k, v in fields.items() if k != 'recipe'},
                ),
                train,
            ),
        )
        while not trainer.finished:
            trainer.train_epoch()
        entry = dict(
            name=name,
            fields=fields,
            losses=[h['cls'] for h in trainer.history],
            base_rate=base_rate_loss(torch.from_numpy(train.labels)),
            images=len(scored),
            one_scale=score(trainer.net, scored, (1.0,)),
            three_scales=score(trainer.net, scored, (1.0, 0.5, 1.5)),
        )
        print(entry, f'{time.time() - started:.0f} s', flush=True)
        write_json(args.out, (json.loads(args.out.read_text()) if args.out.exists() else []) + [entry])


if __name__ == '__main__':
    main()
