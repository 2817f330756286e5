"""Still pictures in every format: the very pixels where they are promised, and the same bytes."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from model.encoding.formats import (
    STILLS,
    Interpolation,
    PictureTooLarge,
    check_size,
    encode_still,
    enlarge,
)

LOSSLESS = ["png", "webp", "npy"]
LOSSY = ["webp", "avif", "jpeg"]


def picture(channels: int, height: int = 24, width: int = 32) -> np.ndarray:
    """Returns smooth, with a little noise."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 200, width)[None, :, None] + np.zeros((height, width, channels))
    return (ramp + random.integers(0, 30, ramp.shape)).astype(np.uint8)


def decoded(content: bytes, format: str, channels: int) -> np.ndarray:
    if format == "npy":
        return np.load(io.BytesIO(content))
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == format.upper()
        pixels = np.asarray(image.convert({1: "L", 3: "RGB"}[channels]))
        return pixels.reshape(*pixels.shape[:2], channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", LOSSLESS)
def test_lossless_formats_keep_the_very_pixels(format: str, channels: int) -> None:
    pixels = picture(channels)
    assert np.array_equal(decoded(encode_still(pixels, format), format, channels), pixels)


@pytest.mark.parametrize("format", LOSSLESS)
def test_every_byte_value_survives(format: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert np.array_equal(decoded(encode_still(pixels, format), format, 3), pixels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", LOSSY)
def test_more_quality_is_nearer_and_larger(format: str, channels: int) -> None:
    pixels = picture(channels)
    files = [encode_still(pixels, format, quality) for quality in (1, 50, 100)]
    errors = [np.abs(decoded(file, format, channels) - pixels.astype(int)).mean() for file in files]
    assert errors == sorted(errors, reverse=True)
    assert list(map(len, files)) == sorted(map(len, files))
    assert errors[0] < 30
    assert errors[2] < 6  # WebP's and AVIF's colours have half the resolution


@pytest.mark.parametrize(("format", "quality"), [("avif", 75), ("jpeg", 90)])
def test_quality_has_a_default(format: str, quality: int) -> None:
    pixels = picture(3)
    assert encode_still(pixels, format) == encode_still(pixels, format, quality)


@pytest.mark.parametrize(
    ("format", "mode"), [("png", "L"), ("jpeg", "L"), ("avif", "L"), ("webp", "RGB")]
)
def test_grey_stays_grey_where_the_format_knows_it(format: str, mode: str) -> None:
    with Image.open(io.BytesIO(encode_still(picture(1), format))) as image:
        assert image.mode == mode


@pytest.mark.parametrize("format", STILLS)
def test_same_pixels_are_the_same_bytes_in_another_process(format: str) -> None:
    """And so whatever the order of the array in memory."""
    pixels = (np.arange(40 * 30 * 3) % 241).astype(np.uint8).reshape(40, 30, 3)
    code = (
        "import sys, numpy as np; from model.encoding.formats import encode_still;"
        "pixels = (np.arange(40 * 30 * 3) % 241).astype(np.uint8).reshape(40, 30, 3);"
        f"print(encode_still(pixels, {format!r}, recipe='{{}}').hex())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    content = encode_still(np.asfortranarray(pixels), format, recipe="{}")
    assert content.hex() == done.stdout.strip()


def test_extensions_name_one_format_each() -> None:
    extensions = [extension for format in STILLS.values() for extension in format.extensions]
    assert len(extensions) == len(set(extensions))
    assert STILLS["jpeg"].extensions == ("jpg", "jpeg")


@pytest.mark.parametrize("format", ["png", "webp", "avif", "jpeg"])
def test_media_types_are_those_that_pillow_knows(format: str) -> None:
    assert Image.MIME[format.upper()] == STILLS[format].media_type


@pytest.mark.parametrize("format", ["webp", "avif", "jpeg"])
def test_longest_side_is_written_and_one_more_is_refused(format: str) -> None:
    side = STILLS[format].longest_side
    content = encode_still(np.zeros((1, side, 1), np.uint8), format)
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (side, 1)
    with pytest.raises(PictureTooLarge, match=f"allowed: up to {side} a side"):
        encode_still(np.zeros((side + 1, 1, 1), np.uint8), format)
    check_size(STILLS[format], side, side)


@pytest.mark.parametrize("channels", [1, 3])
def test_nearest_makes_a_square_of_each_pixel(channels: int) -> None:
    pixels = np.stack([picture(channels, 5, 4), picture(channels, 5, 4)[::-1]])
    large = enlarge(pixels, 3)
    assert large.shape == (2, 15, 12, channels)
    for row in range(3):
        for column in range(3):
            assert np.array_equal(large[:, row::3, column::3], pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_lanczos_is_smooth_and_keeps_flat_pictures_flat(channels: int) -> None:
    flat = np.full((1, 6, 7, channels), 93, np.uint8)
    assert (enlarge(flat, 4, "lanczos") == 93).all()
    ramp = np.broadcast_to(np.arange(0, 240, 30, dtype=np.uint8)[:, None], (1, 8, 8, channels))
    large = enlarge(ramp.transpose(0, 2, 1, 3), 4, "lanczos").astype(int)
    steps = np.abs(np.diff(large[..., 0], axis=1))
    assert large.shape == (1, 32, 32, channels)
    assert steps.max() < 16  # and 30 where pixels become squares


@pytest.mark.parametrize("resample", ["nearest", "lanczos"])
def test_enlarged_pictures_know_nothing_of_their_company(resample: Interpolation) -> None:
    batch = np.stack([picture(3), picture(3)[::-1], 255 - picture(3)])
    large = enlarge(batch, 2, resample)
    for index in range(3):
        assert np.array_equal(
            large[index : index + 1], enlarge(batch[index : index + 1], 2, resample)
        )


@pytest.mark.parametrize("resample", ["nearest", "lanczos"])
def test_scale_one_changes_nothing(resample: Interpolation) -> None:
    batch = picture(3)[None]
    assert np.array_equal(enlarge(batch, 1, resample), batch)
