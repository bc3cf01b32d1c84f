"""Short trainings on real photographs to choose rates, sizes and words; scored on images that are learned from, without
flips, with one scale and with three.

    python studies/search_photos.py FOLDER --weights FILE --out tried.json "HP: words='none', lr_backbone=.0025, \
        lr_heads=.025, epochs=2" ...
    python studies/search_photos.py FOLDER --recipe objects --every 1 --weights FILE --out tried.json \
        "HP: words='none'" ...

Each argument is a name and fields of the preset --recipe, or of recipe='paper' with its images. Three more are no
settings of vwl, but were asked for words on few photographs: codebook_rate (the codebook learns at this share of the
heads' rate), words_from (the share of the training after which words join) and kmeans=True (the codebook begins with
the centres of the features of the batch at which words join). Adds one entry each to --out; what is there already is
not run again.
"""

import argparse
import ast
import json
import time
from pathlib import Path
import numpy as np
import torch
from sklearn.cluster import KMeans
from vwl.data.images import read_folder
from vwl.pixels import resize
from vwl.engine.files import write_json
from vwl.losses import base_rate_loss
from vwl.metrics import mean_iou, sweep_thresholds, threshold_histogram
from vwl.stages.scores import THRESHOLDS
from vwl.engine.settings import preset
from vwl.seeds import multi_scale_maps, normalise_maps
from vwl.models.training import train_step
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


def parse_trial(text):
    "Name and fields of \"NAME: FIELDS\"."
    name, _, fields = text.partition(':')
    return name, {k.arg: ast.literal_eval(k.value) for k in ast.parse(f'f({fields})', mode='eval').body.keywords}


def apart(optimizer, codebook, rate):
    "Give the codebook a learning rate of its own."
    group = next(g for g in optimizer.param_groups if any(p is codebook for p in g['params']))
    group['params'] = [p for p in group['params'] if p is not codebook]
    own = {k: v for k, v in group.items() if k != 'params'} | dict(lr=rate * group['lr'])
    optimizer.add_param_group(own | dict(params=[codebook], first_lr=rate * group['first_lr']))


def late_words(share, kmeans):
    "`train_step` with words that join after a share of the training."

    def step(net, optimizer, images, labels, at, steps):
        begins, words = round(share * steps), net.words
        if at == begins and kmeans:
            with torch.no_grad():
                features = net.backbone(images).float().permute(0, 2, 3, 1).flatten(0, 2).numpy()
            centres = KMeans(len(words.codebook), n_init=1, random_state=net.recipe.images.seed).fit(features)
            words.codebook.data.copy_(torch.from_numpy(centres.cluster_centers_))
        if at < begins:
            net.words = None
        terms = train_step(net, optimizer, images, labels, at, steps)
        net.words = words
        return (
            terms if at >= begins else terms | dict(word=torch.zeros(()), freq=torch.zeros(()), decov=torch.zeros(()))
        )

    return step


def run_trial(name, fields, recipe, base, weights, train, scored):
    "Train and score once."
    images = {k: base[k] for k in ('classes', 'train_list', 'score_list', 'val_list')}
    own = ('recipe', 'codebook_rate', 'words_from', 'kmeans')
    changes = images | dict(weights=str(weights)) | {k: v for k, v in fields.items() if k not in own}
    trainer = classifier_trainer(preset(fields.get('recipe', recipe), **changes), train)
    if 'codebook_rate' in fields:
        apart(trainer.optimizer, trainer.net.words.codebook, fields['codebook_rate'])
    if 'words_from' in fields or 'kmeans' in fields:
        trainer.step = late_words(fields.get('words_from', 0.0), fields.get('kmeans', False))
    while not trainer.finished:
        trainer.train_epoch()
    return dict(
        name=name,
        fields=fields,
        losses=[h['cls'] for h in trainer.history],
        terms=trainer.history[-1],
        base_rate=base_rate_loss(torch.from_numpy(train.labels)),
        images=len(scored),
        one_scale=score(trainer.net, scored, (1.0,)),
        three_scales=score(trainer.net, scored, (1.0, 0.5, 1.5)),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('trials', nargs='+')
    parser.add_argument('--recipe', default='animals', help='preset to start from')
    parser.add_argument('--every', type=int, default=3, help='score every N-th image')
    parser.add_argument('--weights', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True)
    args = parser.parse_args()
    base = preset(args.recipe)
    train = read_folder(args.folder, base.images.classes, base.images.train_list)
    scored = read_folder(args.folder, base.images.classes, base.images.score_list or base.images.train_list)
    scored = scored.select(range(0, len(scored), args.every))
    for trial in args.trials:
        name, fields = parse_trial(trial)
        known = json.loads(args.out.read_text()) if args.out.exists() else []
        if any((t['name'], t['fields']) == (name, json.loads(json.dumps(fields))) for t in known):
            continue
        started = time.time()
        entry = run_trial(name, fields, args.recipe, base, args.weights, train, scored)
        print(entry, f'{time.time() - started:.0f} s', flush=True)
        write_json(args.out, (json.loads(args.out.read_text()) if args.out.exists() else []) + [entry])


if __name__ == '__main__':
    main()
