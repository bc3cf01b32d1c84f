"""The random walk as published, squaring a dense matrix eight times, beside `vwl.affinity.random_walk`: time, memory,
error.

    python benchmarks/random_walk.py [--dense 24x32 47x63 94x125] [--ours 160x120 256x256 512x512] [--out \
        nbs/7_results/stored/random_walk.json]

Two classes, radius 5, beta 10, 256 steps, random maps and edges. Ours runs at the dense sizes too. Error: largest
difference from the same walk in float64, as a share of the maximum. For --dense sizes above 47x63 the float64 walk
takes 256 sparse products, which at the smaller ones equals the dense one to 1e-9. Memory: what the process's peak
grew by, each form in a process of its own. The dense form at 94x125 takes minutes and 2 GB, at 160x120 half an hour
and 6 GB.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from pathlib import Path
import torch
from torch.nn import functional as F
from vwl.affinity import path_affinity, path_offsets, random_walk, transition
from vwl.engine.files import write_json

RADIUS, BETA, STEPS = 5, 10, 256


def inputs(h, w):
    "Two maps and an edge map with ridges, from a fixed seed."
    g = torch.Generator().manual_seed(0)

    def smooth(n):
        return F.interpolate(torch.rand(n, 1, h // 8 + 2, w // 8 + 2, generator=g), (h, w), mode='bilinear')[:, 0]

    return smooth(2), (1 - 4 * (smooth(1) - 0.5).abs()).clamp(0, 1) ** 2


def dense(maps, edge):
    "As published: the dense matrix, its power by eight squarings, float32."
    (_, h, w), A = edge.shape, torch.eye(edge[0].numel())
    padded = F.pad(edge, (RADIUS - 1, RADIUS - 1, 0, RADIUS - 1), value=1.0)
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing='ij')
    for (dy, dx), a in zip(path_offsets(RADIUS), path_affinity(padded, RADIUS)[0]):
        inside = (y + dy < h) & (x + dx >= 0) & (x + dx < w)
        i, j = (y * w + x)[inside], ((y + dy) * w + x + dx)[inside]
        A[i, j] = A[j, i] = a[inside]
    A **= BETA
    A /= A.sum(0)
    for _ in range(STEPS.bit_length() - 1):
        A = A @ A
    return ((maps * (1 - edge)).flatten(1) @ A).reshape(maps.shape)


def exact(maps, edge):
    "256 sparse products in float64."
    S, D = transition(edge.double(), RADIUS, BETA)
    x, root = (maps * (1 - edge)).double().flatten(1).T * D.sqrt()[:, None], D.sqrt()[:, None]
    for _ in range(STEPS):
        x = S @ x
    return (x / root).T.reshape(maps.shape)


def measure(form, h, w, pipe):
    "Time, memory and error of one form at one size; runs in a fresh process."
    torch.set_num_threads(2)
    walk, (maps, edge) = dict(dense=dense, ours=random_walk)[form], inputs(h, w)
    if form == 'ours':
        walk(*inputs(24, 32))  # libraries are loaded
    before, times = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(1 if form == 'dense' else 5):
        started = time.perf_counter()
        result = walk(maps, edge)
        times.append(time.perf_counter() - started)
    memory, truth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, exact(maps, edge)
    pipe.send(
        dict(
            form=form,
            size=[h, w],
            seconds=statistics.median(times),
            megabytes=memory / 1024,
            error=((result - truth).abs().max() / truth.max()).item(),
        )
    )


def row(form, size):
    "One row of the table, measured in a process of its own."
    ours, theirs = multiprocessing.get_context('spawn').Pipe()
    process = multiprocessing.get_context('spawn').Process(target=measure, args=(form, *size, theirs))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f'{form} at {size}: ended with {process.exitcode} (out of memory?)')
    r = ours.recv()
    print(
        f'{form:6} {size[0]:4}x{size[1]:<4} {r["seconds"]:10.4f} s {r["megabytes"]:8.0f} MB  error {r["error"]:.1e}',
        flush=True,
    )
    return r


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def size(text):
        return tuple(map(int, text.split('x')))

    parser.add_argument(
        '--dense', nargs='*', type=size, default=[(24, 32), (47, 63), (94, 125)], help='sizes for both forms'
    )
    parser.add_argument(
        '--ours', nargs='*', type=size, default=[(160, 120), (256, 256), (512, 512)], help='sizes for ours alone'
    )
    parser.add_argument('--out', type=Path, help='JSON file for the rows')
    args = parser.parse_args()
    rows = [row(form, s) for s in args.dense for form in ('ours', 'dense')] + [row('ours', s) for s in args.ours]
    for a, b in zip(rows[: 2 * len(args.dense) : 2], rows[1::2]):
        print(f'{a["size"]}: {b["seconds"] / a["seconds"]:.0f} times as fast')
    if args.out:
        write_json(args.out, rows)


if __name__ == '__main__':
    main()
