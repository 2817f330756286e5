"""The making of shards, by any number of processes, on any machines that share the folder.

    fill("my-shards", index, numbers, make)

Which pictures a shard holds depends on its number alone. Each process writes its shards beside
their names and renames them; whoever finds all of them there completes the index. The same again
goes on where it stopped, and makes what has been lost or cut since.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, get_args

import numpy as np
from numpy.typing import NDArray

from model.files import Fields, OutputError, open_folder, whole
from model.training.datasets.file_listing import DataError
from model.training.datasets.image_folder import Broken, Split, check_broken
from model.training.datasets.shards import (
    HELD_OUT,
    INDEX,
    LABELS,
    Index,
    Shard,
    check_shard,
    parsed,
    read_fingerprint,
    shard_bytes,
    shard_name,
)

MOST_SHARDS = 60_000  # Linux lets a process map 65,530 files
MOST_BYTES = 2**31  # a shard's pictures are in memory while it is made
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


def fill(
    folder: Path,
    index: Index,
    numbers: Iterable[int],
    make: Callable[[range], Made],
    source: Callable[[range], str] = lambda _: "",
) -> int:
    """Makes those shards of these numbers that are missing, or were made from files that have
    changed since: `make` gets which pictures of the source each holds, and `source` returns a
    digest of what they are read from. Completes the index where all are there. Returns how many
    were made now.

    Raises:
        OutputError: the folder holds something else, or cannot be written, or is complete and its
            source has changed.
        DataError: what is there is damaged, or too many files of the source are broken.
    """
    size = min(index.shard_size, index.source) * index.side**2 * index.channels
    if size > MOST_BYTES:
        raise OutputError(
            f"{folder}: {size:,} bytes in a shard; allowed: up to {MOST_BYTES:,}; say a smaller "
            "--shard-size"
        )
    if index.count > MOST_SHARDS:
        raise OutputError(
            f"{folder}: {index.count:,} shards; allowed: up to {MOST_SHARDS:,}; say a larger "
            "--shard-size"
        )
    if open_folder(folder, INDEX, option="--shards")[1] is None:
        _write_file(folder / INDEX, _json(index))
    known, made = read_index(folder), 0
    assert known is not None
    if known.model_copy(update={"shards": (), "fingerprints": {}}) != index:
        raise OutputError(
            f"{folder}: its {INDEX} tells of another source or other options; say another folder"
        )
    for number in numbers:
        places = index.places(number)
        read_from = source(places)
        if not _is_made(folder, number, known, read_from):
            piece = _write(folder, number, make(places), read_from)
            _keep(folder, number, known, piece)
            made += 1
    if not known.shards:
        try:
            _complete(folder, index)
        except OutputError:
            if not _is_complete(folder):
                raise
    if _is_complete(folder):
        _tidy(folder)
    return made


def _is_made(folder: Path, number: int, known: Index, source: str) -> bool:
    """Returns whether a shard is there, made from what its source is now.

    Raises:
        OutputError: the set is complete, and of another source.
    """
    if not known.shards:
        try:
            piece = parsed(_beside(folder, number), _beside(folder, number).read_bytes(), Piece)
        except (OSError, DataError):
            return False
        return piece.source == source
    shard, path = known.shards[number], folder / shard_name(number)
    if shard.source not in ("", source):
        raise OutputError(
            f"{folder}: files of its source have changed since {path.name} was made; say another "
            "folder"
        )
    return path.is_file() and path.stat().st_size == shard_bytes(known, shard)


def _write(folder: Path, number: int, made: Made, source: str) -> Piece:
    """Writes a shard; returns what is known of it."""
    pixels = made.pixels
    path = folder / shard_name(number)
    _write_file(path, lambda stream: np.save(stream, pixels))
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return Piece(
        pictures=len(pixels),
        sha256=sha256,
        values=(int(pixels.min()), int(pixels.max())) if pixels.size else (255, 0),
        broken=made.broken,
        source=source,
        labels=() if made.labels is None else tuple(made.labels.tolist()),
        held_out=() if made.held_out is None else tuple(np.flatnonzero(made.held_out).tolist()),
    )


def _keep(folder: Path, number: int, known: Index, piece: Piece) -> None:
    """Writes what is known of a shard: where that is, the shard is whole. In a complete set it is
    known already.

    Raises:
        OutputError: the shard is another one.
    """
    if not known.shards:
        _write_file(_beside(folder, number), _json(piece))
    elif piece.sha256 != known.shards[number].sha256:
        (folder / shard_name(number)).unlink()
        raise OutputError(
            f"{folder}: {shard_name(number)}, made again, is another than {INDEX} has; say another "
            "folder"
        )


def _complete(folder: Path, index: Index) -> None:
    """Completes the index, if all shards are there."""
    paths = [_beside(folder, number) for number in range(index.count)]
    if not all(path.exists() for path in paths):
        return
    kind = np.min_scalar_type(max(0, len(index.classes) - 1))
    shards, labels, held_out = [], [], []
    for number, path in enumerate(paths):
        try:
            piece = parsed(path, path.read_bytes(), Piece)
        except FileNotFoundError:  # another process has completed all
            return
        try:
            check_shard(folder, number, piece)
        except DataError as error:
            path.unlink(missing_ok=True)
            raise DataError(f"{error}; the same command again makes it anew") from None
        shards.append(Shard(**{name: getattr(piece, name) for name in Shard.model_fields}))
        labels.append(np.array(piece.labels, kind))
        held_out.append(np.isin(np.arange(piece.pictures), piece.held_out))
    check_broken(folder, [one for shard in shards for one in shard.broken], index.source)
    _write_file(folder / HELD_OUT, lambda stream: np.save(stream, np.concatenate(held_out)))
    if index.classes:
        _write_file(folder / LABELS, lambda stream: np.save(stream, np.concatenate(labels)))
    index = index.model_copy(update={"shards": tuple(shards)})
    digests = {part: read_fingerprint(folder, part, index) for part in get_args(Split)}
    _write_file(folder / INDEX, _json(index.model_copy(update={"fingerprints": digests})))


def _is_complete(folder: Path) -> bool:
    known = read_index(folder)
    return known is not None and bool(known.shards)


def _tidy(folder: Path) -> None:
    """Removes what a complete index makes superfluous: what was known of each shard, what a killed
    process left, and what another is about to complete it by.
    """
    for path in (*folder.glob("[0-9]*.json"), *folder.glob(".*.tmp")):
        path.unlink(missing_ok=True)


def _write_file(path: Path, content: bytes | Callable[[IO[bytes]], None]) -> None:
    """Writes a file that is whole after a power cut, too."""
    with whole(path) as temporary, temporary.open("wb") as stream:
        if isinstance(content, bytes):
            stream.write(content)
        else:
            content(stream)
        stream.flush()
        os.fsync(stream.fileno())


def _beside(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.json"


def _json(fields: Fields) -> bytes:
    return fields.model_dump_json(exclude_defaults=True).encode() + b"\n"
