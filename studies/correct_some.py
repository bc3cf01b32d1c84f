"""The circle of the guide 8_guides/07_correct_some: a run from tags, its CRF seeds given to a person, some of them
corrected, learned from together with the others.

    python studies/correct_some.py [nbs/7_results/stored/own/corrected.json] [--out runs/corrected] [--corrected 20]

On generated scenes, 200 to learn from without masks and 100 others to score on. The person is played by the scenes'
true masks, which go the way of Label Studio: out as tasks, back as annotations. Both are trained from the
same seeds; each seed has its own scenes, networks and twenty.
"""

import argparse
import contextlib
import json
import shutil
import sys
from pathlib import Path
import numpy as np
from vwl.apps.cli import main
from vwl.data.formats_out import MaskedImage, write_masks
from vwl.data.images import read_folder
from vwl.data.scenes import write_scenes
from vwl.engine.arrays import load_label
from vwl.engine.files import read_json, write_json

SCENES, LEARNED = 300, 200


def vwl(*words):
    "A command, its output kept from the terminal's."
    workers = [] if words[0] in ('import', 'export-masks') else ['--workers', '0']
    with contextlib.redirect_stdout(sys.stderr):
        main([*map(str, words), *workers])


def begin(home, seed):
    "Scenes whose first part has no masks, and lists of both."
    data = write_scenes(home / 'scenes', SCENES, seed=seed)
    names = read_folder(data).names
    (data / 'lists').mkdir(exist_ok=True)
    for name, part in dict(train=names[:LEARNED], val=names[LEARNED:]).items():
        (data / 'lists' / f'{name}.txt').write_text('\n'.join(part) + '\n')
    (home / 'truth').mkdir(exist_ok=True)
    for name in names[:LEARNED]:
        if (data / 'masks' / f'{name}.png').exists():
            shutil.move(data / 'masks' / f'{name}.png', home / 'truth')
    return data, names[:LEARNED]


def correct(home, data, tasks, names, number, seed):
    "Send back tasks of which some are corrected: what Label Studio exports."
    images, chosen = read_folder(data), np.random.default_rng(seed).permutation(len(names))[:number]
    files = dict(zip(images.names, images.files))
    made = [MaskedImage(files[names[i]], load_label(home / 'truth' / f'{names[i]}.png')) for i in sorted(chosen)]
    shutil.rmtree(home / 'corrected', ignore_errors=True)
    write_masks(made, images.classes, data, 'label-studio', home / 'corrected')
    done = [t | dict(annotations=t.pop('predictions')) for t in read_json(home / 'corrected' / 'tasks.json')]
    there = {t['data']['image'] for t in done}
    write_json(home / 'export.json', done + [t for t in read_json(tasks) if t['data']['image'] not in there])
    vwl('import', 'label-studio', home / 'export.json', '--into', data)


def scores(run):
    "mIoU of DeepLabV2 on the validation scenes."
    return read_json(run / 'metrics.json')['segmentation_crf']['miou']


def circle(home, number, seed):
    "From tags, then with corrected masks."
    data, names = begin(home, seed)
    run = home / 'run'
    lists = ['--train-list', 'lists/train.txt', '--score-list', 'lists/val.txt', '--val-list', 'lists/val.txt']
    vwl('run', data, '--out', run, '--recipe', 'toy', '--seed', seed, '--seg-labels', 'crf', *lists)
    from_tags = scores(run)
    vwl('export-masks', run, '--format', 'label-studio', '--out', home / 'tasks')
    correct(home, data, home / 'tasks' / 'tasks.json', names, number, seed)
    vwl('segment', run, '--seg-labels', 'mixed_crf')
    vwl('predict', run)
    vwl('evaluate', run)
    mixed = scores(run)
    return dict(seed=seed, tags=from_tags, mixed=mixed)


def work():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('path', type=Path, nargs='?', default=Path('nbs/7_results/stored/own/corrected.json'))
    parser.add_argument('--out', type=Path, default=Path('runs/corrected'))
    parser.add_argument('--corrected', type=int, default=20)
    parser.add_argument('--seeds', type=int, default=3)
    args = parser.parse_args()
    rows = []
    for seed in range(1, args.seeds + 1):
        home = args.out / f'seed{seed}'
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        rows.append(circle(home, args.corrected, seed))
        print(json.dumps(rows[-1]), flush=True)
        command = f'python studies/correct_some.py --corrected {args.corrected} --seeds {args.seeds}'
        write_json(args.path, dict(command=command, corrected=args.corrected, learned=LEARNED, runs=rows))


if __name__ == '__main__':
    work()
