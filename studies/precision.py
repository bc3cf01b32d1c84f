"""Whether half the digits, and BatchNorm folded into convolutions, cost anything: the networks of a run compute its
scored images in several ways, one thread, CPU seconds; the run itself stays as it is. It needs IRNet: vwl irnet RUN.

    python studies/precision.py RUN [nbs/7_results/stored/precision.json]
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
import numpy as np
import torch
from vwl.data.cams import load_cams, strided_size
from vwl.engine.files import read_json, write_json
from vwl.engine.processes import has_bfloat16
from vwl.metrics import confusion_matrix, mean_iou
from vwl.models.deeplab import class_probabilities, load_segmentation
from vwl.pixels import working_image
from vwl.seeds import multi_scale_maps, normalise_maps, threshold_seeds
from vwl.stages.classifier import load_classifier
from vwl.stages.irnet import load_irnet
from vwl.stages.pseudo_labels import walk_between_edges
from vwl.stages.run import open_run


def maps_score(run, net, i):
    "The confusion matrix of the seeds of image i by its maps."
    r, image = run.recipe, working_image(run.scored.image(i), run.recipe.images.cam_long_side)
    scaled = [np.asarray(image.resize([max(1, round(s * side)) for side in image.size])) for s in r.cams.scales]
    keys, size, n = np.flatnonzero(run.scored.labels[i]).tolist(), image.size[::-1], len(run.scored.classes) + 1
    if not keys:
        return confusion_matrix(np.zeros(size, np.uint8), run.scored.mask(i), n)
    maps = normalise_maps(multi_scale_maps(net.maps, scaled, keys, strided_size(*size), r.cams.flip))
    large = torch.nn.functional.interpolate(maps[None], size, mode='bilinear')[0].numpy()
    seed = threshold_seeds(large, [k + 1 for k in keys], r.seeds.threshold)
    return confusion_matrix(seed, run.scored.mask(i), n)


def prediction_score(run, net, i):
    "The confusion matrix of the mask of image i by DeepLabV2."
    pixels = np.asarray(working_image(run.scored.image(i), run.recipe.images.cam_long_side))
    mask = class_probabilities(net, pixels, run.recipe.predictions.flip).argmax(0).astype(np.uint8)
    return confusion_matrix(mask, run.scored.mask(i), len(run.scored.classes) + 1)


def label_score(run, net, i):
    "The confusion matrix of the pseudo label of image i, walked between IRNet's edges; its maps are those of the run."
    pixels = np.asarray(working_image(run.scored.image(i), run.recipe.images.cam_long_side))
    h, w = (-(-side // net.stride) for side in pixels.shape[:2])
    cams, keys = load_cams(run.cam_path(run.scored.names[i]), pixels.shape[:2], (h, w))
    label, _ = walk_between_edges(pixels, cams, keys, run.recipe.refiner.background, 'cpu', net)
    return confusion_matrix(label, run.scored.mask(i), len(run.scored.classes) + 1)


WAYS = {
    'float32': dict(inference_precision='float32', fold_batchnorm=False),
    'bfloat16': dict(inference_precision='bfloat16', fold_batchnorm=False),
    'folded': dict(inference_precision='float32', fold_batchnorm=True),
    'bfloat16, folded': dict(inference_precision='bfloat16', fold_batchnorm=True),
}


def main(folder, path='nbs/7_results/stored/precision.json'):
    torch.set_num_threads(1)
    run, path, found = open_run(folder), Path(path), {}
    for way, settings in WAYS.items():
        other = replace(run, recipe=run.recipe.changed(**settings))
        trained = replace(run, recipe=run.recipe.changed(precision=settings['inference_precision']))
        weights, n = run.network('segmentation'), len(run.scored.classes) + 1
        stages = dict(
            maps=(maps_score, load_classifier(other, fold=True)),
            labels=(label_score, load_irnet(trained)),  # else it keeps the digits of its training, and is never folded
            predictions=(prediction_score, load_segmentation(weights, other.recipe, n, fold=True)),
        )
        for stage, (score, net) in stages.items():
            if stage == 'labels' and settings['fold_batchnorm']:
                continue
            total, took = 0, []
            for i in run.scored.masked():
                started = time.process_time()
                total = total + score(other, net, i)
                took.append(time.process_time() - started)
            found.setdefault(stage, {})[way] = dict(miou=mean_iou(total), seconds=float(np.median(took)))
            print(stage, way, found[stage][way], flush=True)
    about = dict(command='python studies/precision.py runs/own-fast', images=len(run.scored), hardware=has_bfloat16())
    before = read_json(path) if path.exists() else {}  # its part about trainings stays
    write_json(path, before | about | dict(stages=found))


if __name__ == '__main__':
    main(*sys.argv[1:])
