"""The definition of what an integer generator draws, and of what an integer upscaler makes of its
pictures, in plain NumPy: any other runtime must give these bytes. docs/integers.md says the same in
words.

    rows (N, input_dim) float32 -> steps -> pixels (N, side, side, C) uint8
    pixels (N, H, W, C) uint8   -> steps -> pixels (N, scale H, scale W, C) uint8
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.integers.steps import (
    LARGEST_WHOLE,
    LATENT_LIMIT,
    LATENT_STEP,
    Add,
    Bilinear,
    Center,
    Convolution,
    Dense,
    Join,
    Leaky,
    Look,
    Modulate,
    Pixels,
    Quantize,
    Step,
    Tensors,
    last_target,
    zeros_of,
)
from model.networks.graph import LEAKY_SLOPE

Map = NDArray[np.float32]  # (N, C, H, W), or (N, C)


def draw(
    steps: Sequence[Step], tensors: Tensors, rows: NDArray[np.float32], crop: int
) -> NDArray[np.uint8]:
    """Draws the pictures of rows."""
    values = run(steps, tensors, rows)
    pixels = values[last_target(steps)]
    margin = (pixels.shape[2] - crop) // 2
    inner = pixels[:, :, margin : margin + crop, margin : margin + crop]
    return np.ascontiguousarray(inner.transpose(0, 2, 3, 1).astype(np.uint8))


def enlarge(
    steps: Sequence[Step], tensors: Tensors, pixels: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Enlarges pictures (N, H, W, C) by the steps of one scale of an upscaler."""
    values = run(steps, tensors, pixels.transpose(0, 3, 1, 2).astype(np.float32))
    large = values[last_target(steps)].transpose(0, 2, 3, 1)
    return np.ascontiguousarray(large.astype(np.uint8))


def run(
    steps: Sequence[Step], tensors: Tensors, rows: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    """Computes all values; bytes and whole numbers are in float32 too."""
    values: dict[str, NDArray[Any]] = {steps[0].source: rows}
    zeros = zeros_of(steps, tensors)
    for step in steps:
        x = values[step.source]
        match step:
            case Dense():
                y, start = dense(step, tensors, x), 0
                for part in step.parts:
                    own = y[:, start : start + part.size]
                    start += part.size
                    if part.side is not None:
                        own = np.rint(own).clip(-LARGEST_WHOLE, LARGEST_WHOLE)
                        own = own.reshape(len(x), -1, part.side, part.side)
                    values[part.target] = own
            case Pixels():
                values[step.target] = x
            case Join():
                values[step.target] = np.concatenate([x, values[step.other]], 1)
            case Quantize():
                if step.scaled:
                    x = x / tensors[f"{step.name}.unit"]
                values[step.target] = to_byte(x, zeros[step.target])
            case Convolution():
                values[step.target] = convolution(step, tensors, x, zeros[step.source])
            case Center():
                values[step.target] = x - np.float32(step.zero)
            case Modulate():
                scale, shift = values[step.scale], values[step.shift]
                values[step.target] = x * scale[:, :, None, None] + shift[:, :, None, None]
            case Leaky():
                values[step.target] = np.where(x < 0, x * np.float32(LEAKY_SLOPE), x)
            case Add():
                values[step.target] = x + values[step.other]
            case Bilinear():
                values[step.target] = bilinear(x)
            case Look():
                values[step.target] = tensors[f"{step.name}.table"][x.astype(int)]
    return values


def to_byte(x: Map, zero: int) -> Map:
    """Rounds to the nearest whole number, halves to the even one, and cuts to a byte."""
    found: Map = np.clip(np.rint(x) + np.float32(zero), 0, 255)
    return found


def dense(step: Dense, tensors: Tensors, x: Map) -> Map:
    """Computes a dense layer of whole numbers of 24 bits, a byte of them at a time."""
    weight = tensors[f"{step.name}.weight"].astype(np.int32)
    scale, bias = (tensors[f"{step.name}.{name}"] for name in ("scale", "bias"))
    whole = np.rint(x / np.float32(LATENT_STEP)).clip(-LATENT_LIMIT, LATENT_LIMIT).astype(np.int32)
    parts = [
        (digit @ weight.T).astype(np.float32) * (scale * np.float32(factor))
        for digit, factor in ((whole >> 16, 65536), (whole >> 8 & 255, 256), (whole & 255, 1))
    ]
    found: Map = parts[0] + parts[1] + parts[2] + bias
    return found


def convolution(step: Convolution, tensors: Tensors, x: Map, zero: int) -> Map:
    """Computes a convolution: whole sums, each times its channel's multiplier, to bytes."""
    weight, bias, multiplier = (
        tensors[f"{step.name}.{name}"] for name in ("weight", "bias", "multiplier")
    )
    padding, kernel = step.padding, step.kernel
    # whole numbers are exact in float64
    padded = np.pad(x.astype(np.float64) - zero, [(0, 0), (0, 0)] + [(padding, padding)] * 2)
    height, width = (side - kernel + 1 for side in padded.shape[2:])
    sums = np.zeros((len(x), step.outputs, height, width))
    for row in range(kernel):
        for column in range(kernel):
            part = padded[:, :, row : row + height, column : column + width]
            sums += np.einsum("oi,nihw->nohw", weight[:, :, row, column], part, optimize=True)
    whole = (sums + bias[:, None, None]).astype(np.float32)
    found = to_byte(whole * multiplier[:, None, None], step.zero)
    return shuffled(found, step.kernel, step.factor)


def shuffled(x: Map, kernel: int, factor: int = 2) -> Map:
    """Lays the outputs of a channel out as squares of `factor` by `factor`; those of an even kernel
    lie around the map's corners, and the border is left out.
    """
    count, outputs, height, width = x.shape
    channels = outputs // factor**2
    squares = x.reshape(count, factor, factor, channels, height, width).transpose(0, 3, 4, 1, 5, 2)
    found = squares.reshape(count, channels, factor * height, factor * width)
    return found if kernel % 2 else found[:, :, 1:-1, 1:-1]


def bilinear(x: Map) -> Map:
    """Doubles the side: a pixel is 9, 3, 3 and 1 sixteenths of the four that are nearest; beyond
    the border lies the border again. Exact.
    """
    for axis in (2, 3):
        first, last = (np.take(x, [place], axis) for place in (0, -1))
        before = np.concatenate([first, np.delete(x, -1, axis)], axis)
        behind = np.concatenate([np.delete(x, 0, axis), last], axis)
        halves = [np.float32(0.75) * x + np.float32(0.25) * other for other in (before, behind)]
        shape = list(x.shape)
        shape[axis] *= 2
        x = np.stack(halves, axis + 1).reshape(shape)
    return x
