"""The dense CRF of `vwl.crf` beside pydensecrf's, in one run: CPU seconds of one thread, medians.

    python benchmarks/dense_crf.py FOLDER [--images 5] [--out nbs/7_results/stored/dense_crf.json]

FOLDER has photographs, which are resized to 500 x 375. Labels are smooth random probabilities. The time of the
Gaussian term's lattice, which depends on the size alone, is not counted after the first image.
"""

import argparse
import statistics
import time
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from vwl.crf import dense_crf, named_crf
from vwl.data.image_files import read_image
from vwl.engine.files import write_json


def soft_labels(n, seed):
    "(n, 375, 500): smooth probabilities."
    noise = torch.randn(1, n, 6, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise * 3, (375, 500), mode='bicubic')[0].softmax(0).numpy()


def timed(image, probabilities, settings):
    "(CPU seconds, labels)."
    started = time.process_time()
    labels = dense_crf(image, probabilities, settings).argmax(0)
    return time.process_time() - started, labels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--images', type=int, default=5)
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(args.folder.iterdir())[:: max(1, len(list(args.folder.iterdir())) // args.images)][: args.images]
    images = [np.asarray(read_image(f).convert('RGB').resize((500, 375), Image.Resampling.BICUBIC)) for f in files]
    rows = []
    for name in 'vwl', 'irnet':
        dense_crf(images[0], soft_labels(2, 0), named_crf(name))  # warms up, and keeps the Gaussian term's lattice
        for n in 2, 3, 5, 21:
            took, same = dict(torch=[], pydensecrf=[]), []
            for i, image in enumerate(images):
                labels = {}
                for engine in took:
                    seconds, labels[engine] = timed(image, soft_labels(n, i), named_crf(name, engine))
                    took[engine].append(seconds)
                same.append(float(np.mean(labels['torch'] == labels['pydensecrf'])))
            middle = {engine: statistics.median(seconds) for engine, seconds in took.items()}
            ratio = statistics.median(b / a for a, b in zip(took['torch'], took['pydensecrf']))
            rows.append(dict(settings=name, labels=n, **middle, ratio=ratio, same=min(same)))
            print({k: round(v, 5) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
    if args.out:
        command = f'python benchmarks/dense_crf.py FOLDER --images {args.images}'
        write_json(args.out, dict(command=command, size=[500, 375], rows=rows))


if __name__ == '__main__':
    main()
