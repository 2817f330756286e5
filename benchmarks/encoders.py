"""Encoders on generated pictures: pixels in, microseconds and bytes a file out, one thread.

PNG, each file decoded once and compared with its pixels; and loops of 40 frames at 64x64.
"""

import io
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.runtimes import shipped, torch_generator
from model.encoding import png
from model.encoding.animations import ANIMATIONS, HAS_VIDEO, encode_animation
from model.encoding.formats import enlarge
from model.encoding.png import encode_png, encode_pngs
from model.images import crop_center, to_pixels
from model.latent_space.paths import interpolate

COUNT = 512  # pictures of each form
BATCH = 64
FRAMES = 40  # frames of a loop
RECIPE = '{"model":"mnist@c40bb510f740","seed":1234567890}'
Pixels = NDArray[np.uint8]  # (N, H, W, C)
Encode = Callable[[Pixels], list[bytes]]


@dataclass(frozen=True)
class Row:
    """One encoder on one form of picture."""

    encoder: str
    form: str
    microseconds: float  # CPU, one file, median of the passes
    bytes: float  # mean of a file


def measure_all(seconds: float) -> list[Row]:
    """Measures every encoder on every form."""
    rows = []
    for form, pixels in pictures().items():
        for name, encode in ENCODERS.items():
            files = encode(pixels)
            for file, picture in zip(files, pixels, strict=True):
                with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
                    decoded = np.asarray(image).reshape(picture.shape)
                assert np.array_equal(decoded, picture), f"{name} changes pixels"
            spent = _cpu_seconds(encode, pixels, seconds)
            rows.append(Row(name, form, spent / len(pixels) * 1e6, sum(map(len, files)) / COUNT))
    return rows + measure_loops(seconds)


def measure_loops(seconds: float) -> list[Row]:
    """Measures every animation of a way through latent space, 40 grey frames of 64x64."""
    file = shipped()
    keys = file.config.rows([1, 2, 3, 4])
    z = interpolate(keys, FRAMES, "lerp", loop=True)
    with torch.inference_mode():
        small = to_pixels(torch_generator(file)(torch.from_numpy(z)).numpy())
    frames = enlarge(small, 2, "lanczos")
    rows = []
    for name in ANIMATIONS:
        if name == "mp4" and not HAS_VIDEO:
            continue

        def encode(pixels: Pixels, name: str = name) -> list[bytes]:
            return [encode_animation(pixels, name, fps=20, recipe=RECIPE)]

        size = len(encode(frames)[0])
        spent = _cpu_seconds(encode, frames, seconds, every_thread=True)
        rows.append(Row(name, f"{FRAMES} frames of 64x64", spent * 1e6, size))
    return rows


def pictures() -> dict[str, Pixels]:
    """Returns the shipped generator's pictures as they are served, and whole ones of three seeds
    each as the colours of an RGB picture: nothing that ships draws in colour.
    """
    file = shipped()
    generator = torch_generator(file)
    z = file.config.rows(range(3 * COUNT))
    with torch.inference_mode():
        parts = [generator(part).numpy() for part in torch.split(torch.from_numpy(z), BATCH)]
    pixels = to_pixels(np.concatenate(parts))
    colours = np.ascontiguousarray(
        pixels.reshape(3, COUNT, *pixels.shape[1:3]).transpose(1, 2, 3, 0)
    )
    grey = np.ascontiguousarray(crop_center(pixels[:COUNT], file.config.crop))
    return {"28x28 grey": grey, "32x32 RGB": colours}


def _cpu_seconds(
    encode: Encode, pixels: Pixels, seconds: float, *, every_thread: bool = False
) -> float:
    clock = time.process_time if every_thread else time.thread_time  # a library may have its own
    passes: list[float] = []
    end = time.perf_counter() + seconds
    while len(passes) < 3 or time.perf_counter() < end:
        start = clock()
        encode(pixels)
        passes.append(clock() - start)
    return median(passes)


def _pillow(pixels: Pixels, **options: int) -> list[bytes]:
    files = []
    for picture in pixels:
        stream = io.BytesIO()
        Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(
            stream, "PNG", **options
        )
        files.append(stream.getvalue())
    return files


def _zlib_sub(pixels: Pixels) -> list[bytes]:
    """Encodes by hand: each row less itself one pixel to the left, then zlib at level 1."""
    count, height, width, channels = pixels.shape
    filtered = np.ones((count, height, 1 + width * channels), np.uint8)  # 1 names the Sub filter
    rows = pixels.reshape(count, height, -1)
    filtered[:, :, 1:] = rows
    filtered[:, :, 1 + channels :] -= rows[:, :, :-channels]
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
    end = _chunk(b"IEND", b"")
    return [start + _chunk(b"IDAT", zlib.compress(picture, 1)) + end for picture in filtered]


def _unmarked(pixels: Pixels) -> list[bytes]:
    """Ours less its marks: what they cost is the difference."""
    count, height, width, channels = pixels.shape
    rows = np.zeros((count, height, 1 + width * channels), np.uint8)
    rows[:, :, 1:] = pixels.reshape(count, height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
    end = _chunk(b"IEND", b"")
    return [
        start + _chunk(b"IDAT", png._deflated(picture.reshape(-1).data)) + end for picture in rows
    ]


def _in_batches(encode: Encode) -> Encode:
    def batches(pixels: Pixels) -> list[bytes]:
        files: list[bytes] = []
        for start in range(0, len(pixels), BATCH):
            files += encode(pixels[start : start + BATCH])
        return files

    return batches


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


ENCODERS: dict[str, Encode] = {
    "Pillow": _pillow,
    "Pillow level 1": lambda pixels: _pillow(pixels, compress_level=1),
    "zlib level 1, Sub filter": _zlib_sub,
    "ours, one at a time": lambda pixels: [encode_png(picture) for picture in pixels],
    f"ours, a batch of {BATCH}": _in_batches(encode_pngs),
    "ours, with recipes": _in_batches(lambda pixels: encode_pngs(pixels, [RECIPE] * len(pixels))),
    "ours, unmarked": _in_batches(_unmarked),
}
