"""The making of shards, by any number of processes, on any machines that share the folder.

    fill("my-shards", index, numbers, make)

Which pictures a shard holds depends on its number alone. Each process writes its shards beside
their names and renames them; whoever finds all of them there completes the index. The same again
goes on where it stopped.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from model.files import Fields, OutputError, open_folder, whole, write_whole
from model.training.datasets.image_folder import Broken, Split, check_broken
from model.training.datasets.shards import (
    HELD_OUT,
    INDEX,
    LABELS,
    Index,
    Shard,
    fingerprint,
    parsed,
    read_shards,
    shard_name,
)

MOST_SHARDS = 60_000  # Linux lets a process map 65,530 files
SHARD_BYTES = 2**26  # a shard's pictures, where nothing else is said


class Piece(Shard):
    """A shard with what is kept beside it until all are there."""

    labels: tuple[int, ...] = ()
    held_out: tuple[int, ...] = ()  # places in the shard


@dataclass(frozen=True, kw_only=True)
class Made:
    """The pictures of one shard."""

    pixels: NDArray[np.uint8]  # (n, H, W, C)
    labels: NDArray[np.int64] | None = None  # (n,)
    held_out: NDArray[np.bool_] | None = None  # (n,)
    broken: tuple[Broken, ...] = ()


def default_size(side: int, channels: int) -> int:
    """Returns how many pictures a shard holds where nothing else is said."""
    return max(1, SHARD_BYTES // (side * side * channels))


def read_index(folder: Path) -> Index | None:
    """Returns what a folder's index says; None where there is none.

    Raises:
        DataError: it is damaged.
    """
    path = folder / INDEX
    return parsed(path, path.read_bytes(), Index) if path.is_file() else None


def fill(folder: Path, index: Index, numbers: Iterable[int], make: Callable[[range], Made]) -> int:
    """Makes those shards of these numbers that are missing, `make` gets which pictures of the
    source each holds; completes the index where all are there. Returns how many were made now.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
        DataError: what is there is damaged, or too many files of the source are broken.
    """
    if index.count > MOST_SHARDS:
        raise OutputError(
            f"{folder}: {index.count:,} shards; allowed: up to {MOST_SHARDS:,}; say a larger "
            "--shard-size"
        )
    if open_folder(folder, INDEX)[1] is None:
        write_whole(folder / INDEX, _json(index))
    known, made = read_index(folder), 0
    assert known is not None
    if known.model_copy(update={"shards": (), "fingerprints": {}}) != index:
        raise OutputError(
            f"{folder}: its {INDEX} tells of another source or other options; say another folder"
        )
    if not known.shards:
        for number in numbers:
            if not _beside(folder, number).exists():
                _write(folder, number, make(index.places(number)))
                made += 1
        try:
            _complete(folder, index)
        except OutputError:
            if not _is_complete(folder):
                raise
    if _is_complete(folder):
        _tidy(folder)
    return made


def _write(folder: Path, number: int, made: Made) -> None:
    """Writes a shard, and then what is known of it: where that is, the shard is whole."""
    pixels = made.pixels
    with whole(folder / shard_name(number)) as temporary, temporary.open("w+b") as stream:
        np.save(stream, pixels)
        stream.flush()
        os.fsync(stream.fileno())
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    piece = Piece(
        pictures=len(pixels),
        sha256=sha256,
        values=(int(pixels.min()), int(pixels.max())) if pixels.size else (255, 0),
        broken=made.broken,
        labels=() if made.labels is None else tuple(made.labels.tolist()),
        held_out=() if made.held_out is None else tuple(np.flatnonzero(made.held_out).tolist()),
    )
    write_whole(_beside(folder, number), _json(piece))


def _complete(folder: Path, index: Index) -> None:
    """Completes the index, if all shards are there."""
    paths = [_beside(folder, number) for number in range(index.count)]
    if not all(path.exists() for path in paths):
        return
    kind = np.min_scalar_type(max(0, len(index.classes) - 1))
    shards, labels, held_out = [], [], []
    for path in paths:
        try:
            piece = parsed(path, path.read_bytes(), Piece)
        except FileNotFoundError:  # another process has completed all
            return
        shards.append(Shard(**{name: getattr(piece, name) for name in Shard.model_fields}))
        labels.append(np.array(piece.labels, kind))
        held_out.append(np.isin(np.arange(piece.pictures), piece.held_out))
    check_broken(folder, [one for shard in shards for one in shard.broken], index.source)
    _save(folder / HELD_OUT, np.concatenate(held_out))
    if index.classes:
        _save(folder / LABELS, np.concatenate(labels))
    index = index.model_copy(update={"shards": tuple(shards)})
    digests = {}
    for part in get_args(Split):
        found = read_shards(folder, part, index)
        digests[part] = fingerprint(found.images, found.labels)
    write_whole(folder / INDEX, _json(index.model_copy(update={"fingerprints": digests})))


def _is_complete(folder: Path) -> bool:
    known = read_index(folder)
    return known is not None and bool(known.shards)


def _tidy(folder: Path) -> None:
    """Removes what a complete index makes superfluous: what was known of each shard, what a killed
    process left, and what another is about to complete it by.
    """
    for path in (*folder.glob("[0-9]*.json"), *folder.glob(".*.tmp")):
        path.unlink(missing_ok=True)


def _save(path: Path, array: NDArray[Any]) -> None:
    with whole(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array)


def _beside(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.json"


def _json(fields: Fields) -> bytes:
    return fields.model_dump_json(exclude_defaults=True).encode() + b"\n"
