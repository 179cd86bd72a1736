"""Headless Chromium, driven by its own DevTools protocol over two pipes: no port, no driver, no library.

It ends when the pipes do, so a killed test leaves none. What the page says on its console, what it asks the
network for, and what a screen reader would be told all come from there.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

from . import clients
from .process import wait_until


def program():
    """Raises Missing, which skips a test by name."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        raise clients.Missing("chromium is not on this machine (package chromium)")
    return found


class Browser:
    """One browser with one page. `console`: messages of level error or warning, and uncaught exceptions. `requests`: all URLs."""

    def __init__(self, width=1280, height=900):
        self.width, self.height = width, height
        self.console, self.requests, self.failed = [], [], []
        self.answers, self.events = {}, threading.Condition()
        self.last_id, self.child, self.session, self.ended = 0, None, None, False

    # Life
    def start(self):
        chromium = program()
        self.profile = tempfile.mkdtemp(prefix="oxt-browser-")
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()

        # The pipes stand at 3 and 4. They are first moved out of the way, where one of them may already be.
        command = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        arguments = [chromium, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={self.profile}",
                     f"--window-size={self.width},{self.height}", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
                     "--force-device-scale-factor=1", "--hide-scrollbars", "about:blank"]
        if os.geteuid() == 0:
            arguments.insert(1, "--no-sandbox")
        ends = [os.dup2(end, at) for end, at in ((to_browser, 63), (from_browser, 64))]
        self.child = subprocess.Popen(["bash", "-c", command, "browser", *map(str, ends), *arguments], pass_fds=ends,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      start_new_session=True)
        for end in (*ends, to_browser, from_browser):
            os.close(end)
        threading.Thread(target=self._read, daemon=True).start()
        target = wait_until(self._first_page, 60, "the browser's page")
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.call(f"{domain}.enable")
        self.resize(self.width, self.height)
        return self

    def _first_page(self):
        targets = self.call("Target.getTargets")["targetInfos"]
        return next((one["targetId"] for one in targets if one["type"] == "page"), None)

    def stop(self):
        if self.child is None:
            return
        if self.child.poll() is None:
            try:
                self.call("Browser.close", on_page=False)
            except AssertionError:
                pass
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.child.pid, 9)  # its own session: this browser's processes and no others
                self.child.wait(10)
        for end in (self.write_end, self.read_end):
            try:
                os.close(end)
            except OSError:
                pass
        shutil.rmtree(self.profile, ignore_errors=True)

    # The protocol
    def _read(self):
        rest = b""
        while True:
            try:
                part = os.read(self.read_end, 1 << 20)
            except OSError:
                part = b""
            if not part:
                break
            rest += part
            *messages, rest = rest.split(b"\0")
            for message in messages:
                self._take(json.loads(message))
        with self.events:
            self.ended = True
            self.events.notify_all()

    def _take(self, message):
        with self.events:
            if "id" in message:
                self.answers[message["id"]] = message
                self.events.notify_all()
            else:
                self._note(message["method"], message.get("params", {}))

    def _note(self, method, given):
        if method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
            self.console.append(" ".join(str(one.get("value", one.get("description"))) for one in given["args"]))
        elif method == "Runtime.exceptionThrown":
            details = given["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            self.console.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif method == "Network.loadingFailed":
            self.failed.append(given.get("errorText"))

    def call(self, method, on_page=True, timeout_s=60, **params):
        with self.events:
            self.last_id += 1
            number = self.last_id
        message = {"id": number, "method": method, "params": params}
        if on_page and self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write_end, data):]
        with self.events:
            if not self.events.wait_for(lambda: number in self.answers or self.ended, timeout_s) or number not in self.answers:
                raise AssertionError(f"the browser did not answer {method}")
            answer = self.answers.pop(number)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    # What tests do
    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme="light", reduced_motion=False):
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce" if reduced_motion else "no-preference"}])

    def open(self, url):
        self.call("Page.navigate", url=url)
        wait_until(lambda: self.js("document.readyState") == "complete", 30, f"{url} to load")

    def js(self, expression):
        """The value of an expression; a promise is waited for."""
        got = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in got:
            raise AssertionError(got["exceptionDetails"].get("exception", {}).get("description", expression))
        return got["result"].get("value")

    def text(self, selector):
        return self.js(f"(document.querySelector({json.dumps(selector)}) || {{}}).innerText || ''")

    def wait_for(self, expression, what=None, timeout_s=30):
        return wait_until(lambda: self.js(expression), timeout_s, what or expression, every_s=0.1)

    def count(self, selector):
        return self.js(f"document.querySelectorAll({json.dumps(selector)}).length")

    def wait_for_count(self, selector, at_least, timeout_s=30):
        wait_until(lambda: self.count(selector) >= at_least, timeout_s, f"{at_least} of {selector}", every_s=0.1)

    def fill_in(self, selector, text):
        """Puts text into a box, which hears of it as of typing."""
        self.js(f"(() => {{ const box = document.querySelector({json.dumps(selector)}); box.value = {json.dumps(text)};"
                " box.dispatchEvent(new Event('input')); })()")

    def press(self, key, code=None, modifiers=0):
        keys = {"Tab": 9, "Enter": 13, " ": 32}
        extra = {"text": "\r"} if key == "Enter" else {"text": " "} if key == " " else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, modifiers=modifiers,
                      windowsVirtualKeyCode=keys[key], **(extra if kind == "keyDown" else {}))

    def screenshot(self, path=None, full=False):
        """PNG bytes of what is shown, or of the whole page."""
        clip = {}
        if full:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png", **clip)["data"])
        if path:
            with open(path, "wb") as out:
                out.write(data)
        return data

    @staticmethod
    def encoded(png):
        return base64.b64encode(png).decode()

    def accessible(self):
        """The tree that screen readers get: [(role, name, ignored)]."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [(node.get("role", {}).get("value"), node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]

    def settle(self, seconds):
        """Lets the page run on."""
        time.sleep(seconds)
