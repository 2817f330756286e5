"""The data command: a set is described, and its prepared form is the same set again."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import Base

from model.image_decoding import Fit
from model.training.__main__ import main
from model.training.commands.prepare import prepare
from model.training.datasets.dataset import DataError, load
from model.training.datasets.layers import Layers
from tests.conftest import write_idx
from tests.data_files import (
    PARTS,
    SOURCES,
    mixed_with_classes,
    numbered,
    png,
    write_pictures,
    write_robots,
    write_svhn,
    zipped,
)
from tests.statuses import status_of


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("kind", SOURCES)
def test_prepared_set_loads_to_the_pixels_labels_and_parts_of_its_source(
    tmp_path: Path, kind: str, fit: Fit
) -> None:
    build, side, channels = SOURCES[kind]
    source, output = build(tmp_path), tmp_path / "out" / "set.zip"
    prepare(source, output, side=side, fit=fit)
    for part in PARTS:
        before = load(source, part, side=side, channels=channels, fit=fit)
        after = load(output, part, side=side, channels=channels)
        assert np.array_equal(before.images, after.images)
        if before.labels is None or after.labels is None:
            assert before.labels is after.labels
        else:
            assert np.array_equal(before.labels, after.labels)
        assert before.classes == after.classes
        assert before.fingerprint == after.fingerprint


def test_prepared_layers_are_the_stacks(tmp_path: Path) -> None:
    source, output = write_robots(tmp_path / "layers.zip"), tmp_path / "set.zip"
    prepare(source, output, side=24, count=10, seed=3)
    dataset = load(output, "all", side=24, channels=3)
    layers = Layers(source)
    stacks = [stack for name in ("cat", "robot") for stack in layers.stacks(name, 10, 3)]
    assert len(stacks) == 6 + 10  # there are no more cats
    assert dataset.classes == ("robot", "cat")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1] * 6 + [0] * 10
    for picture, stack in zip(dataset.images, stacks, strict=True):
        assert np.array_equal(picture, np.asarray(layers.picture(stack)))
    assert len(load(output, "test", side=24, channels=3)) == 1


def test_same_source_makes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (mixed_with_classes(_made(tmp_path / name)) for name in ("one", "two"))
    for index, file in enumerate(second.iterdir()):
        os.utime(file, (index, index))
    outputs = []
    for source, threads in ((first, 1), (second, 4)):
        monkeypatch.setattr(
            "model.training.datasets.image_folder.usable_cores", lambda threads=threads: threads
        )
        outputs.append(tmp_path / f"{threads}.zip")
        prepare(source, outputs[-1], side=32)
    again = tmp_path / "again.zip"
    prepare(outputs[0], again, side=32)  # a prepared set is already as it should be
    assert outputs[0].read_bytes() == outputs[1].read_bytes() == again.read_bytes()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_layers_make_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    source = write_robots(tmp_path / "layers.zip")
    contents = []
    for index, seed in enumerate((0, 0, 1)):
        prepare(source, tmp_path / f"{index}.zip", side=16, count=5, seed=seed)
        contents.append((tmp_path / f"{index}.zip").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_zip_is_in_the_form_of_stylegans_tools(tmp_path: Path) -> None:
    prepare(write_pictures(tmp_path / "set"), tmp_path / "set.zip", side=32)
    with zipfile.ZipFile(tmp_path / "set.zip") as archive:
        members = archive.infolist()
        index = json.loads(archive.read("dataset.json"))
        with Image.open(archive.open("00000/img00000019.png")) as image:
            assert (image.size, image.mode) == ((32, 32), "RGB")
    names = [f"00000/img{number:08d}.png" for number in range(20)]
    assert [member.filename for member in members] == [*names, "dataset.json"]
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}
    assert index["labels"] == [[name, number // 10] for number, name in enumerate(names)]
    assert index["classes"] == ["blue", "red"]
    assert index["test"] == [names[9], names[19]]


@pytest.mark.parametrize(
    ("channels", "mode"), [(None, "L"), (1, "L"), (3, "RGB")], ids=["unsaid", "grey", "RGB"]
)
def test_grey_pictures_stay_grey_if_nothing_is_said(
    tmp_path: Path, channels: int | None, mode: str
) -> None:
    (tmp_path / "set").mkdir()
    for index in range(12):
        Image.new("L" if index % 2 else "1", (9, 9), 1).save(tmp_path / "set" / f"{index}.png")
    prepare(tmp_path / "set", tmp_path / "set.zip", side=9, channels=channels)
    with (
        zipfile.ZipFile(tmp_path / "set.zip") as archive,
        Image.open(archive.open("00000/img00000000.png")) as image,
    ):
        assert image.mode == mode
    Image.new("RGB", (9, 9)).save(tmp_path / "set" / "z.png")
    prepare(tmp_path / "set", tmp_path / "set.zip", side=9)
    assert load(tmp_path / "set.zip", "all", side=9, channels=3).images.shape[3] == 3


@pytest.mark.parametrize(
    ("classes", "size"),
    [(1, (8, 8)), (2, (8, 8)), (10, (6, 10)), (64, (8, 8)), (70, (8, 8))],
)
def test_montage_shows_as_many_of_each_class(
    tmp_path: Path, classes: int, size: tuple[int, int]
) -> None:
    for label in range(classes):
        (tmp_path / "set" / f"{label:03d}").mkdir(parents=True)
        for index in range(70 if classes < 3 else 7):
            content = png((label, label, label), (8, 8))
            (tmp_path / "set" / f"{label:03d}" / f"{index}.png").write_bytes(content)
    prepare(tmp_path / "set", tmp_path / "set.zip", side=8)
    with Image.open(tmp_path / "set.png") as montage:
        assert montage.size == (8 * size[0], 8 * size[1])
        shown = np.asarray(montage)[::8, ::8, 0].ravel().tolist()
    each = 64 // min(classes, 64)
    assert shown == [label for label in range(min(classes, 64)) for _ in range(each)]


def test_montage_of_large_pictures_is_small(tmp_path: Path) -> None:
    prepare(write_pictures(tmp_path / "set"), tmp_path / "set.zip", side=300)
    with Image.open(tmp_path / "set.png") as montage:
        assert montage.size == (8 * 128, 3 * 128)


# --- the description ---


def untidy(tmp_path: Path) -> Path:
    """Makes a set with everything at once."""
    folder = write_pictures(tmp_path / "untidy")
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    Image.new("L", (60, 20)).save(folder / "red" / "photo.jpg", exif=exif)
    Image.new("RGBA", (10, 12)).save(folder / "red" / "clear.png")
    (folder / "red" / "0.png").write_bytes(b"")
    (folder / "notes.txt").touch()
    (folder / "red" / "raw.HEIC").touch()
    return folder


def test_description_tells_what_a_set_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = untidy(tmp_path)
    assert main(["data", str(folder)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f"{folder}: 21 pictures, 19 to train with and 2 held out",
        "sizes: smallest 10x12, largest 40x40, most frequent 40x40 (19)",
        "modes: L 1, RGB 19, RGBA 1",
        "values: 0 to 255",
        "turned by their EXIF: 1",
        "transparent: 1",
        "copies of another: 17",
        "left out: files whose names do not end like those of pictures: .txt 1, such as notes.txt",
        "left out: pictures in formats that are not read, to be converted to PNG or JPEG first: "
        ".heic 1, such as red/raw.HEIC",
        "broken files, skipped: 1",
        "  red/0.png: no picture in a known format; the file is empty",
        "  (2 of 22 files may be broken)",
        "classes: 2",
        "  blue: 10",
        "  red: 11",
        "train, if nothing else is said: --preset modern-32 --batch 16 --hours 1, 32x32 RGB, "
        "2 classes; 19 to train with, 2 held out to measure with",
        "advice: 19 pictures are few, and a GAN memorises few. --augment slows that, --mirror "
        "doubles pictures that may be flipped; about 150 passes are enough:",
        f"  python -m model.training train --data {folder} --augment 0.3 --mirror --kimg 10",
        "or start from a trained generator, at its 64x64 pixels; that saves the first minutes:",
        f"  python -m model.training train --data {folder} --from avatars --augment 0.3 --kimg 10",
    ]
    assert captured.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["untidy"]  # nothing was written


@pytest.mark.parametrize(
    ("build", "lines"),
    [
        pytest.param(
            lambda tmp: write_idx(tmp / "digits", 40, 20),
            ["60 pictures, 40 to train with and 20 held out", "size: 28x28 (60)", "modes: L 60"],
            id="idx",
        ),
        pytest.param(
            lambda tmp: write_svhn(tmp / "svhn"),
            ["24 pictures, 12 to train", "size: 32x32 (24)", "modes: RGB 24", "  0: 2"],
            id="mat",
        ),
        pytest.param(
            lambda tmp: write_robots(tmp / "layers.zip"),
            [
                "18 pictures, 17 to train with and 1 held out",
                "size: 24x24 (18)",
                "stacks of layers: cat 6, robot 12",
                "  robot: 12",
            ],
            id="layers",
        ),
    ],
)
def test_every_kind_of_source_is_described(
    tmp_path: Path, build: Callable[[Path], Path], lines: list[str]
) -> None:
    description = "\n".join(prepare(build(tmp_path), None))
    for line in lines:
        assert line in description


def test_set_that_training_refuses_is_described_and_says_so(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "set", 40, lambda index: index % 3 == 0)
    lines = prepare(folder, None)
    assert "  (4 of 40 files may be broken: training refuses this set)" in lines
    assert "  and 4 more" in lines


def test_what_lies_beside_the_zip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out" / "set.zip"
    arguments = ["data", str(untidy(tmp_path)), "--output", str(output), "--side", "16"]
    assert main(arguments) == 0
    names = sorted(path.name for path in output.parent.iterdir())
    assert names == ["set.broken.txt", "set.png", "set.txt", "set.zip"]
    printed = capsys.readouterr().out
    assert (output.parent / "set.txt").read_text() == printed
    assert printed.splitlines()[-6] == (
        f"{output}: 16x16 RGB; of 21 pictures: 2 cropped to their centre square, 1 enlarged, "
        "being smaller than 16x16, 20 reduced to 16x16, 1 turned upright by their EXIF, "
        "1 laid on white where transparent"
    )
    broken = (output.parent / "set.broken.txt").read_text()
    assert broken == "red/0.png: no picture in a known format; the file is empty\n"
    write_pictures(tmp_path / "whole")
    assert main(["data", str(tmp_path / "whole"), "--output", str(output), "--side", "16"]) == 0
    assert not (output.parent / "set.broken.txt").exists()


def test_set_without_a_sound_picture_is_described_and_refused(tmp_path: Path) -> None:
    source = numbered(tmp_path / "set", 3, lambda _: True)
    assert prepare(source, None)[0].endswith("0 pictures, 0 to train with and 0 held out")
    with pytest.raises(DataError, match="3 picture files cannot be read, and of 3 at most 0"):
        prepare(source, tmp_path / "set.zip", side=16)


def test_refused_set_leaves_the_list_of_broken_files_alone(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "set", 40, lambda index: index % 3 == 0)
    with pytest.raises(DataError, match="14 picture files cannot be read, and of 40 at most 4"):
        prepare(folder, tmp_path / "out" / "set.zip", side=16)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["set.broken.txt"]
    assert len((tmp_path / "out" / "set.broken.txt").read_text().splitlines()) == 14


# --- mistakes ---


def other_size(tmp_path: Path) -> Path:
    image = io.BytesIO()
    Image.new("RGBA", (5, 5)).save(image, "PNG")
    return write_robots(tmp_path / "layers.zip", **{"eye1.png": image.getvalue()})


def layers_with(classes: object) -> Callable[[Path], Path]:
    def build(tmp_path: Path) -> Path:
        with zipfile.ZipFile(tmp_path / "layers.zip", "w") as archive:
            archive.writestr("layers.json", json.dumps({"classes": classes}))
        return tmp_path / "layers.zip"

    return build


def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "set")


def damaged(tmp_path: Path) -> Path:
    path = zipped(folder(tmp_path), tmp_path / "x.zip")
    path.write_bytes(path.read_bytes().replace(b"PK\1\2", b"PK\1\3"))
    return path


MISTAKES: dict[str, tuple[Callable[[Path], Path], list[str], str]] = {
    "missing": (lambda tmp: tmp / "no", [], "no such file or folder"),
    "damaged": (damaged, [], "damaged or unreadable zip file"),
    "no-side": (folder, ["--output", "OUT/x.zip"], "say --side"),
    "side-small": (folder, ["--output", "OUT/x.zip", "--side", "7"], "allowed: 8 to 1024"),
    "no-zip": (folder, ["--output", "OUT/x.png", "--side", "16"], "ends in .zip is wanted"),
    "in-source": (folder, ["--output", "OUT/set/x.zip", "--side", "16"], "write it elsewhere"),
    "on-source": (
        lambda tmp: zipped(folder(tmp), tmp / "x.zip"),
        ["--output", "OUT/x.zip", "--side", "16"],
        "write it elsewhere",
    ),
    "no-place": (folder, ["--output", "OUT/set/red/0.png/x.zip", "--side", "16"], "elsewhere"),
    "file-for-folder": (
        lambda tmp: zipped(folder(tmp), tmp / "set.zip"),
        ["--output", "OUT/set/red/0.png/x.zip", "--side", "16"],
        "cannot be written",
    ),
    "fit": (folder, ["--fit", "squeeze"], "invalid choice"),
    "channels": (folder, ["--channels", "4"], "invalid choice"),
    "count": (folder, ["--count", "0"], "allowed: 1 to 1000000"),
    "layers-empty": (layers_with({}), [], "empty slot"),
    "layers-no-slot": (layers_with({"a": {"b": []}}), [], "empty slot"),
    "layers-list": (layers_with([]), [], "layers.json is wanted"),
    "layers-missing": (
        layers_with({"a": {"b": [{"files": ["x.png"]}]}}),
        [],
        "layers.json names x.png",
    ),
    "layers-broken": (
        lambda tmp: write_robots(tmp / "layers.zip", **{"body0.png": b"nothing"}),
        ["--output", "OUT/x.zip", "--side", "16"],
        "body0.png is not a readable picture",
    ),
    "layers-size": (other_size, ["--output", "OUT/x.zip", "--side", "16"], "differ in size"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistake_is_one_line_and_leaves_nothing(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build, options, reason = MISTAKES[kind]
    source = build(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    typed = [option.replace("OUT", str(tmp_path)) for option in options]
    status = status_of(main, ["data", str(source), *typed])
    captured = capsys.readouterr()
    assert status == 2
    assert reason in captured.err.splitlines()[-1]
    assert captured.out == ""
    assert len(captured.err.splitlines()[-1]) < 500
    assert sorted(tmp_path.rglob("*")) == before


def test_index_that_names_a_file_twice_comes_to_an_end(tmp_path: Path) -> None:
    source = write_robots(tmp_path / "layers.zip")
    with zipfile.ZipFile(source) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    slot = {"files": ["body0.png", "body0.png"]}
    files["layers.json"] = json.dumps({"classes": {"twins": {"a": [slot], "b": [slot]}}}).encode()
    with zipfile.ZipFile(source, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert prepare(source, None)[0].endswith("1 picture, 1 to train with and 0 held out")


def test_official_set_goes_by_its_name(
    downloads: list[tuple[str, str | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = ["--output", "small.zip", "--side", "28", "--base-url", "http://127.0.0.1:9"]
    assert main(["data", "fashion-mnist", *output]) == 0
    assert downloads == [("fashion-mnist", "http://127.0.0.1:9")]
    assert load(tmp_path / "small.zip", "test", side=28, channels=1).images.shape[0] == 240
