"What the tests share: the command line in this process, and one small finished run."

import shutil
from pathlib import Path
import pytest
from vwl.apps.cli import main
from vwl.data.scenes import write_scenes
from vwl.stages.pipeline import TINY as SIZES


def flags(settings):
    "Fields of a recipe as the command line takes them."
    return [
        word
        for k, v in settings.items()
        for word in (f'--{k.replace("_", "-")}', *map(str, v if isinstance(v, tuple) else (v,)))
    ]


LATE = {k: v for k, v in SIZES.items() if k.startswith(('irn_', 'seg_'))}
SMALL = [
    '--recipe',
    'toy',
    *flags({k: v for k, v in SIZES.items() if k not in LATE}),
    '--workers',
    '0',
    '--device',
    'cpu',
]
TINY = [*SMALL, '--until', 'seeds']
WHOLE_SETTINGS = flags(LATE)
WHOLE = [*SMALL, *WHOLE_SETTINGS]


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
    "(data, run): 24 scenes and a run of one epoch on them, to the end; copy before changing."
    home = tmp_path_factory.mktemp('finished')
    data = write_scenes(home / 'scenes', 24)
    main(['run', str(data), '--out', str(home / 'run'), *WHOLE])
    return data, home / 'run'


@pytest.fixture
def data(finished, tmp_path):
    "A copy of the scenes to spoil."
    return Path(shutil.copytree(finished[0], tmp_path / 'scenes'))


@pytest.fixture
def run(finished, tmp_path):
    "A copy of the finished run to spoil; its data are the session's."
    return Path(shutil.copytree(finished[1], tmp_path / 'run'))


@pytest.fixture
def fails(capsys):
    "Run a command that must end with one line, exit code 1 and no traceback; return the line."

    def check(*argv):
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in argv])
        line = str(stop.value)
        assert line.startswith('vwl: ') and '\n' not in line and 'Traceback' not in capsys.readouterr().err
        return line

    return check
