"""How well a threshold for the maps can be chosen with masks of a few images, or with none.

    python studies/threshold_choice.py RUN [--images 60] [--results nbs/7_results/stored/own/threshold.json]

RUN has maps and its data set masks. With few masks: the best threshold on n random images, scored on all, 200 draws.
Without: the threshold at which the masks change least under the dense CRF, over --images images.
"""

import argparse
import numpy as np
from vwl.engine.files import write_json
from vwl.metrics import confusion_matrix, mean_iou, sweep_thresholds, threshold_histogram
from vwl.stages.scores import THRESHOLDS
from vwl.stages.run import open_run
from vwl.seeds import crf_seeds, threshold_seeds
from vwl.data.cams import load_cams


def histograms(run):
    "(N, T+1, n, n): what the threshold sweep needs of each scored image."
    for i, name in enumerate(run.scored.names):
        truth = run.scored.mask(i)
        yield threshold_histogram(
            *load_cams(run.cam_path(name), at=truth.shape), truth, len(run.scored.classes) + 1, THRESHOLDS
        )


def with_few_masks(each, draws=200, seed=0):
    "n -> (mean, 10 % quantile) of the mIoU on all images at the threshold chosen on n of them."
    curve = np.array([mean_iou(N) for N in sweep_thresholds(each.sum(0))])
    rng, out = np.random.default_rng(seed), {}
    for n in 3, 5, 10, 20, 40, 80:
        got = [
            curve[np.nanargmax([mean_iou(N) for N in sweep_thresholds(each[rng.choice(len(each), n, False)].sum(0))])]
            for _ in range(draws)
        ]
        out[n] = dict(mean=float(np.mean(got)), tenth=float(np.quantile(got, 0.1)))
        print(n, out[n], flush=True)
    return curve, out


def without_masks(run, indices, thresholds):
    "mIoU between the masks at each threshold and the same after CRF."
    n, totals = len(run.scored.classes) + 1, [0] * len(thresholds)
    for i in indices:
        image = np.asarray(run.scored.image(i))
        cams, keys = load_cams(run.cam_path(run.scored.names[i]), at=image.shape[:2])
        for j, t in enumerate(thresholds):
            totals[j] = totals[j] + confusion_matrix(crf_seeds(image, cams, keys, t), threshold_seeds(cams, keys, t), n)
    return [mean_iou(N) for N in totals]


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run')
    parser.add_argument('--images', type=int, default=60)
    parser.add_argument('--results', default='nbs/7_results/stored/own/threshold.json')
    args = parser.parse_args()
    run = open_run(args.run)
    each = np.stack(list(histograms(run)))
    curve, few = with_few_masks(each)
    thresholds = np.round(np.arange(0.05, 0.6, 0.05), 2)
    agreement = without_masks(run, np.linspace(0, len(run.scored) - 1, args.images).astype(int), thresholds)
    chosen = float(thresholds[int(np.argmax(agreement))])

    def at(t):
        return float(curve[int(np.argmin(abs(THRESHOLDS - t)))])

    found = dict(
        images=len(each),
        curve=dict(threshold=THRESHOLDS.tolist(), miou=curve.tolist()),
        few=few,
        agreement=dict(threshold=thresholds.tolist(), miou=agreement),
        best=float(curve.max()),
        recipe=dict(threshold=run.recipe.seeds.threshold, miou=at(run.recipe.seeds.threshold)),
        without=dict(threshold=chosen, miou=at(chosen)),
        command=f'python studies/threshold_choice.py RUN --images {args.images}',
    )
    print(found['best'], found['recipe'], found['without'])
    write_json(args.results, found)
