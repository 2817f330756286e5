"""Small data to train on, in the forms that official sets and people have it in."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from model.training.datasets.dataset import Dataset, Split
from tests.conftest import CLASSES, write_idx


def colours(count: int = 90) -> Dataset:
    """Returns pictures (N, 32, 32, 3) of one colour a class, a little noise on it."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = np.full((count, 32, 32, 3), 40, np.uint8)
    images[np.arange(count), :, :, labels] = 200
    images += random.integers(0, 20, images.shape).astype(np.uint8)
    return Dataset(name="colours", images=images, labels=labels, classes=CLASSES)


def write_svhn(folder: Path, count: int = 12, **changes: object) -> Path:
    folder.mkdir()
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        content: dict[str, object] = {
            "X": random.integers(0, 256, (32, 32, 3, count)).astype(np.uint8),
            "y": (np.arange(count) % 10 + 1).astype(np.uint8)[:, None],
        }
        content = {k: v for k, v in (content | changes).items() if v is not None}
        savemat(folder / f"{part}_32x32.mat", content)
    return folder


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


def write_layers(path: Path, files: Mapping[str, Image.Image], classes: object) -> Path:
    """Zips layers, and the index that says which stacks there are."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in files.items():
            with archive.open(name, "w") as stream:
                image.save(stream, "PNG")
        archive.writestr("layers.json", json.dumps({"classes": classes}))
    return path


def write_mixed(folder: Path) -> Path:
    """Returns a wide grey, a tall RGB, a square transparent and a small palette picture."""
    folder.mkdir()
    wide = Image.new("L", (96, 32), 0)
    wide.paste(200, (32, 0, 64, 32))
    wide.save(folder / "a.jpg", quality=100)
    tall = Image.new("RGB", (32, 96), (255, 0, 0))
    tall.paste((0, 255, 0), (0, 32, 32, 64))
    tall.save(folder / "b.webp", lossless=True)
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(folder / "c.PNG")
    Image.new("P", (8, 8), 0).save(folder / "d.gif")
    return folder


def numbered(folder: Path, count: int, broken: Callable[[int], bool] = lambda _: False) -> Path:
    """Returns pictures whose grey value is their number, some of them broken."""
    folder.mkdir(parents=True)
    for index in range(count):
        content = png((index, index, index), (32, 32))
        (folder / f"{index:03d}.png").write_bytes(content[:60] if broken(index) else content)
    return folder


# --- sets of every kind ---


PARTS: tuple[Split, ...] = ("train", "test", "all")


def layer(colour: tuple[int, int, int, int], box: tuple[int, int, int, int]) -> bytes:
    image = Image.new("RGBA", (24, 24))
    image.paste(colour, box)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def write_robots(path: Path, **changes: bytes) -> Path:
    """Robots of 3 x 4 layers, and cats that are of 1 x 2 or of 2, their classes not in order."""
    files = {f"body{i}.png": layer((80 * i, 0, 0, 255), (0, 8, 24, 24)) for i in range(3)}
    files |= {f"eye{i}.png": layer((0, 0, 60 * i, 255), (6 * i, 0, 6 * i + 6, 8)) for i in range(4)}
    bodies, eyes = ({"files": [f for f in files if f.startswith(n)]} for n in ("body", "eye"))
    classes = {
        "robot": {"all": [bodies, eyes]},
        "cat": {"a": [{"files": ["body1.png"]}, {"files": ["eye1.png", "eye2.png"]}], "b": [eyes]},
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("layers.json", json.dumps({"classes": classes}))
        for name, content in (files | changes).items():
            archive.writestr(name, content)
    return path


def mixed(tmp_path: Path) -> Path:
    """Writes files of many kinds, with a test part, without classes."""
    folder = write_mixed(tmp_path / "mixed")
    for index in range(8):
        (folder / f"z{index}.png").write_bytes(png((index, 0, 0), (30, 20 + 5 * index)))
    return folder


def mixed_with_classes(tmp_path: Path) -> Path:
    folder = write_mixed(tmp_path / "mixed")
    rows = [["a.jpg", 2], ["b.webp", 0], ["c.PNG", 0], ["d.gif", 2]]
    index = {"labels": rows, "classes": ["rouge", "leer", "../blau\n"], "test": ["b.webp"]}
    (folder / "dataset.json").write_text(json.dumps(index))
    return folder


def broken_and_grey(tmp_path: Path) -> Path:
    return numbered(tmp_path / "set", 60, lambda index: index in (3, 9, 20))


SOURCES: dict[str, tuple[Callable[[Path], Path], int, int]] = {
    "folder": (lambda tmp: write_pictures(tmp / "set"), 32, 3),
    "zip": (lambda tmp: zipped(mixed(tmp), tmp / "set.zip"), 48, 3),
    "dataset.json": (mixed_with_classes, 20, 3),
    "broken": (broken_and_grey, 16, 3),
    "idx": (lambda tmp: write_idx(tmp / "digits", 40, 20), 28, 1),
    "mat": (lambda tmp: write_svhn(tmp / "svhn"), 32, 3),
}
