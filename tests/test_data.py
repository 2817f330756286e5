"""Readers: each official form is read exactly, each broken file is refused with its name and the
reason.
"""

import gzip
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.training.datasets.dataset import DataError, load
from model.training.datasets.image_folder import (
    Broken,
    allowed_broken,
    broken_notes,
    open_image_folder,
)
from tests.conftest import blobs, idx_bytes, write_idx
from tests.data_files import numbered, png, write_mixed, write_pictures, write_svhn, zipped

GREY28: dict[str, Any] = {"side": 28, "channels": 1}
TRAIN = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_pixel_by_pixel(tmp_path: Path, packed: bool) -> None:
    dataset = load(write_idx(tmp_path / "digits", packed=packed), "train", **GREY28)
    images, labels = blobs(320)
    assert np.array_equal(dataset.images[..., 0], images)
    assert dataset.labels is not None
    assert np.array_equal(dataset.labels, labels)
    assert dataset.name == "digits"


def test_garments_are_told_from_digits_by_their_folder(tmp_path: Path) -> None:
    assert load(write_idx(tmp_path / "digits"), "test", **GREY28).classes == tuple("0123456789")
    garments = load(write_idx(tmp_path / "fashion-mnist"), "test", **GREY28).classes
    assert (len(garments), garments[0], garments[9]) == (10, "t-shirt", "ankle boot")


def test_parts_are_train_test_and_both(digits: Path) -> None:
    sizes = [len(load(digits, split, **GREY28)) for split in ("train", "test", "all")]
    assert sizes == [320, 240, 560]


def test_fingerprint_knows_the_pictures_and_the_labels(tmp_path: Path) -> None:
    one = load(write_idx(tmp_path / "one"), "train", **GREY28)
    same = load(write_idx(tmp_path / "two", packed=False), "train", **GREY28)
    assert one.fingerprint == same.fingerprint
    same.images[0, 0, 0] ^= 1
    assert one.fingerprint != same.fingerprint


def test_svhn_stores_the_digit_0_as_10(tmp_path: Path) -> None:
    dataset = load(write_svhn(tmp_path / "svhn"), "train", side=32, channels=3)
    assert dataset.images.shape == (12, 32, 32, 3)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    first = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 12)).astype(np.uint8)[..., 0]
    assert np.array_equal(dataset.images[0], first)


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


def test_dataset_json_may_name_classes_and_the_test_part(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "set")
    names = [f"{c}/{i}.png" for c in ("blue", "red") for i in range(10)]
    index = {
        "labels": [[name, 2] for name in names],
        "classes": ["a", "b", "c", "d"],
        "test": ["red/0.png", "blue/7.png"],
    }
    (folder / "dataset.json").write_text(json.dumps(index))
    test = load(folder, "test", side=32, channels=3)
    assert test.classes == ("a", "b", "c", "d")
    assert test.images[:, 0, 0].tolist() == [[0, 0, 255], [255, 0, 0]]
    assert len(load(folder, "train", side=32, channels=3)) == 18


def test_dataset_json_without_labels_is_no_classes(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "set")  # its subfolders are mere folders then
    (folder / "dataset.json").write_text('{"labels": null}')
    dataset = load(folder, "all", side=32, channels=3)
    assert dataset.labels is None
    assert dataset.classes == ()


def test_mixed_pictures_become_one_form_and_the_notes_say_how(tmp_path: Path) -> None:
    folder = write_mixed(tmp_path / "mixed")
    colour = load(folder, "all", side=32, channels=3)
    expected = [(200, 200, 200), (0, 255, 0), (255, 255, 255), (0, 0, 0)]
    for picture, pixel in zip(colour.images, expected, strict=True):
        assert np.abs(picture.astype(int) - pixel).max() <= 2
    assert colour.notes == (
        "fewer than 10 pictures: none is held out, so nothing is measured",
        "mixed: of 4 pictures: 2 cropped to their centre square, 1 enlarged, being smaller than "
        "32x32, 1 reduced to 32x32, 1 laid on white where transparent",
    )
    grey = load(folder, "all", side=32, channels=1)
    assert np.abs(grey.images[:, 16, 16, 0] - np.array([200, 150, 255, 0.0])).max() <= 2


def test_padded_pictures_are_whole_beside_white(tmp_path: Path) -> None:
    folder = write_mixed(tmp_path / "mixed")
    dataset = load(folder, "all", side=96, channels=3, fit="pad")
    tall = dataset.images[1]
    assert (tall[:, :32] == 255).all()
    assert (tall[:32, 32:64] == (255, 0, 0)).all()
    assert (tall[32:64, 32:64] == (0, 255, 0)).all()
    assert "2 padded with white to a square" in dataset.notes[1]


def test_prepared_pictures_leave_nothing_to_say(tmp_path: Path) -> None:
    assert load(write_pictures(tmp_path / "set"), "all", side=40, channels=3).notes == ()


def test_order_is_that_of_the_names_whatever_thread_reads_them(tmp_path: Path) -> None:
    dataset = load(numbered(tmp_path / "many", 200), "all", side=32, channels=1)
    assert dataset.images[:, 0, 0, 0].tolist() == list(range(200))


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_folder_and_zip_of_it_are_the_same_set(tmp_path: Path, form: str) -> None:
    names = ("b/1.png", "b-2/1.png", "b 3/1.png", "B/1.png", "b/c/1.png", "\u00e9/1.png")
    for index, name in enumerate(names):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(png((index, 0, 0), (32, 32)))
    path = tmp_path / "set"
    path = zipped(path, tmp_path / "set.zip") if form == "zip" else path
    dataset = load(path, "all", side=32, channels=3)
    assert dataset.classes == ("B", "b", "b 3", "b-2", "b/c", "\u00e9")
    assert dataset.images[:, 0, 0, 0].tolist() == [3, 2, 1, 0, 4, 5]


def test_folder_around_everything_is_no_class(tmp_path: Path) -> None:
    write_pictures(tmp_path / "outer" / "inner" / "colours")
    (tmp_path / "outer" / "readme.txt").touch()
    outer = load(tmp_path / "outer", "all", side=32, channels=3)
    assert outer.classes == ("blue", "red")
    one = load(tmp_path / "outer" / "inner" / "colours" / "red", "all", side=32, channels=3)
    alone = tmp_path / "alone"
    alone.mkdir()
    (tmp_path / "outer" / "inner" / "colours" / "red").rename(alone / "red")
    assert load(alone, "all", side=32, channels=3).fingerprint == one.fingerprint


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_hidden_files_and_what_macos_packs_are_left_alone(tmp_path: Path, form: str) -> None:
    folder = write_pictures(tmp_path / "set")
    for name in ("__MACOSX/red/._0.png", "red/._0.png", ".cache/1.png", ".DS_Store", "Thumbs.db"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"nothing")
    path = zipped(folder, tmp_path / "set.zip") if form == "zip" else folder
    dataset = load(path, "all", side=32, channels=3)
    assert len(dataset) == dataset.files == 20
    assert dataset.broken == ()
    with open_image_folder(path) as image_folder:
        assert not any("do not end" in line for line in image_folder.remarks)


# --- broken files ---


@pytest.mark.parametrize(
    ("files", "allowed"),
    [(1, 0), (9, 0), (10, 1), (20, 2), (100, 10), (999, 10), (1100, 11), (100_000, 1000)],
)
def test_broken_files_are_allowed_for_by_the_size_of_the_set(files: int, allowed: int) -> None:
    assert allowed_broken(files) == allowed


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_few_broken_files_are_skipped_and_listed(tmp_path: Path, form: str) -> None:
    path = numbered(tmp_path / "set", 40, lambda index: index in (3, 9, 20, 39))
    path = zipped(path, tmp_path / "set.zip") if form == "zip" else path
    dataset = load(path, "all", side=32, channels=1)
    kept = [index for index in range(40) if index not in (3, 9, 20, 39)]
    assert dataset.images[:, 0, 0, 0].tolist() == kept
    assert [one.name for one in dataset.broken] == ["003.png", "009.png", "020.png", "039.png"]
    assert all("truncated" in one.reason.lower() for one in dataset.broken)


def test_broken_files_do_not_move_the_test_part(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "set", 40, lambda index: index in (3, 9, 20))
    test = load(folder, "test", side=32, channels=1)
    train = load(folder, "train", side=32, channels=1)
    assert test.images[:, 0, 0, 0].tolist() == [19, 29, 39]
    assert [one.name for one in test.broken] == ["009.png"]
    assert len(train) == 34
    assert [one.name for one in train.broken] == ["003.png", "020.png"]


def test_classes_stay_with_their_pictures_beside_broken_ones(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "set")
    (folder / "blue" / "0.png").write_bytes(b"")
    dataset = load(folder, "all", side=32, channels=3)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0] * 9 + [1] * 10
    assert dataset.images[9, 0, 0].tolist() == [255, 0, 0]


def test_damaged_member_of_a_zip_is_one_broken_file(tmp_path: Path) -> None:
    path = zipped(write_pictures(tmp_path / "set"), tmp_path / "set.zip")
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30
    path.write_bytes(content)
    dataset = load(path, "all", side=32, channels=3)
    assert [one.name for one in dataset.broken] == ["blue/0.png"]


@pytest.mark.parametrize("kind", ["link", "pipe", "large", "named"])
def test_file_that_cannot_be_read_is_one_broken_file(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_pictures(tmp_path / "set")
    if kind == "link":
        (folder / "red" / "x.png").symlink_to(tmp_path / "nowhere")
    elif kind == "pipe":
        os.mkfifo(folder / "red" / "x.png")
    elif kind == "large":
        monkeypatch.setattr("model.training.datasets.image_folder.MAX_FILE_BYTES", 1000)
        (folder / "red" / "x.png").write_bytes(b"x" * 1001)
    else:
        (folder / "red" / "x\n\udcff.png").write_bytes(b"")
    dataset = load(folder, "all", side=32, channels=3)
    assert len(dataset) == 20
    (line,) = map(str, dataset.broken)
    assert line.startswith("red/x")
    assert line.isprintable()


def test_log_names_ten_broken_files_and_counts_the_rest(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "set", 130, lambda index: index % 12 == 5)
    with pytest.raises(DataError) as refusal:
        load(folder, "all", side=32, channels=1)
    assert str(refusal.value).startswith(
        f"{folder}: 11 picture files cannot be read, and of 130 at most 10 are skipped: 005.png: "
    )
    assert str(refusal.value).endswith("and 8 more")
    notes = broken_notes([Broken(str(index), "why") for index in range(10)])
    assert notes[:2] == ["broken files, skipped: 10", "  0: why"]
    assert len(notes) == 11
    more = broken_notes([Broken(str(index), "why") for index in range(13)])
    assert more[10:] == ["  9: why", "  and 3 more"]
    assert broken_notes(()) == []


# --- memory ---


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_pictures_are_held_once_while_they_are_read(tmp_path: Path, form: str) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "set").mkdir()
    for index in range(300):
        noise = random.integers(0, 256, (64, 64, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / "set" / f"{index}.png")
    path = tmp_path / "set"
    path = zipped(path, tmp_path / "set.zip") if form == "zip" else path
    load(path, "test", side=64, channels=3)  # what is imported on the way does not count
    peaks = []
    for _ in range(3):  # threads that earlier tests left may take memory meanwhile
        tracemalloc.start()
        try:
            dataset = load(path, "all", side=64, channels=3)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    # files are as large again, and would make it 2
    assert min(peaks) < 1.6 * dataset.images.nbytes


def test_more_memory_than_there_is_gives_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(shape: object, kind: object) -> None:
        raise MemoryError

    folder = write_pictures(tmp_path / "set")
    monkeypatch.setattr("model.training.datasets.dataset.np.empty", none)
    with pytest.raises(DataError, match=r"20 pictures of 512x512 need 0\.0 GiB of memory"):
        load(folder, "all", side=512, channels=3)


# --- broken sources ---


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def break_idx(change: Callable[[Path], object]) -> Callable[[Path], Path]:
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
    for index in (3, 5, 7):
        (folder / "red" / f"{index}.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
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
    cut(path)
    return path


def locked_zip(tmp_path: Path) -> Path:
    """Returns a zip whose files are said to have a password."""
    path = zipped(write_pictures(tmp_path / "set"), tmp_path / "set.zip")
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + flags] |= 1
            at = content.find(mark, at + 1)
    path.write_bytes(content)
    return path


def layers_zip(tmp_path: Path) -> Path:
    folder = write_pictures(tmp_path / "set")
    (folder / "layers.json").write_text("{}")
    return zipped(folder, tmp_path / "set.zip")


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
    "pictures-broken": (
        broken_picture,
        "3 picture files of the train part cannot be read, and of 20 at most 2 .*red/3.png",
    ),
    "picture-loose": (loose_picture, "beside class folders"),
    "json-broken": (listed("{"), "is wanted"),
    "json-list": (listed("[]"), "is wanted"),
    "json-bad-test": (listed('{"labels": null, "test": 5}'), "is wanted"),
    "json-few-classes": (
        listed(
            json.dumps(
                {"labels": [[f"{c}/{i}.png", 3] for c in ("blue", "red") for i in range(10)]}
                | {"classes": ["a", "b"]}
            )
        ),
        "names 2 classes, but has label 3",
    ),
    "json-other": (listed('{"labels": 5}'), "is wanted"),
    "json-incomplete": (listed('{"labels": [["red/0.png", 0]]}'), "has no label for"),
    "json-bad-label": (listed('{"labels": [["red/0.png", -1]]}'), "from 0 to 999"),
    "zip-broken": (broken_zip, "zip"),
    "zip-damaged": (damaged_zip, "set.zip"),
    "zip-locked": (locked_zip, "18 picture files of the train part cannot be read.*has a password"),
    "zip-of-layers": (layers_zip, "make a set of them with the data command"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_data_is_refused_with_its_reason(tmp_path: Path, kind: str) -> None:
    build, reason = BROKEN[kind]
    with pytest.raises(DataError, match=reason) as refusal:
        load(build(tmp_path), "train", **GREY28)
    assert str(tmp_path) in str(refusal.value)


def test_gzip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.training.datasets.dataset.MAX_IDX_BYTES", 10_000)
    folder = write_idx(tmp_path / "digits")
    (folder / f"{TRAIN}.gz").write_bytes(gzip.compress(b"\0" * 1_000_000))
    with pytest.raises(DataError, match="more than 10,000 bytes"):
        load(folder, "train", **GREY28)
