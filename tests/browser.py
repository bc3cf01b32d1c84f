"A page in the system's Chromium without network, through Playwright: what tests of pages share."

import shutil
import tempfile
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
# Chromium's own settings, as a person's browser has them, and none of Playwright's: no network, no window
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update']
FLAGS += ['--disable-sync', '--no-first-run', '--hide-scrollbars', '--remote-debugging-pipe']
FLAGS += ['--host-resolver-rules=MAP * ~NOTFOUND']


class Browser:
    """One page. `requests` holds what it asked of any network, in vain; `errors` what it said on the console,
    exceptions and files that failed to load (not those that the page no longer waits for because it leaves for
    another). Both start anew with `open`. Use as a context manager."""

    def __init__(self):
        from playwright.sync_api import sync_playwright

        self.playwright = sync_playwright().start()
        self.home = tempfile.mkdtemp(prefix='browser')
        flags = [*FLAGS, f'--user-data-dir={self.home}']
        launch = self.playwright.chromium.launch
        self.chromium = launch(executable_path=CHROMIUM, args=flags, ignore_default_args=True)
        self.page = self.chromium.new_page()
        self.page.set_default_timeout(60_000)
        self.requests, self.errors = [], []
        self.page.on('request', lambda r: r.url.startswith(('http', 'ws')) and self.requests.append(r.url))
        self.page.on('requestfailed', self._failed)
        self.page.on('pageerror', lambda error: self.errors.append(str(error)))
        self.page.on('console', lambda m: m.type in ('error', 'assert') and self.errors.append(m.text))

    def _failed(self, request):
        if request.failure != 'net::ERR_ABORTED':
            self.errors.append(f'failed to load: {request.url} {request.failure}')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.chromium.close()
        self.playwright.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def open(self, page, ready='true'):
        "Load a file or address, and wait for its load event and until the expression `ready` holds."
        self.requests.clear()
        self.errors.clear()
        self.page.goto(page.absolute().as_uri() if isinstance(page, Path) else page)
        self.wait(ready)

    def evaluate(self, expression):
        "The value of some JavaScript in the page; promises are awaited."
        return self.page.evaluate(expression)

    def wait(self, expression, seconds=60):
        "Wait until some JavaScript is true."
        try:
            self.page.wait_for_function(f'() => Boolean({expression})', timeout=1000 * seconds)
        except Exception as e:
            raise TimeoutError(f'not after {seconds} seconds: {expression}; errors: {self.errors}') from e

    def screen(self, width=1280, height=900, dark=False):
        "Set the width and height in CSS pixels, and whether the reader likes it dark."
        self.page.set_viewport_size(dict(width=width, height=height))
        self.page.emulate_media(color_scheme='dark' if dark else 'light')

    def press(self, key):
        "Press and release a key, such as 'Tab' or 'Enter'."
        self.page.keyboard.press(key)

    def type(self, text):
        "Type text where the cursor is."
        self.page.keyboard.insert_text(text)

    def screenshot(self, path, whole=False):
        "Write what is seen, or the whole page, to a PNG."
        self.page.screenshot(path=path, full_page=whole)
