"""A Firefox for the tests of the page, spoken to over WebDriver BiDi: Playwright drives only a
Firefox of its own.
"""

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.browsing import BUSY, FLAT, until, wait_for
from tests.services import TIMEOUT, wait_until

PROGRAMS = ("firefox-esr", "firefox")
EVENTS = (
    *("log.entryAdded", "network.beforeRequestSent"),
    *("network.responseCompleted", "network.fetchError"),
)
# nothing is asked of Mozilla, and motion is as little as may be
QUIET = {
    "app.normandy.enabled": False,
    "browser.safebrowsing.provider.google4.updateURL": "",
    "browser.safebrowsing.provider.mozilla.updateURL": "",
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "ui.prefersReducedMotion": 1,
}
KEYS = {
    "Enter": "\ue007",
    "Tab": "\ue004",
    "ArrowRight": "\ue014",
    "Home": "\ue011",
    "Shift": "\ue008",
    "Control": "\ue009",
}
FOCUSED = "(one => one.ariaLabel ?? one.innerText.trim())(document.activeElement)"


@contextmanager
def firefox(text: float = 1.0) -> Iterator["Firefox"]:
    """Starts one without a window, its letters so much larger; skips the test where none is."""
    client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Firefox is installed: apt-get install firefox-esr")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        wishes = QUIET | {"font.size.variable.x-western": round(16 * text)}
        lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in wishes.items()]
        (Path(profile) / "user.js").write_text("\n".join(lines))
        words = ("--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0")
        silent = subprocess.DEVNULL
        process = subprocess.Popen([program, *words], stdout=silent, stderr=silent)
        place = Path(profile) / "WebDriverBiDiServer.json"
        try:
            wait_until(lambda: place.exists() and place.read_text().endswith("}"), "it listens")
            where = f"ws://127.0.0.1:{json.loads(place.read_text())['ws_port']}/session"
            with client.connect(where, max_size=None, proxy=None) as connection:
                yield Firefox(connection)
        finally:
            process.kill()
            process.wait()


class Firefox:
    """A page of it: the parts of Playwright's that the tests use, and of their `Visit`."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._count = connection, 0
        self.wrong: list[str] = []
        self.underway: set[str] = set()  # requests
        self.address = ""
        self.page = self
        self._ask("session.new", capabilities={})
        self._ask("session.subscribe", events=EVENTS)
        self._context = {"context": self._ask("browsingContext.create", type="tab")["context"]}

    def _ask(self, method: str, **words: Any) -> Any:
        self._count += 1
        asked = {"id": self._count, "method": method, "params": words}
        self._connection.send(json.dumps(asked))
        while (answer := self._receive(TIMEOUT)).get("id") != self._count:
            pass
        assert answer["type"] == "success", (method, answer)
        return answer["result"]

    def _receive(self, seconds: float) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(timeout=seconds))
        if message["type"] == "event":
            self._heard(message["method"], message["params"])
        return message

    def _heard(self, event: str, words: dict[str, Any]) -> None:
        if event == "log.entryAdded":
            if words["level"] in ("error", "warn"):
                self.wrong.append(f"{words['level']}: {words['text']}")
            return
        request = words["request"]
        url = urlsplit(request["url"])
        if url.scheme not in ("http", "https"):
            return
        if event == "network.beforeRequestSent":
            self.underway.add(request["request"])
            if f"{url.scheme}://{url.netloc}" != self.address:
                self.wrong.append(f"left the host: {request['url']}")
            return
        self.underway.discard(request["request"])
        status = words.get("response", {}).get("status", 0)
        given_up = words.get("errorText") == "NS_BINDING_ABORTED"  # by the page itself
        if not given_up and (event == "network.fetchError" or status >= 400):
            self.wrong.append(f"failed: {request['url']} {status} {words.get('errorText', '')}")

    def go(self, path: str = "/") -> "Firefox":
        """Opens an address of the page and waits until its view is there, and what it asks for."""
        self._open(self.address + path)
        until(self, "document.body.dataset.view !== undefined")
        self.settle()
        return self

    def leave(self) -> None:
        """Closes what is shown."""
        self._open("about:blank")

    def _open(self, url: str) -> None:
        self._ask("browsingContext.navigate", **self._context, url=url, wait="complete")

    def settle(self) -> None:
        """Waits until all that was asked for has come, and nothing else is asked for."""
        quiet = [0]

        def is_quiet() -> bool:
            rests = not self.evaluate("busy => document.querySelectorAll(busy).length", BUSY)
            quiet[0] = quiet[0] + 1 if rests and not self.underway else 0
            return quiet[0] == 4

        wait_for(self, is_quiet, "nothing is on its way")

    def resize(self, width: int, height: int) -> None:
        """Makes the window so large, and waits until the page is laid out anew."""
        size = {"width": width, "height": height}
        self._ask("browsingContext.setViewport", **self._context, viewport=size)
        self.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")

    def evaluate(self, expression: str, *words: Any) -> Any:
        """Returns the value of an expression, or what a function returns of the words."""
        code = f"""async words => {{
          const found = ({expression})
          const value = typeof found === "function" ? found(...JSON.parse(words)) : found
          return JSON.stringify(await value) ?? "null"
        }}"""
        answer = self._ask(
            "script.callFunction",
            functionDeclaration=code,
            arguments=[{"type": "string", "value": json.dumps(words)}],
            target=self._context,
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"]["value"])

    def wait_for_timeout(self, milliseconds: float) -> None:
        """Hears for so long what the page does."""
        end = time.monotonic() + milliseconds / 1000
        while (left := end - time.monotonic()) > 0:
            try:
                self._receive(left)
            except TimeoutError:
                return

    def press(self, *keys: str, held: str | None = None) -> None:
        """Presses keys one after the other, on a keyboard, while one may be held."""
        down, up = ({"type": f"key{way}"} for way in ("Down", "Up"))
        actions = [way | {"value": KEYS.get(key, key)} for key in keys for way in (down, up)]
        if held:
            actions = [down | {"value": KEYS[held]}, *actions, up | {"value": KEYS[held]}]
        keyboard = {"type": "key", "id": "keyboard", "actions": actions}
        self._ask("input.performActions", **self._context, actions=[keyboard])

    def tab_to(self, name: str, held: str | None = None) -> None:
        """Presses Tab until something of this name has the focus, short of the page's end, after
        which the focus is the browser's own.
        """
        while (focused := self.evaluate(FOCUSED)) != name:
            self.press("Tab", held=held)
            assert self.evaluate(FOCUSED) != focused, f"Tab leads from {focused} nowhere"

    def pixels(self, selector: str) -> np.ndarray:
        """Returns what a canvas shows, (H, W, 4)."""
        code = f"selector => ({FLAT})(document.querySelector(selector))"
        height, width, text = self.evaluate(code, selector)
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
