"""docs/examples.md and docs/examples: each example does what it says, beside the default service.

What is written in JavaScript and TypeScript needs node, and the packages that
`npm ci --prefix docs/examples` installs; it is skipped where they are not.
"""

import html
import io
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from app.main import create_app
from app.settings import Settings
from model.generators import DEFAULT
from tests.services import TIMEOUT, service

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "examples"
PAGE = (ROOT / "docs" / "examples.md").read_text()
HOST = "http://localhost:8000"
PACKAGES = FOLDER / "node_modules"
KINDS: dict[str, bytes | tuple[bytes, ...]] = {
    "png": b"\x89PNG",
    "apng": b"\x89PNG",
    "webp": b"RIFF",
    "zip": b"PK",
    "json": (b"{", b"["),
}

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
needs_packages = pytest.mark.skipif(
    shutil.which("node") is None or not PACKAGES.exists(),
    reason="node or its packages are not here: npm ci --prefix docs/examples",
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Runs the default service; returns its address."""
    with service(DEFAULT, GAN_MODELS="mnist") as (_, address):
        yield address


def blocks(language: str) -> list[str]:
    """Finds the examples in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    """Runs a program that has to end well; returns what it prints."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", [line for block in blocks("sh") for line in block.splitlines()])
def test_curl_example_gets_what_its_file_is_called(
    address: str, command: str, tmp_path: Path
) -> None:
    printed = run(["sh", "-c", command.replace(HOST, address)], tmp_path)
    if named := re.search(r" -o (\S+)", command):
        (file,) = tmp_path.iterdir()
        assert file.name == named[1]
        assert file.read_bytes().startswith(KINDS[file.suffix[1:]]), file.read_bytes()[:200]
        if file.suffix == ".json":
            found = json.loads(file.read_bytes())
            entry = found[0] if isinstance(found, list) else found
            assert entry.keys() & {"models", "data", "label"}
    else:
        assert printed.startswith("HTTP/1.1 200")


class Pictures(HTMLParser):
    """Collects the URLs of a page's pictures, each with the pixels that it should have a side."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, int]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Takes the picture of one tag."""
        if tag != "img":
            return
        given = {name: value or "" for name, value in attributes}
        width = int(given["width"])
        assert given["height"] == given["width"]
        self.found.append((given["src"], width))
        for one in given.get("srcset", given["src"] + " 1x").split(", "):
            for url, density in re.findall(r"(http\S+)\s+(\d)x", one):
                self.found.append((url, width * int(density)))


def fetched(address: str, url: str) -> bytes:
    """Asks the running service for a URL of the examples."""
    assert url.startswith(HOST)
    with urllib.request.urlopen(address + url.removeprefix(HOST), timeout=TIMEOUT) as answer:
        content: bytes = answer.read()
    return content


PICTURES = [*Pictures("".join(blocks("html")) + (FOLDER / "avatar.html").read_text()).found]


@pytest.mark.parametrize(("url", "side"), dict.fromkeys(PICTURES))
def test_picture_of_a_page_is_as_large_as_the_page_says(address: str, url: str, side: int) -> None:
    with Image.open(io.BytesIO(fetched(address, url))) as picture:
        assert picture.size == (side, side)


def test_every_other_link_of_the_examples_is_there(address: str) -> None:
    styles = re.findall(r'url\("([^"]+)"\)', "".join(blocks("html")))
    markdown = re.findall(r"\((http[^)]+)\)", (FOLDER / "avatar.md").read_text())
    assert len(styles) == 1
    assert len(markdown) == 3
    for link in styles + markdown:
        assert fetched(address, html.unescape(link)), link
    for file in re.findall(r"\]\((examples/[^)]*)\)", PAGE):
        assert (ROOT / "docs" / file).is_file(), file


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_example_runs(address: str, number: int, tmp_path: Path) -> None:
    printed = run([sys.executable, "-c", blocks("python")[number].replace(HOST, address)], tmp_path)
    assert ("422" in printed) is (number == 0)
    for file in tmp_path.iterdir():
        with Image.open(file) as picture:
            assert picture.size == (256, 256)


@needs_node
def test_javascript_example_runs(address: str, tmp_path: Path) -> None:
    (code,) = blocks("js")
    page = "const img = {}; globalThis.document = { querySelector: () => img }\n"
    script = tmp_path / "example.mjs"
    script.write_text(page + code.replace(HOST, address) + "console.log(img.src)\n")
    assert re.search(r"^seed \d+\nblob:", run(["node", str(script)], tmp_path))


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with copies of the examples, their test, their packages and the types."""
    folder = tmp_path_factory.mktemp("examples")
    for file in [*FOLDER.iterdir(), *(ROOT / "tests" / "examples").iterdir()]:
        if file.is_file():
            shutil.copy(file, folder)
    (folder / "node_modules").symlink_to(PACKAGES)
    document = create_app(Settings(generator="nowhere")).openapi()
    (folder / "openapi.json").write_text(json.dumps(document))
    return folder


@needs_packages
def test_components_show_a_picture_and_fall_back_to_initials(copied: Path) -> None:
    printed = run(["node", "--test", "avatar.test.mjs"], copied)
    assert re.search(r"^. pass 10$", printed, re.MULTILINE), printed


@pytest.mark.slow
@needs_packages
def test_examples_and_the_types_of_the_document_compile_strictly(copied: Path) -> None:
    assert json.loads((copied / "tsconfig.json").read_text())["compilerOptions"]["strict"]
    (copied / "uses.ts").write_text(
        'import { address, draw } from "./client"\n'
        "// @ts-expect-error a scale is a number\n"
        'address({ scale: "2" })\n'
        "// @ts-expect-error a list of pictures is a list\n"
        "draw({ recipes: 7 })\n"
    )
    run(["node_modules/.bin/openapi-typescript", "openapi.json", "-o", "openapi.ts"], copied)
    run(["node_modules/.bin/tsc", "-p", "."], copied)
