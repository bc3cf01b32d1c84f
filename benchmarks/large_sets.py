"""What a large set costs: start-up for many names, and time and memory of each stage for many tiny images.

    python benchmarks/large_sets.py [--names 100000] [--images 2000 20000] [--out nbs/7_results/stored/large_sets.json]

The images are 16x16 and the network the small one, so that what remains is what each image costs whatever its size:
files, checks, processes. Every number of images runs in a process of its own, whose memory is read after each stage.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
import numpy as np
from PIL import Image

CLASSES = [f'class{c}' for c in range(80)]


def write_images(root, n, sizes):
    "n images of noise with three tags each, their masks, and a list of their names."
    rng, noise = random.Random(0), np.random.default_rng(0)
    for d in 'images', 'masks':
        (root / d).mkdir(parents=True)
    names = [f'COCO_{i:012d}' for i in range(n)]
    kinds = []
    for side in sizes:
        Image.fromarray(noise.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(root / 'kind.png')
        image = (root / 'kind.png').read_bytes()
        Image.fromarray(noise.integers(0, 81, (side, side), dtype=np.uint8)).save(root / 'kind.png')
        kinds.append((image, (root / 'kind.png').read_bytes()))
    for i, name in enumerate(names):
        image, mask = kinds[i % len(kinds)]
        (root / 'images' / f'{name}.png').write_bytes(image)
        (root / 'masks' / f'{name}.png').write_bytes(mask)
    (root / 'tags.csv').write_text(
        'image,tags\n' + ''.join(f'{name}.png,{" ".join(rng.sample(CLASSES, 3))}\n' for name in names)
    )
    (root / 'classes.txt').write_text('\n'.join(CLASSES))
    (root / 'all.txt').write_text('\n'.join(names))
    return root


def start_up(root, out):
    "Seconds to read a folder with a list to train on and one to score, and to open its run again; after all imports."
    from vwl.stages.run import make_run, open_run
    from vwl.engine.settings import preset

    began = time.perf_counter()
    make_run(root, out, preset('toy', train_list='all.txt', score_list='all.txt'))
    first = time.perf_counter() - began
    (out / 'classifier').mkdir(exist_ok=True)
    began = time.perf_counter()
    open_run(out)
    return dict(make_run=first, open_run=time.perf_counter() - began)


def peak():
    "Largest resident memory so far of this process and of its workers, MiB."
    return [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


def stages(root, out, workers):
    "Seconds and peak memory after each stage of a run, in MiB."
    from vwl.engine.processes import Machine
    from vwl.stages.run import make_run
    from vwl.stages.scores import evaluate
    from vwl.stages.table import STAGES
    from vwl.engine.settings import preset

    recipe = preset(
        'toy',
        seg_weights='none',
        irn_weights='none',
        epochs=1,
        crop=16,
        long_side=(16, 16),
        scales=(1.0,),
        n_words=8,
        irn_epochs=1,
        irn_crop=32,
        irn_radius=3,
        walk_radius=3,
        seg_steps=20,
        seg_crop=16,
        walk_steps=8,
        predict_crf='deeplab',
    )
    run, found, machine = make_run(root, out, recipe), {}, Machine('cpu', workers)
    steps = {name: partial(stage, run, machine) for name, stage in STAGES.items()}
    steps['evaluate'] = partial(evaluate, run, machine)
    for name, step in steps.items():
        began = time.perf_counter()
        step()
        found[name] = dict(seconds=round(time.perf_counter() - began, 1), peak=peak())
    return found


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--names', type=int, default=100_000)
    a.add_argument('--images', type=int, nargs='*', default=[2000, 20_000])
    a.add_argument('--workers', type=int, default=1)
    a.add_argument('--out', default='nbs/7_results/stored/large_sets.json')
    a.add_argument('--one', help=argparse.SUPPRESS)  # one number of images, in a process of its own
    args = a.parse_args()
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        if args.one:
            print(
                '\n' + json.dumps(stages(write_images(home / 'set', int(args.one), [16]), home / 'run', args.workers))
            )
            return
        found = {}
        if args.names:
            found['names'] = args.names
            found['start_up'] = start_up(write_images(home / 'names', args.names, [8]), home / 'run')
        for n in args.images:
            done = subprocess.run(
                [sys.executable, __file__, '--one', str(n), '--workers', str(args.workers)],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                sys.exit(done.stderr)
            found[str(n)] = json.loads(done.stdout.splitlines()[-1])
        print(json.dumps(found, indent=1))
        kept = json.loads(Path(args.out).read_text()) if Path(args.out).exists() else {}
        Path(args.out).write_text(json.dumps(kept | found, indent=1) + '\n')


if __name__ == '__main__':
    main()
