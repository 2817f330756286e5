"""A generator that costs nothing: latents in, real pictures out, no network between.

It stands in for the network where serving alone is measured, in our service and in its peers. The
pictures are the digits of the sheet that ships, so encoding them costs what it costs in earnest.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.generators import ZOO

ZOO_MNIST = ZOO / "mnist"
SIDE = 28  # pixels
Z_DIM = 100


class NoopGenerator:
    """Has the interface of a sampler: z (N, 100) float32 -> pictures (N, 28, 28, 1) uint8."""

    input_dim = Z_DIM

    def __init__(self) -> None:
        self._digits = shipped_digits()

    def __call__(self, z: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Returns the digit that the latent points at, its first pixels the latent's own bytes:
        pictures of two seeds differ.
        """
        index = ((z[:, 0] + 1) / 2 * len(self._digits)).astype(np.int64) % len(self._digits)
        pictures: NDArray[np.uint8] = self._digits[index]
        pictures[:, 0, :8, 0] = np.ascontiguousarray(z[:, :2]).view(np.uint8)
        return pictures


def shipped_digits() -> NDArray[np.uint8]:
    """Returns the pictures (N, 28, 28, 1) of the sheet beside the generator file."""
    with Image.open(ZOO_MNIST / "samples.png") as sheet:
        pixels = np.asarray(sheet.convert("L"))
    rows, columns = pixels.shape[0] // SIDE, pixels.shape[1] // SIDE
    grid = pixels[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE)
    return np.ascontiguousarray(grid.swapaxes(1, 2).reshape(-1, SIDE, SIDE, 1))
