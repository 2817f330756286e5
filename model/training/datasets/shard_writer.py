"""The making of shards, by any number of processes, on any machines that share the folder.

    fill("my-shards", index, numbers, make)

Which pictures a shard holds depends on its number alone. Each process writes its shards beside
their names and renames them; whoever finds all of them there completes the index. The same again
goes on where it stopped, and makes what has been lost or cut since.
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

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


@dataclass(frozen=True)
class Source:
    """What tells the files that pictures at some places are read from, and those that were broken,
    from what they are now.
    """

    digest: Callable[[range], str]
    mended: Callable[[range, tuple[Broken, ...]], bool]  # whether one of the broken can be read


UNCHANGING = Source(lambda _: "", lambda *_: False)


def default_size(side: int, channels: int) -> int:
    """Returns how many pictures a shard holds where nothing else is said."""
    return max(1, SHARD_BYTES // (side * side * channels))


def read_index(folder: Path) -> Index | None:
    """Returns what a folder's index says; None where there is none.

    Raises:
        DataError: it is damaged.
    """
    path = folder / INDEX
    try:
        return parsed(path, path.read_bytes(), Index)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def fill(
    folder: Path,
    index: Index,
    numbers: Iterable[int],
    make: Callable[[range], Made],
    source: Source = UNCHANGING,
) -> int:
    """Makes those shards of these numbers that are missing, or were made from files that have
    changed since: `make` gets which pictures of the source each holds. Completes the index where
    all are there. Returns how many were made now.

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
    known, made = _read_own(folder, index), 0
    for number in numbers:
        places = index.places(number)
        origin = source.digest(places)  # before they are read
        if not _is_made(folder, number, known, origin, source):
            piece = _write(folder, number, known, make(places), origin)
            if not known.shards:
                _write_file(_beside(folder, number), _json(piece))
            made += 1
    if not known.shards:
        try:
            _complete(folder, index, source)
        except OutputError:
            if not _is_complete(folder):
                raise
    end = read_index(folder)
    if end and end.shards and not missing_shards(folder, end):  # nobody is still making one
        _tidy(folder)
    return made


def _read_own(folder: Path, index: Index) -> Index:
    """Reads the index of this set: without shards where one of its lists is lost, so that all of
    them are made again.

    Raises:
        OutputError: it is that of another set.
    """
    known = read_index(folder)
    assert known is not None
    ours, theirs = (
        {**one.model_dump(exclude={"shards", "fingerprints", "notes", "made_by"}), **one.made_by}
        for one in (index, known)
    )
    if ours != theirs:
        others = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
        raise OutputError(
            f"{folder}: its {INDEX} tells of another source or other options ({', '.join(others)})"
            "; say another folder"
        )
    lists = [folder / name for name in (HELD_OUT, *([LABELS] if index.classes else []))]
    if known.shards and not all(path.is_file() and path.stat().st_size for path in lists):
        known = index
        _write_file(folder / INDEX, _json(index))
    return known


def missing_shards(folder: Path, known: Index) -> int:
    """Returns how many shards of a complete set are not there, or cut."""
    return sum(not _is_whole(folder, place, known, one) for place, one in enumerate(known.shards))


def _is_whole(folder: Path, number: int, known: Index, shard: Shard) -> bool:
    path = folder / shard_name(number)
    return path.is_file() and path.stat().st_size == shard_bytes(known, shard)


def _is_made(folder: Path, number: int, known: Index, origin: str, source: Source) -> bool:
    """Returns whether a shard is there, made from what its source is now.

    Raises:
        OutputError: the set is complete, and of another source.
    """
    shard: Shard | None = (
        known.shards[number] if known.shards else _read_piece(folder, number, known)
    )
    if shard is None:
        return False
    changed = shard.source not in ("", origin)
    changed = changed or bool(shard.broken and source.mended(known.places(number), shard.broken))
    if changed and known.shards:
        raise OutputError(
            f"{folder}: files of its source have changed since {shard_name(number)} was made; say "
            "another folder"
        )
    return not changed and _is_whole(folder, number, known, shard)


def _read_piece(folder: Path, number: int, known: Index) -> Piece | None:
    """Reads what is known of a shard of an unfinished set; None where that is nothing sound."""
    path = _beside(folder, number)
    try:
        piece = parsed(path, path.read_bytes(), Piece)
    except (OSError, DataError):
        return None
    sound = len(piece.labels) == (piece.pictures if known.classes else 0)
    sound &= all(0 <= label < len(known.classes) for label in piece.labels)
    sound &= all(0 <= place < piece.pictures for place in piece.held_out)
    return piece if sound else None


def _write(folder: Path, number: int, known: Index, made: Made, source: str) -> Piece:
    """Writes a shard; returns what is known of it.

    Raises:
        OutputError: in a complete set, where it is another than the one that was there.
    """
    pixels, path = made.pixels, folder / shard_name(number)
    content = _saved(pixels)
    sha256 = hashlib.sha256(content).hexdigest()
    if known.shards and sha256 != known.shards[number].sha256:
        raise OutputError(
            f"{folder}: {path.name}, made again, is another than {INDEX} has; say another folder"
        )
    _write_file(path, content)
    return Piece(
        pictures=len(pixels),
        sha256=sha256,
        values=(int(pixels.min()), int(pixels.max())) if pixels.size else (255, 0),
        broken=made.broken,
        source=source,
        labels=() if made.labels is None else tuple(made.labels.tolist()),
        held_out=() if made.held_out is None else tuple(np.flatnonzero(made.held_out).tolist()),
    )


def _complete(folder: Path, index: Index, source: Source) -> None:
    """Completes the index, if all shards are there.

    Raises:
        DataError: one is damaged, or of files that have changed; it is forgotten.
    """
    paths = [_beside(folder, number) for number in range(index.count)]
    if not all(path.exists() for path in paths):
        return
    kind = np.min_scalar_type(max(0, len(index.classes) - 1))
    shards, labels, held_out = [], [], []
    for number, path in enumerate(paths):
        piece = _read_piece(folder, number, index)
        if piece is None and not path.exists():  # another process has completed all
            return
        try:
            if piece is None or piece.source != source.digest(index.places(number)):
                raise DataError(f"{path}: damaged, or of files that have changed since")
            check_shard(folder, number, piece)
        except DataError as error:
            path.unlink(missing_ok=True)
            raise DataError(f"{error}; the same command again makes it anew") from None
        shards.append(Shard(**{name: getattr(piece, name) for name in Shard.model_fields}))
        labels.append(np.array(piece.labels, kind))
        held_out.append(np.isin(np.arange(piece.pictures), piece.held_out))
    check_broken(folder, [one for shard in shards for one in shard.broken], index.source)
    _write_file(folder / HELD_OUT, _saved(np.concatenate(held_out)))
    if index.classes:
        _write_file(folder / LABELS, _saved(np.concatenate(labels)))
    index = index.model_copy(update={"shards": tuple(shards)})
    digests = {part: read_fingerprint(folder, part, index) for part in get_args(Split)}
    _write_file(folder / INDEX, _json(index.model_copy(update={"fingerprints": digests})))


def _is_complete(folder: Path) -> bool:
    known = read_index(folder)
    return known is not None and bool(known.shards)


def _tidy(folder: Path) -> None:
    """Removes what is superfluous once the index is complete: what was known of each shard, what a
    killed process left, and what another is about to complete it by.
    """
    for path in (*folder.glob("[0-9]*.json"), *folder.glob(".*.tmp")):
        path.unlink(missing_ok=True)


def _write_file(path: Path, content: memoryview | bytes) -> None:
    """Writes a file that is whole after a power cut, too."""
    with whole(path) as temporary, temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _saved(array: NDArray[Any]) -> memoryview | bytes:
    """Returns an array as NumPy saves it."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getbuffer()


def _beside(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.json"


def _json(fields: Fields) -> bytes:
    return fields.model_dump_json(exclude_defaults=True).encode() + b"\n"
