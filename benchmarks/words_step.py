"""How long a training step takes with each kind of words, side by side: Section 4.4 says that VWL-M trains slightly
slower than VWL-L.

    python benchmarks/words_step.py [--out nbs/7_results/stored/words_step.json]

MobileNetV2 with random weights, batches of 16 crops of 224 pixels, the same frozen stages for all, one thread. The
methods take turns, a step each; processor seconds, medians, and each method's ratio to VWL-L. Run it on an idle
machine.
"""

import argparse
import time
from pathlib import Path
import numpy as np
import torch
from vwl.engine.files import write_json
from vwl.models.classifier import Classifier
from vwl.engine.settings import preset
from vwl.models.training import make_optimizer, train_step

METHODS = {'no words': dict(words='none'), 'VWL-L': dict(words='learned'), 'VWL-M': dict(words='memory')}


def seconds(n_words, steps):
    "Median processor seconds of a step, method by method."
    images, labels = torch.randn(16, 3, 224, 224), (torch.rand(16, 20) < 0.1).float()
    nets, taken = {}, {name: [] for name in METHODS}
    for name, fields in METHODS.items():
        recipe = preset(
            'paper',
            **fields
            | dict(
                backbone='mobilenet_v2',
                weights='none',
                n_words=n_words,
                frozen_stages=3,
                lr_backbone=1e-4,
                lr_heads=1e-4,
            ),
        )
        net = Classifier(recipe, 20).train()
        nets[name] = net, make_optimizer(net)
    for step in range(steps + 2):
        for name, (net, optimizer) in nets.items():
            began = time.process_time()
            train_step(net, optimizer, images, labels, step, steps + 2)
            if step > 1:
                taken[name].append(time.process_time() - began)
    return {name: float(np.median(t)) for name, t in taken.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('nbs/7_results/stored/words_step.json'))
    parser.add_argument('--steps', type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = {str(k): seconds(k, args.steps) for k in (64, 256)}
    for k, taken in found.items():
        print(
            f'{k} words:',
            ', '.join(f'{name} {t:.3f} s ({t / taken["VWL-L"]:.3f})' for name, t in taken.items()),
            flush=True,
        )
    write_json(args.out, dict(steps=args.steps, torch=torch.__version__, seconds=found))


if __name__ == '__main__':
    main()
