"The project holds together: one version, notebooks exported, clean and with their outputs."

import ast
import json
import re
import shlex
import subprocess
import sys
from configparser import ConfigParser
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import get_args
import pytest

try:
    import tomllib
except ImportError:
    import tomli as tomllib  # Python 3.10
import vwl

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(p for p in (ROOT / 'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)


def read(path):
    return json.loads(path.read_text(encoding='utf-8'))


def source(cell):
    return ''.join(cell['source'])


def test_metadata():
    "setup.py sets every field that pyproject.toml leaves to it, with the version of the package."
    out = subprocess.run(
        [
            sys.executable,
            'setup.py',
            '-q',
            '--name',
            '--version',
            '--license',
            '--description',
            '--keywords',
            '--classifiers',
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    settings = ConfigParser(delimiters=['='])
    settings.read(ROOT / 'settings.ini')
    assert set(project) == {'name', 'dynamic'}
    for value in (project['name'], vwl.__version__, settings['DEFAULT']['license'], settings['DEFAULT']['description']):
        assert value in out


def test_names_agree():
    "What the recipe offers by name is what there is."
    from vwl.models.backbone import BACKBONES, STYLES
    from vwl.pooling import POOLING
    from vwl.crf import CRF_SETTINGS
    from vwl.engine.settings import NETWORKS, Pooling, Recipe, Style
    from vwl.engine.setting_groups import list_settings
    from vwl.stages.table import CODEBOOKS, LABELS, POOLINGS

    offered = {name: s.info.annotation for name, s in list_settings(Recipe).items()}
    assert set(get_args(Pooling)) == set(POOLING) == set(POOLINGS)
    assert set(get_args(offered['words'])) == set(CODEBOOKS)
    assert set(get_args(offered['segmentation.labels'])) == set(LABELS)
    assert set(NETWORKS) == set(BACKBONES)
    assert set(get_args(Style)) == set(STYLES)
    for name in 'crf', 'predictions.crf':
        assert set(get_args(offered[name])) == {*CRF_SETTINGS, 'none'}


@pytest.mark.parametrize('folder', ['tests', 'studies', 'benchmarks'])
def test_imports(folder):
    "What scripts import from the package is there; no other test runs the long ones."
    for path in sorted((ROOT / folder).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] == 'vwl':
                module = import_module(node.module)
                for name in node.names:
                    there = hasattr(module, name.name) or find_spec(f'{node.module}.{name.name}')
                    assert there, f'{path.relative_to(ROOT)}: {node.module} has no {name.name}'


def test_citation():
    "CITATION.cff has the package's version."
    assert re.search(r'^version: (.+)$', (ROOT / 'CITATION.cff').read_text(), re.M).group(1) == vwl.__version__


def test_figures_of_the_readme():
    "Its four lines are those of the stored results."
    from vwl.apps.claims import StoredFolders, summary_lines

    lines = summary_lines(StoredFolders(ROOT / 'nbs' / '7_results' / 'stored'))
    assert '\n'.join(f'- {line}' for line in lines) in (ROOT / 'README.md').read_text(encoding='utf-8')


def test_stored_commands():
    "The commands that are stored beside results are understood."
    from vwl.apps.arguments import parse

    found = re.findall(
        r'"command": "vwl (.+)"',
        '\n'.join(p.read_text() for p in (ROOT / 'nbs' / '7_results' / 'stored').rglob('*.json')),
    )
    assert found
    for line in set(found):
        parse(shlex.split(line))


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: f'{p.parent.name}/{p.stem}')
def test_notebook(path):
    "No errors, no machine paths, no stray output; outputs stored; something asserted; pictures and notebook small."
    cells = [c for c in read(path)['cells'] if c['cell_type'] == 'code']
    outputs = [o for c in cells for o in c['outputs']]
    text = json.dumps([{k: v for k, v in o.get('data', o).items() if not k.startswith('image/')} for o in outputs])
    assert path.stat().st_size < 1_000_000
    assert not any(o['output_type'] == 'error' for o in outputs)
    assert outputs or len(cells) < 5, (
        'run the notebook, and end some of its cells with a value: it has no stored outputs'
    )
    assert not re.search(r'/(home|root|tmp|work|Users)/', text), 'a machine path in an output'
    for o in outputs:
        for kind, data in o.get('data', {}).items():
            assert not kind.startswith('image/') or len(data) < 200_000, 'a picture over 150 kB'
    if path.stem != 'index' and path.parent.name != '7_results':
        assert any(re.search(r'\b(test_\w+|assert|expect_fail)\b', source(c)) for c in cells)


def test_exported(tmp_path):
    "The package is what the notebooks export."
    from nbdev.export import nb_export

    for path in NOTEBOOKS:
        nb_export(path, lib_path=tmp_path / 'vwl')
    made = {p.relative_to(tmp_path / 'vwl').as_posix(): p.read_text() for p in (tmp_path / 'vwl').rglob('*.py')}
    assert made, 'nothing was exported'

    def body(s):
        return re.sub(r'# %% \S+ ', '# %% ', s.split('# %% auto', 1)[-1])

    for name, text in made.items():
        if not Path(name).name.startswith('_'):
            assert body(text) == body((ROOT / 'vwl' / name).read_text()), f'{name}: run make export'


def test_files_that_a_build_needs():
    "Each file that setup.py reads comes along in the source distribution."
    kept = (ROOT / 'MANIFEST.in').read_text().split()
    read = re.findall(r"here / '([\w./]+)'", (ROOT / 'setup.py').read_text())
    assert len(read) == 3 and all(name in kept or name.startswith('vwl/') for name in read)
