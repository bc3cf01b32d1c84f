"""All stages on a GPU at the paper's sizes: seconds, memory, share of the device's peak, and hours for VOC and COCO.

    python benchmarks/gpu.py FOLDER [--device cuda] [--images 32 96] [--workers 16] [--settings precision=bfloat16] \\
        [--out nbs/7_results/stored/gpu.json]

FOLDER has photographs and tags.csv, and at least as many as the larger of --images. Every stage runs on both numbers
of images, after a run that warms up; the difference, divided by theirs, is what one more image costs. Networks are the
paper's with random numbers for weights, at its batches. Arithmetic comes from `vwl.apps.costs`; the peak is that of a
product of two large matrices in the same precision, measured here. Stages that mostly read, write or look at values
have no share of it. On a machine without a GPU, `--device cpu --images 1 2 --batch 1` tries the script.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
import torch
from stage_costs import of_size, run_on, steps_of
from vwl.apps.costs import SET_SIZES, STAGE_COSTS
from vwl.data.images import read_folder
from vwl.engine.files import write_json
from vwl.engine.processes import Machine
from vwl.engine.settings import preset


def wait(device):
    "Until the device has done all that it was asked for."
    if device != 'cpu':
        torch.cuda.synchronize()


def peak(device, precision):
    "TFLOP/s of a product of two matrices of 8192 rows and columns (1024 on a CPU)."
    n = 1024 if device == 'cpu' else 8192
    a = torch.randn(n, n, device=device, dtype=getattr(torch, precision))
    taken = []
    for _ in range(5):
        wait(device)
        began = time.perf_counter()
        a @ a
        wait(device)
        taken.append(time.perf_counter() - began)
    return 2 * n**3 / statistics.median(taken) / 1e12


def measured(n, data, out, args):
    "{stage: (seconds, bytes of GPU memory)} for n images."
    machine = Machine(args.device, args.workers)
    run, found = run_on(n, data, out, args.batch, **args.settings), {}
    for name, step in steps_of(run, machine).items():
        if args.device != 'cpu':
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        step()
        wait(args.device)
        held = torch.cuda.max_memory_allocated() if args.device != 'cpu' else 0
        found[name] = time.perf_counter() - began, held
        print(f'{n} images, {name}: {found[name][0]:.2f} s, {held / 2**30:.1f} GiB', flush=True)
    return found


def hours(each):
    "{data set: hours of the whole road} from the seconds of an image."
    paper, out = preset('paper'), {}
    for name, (train, score, val, steps) in SET_SIZES.items():
        counts = dict(
            classifier=paper.training.epochs * train, cams=score + train, seeds=score, irnet_labels=train,
            irnet=paper.irnet.epochs * train, pseudo_labels=train + score,
            segmentation=steps * paper.segmentation.batch_size, predictions=val,
        )  # fmt: skip
        out[name] = {stage: n * each[stage]['seconds'] / 3600 for stage, n in counts.items()}
    return out


def setting(text):
    "'precision=bfloat16' as a pair; a value that isn't JSON is a word."
    name, _, value = text.partition('=')
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--images', type=int, nargs=2, default=[32, 96])
    parser.add_argument('--batch', type=int, default=16, help='of all trainings')
    parser.add_argument('--long-side', type=int, default=500, help='to which photographs are brought, pixels')
    parser.add_argument('--workers', type=int, default=16)
    parser.add_argument('--settings', type=setting, nargs='*', default=[], help='NAME=VALUE, besides the paper\'s')
    parser.add_argument('--out', type=Path)
    args = parser.parse_args()
    args.settings, (few, many) = dict(args.settings), args.images
    if len(read_folder(args.folder)) < many:
        raise SystemExit(f'{args.folder}: has fewer than {many} photographs; lower --images')
    precision = args.settings.get('precision', 'float32')
    with tempfile.TemporaryDirectory() as home:
        data = of_size(args.folder, many, args.long_side, Path(home) / 'photographs')
        measured(few, data, Path(home) / 'warm', args)
        less, more = (measured(n, data, Path(home) / str(n), args) for n in args.images)
    top, each = peak(args.device, precision), {}
    for name in less:
        seconds = (more[name][0] - less[name][0]) / (many - few)
        gflop = 0.0 if any('backbone' in k for k in args.settings) else STAGE_COSTS.get(name, (0.0,))[0]
        share = gflop / 1000 / seconds / top if gflop and seconds > 0 else None
        each[name] = dict(seconds=seconds, share_of_peak=share, gib=more[name][1] / 2**30)
    card = torch.cuda.get_device_name() if args.device != 'cpu' else f'CPU, {torch.get_num_threads()} threads'
    found = dict(device=card, torch=torch.__version__, settings=args.settings, images=args.images, batch=args.batch,
                 peak_tflops=top, each=each, hours=hours(each))  # fmt: skip
    print(f'\n{card}: {top:.1f} TFLOP/s in {precision}\n{"":15} ms an image   share of peak   GiB')
    for name, row in each.items():
        share = '' if row['share_of_peak'] is None else f'{100 * row["share_of_peak"]:.0f} %'
        print(f'{name:15} {1000 * row["seconds"]:11.1f} {share:>15} {row["gib"]:5.1f}')
    for name, stages in found['hours'].items():
        print(
            f'{name}: {sum(stages.values()):.1f} hours, of which '
            + ', '.join(f'{k} {v:.2f}' for k, v in stages.items())
        )
    if args.out:
        write_json(args.out, found)


if __name__ == '__main__':
    main()
