"Disks that are full, folders that can't be written, files that vanish: one line, and all finished work is kept."

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
import pytest
from vwl.data import archives
from vwl.apps.cli import main
from vwl.errors import InputError
from conftest import WHOLE
from test_runs import contents

COMMAND = [sys.executable, '-m', 'vwl', 'run']

LOCAL = 'recipe.json', 'report.html'  # what holds the folder's name


def same(a, b):
    a, b = contents(a), contents(b)
    return {k for k in a if k != 'report.html' and b.get(k) != a[k]} == set() and a.keys() == b.keys()


@pytest.mark.parametrize('kilobytes, workers', [(1, '0'), (200, '0'), (1, '2')])
def test_full_disk(finished, tmp_path, kilobytes, workers):
    """Files may not grow beyond so much: the classifier's weights don't fit, or not even its losses. With room again,
    the run ends as any other.
    """
    data, run = finished

    def limit():
        return resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, resource.RLIM_INFINITY))

    out = tmp_path / 'run'
    if workers != '0':  # only the processes that compute the CRF come to the limit
        out = Path(shutil.copytree(run, out))
        shutil.rmtree(out / 'seeds')
        for p in (out / 'cams').glob('scene_0001*'):
            p.unlink()
    stopped = subprocess.run(
        [*COMMAND, str(data), '--out', str(out), *WHOLE, '--workers', workers],
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert stopped.returncode == 1 and stopped.stderr.startswith('vwl: ') and stopped.stderr.count('\n') == 1, (
        stopped.stderr
    )
    assert 'File too large; finished work is kept' in stopped.stderr and not list(out.rglob('*.part'))
    main(['run', str(data), '--out', str(out), *WHOLE])
    assert same(run, out)


@pytest.mark.parametrize('out', ['/proc/run', 'FILE/run', 'READONLY/run'])
def test_no_place_to_write(finished, tmp_path, fails, out):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'readonly').mkdir()
    (tmp_path / 'readonly').chmod(0o555)
    if 'READONLY' in out and os.access(tmp_path / 'readonly', os.W_OK):
        pytest.skip('root may write everywhere')
    out = out.replace('FILE', str(tmp_path / 'file')).replace('READONLY', str(tmp_path / 'readonly'))
    assert 'check this path' in fails('run', finished[0], '--out', out, *WHOLE)


@pytest.mark.parametrize(
    'sign, gone, message',
    [
        ('recipe.json', 'DATA/images/scene_00020.png', 'scene_00020.png: no such'),
        ('seeds/cam/scene_00000.png', 'RUN/cams/scene_00023.npz', 'scene_00023.npz: no '),
        ('pseudo_labels/scene_00000.png', 'RUN/cams/scene_00023.npz', 'scene_00023.npz: no '),
    ],
)
def test_a_file_vanishes(finished, tmp_path, sign, gone, message):
    """While the command runs, after a sign: it ends with a line that names the file, or had no more use for it; with
    the file back, as any other.
    """
    data, run = Path(shutil.copytree(finished[0], tmp_path / 'scenes')), tmp_path / 'run'
    process = subprocess.Popen(
        [*COMMAND, str(data), '--out', str(run), *WHOLE], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not (run / sign).exists() and process.poll() is None:
        time.sleep(0.005)
    file = Path(gone.replace('DATA', str(data)).replace('RUN', str(run)))
    kept = file.read_bytes()
    file.unlink()
    said = process.communicate()[1]
    assert 'Traceback' not in said and process.returncode in (0, 1)
    if process.returncode:
        assert message in said and said.count('\n') == 1
    if gone.startswith('DATA'):
        file.write_bytes(kept)
        assert process.returncode == 1
    main(['run', str(data), '--out', str(run), *WHOLE])
    assert {k: v for k, v in contents(run).items() if k not in LOCAL} == {
        k: v for k, v in contents(finished[1]).items() if k not in LOCAL
    }


def test_no_room_for_an_archive(tmp_path, monkeypatch):
    import io
    import tarfile

    with tarfile.open(tmp_path / 'a.tar', 'w') as t:
        member = tarfile.TarInfo('big')
        member.size = 5000
        t.addfile(member, io.BytesIO(bytes(5000)))
    monkeypatch.setattr(
        archives.shutil, 'disk_usage', lambda folder: shutil._ntuple_diskusage(10**6, 10**6 - 4000, 4000)
    )
    with pytest.raises(InputError, match='a.tar needs .* make room'):
        archives.unpack(tmp_path / 'a.tar', tmp_path / 'out')
    assert not (tmp_path / 'out' / 'big').exists()
