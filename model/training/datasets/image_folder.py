"""A folder or zip of picture files: which pictures there are, their classes, which are held out.

    with open_image_folder(path) as found: names, labels, classes, held_out; found.each(...)

What a file is cannot change which others are held out: all of that is decided by names, before
any is opened. Files are read on demand, by a few threads, and come back in order.
"""

import zipfile
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import Literal, TypeVar
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from model.devices import usable_cores
from model.image_decoding import SUFFIXES, BrokenPictureError
from model.training.datasets.dataset_json import Listed, read_listed
from model.training.datasets.file_listing import (
    INDEX,
    DataError,
    Listing,
    example,
    list_folder,
    list_zip,
    printable,
)
from model.training.datasets.held_out import (
    HELD_OUT,
    ROLES,
    Parts,
    Role,
    deal,
    find_parts,
    similar_to_parts,
)

Split = Literal["train", "test", "all"]
LAYERS = "layers.json"
BROKEN_SHARE = 100  # one broken file in so many is skipped,
BROKEN_FILES = 10  # or so many of a smaller set,
BROKEN_MOST = 10  # but never more than one in so many
ENDINGS = 10  # endings that a line counts of the files that are left out
NAMED = 10  # broken files that are named in a log; a file has them all
MAX_FILE_BYTES = 2**28
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".xml", ".xlsx", ".parquet", ".mat")
# pictures that are not read here: a converter makes PNG or JPEG of them
OTHER_PICTURES = (
    *(".heic", ".heif", ".jxl", ".jp2", ".j2k", ".psd", ".svg", ".tga", ".exr", ".hdr", ".dds"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".dcm", ".ico", ".eps"),
)
CHUNK = 16  # files that a thread takes at a time

T = TypeVar("T")


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
    read: Callable[[str], bytes]
    stamp: Callable[[str], tuple[int, int]]  # bytes, and in a zip the CRC, of a file unread
    remarks: tuple[str, ...] = ()  # what was left out, and how the rest was understood

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


@contextmanager
def open_image_folder(path: Path) -> Iterator[ImageFolder]:
    """Opens the pictures below a folder or in a zip. Hidden files do not count, nor what systems
    put there; where everything lies in one folder, that folder is the set.

    Raises:
        DataError: it is not a zip, has no pictures, or its classes cannot be determined.
    """
    if path.is_dir():
        folder = partial(_read_file, path), partial(_stamp_file, path)
        yield _image_folder(path, list_folder(path), *folder)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{path}: damaged or unreadable zip file ({error})") from None
    with archive:
        zipped = partial(_read_member, archive), partial(_stamp_member, archive)
        yield _image_folder(path, list_zip(archive), *zipped)


def _image_folder(
    path: Path,
    listing: Listing,
    read: Callable[[str], bytes],
    stamp: Callable[[str], tuple[int, int]],
) -> ImageFolder:
    members = listing.members
    if LAYERS in members:
        raise DataError(f"{path}: layers, not pictures; make a set of them with the data command")
    names = sorted(file for file in members if file.lower().endswith(SUFFIXES))
    if not names:
        lines = [*_not_read(members), *listing.left_out.lines()]
        raise DataError(
            f"{path}: neither idx files, nor SVHN .mat files, nor pictures ({', '.join(SUFFIXES)})"
            f"; {'; '.join(lines) or 'it is empty'}"
        )
    root = _root(names, members)
    used = {*names, root + INDEX}
    others = [file for file in members if file not in used]
    names = [name.removeprefix(root) for name in names]
    sorted_in = _by_folders(path, names)
    if root + INDEX in members:
        try:
            content = read(members[root + INDEX])
        except Exception as error:
            raise DataError(f"{path / root / INDEX}: cannot be read ({error})") from None
        sorted_in = _by_index(path, names, read_listed(content, path / root / INDEX, names))
    left_out = [*listing.left_out.lines(), *_not_read(others)]
    if sorted_in.labels is None and (tables := [f for f in others if _ending(f) in TABLES]):
        left_out.append(
            "classes are read from folders or a dataset.json, not from other files, such as "
            f"{example(min(tables))}"
        )
    return ImageFolder(
        path=path,
        names=sorted_in.names,
        labels=sorted_in.labels,
        classes=sorted_in.classes,
        held_out=sorted_in.held_out,
        read=lambda name: read(members[root + name]),
        stamp=lambda name: stamp(members[root + name]),
        remarks=(
            *left_out,
            *listing.remarks,
            *sorted_in.remarks,
            *_held_out_remarks(sorted_in.held_out),
        ),
    )


def _not_read(files: Iterable[str]) -> list[str]:
    """Says which files are left out by the endings of their names, a line a kind."""
    kinds: dict[str, list[str]] = {}
    for file in files:
        kinds.setdefault(_kind(_ending(file)), []).append(file)
    lines = []
    for kind, found in sorted(kinds.items()):
        endings = Counter(_ending(file) or "no ending" for file in found)
        most = dict(endings.most_common(ENDINGS))
        more = f" and {len(endings) - ENDINGS:,} other endings" if len(endings) > ENDINGS else ""
        lines.append(f"left out: {kind}: {counted(most)}{more}, such as {example(min(found))}")
    return lines


def _ending(file: str) -> str:
    return PurePosixPath(file).suffix.lower()[:20]


def _kind(ending: str) -> str:
    if ending in ARCHIVES:
        return "archives in the set, which are to be unpacked first"
    if ending in OTHER_PICTURES:
        return "pictures in formats that are not read, to be converted to PNG or JPEG first"
    return "files whose names do not end like those of pictures"


def counted(counts: Mapping[str, int]) -> str:
    """Lists names and counts, in order of the names."""
    return ", ".join(f"{printable(name)} {counts[name]:,}" for name in sorted(counts))


def _held_out_remarks(held_out: NDArray[np.bool_]) -> list[str]:
    if held_out.any():
        return []
    few = f"fewer than {HELD_OUT} pictures: " if len(held_out) < HELD_OUT else ""
    return [f"{few}none is held out, so nothing is measured"]


def _root(names: Sequence[str], files: Container[str]) -> str:
    """Returns the common folder of all pictures, with its slash; stops at a dataset.json."""
    root = ""
    while root + INDEX not in files:
        top, slash, _ = names[0].removeprefix(root).partition("/")
        if not slash or not all(name.startswith(f"{root}{top}/") for name in names):
            break
        root += f"{top}/"
    return root


def _read_file(folder: Path, name: str) -> bytes:
    path = folder / name
    status = path.stat()
    if not S_ISREG(status.st_mode):
        raise BrokenPictureError("not a regular file")
    _check_bytes(status.st_size)
    return path.read_bytes()


def _stamp_file(folder: Path, name: str) -> tuple[int, int]:
    try:
        return (folder / name).stat().st_size, 0
    except OSError:
        return -1, 0


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    member = archive.getinfo(name)
    if member.flag_bits & 1:
        raise BrokenPictureError("has a password")
    _check_bytes(member.file_size)
    return archive.read(member)


def _stamp_member(archive: zipfile.ZipFile, name: str) -> tuple[int, int]:
    member = archive.getinfo(name)
    return member.file_size, member.CRC


def _check_bytes(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise BrokenPictureError(f"{size:,} bytes, more than {MAX_FILE_BYTES:,}")


# --- classes and parts ---


@dataclass(frozen=True)
class _Sorted:
    """Pictures with their classes, and which are held out."""

    names: list[str]
    labels: NDArray[np.int64] | None  # (N,)
    classes: tuple[str, ...]
    held_out: NDArray[np.bool_]  # (N,)
    remarks: list[str]


def _by_index(source: Path, names: list[str], listed: Listed) -> _Sorted:
    """Sorts pictures in by a dataset.json."""
    remarks = []
    if listed.missing:
        remarks.append(
            f"dataset.json names {len(listed.missing):,} files that are not there, such as "
            f"{printable(listed.missing[0])}"
        )
    labels, classes = None, listed.classes
    if listed.labels is not None:
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
        classes = listed.classes or tuple(str(label) for label in range(count))
        remarks += _similar(classes)
    held_out = deal(len(names), labels)
    if listed.test is not None:
        held_out = np.array([name in listed.test for name in names])
    return _Sorted(names, labels, classes if labels is not None else (), held_out, remarks)


def _by_folders(source: Path, names: list[str]) -> _Sorted:
    """Sorts pictures in by their folders: those of parts, if there are any, then of classes."""
    parts = find_parts(names)
    if parts is not None:
        return _by_parts(source, names, parts)
    folders = [name.rpartition("/")[0] for name in names]
    _check_loose(source, names, folders)
    labels, classes = _classes(folders)
    remarks = _similar(classes)
    if len(classes) < len({*folders} - {""}):
        remarks.append("folders of one name in two spellings (Unicode NFC, NFD) are one class")
    if similar_to_parts(names):
        remarks.append("not all of the uppermost folders are parts (train, test), so none is")
    return _Sorted(names, labels, classes, deal(len(names), labels), remarks)


def _by_parts(source: Path, names: list[str], parts: Parts) -> _Sorted:
    """Sorts pictures in by the set's own parts: held out is the one to test with, else the one to
    validate with. Beside classes, pictures of none that is trained on are left out.
    """
    rows = list(zip(names, parts.folders, parts.roles, strict=True))
    to_train = [(name, folder) for name, folder, role in rows if role == "train"]
    _check_loose(source, *zip(*to_train, strict=True))
    if not to_train[0][1]:
        rows = [(name, "", role) for name, _, role in rows]
    labelled = [row for row in rows if row[1] or not to_train[0][1]]
    held = "test" if any(role == "test" for _, _, role in labelled) else "validation"
    trained = {_composed(folder) for _, folder, role in labelled if role != held}
    kept = [row for row in labelled if _composed(row[1]) in trained]
    remarks = [
        *_similar({_composed(folder) for _, folder, _ in rows}),
        *_without("they have no class", rows, labelled),
        *_without("no picture of their class is trained on", labelled, kept),
    ]
    counts = Counter(role for _, _, role in kept)
    shares = [
        f"{role} {counts[role]:,} {'held out' if role == held else 'to train with'}"
        for role in ROLES
        if counts[role]
    ]
    around = _root([f"{folder}/" for _, folder, _ in kept], ())
    labels, classes = _classes([f"{folder}/"[len(around) : -1] for _, folder, _ in kept])
    held_out = np.array([role == held for _, _, role in kept])
    return _Sorted(
        names=[name for name, _, _ in kept],
        labels=labels,
        classes=classes,
        held_out=held_out if held_out.any() else deal(len(kept), labels),
        remarks=[*remarks, f"parts by their folders: {', '.join(shares)}"],
    )


Row = tuple[str, str, Role]  # a picture's name, its folder without that of its part, and the part


def _without(reason: str, before: Sequence[Row], after: Sequence[Row]) -> list[str]:
    left = {name for name, _, _ in before}.difference(name for name, _, _ in after)
    if not left:
        return []
    return [f"left out, since {reason}: {len(left):,} pictures, such as {printable(min(left))}"]


def _check_loose(source: Path, names: Sequence[str], folders: Sequence[str]) -> None:
    """Refuses pictures beside folders of others."""
    if len({*folders}) > 1 and "" in folders:
        loose = printable(names[folders.index("")])
        raise DataError(
            f"{source}: {loose} lies beside class folders; put every picture in one, or none"
        )


def _classes(folders: Sequence[str]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Returns labels (N,) and class names; none where all lie in the uppermost folder. A name has
    one spelling, NFC, however a system has written it.
    """
    if set(folders) == {""}:
        return None, ()
    classes = tuple(dict.fromkeys(map(_composed, sorted(set(folders)))))
    places = {name: place for place, name in enumerate(classes)}
    return np.array([places[_composed(folder)] for folder in folders], np.int64), classes


def _composed(name: str) -> str:
    return normalize("NFC", name)


def _similar(classes: Iterable[str]) -> list[str]:
    """Says which classes differ by capitals alone."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(classes)):
        groups.setdefault(name.casefold(), []).append(name)
    alike = ["/".join(map(printable, group)) for group in groups.values() if len(group) > 1]
    if not alike:
        return []
    return [f"classes that differ by capitals alone, and stay apart: {', '.join(alike)}"]
