"""Moving pictures: the very frames where promised, for the right time, as often as told."""

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from model.encoding import animations
from model.encoding.animations import (
    ANIMATIONS,
    HAS_VIDEO,
    VideoNotInstalled,
    durations,
    encode_animation,
)
from model.encoding.formats import PictureTooLarge

video = pytest.mark.skipif(not HAS_VIDEO, reason="av is not installed")
ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")

EVERY = [pytest.param(name, marks=video if name == "mp4" else ()) for name in ANIMATIONS]
RATES = [1, 7, 24, 25, 30, 50, 59, 60]


def frames(count: int, channels: int, height: int = 20, width: int = 24) -> np.ndarray:
    """Returns a bright square that wanders over a ramp, with a little noise."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 150, width)[None, None, :, None]
    pixels = ramp + random.integers(0, 30, (count, height, width, channels))
    for index, picture in enumerate(pixels):
        picture[5:12, index % width : index % width + 6] += 60
    return pixels.astype(np.uint8)


def played(content: bytes, channels: int) -> tuple[np.ndarray, list[int]]:
    """Returns the frames and how long they are shown, in milliseconds."""
    pictures, times = [], []
    with Image.open(io.BytesIO(content)) as image:
        for index in range(frame_count(image)):
            image.seek(index)
            pictures.append(np.asarray(image.convert({1: "L", 3: "RGB"}[channels])))
            times.append(image.info["duration"])
        shape = (frame_count(image), image.height, image.width, channels)
    return np.stack(pictures).reshape(shape), times


@pytest.mark.parametrize(
    ("format", "channels"),
    [("webp", 1), ("webp", 3), ("apng", 1), ("apng", 3), ("gif", 1)],
)
def test_lossless_animations_keep_the_very_frames(format: str, channels: int) -> None:
    pixels = frames(12, channels)
    found, _ = played(encode_animation(pixels, format, fps=20), channels)
    assert np.array_equal(found, pixels)


def test_colours_of_a_gif_are_near() -> None:
    pixels = frames(12, 3)
    found, _ = played(encode_animation(pixels, "gif", fps=20), 3)
    assert found.shape == pixels.shape
    assert np.abs(found - pixels.astype(int)).mean() < 6


def frame_count(image: Image.Image) -> int:
    """Returns 1 for a still, of which Pillow says nothing."""
    return int(getattr(image, "n_frames", 1))


def test_gif_of_few_colours_keeps_them_all_through_the_loop() -> None:
    pixels = np.where(
        frames(12, 1) > 150, np.array([250, 30, 60], np.uint8), np.array([10, 120, 200], np.uint8)
    )
    found, _ = played(encode_animation(pixels, "gif", fps=20), 3)
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == 2
    assert np.abs(found - pixels.astype(int)).max() <= 8


def test_more_quality_of_a_webp_is_nearer() -> None:
    pixels = frames(6, 3)
    errors = []
    for quality in (1, 60, 100):
        found, _ = played(encode_animation(pixels, fps=20, quality=quality), 3)
        errors.append(np.abs(found - pixels.astype(int)).mean())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 30
    assert errors[2] < 8


@pytest.mark.parametrize("units", [100, 1000])
@pytest.mark.parametrize("fps", range(1, 61))
def test_frames_are_due_within_half_a_unit(fps: int, units: int) -> None:
    due = np.cumsum(durations(150, fps, units))
    assert np.abs(due - np.arange(1, 151) * units / fps).max() <= 0.5


@pytest.mark.parametrize("fps", RATES)
def test_time_of_a_webp_is_right_to_the_millisecond(fps: int) -> None:
    _, times = played(encode_animation(frames(30, 1), fps=fps), 1)
    assert times == durations(30, fps, 1000)
    assert abs(sum(times) - 30_000 / fps) <= 0.5


@pytest.mark.parametrize("fps", RATES)
def test_time_of_an_apng_is_exact(fps: int) -> None:
    content = encode_animation(frames(30, 1), "apng", fps=fps)
    delays = [
        struct.unpack(">HH", body[20:24]) for name, body in chunks(content) if name == b"fcTL"
    ]
    assert delays == [(1, fps)] * 30


@pytest.mark.parametrize("fps", RATES)
def test_time_of_a_gif_is_right_to_the_hundredth_up_to_50_fps_which_is_the_most(fps: int) -> None:
    _, times = played(encode_animation(frames(30, 1), "gif", fps=fps), 1)
    assert min(times) >= 20  # less would be shown as 100
    assert abs(sum(times) - 30_000 / min(fps, 50)) <= 5


@pytest.mark.parametrize("format", ["webp", "apng", "gif"])
def test_equal_frames_take_their_time(format: str) -> None:
    pixels = np.repeat(frames(3, 1), [2, 1, 3], axis=0)
    found, times = played(encode_animation(pixels, format, fps=10), 1)
    assert sum(times) == 600
    shown = np.repeat(found, (np.array(times) / 100).astype(int), axis=0)
    assert np.array_equal(shown, pixels)


@pytest.mark.parametrize(
    ("format", "forever", "once"), [("webp", 0, 1), ("apng", 0, 1), ("gif", 0, None)]
)
def test_loop_plays_for_ever_or_once(format: str, forever: int, once: int | None) -> None:
    for loop, expected in ((True, forever), (False, once)):
        content = encode_animation(frames(3, 1), format, fps=10, loop=loop)
        with Image.open(io.BytesIO(content)) as image:
            assert frame_count(image) == 3
            assert image.info.get("loop") == expected


@pytest.mark.parametrize("format", EVERY)
def test_same_frames_are_the_same_bytes(format: str) -> None:
    files = [encode_animation(frames(9, 3), format, fps=30, recipe="{}") for _ in range(3)]
    assert len(set(files)) == 1


PERTURBED = """
from hashlib import sha256
import numpy as np
from PIL import Image
from model.encoding.animations import ANIMATIONS, HAS_VIDEO, encode_animation

random = np.random.default_rng(1)
for side in (28, 28, 32, 64, 64):
    for _ in range(3):
        ends = [
            np.asarray(Image.fromarray(noise).resize((side, side)), np.float64)
            for noise in random.integers(0, 256, (2, 7, 7, 3)).astype(np.uint8)
        ]
        film = np.stack(
            [(ends[0] * (1 - t) + ends[1] * t).astype(np.uint8) for t in np.linspace(0, 1, 20)]
        )
        for format in ANIMATIONS:
            if format != "mp4" or HAS_VIDEO:
                print(format, sha256(encode_animation(film, format, fps=12)).hexdigest())
"""


def test_what_was_in_memory_before_does_not_change_a_film() -> None:
    """The C library writes a value into all memory that is given back and asked for."""
    found = set()
    for value in ("0", "85", "170"):
        env = os.environ | {"MALLOC_PERTURB_": value, "PYTHONMALLOC": "malloc"}
        done = subprocess.run(
            [sys.executable, "-c", PERTURBED], env=env, capture_output=True, text=True, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1
    assert found.pop()


@pytest.mark.slow
@pytest.mark.parametrize("times", [50, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.parametrize("format", EVERY)
def test_film_that_is_encoded_often_under_memory_pressure_has_one_digest(
    format: str, times: int
) -> None:
    film = frames(24, 3, 64, 64).repeat(2, axis=1).repeat(2, axis=2)
    random = np.random.default_rng(0)

    def encoded(_: int) -> bytes:
        # what others have written lies where an encoder may look without having written
        dirt = [random.bytes(int(size)) for size in random.integers(1000, 2_000_000, 6)]
        del dirt
        return encode_animation(film, format, fps=20, recipe='{"seed":1}')

    with ThreadPoolExecutor(4) as threads:
        digests = Counter(sha256(file).hexdigest() for file in threads.map(encoded, range(times)))
    assert len(digests) == 1, digests


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (28, 28)])
@pytest.mark.parametrize("format", EVERY)
def test_few_and_small_frames_are_files_too(format: str, size: tuple[int, int], count: int) -> None:
    for channels in (1, 3):
        assert encode_animation(frames(count, channels, *size), format, fps=5, loop=False)


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Returns the names and contents of a PNG's chunks, whose checksums are right."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    found, position = [], 8
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        body = content[position + 4 : position + 8 + length]
        checksum = content[position + 8 + length : position + 12 + length]
        assert int.from_bytes(checksum, "big") == zlib.crc32(body)
        found.append((body[:4], body[4:]))
        position += 12 + length
    return found


def test_chunks_of_an_apng_stand_in_order_and_are_numbered_through() -> None:
    found = chunks(encode_animation(frames(3, 3), "apng", fps=10, recipe="{}"))
    first = [b"IHDR", b"iTXt", b"tEXt", b"acTL", b"fcTL", b"IDAT"]
    assert [name for name, _ in found] == [*first, *[b"fcTL", b"fdAT"] * 2, b"IEND"]
    numbers = [body[:4] for name, body in found if name in (b"fcTL", b"fdAT")]
    assert [int.from_bytes(number, "big") for number in numbers] == list(range(5))


@pytest.mark.parametrize("channels", [1, 3])
def test_strip_is_all_frames_side_by_side(channels: int) -> None:
    pixels = frames(5, channels)
    with Image.open(io.BytesIO(encode_animation(pixels, "strip", fps=10))) as image:
        found = np.asarray(image).reshape(20, 5 * 24, channels)
    assert np.array_equal(np.concatenate(list(pixels), axis=1), found)


def test_webp_takes_no_longer_than_pillow_does_by_itself() -> None:
    pixels = frames(40, 3, 64, 64)
    first, *rest = map(Image.fromarray, pixels)

    def plain() -> None:
        first.save(io.BytesIO(), "webp", save_all=True, append_images=rest, lossless=True)

    def seconds(encode: Callable[[], object]) -> float:
        start = time.process_time()
        encode()
        return time.process_time() - start

    spent = [(seconds(lambda: encode_animation(pixels, fps=20)), seconds(plain)) for _ in range(5)]
    assert min(ours for ours, _ in spent) < 3 * min(theirs for _, theirs in spent)


def test_frames_too_large_for_the_format_are_refused() -> None:
    with pytest.raises(PictureTooLarge, match="webp; allowed: up to 16383 a side"):
        encode_animation(np.zeros((2, 1, 16_384, 1), np.uint8), fps=1)


def test_without_av_mp4_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animations, "HAS_VIDEO", False)
    with pytest.raises(VideoNotInstalled, match=r"extra .video."):
        encode_animation(frames(2, 1), "mp4", fps=10)


def boxes(content: bytes) -> list[bytes]:
    names, position = [], 0
    while position < len(content):
        names.append(content[position + 4 : position + 8])
        position += int.from_bytes(content[position : position + 4], "big")
    return names


@video
@pytest.mark.parametrize("count", [1, 40, 300])
def test_index_of_an_mp4_stands_before_its_pictures(count: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)
    names = boxes(encode_animation(pixels, "mp4", fps=60))
    assert names[:2] == [b"ftyp", b"moov"]
    assert names[-2:] == [b"mdat", b"uuid"]


@video
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_of_an_mp4_are_near_and_odd_sides_repeat_their_last_pixels(channels: int) -> None:
    av = pytest.importorskip("av")
    smooth = np.cumsum(np.ones((6, 63, 65, channels)), axis=2) * 3 + 20
    pixels = (smooth + np.arange(6).reshape(6, 1, 1, 1) * 5).astype(np.uint8)
    with av.open(io.BytesIO(encode_animation(pixels, "mp4", fps=12))) as file:
        shown = [frame.to_ndarray(format="rgb24", src_colorspace=1) for frame in file.decode()]
    found = np.stack(shown).astype(int)
    assert found.shape == (6, 64, 66, 3)
    assert np.abs(found[:, :63, :65] - pixels).mean() < 3
    assert np.abs(found[:, 63] - found[:, 62]).mean() < 3


@video
def test_colours_of_an_mp4_are_those_of_the_frames() -> None:
    av = pytest.importorskip("av")
    grey = [128, 128, 128]
    colours = np.array([[250, 20, 20], [20, 250, 20], [20, 20, 250], grey], np.uint8)
    pixels = np.broadcast_to(colours[:, None, None], (4, 32, 32, 3))
    with av.open(io.BytesIO(encode_animation(pixels, "mp4", fps=2))) as file:
        found = [frame.to_ndarray(format="rgb24", src_colorspace=1) for frame in file.decode()]
    assert np.abs(np.stack(found)[:, 16, 16].astype(int) - colours).max() <= 5


def stream_of(path: Path, content: bytes) -> dict[str, Any]:
    """Returns what ffprobe says of the only stream, all decoded, of a file of that name."""
    path.write_bytes(content)
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json"]
    done = subprocess.run([*command, path], capture_output=True, check=True)
    assert done.stderr == b""
    (stream,) = json.loads(done.stdout)["streams"]
    return stream


@ffprobe
@pytest.mark.parametrize(
    ("format", "codec"),
    [
        pytest.param("mp4", "h264", marks=video),
        ("apng", "apng"),
        ("gif", "gif"),
        ("strip", "png"),
    ],  # no WebP: FFmpeg reads no moving ones
)
def test_ffprobe_reads_every_frame(tmp_path: Path, format: str, codec: str) -> None:
    content = encode_animation(frames(10, 3), format, fps=25, recipe="{}")
    found = stream_of(tmp_path / f"file.{ANIMATIONS[format].extensions[0]}", content)
    assert found["codec_name"] == codec
    assert int(found["nb_read_frames"]) == (1 if format == "strip" else 10)
    if format != "strip":
        assert found["avg_frame_rate"] == "25/1"


@ffprobe
@video
@pytest.mark.parametrize("fps", RATES)
def test_ffprobe_finds_the_time_and_the_colours_of_an_mp4(tmp_path: Path, fps: int) -> None:
    content = encode_animation(frames(30, 3, 31, 33), "mp4", fps=fps)
    found = stream_of(tmp_path / "file.mp4", content)
    assert abs(float(found["duration"]) - 30 / fps) < 0.001
    assert found["r_frame_rate"] == f"{fps}/1"
    assert (found["width"], found["height"]) == (34, 32)
    assert found["pix_fmt"] == "yuv420p"
    names = ("color_range", "color_space", "color_transfer", "color_primaries")
    assert [found[name] for name in names] == ["tv", "bt709", "bt709", "bt709"]


def test_card_names_the_films_that_are_made_here(client: TestClient) -> None:
    (name,) = {one["id"] for one in client.get("/models").json()["models"]}
    films = client.get(f"/models/{name}").json()["films"]
    assert {"webp", "apng", "gif"} <= set(films)
    assert ("mp4" in films) is HAS_VIDEO
    for film in films:
        extension = "png" if film == "strip" else film
        assert client.get(f"/interpolate.{extension}?seeds=1,2&frames=2").status_code == 200
