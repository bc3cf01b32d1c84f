"""What storing maps at stride 4 in 8 or 16 bits costs in mIoU, and what it saves in bytes, beside the published
full-size float32.

    python benchmarks/cam_store.py RUN [--every 1] [--out nbs/7_results/stored/cam_store.json]

RUN is a run folder with a classifier, whose scored images have masks. For every n-th of them the maps are made once
and kept in each way, as they are in the files; scores are the mIoU at the recipe's threshold and at the best one.
"""

import argparse
import json
import tempfile
from pathlib import Path
import numpy as np
from vwl.pixels import resize, working_image
from vwl.data.cam_exchange import write_published_cams
from vwl.metrics import mean_iou, sweep_thresholds, threshold_histogram
from vwl.stages.scores import THRESHOLDS
from vwl.stages.cams import image_keys
from vwl.stages.classifier import load_classifier
from vwl.stages.run import open_run
from vwl.data.cams import load_cams, save_cams, strided_size
from vwl.seeds import multi_scale_maps, normalise_maps
from vwl.engine.workers import progress


def measure(run, indices):
    "mIoU and bytes of each way to keep the maps."
    net, r, n = load_classifier(run), run.recipe, len(run.scored.classes) + 1
    ways = ('float32, full size', '8 bits, stride 4', '16 bits, stride 4')
    histograms, sizes = {w: 0 for w in ways}, {w: 0 for w in ways}
    with tempfile.TemporaryDirectory() as home:
        for i in progress(indices):
            image, truth = np.asarray(working_image(run.scored.image(i), r.images.cam_long_side)), run.scored.mask(i)
            size, keys = image.shape[:2], image_keys(net, image, run.scored.labels[i], r)
            scaled, ids = (
                [
                    np.asarray(resize(working_image(run.scored.image(i), r.images.cam_long_side), s))
                    for s in r.cams.scales
                ],
                [k + 1 for k in keys],
            )

            def make(at):
                return normalise_maps(multi_scale_maps(net.maps, scaled, keys, at, r.cams.flip, r.cams.flip_merge))

            full, small = make(size), make(strided_size(*size))
            kept = {ways[0]: full.numpy()}
            published = Path(home) / 'published.npy'
            write_published_cams(published, small.numpy(), ids, size)  # with its full-size float32 beside it
            sizes[ways[0]] += published.stat().st_size
            for way, bits in zip(ways[1:], (8, 16)):
                path = save_cams(Path(home) / f'{bits}.npz', small, ids, size, bits)
                kept[way], sizes[way] = load_cams(path, size)[0], sizes[way] + path.stat().st_size
            for way, maps in kept.items():
                histograms[way] = histograms[way] + threshold_histogram(maps, ids, truth, n, THRESHOLDS)

    def scores(histogram):
        miou = [mean_iou(N) for N in sweep_thresholds(histogram)]
        return dict(
            miou=miou[int(np.argmin(np.abs(THRESHOLDS - r.seeds.threshold)))],
            best=max(miou),
            at=float(THRESHOLDS[int(np.argmax(miou))]),
        )

    return {
        w: scores(histograms[w]) | dict(bytes_an_image=sizes[w] // len(indices), smaller=sizes[ways[0]] / sizes[w])
        for w in ways
    }


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('run', type=Path)
    a.add_argument('--every', type=int, default=1)
    a.add_argument('--name', help='under which the result is kept; none = the folder\'s')
    a.add_argument('--out', type=Path, default=Path('nbs/7_results/stored/cam_store.json'))
    args = a.parse_args()
    run = open_run(args.run)
    found = dict(
        images=len(range(0, len(run.scored), args.every)),
        threshold=run.recipe.seeds.threshold,
        ways=measure(run, range(0, len(run.scored), args.every)),
    )
    print(json.dumps(found, indent=1))
    kept = json.loads(args.out.read_text()) if args.out.exists() else {}
    args.out.write_text(json.dumps(kept | {args.name or args.run.name: found}, indent=1) + '\n')


if __name__ == '__main__':
    main()
