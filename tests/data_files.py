"""Small data to train on, in the forms that official sets and people have it in."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from model.training.datasets.dataset import Dataset
from tests.conftest import CLASSES


def colours(count: int = 90) -> Dataset:
    """Pictures (N, 32, 32, 3) of one colour a class, a little noise on it."""
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


def write_mixed(folder: Path) -> Path:
    """A wide grey, a tall RGB, a square transparent and a small palette picture."""
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
    """Pictures whose grey value is their number, some of them broken."""
    folder.mkdir(parents=True)
    for index in range(count):
        content = png((index, index, index), (32, 32))
        (folder / f"{index:03d}.png").write_bytes(content[:60] if broken(index) else content)
    return folder
