"A page in Debian's Chromium, driven over the DevTools protocol; nothing leaves the machine."
import base64, json, shutil, subprocess, tempfile, time, urllib.request
from pathlib import Path

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
         '--no-first-run', '--remote-debugging-port=0', '--host-resolver-rules=MAP * ~NOTFOUND']

class Page:
    "A tab: `open`, `evaluate`, `errors`, `requests`."
    def __init__(self, url):
        from websocket import create_connection
        self.socket, self.number = create_connection(url, timeout=60, suppress_origin=True), 0
        self.errors, self.requests, self.events = [], [], []
        for domain in 'Page', 'Runtime', 'Log', 'Network': self.call(f'{domain}.enable')
        self.call('Network.setBlockedURLs', urls=['http://*', 'https://*', 'ws://*', 'wss://*'])

    def _receive(self):
        "The next message; events are kept."
        message = json.loads(self.socket.recv())
        method, params = message.get('method'), message.get('params', {})
        if method: self.events.append(method)
        if method == 'Runtime.exceptionThrown': self.errors.append(params['exceptionDetails']['exception'].get('description', str(params)))
        if method == 'Log.entryAdded' and params['entry']['level'] == 'error': self.errors.append(params['entry']['text'])
        if method == 'Runtime.consoleAPICalled' and params['type'] in ('error', 'assert'): self.errors.append(str(params['args']))
        if method == 'Network.requestWillBeSent' and not params['request']['url'].startswith('data:'): self.requests.append(params['request']['url'])
        return message

    def call(self, method, **params):
        "The result of a DevTools method."
        self.number += 1
        self.socket.send(json.dumps(dict(id=self.number, method=method, params=params)))
        while (message := self._receive()).get('id') != self.number: pass
        if 'error' in message: raise RuntimeError(f'{method}: {message["error"]["message"]}')
        return message['result']

    def open(self, target):
        "Go to a file or an address, until its load event."
        self.events.clear()
        result = self.call('Page.navigate', url=Path(target).resolve().as_uri() if isinstance(target, Path) or '://' not in str(target) else target)
        if result.get('errorText'): raise RuntimeError(f'{target}: {result["errorText"]}')
        while 'Page.loadEventFired' not in self.events: self._receive()

    def evaluate(self, expression):
        "The value of a JavaScript expression, awaited if it is a promise."
        result = self.call('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
        if 'exceptionDetails' in result: raise RuntimeError(result['exceptionDetails']['exception'].get('description', 'exception'))
        return result['result'].get('value')

    def press(self, key, code=0):
        "A key, pressed and let go; `code` is its virtual key code."
        for kind in 'rawKeyDown', 'keyUp': self.call('Input.dispatchKeyEvent', type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, path):
        "A PNG of what the window shows."
        Path(path).write_bytes(base64.b64decode(self.call('Page.captureScreenshot')['data']))

class Browser:
    "A browser with an empty profile; `with Browser() as page`."
    def __enter__(self):
        self.profile = tempfile.mkdtemp()
        self.process = subprocess.Popen([CHROMIUM, *FLAGS, f'--user-data-dir={self.profile}', 'about:blank'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try: return Page(self._tab(Path(self.profile, 'DevToolsActivePort')))
        except BaseException: self.__exit__(); raise

    def _tab(self, file, seconds=60):
        "The address of the first tab, once the browser has said in `file` on which port it listens."
        until = time.monotonic()+seconds
        while time.monotonic() < until and self.process.poll() is None:
            time.sleep(.05)
            if not file.exists() or not (said := file.read_text().split()): continue
            with urllib.request.urlopen(f'http://127.0.0.1:{said[0]}/json') as answer: tabs = [t for t in json.load(answer) if t['type'] == 'page']
            if tabs: return tabs[0]['webSocketDebuggerUrl']
        raise RuntimeError('the browser did not start')

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.profile, ignore_errors=True)
