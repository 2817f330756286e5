"""Pictures as arrays: the one place that knows the pixel range.

networks: float32 (N, C, H, W) in [-1, 1]      files and HTTP: uint8 (N, H, W, C) in [0, 255]
"""

import numpy as np
from numpy.typing import NDArray

HALF_RANGE = 127.5  # uint8 x stands for x / HALF_RANGE - 1


def to_pixels(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Maps (N, C, H, W) in [-1, 1] to (N, H, W, C) uint8, by the fixed scale (x + 1) / 2; halves
    round up.
    """
    scaled = np.floor(images * np.float32(HALF_RANGE) + np.float32(HALF_RANGE + 0.5))
    return np.ascontiguousarray(scaled.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def pad_to(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Adds zeros (black: -1 to the networks) around (N, H, W, C) pictures, up to `side` pixels a
    side; no copy where they have that side.

    Raises:
        ValueError: a picture is larger than `side`, or the margin is odd.
    """
    margins = [side - pixels.shape[1], side - pixels.shape[2]]
    if any(margin < 0 or margin % 2 for margin in margins):
        raise ValueError(
            f"{pixels.shape[1]}x{pixels.shape[2]} pictures cannot be centred in {side}x{side}"
        )
    if not any(margins):
        return pixels
    rows, columns = (margin // 2 for margin in margins)
    return np.pad(pixels, ((0, 0), (rows, rows), (columns, columns), (0, 0)))


def crop_center(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Returns the centre `side` x `side` of (N, H, W, C) pictures: the inverse of `pad_to`."""
    top, left = (pixels.shape[1] - side) // 2, (pixels.shape[2] - side) // 2
    return pixels[:, top : top + side, left : left + side]


def tile(pixels: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Lays (N, H, W, C) pictures out on one sheet (rows * H, columns * W, C), row by row; places
    left over are black.
    """
    count, height, width, channels = pixels.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:count] = pixels
    grid = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)
