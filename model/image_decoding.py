"""One picture file as people have it: its bytes in, an upright square of uint8 pixels out.

    decode(content) -> (image, what the file held) -> square(image, side, channels, fit)

Knows no folders, no classes and no training.
"""

import io
from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

Fit = Literal["crop", "pad"]  # the centre square, or the whole picture with white around it
FITS: tuple[Fit, ...] = get_args(Fit)
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")
MAX_PIXELS = 89_478_485  # in one picture; Pillow itself begins to warn of bombs here


class BrokenPictureError(Exception):
    """A file that holds no usable picture; the message says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a file held before its picture was made square."""

    width: int  # pixels, upright
    height: int
    mode: str  # Pillow's: L, RGB, RGBA, P, CMYK, I;16, ...
    turned: bool = False  # by its EXIF orientation; TIFF files turn on their own
    transparent: bool = False  # anywhere


def decode(content: bytes, max_pixels: int = 0) -> tuple[Image.Image, Found]:
    """Decodes the first picture of a file, upright and on white, L or RGB; of MAX_PIXELS at most
    where `max_pixels` is 0.

    Raises:
        BrokenPictureError: no known format, damaged, truncated, too large, or of 32 bits a value.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            most = max_pixels or MAX_PIXELS
            if image.width * image.height > most:
                raise BrokenPictureError(
                    f"{image.width}x{image.height} are more than {most:,} pixels"
                )
            image.load()
            upright, turned = _upright(image)
            plain, transparent = _on_white(upright)
            return plain, Found(plain.width, plain.height, image.mode, turned, transparent)
    except BrokenPictureError:
        raise
    except UnidentifiedImageError:
        raise BrokenPictureError("no picture in a known format") from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        reason = str(error).partition("\n")[0]
        raise BrokenPictureError(reason or type(error).__name__) from None


def is_grey(content: bytes) -> bool:
    """Checks whether a file's header promises a grey picture.

    Raises:
        BrokenPictureError: it has no such header.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return image.mode in GREY_MODES
    except Exception as error:
        raise BrokenPictureError(type(error).__name__) from None


def smaller_side(content: bytes) -> int:
    """Reads the pixels of a picture's smaller side from its file's header.

    Raises:
        BrokenPictureError: it has no such header.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return min(image.size)
    except Exception as error:
        raise BrokenPictureError(type(error).__name__) from None


def square(image: Image.Image, side: int, channels: int, fit: Fit) -> NDArray[np.uint8]:
    """Makes (side, side, channels) pixels of an image (Lanczos); one of that size stays as it is.

    `crop` takes the centre square, `pad` the whole picture in the middle of white.
    """
    mode, size = "L" if channels == 1 else "RGB", (side, side)
    image = image if image.mode == mode else image.convert(mode)
    if fit == "crop":
        image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    else:
        longer = max(image.size)
        width, height = (max(1, round(side * length / longer)) for length in image.size)
        inner = image.resize((width, height), Image.Resampling.LANCZOS)
        image = Image.new(mode, size, "white")
        image.paste(inner, ((side - width) // 2, (side - height) // 2))
    return np.asarray(image, np.uint8).reshape(side, side, channels)


def what_was_done(found: Counter[Found], side: int, fit: Fit) -> str:
    """Describes what was done, for the log; empty where all pictures were used as they are."""

    def count(which: list[Found]) -> int:
        return sum(found[one] for one in which)

    measure = min if fit == "crop" else max
    done = {
        "cropped to their centre square"
        if fit == "crop"
        else "padded with white to a square": count([f for f in found if f.width != f.height]),
        f"enlarged, being smaller than {side}x{side}": count(
            [f for f in found if measure(f.width, f.height) < side]
        ),
        f"reduced to {side}x{side}": count([f for f in found if measure(f.width, f.height) > side]),
        "turned upright by their EXIF": count([f for f in found if f.turned]),
        "laid on white where transparent": count([f for f in found if f.transparent]),
    }
    some = [f"{number:,} {what}" for what, number in done.items() if number]
    return f"of {found.total():,} pictures: {', '.join(some)}" if some else ""


def _upright(image: Image.Image) -> tuple[Image.Image, bool]:
    try:
        if image.getexif().get(Base.Orientation, 1) in range(2, 9):
            return ImageOps.exif_transpose(image), True
    except Exception:  # damaged EXIF says nothing about the picture
        return image, False
    return image, False


def _on_white(image: Image.Image) -> tuple[Image.Image, bool]:
    """Returns the image as L or RGB, and whether white shows through it."""
    if image.mode.startswith("I;16"):  # convert() would clip at 255
        high = np.asarray(image) >> 8
        return Image.fromarray(high.astype(np.uint8)), False
    if image.mode in ("I", "F"):
        raise BrokenPictureError(f"mode {image.mode}: values of 32 bits have no known range")
    mode = "L" if image.mode in GREY_MODES else "RGB"
    if not image.has_transparency_data:
        return image.convert(mode), False
    layer = image.convert("RGBA")
    whole = Image.new("RGBA", image.size, "white")
    whole.alpha_composite(layer)
    least = layer.getchannel("A").getextrema()[0]
    return whole.convert("RGB").convert(mode), least != 255
