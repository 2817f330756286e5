"""PNG files of pictures: pixels in, bytes out, every pixel kept."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MEDIA_TYPE = "image/png"


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """The PNG file of one picture (H, W, C); C is 1 (grey) or 3 (RGB)."""
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(stream, "PNG")
    return stream.getvalue()
