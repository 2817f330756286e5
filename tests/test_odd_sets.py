"""Sets as people have them: from other systems, with links, in parts, few, in 12 bits. What they
mean is read, and nothing is left out without a word.
"""

import errno
import fcntl
import json
import os
import shlex
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from model.generator_file import MAX_CLASS_NAME
from model.training.__main__ import main
from model.training.datasets.dataset import DataError, Dataset, Split, load
from model.training.datasets.file_listing import SYSTEMS
from model.training.datasets.held_out import deal
from model.training.run.run_folder import RunError, locked
from tests.data_files import numbered, png, write_mixed, write_pictures, zipped

COLOURS = {"cat": (200, 40, 40), "dog": (40, 60, 200)}


def write(folder: Path, counts: Mapping[str, int]) -> Path:
    """Writes so many different pictures in each folder, the colour by the folder's last name."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            red, green, blue = COLOURS.get(name.split("/")[-1].lower(), (9, 9, 9))
            content = png((red, green + number, blue + index % 50), (32, 32))
            (folder / name / f"{number}{index:03d}.png").write_bytes(content)
    return folder


def read(path: Path, split: Split = "all", **more: Any) -> Dataset:
    return load(path, split, side=32, channels=3, may_be_empty=True, **more)


def by_class(path: Path, split: Split) -> dict[str, int]:
    dataset = read(path, split)
    assert dataset.labels is not None
    return {name: int((dataset.labels == i).sum()) for i, name in enumerate(dataset.classes)}


def notes(path: Path) -> str:
    return "\n".join(read(path).notes)


def said(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Returns what `data` prints, and what a dry run of `train` says beside its record."""
    capsys.readouterr()
    assert main(["data", str(path)]) == 0
    described = capsys.readouterr().out
    plain = ["--preset", "modern-32", "--batch", "2", "--features", "none", "--device", "cpu"]
    assert main(["train", "--data", str(path), *plain, "--dry-run"]) == 0
    return described, capsys.readouterr().err


# --- what was read rightly stays ---


def listed(tmp_path: Path) -> Path:
    folder = numbered(tmp_path / "listed", 60)
    random = np.random.default_rng(5)
    rows = [[f"{index:03d}.png", int(random.integers(3))] for index in range(60)]
    (folder / "dataset.json").write_text(json.dumps({"labels": rows}))
    return folder


def in_16_bits(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    random = np.random.default_rng(5)
    for index in range(20):
        values = random.integers(0, 65536, (32, 32)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / "deep" / f"{index:02d}.png")
    return tmp_path / "deep"


def composed_and_not(tmp_path: Path) -> Path:
    for name in ("cafe\u0301", "cafz", "caf\u00e8"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(12):
            content = png((index * 10, len(name) * 10, ord(name[-1]) % 255), (32, 32))
            (tmp_path / "set" / name / f"e\u0301{index:02d}.png").write_bytes(content)
    return tmp_path / "set"


def nested(tmp_path: Path) -> Path:
    for name, count in (("b", 15), ("b/c", 13), ("b 3", 12), ("B", 2), ("a", 9)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(count):
            content = png((index * 10, count * 10, 0), (32, 32))
            (tmp_path / "set" / name / f"{index:02d}.png").write_bytes(content)
    return tmp_path / "set"


RIGHT: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "classes": (
        lambda tmp: write_pictures(tmp / "set"),
        ["301a571a9d619325", "ba5588d2df5e517c", "df34f6148f183ac7"],
    ),
    "plain": (
        lambda tmp: numbered(tmp / "set", 40),
        ["24c3955866d50a91", "dee3e7f0e06f8793", "e637d6d4f20b74a8"],
    ),
    "nested": (nested, ["025a46c2ecae4d60", "dc0ab606bf1d2e1f", "0259efd18db11588"]),
    "spellings": (composed_and_not, ["b34fab33f4ccc817", "366108daf5ef39d7", "566edca903e17e4a"]),
    "16-bits": (in_16_bits, ["30f4b5860a097c86", "5fc064a7fdbd6767", "5f66677ae7cf7a0f"]),
    "dataset.json": (listed, ["9b84688370cf5de6", "ddf93f79197817d4", "287e0ddbb0298c65"]),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_sets_keep_their_hash_so_that_their_runs_go_on(tmp_path: Path, kind: str) -> None:
    build, hashes = RIGHT[kind]
    path = build(tmp_path)
    parts: tuple[Split, ...] = ("train", "test", "all")
    assert [read(path, part).fingerprint[:16] for part in parts] == hashes


# --- other systems' spellings ---


class Unsaid(zipfile.ZipInfo):
    """A member whose name says no encoding; its characters are the bytes of it."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802
        return self.filename.encode("latin-1"), 0


def unsaid(path: Path, names: list[str], encoding: str) -> Path:
    """Zips twelve pictures below each name, in this encoding and without a word of it."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            for index in range(12):
                raw = f"{name}/{index:02d}.png".encode(encoding)
                content = png((index * 10, number * 90, 0), (32, 32))
                archive.writestr(Unsaid(raw.decode("latin-1")), content)
    return path


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_a_zip_that_say_no_encoding_are_utf8_where_all_can_be(
    tmp_path: Path, form: Literal["NFC", "NFD"]
) -> None:
    names = [unicodedata.normalize(form, name) for name in ("caf\u00e9", "\u732b", "dog")]
    path = unsaid(tmp_path / "mac.zip", names, "utf-8")
    assert list(by_class(path, "all")) == ["caf\u00e9", "dog", "\u732b"]
    assert "encoding" not in notes(path)


@pytest.mark.parametrize("encoding", ["cp932", "gbk", "cp1251"])
def test_names_in_a_zip_of_unknown_encoding_are_said(
    tmp_path: Path, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"cp932": "\u732b", "gbk": "\u72d7", "cp1251": "\u043a\u043e\u0442"}
    path = unsaid(tmp_path / "old.zip", [words[encoding], "dog"], encoding)
    read_as = words[encoding].encode(encoding).decode("cp437")
    assert by_class(path, "all") == {"dog": 12, read_as: 12}
    for text in said(path, capsys):
        assert f"say no encoding, and are not UTF-8: 12, such as {read_as}/00.png" in text


def zip_of(folder: Path, path: Path, rename: Callable[[str], str], system: int = 0) -> Path:
    """Zips a folder under other names, as another system would."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                member = zipfile.ZipInfo("x")
                member.filename = rename(file.relative_to(folder).as_posix())
                member.create_system = system
                archive.writestr(member, file.read_bytes())
    return path


@pytest.mark.parametrize("system", [0, 3])
@pytest.mark.parametrize("around", ["", "pets\\", "my\\pets\\"])
@pytest.mark.parametrize("index", [False, True])
def test_zip_with_backslashes_is_the_same_set(
    tmp_path: Path, system: int, around: str, index: bool
) -> None:
    folder = write(tmp_path / "pets", {"cat": 20, "dog": 20})
    if index:
        names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.png"))
        rows = [[name.replace("/", "\\"), int("dog" in name)] for name in names]
        test = [rows[3][0], rows[33][0]]
        content = {"labels": rows, "classes": ["a", "b"], "test": test}
        (folder / "dataset.json").write_text(json.dumps(content))
    path = zip_of(
        folder, tmp_path / "win.zip", lambda name: around + name.replace("/", "\\"), system
    )
    for part in ("train", "test"):
        before, after = (read(source, part) for source in (folder, path))
        assert before.fingerprint == after.fingerprint
        assert before.classes == after.classes == (("a", "b") if index else ("cat", "dog"))
    assert len(read(path, "test")) == (2 if index else 4)


def test_folder_into_which_such_a_zip_was_unpacked_is_the_same_set(tmp_path: Path) -> None:
    folder = write(tmp_path / "pets", {"cat": 10, "dog": 10})
    (tmp_path / "flat").mkdir()
    for file in folder.rglob("*.png"):
        name = file.relative_to(folder).as_posix().replace("/", "\\")
        (tmp_path / "flat" / f"pets\\{name}").write_bytes(file.read_bytes())
    assert read(tmp_path / "flat").fingerprint == read(folder).fingerprint


def test_backslash_in_a_name_stays_where_the_zip_has_slashes(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"a\\b": 2, "c\\d": 2})
    assert read(zipped(folder, tmp_path / "set.zip")).classes == ("a\\b", "c\\d")


def test_zip_of_a_folder_with_a_dot_before_its_names_is_the_same(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"cat": 10, "dog": 10})
    path = zip_of(folder, tmp_path / "set.zip", lambda name: f"./{name}", 3)
    assert read(path).fingerprint == read(folder).fingerprint


@pytest.mark.parametrize("form", ["folder", "zip", "dataset.json"])
def test_class_names_are_composed(tmp_path: Path, form: str) -> None:
    decomposed = unicodedata.normalize("NFD", "caf\u00e9")
    folder = write(tmp_path / "set", {"bar": 10, decomposed: 10, "caf\u00e9": 10})
    path = zipped(folder, tmp_path / "set.zip") if form == "zip" else folder
    if form == "dataset.json":
        names = [file.relative_to(folder).as_posix() for file in folder.rglob("*.png")]
        rows = [[unicodedata.normalize("NFD", name), 0] for name in names]
        index = {"labels": rows, "classes": [decomposed]}
        (folder / "dataset.json").write_text(json.dumps(index))
        assert read(path).classes == ("caf\u00e9",)
        return
    assert by_class(path, "all") == {"bar": 10, "caf\u00e9": 20}
    assert "one name in two spellings" in notes(path)


def test_capitals_part_classes_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "set", {"Cat": 10, "cat": 10, "dog": 10})
    for text in said(folder, capsys):
        assert "differ by capitals alone, and stay apart: Cat/cat" in text
    assert read(folder).classes == ("Cat", "cat", "dog")


# --- what is left out ---


@pytest.mark.parametrize(
    "name",
    [
        *(pattern.replace("*", "x") for patterns in SYSTEMS.values() for pattern in patterns),
        *("@EADIR", "thumbs.DB", "Previews.lrdata", ".hidden"),
    ],
)
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_files_and_folders_of_systems_are_left_alone_and_named(
    tmp_path: Path, name: str, form: str
) -> None:
    folder = write(tmp_path / "set", {"cat": 10, "dog": 10})
    hash_before = read(folder).fingerprint
    write(folder, {f"cat/{name}": 2, f"cat/{name}/IMG_1.jpg": 1})
    (folder / "dog" / name).write_bytes(b"nothing")
    path = zipped(folder, tmp_path / "set.zip") if form == "zip" else folder
    assert read(path).fingerprint == hash_before
    (line,) = read(path).notes
    assert line.startswith("left out: ")
    assert line.endswith(f": 2, such as cat/{name}".replace("\r", "\\r"))


def test_document_lists_all_that_is_left_alone() -> None:
    text = (Path(__file__).parent.parent / "docs" / "data.md").read_text()
    for maker, patterns in SYSTEMS.items():
        names = ", ".join(f"`{pattern.strip()}`" for pattern in patterns)
        assert f"| {maker} | {names} |" in text


def test_nothing_is_left_out_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "set", {"cat": 10, "dog": 10})
    (folder / "dog" / "raw.HEIC").touch()
    (folder / "bird").symlink_to(tmp_path / "nowhere")
    (folder / "again").symlink_to(folder / "cat")
    (folder / ".hidden").mkdir()
    for text in said(folder, capsys):
        assert "to be converted to PNG or JPEG first: .heic 1, such as dog/raw.HEIC" in text
        assert "left out: links that lead nowhere: 1, such as bird" in text
        assert "left out: links to folders that are read already: 1, such as again" in text
        assert "left out: hidden ones: 1, such as .hidden" in text


def test_links_to_folders_are_followed_each_real_folder_once(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", {"dog": 10, "dog/old": 2})
    plain = write(tmp_path / "plain", {"cat": 10, "dog": 10, "dog/old": 2})
    folder = write(tmp_path / "set", {"cat": 10})
    (folder / "dog").symlink_to(tmp_path / "elsewhere" / "dog")
    assert by_class(folder, "all") == by_class(plain, "all") == {"cat": 10, "dog": 10, "dog/old": 2}
    (folder / "twice").symlink_to(tmp_path / "elsewhere" / "dog" / "old")
    (tmp_path / "elsewhere" / "dog" / "old" / "up").symlink_to("../..")  # to what holds `dog`
    (folder / "cat" / "loop").symlink_to("..")
    (folder / "cat" / "around").symlink_to(tmp_path)
    (folder / "self").symlink_to("self")
    assert by_class(folder, "all") == {"cat": 10, "dog": 10, "dog/old": 2}
    assert "links to a folder that the set lies in: 1, such as cat/around" in notes(folder)
    assert "links that lead nowhere: 1, such as self" in notes(folder)


def test_link_to_a_file_is_that_file_and_a_set_may_be_a_link(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"cat": 10, "dog": 9})
    (folder / "dog" / "z.png").symlink_to(folder / "cat" / "0000.png")
    (tmp_path / "link").symlink_to(folder)
    assert by_class(tmp_path / "link", "all") == {"cat": 10, "dog": 10}
    assert read(tmp_path / "link").notes == ()


def test_folder_that_cannot_be_read_refuses_the_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "set", {"cat": 10, "dog": 10})
    scan = os.scandir

    def denied(path: Path) -> Any:
        if Path(path).name == "dog":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scan(path)

    monkeypatch.setattr("model.training.datasets.file_listing.os.scandir", denied)
    with pytest.raises(DataError, match=r"set/dog: cannot be read \(Permission denied\)"):
        read(folder)


def test_links_in_a_zip_are_named(tmp_path: Path) -> None:
    path = zipped(write(tmp_path / "set", {"cat": 10}), tmp_path / "set.zip")
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("dog")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "../elsewhere/dog")
    assert "links in the zip, which holds only where they lead: 1, such as dog" in notes(path)


# --- held out ---


@pytest.mark.parametrize("count", [2, 5, 9])
def test_of_few_pictures_none_is_held_out(
    tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "few", {".": count})
    assert (len(read(folder, "train")), len(read(folder, "test"))) == (count, 0)
    assert "none is held out" in said(folder, capsys)[0]


def test_training_on_few_pictures_goes_without_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "few", {".": 9})
    tiny = ["--width", "8", "--discriminator-width", "8", "--frozen-features", "none"]
    tiny += ["--preset", "modern-32", "--batch", "2", "--kimg", "0.004", "--device", "cpu"]
    runs = tmp_path / "runs"
    assert main(["train", "--data", str(folder), "--outdir", str(runs), *tiny]) == 0
    (run,) = runs.iterdir()
    log = (run / "log.txt").read_text()
    assert "pictures: 9 to train with, 0 held out to measure with" in log
    assert "fewer than 10 pictures: none is held out, so nothing is measured" in log
    assert (run / "last").is_dir()
    assert main(["report", str(run)]) == 0
    exported = ["export", str(run), "--which", "last", "--output", str(tmp_path / "exported")]
    assert main([*exported, "--device", "cpu"]) == 0
    assert "no picture is held out, so nothing is measured" in capsys.readouterr().err
    assert main(["evaluate", str(run / "last"), "--data", str(folder), "--device", "cpu"]) == 2


def test_one_picture_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "one", {".": 1})
    assert main(["train", "--data", str(folder), "--dry-run", "--device", "cpu"]) == 2
    assert capsys.readouterr().err == "error: 1 picture to train with; at least 2 are wanted\n"
    assert main(["data", str(folder)]) == 0
    wanted = "training refuses this set: 1 to train with; at least 2 are wanted"
    assert wanted in capsys.readouterr().out


def test_a_class_keeps_its_only_picture(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny", {"a": 9, "b": 1, "c": 30})
    assert by_class(folder, "train") == {"a": 9, "b": 1, "c": 27}
    assert by_class(folder, "test") == {"a": 0, "b": 0, "c": 3}


@pytest.mark.parametrize(
    "labels",
    [np.arange(100) % 10, np.arange(100) % 5, np.arange(60) % 2],
    ids=["ten-in-turn", "five-in-turn", "two-in-turn"],
)
def test_held_out_pictures_are_dealt_to_every_class_of_ten(labels: np.ndarray[Any, Any]) -> None:
    held_out = deal(len(labels), labels)
    assert held_out.sum() == len(labels) // 10
    for label in np.unique(labels):
        assert 0 < held_out[labels == label].sum() <= -(-(labels == label).sum() // 10)


def test_classes_that_nothing_is_trained_on_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = numbered(tmp_path / "set", 20)
    rows = [[f"{index:03d}.png", int(index == 3)] for index in range(20)]
    index = {"labels": rows, "classes": ["a", "b", "c"], "test": ["003.png"]}
    (folder / "dataset.json").write_text(json.dumps(index))
    assert "warning: classes without a picture to train with: b, c" in said(folder, capsys)[1]


PETS = ("cat", "dog")
# folders with how many pictures each; classes, pictures to train with and held out
PARTS: dict[str, tuple[dict[str, int], tuple[str, ...], int, int]] = {
    "kaggle": (
        {f"{part}/{name}": 5 for part in ("train", "val", "test") for name in PETS},
        *(PETS, 20, 10),
    ),
    "valid": ({"train/cat": 5, "train/dog": 5, "valid/cat": 3, "valid/dog": 2}, PETS, 10, 5),
    "capitals": ({"Training/cat": 5, "Training/dog": 5, "TESTING/cat": 3}, PETS, 10, 3),
    "named-alike": ({"seg_train/cat": 5, "seg_train/dog": 5, "seg_test/dog": 2}, PETS, 10, 2),
    "sets": ({"training_set/cat": 5, "training_set/dog": 5, "test_set/dog": 2}, PETS, 10, 2),
    "doubled": (
        {f"{part}/{part}/{name}": 4 for part in ("train", "test") for name in PETS},
        *(PETS, 8, 8),
    ),
    "around": ({"a/b/train/cat": 4, "a/b/train/dog": 4, "a/b/test/cat": 2}, PETS, 8, 2),
    "below": ({"cat/train": 4, "cat/test": 2, "dog/train": 4, "dog/test": 2}, PETS, 8, 4),
    "no-classes": ({"train": 5, "test": 2}, (), 5, 2),
    "no-classes-below": ({"train/images": 5, "valid/images": 2}, (), 5, 2),
    "unlabelled": ({"train/cat": 5, "train/dog": 5, "val/cat": 2, "test": 7}, PETS, 10, 2),
    "only-in-test": (
        {"train/cat": 5, "train/dog": 5, "test/cat": 2, "test/bird": 3},
        *(PETS, 10, 2),
    ),
    "class-called-train": ({"train": 10, "bus": 10}, ("bus", "train"), 18, 2),
    "classes-with-such-words": (
        {"test tube": 10, "train station": 10},
        *(("test tube", "train station"), 18, 2),
    ),
}


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("kind", PARTS)
def test_parts_go_by_their_usual_names(tmp_path: Path, kind: str, form: str) -> None:
    counts, classes, train, test = PARTS[kind]
    folder = write(tmp_path / "set", counts)
    path = zipped(folder, tmp_path / "set.zip") if form == "zip" else folder
    assert read(path).classes == classes
    assert (len(read(path, "train")), len(read(path, "test"))) == (train, test)
    if "class" not in kind or kind.startswith("no"):
        assert "parts by their folders: train" in notes(path)
    for left_out, words in (("unlabelled", "they have no class: 7"), ("only-in-test", "on: 3")):
        assert (f"{words} pictures, such as" in notes(path)) == (kind == left_out)


def test_held_out_is_the_test_part_and_the_rest_is_trained_on(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", PARTS["kaggle"][0])
    test = read(folder, "test")
    assert {int(pixel[1]) for pixel in test.images[:, 0, 0]} == {44, 65}  # written as 5th and 6th
    expected = (
        "parts by their folders: train 10 to train with, validation 10 to train with, test 10"
    )
    assert expected in notes(folder)


def test_folder_beside_parts_is_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", {"train/cat": 5, "test/cat": 5, "extra": 5})
    assert "not all of the uppermost folders are parts" in notes(folder)
    assert read(folder).classes == ("extra", "test/cat", "train/cat")


# --- values ---


def scans(folder: Path, most: int, bits_of_one: int = 0) -> Path:
    folder.mkdir()
    for index in range(12):
        values = np.linspace(0, most, 32 * 32).reshape(32, 32)
        if index == 9 and bits_of_one:
            values[0, 0] = 2**bits_of_one - 1
        Image.fromarray(values.astype(np.uint16)).save(folder / f"{index:02d}.png")
    return folder


@pytest.mark.parametrize(
    ("most", "bits"),
    [(65535, 16), (20_000, 16), (16_383, 14), (4095, 12), (3000, 12), (200, 8), (15, 4)],
)
def test_16_bit_values_are_read_in_the_range_that_the_set_fills(
    tmp_path: Path, most: int, bits: int
) -> None:
    folder = scans(tmp_path / "scans", most)
    wanted = np.linspace(0, most, 32 * 32).reshape(32, 32).astype(np.uint32) << 8 >> bits
    for part in ("train", "test"):
        dataset = read(folder, part)
        assert (dataset.images[0, :, :, 0] == wanted).all()
        said = [note for note in dataset.notes if f"read as {bits} bits" in note]
        assert len(said) == (bits != 16)
        as_it_is = read(folder, part, bits=16)
        assert (as_it_is.images[0, :, :, 0] == wanted << bits >> 16).all()


def test_range_is_that_of_the_whole_set_not_of_a_part(tmp_path: Path) -> None:
    folder = scans(tmp_path / "scans", 4095, bits_of_one=14)  # in the held-out part alone
    assert read(folder, "train").images.max() == 4095 >> 6


def test_bits_are_an_option_of_data_and_train_and_part_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = scans(tmp_path / "scans", 4095)
    described, trained = said(folder, capsys)
    for text in (described, trained):
        assert "hold values of 0 to 4,095 at most, so they are read as 12 bits" in text
    for bits in (12, 16):
        output = tmp_path / f"{bits}.zip"
        more = ["--output", str(output), "--side", "32", "--bits", str(bits)]
        assert main(["data", str(folder), *more]) == 0
        assert read(output).images.max() == 4095 >> (bits - 8)
    assert main(["data", str(folder), "--output", str(output), "--side", "32"]) == 0
    assert read(output).fingerprint == read(folder).fingerprint
    plain = ["train", "--data", str(folder), "--preset", "modern-32", "--batch", "4", "--dry-run"]
    capsys.readouterr()
    records = []
    for more in ([], ["--bits", "16"]):
        assert main([*plain, "--device", "cpu", *more]) == 0
        records.append(json.loads(capsys.readouterr().out))
    assert records[0]["fingerprint"] != records[1]["fingerprint"]
    assert [record["config"]["bits"] for record in records] == [0, 16]
    assert main(["data", str(folder), "--output", str(output), "--side", "32"]) == 0


# --- dataset.json ---


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("[" * 200_000, "is wanted", id="deep-list"),
        pytest.param('{"labels":' * 200_000, "is wanted", id="deep-object"),
        pytest.param('{"labels": [["0.png", NaN]]}', "is nan; a whole number from 0", id="nan"),
        pytest.param('{"labels": [["0.png", 1e999]]}', "is inf; a whole number", id="infinity"),
        pytest.param('{"labels": [["0.png", 0, 0]]}', "is wanted", id="three"),
        pytest.param('{"labels": [["0.png"]]}', "is wanted", id="one"),
        pytest.param('{"labels": [[5, 0]]}', "is wanted", id="number-for-name"),
        pytest.param('{"labels": [[["0.png"], 0]]}', "is wanted", id="list-for-name"),
        pytest.param('{"labels": null, "test": "0.png"}', "is wanted", id="text-for-test"),
        pytest.param('{"labels": null, "classes": {"a": 1}}', "is wanted", id="object-for-classes"),
        pytest.param('{"labels": [["0.png", 0], ["0.png", 1]]}', "two labels for", id="two-labels"),
        pytest.param('{"labels": [["0.png", ' + "9" * 5000 + "]]}", "is wanted", id="long-number"),
    ],
)
def test_broken_index_is_one_line(
    tmp_path: Path, content: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "set", {".": 2})
    (folder / "dataset.json").write_text(content)
    for command in (["data", str(folder)], ["train", "--data", str(folder), "--dry-run"]):
        assert main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {folder / 'dataset.json'}: ")
        assert reason in line
        assert len(line) < 500


def test_files_that_an_index_names_in_vain_are_said(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "set", 3)
    rows = [*([f"{index:03d}.png", 0] for index in range(3)), ["gone.png", 1]]
    index = {"labels": rows, "test": ["away.png", "000.png"]}
    (folder / "dataset.json").write_text(json.dumps(index))
    assert "dataset.json names 2 files that are not there, such as away.png" in notes(folder)


def test_deep_index_of_layers_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile(tmp_path / "layers.zip", "w") as archive:
        archive.writestr("layers.json", "[" * 200_000)
    assert main(["data", str(tmp_path / "layers.zip")]) == 2
    assert "layers.json is wanted" in capsys.readouterr().err


# --- what a later stage refuses ---


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        pytest.param(["a" * 129, "b"], "has 129 characters; allowed: 1 to 128", id="long"),
        pytest.param(["a\nb", "b"], "no control characters", id="newline"),
        pytest.param([os.fsdecode(b"\xff"), "b"], "not UTF-8; rename the folder", id="no-utf-8"),
        pytest.param([*map(str, range(1001))], "1,001 classes; allowed: up to 1,000", id="many"),
    ],
)
def test_classes_that_no_generator_can_have_are_refused_at_the_door(
    tmp_path: Path, names: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "set", dict.fromkeys(names, 1))
    plain = ["train", "--data", str(folder), "--preset", "modern-32", "--batch", "2", "--dry-run"]
    assert main([*plain, "--device", "cpu"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert line.endswith("--unconditional trains without classes")
    assert main([*plain, "--device", "cpu", "--unconditional"]) == 0
    capsys.readouterr()
    assert main(["data", str(folder)]) == 0
    assert "training refuses this set: " in (out := capsys.readouterr().out)
    assert reason in out


def test_long_names_of_classes_are_trained_on_and_served(tmp_path: Path) -> None:
    names = ["x" * MAX_CLASS_NAME, "\u00e9" * 76]
    folder = write(tmp_path / "inat", dict.fromkeys(names, 10))
    tiny = ["--width", "8", "--discriminator-width", "8", "--frozen-features", "none"]
    tiny += ["--preset", "modern-32", "--batch", "2", "--kimg", "0.004", "--device", "cpu"]
    tiny += ["--features", "none", "--outdir", str(tmp_path / "runs")]
    assert main(["train", "--data", str(folder), *tiny]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    drawn = ["--class", names[0], "--seeds", "0", "--output", str(tmp_path / "0.png")]
    assert main(["generate", str(run / "last"), "--device", "cpu", *drawn]) == 0


# --- file systems ---


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_system_without_locks_is_a_warning(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def flock(stream: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path):
        pass
    assert f"warning: {tmp_path}: its file system has no locks" in capsys.readouterr().err


def test_run_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(RunError, match="cannot be written to"), locked(tmp_path):
        pass


def test_lock_that_is_held_still_refuses(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(RunError, match="another process"), locked(tmp_path):
        pass


# --- the report ---


@pytest.mark.parametrize("count", [2, 3, 8, 20])
def test_every_command_of_the_advice_works_as_it_stands(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "my pets", {"cat": count, "dog's": count})
    assert main(["data", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = [line.strip() for line in lines if line.startswith("  python -m model.training ")]
    assert len(commands) == 2
    assert any("--from avatars" in command for command in commands)
    for command in commands:
        words = shlex.split(command)[3:]
        assert main([*words, "--dry-run", "--device", "cpu"]) == 0


@pytest.mark.parametrize(
    "more", [[], ["--output", "OUT", "--side", "64"]], ids=["source", "output"]
)
def test_data_says_what_train_will_do(
    tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "set", {"cat": 20, "dog": 20})
    output = str(tmp_path / "out.zip")
    assert main(["data", str(folder), *(output if word == "OUT" else word for word in more)]) == 0
    line = next(one for one in capsys.readouterr().out.splitlines() if one.startswith("train, if"))
    data = output if more else str(folder)
    assert main(["train", "--data", data, "--device", "cpu", "--dry-run"]) == 0
    record = json.loads(capsys.readouterr().out)
    config = record["config"]
    assert f"--preset {config['preset']} --batch {config['batch']} --hours 1," in line
    side, images = config["picture_side"], record["data"]["images"]
    assert f"{side}x{side} RGB, 2 classes; {images} to train with, 4 held out" in line


def test_mixed_kinds_of_pictures_are_taken_together(tmp_path: Path) -> None:
    folder = write_mixed(tmp_path / "mixed")
    Image.new("1", (8, 8), 1).save(folder / "e.png")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(folder / "f.jpg", quality=100)
    Image.new("F", (8, 8), 0.5).save(folder / "g.tif")
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("lime", "blue"))
    first.save(folder / "h.gif", save_all=True, append_images=[second])
    for index in range(10):
        (folder / f"z{index}.png").write_bytes(png((9, 9, 9), (8, 8)))
    dataset = read(folder)
    assert [str(one) for one in dataset.broken] == [
        "g.tif: mode F: values of 32 bits have no known range"
    ]
    assert dataset.images[4, 0, 0].tolist() == [255, 255, 255]
    assert np.abs(dataset.images[5, 0, 0].astype(int) - [255, 0, 0]).max() < 8
    assert dataset.images[6, 0, 0].tolist() == [0, 255, 0]


# --- files that are something else ---


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        pytest.param(b"", "; the file is empty", id="empty"),
        pytest.param(bytes(5000), "; the file holds zeros alone", id="zeros"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", id="lfs"),
        pytest.param(b"\n<!DOCTYPE html><title>404</title>", "a web page", id="html"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", id="heic"),
        pytest.param(b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", id="jxl"),
        pytest.param(b"8BPS\0\1", "PSD", id="psd"),
        pytest.param(b'{"error": "not found"}', "JSON", id="json"),
    ],
)
def test_file_that_is_no_picture_is_called_what_it_is(
    tmp_path: Path, content: bytes, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = numbered(tmp_path / "set", 20)
    (folder / "a.jpg").write_bytes(content)
    for text in said(folder, capsys):
        assert "a.jpg: no picture in a known format" in text
        assert wanted in text


def test_pictures_that_are_all_alike_to_the_last_value_are_called_blank(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set").mkdir()
    for index in range(12):
        Image.new("RGBA", (32, 32), (index, 0, 0, 0)).save(tmp_path / "set" / f"{index}.png")
    for text in said(tmp_path / "set", capsys):
        assert "warning: every value is 255: all pictures are blank" in text
    (tmp_path / "set" / "x.png").write_bytes(png((9, 9, 9), (32, 32)))
    for text in said(tmp_path / "set", capsys):
        assert "blank" not in text


def test_classes_without_a_picture_to_train_with_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = numbered(tmp_path / "set", 20)
    rows = [[f"{index:03d}.png", 1 if index < 3 else 3] for index in range(20)]
    index = {"labels": rows, "test": [name for name, label in rows if label == 1]}
    (folder / "dataset.json").write_text(json.dumps(index))
    for text in said(folder, capsys):
        assert "warning: classes without a picture to train with: 0, 1, 2\n" in text
