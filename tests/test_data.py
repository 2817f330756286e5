"""Readers: each official form is read exactly, each broken file is refused with its name and the
reason.
"""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from model.training.data import DataError, load
from tests.conftest import blobs, idx_bytes, write_idx

GREY28 = {"side": 28, "channels": 1}
TRAIN = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_pixel_by_pixel(tmp_path: Path, packed: bool) -> None:
    dataset = load(write_idx(tmp_path / "digits", packed=packed), "train", **GREY28)
    images, labels = blobs(320)
    assert np.array_equal(dataset.images[..., 0], images)
    assert np.array_equal(dataset.labels, labels)
    assert dataset.name == "digits"


def test_parts_are_train_test_and_both(digits: Path) -> None:
    sizes = [len(load(digits, split, **GREY28)) for split in ("train", "test", "all")]
    assert sizes == [320, 240, 560]


def test_fingerprint_knows_the_pictures_and_the_labels(tmp_path: Path) -> None:
    one = load(write_idx(tmp_path / "one"), "train", **GREY28)
    same = load(write_idx(tmp_path / "two", packed=False), "train", **GREY28)
    assert one.fingerprint == same.fingerprint
    same.images[0, 0, 0] ^= 1
    assert one.fingerprint != same.fingerprint


def write_svhn(folder: Path, count: int = 12, **changes: object) -> Path:
    folder.mkdir()
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        content = {
            "X": random.integers(0, 256, (32, 32, 3, count)).astype(np.uint8),
            "y": (np.arange(count) % 10 + 1).astype(np.uint8)[:, None],
        }
        content = {k: v for k, v in (content | changes).items() if v is not None}
        savemat(folder / f"{part}_32x32.mat", content)
    return folder


def test_svhn_stores_the_digit_0_as_10(tmp_path: Path) -> None:
    dataset = load(write_svhn(tmp_path / "svhn"), "train", side=32, channels=3)
    assert dataset.images.shape == (12, 32, 32, 3)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    first = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 12)).astype(np.uint8)[..., 0]
    assert np.array_equal(dataset.images[0], first)


def png(colour: tuple[int, int, int], size: tuple[int, int] = (40, 40)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


def write_pictures(folder: Path) -> Path:
    for name, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        (folder / name).mkdir(parents=True)
        for index in range(10):
            (folder / name / f"{index}.png").write_bytes(png(colour))
    return folder


def zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return target


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_subfolders_are_classes_and_every_tenth_picture_is_held_out(
    tmp_path: Path, form: str
) -> None:
    path = write_pictures(tmp_path / "colours")
    if form == "zip":
        path = zipped(path, tmp_path / "colours.zip")
    train = load(path, "train", side=32, channels=3)
    test = load(path, "test", side=32, channels=3)
    assert train.classes == ("blue", "red")
    assert (len(train), len(test)) == (18, 2)
    assert test.labels is not None
    assert test.labels.tolist() == [0, 1]
    assert test.images[:, 0, 0].tolist() == [[0, 0, 255], [255, 0, 0]]


def test_dataset_json_names_the_classes(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "set")
    names = [f"{c}/{i}.png" for c in ("blue", "red") for i in range(10)]
    rows = [[name, int(name.startswith("blue"))] for name in names]
    (folder / "dataset.json").write_text(json.dumps({"labels": rows}))
    dataset = load(folder, "all", side=32, channels=3)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1] * 10 + [0] * 10


def test_pictures_without_classes_have_no_labels(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png((9, 9, 9)))
    dataset = load(tmp_path, "all", side=16, channels=1)
    assert dataset.labels is None
    assert dataset.images.shape == (1, 16, 16, 1)


def test_wide_pictures_are_cropped_to_their_centre(tmp_path: Path) -> None:
    picture = Image.new("RGB", (96, 32), (0, 0, 0))
    picture.paste((255, 255, 255), (32, 0, 64, 32))
    picture.save(tmp_path / "wide.png")
    assert (load(tmp_path, "all", side=32, channels=3).images == 255).all()


# --- broken sources ---


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def break_idx(change: Callable[[Path], None]) -> Callable[[Path], Path]:
    def build(tmp_path: Path) -> Path:
        folder = write_idx(tmp_path / "digits", packed=False)
        change(folder)
        return folder

    return build


def gzip_cut(tmp_path: Path) -> Path:
    folder = write_idx(tmp_path / "digits")
    cut(folder / f"{TRAIN}.gz")
    return folder


def not_gzip(tmp_path: Path) -> Path:
    folder = write_idx(tmp_path / "digits")
    (folder / f"{TRAIN}.gz").write_bytes(b"<html>404</html>")
    return folder


def wrong_count(folder: Path) -> None:
    (folder / LABELS).write_bytes(idx_bytes(blobs(319)[1]))


def wrong_label(folder: Path) -> None:
    (folder / LABELS).write_bytes(idx_bytes(blobs(320)[1] + 1))


def foreign(folder: Path) -> None:
    (folder / TRAIN).write_bytes((folder / LABELS).read_bytes())


def huge_header(folder: Path) -> None:
    (folder / TRAIN).write_bytes((2051).to_bytes(4, "big") + b"\xff" * 12 + b"\0" * 100)


def other_size(folder: Path) -> None:
    (folder / TRAIN).write_bytes(idx_bytes(blobs(320, side=30)[0]))


def broken_picture(tmp_path: Path) -> Path:
    folder = write_pictures(tmp_path / "set")
    (folder / "red" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    return folder


def loose_picture(tmp_path: Path) -> Path:
    folder = write_pictures(tmp_path / "set")
    (folder / "loose.png").write_bytes(png((0, 0, 0)))
    return folder


def listed(content: str) -> Callable[[Path], Path]:
    def build(tmp_path: Path) -> Path:
        folder = write_pictures(tmp_path / "set")
        (folder / "dataset.json").write_text(content)
        return folder

    return build


def broken_zip(tmp_path: Path) -> Path:
    (tmp_path / "set.zip").write_bytes(b"PK\x03\x04 and nothing more")
    return tmp_path / "set.zip"


def damaged_zip(tmp_path: Path) -> Path:
    path = zipped(write_pictures(tmp_path / "set"), tmp_path / "set.zip")
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30
    path.write_bytes(content)
    return path


def foreign_mat(tmp_path: Path) -> Path:
    folder = write_svhn(tmp_path / "svhn")
    (folder / "train_32x32.mat").write_bytes(b"<html>" * 50)
    return folder


def cut_mat(tmp_path: Path) -> Path:
    folder = write_svhn(tmp_path / "svhn")
    path = folder / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:5000])
    return folder


def plain_file(tmp_path: Path) -> Path:
    (tmp_path / "notes.txt").write_text("x")
    return tmp_path / "notes.txt"


def empty_folder(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


BROKEN = {
    "missing": (lambda tmp: tmp / "nowhere", "no such file or folder"),
    "empty-folder": (empty_folder, "neither idx files"),
    "plain-file": (plain_file, "a folder or a .zip file is wanted"),
    "idx-missing": (break_idx(lambda f: (f / LABELS).unlink()), "neither train-labels"),
    "idx-cut": (break_idx(lambda f: cut(f / TRAIN)), "truncated"),
    "idx-no-header": (break_idx(lambda f: (f / TRAIN).write_bytes(b"\0\0")), "truncated"),
    "idx-too-long": (
        break_idx(lambda f: (f / TRAIN).write_bytes((f / TRAIN).read_bytes() + b"x")),
        "too long",
    ),
    "idx-foreign": (break_idx(foreign), "2051 is wanted"),
    "idx-huge-header": (break_idx(huge_header), "truncated"),
    "idx-fewer-labels": (break_idx(wrong_count), "320 pictures, but 319 labels"),
    "idx-label-10": (break_idx(wrong_label), "allowed: 0 to 9"),
    "idx-other-size": (break_idx(other_size), "this preset wants 28x28"),
    "gzip-cut": (gzip_cut, "truncated gzip"),
    "gzip-foreign": (not_gzip, "gzip"),
    "mat-foreign": (foreign_mat, "not a readable .mat"),
    "mat-cut": (cut_mat, "not a readable .mat"),
    "mat-no-labels": (lambda tmp: write_svhn(tmp / "svhn", y=None), "X and y are wanted"),
    "mat-other-shape": (
        lambda tmp: write_svhn(tmp / "svhn", X=np.zeros((3, 4), np.uint8)),
        r"\(32, 32, 3, N\) is wanted",
    ),
    "mat-other-type": (
        lambda tmp: write_svhn(tmp / "svhn", X=np.zeros((32, 32, 3, 12))),
        "uint8",
    ),
    "mat-label-11": (
        lambda tmp: write_svhn(tmp / "svhn", y=np.full((12, 1), 11, np.uint8)),
        "outside 0 to 10",
    ),
    "mat-fewer-labels": (
        lambda tmp: write_svhn(tmp / "svhn", y=np.ones((11, 1), np.uint8)),
        "12 pictures, but 11 labels",
    ),
    "mat-for-grey-preset": (lambda tmp: write_svhn(tmp / "svhn"), "this preset wants 28x28"),
    "picture-broken": (broken_picture, "red/3.png is not a readable picture"),
    "picture-loose": (loose_picture, "beside class folders"),
    "json-broken": (listed("{"), "is wanted"),
    "json-other": (listed('{"labels": 5}'), "is wanted"),
    "json-incomplete": (listed('{"labels": [["red/0.png", 0]]}'), "has no label for"),
    "json-bad-label": (listed('{"labels": [["red/0.png", -1]]}'), "from 0 to 999"),
    "zip-broken": (broken_zip, "zip"),
    "zip-damaged": (damaged_zip, "set.zip"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_data_is_refused_with_its_reason(tmp_path: Path, kind: str) -> None:
    build, reason = BROKEN[kind]
    with pytest.raises(DataError, match=reason) as refusal:
        load(build(tmp_path), "train", **GREY28)
    assert str(tmp_path) in str(refusal.value)


def test_gzip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.training.data.MAX_IDX_BYTES", 10_000)
    folder = write_idx(tmp_path / "digits")
    (folder / f"{TRAIN}.gz").write_bytes(gzip.compress(b"\0" * 1_000_000))
    with pytest.raises(DataError, match="more than 10,000 bytes"):
        load(folder, "train", **GREY28)
