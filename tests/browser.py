"A headless Chromium without network, driven over the DevTools protocol: what tests of pages share."
import base64, json, shutil, subprocess, tempfile, time
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
         '--no-first-run', '--hide-scrollbars', '--host-resolver-rules=MAP * ~NOTFOUND', '--remote-debugging-port=0']

class Browser:
    """One tab. `requests` holds what the page asked of any network, in vain; `errors` what it said on the console,
    exceptions and files that failed to load. Both start anew with `open`. Use as a context manager."""

    def __init__(self):
        import websocket
        self.home = tempfile.mkdtemp(prefix='browser')
        self.process = subprocess.Popen([CHROMIUM, *FLAGS, f'--user-data-dir={self.home}', 'about:blank'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = self._until(lambda: (Path(self.home)/'DevToolsActivePort').read_text().split('\n')[0], 60)
            tab = self._until(lambda: next(t for t in json.load(build_opener(ProxyHandler({})).open(f'http://127.0.0.1:{port}/json')) if t['type'] == 'page'), 30)
            self.socket = websocket.create_connection(tab['webSocketDebuggerUrl'], suppress_origin=True, timeout=60, http_no_proxy=['127.0.0.1'])
        except BaseException: self.close(); raise
        self.count, self.requests, self.errors, self.loaded = 0, [], [], set()
        for domain in 'Page', 'Runtime', 'Log', 'Network': self.send(f'{domain}.enable')
        self.send('Page.setLifecycleEventsEnabled', enabled=True)

    def __enter__(self): return self
    def __exit__(self, *_): self.close()

    def close(self):
        "End the browser and forget its profile."
        self.process.kill(); self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def send(self, method, **params):
        "One command of the protocol; its result. ConnectionError where the page went away meanwhile."
        self.count += 1
        self.socket.send(json.dumps(dict(id=self.count, method=method, params=params)))
        while True:
            message = json.loads(self.socket.recv())
            if message.get('id') == self.count:
                if 'error' in message: raise ConnectionError(f'{method}: {message["error"]["message"]}')
                return message['result']
            self._note(message)

    def _note(self, message):
        what, p = message.get('method'), message.get('params')
        if what == 'Page.lifecycleEvent' and p['name'] == 'load': self.loaded.add(p['loaderId'])
        elif what == 'Network.requestWillBeSent' and p['request']['url'].startswith(('http', 'ws')): self.requests.append(p['request']['url'])
        elif what == 'Network.loadingFailed' and not p.get('canceled'): self.errors.append(f'failed to load: {p["errorText"]}')
        elif what == 'Runtime.exceptionThrown': self.errors.append(p['exceptionDetails'].get('exception', p['exceptionDetails']).get('description', 'an exception'))
        elif what == 'Runtime.consoleAPICalled' and p['type'] in ('error', 'assert'): self.errors.append(' '.join(str(a.get('value', a.get('description'))) for a in p['args']))
        elif what == 'Log.entryAdded' and p['entry']['level'] == 'error': self.errors.append(f'{p["entry"]["text"]} {p["entry"].get("url", "")}')

    def open(self, page, ready='true'):
        "Load a file or address, and wait for its load event and until the expression `ready` holds."
        self.requests, self.errors = [], []
        loader = self.send('Page.navigate', url=page.absolute().as_uri() if isinstance(page, Path) else page).get('loaderId')
        self._until(lambda: (self.send('Runtime.evaluate', expression='1'), loader in self.loaded or not loader)[1], 60)
        self.wait(ready)

    def evaluate(self, expression):
        "The value of some JavaScript in the page; promises are awaited."
        out = self.send('Runtime.evaluate', expression=expression, awaitPromise=True, returnByValue=True)
        if 'exceptionDetails' in out: raise RuntimeError(out['exceptionDetails'].get('exception', {}).get('description', out['exceptionDetails']['text']))
        return out['result'].get('value')

    def wait(self, expression, seconds=60):
        "Wait until some JavaScript is true."
        try: self._until(lambda: self.evaluate(f'Boolean({expression})'), seconds)
        except TimeoutError: raise TimeoutError(f'not after {seconds} seconds: {expression}; errors: {self.errors}') from None

    def screen(self, width=1280, height=900, dark=False):
        "Set the width and height in CSS pixels, and whether the reader likes it dark."
        self.send('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.send('Emulation.setEmulatedMedia', features=[dict(name='prefers-color-scheme', value='dark' if dark else 'light')])

    def press(self, key, code=0):
        "Press and release a key, such as 'Tab' (9) or 'Enter' (13)."
        text = dict(text='\r') if key == 'Enter' else {}
        for kind in 'keyDown', 'keyUp': self.send('Input.dispatchKeyEvent', type=kind, key=key, code=key, windowsVirtualKeyCode=code, **(text if kind == 'keyDown' else {}))

    def screenshot(self, path, whole=False):
        "Write what is seen, or the whole page, to a PNG."
        Path(path).write_bytes(base64.b64decode(self.send('Page.captureScreenshot', captureBeyondViewport=whole,
            **(dict(clip=dict(x=0, y=0, scale=1, **self.evaluate('({width: innerWidth, height: document.documentElement.scrollHeight})'))) if whole else {}))['data']))

    @staticmethod
    def _until(get, seconds):
        end = time.monotonic()+seconds
        while True:
            try:
                if value := get(): return value
            except (OSError, StopIteration): pass
            if time.monotonic() > end: raise TimeoutError(f'the browser did not answer in {seconds} seconds')
            time.sleep(.02)
