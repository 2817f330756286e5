"""docs/draw enlarges to the bytes that the service answers with, and refuses what it does not."""

import base64
import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from app.main import create_app
from app.settings import Settings
from benchmarks.machines import served, write_for_browsers
from model.generator_file import CONFIG
from model.generators import DEFAULT, ZOO, generator_folder
from model.training.__main__ import main
from model.upscaling.upscaler_file import UPSCALER, read_upscaler
from tests.browsing import FLAT
from tests.javascript import MODULE, RUNTIME, needs_runtime, node

SEEDS, SCALES = (0, 7, 2**63 - 1), (1, 2, 4)
BEGIN = """
import fs from "node:fs"
import { pathToFileURL } from "node:url"
const [module, runtime, ...rest] = process.argv.slice(1)
const ort = await import(pathToFileURL(`${runtime}/dist/ort.wasm.min.mjs`))
const { Generator } = await import(pathToFileURL(module))
ort.env.wasm.numThreads = 1
const readFrom = (folder) => async (name) => new Uint8Array(fs.readFileSync(`${folder}/${name}`))
const load = async (folder, read) => {
  const config = JSON.parse(fs.readFileSync(`${folder}/config.json`))
  return Generator.of(ort, config, await readFrom(folder)("model.onnx"), read)
}
"""
DRAW = """
const [folder, output, seeds, scales] = rest
const generator = await load(folder, readFrom(folder))
for (const scale of JSON.parse(scales)) {
  const drawn = await generator.draw(JSON.parse(seeds).map(BigInt), undefined, scale)
  fs.writeFileSync(`${output}/${scale}`, drawn)
}
"""
REFUSED = """
const tell = (error) => console.log(`${error.name}: ${error.message}`)
for (const folder of rest) {
  const generator = await load(folder, readFrom(folder))
  await generator.draw([0n], undefined, 3).catch(tell)
}
const [whole] = rest
const alone = await load(whole)
await alone.draw([0n], undefined, 2).catch(tell)
const lost = new Set(["upscaler-4x.onnx"])
const generator = await load(whole, async (name) => {
  if (lost.delete(name)) throw new Error("lost")
  return readFrom(whole)(name)
})
await generator.draw([0n], undefined, 2).catch(tell)
console.log((await generator.draw([0n], undefined, 2)).length)
"""

WIDTHS = """
window.widths = []
const canvas = document.querySelector("canvas")
new MutationObserver(() => widths.push(canvas.getAttribute("width"))).observe(canvas, {
  attributes: true,
})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes what a browser reads."""
    place = tmp_path_factory.mktemp("generator")
    write_for_browsers(generator_folder(DEFAULT), place)
    return place


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Settings(device="cpu", max_batch=4))) as client:
        yield client


def answered(client: TestClient, seed: int | str, scale: int) -> NDArray[np.uint8]:
    """Asks the service for a picture, (side, side, 3)."""
    resample = "learned" if scale > 1 else "nearest"
    answer = client.get(f"/generate.npy?seed={seed}&scale={scale}&resample={resample}")
    assert answer.status_code == 200
    pixels: NDArray[np.uint8] = np.load(io.BytesIO(answer.content))
    return pixels


@needs_runtime
def test_webassembly_enlarges_to_the_bytes_of_the_service(
    folder: Path, client: TestClient, tmp_path: Path
) -> None:
    seeds, scales = json.dumps([str(seed) for seed in SEEDS]), json.dumps(SCALES)
    node(BEGIN + DRAW, MODULE, RUNTIME, folder, tmp_path, seeds, scales)
    for scale in SCALES:
        wanted = np.stack([answered(client, seed, scale) for seed in SEEDS])
        found = np.frombuffer((tmp_path / str(scale)).read_bytes(), np.uint8)
        assert np.array_equal(found, wanted.ravel()), scale


def as_it_is(place: Path, config: dict[str, Any]) -> None:
    pass


def of_none(place: Path, config: dict[str, Any]) -> None:
    del config["upscaler"]


def of_another(place: Path, config: dict[str, Any]) -> None:
    config["upscaler"] = "0" * 64


def of_floats(place: Path, config: dict[str, Any]) -> None:
    (place / UPSCALER).write_bytes((ZOO / "avatars" / UPSCALER).read_bytes())
    config["upscaler"] = read_upscaler(place / UPSCALER).sha256


def of_another_golden(place: Path, config: dict[str, Any]) -> None:
    content = (place / UPSCALER).read_bytes()
    golden = read_upscaler(place / UPSCALER).header.golden
    content = content.replace(golden.encode(), b"0" * 64)
    (place / UPSCALER).write_bytes(content)
    config["upscaler"] = hashlib.sha256(content).hexdigest()


@needs_runtime
def test_what_has_no_such_integers_is_refused_in_words(folder: Path, tmp_path: Path) -> None:
    changes = (as_it_is, of_none, of_another, of_floats, of_another_golden)
    places = []
    for change in changes:
        place = Path(shutil.copytree(folder, tmp_path / change.__name__))
        config = json.loads((place / CONFIG).read_text())
        config["golden"] = ""  # takes its time, and test_integers.py has it
        change(place, config)
        (place / CONFIG).write_text(json.dumps(config))
        places.append(place)
    assert node(BEGIN + REFUSED, MODULE, RUNTIME, *places) == [
        "RangeError: scale is 3; allowed: 1, 2, 4",
        f"RangeError: {DEFAULT} has no upscaler",
        f"Error: {DEFAULT} has another upscaler than this upscaler.safetensors",
        f"TypeError: {DEFAULT} has no upscaler of integers: what it enlarges differs from machine "
        "to machine",
        f"Error: {DEFAULT} does not enlarge as its upscaler was written to",
        f"RangeError: {DEFAULT} has no upscaler",
        "Error: lost",
        str(128 * 128 * 3),  # what was lost is read again
    ]


@pytest.mark.browser
@pytest.mark.skipif(not RUNTIME.exists(), reason="npm ci --prefix docs/examples has not been run")
def test_a_name_is_enlarged_in_chromium_as_the_service_does(
    browser: Any, folder: Path, client: TestClient
) -> None:
    with served(folder) as address:
        page = browser.new_page()
        page.goto(f"{address}/draw/")
        for scale in SCALES:
            page.get_by_label("Scale").select_option(str(scale))
            page.locator(f"canvas[width='{64 * scale}']").wait_for()
            height, width, text = page.locator("canvas").evaluate(FLAT)
            found = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
            assert np.array_equal(found[..., :3], answered(client, "ada", scale)), scale
        page.close()


@pytest.mark.browser
@pytest.mark.skipif(not RUNTIME.exists(), reason="npm ci --prefix docs/examples has not been run")
def test_what_was_asked_for_before_is_not_shown_after(browser: Any, folder: Path) -> None:
    with served(folder) as address:
        page = browser.new_page()
        held: list[Any] = []
        page.route("**/upscaler-4x.onnx", lambda route: held.append(route))
        page.goto(f"{address}/draw/")
        page.locator("canvas[width='64']").wait_for()
        page.evaluate(WIDTHS)
        scale = page.get_by_label("Scale")
        scale.select_option("4")
        while not held:
            page.wait_for_timeout(10)
        scale.select_option("1")
        held[0].continue_()
        scale.select_option("2")
        page.locator("canvas[width='128']").wait_for()
        assert "256" not in page.evaluate("widths")
        page.close()


# --- the command ---


def test_command_writes_an_upscaler_that_enlarges_to_the_same_bytes(
    folder: Path, client: TestClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "x.onnx"
    assert main(["onnx", DEFAULT, "--scale", "2", "--output", str(output)]) == 0
    assert "bytes, checked\n" in capsys.readouterr().out
    assert output.read_bytes() == (folder / "upscaler-2x.onnx").read_bytes()
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    (large,) = session.run(["large"], {"pixels": answered(client, 7, 1)[None]})
    assert np.array_equal(large[0], answered(client, 7, 2))
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["upscaler_sha256"] == read_upscaler(generator_folder(DEFAULT) / UPSCALER).sha256
    assert facts["scale"] == "2"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(f"{DEFAULT} --scale 3", "scale is 3; upscaler", id="another scale"),
        pytest.param("mnist --scale 2", "has no upscaler", id="none"),
    ],
)
def test_command_refuses_a_scale_that_is_not_there(
    words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["onnx", *words.split(), "--output", str(tmp_path / "x.onnx")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.onnx").exists()
