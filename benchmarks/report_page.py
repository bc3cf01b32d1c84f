"""How long a run's report takes to open and to answer, in the system's Chromium and from a file.

    python benchmarks/report_page.py runs/demo/hp-vwl-l [--pictures 500] [--times 5]

Medians in milliseconds since the start of the navigation: the first paint, the load event, and the first frame
after it; then how long a change of order takes until the next frame. Chromium has to be there, as for the tests.
"""

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from vwl.stages.run import open_run
from vwl.apps.report import write_report
from playwright.sync_api import sync_playwright

FRAME = 'new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))'
PAINT = (
    'new Promise(done => new PerformanceObserver(l => '
    'done(l.getEntriesByName("first-contentful-paint")[0].startTime)).observe({type: "paint", buffered: true}))'
)
LOAD = 'performance.getEntriesByType("navigation")[0].loadEventEnd'
SORT = f'''(async () => {{ const start = performance.now(), order = document.forms.filter.elements.order
  order.value = 'worst'; order.dispatchEvent(new Event('change', {{bubbles: true}})); return await {FRAME} - start }})()'''  # noqa: E501


def once(path):
    "The times of one opening in a fresh browser."
    with sync_playwright() as playwright:
        flags = ['--headless', '--no-sandbox', '--remote-debugging-pipe', f'--user-data-dir={tempfile.mkdtemp()}']
        # Chromium's own settings and none of Playwright's, which change when a page is painted
        launch = playwright.chromium.launch
        browser = launch(executable_path=shutil.which('chromium'), args=flags, ignore_default_args=True)
        page = browser.new_page()
        page.goto(path.absolute().as_uri())
        frame = page.evaluate(FRAME)
        times = dict(paint=page.evaluate(PAINT), load=page.evaluate(LOAD), frame=frame, sort=page.evaluate(SORT))
        browser.close()
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path)
    parser.add_argument('--pictures', type=int, default=500)
    parser.add_argument('--times', type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = write_report({args.run.name: open_run(args.run)}, Path(folder) / 'report.html', args.pictures, worst=0)
        runs = [once(path) for _ in range(args.times)]
        print(
            f'\n{path.stat().st_size / 1e6:.1f} MB, {path.read_text(encoding="utf-8").count("<article")} images:',
            ', '.join(f'{k} {statistics.median(r[k] for r in runs):.0f} ms' for k in runs[0]),
        )


if __name__ == '__main__':
    main()
