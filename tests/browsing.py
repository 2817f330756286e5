"""A Chromium for the tests of the page, and what each of its pages must never do."""

import base64
import io
import json
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.services import TIMEOUT

# the first has no window, and takes two thirds of the CPU of the others for the same
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu")  # without a GPU, emulating one costs more than none
BUSY = ".loading, [aria-busy='true']"
FLAT = """canvas => {
  const {width, height} = canvas
  const copy = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true})
  copy.drawImage(canvas, 0, 0)
  const {data} = copy.getImageData(0, 0, width, height)
  let text = ""
  for (const value of data) text += String.fromCharCode(value)
  return [height, width, btoa(text)]
}"""
# the names of what has the focus and is under something else
COVERED = """() => {
  const found = []
  const stops = "a[href], button, input, select, textarea, summary, [tabindex='0']"
  for (const stop of document.querySelectorAll(stops)) {
    if (stop.tabIndex < 0 || stop.disabled || !stop.checkVisibility()) continue
    if (stop.closest(".skip") || stop.type === "file") continue
    stop.focus()
    const box = stop.getBoundingClientRect()
    const middle = [
      Math.min(Math.max(box.left + box.width / 2, 0), innerWidth - 1),
      Math.min(Math.max(box.top + Math.min(box.height / 2, 20), 0), innerHeight - 1),
    ]
    const seen = document.elementFromPoint(...middle)
    if (!seen || !(stop.contains(seen) || seen.contains(stop) || stop.labels?.[0]?.contains(seen)))
      found.push([stop.ariaLabel ?? stop.innerText, seen?.outerHTML.slice(0, 60)].join(" under "))
  }
  return found
}"""
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
VIEWS = {
    "grid": "/?grid=0",
    "focus": "/?seed=42",
    "plane": "/?view=plane&corners=3,8,5,42",
    "path": "/?view=path&pins=3,8,5",
    "path-empty": "/?view=path",
    "mix": "/?view=mix&of=3,8,5",
    "names": "/?view=names&names=ada%0Abo",
    "find": "/?view=find",
    "saved": "/?view=saved",
    "models": "/?view=models",
    "learn": "/?view=learn",
}
WINDOWS = {
    "200 %": (640, 360),
    "400 %": (320, 180),
    "phone on its side": (844, 390),
    "small phone": (360, 640),
    "phone": (390, 844),
    "laptop": (1280, 720),
}


def window(name: str) -> dict[str, Any]:
    width, height = WINDOWS[name]
    return {"viewport": {"width": width, "height": height}}


def chromium_program() -> str:
    """Returns the path of a Chromium; skips the test where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium-headless-shell")
    return program


@contextmanager
def chromium() -> Iterator[Any]:
    """Yields a browser without a window; skips the test where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = chromium_program()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(browser: Any, address: str) -> Iterator[Callable[..., "Visit"]]:
    """Begins visits; after them nothing has gone wrong in any."""
    visits: list[Visit] = []

    def begin(**options: Any) -> Visit:
        visits.append(Visit(browser, options.pop("address", address), **options))
        return visits[-1]

    yield begin
    for one in visits:
        one.context.close()
        assert one.wrong == []


class Visit:
    """One person's visit: a page, the requests that it made and whatever went wrong."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.address = address
        self.context = browser.new_context(**{"reduced_motion": "no-preference", **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * TIMEOUT)
        self.requests: list[str] = []
        self.wrong: list[str] = []
        self.underway = self.most_underway = 0
        self.page.on("request", self._asked)
        self.page.on("requestfinished", self._answered)
        self.page.on("requestfailed", self._answered)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("console", self._said)

    def _asked(self, request: Any) -> None:
        url = urlsplit(request.url)
        if url.scheme != "blob" and f"{url.scheme}://{url.netloc}" != self.address:
            self.wrong.append(f"left the host: {request.url}")
        self.requests.append(f"{url.path}?{url.query}".rstrip("?"))
        self.underway += 1
        self.most_underway = max(self.underway, self.most_underway)

    def _answered(self, request: Any) -> None:
        self.underway -= 1

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text}")

    def go(self, path: str = "/") -> Any:
        """Opens an address of the page and waits until its view is there."""
        self.page.goto(self.address + path)
        until(self.page, "document.body.dataset.view !== undefined")
        return self.page

    def settle(self) -> None:
        """Waits until all that was asked for has come, and nothing else is asked for."""
        quiet = [0]

        def is_quiet() -> bool:
            rests = self.underway == 0 and not self.page.locator(BUSY).count()
            quiet[0] = quiet[0] + 1 if rests else 0
            return quiet[0] == 5

        wait_for(self.page, is_quiet, "nothing is on its way")

    def pixels(self, selector: str) -> np.ndarray:
        """Returns what a canvas shows, (H, W, 4)."""
        height, width, text = self.page.locator(selector).evaluate(FLAT)
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def until(page: Any, expression: str) -> None:
    """Waits until it is true. Playwright's own way to wait needs a policy that allows eval."""
    wait_for(page, lambda: page.evaluate(expression), expression)


def wait_for(page: Any, holds: Callable[[], object], what: str) -> None:
    """Lets the page go on until a condition holds.

    Raises:
        AssertionError: it never does.
    """
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline, f"not so after {TIMEOUT:.0f} s: {what}"
        page.wait_for_timeout(50)


def as_shown(pixels: np.ndarray) -> np.ndarray:
    """Returns pictures as a canvas holds them: (H, W, C) -> (H, W, 4)."""
    colours = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    return np.concatenate([colours, np.full_like(colours[..., :1], 255)], axis=2)


def drawn(address: str, path: str, body: Any = None) -> np.ndarray:
    """Returns the pixels that the service answers with, as a canvas shows them."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(address + path, data, headers)
    with urllib.request.urlopen(request) as answer:
        found = np.load(io.BytesIO(answer.read()), allow_pickle=False)
    return as_shown(found[0] if found.ndim == 4 else found)


def shows(visit: Any, wanted: np.ndarray, canvas: str = ".stage canvas.large") -> None:
    """Waits until a canvas shows the pixels."""
    wait_for(visit.page, lambda: np.array_equal(visit.pixels(canvas), wanted), f"{canvas} is it")


def slide(page: Any, label: str, value: float) -> None:
    """Moves a slider and lets it go."""
    page.get_by_label(label, exact=True).evaluate(
        """(input, value) => {
          input.value = value
          input.dispatchEvent(new Event("input", {bubbles: true}))
          input.dispatchEvent(new Event("change", {bubbles: true}))
        }""",
        value,
    )


def toast(page: Any, text: str) -> None:
    """Waits until the page has said so."""
    page.locator("#toast", has_text=text).wait_for()


def hold(page: Any, pattern: str, count: int) -> list[Any]:
    """Lets the first so many requests wait for their answer, and none after them."""
    held: list[Any] = []

    def pass_or_hold(route: Any) -> None:
        if len(held) < count:
            held.append(route)
        else:
            route.fallback()

    page.route(pattern, pass_or_hold)
    return held


def until_held(page: Any, held: list[Any], count: int) -> None:
    """Waits until so many requests wait for their answer."""
    wait_for(page, lambda: len(held) >= count, f"{count} requests are held")


def drop(page: Any, content: bytes, name: str = "a.png", on: str = "body") -> None:
    """Drops a file on the page, as from another window."""
    page.evaluate(
        """([text, name, on]) => {
          const bytes = Uint8Array.from(atob(text), one => one.charCodeAt(0))
          const transfer = new DataTransfer()
          transfer.items.add(new File([bytes], name, {type: "image/png"}))
          const words = {bubbles: true, cancelable: true, dataTransfer: transfer}
          document.querySelector(on).dispatchEvent(new DragEvent("dragover", words))
          document.querySelector(on).dispatchEvent(new DragEvent("drop", words))
        }""",
        [base64.b64encode(content).decode(), name, on],
    )


def taken(page: Any) -> bytes:
    """Returns the file that is downloaded."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    return Path(download.value.path()).read_bytes()


def refusing(
    visit: Visit, pattern: str, status: int, times: int, detail: str = "full"
) -> list[int]:
    """Lets the service refuse so many times; returns how many are left, as the only entry."""
    left = [times]

    def answer(route: Any) -> None:
        if left[0] == 0:
            return route.fallback()
        left[0] -= 1
        return route.fulfill(
            status=status,
            headers={"Retry-After": "1", "Content-Type": "application/problem+json"},
            body=json.dumps({"title": "refused", "detail": detail}),
        )

    visit.page.route(pattern, answer)
    return left


def forgive(visit: Visit) -> None:
    """Forgets what the browser itself says of a refusal: it is no mistake of the page."""
    visit.wrong = [one for one in visit.wrong if "Failed to load resource" not in one]
