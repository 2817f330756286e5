"""Shards: a set of pictures as files of so many each, not compressed, read where they are indexed:
from a disk by memory map, from an object store by ranges of its files.

    shards.json   what the set is and, once all shards are there, the pictures and SHA-256 of each
    00000.npy     pictures (n, H, W, C) uint8, as NumPy saves them; 00001.npy, ...
    labels.npy    (N,) positions in `classes`, where there are any
    held_out.npy  (N,) whether a picture is of the test part

    read_shards("my-shards", "train")  ->  Sharded(images, labels, index)

Memory does not grow with the set, but for a bit a picture and a byte or two for its label.
"""

import hashlib
import importlib
import io
import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from model.files import Fields, GeneratorFileError, Sha256, validated
from model.image_decoding import Fit
from model.training.datasets.file_listing import DataError
from model.training.datasets.image_folder import Broken, Split

INDEX, LABELS, HELD_OUT = "shards.json", "labels.npy", "held_out.npy"
FORMAT: Literal["ganserve-shards-1"] = "ganserve-shards-1"
HEADER = 128  # bytes before the pictures in a file, as NumPy writes it
BLOCK = 512  # places of which those of a part are counted together
AT_ONCE = 1024  # pictures, where all are read
# addresses in an object store, as a path has them; of a zip or a page it is downloaded instead
STORE = re.compile("(?!https?:|ftp:|file:|hf:)([a-z][a-z0-9+]+):/+(.+)(?<!\\.zip)")
INSTALL = "its package is missing; pip install 'ganserve[store]'"

Pixels = NDArray[np.uint8]


Kind = TypeVar("Kind", bound=Fields)


class Shard(Fields):
    """What a shard holds."""

    pictures: int = Field(ge=0)
    sha256: Sha256  # the file's
    values: tuple[int, int]  # smallest and largest
    broken: tuple[Broken, ...] = ()  # files whose pictures are in no shard
    source: str = ""  # digest of what its pictures were read from, where that can change


class Index(Fields):
    """The content of shards.json."""

    format: Literal["ganserve-shards-1"]
    name: str
    side: int = Field(ge=1)  # pixels
    channels: Literal[1, 3]
    classes: tuple[str, ...] = ()
    source: int = Field(ge=1)  # pictures of the source, broken ones among them
    shard_size: int = Field(ge=1)  # pictures in a shard; the last one may hold fewer
    made_by: dict[str, Any]  # what else decides about the pixels
    notes: tuple[str, ...] = ()
    shards: tuple[Shard, ...] = ()  # none: not all are there yet
    # for each part, that of the same set in memory
    fingerprints: dict[Split, Sha256] = Field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many shards there will be."""
        return -(-self.source // self.shard_size)

    def places(self, number: int) -> range:
        """Returns which pictures of the source a shard holds."""
        first = number * self.shard_size
        return range(first, min(first + self.shard_size, self.source))


class Files(Protocol):
    """Where shards lie."""

    def content(self, name: str) -> bytes:
        """Reads a file, whole."""

    def sizes(self, names: list[str]) -> list[int]:
        """Returns the bytes of files."""

    def read(self, names: list[str], starts: list[int], size: int) -> Iterator[bytes | memoryview]:
        """Reads `size` bytes of each of these files, from its start on."""


class _Local:
    """Files of a folder, mapped where they are used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._maps: dict[str, mmap.mmap] = {}

    def content(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def sizes(self, names: list[str]) -> list[int]:
        return [(self._folder / name).stat().st_size for name in names]

    def read(self, names: list[str], starts: list[int], size: int) -> Iterator[bytes | memoryview]:
        for name, start in zip(names, starts, strict=True):
            yield memoryview(self._mapped(name))[start : start + size]
        if hasattr(mmap, "MADV_DONTNEED"):  # else pages that were read count as this process's own
            for name in set(names):
                self._maps[name].madvise(mmap.MADV_DONTNEED)

    def _mapped(self, name: str) -> mmap.mmap:
        if name not in self._maps:
            with (self._folder / name).open("rb") as stream:
                self._maps[name] = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return self._maps[name]


class _Store:
    """Objects of a store that fsspec knows, such as s3://bucket/my-shards."""

    def __init__(self, address: str) -> None:
        try:
            fsspec = importlib.import_module("fsspec")
            self._system, self._root = fsspec.core.url_to_fs(address)
        except ImportError as error:
            hint = INSTALL if address.startswith("s3:") else f"its package is missing ({error})"
            raise DataError(f"{address}: {hint}") from None
        except ValueError as error:
            raise DataError(f"{address}: {error}") from None

    def content(self, name: str) -> bytes:
        found: bytes = self._system.cat_file(f"{self._root}/{name}")
        return found

    def sizes(self, names: list[str]) -> list[int]:
        return list(self._system.sizes([f"{self._root}/{name}" for name in names]))

    def read(self, names: list[str], starts: list[int], size: int) -> Iterator[bytes | memoryview]:
        paths = [f"{self._root}/{name}" for name in names]
        yield from self._system.cat_ranges(
            paths, starts, [start + size for start in starts], on_error="raise"
        )


class Pictures:
    """Pictures (N, H, W, C) uint8 of one part, indexed as an array by numbers, slices and arrays of
    numbers.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, files: Files, index: Index, part: "Part") -> None:
        self._files, self._part = files, part
        self._before = np.cumsum([0, *(shard.pictures for shard in index.shards)])
        self._values = [value for shard in index.shards for value in shard.values]
        self.shape = (len(part), index.side, index.side, index.channels)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Pixels:
        if isinstance(key, slice):
            key = np.arange(*key.indices(len(self)))
        numbers = np.atleast_1d(np.asarray(key))
        if numbers.dtype == bool:
            numbers = np.flatnonzero(numbers)
        numbers = np.where(numbers < 0, numbers + len(self), numbers)
        if np.any((numbers < 0) | (numbers >= len(self))):
            raise IndexError(f"a picture is out of bounds; there are {len(self):,}")
        found = self._read(self._part.places(numbers.astype(np.int64)))
        return found if np.ndim(key) else found[0]

    def _read(self, places: NDArray[np.int64]) -> Pixels:
        found = np.empty((len(places), *self.shape[1:]), np.uint8)
        shards = np.searchsorted(self._before, places, "right") - 1
        size = int(np.prod(self.shape[1:]))
        names = [shard_name(number) for number in shards.tolist()]
        starts = (HEADER + (places - self._before[shards]) * size).tolist()
        try:
            for row, content in zip(found, self._files.read(names, starts, size), strict=True):
                row[...] = np.frombuffer(content, np.uint8).reshape(row.shape)
        except Exception as error:  # from a file system or store of any kind
            raise DataError(f"{names[0]} and others: cannot be read ({error})") from None
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Pixels:
        return self[:] if dtype is None else self[:].astype(dtype)

    def __iter__(self) -> Iterator[Pixels]:
        for start in range(0, len(self), AT_ONCE):
            yield from self[start : start + AT_ONCE]

    def min(self) -> int:
        """Returns the smallest value of the whole set, all parts."""
        return min(self._values)

    def max(self) -> int:
        """Returns the largest value of the whole set, all parts."""
        return max(self._values)


class Part:
    """Finds where in a set the pictures of a part are, by a bit for each picture."""

    def __init__(self, members: NDArray[np.bool_]) -> None:
        padded = np.pad(members, (0, -len(members) % BLOCK))
        self._bits = np.packbits(padded).reshape(-1, BLOCK // 8)
        self._before = np.cumsum([0, *np.bitwise_count(self._bits).sum(1, np.int64)])

    def __len__(self) -> int:
        return int(self._before[-1])

    def places(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the place in the set of each of the part's pictures."""
        blocks = np.searchsorted(self._before, numbers, "right") - 1
        seen = np.unpackbits(self._bits[blocks], axis=1).cumsum(1, np.int64)
        wanted = numbers - self._before[blocks] + 1
        within: NDArray[np.int64] = (seen == wanted[:, None]).argmax(1)
        return blocks * BLOCK + within


@dataclass(frozen=True, kw_only=True)
class Sharded:
    """One part of a set of shards."""

    index: Index
    images: Pictures
    labels: NDArray[np.integer[Any]] | None


def is_store(path: Path) -> bool:
    """Returns whether a path is an address in an object store."""
    return STORE.fullmatch(path.as_posix()) is not None


def address_of(path: Path) -> str:
    """Returns a path as people write it, an address in a store with both slashes."""
    return STORE.sub(r"\1://\2", path.as_posix())


def has_shards(path: Path) -> bool:
    """Returns whether a path is a set of shards, or an address where one should be."""
    return is_store(path) or os.path.isfile(path / INDEX)


def check_shard(path: Path, number: int, shard: Shard) -> None:
    """Reads a shard, and holds it against its hash.

    Raises:
        DataError: it is another one, or cannot be read.
    """
    name = shard_name(number)
    try:
        found = hashlib.sha256(files_at(path).content(name)).hexdigest()
    except Exception as error:  # from a file system or store of any kind
        raise DataError(f"{path / name}: cannot be read ({error})") from None
    if found != shard.sha256:
        raise DataError(
            f"{path / name}: damaged: its SHA-256 is not that of {INDEX}; without it, the command "
            "that made the set makes it again"
        )


def check_reading(path: Path, fit: Fit, bits: int) -> None:
    """Holds how the pictures of shards are to be read against how they were made.

    Raises:
        DataError: they were made otherwise, or damaged since.
    """
    made_by = parsed(path / INDEX, files_at(path).content(INDEX), Index).made_by
    for option, asked, usual in (("fit", fit, "crop"), ("bits", bits, 0)):
        found = made_by.get(option, asked)
        if asked not in (usual, found):
            raise DataError(
                f"{address_of(path)}: --{option} {asked}: these shards were made with --{option} "
                f"{found}; make others, or leave it out"
            )


def files_at(path: Path) -> Files:
    """Opens a folder, or an address in an object store.

    Raises:
        DataError: no package for that kind of address is here.
    """
    return _Store(address_of(path)) if is_store(path) else _Local(path)


def parsed(path: Path, content: bytes, kind: type[Kind]) -> Kind:
    """Parses what a file of a set says.

    Raises:
        DataError: it is damaged.
    """
    try:
        return validated(path, kind, content)
    except GeneratorFileError as error:
        raise DataError(str(error)) from None


def shard_name(number: int) -> str:
    """Returns the name of a shard's file."""
    return f"{number:05d}.npy"


def shard_bytes(index: Index, shard: Shard) -> int:
    """Returns the size of a shard's file."""
    return HEADER + shard.pictures * index.side * index.side * index.channels


def _check_agree(
    path: Path, index: Index, held_out: NDArray[Any], labels: NDArray[Any] | None
) -> None:
    """Holds the files of a set against one another.

    Raises:
        DataError: they are not of one set.
    """
    count, classes = sum(shard.pictures for shard in index.shards), len(index.classes)
    wrong = ""
    if len(index.shards) != index.count:
        wrong = f"{INDEX} has {len(index.shards):,} shards of {index.count:,}"
    elif len(set(index.classes)) != classes:
        wrong = f"{INDEX} has two classes of one name"
    elif held_out.shape != (count,) or held_out.dtype != bool:
        wrong = f"{HELD_OUT} is not that of {count:,} pictures"
    elif labels is not None and (labels.shape != (count,) or labels.dtype.kind not in "iu"):
        wrong = f"{LABELS} is not that of {count:,} pictures"
    elif labels is not None and count and not 0 <= labels.min() <= labels.max() < classes:
        wrong = f"{LABELS} has labels beyond the {classes} classes"
    if wrong:
        raise DataError(f"{address_of(path)}: damaged: {wrong}")


def fingerprint(images: "Pixels | Pictures", labels: NDArray[np.integer[Any]] | None) -> str:
    """Returns the SHA-256 over shape, pixels and labels, which says which pictures a generator has
    seen, wherever they lie.
    """
    digest = hashlib.sha256(repr(images.shape).encode())
    for start in range(0, len(images), AT_ONCE):
        digest.update(np.ascontiguousarray(images[start : start + AT_ONCE]).data)
    if labels is not None:
        for start in range(0, len(labels), AT_ONCE):
            digest.update(labels[start : start + AT_ONCE].astype("<i8").data)
    return digest.hexdigest()


def read_shards(path: Path, split: Split, index: Index | None = None) -> Sharded:
    """Opens one part; `index` is there where it is not written yet.

    Raises:
        DataError: shards are missing or cut short, or cannot be reached.
    """
    files = files_at(path)
    try:
        index = index or parsed(path / INDEX, files.content(INDEX), Index)
        if not index.shards:
            raise DataError(
                f"{address_of(path)}: not all shards are there yet; the same command again goes on"
            )
        names = [shard_name(number) for number in range(len(index.shards))]
        for name, found, shard in zip(names, files.sizes(names), index.shards, strict=True):
            wanted = shard_bytes(index, shard)
            if found != wanted:
                raise DataError(f"{path / name}: {found:,} bytes, {wanted:,} are wanted")
        held_out = np.load(io.BytesIO(files.content(HELD_OUT)))
        labels = np.load(io.BytesIO(files.content(LABELS))) if index.classes else None
        _check_agree(path, index, held_out, labels)
        members = np.full(len(held_out), True) if split == "all" else held_out == (split == "test")
        if labels is not None:
            labels = labels[members]
    except DataError:
        raise
    except Exception as error:  # from a file system or store of any kind
        raise DataError(f"{address_of(path)}: cannot be read ({error})") from None
    return Sharded(index=index, images=Pictures(files, index, Part(members)), labels=labels)


def read_fingerprint(folder: Path, part: Split, index: Index) -> str:
    """Reads all pictures and labels of a part for its fingerprint.

    Raises:
        DataError: shards cannot be read.
    """
    found = read_shards(folder, part, index)
    return fingerprint(found.images, found.labels)
