"""Readers for real images: a path in, a whole data set in memory out, as uint8 pictures and class
numbers.

    load("data/mnist", "train")  ->  Dataset(images (N, H, W, C) uint8, labels (N,) or None, class
    names)

Known forms: MNIST and Fashion-MNIST idx files, SVHN .mat files, a folder or a zip of pictures.
Nothing is rescaled to [-1, 1] here, and nothing is downloaded (`downloads` does that).
"""

import gzip
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

Split = Literal["train", "test", "all"]
HELD_OUT = 10  # where the source has no test part, every tenth picture (by sorted name) is one
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MAX_IDX_BYTES = 2**31

IDX_IMAGES, IDX_LABELS = 2051, 2049  # magic numbers: unsigned bytes in 3 and in 1 dimensions
IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
SVHN_FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}
DIGITS = tuple("0123456789")


class DataError(Exception):
    """The data cannot be used; the message says which file, what is wrong and what is wanted."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A whole set in memory."""

    name: str
    images: NDArray[np.uint8]  # (N, H, W, C), C is 1 or 3
    labels: NDArray[np.int64] | None  # (N,), positions in `classes`
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels and labels: says which pictures a generator has seen."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


def load(path: Path, split: Split, *, side: int, channels: int) -> Dataset:
    """The pictures of `path` as `side` x `side` pixels in `channels` channels.

    Pictures from a folder or zip are cropped to their centre square and resized (Lanczos); the
    official sets have one size, and must have it already.

    Raises:
        DataError: the path is missing, is of no known form, is damaged, or holds pictures of
        another shape.
    """
    dataset = _read(path, split, side, channels)
    if len(dataset) == 0:
        raise DataError(f"{path}: the {split} part holds no pictures")
    if dataset.images.shape[1:] != (side, side, channels):
        height, width, found = dataset.images.shape[1:]
        raise DataError(
            f"{path}: the pictures are {width}x{height} with {found} channel(s); "
            f"this preset wants {side}x{side} with {channels}"
        )
    return dataset


def _read(path: Path, split: Split, side: int, channels: int) -> Dataset:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file() and path.suffix == ".zip":
        return _read_zip(path, split, side, channels)
    if path.is_file():
        raise DataError(f"{path}: a folder or a .zip file is wanted")
    names = {entry.name.removesuffix(".gz") for entry in path.iterdir()}
    if names & {name for pair in IDX_FILES.values() for name in pair}:
        return _join(split, lambda part: _read_idx(path, part))
    if names & set(SVHN_FILES.values()):
        return _join(split, lambda part: _read_svhn(path, part))
    return _read_folder(path, split, side, channels)


def _join(split: Split, read: Callable[[str], Dataset]) -> Dataset:
    if split != "all":
        return read(split)
    train, test = read("train"), read("test")
    assert train.labels is not None
    assert test.labels is not None
    return replace(
        train,
        images=np.concatenate([train.images, test.images]),
        labels=np.concatenate([train.labels, test.labels]),
    )


# --- MNIST, Fashion-MNIST: the idx format (yann.lecun.com/exdb/mnist) ---


def _read_idx(folder: Path, part: str) -> Dataset:
    images_file, labels_file = (_find(folder, name) for name in IDX_FILES[part])
    images = _idx_array(images_file, IDX_IMAGES, dimensions=3)
    labels = _idx_array(labels_file, IDX_LABELS, dimensions=1)
    if len(images) != len(labels):
        raise DataError(
            f"{folder}: {len(images)} pictures, but {len(labels)} labels in {labels_file.name}"
        )
    if labels.size and labels.max() > 9:
        raise DataError(f"{labels_file}: label {labels.max()} found; allowed: 0 to 9")
    return Dataset(
        name=folder.name, images=images[..., None], labels=labels.astype(np.int64), classes=DIGITS
    )


def _find(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise DataError(f"{folder}: neither {name} nor {name}.gz is there")


def _idx_array(path: Path, magic: int, dimensions: int) -> NDArray[np.uint8]:
    content = _unpacked(path)
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataError(f"{path}: truncated: {len(content)} bytes, the header alone has {header}")
    found = int.from_bytes(content[:4], "big")
    if found != magic:
        raise DataError(
            f"{path}: not an idx file of this kind: it starts with {found}, {magic} is wanted"
        )
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4))
    wanted = header + int(np.prod(shape, dtype=object))
    if len(content) != wanted:
        state = "truncated" if len(content) < wanted else "too long"
        raise DataError(f"{path}: {state}: {len(content):,} bytes, its header promises {wanted:,}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


def _unpacked(path: Path) -> bytes:
    try:
        with path.open("rb") if path.suffix != ".gz" else gzip.open(path) as stream:
            content = stream.read(MAX_IDX_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged or truncated gzip file ({error})") from None
    if len(content) > MAX_IDX_BYTES:
        raise DataError(f"{path}: more than {MAX_IDX_BYTES:,} bytes")
    return content


# --- SVHN, cropped digits (ufldl.stanford.edu/housenumbers) ---


def _read_svhn(folder: Path, part: str) -> Dataset:
    path = folder / SVHN_FILES[part]
    if not path.is_file():
        raise DataError(f"{folder}: {path.name} is not there")
    try:
        content = loadmat(path, variable_names=["X", "y"])
    except (MatReadError, ValueError, TypeError, OSError, NotImplementedError, zlib.error) as error:
        raise DataError(f"{path}: not a readable .mat file ({error})") from None
    if not {"X", "y"} <= content.keys():
        raise DataError(f"{path}: the variables X and y are wanted")
    pictures, labels = content["X"], content["y"].reshape(-1)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[:3] != (32, 32, 3):
        raise DataError(
            f"{path}: X is {pictures.dtype} {pictures.shape}; uint8 (32, 32, 3, N) is wanted"
        )
    if len(labels) != pictures.shape[3]:
        raise DataError(f"{path}: {pictures.shape[3]} pictures, but {len(labels)} labels")
    if not np.isin(labels, np.arange(11)).all():
        raise DataError(f"{path}: a label is outside 0 to 10")
    return Dataset(
        name=folder.name,
        images=np.ascontiguousarray(pictures.transpose(3, 0, 1, 2)),
        labels=labels.astype(np.int64) % 10,  # the digit 0 is stored as 10
        classes=DIGITS,
    )


# --- a folder or a zip of pictures ---


@dataclass(frozen=True)
class Picture:
    """One picture file of a folder or zip."""

    name: str  # path inside the source, with forward slashes
    content: bytes


@dataclass(frozen=True)
class Listed:
    """What a dataset.json says."""

    labels: dict[str, int]  # by file
    classes: tuple[str, ...]  # their names; none: no names are given


def _read_folder(folder: Path, split: Split, side: int, channels: int) -> Dataset:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    names = [file.relative_to(folder).as_posix() for file in files]
    index = folder / "dataset.json"
    listed = _listed(index.read_bytes(), index) if index.is_file() else None
    contents = (Picture(name, file.read_bytes()) for name, file in zip(names, files, strict=True))
    return _pictures(folder, names, contents, listed, split, side, channels)


def _read_zip(path: Path, split: Split, side: int, channels: int) -> Dataset:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(
                name for name in archive.namelist() if name.lower().endswith(IMAGE_SUFFIXES)
            )
            listed = None
            if "dataset.json" in archive.namelist():
                listed = _listed(archive.read("dataset.json"), path / "dataset.json")
            contents = (Picture(name, archive.read(name)) for name in names)
            return _pictures(path, names, contents, listed, split, side, channels)
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: damaged or unreadable zip file ({error})") from None


def _pictures(
    source: Path,
    names: list[str],
    pictures: Iterator[Picture],
    listed: Listed | None,
    split: Split,
    side: int,
    channels: int,
) -> Dataset:
    if not names:
        raise DataError(
            f"{source}: neither idx files, nor SVHN .mat files, nor pictures "
            f"({', '.join(IMAGE_SUFFIXES)})"
        )
    labels, classes = _labels(source, names, listed)
    keep = np.ones(len(names), bool)
    if split != "all":
        keep[HELD_OUT - 1 :: HELD_OUT] = False
        keep = keep if split == "train" else ~keep
    images = [
        _decode(source, picture, side, channels)
        for wanted, picture in zip(keep, pictures, strict=True)
        if wanted
    ]
    return Dataset(
        name=source.stem,
        images=np.stack(images) if images else np.empty((0, side, side, channels), np.uint8),
        labels=None if labels is None else labels[keep],
        classes=classes,
    )


def _labels(
    source: Path, names: list[str], listed: Listed | None
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Classes from dataset.json, else from the subfolders, else none."""
    if listed is not None:
        missing = [name for name in names if name not in listed.labels]
        if missing:
            raise DataError(
                f"{source}: dataset.json has no label for {missing[0]} and {len(missing) - 1} more"
            )
        labels = np.array([listed.labels[name] for name in names], np.int64)
        count = int(labels.max()) + 1
        if listed.classes and len(listed.classes) < count:
            raise DataError(
                f"{source}: dataset.json names {len(listed.classes)} classes, but has label "
                f"{count - 1}"
            )
        return labels, listed.classes or tuple(str(label) for label in range(count))
    parents = [PurePosixPath(name).parent.as_posix() for name in names]
    classes = tuple(sorted(set(parents)))
    if classes == (".",):
        return None, ()
    if "." in classes:
        loose = names[parents.index(".")]
        raise DataError(
            f"{source}: {loose} lies beside class folders; put every picture in one, or none"
        )
    return np.array([classes.index(parent) for parent in parents], np.int64), classes


def _listed(content: bytes, path: Path) -> Listed | None:
    """StyleGAN's `{"labels": [["a.png", 0], ...]}`, perhaps with `"classes": ["cat", ...]`;
    `"labels": null` is no labels.
    """
    try:
        index = json.loads(content)
        if index["labels"] is None:
            return None
        labels, classes = dict(index["labels"]), tuple(map(str, index.get("classes") or ()))
    except (ValueError, KeyError, TypeError):
        raise DataError(f'{path}: {{"labels": [["a.png", 0], ...]}} is wanted') from None
    for name, label in labels.items():
        if type(label) is not int or not 0 <= label < 1000:
            raise DataError(
                f"{path}: the label of {name} is {label!r}; a whole number from 0 to 999 is wanted"
            )
    return Listed(labels, classes)


def _decode(source: Path, picture: Picture, side: int, channels: int) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(picture.content), formats=IMAGE_FORMATS) as image:
            square = ImageOps.fit(
                image.convert("L" if channels == 1 else "RGB"),
                (side, side),
                Image.Resampling.LANCZOS,
            )
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{source}: {picture.name} is not a readable picture ({error})") from None
    return np.asarray(square, np.uint8).reshape(side, side, channels)
