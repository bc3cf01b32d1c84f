"Progress where people see it: in a terminal, in a log file, in a notebook."

import os
import re
import subprocess
import sys
import pytest

CODE = 'import time\nfrom vwl.engine.workers import print_messages, progress\nprint_messages()\n'
LOOP = 'for _ in progress(range(5){}):\n    time.sleep(0.3)\n'


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='pseudo-terminals are not everywhere')
def test_a_bar_in_a_terminal():
    "It is redrawn in its line, with how many are done and the time left."
    import pty

    ours, theirs = pty.openpty()
    run = subprocess.Popen([sys.executable, '-c', CODE + LOOP.format('')], stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b''
    try:
        while part := os.read(ours, 1024):
            seen += part
    except OSError:
        pass  # the other side was closed
    assert run.wait() == 0
    drawn = seen.decode().split('\r')
    assert any(re.search(r'\[[1-4]/5 \d\d:\d\d<\d\d:\d\d', line) for line in drawn), drawn
    assert not drawn[-1].strip()  # gone when it is done


def test_lines_in_a_log_file(tmp_path):
    "Nothing in less than a minute; else a line with how many are done."
    for more, lines in ('', 0), (', seconds=0.4', 2):
        with open(tmp_path / 'log', 'w') as log:
            subprocess.run([sys.executable, '-c', CODE + LOOP.format(more)], stdout=log, check=True)
        said = (tmp_path / 'log').read_text().splitlines()
        assert len(said) == 0 if not lines else 1 <= len(said) <= 4
        assert all(re.fullmatch(r'    [1-4] of 5, about 1 min left', line) for line in said)


def test_a_bar_in_a_notebook():
    "It is drawn as HTML, and nothing is printed."
    nbformat, nbclient = pytest.importorskip('nbformat'), pytest.importorskip('nbclient')
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE + LOOP.format(''))])
    nbclient.NotebookClient(book, kernel_name='python3').execute()
    outputs = book.cells[0].outputs
    assert any('text/html' in o.get('data', {}) for o in outputs)
    assert not any(o.output_type == 'stream' and o.text.strip() for o in outputs)


def test_no_bar_stays(tmp_path):
    "After a run of all stages no bar is left in the notebook, where the network is on a device of its own too."
    nbformat, nbclient = pytest.importorskip('nbformat'), pytest.importorskip('nbclient')
    code = f"""
from vwl.data.scenes import write_scenes
from vwl.engine.processes import Machine
from vwl.engine.settings import preset
from vwl.stages.pipeline import run_pipeline
data = write_scenes({str(tmp_path / "scenes")!r}, 18)
recipe = preset('toy', epochs=1, irn_epochs=1, seg_steps=1)
for device in 'cpu', 'cpu:0':
    run_pipeline(data, {str(tmp_path)!r} + '/' + device.replace(':', ''), recipe, Machine(device));
"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(book, kernel_name='python3').execute()
    drawn = [o.data['text/html'] for o in book.cells[0].outputs if 'text/html' in o.get('data', {})]
    assert len(drawn) > 10 and not [html for html in drawn if '<progress max' in html]
