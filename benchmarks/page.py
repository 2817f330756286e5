"""The explorer in a browser: `python -m benchmarks.page`.

What the page weighs, how soon its first pictures are there, how soon a slider's move is, and what
it holds after many shuffles; with `--pictures FOLDER` its portraits, as they stand in README.md.
Wants a Chromium that is installed.
"""

import argparse
import io
import shutil
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.servers import OURS, running
from model.generators import DEFAULT

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
VISITS = 10  # each a browser's first
MOVES = 80  # moves of a slider that has 200 steps
BURST = 120  # moves, at sixty a second
SHUFFLES = (10, 150)  # the wall of pictures is shuffled so often
LARGEST_PORTRAIT = 120 * 1024  # bytes
QUALITY = 82
DESKTOP, PHONE = (1280, 800), (390, 844)
CHILD = "weights=0.5,0.5,0"
PORTRAITS: dict[str, tuple[str, tuple[int, int], str]] = {
    "explorer-grid": ("/?grid=0", DESKTOP, "light"),
    "explorer-focus": ("/?seed=6&class=kitten&edit=d3:0.6", DESKTOP, "light"),
    "explorer-phone": ("/?seed=6&class=kitten&edit=d3:0.6", PHONE, "dark"),
    "explorer-dark": ("/?view=path&pins=3,8,5,42", DESKTOP, "dark"),
    "explorer-names": ("/?view=names", DESKTOP, "light"),
    "explorer-plane": ("/?view=plane&corners=3,8,5,42", DESKTOP, "light"),
    "explorer-mix": (f"/?view=mix&of=3,8,5&{CHILD}&class=robot", DESKTOP, "light"),
    "explorer-learn": ("/?view=learn&model=mnist", DESKTOP, "light"),
    "explorer-about": ("/?view=models", DESKTOP, "light"),
}
FIRST_TILE = """
const watch = new MutationObserver(() => {
  if (!document.querySelector("button.tile canvas")) return
  watch.disconnect()
  requestAnimationFrame(() => setTimeout(() => (window.firstTile = performance.now())))
})
watch.observe(document, {childList: true, subtree: true})
"""
ONE_MOVE = """async input => {
  const canvas = document.querySelector(".stage canvas")
  const before = canvas.dataset.shown
  const start = performance.now()
  input.stepUp()
  input.dispatchEvent(new Event("input", {bubbles: true}))
  while (canvas.dataset.shown === before) await new Promise(resolve => setTimeout(resolve, 1))
  return performance.now() - start
}"""
MANY_MOVES = """async (input, moves) => {
  const canvas = document.querySelector(".stage canvas")
  for (let move = 1; move <= moves; move++) {
    input.value = input.max * (2 * move / moves - 1)
    input.dispatchEvent(new Event("input", {bubbles: true}))
    await new Promise(resolve => setTimeout(resolve, 1000 / 60))
  }
  const start = performance.now()
  const wanted = `d1:${Number(Number(input.value).toFixed(2))}`
  const soon = () => new Promise(resolve => setTimeout(resolve, 1))
  while (!canvas.dataset.shown.includes(wanted)) await soon()
  return performance.now() - start
}"""

KEPT = """
window.bitmaps = []
const create = window.createImageBitmap
window.createImageBitmap = async (...words) => {
  const bitmap = await create(...words)
  window.bitmaps.push([new WeakRef(bitmap), 4 * bitmap.width * bitmap.height])
  return bitmap
}
window.urls = new Set()
const {createObjectURL, revokeObjectURL} = URL
URL.createObjectURL = blob => {
  const url = createObjectURL.call(URL, blob)
  window.urls.add(url)
  return url
}
URL.revokeObjectURL = url => window.urls.delete(url) && revokeObjectURL.call(URL, url)
"""
IMAGES = """() => {
  window.bitmaps = window.bitmaps.filter(([bitmap]) => bitmap.deref())
  const bitmaps = window.bitmaps.reduce((sum, [, bytes]) => sum + bytes, 0)
  const canvases = [...document.querySelectorAll("canvas")]
  return canvases.reduce((sum, {width, height}) => sum + 4 * width * height, bitmaps)
}"""
SHUFFLE = """async () => {
  const named = name => [...document.querySelectorAll("button")].find(
    one => one.textContent === name)
  const tile = () => document.querySelector("button.tile").ariaLabel
  const soon = () => new Promise(resolve => setTimeout(resolve, 5))
  while (named("More pictures").hidden) await soon()
  const before = tile()
  named("Shuffle").click()
  while (tile() === before || named("More pictures").hidden) await soon()
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yields a browser without a window."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise SystemExit("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def weight(browser: Browser, url: str) -> tuple[float, float]:
    """Returns the KiB that the first view takes on its way, and unpacked; pictures not counted."""
    page = browser.new_context().new_page()
    found: list[tuple[int, int]] = []

    def answered(request: Any) -> None:
        if "/generate" not in request.url and "/models" not in request.url:
            sizes = request.sizes()
            found.append((sizes["responseBodySize"], len(request.response().body())))

    page.on("requestfinished", answered)
    page.goto(url)
    page.locator("button.tile").first.wait_for()
    page.wait_for_load_state("networkidle")
    page.context.close()
    return sum(sent for sent, _ in found) / 1024, sum(whole for _, whole in found) / 1024


def first_pictures(browser: Browser, url: str) -> list[float]:
    """Milliseconds from the address to the first pictures, of visits with nothing kept."""
    found = []
    for visit in range(VISITS):
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.add_init_script(FIRST_TILE)
        page.goto(f"{url}/?grid={1000 * (visit + 1)}")
        page.locator("button.tile").first.wait_for()
        while (shown := page.evaluate("window.firstTile")) is None:
            page.wait_for_timeout(10)
        found.append(float(shown))
        page.context.close()
    return sorted(found)


def moves(page: Page, url: str) -> tuple[list[float], float, int]:
    """Milliseconds of single moves of a slider; those from the last of sixty a second to its
    picture; and how many pictures were asked for meanwhile.
    """
    page.goto(f"{url}/?seed=42")
    slider = page.locator(".directions input").nth(1)
    slider.wait_for()
    page.wait_for_load_state("networkidle")
    reach = float(slider.get_attribute("max") or 0)
    slider.evaluate("(input, value) => { input.value = value }", 0.1 * reach)
    single = sorted(float(slider.evaluate(ONE_MOVE)) for _ in range(MOVES))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    last = float(slider.evaluate(MANY_MOVES, BURST))
    return single, last, len(asked)


@dataclass(frozen=True)
class Held:
    """What a page holds, its garbage collected."""

    heap: int  # bytes of objects
    images: int  # bytes of decoded pictures, canvases among them
    urls: int  # made for objects and not revoked
    nodes: int
    listeners: int
    process: int  # bytes that the page's process has to itself

    @property
    def memory(self) -> int:
        """Bytes."""
        return self.heap + self.images


def held_after(browser: Browser, url: str, shuffles: Sequence[int] = SHUFFLES) -> list[Held]:
    """Returns what the wall of pictures holds after so many shuffles each, one after the other."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(KEPT)
    page.goto(url)
    page.locator("button.tile").first.wait_for()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    done, found = 0, []
    for count in shuffles:
        for _ in range(count - done):
            page.evaluate(SHUFFLE)
        done = count
        for _ in range(3):  # a collection finds what the one before has let go
            session.send("HeapProfiler.collectGarbage")
        images, urls = page.evaluate(IMAGES), page.evaluate("window.urls.size")
        metrics = session.send("Performance.getMetrics")["metrics"]
        value = {one["name"]: int(one["value"]) for one in metrics}
        found.append(
            Held(
                heap=value["JSHeapUsedSize"],
                images=images,
                urls=urls,
                nodes=value["Nodes"],
                listeners=value["JSEventListeners"],
                process=_process_bytes(browser),
            )
        )
    page.context.close()
    return found


def _process_bytes(browser: Browser) -> int:
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    pages = [psutil.Process(one["id"]) for one in processes if one["type"] == "renderer"]
    return sum(page.memory_full_info().uss for page in pages)


def take_portraits(browser: Browser, url: str, folder: Path) -> None:
    """Takes the page as it looks, as WebP files of a bounded size."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (path, (width, height), scheme) in PORTRAITS.items():
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.goto(url + path)
        page.wait_for_load_state("networkidle")
        content = small(page.screenshot())
        (folder / f"{name}.webp").write_bytes(content)
        print(f"{folder / name}.webp: {len(content) / 1024:.0f} KiB", flush=True)
        context.close()


def small(content: bytes) -> bytes:
    """Returns a screenshot as a WebP file of few bytes."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(content)) as image:
        image.convert("RGB").save(stream, "webp", quality=QUALITY, method=6)
    if stream.tell() > LARGEST_PORTRAIT:
        raise SystemExit("a portrait is too large")
    return stream.getvalue()


def main() -> None:
    """Prints the figures, or takes the portraits."""
    parser = argparse.ArgumentParser(description="How heavy is the explorer, and how quick?")
    parser.add_argument("--pictures", type=Path, help="take its portraits into this folder instead")
    folder = parser.parse_args().pictures
    more = {"GAN_MODELS": "mnist"} if folder else {}  # it has a history
    ours = replace(OURS, environment=dict(OURS.environment) | more)
    with chromium() as browser, running(ours, generator=DEFAULT) as server:
        if folder:
            take_portraits(browser, server.url, folder)
            return
        sent, whole = weight(browser, server.url)
        print(f"the first view without pictures: {sent:.0f} KiB sent, {whole:.0f} KiB unpacked")
        first = first_pictures(browser, server.url)
        print(f"first pictures: {statistics.median(first):.0f} ms, at most {first[-1]:.0f} ms")
        single, last, asked = moves(browser.new_context().new_page(), server.url)
        print(
            f"a slider's move: {statistics.median(single):.0f} ms, "
            f"99 % within {single[int(0.99 * len(single))]:.0f} ms"
        )
        few, many = held_after(browser, server.url)
        print(
            f"memory after {SHUFFLES[1]} shuffles over that after {SHUFFLES[0]}: "
            f"{many.memory / few.memory:.2f}; {few}, {many}"
        )
        print(f"{BURST} moves at 60 a second: {asked} pictures asked for, {last:.0f} ms behind")


if __name__ == "__main__":
    main()
