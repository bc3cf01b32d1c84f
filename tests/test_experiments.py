"""The paper's tables by the command line: run, found again, gone on with, shared between processes, shown, drawn; and
what is wrong is said in one line.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
import pytest
from vwl.apps.cli import main
from vwl.engine.files import at_work
from vwl.engine.settings import preset
from conftest import SMALL


def table(data, out, *more):
    return ['experiments', 'run', 'table9', '--data', str(data), '--out', str(out), *SMALL, '--crf', 'none', *more]


def results(out):
    return {r['key']: r for r in (json.loads(p.read_text()) for p in (out / 'results').rglob('*.json'))}


@pytest.fixture(scope='module')
def ran(finished, tmp_path_factory):
    "(data, out): two rows of Table 9 with two seeds."
    out = tmp_path_factory.mktemp('experiments')
    main(table(finished[0], out, '--rows', 'no words', 'words by GAP', '--seeds', '2'))
    return finished[0], out


def test_found_again(ran, capsys):
    data, out = ran
    before = {p: p.read_bytes() for p in (out / 'results').rglob('*.json')}
    assert sorted((r['seed'], r['settings']['words']) for r in results(out).values()) == [
        (1, 'learned'),
        (1, 'none'),
        (2, 'learned'),
        (2, 'none'),
    ]
    capsys.readouterr()
    main(table(data, out, '--rows', 'no words', 'words by GAP', '--seeds', '2'))
    said = capsys.readouterr().out
    assert 'seed 1' not in said and '±' in said and '1 2' in said
    assert {p: p.read_bytes() for p in (out / 'results').rglob('*.json')} == before


def test_figures_stand_alone(ran, tmp_path, capsys):
    "Figures that were copied from another machine are found without their runs, and the data may lie elsewhere."
    data, out = ran
    shutil.copytree(out / 'results', tmp_path / 'out' / 'results')
    moved = shutil.copytree(data, tmp_path / 'moved')
    capsys.readouterr()
    main(table(moved, tmp_path / 'out', '--rows', 'no words', 'words by GAP', '--seeds', '2'))
    assert not (tmp_path / 'out' / 'runs').exists() and '±' in capsys.readouterr().out


def test_a_row_is_its_run_command(ran, tmp_path):
    "The command that is stored beside a row's figures gives them."
    data, out = ran
    key, found = next((k, r) for k, r in results(out).items() if r['seed'] == 2 and r['settings']['words'] == 'learned')
    words = [str(data) if w == 'FOLDER' else w for w in found['command'].split()]
    assert words[:2] == ['vwl', 'run']
    main([*words[1:], '--out', str(tmp_path / 'run'), '--device', 'cpu', '--workers', '0'])
    metrics = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
    assert metrics['cam_best']['miou'] == found['figures']['cam_best'] and metrics == json.loads(
        (out / 'runs' / key / 'metrics.json').read_text()
    )


def test_goes_on_after_a_kill(ran, tmp_path):
    "A row that was stopped after its training goes on, and ends with the same figures."
    data, out = ran
    key, found = next((k, r) for k, r in results(out).items() if r['seed'] == 1 and r['settings']['words'] == 'none')
    shutil.copytree(out / 'runs' / key, tmp_path / 'out' / 'runs' / key)
    for stage in 'cams', 'seeds':
        shutil.rmtree(tmp_path / 'out' / 'runs' / key / stage)
    weights = tmp_path / 'out' / 'runs' / key / 'classifier' / 'weights.safetensors'
    trained = weights.stat().st_mtime_ns
    main(table(data, tmp_path / 'out', '--rows', 'no words'))
    again = results(tmp_path / 'out')[key]
    assert weights.stat().st_mtime_ns == trained and again['resumed'] and again['figures'] == found['figures']


def test_shared_by_processes(ran, tmp_path, capsys):
    "A row that another process is at work on is left to it; the others run."
    data, out = ran
    key = next(k for k, r in results(out).items() if r['seed'] == 1 and r['settings']['words'] == 'none')
    folder = tmp_path / 'out' / 'runs' / key
    with at_work(folder):
        other = subprocess.run(
            [sys.executable, '-m', 'vwl', *table(data, tmp_path / 'out', '--rows', 'no words', 'words by GAP')],
            capture_output=True,
            text=True,
        )
    assert other.returncode == 0 and 'left to another process' in other.stdout and 'not run' in other.stdout
    assert [r['settings']['words'] for r in results(tmp_path / 'out').values()] == ['learned']


def test_trainings_are_shared(ran, tmp_path):
    "Rows that differ in a late stage alone have one classifier."
    data, out = ran
    shutil.copytree(out, tmp_path / 'out')
    main(table(data, tmp_path / 'out', '--rows', 'no words', '--threshold', '.5'))
    recipes = {p: json.loads((p / 'recipe.json').read_text())['recipe'] for p in (tmp_path / 'out' / 'runs').iterdir()}
    seeds = {
        r['seeds']['threshold']: p
        for p, r in recipes.items()
        if r['words']['kind'] == 'none' and r['images']['seed'] == 1
    }
    a, b = seeds[0.5], seeds[preset('toy').seeds.threshold]
    assert (a / 'classifier' / 'weights.safetensors').samefile(b / 'classifier' / 'weights.safetensors')
    assert {p.read_bytes() for p in (a / 'seeds').rglob('*.png')} != {
        p.read_bytes() for p in (b / 'seeds').rglob('*.png')
    }


def test_listed_and_drawn(ran, tmp_path, capsys):
    data, out = ran
    main(['experiments'])
    said = capsys.readouterr().out
    assert all(f'table{n} ' in said for n in range(1, 11)) and 'figure13' in said
    main(['experiments', 'draw', 'table9', '--data', str(data), '--out', str(out), *SMALL, '--crf', 'none'])
    drawn = [Path(line) for line in capsys.readouterr().out.splitlines() if line.endswith('.png')]
    assert [p.name for p in drawn] == ['maps.png', 'words-words-by-gap.png', 'plane.png', 'similarity.png'] and all(
        p.exists() for p in drawn
    )


@pytest.mark.parametrize(
    'argv, said',
    [
        (['run', 'table11'], "no experiment is called 'table11'"),
        (['run'], 'name a table'),
        (['draw', 'nowhere'], 'nowhere: no run there'),
        (['run', 'table9', '--rows', 'GAP'], "no row is called 'GAP'"),
        (['run', 'table9', '--seeds', '0'], '--seeds must be at least 1'),
        (['run', 'table9', '--epochs', '1'], 'recipe: kept_epoch must be at most epochs'),
        (['show', 'table9', '--data', 'nowhere'], 'nowhere'),
        (['draw', 'table8'], 'none of table8 was run here'),
    ],
)
def test_refused(finished, tmp_path, fails, argv, said):
    more = [] if '--data' in argv else ['--data', finished[0]]
    line = fails(
        'experiments', *argv, *more, '--out', tmp_path / 'out', *(['--recipe', 'code'] if '--epochs' in argv else [])
    )
    assert said in line and not list(tmp_path.rglob('*.safetensors'))


def test_without_masks(data, tmp_path, fails):
    shutil.rmtree(data / 'masks')
    line = fails(*table(data, tmp_path / 'out'))
    assert 'no masks' in line and str(data) in line and not list(tmp_path.rglob('*.safetensors'))


def test_spoiled_figures(ran, tmp_path, fails):
    data, out = ran
    shutil.copytree(out / 'results', tmp_path / 'out' / 'results')
    next((tmp_path / 'out' / 'results').rglob('*.json')).write_text('{"figures": 1')
    assert 'not readable as JSON' in fails(*table(data, tmp_path / 'out', '--rows', 'no words', 'words by GAP'))


def test_figures_counted_once(ran, tmp_path, fails):
    "A run whose figures lie there under two names isn't two seeds."
    data, out = ran
    shutil.copytree(out / 'results', tmp_path / 'out' / 'results')
    first = next((tmp_path / 'out' / 'results').rglob('*.json'))
    shutil.copy(first, first.with_name('the-same-again.json'))
    assert 'once more; take one of them away' in fails(
        *table(data, tmp_path / 'out', '--rows', 'no words', 'words by GAP', '--seeds', '2')
    )
