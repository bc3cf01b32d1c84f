"""The paper's figures: one copy of them, each beside its row, and each equation, table and figure of the paper found
by its number.
"""

import json
import re
import runpy
from pathlib import Path
import pytest
from vwl.apps.rows import COLUMNS, EXPERIMENTS
from vwl.apps.compare import Table
from vwl.paper import TABLES, reported

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / 'shared' / 'paper' / 'tables.py'
OWN = [
    (table, row)
    for table in TABLES
    for row in TABLES[table].rows
    if table not in ('table1', 'table2', 'table3') or row.startswith(('VWL', 'fully'))
]


@pytest.mark.parametrize('table, row', OWN)
def test_beside_its_row(table, row):
    "A table that is shown has the paper's figures of a row in that row, under their headings."
    head, *rows = Table(EXPERIMENTS[table], {r.name: [] for r in EXPERIMENTS[table].rows}).cells
    shown = next(dict(zip(head, cells)) for cells in rows if cells[0] == row)
    for column, value in TABLES[table].rows[row].items():
        assert shown['the paper: ' + COLUMNS[column].removesuffix(', at that threshold')] == f'{value:.1f}'
    assert TABLES[table].rows[row], 'a row without figures'


def test_grids_of_the_paper():
    "The values that Tables 7 and 10 try are rows; further ones are marked as ours."
    rows = {r.name: r for r in EXPERIMENTS['table10'].rows}
    for field, values in dict(
        k=(128, 256, 384, 512), gamma=(1, 2, 3, 4), tau=(0.6, 0.8, 1, 1.2), rho=(1e-4, 1e-3, 1e-2, 1e-1)
    ).items():
        own = [n for n, r in rows.items() if n.startswith(f'{field} = ') and not r.ours]
        assert own == [f'{field} = {v:g}' for v in values]
    assert [r.settings['splits'] for r in EXPERIMENTS['table7'].rows if not r.ours] == [
        (1,),
        (1, 2),
        (1, 2, 4),
        (1, 2, 4, 8),
    ]
    assert [r.name for r in EXPERIMENTS['table8'].rows if r.ours] == ['GMP']


def test_settings_of_the_paper():
    """Rows of one network in several tables have one recipe; Figure 13 is VWL-L, Figure 9's further row has words
    without hybrid pooling.
    """
    settings = {(t, r.name): r.settings for t in EXPERIMENTS for r in EXPERIMENTS[t].rows}
    assert (
        settings['table4', 'HP + VWL-L']
        == settings['table6', 'VWL-L']
        == settings['table9', 'words by GAP']
        == settings['figure13', 'VWL-L, HP']
    )
    assert settings['figure13', 'VWL-L, HP without GAP'] == settings['table4', 'HP + VWL-L'] | dict(gamma=0.0)
    assert settings['table4', 'VWL-L without HP'] == dict(words='learned', pooling='gap')


def test_one_copy():
    "The paper's figures are typed in one module: no other one has a line with two of them."
    figures = {f'{v:.1f}' for t in TABLES.values() for r in t.rows.values() for v in r.values()}
    for path in (ROOT / 'vwl').rglob('*.py'):
        if path.name == 'paper.py':
            continue
        for line in path.read_text().splitlines():
            assert len(figures & set(re.findall(r'(?<![\w.])\d\d\.\d(?![\w.])', line))) < 2, f'{path}: {line}'


def test_found_by_number():
    "The front page names a notebook for each figure and table of the paper, and that notebook names it."
    cells = json.loads((ROOT / 'nbs/index.ipynb').read_text())['cells']
    shown = ''.join(
        line for c in cells for o in c.get('outputs', ()) for line in o.get('data', {}).get('text/markdown', ())
    )
    pattern = {'Fig.': r'(?:Fig\.|Figures?)', 'Table': 'Tables?'}
    for number, kind in [*((n, 'Fig.') for n in range(1, 14)), *((n, 'Table') for n in range(1, 11))]:
        names = re.search(rf'^\| {re.escape(kind)} {number} \|.*$', shown, re.M)
        assert names, f'{kind} {number}'
        for name in re.findall(r'\(([\w/]+)\.ipynb\)', names.group()):
            notebook = json.loads((ROOT / 'nbs' / f'{name}.ipynb').read_text())
            text = '\n'.join(''.join(c['source']) for c in notebook['cells'])
            numbers = set()
            for a, b in re.findall(pattern[kind] + r' (\d+)((?:(?:-|, | and )\d+)*)', text):
                numbers |= {int(a), *map(int, re.findall(r'\d+', b))}
                for low, high in re.findall(r'(\d+)-(\d+)', a + b):
                    numbers |= set(range(int(low), int(high) + 1))
            assert number in numbers, f'{name} does not name {kind} {number}'


@pytest.mark.skipif(not SHARED.exists(), reason='the list read off the paper is not here')
def test_against_the_list():
    "Each figure of the list that was read off the paper is that of its row."
    given, checked = runpy.run_path(str(SHARED)), 0
    start = dict(imagenet='', coco=', COCO weights')

    def check(table, row, **figures):
        nonlocal checked
        for column, value in figures.items():
            assert reported(table, row).get(column) == value, (table, row, column)
            checked += 1

    for row, (cam, crf, pseudo) in given['TABLE1'].items():
        check('table1', row, cam=cam, crf=crf, pseudo=pseudo)
    for (row, weights), (val, test) in given['TABLE2'].items():
        check('table2', row + start[weights], segmentation_crf=val, test=test)
    for row, val in given['TABLE3'].items():
        check('table3', row, segmentation_crf=val)
    for row, (cam, val) in given['TABLE4'].items():
        check('table4', row, cam=cam, val=val)
    for (words, first), cam in given['TABLE5'].items():
        check('table5', f'{words}, {first}', cam=cam)
    for row, accuracy in given['TABLE6'].items():
        check('table6', row, words_accuracy=accuracy)
    for splits, cam in given['TABLE7'].items():
        check('table7', f'splits = {", ".join(map(str, splits))}', cam=cam)
    for row, cam in given['TABLE8'].items():
        check('table8', row, cam=cam)
    for row, cam in given['TABLE9'].items():
        check('table9', row, cam=cam)
    for field, values in given['TABLE10'].items():
        for value, (cam, val) in values.items():
            check('table10', f'{field} = {value:g}', cam=cam, val=val)
    for row, (cam, val) in given['FIGURE13'].items():
        check('figure13', f'VWL-L, {row}'.replace('HP with GAP', 'HP'), cam=cam, val=val)

    def numbers(v):
        return (
            [x for u in v.values() for x in numbers(u)]
            if isinstance(v, dict)
            else [x for u in v for x in numbers(u)]
            if isinstance(v, tuple)
            else [v]
        )

    assert checked == sum(len(numbers(v)) for k, v in given.items() if k.startswith(('TABLE', 'FIGURE')))
