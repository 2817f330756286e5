"""One picture file as people have it: its bytes in, an upright square of uint8 pixels out.

    decode(content) -> (image, what the file held) -> square(image, side, channels, fit)

Knows no folders, no classes and no training.
"""

import io
import logging
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

Fit = Literal["crop", "pad"]  # the centre square, or the whole picture with white around it
FITS: tuple[Fit, ...] = get_args(Fit)
UPLOADED = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")  # whoever they come from
FORMATS = (*UPLOADED, "AVIF", "PPM")  # what training reads: one's own files
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
GREY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L")
MAX_PIXELS = 89_478_485  # in one picture; Pillow itself begins to warn of bombs here
DEEP = 16  # bits a value, of which 8 are kept
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_DEEP_COLOURS = {2: "RGB", 6: "RGBA"}  # Pillow's modes, by the colour type of a PNG file
PNG_METADATA = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")  # chunks that say nothing about pixels
# what files called .png or .jpg hold as well, by how they start; of ftyp boxes by their brand
STARTS = {
    b"version https://git-lfs": "a pointer of Git LFS; `git lfs pull` fetches the file itself",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<svg": "SVG",
    b"<?xml": "XML",
    b"{": "JSON or text",
    b"ftypheic": "HEIC",
    b"ftypheix": "HEIC",
    b"ftypmif1": "HEIC",
    b"ftypavif": "AVIF",
    b"\x00\x00\x00\x0cjxl ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cjp  ": "JPEG 2000",
    b"8bps": "PSD",
    b"%pdf": "PDF",
    b"pk\x03\x04": "a zip",
}

T = TypeVar("T")

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MAX_PIXELS refuses it
# what Pillow thinks of somebody's file is told to whoever sent it, where it matters
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


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
    deep: bool = False  # 16 bits a value
    frames: bool = False  # more than one, of which the first is taken


def decode(
    content: bytes,
    max_pixels: int = 0,
    bits: int = DEEP,
    formats: tuple[str, ...] = FORMATS,
) -> tuple[Image.Image, Found]:
    """Decodes the first picture of a file, upright and on white, L or RGB; of MAX_PIXELS at most
    where `max_pixels` is 0. Of values with 16 bits the lowest `bits` count, and the upper 8 of
    those are kept.

    Raises:
        BrokenPictureError: no known format, damaged, truncated, too large, or of 32 bits a value.
    """

    def decoded(image: Image.Image) -> tuple[Image.Image, Found]:
        most, deep = max_pixels or MAX_PIXELS, _is_deep(image, content)
        if image.width * image.height > most:
            raise BrokenPictureError(f"{image.width}x{image.height} are more than {most:,} pixels")
        mode = image.mode
        if deep and bits < DEEP:
            image = _shallow(image, content, bits)
        image.load()
        upright, turned = _upright(image)
        plain, transparent = _on_white(upright)
        frames = _has_frames(image, content)
        return plain, Found(plain.width, plain.height, mode, turned, transparent, deep, frames)

    return _told(content, decoded, formats)


def area(content: bytes, formats: tuple[str, ...] = FORMATS) -> int:
    """Reads the pixels of a picture from its file's header.

    Raises:
        BrokenPictureError: no known format, or damaged there.
    """
    return _told(content, lambda image: image.width * image.height, formats)


def _told(content: bytes, work: Callable[[Image.Image], T], formats: tuple[str, ...]) -> T:
    """Calls `work` as `_opened` does, and says in words what is wrong with a file."""
    try:
        return _opened(content, work, formats)
    except BrokenPictureError:
        raise
    except UnidentifiedImageError:
        raise BrokenPictureError(f"no picture in a known format{_instead(content)}") from None
    except Exception as error:  # a damaged file makes Pillow raise nearly anything
        reason = str(error).partition("\n")[0]
        raise BrokenPictureError(reason or type(error).__name__) from None


def _instead(content: bytes) -> str:
    """Says what a file holds that is no picture, where its first bytes tell."""
    if not content:
        return "; the file is empty"
    if not content.strip(b"\0"):
        return "; the file holds zeros alone"
    start = content[:100].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for at, what in STARTS.items():
        if start.startswith(at) or (at.startswith(b"ftyp") and content[4:12] == at):
            return f", but {what}"
    return ""


def is_grey(content: bytes) -> bool:
    """Checks whether a file's header promises a grey picture.

    Raises:
        BrokenPictureError: it has no such header.
    """
    return _of_header(content, lambda image: image.mode in GREY_MODES)


def smaller_side(content: bytes) -> int:
    """Reads the pixels of a picture's smaller side from its file's header.

    Raises:
        BrokenPictureError: it has no such header.
    """
    return _of_header(content, lambda image: min(image.size))


def largest_value(content: bytes) -> int:
    """Returns the largest value, 0 to 65535, of a picture with 16 bits a value; -1 of others.

    Raises:
        BrokenPictureError: as in `decode`.
    """

    def found(image: Image.Image) -> int:
        if not _is_deep(image, content) or image.width * image.height > MAX_PIXELS:
            return -1
        values = _values(image, content)
        return int((values[..., :3] if values.ndim == 3 else values).max())  # without alpha

    try:
        return _opened(content, found)
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
        "taken by their first frame alone": count([f for f in found if f.frames]),
    }
    some = [f"{number:,} {what}" for what, number in done.items() if number]
    return f"of {found.total():,} pictures: {', '.join(some)}" if some else ""


def _of_header(content: bytes, read: Callable[[Image.Image], T]) -> T:
    try:
        return _opened(content, read)
    except Exception as error:
        raise BrokenPictureError(type(error).__name__) from None


def _opened(
    content: bytes, work: Callable[[Image.Image], T], formats: tuple[str, ...] = FORMATS
) -> T:
    """Calls `work` with an open file; where Pillow refuses the metadata of a PNG file, with one
    that has none.
    """
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            return work(image)
    except BrokenPictureError:
        raise
    except Exception:
        bare = _without_metadata(content)
        if len(bare) == len(content):
            raise
        with Image.open(io.BytesIO(bare), formats=formats) as image:
            return work(image)


def _has_frames(image: Image.Image, content: bytes) -> bool:
    """Checks whether a file holds more than one frame; a photo's previews and maps are none."""
    if image.format != "GIF":
        return image.format != "MPO" and getattr(image, "is_animated", False)
    with Image.open(io.BytesIO(content), formats=("GIF",)) as other:  # it has to look for the next
        return bool(getattr(other, "is_animated", False))


def _without_metadata(content: bytes) -> bytes:
    """Returns a PNG file without profile and text; any other file as it is."""
    if not content.startswith(PNG_START):
        return content
    kept, at = [PNG_START], len(PNG_START)
    while at + 8 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] not in PNG_METADATA:
            kept.append(content[at:end])
        at = end
    return b"".join(kept)


def _is_deep(image: Image.Image, content: bytes) -> bool:
    """Checks whether a file's header promises 16 bits a value, as far as they can be read here:
    grey of any format, and colours of a PNG file.
    """
    if image.mode.startswith("I;16"):
        return True
    return content.startswith(PNG_START) and content[24] == 16 and content[25] in PNG_DEEP_COLOURS


def _values(image: Image.Image, content: bytes) -> NDArray[np.uint16]:
    """Returns all 16 bits of a deep picture's values, (H, W) or (H, W, C)."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    # Pillow keeps the upper half of each value; told the other order of bytes, it keeps the lower
    with Image.open(io.BytesIO(content), formats=("PNG",)) as other:
        other.tile = [
            tile._replace(args=str(tile.args).replace("16B", "16L")) for tile in other.tile
        ]
        low = np.asarray(other).astype(np.uint16)
    values: NDArray[np.uint16] = np.asarray(image).astype(np.uint16) << np.uint16(8) | low
    return values


def _shallow(image: Image.Image, content: bytes, bits: int) -> Image.Image:
    """Returns a deep picture with 8 bits a value: the upper ones of its lowest `bits`."""
    values = _values(image, content).astype(np.uint32)
    eight = (values << 8 >> bits).clip(0, 255)
    if image.mode == "RGBA":
        eight[..., 3] = values[..., 3] >> 8
    shallow = Image.fromarray(eight.astype(np.uint8))
    shallow.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return shallow


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
