"""What each stage costs an image at the paper's sizes: seconds, arithmetic, bytes on disk.

    python benchmarks/stage_costs.py FOLDER [--device cuda] [--images 2 6] [--memory] [--out \
        nbs/7_results/stored/stage_costs.json]

FOLDER has photographs and tags.csv. Every stage runs on two numbers of images; the difference, divided by theirs,
is what one more image costs. Networks are ResNets with random numbers for weights, which take as long as any
others. Training is a few steps of small batches: its cost an image of a batch is what is kept. Arithmetic is
counted by torch (two operations a multiplication with addition).

--memory measures instead what the trainings hold at the recipe's batch, and adds it to --out: the tensors that
autograd keeps for the way back, an image's times the batch, and four bytes each for weights, gradients and momenta.
A GPU needs that and some room to work in.
"""

import argparse
import json
import tempfile
import time
from functools import partial
from pathlib import Path
import torch
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode
from vwl.engine.processes import Machine
from vwl.stages.irnet import make_confident_labels
from vwl.stages.run import make_run
from vwl.stages.table import STAGES
from vwl.data.images import read_folder
from vwl.pixels import resize
from vwl.engine.settings import preset
from vwl.data.voc import write_tags


def of_size(folder, n, side, out):
    "n photographs of a folder, from all over it, with the given long side, as a folder."
    images = read_folder(folder)
    images = images.select(range(0, n * (len(images) // n), len(images) // n))
    (out / 'images').mkdir(parents=True)
    for i, name in enumerate(images.names):
        image = images.image(i)
        resize(image, side / max(image.size)).save(out / 'images' / f'{name}.jpg', quality=95)
    (out / 'classes.txt').write_text('\n'.join(images.classes))
    return write_tags(out / 'tags.csv', [(f'{name}.jpg', images.tags(i)) for i, name in enumerate(images.names)]).parent


def run_on(n, data, out, batch, **settings):
    "A run with the paper's settings on the first n photographs; its trainings see each of them once, at rates of 0."
    names = read_folder(data).names[:n]
    out.mkdir(parents=True)
    (out / 'list.txt').write_text('\n'.join(names))
    once = dict(epochs=1, irn_epochs=1, seg_steps=n // batch)
    sizes = dict(batch_size=batch, irn_batch_size=batch, seg_batch_size=batch)
    weights = dict(weights='none', irn_weights='none', seg_weights='none')
    rates = dict(lr_backbone=0.0, lr_heads=0.0, irn_lr=0.0, seg_lr=0.0)
    recipe = preset('paper', train_list=str(out / 'list.txt'), **once | sizes | weights | rates | settings)
    return make_run(data, out / 'run', recipe)


def steps_of(run, machine):
    "{name: function} of all stages in order, IRNet's labels apart."
    steps = {name: partial(stage, run, machine) for name, stage in STAGES.items()}
    labels = partial(make_confident_labels, run, machine)
    order = ['classifier', 'cams', 'seeds', 'irnet_labels', 'irnet', 'pseudo_labels', 'segmentation', 'predictions']
    return {name: (steps | dict(irnet_labels=labels))[name] for name in order}


def run_of(n, data, out, device, batch):
    "{stage: (seconds, GFLOP, bytes)} for n images; the trainings see each of them once."
    run = run_on(n, data, out, batch)
    steps = steps_of(run, Machine(device))
    found, kept = (
        {},
        lambda: sum(f.stat().st_size for f in run.folder.rglob('*') if f.is_file() and f.suffix != '.safetensors'),
    )
    for name, step in steps.items():
        before, counter, began = kept(), FlopCounterMode(display=False), time.perf_counter()
        with counter:
            step()
        if device != 'cpu':
            torch.cuda.synchronize()
        found[name] = time.perf_counter() - began, counter.get_total_flops() / 1e9, kept() - before
        print(n, name, found[name], flush=True)
    return found


def kept_for_the_way_back(step):
    "Bytes of all tensors that autograd keeps in a training of one step."
    storages = {}

    def pack(t):
        s = t.untyped_storage()
        storages[s.data_ptr()] = s.nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        step()
    return sum(storages.values())


def memory(folder, long_side):
    "{training: GB} at the paper's batches."
    found, paper = {}, preset('paper')
    batches = dict(classifier=paper.batch_size, irnet=paper.irn_batch_size, segmentation=paper.seg_batch_size)
    with tempfile.TemporaryDirectory() as home:
        data = of_size(folder, 3, long_side, Path(home) / 'photographs')
        for n in 2, 3:
            run, machine = run_on(n, data, Path(home) / str(n), n), Machine('cpu')
            before = dict(classifier=(), irnet=('cams',), segmentation=('pseudo_labels',))
            for name, others in before.items():
                for other in others:
                    STAGES[other](run, machine)
                found[name, n] = kept_for_the_way_back(partial(STAGES[name], run, machine))
            weights = {s: sum(v.nbytes for v in load_file(run.network(s)).values()) for s in before}
    return {s: (batches[s] * (found[s, 3] - found[s, 2]) + 3 * weights[s]) / 1e9 for s in batches}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('folder', type=Path)
    a.add_argument('--device', default='cpu')
    a.add_argument('--images', type=int, nargs=2, default=[2, 6])
    a.add_argument('--long-side', type=int, default=500, help='to which photographs are brought, pixels')
    a.add_argument('--batch', type=int, default=2)
    a.add_argument('--memory', action='store_true', help='of the trainings, on the CPU')
    a.add_argument('--out', type=Path, default=Path('nbs/7_results/stored/stage_costs.json'))
    args = a.parse_args()
    if args.memory:
        args.out.write_text(
            json.dumps(
                json.loads(args.out.read_text()) | dict(training_gb=memory(args.folder, args.long_side)), indent=1
            )
            + '\n'
        )
        return
    few, many = args.images
    with tempfile.TemporaryDirectory() as home:
        data = of_size(args.folder, many, args.long_side, Path(home) / 'photographs')
        run_of(few, data, Path(home) / 'warm', args.device, args.batch) if args.device != 'cpu' else None
        less, more = (run_of(n, data, Path(home) / str(n), args.device, args.batch) for n in args.images)
    each = {
        s: dict(zip(('seconds', 'gflop', 'bytes'), ((b - a) / (many - few) for a, b in zip(less[s], more[s]))))
        for s in less
    }
    found = dict(
        images=args.images,
        long_side=args.long_side,
        device=torch.cuda.get_device_name() if args.device != 'cpu' else f'CPU, {torch.get_num_threads()} threads',
        each=each,
        peak_gpu_memory_mib=torch.cuda.max_memory_allocated() // 2**20 if args.device != 'cpu' else None,
    )
    print(json.dumps(found, indent=1))
    args.out.write_text(json.dumps(found, indent=1) + '\n')


if __name__ == '__main__':
    main()
