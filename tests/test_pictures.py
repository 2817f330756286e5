"""Picture files as people have them: each kind becomes the pixels that a person sees, each broken
one a reason.
"""

import io
import struct
import zlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from model.image_decoding import (
    BrokenPictureError,
    Fit,
    Found,
    decode,
    is_grey,
    largest_value,
    smaller_side,
    square,
    what_was_done,
)


def file_of(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def corner() -> Image.Image:
    """Returns 24 x 16, grey, its upper left corner white."""
    image = Image.new("L", (24, 16), 80)
    image.paste(255, (0, 0, 8, 8))
    return image


HOW_STORED = {  # by EXIF orientation: what a camera does to a picture that is to be shown upright
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", HOW_STORED)
def test_exif_orientation_is_applied(orientation: int, form: str) -> None:
    method = HOW_STORED[orientation]
    stored = corner() if method is None else corner().transpose(method)
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    image, found = decode(file_of(stored, form, exif=exif))
    assert (found.width, found.height) == image.size == (24, 16)
    assert found.turned is (orientation != 1 and form != "TIFF")  # Pillow turns TIFF on its own
    assert np.abs(np.asarray(image.convert("L"), int) - np.asarray(corner())).max() < 12


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_break_the_picture() -> None:
    content = file_of(corner(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff nonsense")
    image, found = decode(content)
    assert image.size == (24, 16)
    assert not found.turned


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L", "1"])
def test_transparent_parts_are_white(mode: str) -> None:
    if mode in ("RGBA", "LA"):
        image = Image.new(mode, (4, 2), 0)
        image.paste(Image.new(mode, (2, 2), (9, 8, 7, 255) if mode == "RGBA" else (9, 255)), (2, 0))
        content = file_of(image)
    else:
        image = Image.new(mode, (4, 2), 0)
        colours: dict[str, int | tuple[int, int, int]] = {"RGB": (9, 8, 7), "P": 1, "L": 9, "1": 1}
        image.paste(colours[mode], (2, 0, 4, 2))
        if mode == "P":
            image.putpalette([0, 0, 0, 9, 8, 7])
        content = file_of(image, transparency=(0, 0, 0) if mode == "RGB" else 0)
    plain, found = decode(content)
    grey = mode in ("LA", "L", "1")
    assert found == Found(4, 2, mode, transparent=True)
    assert plain.mode == ("L" if grey else "RGB")
    seen = {"LA": 9, "L": 9, "1": 255}.get(mode, (9, 8, 7))
    assert plain.getpixel((0, 0)) == (255 if grey else (255, 255, 255))
    assert plain.getpixel((3, 1)) == seen


def test_half_transparent_is_half_white() -> None:
    plain, _ = decode(file_of(Image.new("RGBA", (2, 2), (0, 100, 200, 51))))  # a fifth
    assert plain.getpixel((0, 0)) == (204, 224, 244)


def test_alpha_that_hides_nothing_is_not_called_transparent() -> None:
    plain, found = decode(file_of(Image.new("RGBA", (2, 2), (1, 2, 3, 255))))
    assert not found.transparent
    assert plain.getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bits_keep_their_upper_half(form: str) -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    plain, found = decode(file_of(Image.fromarray(values), form))
    assert found.mode == "I;16"
    assert np.asarray(plain).tolist() == [[0, 0, 1, 128, 255]]


def png_of_16_bits(samples: int, row: list[int]) -> bytes:
    """Returns a PNG of one row, written by hand: colour type 0 is grey, 2 RGB, 4 and 6 those
    with alpha.
    """
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[samples]

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", len(row) // samples, 1, 16, kind, 0, 0, 0)
    pixels = zlib.compress(b"\0" + struct.pack(f">{len(row)}H", *row))
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("samples", "row", "seen"),
    [
        (3, [0, 32768, 65535], (0, 128, 255)),
        (4, [0, 32768, 65535, 65535], (0, 128, 255)),
        (4, [0, 32768, 65535, 0], (255, 255, 255)),
        (2, [32768, 65535], 128),
        (2, [32768, 0], 255),
    ],
)
def test_16_bits_of_several_channels(
    samples: int, row: list[int], seen: int | tuple[int, ...]
) -> None:
    plain, _ = decode(png_of_16_bits(samples, row))
    pixels = square(plain, 1, 3, "crop")
    assert tuple(pixels[0, 0]) == (seen if isinstance(seen, tuple) else (seen,) * 3)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_is_shown_as_printed(form: str) -> None:
    content = file_of(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), form)  # all cyan
    plain, found = decode(content)
    assert found.mode == "CMYK"
    assert np.abs(np.subtract(np.asarray(plain)[4, 4].astype(int), (0, 255, 255))).max() < 4


@pytest.mark.parametrize("form", ["GIF", "TIFF", "WEBP", "MPO"])
def test_of_several_frames_the_first_is_taken(form: str) -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    options = {"lossless": True} if form == "WEBP" else {}
    plain, _ = decode(file_of(first, form, save_all=True, append_images=[second], **options))
    assert np.abs(np.subtract(np.asarray(plain)[4, 4].astype(int), (255, 0, 0))).max() < 4


@pytest.mark.parametrize(
    ("mode", "grey"),
    [("1", True), ("L", True), ("LA", True), ("I;16", True), ("P", False), ("RGB", False)],
)
def test_header_tells_grey_from_colour(mode: str, grey: bool) -> None:
    assert is_grey(file_of(Image.new(mode, (2, 2)))) is grey


# --- squares ---


def stripes(width: int, height: int) -> Image.Image:
    """Returns red, and in the middle a green square."""
    image = Image.new("RGB", (width, height), (255, 0, 0))
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    image.paste((0, 255, 0), (left, top, left + side, top + side))
    return image


@pytest.mark.parametrize("size", [(96, 32), (32, 96)])
def test_crop_takes_the_centre_square(size: tuple[int, int]) -> None:
    pixels = square(stripes(*size), 32, 3, "crop")
    assert (pixels == (0, 255, 0)).all()


def test_pad_keeps_the_whole_picture_in_the_middle_of_white() -> None:
    pixels = square(Image.new("RGB", (96, 32), (255, 0, 0)), 48, 3, "pad")
    assert (pixels[16:32] == (255, 0, 0)).all()
    assert (pixels[:16] == 255).all()
    assert (pixels[32:] == 255).all()
    turned = square(Image.new("RGB", (32, 96), (255, 0, 0)), 48, 3, "pad")
    assert np.array_equal(turned, pixels.transpose(1, 0, 2))
    grey = square(Image.new("L", (96, 32), 7), 48, 1, "pad")
    assert sorted(np.unique(grey)) == [7, 255]


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000), (5, 4)])
def test_any_shape_becomes_a_square(size: tuple[int, int], fit: Fit) -> None:
    assert square(Image.new("RGB", size, (5, 6, 7)), 32, 3, fit).shape == (32, 32, 3)


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_that_size_stay_as_they_are(fit: Fit, channels: int) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (32, 32, channels)).astype(np.uint8)
    assert np.array_equal(square(Image.fromarray(pixels.squeeze()), 32, channels, fit), pixels)


def test_what_was_done_is_said_in_one_line() -> None:
    found = Counter(
        {
            Found(32, 32, "RGB"): 5,
            Found(64, 32, "RGB", turned=True): 4,
            Found(20, 30, "RGBA", transparent=True): 3,
            Found(90, 90, "L"): 2,
        }
    )
    assert what_was_done(found, 32, "crop") == (
        "of 14 pictures: 7 cropped to their centre square, 3 enlarged, being smaller than 32x32, "
        "2 reduced to 32x32, 4 turned upright by their EXIF, 3 laid on white where transparent"
    )
    assert "7 padded with white" in what_was_done(found, 32, "pad")
    assert "6 reduced" in what_was_done(found, 32, "pad")
    assert what_was_done(Counter({Found(32, 32, "L"): 9}), 32, "crop") == ""


# --- broken files ---


def claimed(width: int, height: int) -> bytes:
    """Returns a PNG whose header claims a size that its content does not have."""
    content = bytearray(file_of(Image.new("L", (1, 1))))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    return bytes(content)


def photo(form: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    return file_of(Image.fromarray(noise), form)


BROKEN = {
    "empty": b"",
    "html": b"<html>404</html>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "png-header-only": b"\x89PNG\r\n\x1a\n nothing",
    "png-cut": photo("PNG")[:-3000],
    "jpeg-cut": photo("JPEG")[:-1500],
    "webp-cut": photo("WEBP")[:-500],
    "tiff-cut": photo("TIFF")[:-3000],
    "bmp-cut": photo("BMP")[:-3000],
    "bomb": claimed(60_000, 60_000),
    "small-bomb": claimed(10_000, 10_000),
    "no-pixels": claimed(0, 5),
    "32-bit": file_of(Image.new("F", (4, 4), 0.5), "TIFF"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file_is_a_reason_on_one_line(kind: str) -> None:
    with pytest.raises(BrokenPictureError) as refusal:
        decode(BROKEN[kind])
    assert str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "0x" not in str(refusal.value)  # an address would be another each time


def test_large_picture_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.image_decoding.MAX_PIXELS", 5000)
    decode(file_of(Image.new("L", (100, 50))))
    with pytest.raises(BrokenPictureError, match="101x50 are more than 5,000 pixels"):
        decode(file_of(Image.new("L", (101, 50))))


# --- metadata ---


def text_of(count: int, size: int) -> PngInfo:
    info = PngInfo()
    for number in range(count):
        info.add_text(f"Comment {number}", "A" * size, zip=True)
        info.add_itxt(f"Note {number}", "\u00e4" * (size // 2), zip=True)
    return info


METADATA = {
    "profile": lambda: file_of(corner(), icc_profile=bytes(2 << 20)),
    "text": lambda: file_of(corner(), pnginfo=text_of(1, 3 << 20)),
    "texts": lambda: file_of(corner(), pnginfo=text_of(35, 1_000_000)),
    "text-behind": lambda: behind(file_of(corner(), pnginfo=text_of(1, 3 << 20))),
    "text-damaged": lambda: file_of(corner(), pnginfo=text_of(1, 100)).replace(b"zTXt", b"iTXt"),
    "jpeg-profile": lambda: file_of(corner(), "JPEG", quality=100, icc_profile=bytes(2 << 20)),
    "webp-profile": lambda: file_of(corner(), "WEBP", lossless=True, icc_profile=bytes(2 << 20)),
    "tiff-profile": lambda: file_of(corner(), "TIFF", icc_profile=bytes(2 << 20)),
    "gif-comment": lambda: file_of(corner(), "GIF", comment=b"A" * (2 << 20)),
}


def behind(content: bytes) -> bytes:
    """Moves the text chunks of a PNG file behind its pixels."""
    start = content.index(b"zTXt") - 4
    pixels = content.index(b"IDAT") - 4
    end = content.index(b"IEND") - 4
    return content[:start] + content[pixels:end] + content[start:pixels] + content[end:]


@pytest.mark.parametrize("kind", METADATA)
def test_pixels_are_read_whatever_the_metadata_hold(kind: str) -> None:
    content = METADATA[kind]()
    image, _ = decode(content)
    assert np.abs(np.asarray(image.convert("L"), int) - np.asarray(corner())).max() < 12
    assert smaller_side(content) == 16
    assert is_grey(content) == (kind not in ("webp-profile", "gif-comment"))


def test_picture_with_large_metadata_is_still_turned_upright() -> None:
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    image, found = decode(
        file_of(corner(), exif=exif, icc_profile=bytes(2 << 20), pnginfo=text_of(1, 3 << 20))
    )
    assert found.turned
    assert image.size == (16, 24)


# --- bits ---


@pytest.mark.parametrize("samples", [1, 3, 4])
def test_values_of_12_bits_in_16_keep_their_upper_8(samples: int) -> None:
    row = [0, 4095, 1234, 256][:samples] + [4095, 255, 16, 65535][:samples]
    content = png_of_16_bits(samples, row)
    colours = row if samples < 4 else [*row[:3], *row[4:7]]
    assert largest_value(content) == max(colours) == 4095
    image, found = decode(content, bits=12)
    assert found.deep
    if samples < 4:
        assert np.asarray(image).ravel().tolist() == [value >> 4 for value in row]
    else:
        assert np.asarray(image)[0, 1].tolist() == [255, 15, 1]


def test_pictures_of_8_bits_have_no_largest_value_and_are_read_as_they_are() -> None:
    content = file_of(corner())
    assert largest_value(content) == -1
    image, found = decode(content, bits=12)
    assert not found.deep
    assert np.array_equal(np.asarray(image), np.asarray(corner()))
