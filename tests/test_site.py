"The site: what becomes of a notebook, and every page in a browser without network."

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit
import pytest

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / 'docs'))
pages = pytest.importorskip('notebook_pages', reason='Sphinx or its extensions are not installed')
from browser import CHROMIUM, Browser

NOTEBOOKS = sorted(p for p in (ROOT / 'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)
MODULES = ['.'.join(p.relative_to(ROOT).with_suffix('').parts) for p in (ROOT / 'vwl').rglob('[a-z]*.py')]
SOURCES = [
    p for folder in ('nbs', 'docs', 'vwl') for p in (ROOT / folder).rglob('*') if p.is_file() and p.suffix != '.pyc'
] + [ROOT / 'README.md']


def cell(source, kind='code', **more):
    return dict(cell_type=kind, metadata={}, source=source) | (dict(outputs=[]) if kind == 'code' else {}) | more


PNG = dict(output_type='display_data', data={'image/png': '', 'text/plain': ''}, metadata={})


@pytest.fixture
def notebook():
    return dict(
        cells=[
            cell('# Pooling\n\n> Section 3.4 and Table 8. Equations (8)-(9).', 'markdown'),
            cell('#| default_exp pooling'),
            cell('#| hide\nimport os'),
            cell('The mean:\n\n$$ x $$\n\n$$ f\n= 1 \\tag{8} $$\n\n$$ g \\tag{9} $$', 'markdown'),
            cell('#| export\ndef gap(features:"Tensor", k=2): return _helper(features)'),
            cell('#| export\ndef _helper(x): return x'),
            cell('A `tiny` case of Eq. (8), as in [the demo](../nbs/7_results/01_demo.ipynb). More.', 'markdown'),
            cell('gap(1)', outputs=[PNG]),
            cell(
                '#| label: fig-a\n#| fig-cap: "Some *gaps*.\n#|     Two."\nplot()',
                outputs=[dict(output_type='stream', name='stdout', text='')] + [PNG],
            ),
        ]
    )


def test_survey(notebook):
    "A page's title, names and equations are read from its notebook."
    page = pages.survey('nbs/04', notebook)
    assert (page.module, page.names, page.equations) == ('vwl.pooling', ('gap',), ((8, ('gap',)), (9, ('gap',))))
    assert pages.menu_title(page) == '3.4 Pooling · Eq. 8–9, Table 8'
    assert pages.span({1, 2, 3, 5, 7, 8}) == '1–3, 5, 7–8'


def test_colab(notebook, tmp_path, monkeypatch):
    "With an address, a page has a link to Colab, and its notebook a hidden cell that sets it up there and only there."
    import colab

    path, url, ran = tmp_path / '02_pooling.ipynb', 'https://github.com/someone/vwl', []
    path.write_text(json.dumps(notebook))
    assert colab.prepare(path, 'nbs/1_method', url) and not colab.prepare(path, 'nbs/1_method', url)
    title, setup, *rest = json.loads(path.read_text())['cells']
    assert [title, *rest] == notebook['cells']
    code = ''.join(setup['source'])
    monkeypatch.setattr(subprocess, 'run', lambda command, check: ran.append(command))
    monkeypatch.setattr('os.chdir', ran.append)
    exec(code, {})
    assert not ran
    monkeypatch.setitem(sys.modules, 'google.colab', SimpleNamespace())
    exec(code, {})
    assert url in ran[0] and ran[1][-1] == '/content/vwl' and ran[2] == '/content/vwl/nbs/1_method'
    page = pages.survey('nbs/1_method/02_pooling', json.loads(path.read_text()))
    shown = [c['source'] for c in pages.render(json.loads(path.read_text()), page, url)['cells']]
    where = 'https://colab.research.google.com/github/someone/vwl/blob/main/nbs/1_method/02_pooling.ipynb'
    assert shown[1] == f'[Open in Colab]({where})' and not any('google.colab' in text for text in shown)
    (tmp_path / 'settings.ini').write_text('[DEFAULT]\ngit_url = https://example.org/vwl\n')
    with pytest.raises(SystemExit, match='must be https://github.com/OWNER/NAME'):
        colab.address(tmp_path / 'settings.ini')
    assert colab.address() == '' or colab.address().startswith('https://github.com/')


def test_render(notebook):
    "Nothing hidden, no directives; targets at equations, entries after definitions, words for every picture."
    cells = pages.render(notebook, pages.survey('nbs/04', notebook))['cells']
    text = [c['source'] for c in cells]
    assert not any('#|' in t or 'import os' in t for t in text) and text[1] == '```{py:module} vwl.pooling\n```'
    assert text[2] == 'The mean:\n\n$$ x $$\n\n(eq-8)=\n$$ f\n= 1 \\tag{8} $$\n\n(eq-9)=\n$$ g \\tag{9} $$'
    assert (
        text[3].startswith('def gap')
        and text[4].startswith('```{py:function} gap(features, k=2)\n')
        and '| features |' in text[4]
    )
    assert text[5].startswith('def _helper') and text[6].startswith('A `tiny`')
    assert cells[7]['metadata']['mystnb'] == dict(image=dict(alt='A tiny case of Eq. (8), as in the demo.'))
    assert (
        text[8:] == ['plot()', 'plot()']
        and cells[8]['outputs'] == [dict(output_type='stream', name='stdout', text='')]
        and cells[9]['outputs'] == [PNG]
    )
    assert cells[9]['metadata']['mystnb'] == dict(
        image=dict(alt='Some gaps. Two.'), figure=dict(caption='Some *gaps*. Two.', name='nbs-04-fig-a')
    )


def test_entry_of_a_class():
    "Its own arguments and documented methods; nothing that it inherits."
    notebook = json.loads((ROOT / 'nbs/6_pictures/01_overlays.ipynb').read_text(encoding='utf-8'))
    nodes = dict(
        d
        for c in notebook['cells']
        if c['cell_type'] == 'code' and 'class Grid' in ''.join(c['source'])
        for d in pages.definitions(pages.directives(c)[1], ['Grid'])
    )
    text = pages.entry('vwl.apps.overlays', 'Grid', nodes['Grid'])
    assert (
        text.startswith('```{py:class} Grid\n')
        and '```{py:method} Grid.save(path)' in text
        and 'figsize' not in text
        and '| path |' in text
    )


def test_sidebar_is_the_listing(tmp_path, notebook):
    """Chapters are the numbered folders, in their order, and their pages are the notebooks and texts in them; no list
    names any.
    """
    for name in 'nbs/index', 'nbs/1_method/01_cam', 'nbs/1_method/02_words', 'nbs/8_guides/01_own':
        path = tmp_path / f'{name}.ipynb'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook))
    (tmp_path / 'nbs/8_guides/02_voc.md').write_text('# VOC 2012\n')
    (tmp_path / 'nbs/8_guides/stored').mkdir()
    (tmp_path / 'equations.md').write_text('# Equations\n')
    app = SimpleNamespace(srcdir=tmp_path, config=SimpleNamespace(reference=['equations']))
    pages.collect(app)
    assert app.parts == {
        'Start': ['nbs/index'],
        'Method': ['nbs/1_method/01_cam', 'nbs/1_method/02_words'],
        'Guides': ['nbs/8_guides/01_own', 'nbs/8_guides/02_voc'],
        'Reference': ['equations'],
    }
    assert [page.doc for page in app.pages.values()] == list(app.pages) and app.pages[
        'nbs/8_guides/02_voc'
    ].title == 'VOC 2012'
    assert pages.toctrees(app.parts, app.pages).count('toctree') == 4


def test_equations():
    "Eq. (1) to (15) once each, with the functions that the front page's table gives them."
    found = [
        (n, p.module, name)
        for path in NOTEBOOKS
        for p in [pages.survey(path.stem, json.loads(path.read_text()))]
        for n, names in p.equations
        for name in names
    ]
    assert sorted({n for n, *_ in found}) == list(range(1, 16))
    front = next(
        o['data']['text/markdown']
        for c in json.loads((ROOT / 'nbs/index.ipynb').read_text())['cells']
        for o in c.get('outputs', ())
        if 'text/markdown' in o['data']
    )
    given = set()
    for numbers, name in re.findall(r'^\| (\(.*?\)) \|.*?`(.*?)`', ''.join(front), flags=re.M):
        first, *last = map(int, re.findall(r'\d+', numbers))
        given |= {(n, *name.rsplit('.', 1)) for n in range(first, (last or [first])[0] + 1)}
    assert set(found) == given


@pytest.fixture(scope='session')
def site(tmp_path_factory):
    "The built site: _site if it is up to date, else a new one."
    if CHROMIUM is None:
        pytest.skip('no chromium')
    made = ROOT / '_site/index.html'
    if made.exists() and made.stat().st_mtime > max(p.stat().st_mtime for p in SOURCES):
        return made.parent
    home = tmp_path_factory.mktemp('site')
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'sphinx',
            '-q',
            '-W',
            '--keep-going',
            '-d',
            home / 'doctrees',
            ROOT / 'docs',
            home / 'site',
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return home / 'site'


@pytest.fixture(scope='module')
def browser(site):
    with Browser() as b:
        yield b


TYPESET = '''document.readyState == 'complete' && !document.querySelector('.math') || (window.MathJax?.startup?.promise?.then(() => window.typeset = true), window.typeset)'''  # noqa: E501
FACTS = '''({
  formulas: document.querySelectorAll('.math').length,
  typeset: [...document.querySelectorAll('.math')].filter(m => m.querySelector('mjx-container svg')).length,
  wrong: [...document.querySelectorAll('[data-mml-node=merror], [data-mml-node=mtext][fill=red]')].map(m => m.closest('.math').textContent),
  images: [...document.images].map(i => [i.src, i.alt, i.complete && i.naturalWidth > 0]),
  links: [...document.querySelectorAll('a[href]')].map(a => a.href),
  ids: [...document.querySelectorAll('[id]')].map(e => e.id),
  title: document.title})'''  # noqa: E501
LOOKS = '''(() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => (v /= 255) <= .04045 ? v/12.92 : ((v+.055)/1.055)**2.4); return .2126*r + .7152*g + .0722*b }
  const paper = e => { while (e.parentElement && /, 0\\)$/.test(getComputedStyle(e).backgroundColor)) e = e.parentElement; return light(getComputedStyle(e).backgroundColor) }
  const contrast = e => { const pair = [light(getComputedStyle(e).color), paper(e)].sort((a, b) => a-b); return (pair[1]+.05)/(pair[0]+.05) }
  const text = [...document.querySelectorAll('article :is(h1, h2, p, li, a, td, th, code, pre span), .sidebar-tree a')].filter(e => e.textContent.trim())
  const worst = text.map(e => [contrast(e), e.textContent.trim().slice(0, 40)]).sort((a, b) => a[0]-b[0])
  return {width: document.documentElement.scrollWidth, page: paper(document.body), dim: worst.filter(w => w[0] < 4.5)} })()'''  # noqa: E501


@pytest.fixture(scope='module')
def visits(site, browser):
    "What each page shows: on a desktop by day, on a phone by night."
    out = {}
    for path in sorted(site.rglob('*.html')):
        browser.screen(1280)
        browser.open(path, TYPESET)
        out[path] = seen = browser.evaluate(FACTS) | dict(desktop=browser.evaluate(LOOKS))
        browser.screen(390, 844, dark=True)
        seen |= dict(phone=browser.evaluate(LOOKS), requests=browser.requests, errors=browser.errors)
    return out


def bad(visits, test):
    "The pages, by name, for which `test` finds something."
    return {f'{path.parent.name}/{path.name}': found for path, seen in visits.items() if (found := test(seen))}


def test_pages_need_no_network(visits, site):
    assert len(visits) > 25 and {p.relative_to(ROOT).with_suffix('') for p in NOTEBOOKS} <= {
        p.relative_to(site).with_suffix('') for p in visits
    }
    assert not bad(visits, lambda seen: seen['requests']) and not bad(visits, lambda seen: seen['errors'])


def test_formulas_are_typeset(visits):
    assert sum(seen['formulas'] for seen in visits.values()) > 100
    assert not bad(visits, lambda seen: seen['formulas'] - seen['typeset']) and not bad(
        visits, lambda seen: seen['wrong']
    )


def test_pictures_are_there_in_words_too(visits, site):
    "Every stored picture is shown, and each has words for who can't see it."
    for path in NOTEBOOKS:
        stored = [
            o
            for c in json.loads(path.read_text(encoding='utf-8'))['cells']
            for o in c.get('outputs', ())
            if '#| hide' not in c['source'][0] and any(k.startswith('image/') for k in o.get('data', ()))
        ]
        assert len(visits[site / path.relative_to(ROOT).with_suffix('.html')]['images']) >= len(stored), path.name
    assert not bad(visits, lambda seen: [i for i in seen['images'] if not i[1].strip() or not i[2]])


def test_no_dead_links(visits, site):
    "Links inside the site lead to a page, and to a place on it; none leads elsewhere on the disk."

    def dead(seen):
        for href in seen['links']:
            url = urlsplit(href)
            path = Path(unquote(url.path))
            if url.scheme != 'file':
                continue
            if (
                path.suffix == '.html'
                and path in visits
                and (not url.fragment or unquote(url.fragment) in visits[path]['ids'])
            ):
                continue
            if path.exists() and path.suffix not in ('.html', '') and site in path.parents:
                continue
            yield href

    assert not bad(visits, lambda seen: list(dead(seen)))
    assert not bad(visits, lambda seen: {i for i in seen['ids'] if seen['ids'].count(i) > 1})


def test_phone_and_night(visits):
    "Nothing is wider than the screen; text stands out from its page, which is dark at night."
    for kind, width in ('desktop', 1280), ('phone', 390):
        assert not bad(visits, lambda seen: seen[kind]['width'] > width and seen[kind]['width'])
        assert not bad(visits, lambda seen: seen[kind]['dim'])
    assert not bad(visits, lambda seen: seen['desktop']['page'] < 0.9 or seen['phone']['page'] > 0.1)


def test_public_names(site, browser):
    "Search and index know every public name, and each has its entry."
    browser.open(site / 'search.html', "typeof Search == 'object' && Search._index")
    index = (site / 'genindex.html').read_text(encoding='utf-8')
    known = browser.evaluate(
        "Object.fromEntries(Object.entries(Search._index.objects).map(([m, o]) => [m, Object.values(o).map(e "
        "=> e[4] || e.at(-1))]))"
    )
    for module in MODULES:
        for name in getattr(import_module(module), '__all__', ()):
            assert name in known.get(module, ()), f'search: {module}.{name}'
            assert f'#{module}.{name}"' in index, f'index: {module}.{name}'


def test_search(site, browser):
    "Typed into the sidebar's field, `hybrid_pool` leads to its entry."
    browser.screen(1280)
    browser.open(site / 'index.html')
    browser.evaluate("document.querySelector('input[name=q]').focus()")
    browser.type('hybrid_pool')
    browser.press('Enter')
    browser.wait("document.querySelector('ul.search a')")
    browser.evaluate("document.querySelector('ul.search a').click()")
    browser.wait("location.hash == '#vwl.pooling.hybrid_pool' && document.getElementById('vwl.pooling.hybrid_pool')")
    assert not browser.errors


@pytest.mark.parametrize('asked', ['BoVW', 'seed area', 'pseudo mask', 'ground truth'])
def test_search_by_other_names(site, browser, asked):
    "Names that other papers use lead to the page of words."
    browser.screen(1280)
    browser.open(site / 'index.html')
    browser.evaluate("document.querySelector('input[name=q]').focus()")
    browser.type(asked)
    browser.press('Enter')
    browser.wait("[...document.querySelectorAll('ul.search a')].some(a => a.href.includes('08_glossary'))")


def test_list_for_programs(site):
    "llms.txt names each page once, by a link that leads somewhere."
    links = re.findall(r'^- \[.+?\]\((.+?)\)', (site / 'llms.txt').read_text(), re.M)
    assert len(links) == len(set(links)) > len(NOTEBOOKS)
    assert [link for link in links if not (site / link).exists()] == []


def test_equation_links(site, browser):
    "Each number in the table of equations leads to that equation, in sight."
    browser.screen(1280)
    for n in range(1, 16):
        browser.open(site / 'equations.html')
        browser.evaluate(f"document.querySelector('td a[href$=\"#eq-{n}\"]').click()")
        browser.wait(
            f"(e => e?.querySelector('mjx-assistive-mml')?.textContent.includes('({n})') && "
            "e.getBoundingClientRect().top >= 0 && e.getBoundingClientRect().bottom < "
            f"900)(document.getElementById('eq-{n}'))",
            10,
        )


def test_keyboard(site, browser):
    "The first tab stop leads past the sidebar; where the reader is can be seen."
    browser.screen(1280)
    browser.open(site / 'nbs/1_method/01_cam.html', TYPESET)
    browser.press('Tab')
    assert browser.evaluate("document.activeElement.getAttribute('href')") == '#furo-main-content'
    browser.wait("document.activeElement.getBoundingClientRect().top >= 0", 5)
    browser.press('Enter')
    browser.press('Tab')
    assert browser.evaluate("document.activeElement.closest('#furo-main-content, .content, article') != null")


def test_browser_notices(tmp_path, browser):
    "The checks above can fail: a page that asks the network, and one that errs."
    page = tmp_path / 'page.html'
    page.write_text('<img src="https://127.0.0.1:9/a.png"><script>console.error("so"); missing()</script>')
    browser.open(page)
    assert (
        browser.requests == ['https://127.0.0.1:9/a.png']
        and {'so'} < set(browser.errors)
        and any('missing is not defined' in e for e in browser.errors)
    )
