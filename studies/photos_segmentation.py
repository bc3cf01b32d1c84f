"""Real photographs to the end: CAMs, + CRF, + IRNet, DeepLabV2 on pseudo labels and, beside it, on true masks, by way
of `vwl run`'s own function.

    python studies/photos_segmentation.py FOLDER --weights mobilenetv2-imagenet-backbone.safetensors --out \
        runs/photos [--results nbs/7_results/stored/segmentation]

FOLDER has VOC's layout with tags.csv. The same command goes on where it was stopped. On two cores it takes about
two hours.
"""

import argparse
import time
from pathlib import Path
import numpy as np
import torch
from torch.nn import functional as F
from vwl.affinity import random_walk
from vwl.apps.overlays import edge_layer, overlay_cam, overlay_label, picture_grid
from vwl.engine.arrays import load_label
from vwl.engine.files import read_json, write_json
from vwl.engine.processes import Machine
from vwl.engine.workers import print_messages
from vwl.models.irnet import edge_map
from vwl.apps.demo import confident_share
from vwl.apps.experiments import run_command
from vwl.metrics import mean_iou, sweep_thresholds, threshold_histogram
from vwl.stages.scores import THRESHOLDS
from vwl.stages.irnet import load_irnet
from vwl.stages.pipeline import run_pipeline
from vwl.engine.settings import preset
from vwl.apps.results_table import format_table, results_table
from vwl.data.cams import load_cams
from photos import matched_crf

SETTINGS = dict(  # beside preset `animals`
    words='learned',
    epochs=3,
    flip=True,
    crf='vwl',
    irn_backbone='mobilenet_v2',
    irn_crop=256,
    irn_batch_size=16,
    irn_foreground=0.4,
    irn_background=0.1,
    refiner_background=0.4,
    seg_backbone='mobilenet_v2',
    seg_output_stride=16,
    seg_rates=(3, 6, 9, 12),
    seg_scales=(1.0,),
    seg_crop=224,
    seg_crop_scales=(0.5, 0.75, 1.0, 1.25),
    seg_steps=700,
    seg_lr=0.0002,
    seg_head=5.0,
    seg_init=0.001,
    seg_lr_every=1,
    seg_accumulate=1,
    predict_flip=True,
)
RUNS = {'vwl-l-64': {}, 'supervised': dict(seg_labels='masks')}


def walked_sweep(run):
    "mIoU of pseudo labels on the scored images at every background score."
    net, total = load_irnet(run), 0
    for i, name in enumerate(run.scored.names):
        truth, (edge, _) = run.scored.mask(i), edge_map(net, run.scored.image(i))
        cams, keys = load_cams(run.cam_path(name), truth.shape, edge.shape[1:])
        walked = random_walk(
            torch.from_numpy(cams), edge, run.recipe.walk.radius, run.recipe.walk.beta, run.recipe.walk.steps
        )
        full = F.interpolate(walked[None], scale_factor=net.stride, mode='bilinear')[
            0, :, : truth.shape[0], : truth.shape[1]
        ]
        total = total + threshold_histogram(
            (full / full.max().clamp_min(1e-12)).numpy(), keys, truth, len(run.scored.classes) + 1, THRESHOLDS
        )
    return dict(threshold=THRESHOLDS.tolist(), miou=[mean_iou(N) for N in sweep_thresholds(total)])


def draw(run, bound, path, n=5):
    "Training photographs on the way to pseudo labels, validation photographs with both networks' predictions."
    net, images = load_irnet(run), run.scored.select(np.linspace(3, len(run.scored) - 4, n).astype(int))
    kinds, titles, legend = (
        ('photograph', 'CAM', "IRNet's edges", 'pseudo label', 'truth'),
        [],
        dict(enumerate(run.scored.classes, 1)),
    )
    rows = {k: [] for k in kinds}
    for i, name in enumerate(images.names):
        image, (cam, key) = np.asarray(images.image(i)), (a[0] for a in load_cams(run.cam_path(name)))
        edge = edge_layer(edge_map(net, images.image(i))[0][0].numpy())[..., :3]
        panels = [
            image,
            overlay_cam(image, cam),
            edge,
            overlay_label(image, load_label(run.pseudo_label_path(name)), 0.75),
            overlay_label(image, images.mask(i), 0.75),
        ]
        for row, panel in zip(rows.values(), panels):
            row.append(panel)
        titles.append(run.scored.classes[key - 1])
    picture_grid(rows, titles, legend, side=1.2).save(path / 'pseudo_labels.png')
    images = run.val.select(np.linspace(2, len(run.val) - 3, n).astype(int))
    rows = {k: [] for k in ('photograph', 'from tags', 'fully supervised', 'truth')}
    for i, name in enumerate(images.names):
        image, masks = (
            np.asarray(images.image(i)),
            [load_label(r.prediction_path('crf', name)) for r in (run, bound)] + [images.mask(i)],
        )
        for row, panel in zip(rows.values(), [image] + [overlay_label(image, m, 0.75) for m in masks]):
            row.append(panel)
    picture_grid(rows, legend=legend, side=1.2).save(path / 'predictions.png')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--weights', type=Path, required=True, help='ImageNet weights of MobileNetV2')
    parser.add_argument('--out', type=Path, default=Path('runs/photos'))
    parser.add_argument('--workers', type=int, default=2, help='processes for images and CRF')
    parser.add_argument('--results', type=Path, help='folder to copy results and pictures to')
    args = parser.parse_args()
    print_messages()
    files, runs, results = dict.fromkeys(('weights', 'irn_weights', 'seg_weights'), str(args.weights)), {}, {}
    for name, fields in RUNS.items():
        started = time.time()
        runs[name] = run = run_pipeline(
            args.folder, args.out / name, preset('animals', **files, **SETTINGS | fields), Machine(workers=args.workers)
        )
        print(name, f'{time.time() - started:.0f} s', flush=True)
        history = {
            s: read_json(run.history_path(s))
            for s in ('classifier', 'irnet', 'segmentation')
            if (run.folder / s).exists()
        }
        results[name] = dict(
            command=run_command(run.recipe, 'animals', 'predictions'),
            metrics=read_json(run.metrics_path),
            history=history,
        )
    print(format_table(results_table(runs)))
    if args.results:
        run, results['vwl-l-64']['walked'] = runs['vwl-l-64'], walked_sweep(runs['vwl-l-64'])
        results['vwl-l-64']['crf_matched'] = matched_crf(
            run, results['vwl-l-64']['metrics']['cam_best']['threshold'], args.workers
        )
        results['vwl-l-64']['sure'] = confident_share(run)
        write_json(args.results / 'results.json', results)
        draw(*runs.values(), args.results)


if __name__ == '__main__':
    main()
