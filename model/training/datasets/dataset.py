"""Readers for real images: a path in, a whole data set out, as uint8 pictures and class numbers.

    load("data/mnist", "train")  ->  Dataset(images (N, H, W, C) uint8, labels (N,) or None, class
    names)

Known forms: MNIST and Fashion-MNIST idx files, SVHN .mat files, a folder or a zip of pictures
(`image_folder`), and `shards`. Nothing is rescaled to [-1, 1] here, and nothing is downloaded
(`downloads` does that).
"""

import gzip
import importlib
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from stat import S_ISDIR
from typing import cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from model.image_decoding import (
    DEEP,
    SUFFIXES,
    Fit,
    Found,
    decode,
    is_grey,
    largest_value,
    smaller_side,
    square,
    what_was_done,
)
from model.training.datasets.file_listing import DataError, example
from model.training.datasets.image_folder import (
    ARCHIVES,
    Broken,
    ImageFolder,
    Split,
    check_broken,
    open_image_folder,
)
from model.training.datasets.shards import (
    INDEX,
    Pictures,
    Pixels,
    check_reading,
    fingerprint,
    has_shards,
    is_store,
    read_shards,
)

__all__ = (
    "DataError",
    "Dataset",
    "Split",
    "channels_of",
    "common_side",
    "extent",
    "find_bits",
    "load",
    "median_side",
    "own_form",
    "read_official",
)

MAX_IDX_BYTES = 2**31
DARK_BITS = 14  # in which all 16-bit values of a set would be shown at a quarter of their light
MEASURED_BYTES = 2**27  # pictures of shards, in bytes of each part, with which quality is measured
LOOKED_AT = 200  # pictures, evenly chosen, whose headers say how large those of a set are

IDX_IMAGES, IDX_LABELS = 2051, 2049  # magic numbers: unsigned bytes in 3 and in 1 dimensions
IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
SVHN_FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}
DIGITS = tuple("0123456789")
# Fashion-MNIST; only the folder's name tells its files from MNIST's
FASHION = "fashion-mnist"
GARMENTS = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A set, in memory where nothing else was asked for."""

    name: str
    images: Pixels  # (N, H, W, C), C is 1 or 3; or Pictures, which are read where they are indexed
    labels: NDArray[np.int64] | None  # (N,), positions in `classes`; beside Pictures a smaller type
    classes: tuple[str, ...] = ()
    files: int = 0  # picture files of the source, all parts together; 0: an official set
    broken: tuple[Broken, ...] = ()  # files of this part that were skipped
    notes: tuple[str, ...] = ()  # what was left out and what was done, for the log
    known_sha256: str | None = None  # its fingerprint, where that need not be computed

    def __len__(self) -> int:
        return len(self.images)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels and labels: says which pictures a generator has seen."""
        return self.known_sha256 or fingerprint(self.images, self.labels)


def load(
    path: Path,
    split: Split,
    *,
    side: int,
    channels: int,
    fit: Fit = "crop",
    bits: int = 0,
    may_be_empty: bool = False,
    least: int = 0,
    mapped: bool = False,
) -> Dataset:
    """Loads the pictures of `path` as `side` x `side` pixels in `channels` channels.

    Pictures from a folder or zip are converted by `pictures`; a few broken files among them are
    left out, and those whose side would be less than `least`, for which they are not enlarged. The
    official sets and shards have one size, which must be this one already. `bits` of 16-bit values
    count, by default those that the set uses, see `find_bits`. `mapped`: pictures of shards stay
    where they are.

    Raises:
        DataError: the path is missing, is of no known form, is damaged, holds pictures of another
        shape or too many broken files, needs more memory than there is, or holds no pictures,
        where it may not be empty.
    """
    if (fit != "crop" or bits) and has_shards(path):
        check_reading(path, fit, bits)
    dataset = read_official(path, split)
    if dataset is None:
        dataset = _read_image_folder(path, split, side, channels, fit, bits, least)
    if len(dataset) == 0 and not may_be_empty:
        raise DataError(f"{path}: the {split} part holds no pictures")
    if dataset.images.shape[1:] != (side, side, channels):
        height, width, found = dataset.images.shape[1:]
        raise DataError(
            f"{path}: the pictures are {width}x{height} with {found} channel(s); "
            f"this preset wants {side}x{side} with {channels}"
        )
    return dataset if mapped else in_memory(dataset)


def read_official(path: Path, split: Split) -> Dataset | None:
    """Reads a set in one of the official forms, or of shards, in its own size; returns None for
    folders and zips of pictures.

    Raises:
        DataError: the path is missing, neither folder nor zip, or the set is damaged.
    """
    if is_store(path):
        return _sharded(path, split)
    try:
        if not S_ISDIR(path.stat().st_mode):
            _check_zip(path)
            return None
        names = {name.removesuffix(".gz") for name in os.listdir(path)}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise DataError(f"{example(str(path))}: cannot be read ({error.strerror})") from None
    if INDEX in names:
        return _sharded(path, split)
    if names & {name for pair in IDX_FILES.values() for name in pair}:
        return _join(split, lambda part: _read_idx(path, part))
    if names & set(SVHN_FILES.values()):
        return _join(split, lambda part: _read_svhn(path, part))
    return None


def _check_zip(path: Path) -> None:
    """Checks that a file is a zip, by its name or by what it holds."""
    ending = path.suffix.lower()
    if path.is_file() and (ending == ".zip" or zipfile.is_zipfile(path)):
        return
    why = ""
    if ending in SUFFIXES:
        why = "is one picture; "
    elif ending in ARCHIVES:
        why = "is not unpacked here: unpack it first; "
    raise DataError(f"{path}: {why}a folder or a .zip file is wanted")


def own_form(path: Path) -> tuple[int | None, int]:
    """Returns the pixels per side, None where the form does not fix them, and the channels: 1 where
    every picture is grey.

    Raises:
        DataError: as in `load`.
    """
    official = read_official(path, "test")
    if official is not None:
        return official.images.shape[1], official.images.shape[3]
    with open_image_folder(path) as image_folder:
        return None, channels_of(image_folder)


def extent(path: Path, split: Split) -> tuple[int, int, bool]:
    """Returns how many pictures a part has, by its files, the median pixels of their smaller sides,
    and whether the form of the set fixes those.

    Raises:
        DataError: as in `load`.
    """
    official = read_official(path, split)
    if official is not None:
        return len(official), min(official.images.shape[1:3]), True
    with open_image_folder(path) as image_folder:
        return len(image_folder.places(split)), median_side(image_folder, split), False


def common_side(path: Path, split: Split) -> int:
    """Returns the pixels that the smaller sides of nine in ten pictures of a part reach.

    Raises:
        DataError: as in `load`.
    """
    official = read_official(path, split)
    if official is not None:
        return int(min(official.images.shape[1:3]))
    with open_image_folder(path) as image_folder:
        sides = sorted(_sides(image_folder, split))
        return sides[len(sides) // 10]


def median_side(image_folder: ImageFolder, split: Split) -> int:
    """Returns the median pixels of the smaller sides of a part, by the headers of some.

    Raises:
        DataError: none of them can be read.
    """
    return int(np.median(_sides(image_folder, split)))


def _sides(image_folder: ImageFolder, split: Split) -> list[int]:
    places = image_folder.places(split)
    evenly = np.linspace(0, len(places) - 1, min(LOOKED_AT, len(places))).astype(int)
    found = image_folder.each(places[evenly], smaller_side)
    sides = [side for _, side in found if not isinstance(side, Broken)]
    if not sides:
        raise DataError(f"{image_folder.path}: no picture in the {split} part can be read")
    return sides


def channels_of(image_folder: ImageFolder) -> int:
    """Returns 1 where the header of every picture promises a grey one, else 3; reads until one does
    not.
    """
    greys = image_folder.each(image_folder.places("all"), is_grey)
    return 1 if all(isinstance(grey, Broken) or grey for _, grey in greys) else 3


def find_bits(image_folder: ImageFolder) -> tuple[int, str]:
    """Finds how many of the 16 bits a value a whole set uses, for a scanner or camera may fill but
    12; all 16 where it uses 15 or more. Returns what that means too, for the log: nothing to say
    where it is 16.
    """
    largest = -1
    for _, found in image_folder.each(image_folder.places("all"), largest_value):
        largest = max(largest, -1 if isinstance(found, Broken) else found)
        if largest >= 2**DARK_BITS:
            return DEEP, ""
    if largest < 0:
        return DEEP, ""
    bits = max(1, largest.bit_length())
    return bits, (
        f"the 16-bit pictures hold values of 0 to {largest:,} at most, so they are read as {bits} "
        f"bits: {2**bits - 1:,} is white; --bits 16 takes them as they are"
    )


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


def _sharded(path: Path, split: Split) -> Dataset:
    found = read_shards(path, split)
    index = found.index
    return Dataset(
        name=index.name,
        images=cast("Pixels", found.images),
        labels=cast("NDArray[np.int64] | None", found.labels),
        classes=index.classes,
        files=index.source,
        broken=tuple(one for shard in index.shards for one in shard.broken),
        notes=index.notes,
        known_sha256=index.fingerprints.get(split),
    )


def in_memory(data: Dataset, most: int | None = None) -> Dataset:
    """Returns the same set in memory; of shards with more than `most` bytes of pictures so many,
    evenly chosen.
    """
    if not isinstance(data.images, Pictures):
        return data
    _, height, width, channels = data.images.shape
    count = len(data) if most is None else min(len(data), most // (height * width * channels))
    chosen = np.linspace(0, len(data) - 1, count).astype(np.int64)
    return replace(
        data,
        images=data.images[chosen],
        labels=None if data.labels is None else data.labels[chosen].astype(np.int64),
        known_sha256=data.known_sha256 if count == len(data) else None,
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
        name=folder.name,
        images=images[..., None],
        labels=labels.astype(np.int64),
        classes=GARMENTS if folder.name == FASHION else DIGITS,
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
    # imported by name: no other set needs it
    scipy = importlib.import_module("scipy.io")
    unreadable = scipy.matlab.MatReadError
    try:
        content = scipy.loadmat(path, variable_names=["X", "y"])
    except (unreadable, ValueError, TypeError, OSError, NotImplementedError, zlib.error) as error:
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


def _read_image_folder(
    path: Path, split: Split, side: int, channels: int, fit: Fit, bits: int, least: int
) -> Dataset:
    with open_image_folder(path) as image_folder:
        form = side, channels, least
        dataset, found, small = _pixels(image_folder, split, form, fit, bits or DEEP)
        notes = list(image_folder.remarks)
        if any(held.deep for held in found):
            asked = bits, f"16-bit values are read as {bits} bits, as asked"
            own, note = asked if bits else find_bits(image_folder)
            if own != (bits or DEEP):
                del dataset  # before there is room for another
                dataset, found, small = _pixels(image_folder, split, form, fit, own)
            notes += [note] if note else []
    if small:
        notes.append(f"left out, being smaller than {least}x{least}: {small:,} pictures")
    check_broken(path, dataset.broken, dataset.files, split)
    done = what_was_done(found, side, fit)
    return replace(dataset, notes=(*notes, *([f"{path.name}: {done}"] if done else [])))


def _pixels(
    image_folder: ImageFolder, split: Split, form: tuple[int, int, int], fit: Fit, bits: int
) -> tuple[Dataset, Counter[Found], int]:
    """Fills one array while the files are read: neither files nor pictures are held twice. Returns
    too how many were left out as too small.
    """
    side, channels, least = form
    measure, small = min if fit == "crop" else max, 0

    def pixels(content: bytes) -> tuple[NDArray[np.uint8], Found]:
        image, held = decode(content, bits=bits)
        return square(image, side, channels, fit), held

    path, places = image_folder.path, image_folder.places(split)
    images = _allocated(path, (len(places), side, side, channels))
    kept: list[int] = []
    broken: list[Broken] = []
    found: Counter[Found] = Counter()
    items = image_folder.each(places, pixels)
    for place, seen in tqdm(items, total=len(places), unit="img", disable=None, leave=False):
        if isinstance(seen, Broken):
            broken.append(seen)
            continue
        picture, held = seen
        if measure(held.width, held.height) < least:
            small += 1
            continue
        images[len(kept)] = picture
        found[held] += 1
        kept.append(place)
    dataset = Dataset(
        name=path.stem,
        images=images[: len(kept)],
        labels=None
        if image_folder.labels is None
        else image_folder.labels[np.array(kept, np.intp)],
        classes=image_folder.classes,
        files=len(image_folder.names),
        broken=tuple(broken),
    )
    return dataset, found, small


def _allocated(path: Path, shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    try:
        return np.empty(shape, np.uint8)
    except MemoryError:
        count, side = shape[:2]
        size = np.prod(shape, dtype=float) / 2**30
        raise DataError(
            f"{path}: {count:,} pictures of {side}x{side} need {size:,.1f} GiB of memory"
        ) from None
