"""An integer generator's pixels, drawn by every runtime and processor that can be had here; with
`--scale` enlarged by its integer upscaler.

    python -m benchmarks.machines avatars-int8

    seeds -> latents -> pixels  ->  one SHA-256 a way, of the first few seeds and of all

Older processors are emulated by `qemu-x86_64` (Debian: qemu-user), the seeds' latents too, and with
`--aarch64` and a folder of `.ci/aarch64` ARM's by `qemu-aarch64`: without dot products, with them,
and with all that it knows. JavaScript and WebAssembly want Node.js and `npm ci --prefix
docs/examples`, and once more a Chromium, which also tells how long docs/draw takes to its first
picture. What is not installed is named. Each process first draws what a start draws to see that its
runtime rounds as it must. Exits 1 if two ways differ.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from model.generator_file import CONFIG, GeneratorFile, read_generator_file
from model.generators import generator_folder
from model.integers import reference
from model.integers.trace import steps_of
from model.samplers.onnx import OnnxSampler
from model.samplers.onnx_file import write_onnx
from model.samplers.sampler import check_rounding
from model.upscaling.onnx_upscaler import OnnxUpscaler, write_upscaler_onnx
from model.upscaling.upscaler_file import UPSCALER, Upscale, UpscalerFile

PROCESSORS = ("SandyBridge", "Haswell", "Cascadelake-Server")
ARM = ("cortex-a72", "neoverse-n1", "max")
BATCHES = (1, 3, 16, 64, 256)
ROOT = Path(__file__).parent.parent
MODULE = ROOT / "docs" / "draw" / "ganserve-draw.js"
WEB = ROOT / "docs" / "examples" / "node_modules" / "onnxruntime-web" / "dist" / "ort.wasm.min.mjs"
SCRIPT = """
import { createHash } from "node:crypto"
import fs from "node:fs"
import { pathToFileURL } from "node:url"
const [module, runtime, folder, count, scale] = process.argv.slice(1)
const ort = await import(pathToFileURL(runtime))
const { Generator } = await import(pathToFileURL(module))
ort.env.wasm.numThreads = 1
const read = async (name) => new Uint8Array(fs.readFileSync(`${folder}/${name}`))
const config = JSON.parse(fs.readFileSync(`${folder}/config.json`))
const generator = await Generator.of(ort, config, await read("model.onnx"), read)
const digest = createHash("sha256")
for (let seed = 0n; seed < BigInt(count); seed += 1n) {
  digest.update(await generator.draw([seed], undefined, Number(scale)))
}
console.log(digest.digest("hex"))
"""

IN_PAGE = """
async ([count, scale]) => {
  const ort = await import("/examples/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs")
  const { Generator } = await import("/draw/ganserve-draw.js")
  const generator = await Generator.load(ort, "/draw/generator")
  const drawn = []
  for (let seed = 0; seed < count; seed += 1) {
    drawn.push(await generator.draw([BigInt(seed)], undefined, scale))
  }
  const bytes = await new Blob(drawn).arrayBuffer()
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")
}
"""

Draw = Callable[[NDArray[np.float32]], NDArray[np.uint8]]


def digests(file: GeneratorFile, draw: Draw, size: int, few: int, seeds: int) -> tuple[str, str]:
    """Returns the SHA-256 of the pixels of the first few seeds, and of all."""
    found, first = hashlib.sha256(), ""
    for start in range(0, seeds, size):
        pixels = draw(file.config.rows(range(start, min(start + size, seeds))))
        if start < few <= start + size:
            part = found.copy()
            part.update(pixels[: few - start].tobytes())
            first = part.hexdigest()
        found.update(pixels.tobytes())
    return first, found.hexdigest()


def enlarged(
    draw: Draw, file: GeneratorFile, scale: int, load: Callable[[UpscalerFile], Upscale]
) -> Draw:
    """Draws, and enlarges by what `load` makes of the generator's upscaler."""
    if scale == 1 or file.upscaler is None:
        return draw
    upscale = load(file.upscaler)
    return lambda rows: upscale(draw(rows), scale)


def definition(upscaler: UpscalerFile) -> Upscale:
    """Returns the definition of what an upscaler makes of pictures."""
    network, tensors = upscaler.header.network, upscaler.tensors
    return lambda pixels, scale: reference.enlarge(network.steps(scale), tensors, pixels)


def ways_here(
    file: GeneratorFile, few: int, seeds: int, scale: int
) -> Iterator[tuple[str, str, str]]:
    """Yields the ways of this process: name, digest of a few and of all, "" where not all are."""
    for threads in (1, 2):
        load = partial(OnnxUpscaler, threads=threads)
        sampler = enlarged(OnnxSampler(file, threads), file, scale, load)
        for size in BATCHES:
            name = f"ONNX Runtime, threads {threads}, batches of {size}"
            yield name, *digests(file, sampler, size, few, seeds)
    steps, config = steps_of(file.config.network), file.config

    def defined(rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        return reference.draw(steps, file.tensors, rows, config.crop)

    in_numpy = enlarged(defined, file, scale, definition)
    yield "NumPy, the definition", digests(file, in_numpy, 16, few, few)[0], ""
    try:
        from model.samplers.pytorch import load_torch_sampler, resolve_device
        from model.upscaling.cuda import TorchUpscaler
    except ImportError:
        print("PyTorch is not installed", flush=True)
        return
    in_torch = partial(TorchUpscaler, device=resolve_device("cpu"))
    in_pytorch = enlarged(load_torch_sampler(file, "cpu", "fp32", 1), file, scale, in_torch)
    yield "PyTorch, float32", digests(file, in_pytorch, 16, few, few)[0], ""


def emulated(aarch64: Path | None) -> Iterator[tuple[str, list[str]]]:
    """Yields processors, and the words that run Python on each; ARM's with that of a folder."""
    ways = [("qemu-x86_64", PROCESSORS, [sys.executable])]
    if aarch64:
        root = aarch64.resolve()
        ways.append(("qemu-aarch64", ARM, ["-L", str(root), str(root / "usr" / "bin" / "python3")]))
    for emulator, processors, python in ways:
        if shutil.which(emulator):
            yield from ((one, [emulator, "-cpu", one, *python]) for one in processors)
        else:
            print(f"{emulator} is not installed", flush=True)


def ways_elsewhere(
    folder: Path, few: int, scale: int, aarch64: Path | None
) -> Iterator[tuple[str, str, str]]:
    """Yields those of other processes."""
    own = ["-m", "benchmarks.machines", str(folder), "--seeds", str(few), "--scale", str(scale)]
    for processor, python in emulated(aarch64):
        yield f"ONNX Runtime, emulated {processor}", printed([*python, *own, "--alone"]), ""
    if not shutil.which("node") or not WEB.exists():
        print("Node.js or docs/examples/node_modules is not here", flush=True)
        return
    with tempfile.TemporaryDirectory() as place:
        write_for_browsers(folder, Path(place))
        command = ["node", "--input-type=module", "-e", SCRIPT, MODULE, WEB, place, few, scale]
        yield "JavaScript and WebAssembly", printed([str(word) for word in command]), ""
        try:
            from benchmarks.page import chromium

            with served(Path(place)) as address, chromium() as browser:
                page = browser.new_page()
                start = time.perf_counter()
                page.goto(f"{address}/draw/")
                page.get_by_text("drawn by this browser").wait_for()
                print(f"{time.perf_counter() - start:.2f} s to the first picture in a new Chromium")
                yield "Chromium", page.evaluate(IN_PAGE, [few, scale]), ""
        except (ImportError, SystemExit) as error:
            print(error, flush=True)


def write_for_browsers(folder: Path, place: Path) -> None:
    """Writes what docs/draw reads of a model folder into a folder that is there."""
    file = read_generator_file(folder)
    shutil.copy(folder / CONFIG, place)
    write_onnx(file, place / "model.onnx")
    if file.upscaler:
        shutil.copy(folder / UPSCALER, place)
        for scale in file.upscaler.scales:
            write_upscaler_onnx(file.upscaler, scale, place / f"upscaler-{scale}x.onnx")


@contextmanager
def served(generator: Path) -> Iterator[str]:
    """Serves the page of docs/draw with a generator; yields its address."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        shutil.copytree(MODULE.parent, root / "draw", ignore=shutil.ignore_patterns("generator"))
        (root / "draw" / "generator").symlink_to(generator)
        (root / "examples").symlink_to(ROOT / "docs" / "examples")
        handler = partial(QuietHandler, directory=place)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_message(self, format: str, *arguments: object) -> None:
        """Keeps the table in one piece."""


def printed(command: list[str]) -> str:
    """Runs a command; returns what it prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("generator", help="an integer generator: name in model/zoo, or its folder")
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--few", type=int, default=300, help="seeds for what takes long")
    parser.add_argument("--scale", type=int, choices=(1, 2, 4), default=1)
    parser.add_argument("--aarch64", type=Path, metavar="FOLDER", help="that .ci/aarch64 has made")
    parser.add_argument("--alone", action="store_true", help="print one digest, of all in fours")
    options = parser.parse_args()
    folder = generator_folder(options.generator)
    file = read_generator_file(folder)
    few, scale = min(options.few, options.seeds), options.scale
    if scale > 1 and not (file.upscaler and file.upscaler.header.is_integer):
        parser.error(f"{options.generator} has no integer upscaler")
    check_rounding(OnnxSampler, file)
    if options.alone:
        draw = enlarged(OnnxSampler(file), file, scale, OnnxUpscaler)
        print(digests(file, draw, 4, 0, options.seeds)[1])
        return 0
    short, whole = set(), set()
    elsewhere = ways_elsewhere(folder, few, scale, options.aarch64)
    for ways in (ways_here(file, few, options.seeds, scale), elsewhere):
        for name, first, all_ in ways:
            print(f"{name:42} {first[:16]} {all_[:16]}", flush=True)
            short.add(first)
            whole |= {all_} - {""}
    alike = len(short) == len(whole) == 1
    ranges = f"seeds 0 to {few - 1}, 0 to {options.seeds - 1}"
    print(f"{ranges}: {'one' if alike else 'NOT one'} digest each")
    return 0 if alike else 1


if __name__ == "__main__":
    sys.exit(main())
