"""The PNG writer: exact pixels, valid and marked files, and what it is for: small and many."""

import io
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from model.encoding import png
from model.encoding.marking import read_recipe
from model.encoding.png import encode_png, encode_pngs
from model.generators import ZOO


def pictures(count: int, side: int, channels: int) -> np.ndarray:
    """Returns smooth pictures with a little noise, as a generator draws."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 200, side)[None, :, None, None] + np.zeros((count, side, side, channels))
    return (ramp + random.integers(0, 40, ramp.shape)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [1, 2, 28, 32, 65])
def test_decoded_pixels_are_the_very_ones(side: int, channels: int) -> None:
    batch = pictures(5, side, channels)
    for picture, file in zip(batch, encode_pngs(batch), strict=True):
        with Image.open(io.BytesIO(file)) as image:
            image.load()
            assert image.format == "PNG"
            assert image.mode == {1: "L", 3: "RGB"}[channels]
            assert np.array_equal(np.asarray(image).reshape(picture.shape), picture)


def test_every_byte_value_survives() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(encode_png(picture))) as image:
        assert np.array_equal(np.asarray(image), picture)


def test_sheets_that_are_not_square_are_right_side_up() -> None:
    picture = pictures(1, 30, 1)[0][:7]
    with Image.open(io.BytesIO(encode_png(picture))) as image:
        assert image.size == (30, 7)
        assert np.array_equal(np.asarray(image), picture[..., 0])


def test_file_of_a_picture_does_not_depend_on_its_batch() -> None:
    batch = pictures(9, 28, 1)
    assert encode_pngs(batch) == [encode_png(picture) for picture in batch]
    assert encode_pngs(batch[3:4])[0] == encode_pngs(batch)[3]


def test_no_pictures_are_no_files() -> None:
    assert encode_pngs(np.empty((0, 28, 28, 1), np.uint8)) == []
    assert encode_pngs(np.empty((0, 28, 28, 1), np.uint8), []) == []


def test_each_picture_has_its_own_recipe() -> None:
    batch = pictures(3, 28, 1)
    files = encode_pngs(batch, ['{"seed":1}', None, '{"seed":3}'])
    assert list(map(read_recipe, files)) == [{"seed": 1}, None, {"seed": 3}]
    assert files == [
        encode_png(batch[0], '{"seed":1}'),
        encode_png(batch[1]),
        encode_png(batch[2], '{"seed":3}'),
    ]


@pytest.mark.parametrize("recipes", [[], [None], [None] * 4])
def test_recipes_are_as_many_as_pictures(recipes: list[None]) -> None:
    with pytest.raises(ValueError, match="zip"):
        encode_pngs(pictures(3, 8, 1), recipes)


@pytest.mark.parametrize(
    ("recipe", "names"),
    [
        pytest.param(None, [b"IHDR", b"iTXt", b"IDAT", b"IEND"], id="no-recipe"),
        pytest.param("{}", [b"IHDR", b"iTXt", b"tEXt", b"IDAT", b"IEND"], id="recipe"),
    ],
)
def test_checksums_and_chunks_are_those_of_the_standard(
    recipe: str | None, names: list[bytes]
) -> None:
    assert chunks(encode_png(pictures(1, 8, 1)[0], recipe)) == names


def chunks(file: bytes) -> list[bytes]:
    """Returns the names of a PNG file's chunks, whose checksums are right."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    names, position = [], 8
    while position < len(file):
        length = int.from_bytes(file[position : position + 4], "big")
        body = file[position + 4 : position + 8 + length]
        names.append(body[:4])
        checksum = file[position + 8 + length : position + 12 + length]
        assert int.from_bytes(checksum, "big") == zlib.crc32(body)
        position += 12 + length
    return names


def test_files_of_drawn_pictures_are_at_most_12_percent_larger_than_pillows() -> None:
    with Image.open(ZOO / "mnist" / "samples.png") as sheet:
        grey = np.asarray(sheet).reshape(4, 28, 16, 28).swapaxes(1, 2).reshape(64, 28, 28, 1)
    batch = np.concatenate([grey, np.roll(grey, 1, axis=0), np.roll(grey, 2, axis=0)], axis=3)
    plain = 0
    for picture in batch:
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "PNG")
        plain += len(stream.getvalue())
    marks = len(batch) * len(png._MARK)
    assert sum(map(len, encode_pngs(batch))) - marks <= 1.12 * plain


def test_marks_and_a_usual_recipe_are_less_than_600_bytes() -> None:
    recipe = (
        '{"model":"mnist@fc1d398b3ee3","seed":4294967295,"n":64,"scale":4,"resample":"lanczos"}'
    )
    assert 80 < len(recipe) <= 100
    assert len(png._MARK + png._recipe_chunk(recipe)) < 600


def test_without_isal_zlib_writes_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "compressobj", zlib.compressobj)
    monkeypatch.setattr(png, "Z_SYNC_FLUSH", zlib.Z_SYNC_FLUSH)
    batch = pictures(3, 28, 1)
    for picture, file in zip(batch, encode_pngs(batch), strict=True):
        with Image.open(io.BytesIO(file)) as image:
            assert np.array_equal(np.asarray(image), picture[..., 0])


def test_threads_with_other_stacks_write_the_same_files() -> None:
    """ISA-L's streams begin by what address their state has, if they are let."""
    batch = np.random.default_rng(0).integers(0, 24, (200, 12, 12, 1)).astype(np.uint8)
    batch[:, 5, 3:7] = batch[:, 0, 1:5]  # four bytes from the third on are there again
    files: list[list[bytes]] = []
    before = threading.stack_size()
    try:
        for size in range(100):
            threading.stack_size((4 + size) << 16)  # each lies elsewhere
            thread = threading.Thread(target=lambda: files.append(encode_pngs(batch)))
            thread.start()
            thread.join()
    finally:
        threading.stack_size(before)
    assert len({b"".join(some) for some in files}) == 1
