"""A folder or zip of picture files: which pictures there are, their classes, which are held out.

    with open_image_folder(path) as found: names, labels, classes, held_out; found.each(...)

What a file is cannot change which others are held out: all of that is decided by names, before
any is opened. Files are read on demand, by a few threads, and come back in order.
"""

import json
import os
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.cores import usable_cores
from model.image_decoding import SUFFIXES, BrokenPictureError
from model.mistakes import Mistake

Split = Literal["train", "test", "all"]
HELD_OUT = 10  # where the source has no test part, every tenth picture (by sorted name) is one
INDEX = "dataset.json"
LAYERS = "layers.json"
BROKEN_SHARE = 100  # one broken file in so many is skipped,
BROKEN_FILES = 10  # or so many of a smaller set,
BROKEN_MOST = 10  # but never more than one in so many
NAMED = 10  # broken files that are named in a log; a file has them all
MAX_FILE_BYTES = 2**28
CHUNK = 16  # files that a thread takes at a time

T = TypeVar("T")


class DataError(Mistake):
    """The data cannot be used; the message says which file, what is wrong and what was expected."""


@dataclass(frozen=True, order=True)
class Broken:
    """A file without a usable picture."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{printable(self.name)}: {printable(self.reason)}"


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """The pictures of a folder or zip, still undecoded."""

    path: Path
    names: Sequence[str]  # sorted, with forward slashes
    labels: NDArray[np.int64] | None  # (N,), positions in `classes`
    classes: tuple[str, ...]
    held_out: NDArray[np.bool_]  # (N,), the test part
    others: Counter[str]  # number of ignored files, by suffix
    read: Callable[[str], bytes]

    def places(self, split: Split) -> NDArray[np.intp]:
        """Returns the positions in `names` of one part."""
        if split == "all":
            return np.arange(len(self.names))
        return np.flatnonzero(self.held_out == (split == "test"))

    def each(
        self, places: Iterable[int], work: Callable[[bytes], T]
    ) -> Iterator[tuple[int, T | Broken]]:
        """Yields each place, in the order given, with what `work` makes of its file's content, or a
        Broken. `work` runs in threads, not far ahead of the caller, and raises BrokenPictureError.
        """

        def some(chunk: list[int]) -> list[tuple[int, T | Broken]]:
            return [(place, self._one(place, work)) for place in chunk]

        left = [int(place) for place in places]
        threads = usable_cores()
        pool = ThreadPoolExecutor(threads)
        waiting: deque[Future[list[tuple[int, T | Broken]]]] = deque()
        try:
            for start in range(0, len(left), CHUNK):
                waiting.append(pool.submit(some, left[start : start + CHUNK]))
                if len(waiting) > 2 * threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _one(self, place: int, work: Callable[[bytes], T]) -> T | Broken:
        name = self.names[place]
        try:
            content = self.read(name)
        except Exception as error:  # from the file system, zip, its compression, or a password
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return Broken(name, reason)
        try:
            return work(content)
        except BrokenPictureError as error:
            return Broken(name, str(error))


def allowed_broken(files: int) -> int:
    """Returns how many broken files are skipped in a set of so many: 1 %, or 10 where that is more,
    but never more than a tenth.
    """
    return max(files // BROKEN_SHARE, min(BROKEN_FILES, files // BROKEN_MOST))


def check_broken(path: Path, broken: Sequence[Broken], files: int, part: Split = "all") -> None:
    """Refuses a set of so many files, or one part of it, with too many broken ones.

    Raises:
        DataError: too many are broken; the message says how many and names the first.
    """
    allowed = allowed_broken(files)
    if len(broken) <= allowed:
        return
    first = "; ".join(str(one)[:100] for one in broken[:3])
    more = f" and {len(broken) - 3:,} more" if len(broken) > 3 else ""
    where = "" if part == "all" else f" of the {part} part"
    raise DataError(
        f"{path}: {len(broken):,} picture files{where} cannot be read, and of {files:,} at most "
        f"{allowed:,} are skipped: {first}{more}"
    )


def broken_notes(broken: Sequence[Broken]) -> list[str]:
    """Lists the first broken files by name, for a log."""
    if not broken:
        return []
    more = len(broken) - NAMED
    lines = [f"broken files, skipped: {len(broken):,}"]
    lines += [f"  {one}" for one in broken[:NAMED]]
    return [*lines, f"  and {more:,} more"] if more > 0 else lines


def write_broken(path: Path, broken: Sequence[Broken]) -> None:
    """Writes all of them to a file, one per line; removes the file where there are none."""
    if broken:
        path.write_text("".join(f"{one}\n" for one in broken))
    else:
        path.unlink(missing_ok=True)


def every_tenth(count: int) -> NDArray[np.bool_]:
    """Returns a mask (count,) of the test part, every tenth picture, where the source has none."""
    held_out = np.zeros(count, bool)
    held_out[HELD_OUT - 1 :: HELD_OUT] = True
    return held_out


def printable(text: str) -> str:
    """Escapes a file's name, so that it fits on one line of any terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def open_image_folder(path: Path) -> Iterator[ImageFolder]:
    """Opens the pictures below a folder or in a zip. Hidden files do not count, nor what macOS adds
    to a zip; where everything lies in one folder, that folder is the set.

    Raises:
        DataError: it is not a zip, has no pictures, or its classes cannot be determined.
    """
    if path.is_dir():
        yield _album(path, _files(path), lambda name: _read_file(path / name))
        return
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{path}: damaged or unreadable zip file ({error})") from None
    with archive:
        names = (name for name in archive.namelist() if not name.endswith("/"))
        yield _album(path, names, lambda name: _read_member(archive, name))


def _album(path: Path, files: Iterable[str], read: Callable[[str], bytes]) -> ImageFolder:
    seen = {file for file in files if not any(map(_hidden, file.split("/")))}
    if LAYERS in seen:
        raise DataError(f"{path}: layers, not pictures; make a set of them with the data command")
    names = sorted(file for file in seen if file.lower().endswith(SUFFIXES))
    if not names:
        raise DataError(
            f"{path}: neither idx files, nor SVHN .mat files, nor pictures ({', '.join(SUFFIXES)})"
        )
    root = _root(names, seen)
    others = Counter(
        PurePosixPath(file).suffix.lower() or "no ending"
        for file in seen.difference(names, [root + INDEX])
    )
    names = [name.removeprefix(root) for name in names]
    listed = None
    if root + INDEX in seen:
        try:
            content = read(root + INDEX)
        except Exception as error:
            raise DataError(f"{path / root / INDEX}: cannot be read ({error})") from None
        listed = _listed(content, path / root / INDEX)
    labels, classes = _labels(path, names, listed)
    held_out = every_tenth(len(names))
    if listed is not None and listed.test is not None:
        held_out = np.array([name in listed.test for name in names])
    return ImageFolder(
        path=path,
        names=names,
        labels=labels,
        classes=classes,
        held_out=held_out,
        others=others,
        read=lambda name: read(root + name),
    )


def _hidden(part: str) -> bool:
    return part.startswith(".") or part == "__MACOSX"


def _root(names: Sequence[str], seen: set[str]) -> str:
    """Returns the common folder of all pictures, with its slash; stops at a dataset.json."""
    root = ""
    while root + INDEX not in seen:
        top, slash, _ = names[0].removeprefix(root).partition("/")
        if not slash or not all(name.startswith(f"{root}{top}/") for name in names):
            break
        root += f"{top}/"
    return root


def _files(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _hidden(name)]
        parent = Path(place).relative_to(folder).as_posix()
        yield from files if parent == "." else (f"{parent}/{name}" for name in files)


def _read_file(path: Path) -> bytes:
    status = path.stat()
    if not S_ISREG(status.st_mode):
        raise BrokenPictureError("not a regular file")
    _check_bytes(status.st_size)
    return path.read_bytes()


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    member = archive.getinfo(name)
    if member.flag_bits & 1:
        raise BrokenPictureError("has a password")
    _check_bytes(member.file_size)
    return archive.read(member)


def _check_bytes(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise BrokenPictureError(f"{size:,} bytes, more than {MAX_FILE_BYTES:,}")


# --- classes ---


@dataclass(frozen=True)
class _Listed:
    """What a dataset.json says."""

    labels: dict[str, int] | None  # by file; None: there are none
    classes: tuple[str, ...]  # their names; none: no names are given
    test: frozenset[str] | None  # files of the test part; None: every tenth


def _labels(
    source: Path, names: Sequence[str], listed: _Listed | None
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Returns labels (N,) and class names: from dataset.json, else from subfolders, else none."""
    if listed is not None and listed.labels is None:
        return None, ()
    if listed is not None and listed.labels is not None:
        missing = [name for name in names if name not in listed.labels]
        if missing:
            raise DataError(
                f"{source}: dataset.json has no label for {printable(missing[0])} and "
                f"{len(missing) - 1} more"
            )
        labels = np.array([listed.labels[name] for name in names], np.int64)
        count = int(labels.max()) + 1
        if listed.classes and len(listed.classes) < count:
            raise DataError(
                f"{source}: dataset.json names {len(listed.classes)} classes, but has label "
                f"{count - 1}"
            )
        return labels, listed.classes or tuple(str(label) for label in range(count))
    parents = [name.rpartition("/")[0] for name in names]
    places = {name: place for place, name in enumerate(sorted(set(parents)))}
    if set(places) == {""}:
        return None, ()
    if "" in places:
        loose = printable(names[parents.index("")])
        raise DataError(
            f"{source}: {loose} lies beside class folders; put every picture in one, or none"
        )
    return np.array([places[parent] for parent in parents], np.int64), tuple(places)


def _listed(content: bytes, path: Path) -> _Listed:
    """Parses StyleGAN's `{"labels": [["a.png", 0], ...]}`, perhaps with `"classes": ["cat", ...]`
    and `"test": ["a.png", ...]`; `"labels": null` means no labels.
    """
    try:
        index = json.loads(content)
        labels = None if index["labels"] is None else dict(index["labels"])
        classes = tuple(map(str, index.get("classes") or ()))
        test = None if index.get("test") is None else frozenset(index["test"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f'{path}: {{"labels": [["a.png", 0], ...]}} is wanted') from None
    for name, label in (labels or {}).items():
        if type(label) is not int or not 0 <= label < 1000:
            raise DataError(
                f"{path}: the label of {name} is {label!r}; a whole number from 0 to 999 is wanted"
            )
    return _Listed(labels, classes, test)
