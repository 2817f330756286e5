"""Still pictures: an array in, a file of the chosen format out, marked as made by an algorithm.

    (N, H, W, C) -> enlarge -> (H, W, C) -> encode_still -> PNG | WebP | AVIF | JPEG | npy

The same pixels, quality and recipe give the same bytes, with the same versions of the libraries. An
npy file has no place for a mark or a recipe: it is an array, not a picture.
"""

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.encoding import marking, png

LARGEST_SCALE = 16
Interpolation = Literal["nearest", "lanczos"]


@dataclass(frozen=True, kw_only=True)
class Format:
    """What a request may ask for, and what it then gets."""

    name: str
    extensions: tuple[str, ...]  # the first is the one to write
    media_type: str
    longest_side: int  # pixels
    encoder_bytes: int  # a pixel, that its encoder takes at most, the file included
    has_quality: bool = False  # 1-100

    def memory(self, pixels: int, channels: int) -> int:
        """Returns the bytes that finishing and encoding so many pixels take at most."""
        return pixels * (2 * channels + self.encoder_bytes)


class PictureTooLarge(ValueError):
    """The format cannot hold a picture with a side that long."""


STILLS = {
    format.name: format
    for format in (
        Format(
            name="png",
            extensions=("png",),
            media_type=png.MEDIA_TYPE,
            longest_side=2**31 - 1,
            encoder_bytes=10,
        ),
        Format(
            name="webp",  # without a quality, every pixel is kept
            extensions=("webp",),
            media_type="image/webp",
            longest_side=16_383,
            encoder_bytes=30,
            has_quality=True,
        ),
        Format(
            name="avif",
            extensions=("avif",),
            media_type="image/avif",
            longest_side=16_384,  # a square of these is what libavif reads
            encoder_bytes=34,
            has_quality=True,
        ),
        Format(
            name="jpeg",
            extensions=("jpg", "jpeg"),
            media_type="image/jpeg",
            longest_side=65_500,
            encoder_bytes=13,
            has_quality=True,
        ),
        Format(
            name="npy",
            extensions=("npy",),
            media_type="application/x-npy",
            longest_side=2**31 - 1,
            encoder_bytes=9,
        ),
    )
}


def encode_still(
    pixels: NDArray[np.uint8], format: str, quality: int | None = None, recipe: str | None = None
) -> bytes:
    """Encodes one picture (H, W, C), grey or RGB, in the format of that name.

    Quality is 1-100 where the format has it; without one, WebP keeps every pixel, AVIF takes 75 and
    JPEG 90.

    Raises:
        PictureTooLarge: the format cannot hold it.
        ValueError: the recipe is not printable ASCII, or is too long.
    """
    check_size(STILLS[format], pixels.shape[0], pixels.shape[1])
    assert quality is None or STILLS[format].has_quality, format
    if format == "png":
        return png.encode_png(pixels, recipe)
    stream = io.BytesIO()
    if format == "npy":
        np.save(stream, np.ascontiguousarray(pixels))
    else:
        options = _options(format, quality)
        to_image(pixels).save(stream, format, xmp=marking.packet(recipe), **options)
    return stream.getvalue()


def _options(format: str, quality: int | None) -> dict[str, Any]:
    match format:
        case "webp":
            return {"method": 0, **webp_quality(quality)}
        case "avif":  # one thread: tiles, and so bytes, follow the number of threads
            return {"quality": quality or 75, "speed": 10, "max_threads": 1}
        case _:  # jpeg: colour at full size, for small pictures have no pixel to spare
            return {"quality": quality or 90, "subsampling": "4:4:4"}


def webp_quality(quality: int | None) -> dict[str, Any]:
    """Returns Pillow's options for a WebP of that quality, or a lossless one where it is None."""
    return {"lossless": True} if quality is None else {"quality": quality}


def check_size(format: Format, height: int, width: int) -> None:
    """Refuses what the format cannot hold.

    Raises:
        PictureTooLarge: a side is longer than the format allows.
    """
    if max(height, width) > format.longest_side:
        raise PictureTooLarge(
            f"{width}x{height} pixels are too many for {format.name}; allowed: "
            f"up to {format.longest_side} a side"
        )


def enlarge(
    pixels: NDArray[np.uint8],
    scale: int,
    resample: Interpolation = "nearest",
) -> NDArray[np.uint8]:
    """Makes the sides of pictures (N, H, W, C) `scale` times as long, 1-16: each pixel a square
    (nearest), or smooth (lanczos). Each picture is enlarged on its own.
    """
    assert 1 <= scale <= LARGEST_SCALE, scale
    if scale == 1:
        return pixels
    count, height, width, channels = pixels.shape
    large = np.empty((count, height * scale, width * scale, channels), np.uint8)
    for picture, place in zip(pixels, large, strict=True):  # others have the interpreter between
        if resample == "nearest":
            place[:] = picture.repeat(scale, axis=0).repeat(scale, axis=1)
            continue
        image = to_image(picture).resize((width * scale, height * scale), Image.Resampling.LANCZOS)
        place[:] = np.asarray(image).reshape(place.shape)
    return large


def to_image(pixels: NDArray[np.uint8]) -> Image.Image:
    """Makes a Pillow image of (H, W, C) pixels: L for one channel, RGB for three."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
