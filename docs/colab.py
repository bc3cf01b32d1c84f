"""Notebooks for Colab, once the repository has an address. With git_url in settings.ini the site's pages have a link
"Open in Colab", and this script puts a hidden cell below each notebook's title, which gets and installs the repository
there; elsewhere the cell does nothing.

    python docs/colab.py
"""

import configparser
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CELL_ID = 'colab-setup'
CELL = """#| hide
import sys

if 'google.colab' in sys.modules:
    import os
    import subprocess

    subprocess.run(['git', 'clone', '-q', '--depth', '1', '{url}', '/content/vwl'], check=True)
    subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', '/content/vwl'], check=True)
    os.chdir('/content/vwl/{folder}')"""


def address(
    settings: Path = ROOT / 'settings.ini',
) -> str:  # https://github.com/OWNER/NAME, or '' as long as there is none
    "The repository's address; raise `SystemExit` if Colab can't open it."
    read = configparser.ConfigParser()
    read.read(settings, encoding='utf-8')
    url = read.get('DEFAULT', 'git_url', fallback='').strip().rstrip('/').removesuffix('.git')
    if url and not re.fullmatch(r'https://github\.com/[\w.-]+/[\w.-]+', url):
        raise SystemExit(f'{settings}: git_url is {url!r}, must be https://github.com/OWNER/NAME')
    return url


def link(
    url: str,  # of the repository
    doc: str,  # a notebook from the repository's root, without its suffix
) -> str:
    "Where Colab opens a notebook."
    return f'https://colab.research.google.com/github/{url.removeprefix("https://github.com/")}/blob/main/{doc}.ipynb'


def prepare(
    path: Path,  # of a notebook, written in place
    folder: str,  # it is in, from the repository's root
    url: str,  # of the repository
) -> bool:  # whether it had another cell, or none
    "Put the hidden cell below a notebook's title."
    notebook = json.loads(path.read_text(encoding='utf-8'))
    title, *rest = notebook['cells']
    source = CELL.format(url=url, folder=folder).splitlines(True)
    cell = dict(cell_type='code', execution_count=None, id=CELL_ID, metadata={}, outputs=[], source=source)
    cells = [title, cell, *(c for c in rest if c.get('id') != CELL_ID)]
    if cells == notebook['cells']:
        return False
    text = json.dumps(notebook | dict(cells=cells), indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + '\n', encoding='utf-8')
    return True


def main():
    url = address()
    if not url:
        raise SystemExit('settings.ini: git_url is empty; write the address of the repository there')
    notebooks = [p for p in sorted((ROOT / 'nbs').rglob('*.ipynb')) if '.ipynb_checkpoints' not in p.parts]
    changed = sum(prepare(p, p.parent.relative_to(ROOT).as_posix(), url) for p in notebooks)
    print(f'{changed} of {len(notebooks)} notebooks changed')


if __name__ == '__main__':
    main()
