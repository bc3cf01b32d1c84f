"Two processes on the CPU: they train as one does, share the work without gaps, and end and go on together."

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from conftest import SMALL, WHOLE
from test_runs import contents

HERE = Path(__file__).parent
ENV = os.environ | dict(OMP_NUM_THREADS='1', PYTHONPATH=str(HERE.parent))
TORCHRUN = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node']

AUTO = 'cpu' if torch.cuda.is_available() else 'auto'  # two processes would want two GPUs


def together(*command):
    return subprocess.run([*TORCHRUN, '2', *map(str, command)], capture_output=True, text=True, env=ENV, cwd=HERE)


@pytest.fixture(scope='module')
def steps(finished, tmp_path_factory):
    "Folders of what steps.py wrote, by one process and by two."
    one, two = (tmp_path_factory.mktemp(n) for n in ('one', 'two'))
    alone = subprocess.run(
        [sys.executable, 'steps.py', finished[0], one], capture_output=True, text=True, env=ENV, cwd=HERE
    )
    both = together('steps.py', finished[0], two)
    assert alone.returncode == both.returncode == 0, alone.stderr + both.stderr
    return one, two


@pytest.mark.parametrize('kind', ['learned', 'memory', 'frozen', 'half', 'irnet', 'deeplab', 'accumulate'])
def test_steps(steps, kind):
    "Losses of twenty steps, and the codebook after them, are those of one process."
    losses = [json.loads((out / f'{kind}.json').read_text()) for out in steps]
    nets = [load_file(out / f'{kind}.safetensors') for out in steps]
    assert len(losses[0]) == len(losses[1]) == 20
    # one rounding in bfloat16 is 4e-3, and sums over half a batch are rounded apart
    worst = max(abs(a[k] - b[k]) / max(1, abs(a[k])) for a, b in zip(*losses) for k in a)
    assert worst < (1e-2 if kind == 'half' else 1e-5)
    if kind in ('learned', 'memory', 'frozen'):
        assert np.abs(nets[0]['words.codebook'] - nets[1]['words.codebook']).max() < 1e-5
    assert any(losses[0][0][k] != losses[0][-1][k] for k in losses[0][0])


def test_shares_of_a_run(run, finished, tmp_path):
    """Maps, seeds, labels, predictions and scores by two processes are, file by file, those by one; each file is made
    once.
    """
    data, _ = finished
    for name in 'cams', 'seeds', 'pseudo_labels', 'predictions':
        shutil.rmtree(run / name)
    for name in 'metrics.json', 'report.html':
        (run / name).unlink()
    other = shutil.copytree(run, tmp_path / 'other')
    alone = subprocess.run(
        [sys.executable, '-m', 'vwl', 'run', str(data), '--out', str(run), *WHOLE],
        capture_output=True,
        text=True,
        env=ENV,
    )
    both = together('-m', 'vwl', 'run', data, '--out', other, *(AUTO if a == 'cpu' else a for a in WHOLE))
    assert alone.returncode == both.returncode == 0, alone.stderr + both.stderr
    assert both.stdout.count('mIoU on 24 of 24 images') == 1
    a, b = contents(run), contents(other)
    assert {k for k in a if k != 'report.html' and b.get(k) != a[k]} == set() and a.keys() == b.keys()


def test_a_process_dies(finished, tmp_path):
    "The others end with it, the reason is said, and the same command ends with the files of a run that nobody harmed."
    data, _ = finished
    command = [*TORCHRUN, '2', '-m', 'vwl', 'run', str(data), *WHOLE, '--epochs', '2']
    for sign in 'classifier/checkpoint.safetensors', 'pseudo_labels/scene_00003.png':
        process = subprocess.Popen(
            [*command, '--out', str(tmp_path / 'killed')],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=ENV,
            start_new_session=True,
        )
        while not (tmp_path / 'killed' / sign).exists() and process.poll() is None:
            time.sleep(0.02)
        ranks = subprocess.run(
            ['ps', '--ppid', str(process.pid), '-o', 'pid='], capture_output=True, text=True
        ).stdout.split()
        assert len(ranks) == 2
        os.kill(int(ranks[1]), signal.SIGKILL)
        said = process.communicate()[1]
        assert process.returncode and 'SIGKILL' in said
    for out in 'killed', 'whole':
        done = subprocess.run([*command, '--out', str(tmp_path / out)], capture_output=True, text=True, env=ENV)
        assert done.returncode == 0, done.stderr
    killed, whole = contents(tmp_path / 'killed'), contents(tmp_path / 'whole')
    assert {
        k for k in whole if k != 'report.html' and killed.get(k) != whole[k]
    } == set() and killed.keys() == whole.keys()


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['run', 'nowhere', '--out', 'x'], 'nowhere: no such folder'),
        (['check', 'nowhere'], 'this command works in one process'),
        (
            ['run', 'DATA', '--out', 'RUN', *SMALL, '--batch-size', '1'],
            'a batch of 1 images in 1 parts is too small for 2 processes',
        ),
    ],
)
def test_one_line_from_all(finished, tmp_path, arguments, message):
    "What every process finds is said once."
    arguments = [dict(DATA=str(finished[0]), RUN=str(tmp_path / 'run')).get(a, a) for a in arguments]
    done = together('-m', 'vwl', *arguments)
    lines = [l for l in done.stderr.splitlines() if l.startswith('vwl: ')]
    assert done.returncode and len(lines) == 1 and message in lines[0], done.stderr
    assert 'Traceback (most recent call last):\n  File "' + str(HERE.parent) not in done.stderr
