"""A Chromium for the tests of the page, and what each of its pages must never do."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.services import TIMEOUT

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAT = """canvas => {
  const {width, height} = canvas
  const copy = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true})
  copy.drawImage(canvas, 0, 0)
  return [height, width, [...copy.getImageData(0, 0, width, height).data]]
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window; skips the test where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


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

    def pixels(self, selector: str) -> np.ndarray:
        """What a canvas shows, (H, W, 4)."""
        height, width, flat = self.page.locator(selector).evaluate(FLAT)
        return np.array(flat, np.uint8).reshape(height, width, 4)


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
    """Pictures as a canvas holds them: (H, W, C) -> (H, W, 4)."""
    colours = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    return np.concatenate([colours, np.full_like(colours[..., :1], 255)], axis=2)
