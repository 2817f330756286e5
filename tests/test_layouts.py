"""Sets as other tools and sites leave them: archives, masks and tables beside pictures, other
formats, names of every kind. Each is taken as it is meant, or what is left out is said, by `data`
and by `train`.
"""

import errno
import io
import os
import re
import socket
import subprocess
import sys
import tarfile
import textwrap
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.image_decoding import MAX_PIXELS, SUFFIXES, UPLOADED, BrokenPictureError, decode
from model.training.__main__ import main
from model.training.datasets.dataset import Dataset, load
from model.training.datasets.image_folder import ARCHIVES, OTHER_PICTURES
from tests.data_files import numbered, png, zipped
from tests.statuses import status_of

PLAIN = ["--preset", "modern-32", "--batch", "2", "--features", "none", "--device", "cpu"]


def read(path: Path) -> Dataset:
    return load(path, "all", side=32, channels=3, may_be_empty=True)


def coded(key: int, kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """Returns one of 256 pictures, as a file."""
    image = Image.new("RGB", (32, 32), (key, 255 - key, 99)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def put(folder: Path, *names: str, content: bytes | None = None) -> Path:
    """Writes files of these names below a folder: a picture each, unless they have a content."""
    for place, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(coded(place) if content is None else content)
    return folder


def some(form: str, count: int = 12) -> list[str]:
    return [form.format(index) for index in range(count)]


def said(path: Path | str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Returns what `data` and a dry run of `train` say of a set that is taken."""
    capsys.readouterr()
    assert main(["data", str(path)]) == 0
    described = capsys.readouterr().out
    assert main(["train", "--data", str(path), *PLAIN, "--dry-run"]) == 0
    return described, capsys.readouterr().err


def refused(path: Path | str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """Returns the one line that `data` and `train` refuse a set with."""
    lines = set()
    for command in (["data", str(path)], ["train", "--data", str(path), *PLAIN, "--dry-run"]):
        capsys.readouterr()
        assert status_of(main, command) == 2
        captured = capsys.readouterr()
        (line,) = captured.err.splitlines()
        assert captured.out == ""
        lines.add(line.partition("; see ")[0])
    return lines


# --- archives and what is no set ---


def tar_of(folder: Path, path: Path, mode: Any) -> Path:
    with tarfile.open(path, mode) as archive:
        archive.add(folder, "set")
    return path


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_other_archives_are_to_be_unpacked_first(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = {"tar": "", "tgz": "gz"}.get(ending, ending.removeprefix("tar."))
    path = tar_of(put(tmp_path / "set", *some("{}.png")), tmp_path / f"a.{ending}", f"w:{kind}")
    (line,) = refused(path, capsys)
    assert line.endswith("is not unpacked here: unpack it first; a folder or a .zip file is wanted")


def test_zip_is_one_whatever_its_ending(tmp_path: Path) -> None:
    folder = put(tmp_path / "set", *some("a/{}.png"), *some("b/{}.png"))
    path = zipped(folder, tmp_path / "set.zip")
    wanted = read(path).fingerprint
    for name in ("download", "set.zip.1", "set.cbz"):
        assert read(path.rename(tmp_path / name)).fingerprint == wanted
        path = tmp_path / name


@pytest.mark.parametrize("inside", ["archive/a.zip", "cat.zip", "b.tar.gz", "c.7z", "d.rar"])
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_archives_in_a_set_are_named(
    tmp_path: Path, inside: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(tmp_path / "set", inside, content=b"packed")
    path = zipped(folder, tmp_path / "set.zip") if form == "zip" else folder
    kind = f"archives in the set, which are to be unpacked first: {Path(inside).suffix} 1"
    (line,) = refused(path, capsys)
    assert line.endswith(f"{kind}, such as {inside}")
    put(folder, *some("{}.png"))
    path = zipped(folder, tmp_path / "set.zip") if form == "zip" else folder
    for text in said(path, capsys):
        assert kind in text


@pytest.mark.parametrize(
    "address", ["https://example.org/pets.zip", "s3://bucket/pets.zip", "hf://datasets/a/b"]
)
def test_address_is_no_set(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in refused(address, capsys):
        assert f"'{address}' is an address; download it" in line


@pytest.mark.parametrize("blank", ["", " "])
def test_empty_name_is_no_set(blank: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in refused(blank, capsys):
        assert "the name is empty; a folder or a .zip file is wanted" in line


def test_what_is_no_set_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty").mkdir()
    put(tmp_path, "one.jpg")
    for name, reason in (
        ("pipe.zip", "a folder or a .zip file is wanted"),
        ("loop", "cannot be read (Too many levels of symbolic links)"),
        ("n" * 300, "cannot be read (File name too long)"),
        ("one.jpg", "is one picture; a folder or a .zip file is wanted"),
        ("one.jpg/set", "cannot be read (Not a directory)"),
        ("empty", "it is empty"),
        ("none", "no such file or folder"),
    ):
        (line,) = refused(tmp_path / name, capsys)
        assert line.endswith(reason)


def test_folder_that_may_not_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(tmp_path / "set", *some("{}.png"))

    def denied(path: Path) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("model.training.datasets.dataset.os.listdir", denied)
    (line,) = refused(folder, capsys)
    assert line == f"error: {folder}: cannot be read (Permission denied)"


# --- layouts ---


@pytest.mark.parametrize(
    ("images", "beside"),
    [
        pytest.param(
            "VOCdevkit/VOC2012/JPEGImages", "VOCdevkit/VOC2012/SegmentationClass", id="voc"
        ),
        pytest.param("images", "masks", id="masks"),
        pytest.param("images", "annotations/trimaps", id="pets"),
        pytest.param("train/images", "train/labels", id="in-a-part"),
        pytest.param("Images", "GT", id="capitals"),
    ],
)
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_masks_beside_images_are_no_pictures(
    tmp_path: Path, images: str, beside: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(tmp_path / "set", *some(images + "/{}.jpg"))
    wanted = read(folder).fingerprint
    put(folder, *some(beside + "/{}.png", 5))
    path = zipped(folder, tmp_path / "set.zip") if form == "zip" else folder
    dataset = read(path)
    assert dataset.fingerprint == wanted
    assert dataset.classes == ()
    for text in said(path, capsys):
        assert f"images that they belong to: 5, such as {beside}/0.png" in text


def test_masks_without_images_are_a_class(tmp_path: Path) -> None:
    folder = put(tmp_path / "set", *some("masks/{}.png"), *some("hats/{}.png"))
    assert read(folder).classes == ("hats", "masks")
    put(folder, *some("images/{}.png"))
    index = b'{"labels": null}'
    put(folder, "dataset.json", content=index)
    assert len(read(folder)) == 36  # an index says itself what is a picture


@pytest.mark.parametrize(
    "table", ["labels.csv", "metadata.jsonl", "annotations/instances.json", "a.xml", "b.parquet"]
)
def test_classes_in_a_table_are_not_read_and_that_is_said(
    tmp_path: Path, table: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(tmp_path / "set", *some("{}.png"))
    put(folder, table, content=b"0.png,cat\n")
    line = "classes are read from folders or a dataset.json, not from other files, such as "
    for text in said(folder, capsys):
        assert f"{line}{table}" in text
    classes = put(tmp_path / "classes", *some("a/{}.png"), *some("b/{}.png"))
    put(classes, table, content=b"0.png,cat\n")
    assert not any(line in text for text in said(classes, capsys))


def test_empty_class_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = put(tmp_path / "set", *some("cat/{}.png"), *some("dog/{}.png"))
    (folder / "bird").mkdir()
    for text in said(folder, capsys):
        assert "left out: folders that hold nothing: 1, such as bird" in text


# --- formats ---


@pytest.mark.parametrize("ending", SUFFIXES)
def test_every_ending_is_read_in_capitals_too(tmp_path: Path, ending: str) -> None:
    kinds = {".jpe": "JPEG", ".jfif": "JPEG", ".apng": "PNG"}
    for index, name in enumerate((f"a{ending}", f"b{ending.upper()}")):
        mode = {".pbm": "1", ".pgm": "L"}.get(ending, "RGB")
        kind = kinds.get(ending) or Image.registered_extensions()[ending]
        put(tmp_path / "set", name, content=coded(index, kind, mode))
    dataset = read(tmp_path / "set")
    assert len(dataset) == 2
    assert dataset.broken == ()


@pytest.mark.parametrize("ending", [*OTHER_PICTURES, ".txt", "", ".jpg_large", ".jpg?width=9"])
def test_other_endings_are_said_with_what_helps(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(tmp_path / "set", f"x{ending}")
    ours = ending in OTHER_PICTURES
    reason = "to be converted to PNG or JPEG first" if ours else "do not end like those of pictures"
    (line,) = refused(folder, capsys)
    assert line.endswith(f"{reason}: {ending or 'no ending'} 1, such as x{ending}")
    put(folder, *some("{}.png"))
    for text in said(folder, capsys):
        assert f"{reason}: {ending or 'no ending'} 1, such as x{ending}" in text


def test_ever_new_endings_stay_one_line(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "set", 10)
    put(folder, *some("x.jpg?token={}" + "0" * 150, 40))
    (line,) = [line for line in read(folder).notes if "do not end" in line]
    assert len(line) < 700


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_first_of_several_frames_is_taken_and_that_is_said(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    stream = io.BytesIO()
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
    folder = put(tmp_path / "set", *some("{}.png"))
    assert not any(
        word in "".join(said(folder, capsys)) for word in ("frame alone", "several frames,")
    )
    put(folder, f"a.{kind.lower()}", content=stream.getvalue())
    first = read(folder).images[-1]
    assert np.abs(first[0, 0].astype(int) - [255, 0, 0]).max() < 8
    described, trained = said(folder, capsys)
    assert "of several frames, of which the first is taken: 1" in described
    assert "1 taken by their first frame alone" in trained


def test_photo_with_previews_has_one_frame() -> None:
    stream = io.BytesIO()
    photo = Image.new("RGB", (64, 64), "red")
    photo.save(stream, "MPO", save_all=True, append_images=[photo.resize((16, 16))])
    assert not decode(stream.getvalue())[1].frames


def test_too_large_a_picture_is_one_broken_file(tmp_path: Path) -> None:
    folder = put(tmp_path / "set", *some("{}.png"))
    side = int(MAX_PIXELS**0.5) + 100
    Image.new("1", (side, side)).save(folder / "huge.png")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("error")
        (broken,) = read(folder).broken
    assert seen == []
    assert broken.name == "huge.png"
    done = subprocess.run(
        [sys.executable, "-m", "model.training", "data", str(folder)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert f"huge.png: {side}x{side} are more than {MAX_PIXELS:,} pixels" in done.stdout


def test_nearly_black_set_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(12):
        content = png((index, 3, 15), (32, 32))
        put(tmp_path / "set", f"{index}.png", content=content)
    for text in said(tmp_path / "set", capsys):
        assert "warning: no value is above 15 of 255" in text
    put(tmp_path / "set", "z.png", content=png((64, 0, 0), (32, 32)))
    for text in said(tmp_path / "set", capsys):
        assert "warning" not in text


# --- names and kinds of files ---

NAMES = (
    *("new\nline", "emo\U0001f600ji", "\u05e9\u05dc\u05d5\u05dd", "\u202etxet", "a" * 251),
    *(" lead", "trail ", "-rf", "quo\"te's", "tab\t", "\x1b[31mred", "CON", "NUL", "aux", "LPT1"),
    *("zero\u200bwidth", "100%", "#1", "?", "*", ":", "a|b", "<b>", os.fsdecode(b"\xff")),
)


@pytest.mark.parametrize("broken", [False, True])
def test_files_of_any_name_are_read(
    tmp_path: Path, broken: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(tmp_path / "set", *(f"{name}.png" for name in NAMES))
    assert len(read(folder)) == len(NAMES)
    for name in NAMES[:2] if broken else ():
        (folder / f"{name}.png").write_bytes(b"")
    for text in said(folder, capsys):
        assert not any(ord(c) < 32 and c != "\n" for c in text)
        assert ("new\\nline.png: no picture in a known format" in text) is broken


def test_pipes_sockets_and_devices_are_broken_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = put(tmp_path / "set", *some("{:02d}.png", 40))
    os.mkfifo(folder / "pipe.png")
    monkeypatch.chdir(folder)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.png")
        (folder / "zero.png").symlink_to("/dev/zero")
        for text in said(folder, capsys):
            assert "broken files, skipped: 3\n  pipe.png: not a regular file" in text


def test_paths_that_are_too_long_refuse_the_set_by_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(tmp_path / "set", *some("{}.png"))
    monkeypatch.chdir(folder)
    for _ in range(50):
        os.mkdir("d" * 100)
        os.chdir("d" * 100)
    Path("deep.png").write_bytes(coded(1))
    os.chdir(tmp_path)
    (line,) = refused(folder, capsys)
    assert line.endswith("cannot be read (File name too long)")
    assert len(line) < 400


def test_names_that_lead_out_of_a_zip_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = zipped(put(tmp_path / "set", *some("{}.png")), tmp_path / "set.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../evil.png", coded(1))
    for text in said(path, capsys):
        assert "names that lead out of the zip: 1, such as ../../evil.png" in text
    assert len(read(path)) == 12


@pytest.mark.parametrize("kind", ["broken", "classes"])
def test_no_advice_for_a_set_that_training_refuses(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(tmp_path / "set", *some("a/{}.png"), *some("b\n/{}.png"))
    if kind == "broken":
        folder = put(tmp_path / "other", *some("{}.png"))
        put(folder, *some("x{}.png"), content=b"")
    assert main(["data", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "training refuses this set" in text
    assert "train, if nothing else is said" not in text
    assert "advice:" not in text


def test_lists_of_endings_do_not_overlap() -> None:
    lists = (SUFFIXES, ARCHIVES, OTHER_PICTURES)
    everything = [ending for one in lists for ending in one]
    assert len(everything) == len(set(everything))


@pytest.mark.parametrize("kind", ["AVIF", "PPM"])
def test_service_decodes_fewer_formats_than_training(kind: str) -> None:
    content = coded(9, kind)
    assert decode(content)[0].size == (32, 32)
    with pytest.raises(BrokenPictureError, match="no picture in a known format"):
        decode(content, formats=UPLOADED)


def test_document_makes_an_index_of_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parent.parent / "docs" / "data.md").read_text()
    (code,) = re.findall(r'^  python -c "\n(.*?)"\n', text, re.DOTALL | re.MULTILINE)
    folder = put(tmp_path / "set", *some("{}.png"))
    rows = [f"{index}.png,{'cat' if index % 2 else 'dog'}" for index in range(12)]
    put(folder, "labels.csv", content="\n".join(["file,label", *rows, ""]).encode())
    monkeypatch.chdir(folder)
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], check=True)
    dataset = read(folder)
    assert dataset.classes == ("cat", "dog")
    assert dataset.labels.sum() == 6
