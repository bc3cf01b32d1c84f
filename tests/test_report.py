"The report in a browser: it opens from a file, needs nothing from outside, filters and sorts, and takes any name."

import re
import shutil
import pytest
from vwl.apps.cli import main
from vwl.stages.run import open_run
from vwl.apps.report import write_report
from browser import CHROMIUM, Browser
from conftest import TINY, WHOLE

pytest.importorskip('playwright', reason='the browser is driven by Playwright, which is not installed')
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='there is no Chromium')

NAMES = '[...document.querySelectorAll("#rows article")].map(r => r.dataset.name)'
SCORES = (
    '[...document.querySelectorAll("#rows article")].map(r => '
    'JSON.parse(r.dataset.iou)[document.forms.filter.elements.class.value] ?? null)'
)


def choose(field, value):
    return (
        f'(() => {{ const e = document.forms.filter.elements[{field!r}]; e.value = {value!r}; e.dispatchEvent(new '
        'Event("change", {bubbles: true})) })()'
    )


@pytest.fixture(scope='module')
def browser():
    with Browser() as page:
        yield page


@pytest.fixture
def page(browser, finished):
    "The finished run's report, opened from its file."
    browser.open(finished[1] / 'report.html')
    return browser


def test_stands_alone(page, finished):
    "No errors, nothing asked of any server or file, every picture decoded once it is looked at."
    assert page.evaluate('document.querySelectorAll("section > h2").length') == 5
    page.evaluate('document.querySelectorAll("article").forEach(a => a.style.contentVisibility = "visible")')
    broken = page.evaluate(
        'Promise.all([...document.images].map(i => { i.loading = "eager"; return i.decode().then(() => 0, () '
        '=> 1) })).then(v => v.reduce((a, b) => a + b))'
    )
    photographs = page.evaluate('''Promise.all([...document.querySelectorAll(".pics")].map(p => { const i = new Image()
        i.src = getComputedStyle(p.firstElementChild.firstElementChild).backgroundImage.slice(5, -2); return i.decode().then(() => i.naturalWidth) }))''')  # noqa: E501
    assert broken == 0 and photographs == [96] * 24
    assert page.errors == [] and page.requests == []
    assert not re.search(r'(?:src|href)="(?!data:|#)|https?://', (finished[1] / 'report.html').read_text())


def test_rows(page, finished):
    "A row has the photograph, a map for each tag, each stage's mask with its score, edges, and the truth."
    run = open_run(finished[1])
    for i in 0, 7:
        name = run.scored.names[i]
        said = page.evaluate(
            f'[...document.querySelector(`article[data-name="{name}"]`).querySelectorAll("figcaption")].map(c '
            '=> c.textContent)'
        )
        want = [
            'photograph',
            *(f'map of {t}' for t in run.scored.tags(i)),
            'mask by threshold',
            'mask by CRF',
            'edges',
            'pseudo label',
            'prediction',
            'prediction + CRF',
            'truth',
        ]
        assert [re.sub(r' [\d.]+$', '', s) for s in said] == want


def test_filter(page, finished):
    "A class leaves the images that have it, in their order; 'all' brings the others back."
    run, every = open_run(finished[1]), page.evaluate(NAMES)
    tagged = {n for i, n in enumerate(run.scored.names) if 'owl' in run.scored.tags(i)}
    page.evaluate(choose('class', str(run.train.classes.index('owl') + 1)))
    shown = page.evaluate(NAMES)
    assert tagged <= set(shown) and 0 < len(shown) < len(every)
    assert page.evaluate('document.forms.filter.elements.count.value') == f'{len(shown)} of {len(every)} images'
    assert page.evaluate('[...document.querySelectorAll("#rows article")].every(r => r.textContent.includes("owl"))')
    page.evaluate(choose('class', ''))
    assert page.evaluate(NAMES) == every


def test_order(page):
    "By the mean, by the chosen class's IoU, by name; images without a score come last."
    for key in '', '1', '4':
        page.evaluate(choose('class', key))
        for order in 'best', 'worst':
            page.evaluate(choose('order', order))
            scores = page.evaluate(SCORES)
            known = [s for s in scores if s is not None]
            assert (
                len(scores) > 1
                and known == sorted(known, reverse=order == 'best')
                and scores[len(known) :] == [None] * (len(scores) - len(known))
            )
    page.evaluate(choose('class', '')), page.evaluate(choose('order', 'name'))
    assert (names := page.evaluate(NAMES)) == sorted(names)


def test_keyboard(page):
    "Every control has a name and is reached and changed by keys alone."
    assert page.evaluate(
        '[...document.forms.filter.querySelectorAll("select, input")].every(e => e.labels.length && '
        'e.labels[0].textContent.trim())'
    )
    page.evaluate('document.querySelector("nav a:last-child").focus()')
    reached = []
    for _ in range(80):
        page.press('Tab')
        reached.append(page.evaluate('document.activeElement.name || document.activeElement.tagName'))
        if reached[-1] == 'strength':
            break
    assert [r for r in reached if r in ('class', 'order', 'strength')] == [
        'class',
        'order',
        'strength',
    ] and 'SUMMARY' in reached
    page.press('ArrowLeft')
    assert page.evaluate('getComputedStyle(document.documentElement).getPropertyValue("--strength").trim()') == '0.59'
    page.evaluate('document.forms.filter.elements.order.focus()')
    page.press('ArrowDown')
    scores = page.evaluate(SCORES)
    assert page.evaluate('document.activeElement.value') == 'worst' and scores == sorted(scores)


def test_tables_sort(page):
    "A heading sorts its column by numbers, once more turns the order round; the keyboard does as well."
    heads = 'document.querySelector("table.classes").tHead.rows[0].cells'
    cells = '[...document.querySelector("table.classes").tBodies[0].rows].map(r => r.cells[1].textContent)'
    for order in True, False:
        page.evaluate(f'{heads}[1].firstElementChild.focus()')
        page.press('Enter')
        found = [float(v) for v in page.evaluate(cells) if v]
        assert len(found) > 3 and found == sorted(found, reverse=order)
        said = page.evaluate(f'{heads}[1].getAttribute("aria-sort")')
        assert said == ('descending' if order else 'ascending')
    page.evaluate(f'{heads}[0].firstElementChild.click()')
    names = page.evaluate('[...document.querySelectorAll("table.classes tbody th")].map(h => h.textContent)')
    assert sorted(names, key=str.casefold, reverse=True) == names and len(names) == 7
    assert page.errors == []


def test_arrow_keys(page):
    "A picture opens large; left and right go through its row, down to the next image, Escape back to where it was."
    shown = '(d => d.open ? [d.querySelector("b").textContent, d.querySelector("span").textContent] : null)'
    shown += '(document.getElementById("large"))'
    page.evaluate(choose('order', 'name'))
    names = page.evaluate(NAMES)
    figures = (
        '[...document.querySelectorAll("#rows article")[0].querySelectorAll("figcaption")].map(c => c.textContent)'
    )
    captions = page.evaluate(figures)
    page.evaluate('document.querySelector("#rows figure").focus()')
    page.press('Enter')
    assert page.evaluate(shown) == [names[0], captions[0]]
    page.press('ArrowLeft')
    assert page.evaluate(shown) == [names[0], captions[0]]  # there is none before the first
    page.press('ArrowRight')
    page.press('ArrowRight')
    assert page.evaluate(shown) == [names[0], captions[2]]
    page.press('ArrowDown')
    assert page.evaluate(shown)[0] == names[1]
    page.press('ArrowUp')
    assert page.evaluate(shown) == [names[0], captions[2]]
    page.press('Escape')
    assert page.evaluate(shown) is None and page.errors == []
    focused = 'document.activeElement.querySelector("figcaption").textContent'
    after = f'new Promise(done => setTimeout(() => done({focused}), 200))'  # the dialog gives the focus back first
    assert page.evaluate(after) == captions[2]


def test_warnings(browser, data, tmp_path):
    "A run of which nothing came says so above everything else; one that is sound has no such box."
    out = tmp_path / 'run'
    rates = ['--lr-backbone', '0', '--lr-heads', '0', '--crf', 'none']
    main(['run', str(data), '--out', str(out), *TINY, '--words', 'none', *rates, '--threshold', '1'])
    browser.open(out / 'report.html')
    said = browser.evaluate('document.querySelector("main").firstElementChild.textContent')
    assert 'Look at this first' in said and 'no more than how common each tag is' in said
    assert 'mask by threshold: nothing but background' in said


def test_readable(page):
    "Nothing is wider than a telephone's screen, and the text stands out on a light and on a dark page."
    light = '''(() => { const m = c => c.match(/[\\d.]+/g).map(Number), s = getComputedStyle(document.querySelector(".chart text"))
        return m(s.fill).slice(0, 3).reduce((a, b) => a + b) })()'''  # noqa: E501
    for scheme, bright in ('light', False), ('dark', True):
        page.screen(390, 800, dark=scheme == 'dark')
        assert page.evaluate('document.documentElement.scrollWidth') <= 390
        assert (page.evaluate(light) > 400) == bright
    page.screen()


def test_any_name(browser, data, tmp_path):
    "Names of images, classes and the run are text wherever they stand, whatever is in them."
    odd = dict(
        fox='<img src=x onerror=alert(1)>', owl='"quoted"&lt', frog="it's", lion='$x_1$', penguin='ü猫', rabbit='a&b'
    )
    rows = (data / 'tags.csv').read_text().splitlines()
    names = dict(zip((r.split(',')[0][:-4] for r in rows[1:4]), ('<b> & "c"', "it's %41 #1?", '\u202eابج')))
    for old, new in names.items():
        for folder in 'images', 'masks':
            (data / folder / f'{old}.png').rename(data / folder / f'{new}.png')

    def quote(s):
        return '"' + s.replace('"', '""') + '"'

    table = [
        (
            names.get(r.split(',')[0][:-4], r.split(',')[0][:-4]) + '.png',
            ';'.join(odd[t] for t in r.split(',')[1].split()) + ';',
        )
        for r in rows[1:]
    ]
    (data / 'tags.csv').write_text(
        'image,tags\n' + ''.join(f'{quote(a)},{quote(b)}\n' for a, b in table), encoding='utf-8'
    )
    (data / 'classes.txt').write_text(
        '\n'.join(odd[c] for c in (data / 'classes.txt').read_text().split()), encoding='utf-8'
    )
    out = tmp_path / '<i>run & "x"'
    main(['run', str(data), '--out', str(out), *TINY])
    browser.open(out / 'report.html')
    assert (
        set(names.values()) <= set(browser.evaluate(NAMES))
        and browser.evaluate('document.querySelector("h1").textContent') == out.name
    )
    options = browser.evaluate(
        '[...document.forms.filter.elements.class.options].map(o => o.textContent.replace(/ \\(\\d+\\)$/, ""))'
    )
    assert set(odd.values()) >= set(options[1:]) and len(options) > 3
    assert browser.evaluate('document.querySelectorAll("i > i, h3 b, article > b").length') == 0
    browser.evaluate(choose('order', 'worst')), browser.evaluate(choose('class', '2'))
    assert browser.errors == [] and browser.requests == []


def test_without_masks(browser, data, tmp_path):
    "Where nothing can be scored there are no scores and no order by them; the classes can still be chosen."
    shutil.rmtree(data / 'masks')
    main(['run', str(data), '--out', str(tmp_path / 'run'), *TINY, '--words', 'none', '--crf', 'none'])
    browser.open(tmp_path / 'run' / 'report.html')
    assert browser.evaluate(
        'document.forms.filter.elements.order === undefined && document.body.textContent.includes("There are '
        'no scores")'
    )
    browser.evaluate(choose('class', '1'))
    assert 0 < browser.evaluate('document.querySelectorAll("#rows article").length') < 24 and browser.errors == []
    assert (names := browser.evaluate(NAMES)) == sorted(names)


def test_supervised_alone(browser, finished, tmp_path):
    "A run of nothing but a segmentation network on true masks."
    data, run = finished
    weights = run / 'classifier' / 'weights.safetensors'
    masks = ['--seg-labels', 'masks', '--seg-weights', str(weights)]
    main(['run', str(data), '--out', str(tmp_path / 'run'), *WHOLE, *masks])
    browser.open(tmp_path / 'run' / 'report.html')
    captions = browser.evaluate(
        '[...document.querySelector("#rows article").querySelectorAll("figcaption")].map(c => '
        'c.textContent.replace(/ [\\d.]+$/, ""))'
    )
    assert captions == ['photograph', 'prediction', 'prediction + CRF', 'truth'] and browser.errors == []


def test_many_images(browser, finished, tmp_path):
    "Five hundred rows can be filtered and sorted; pictures out of sight aren't decoded."
    page = write_report({'run': open_run(finished[1])}, tmp_path / 'report.html').read_text()
    rows = re.findall(r'<article.*?</article>', page, re.S)

    def row(i):  # pictures of an address of their own: Chromium shows at once what it has decoded before
        text = rows[i % len(rows)].replace('data-name="', f'data-name="{i:03} ', 1)
        return re.sub(r'(src="data:image/\w+);', rf'\1;row={i};', text)

    many = ''.join(map(row, range(500)))
    (tmp_path / 'many.html').write_text(page.replace(''.join(rows), many))
    browser.open(tmp_path / 'many.html')
    assert browser.evaluate('document.forms.filter.elements.count.value') == '500 of 500 images'
    assert (
        browser.evaluate('[...document.querySelectorAll("#rows img")].filter(i => i.complete && i.naturalWidth).length')
        < 2500
    )
    browser.evaluate(choose('order', 'worst'))
    scores = browser.evaluate(SCORES)
    assert len(scores) == 500 and scores == sorted(scores)
