"""The files of a folder or zip: names in, with forward slashes, less what systems and programs put
there.

    listed = list_folder(path) or list_zip(archive)  ->  names, and what was left out, with reasons

Opens no file. Whatever is left out is counted, and an example of it named.
"""

import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import lru_cache
from pathlib import Path

from model.image_decoding import SUFFIXES
from model.mistakes import Mistake

# files and folders that are nobody's pictures, by who makes them; capitals do not count
SYSTEMS: dict[str, tuple[str, ...]] = {
    "macOS": (
        *("__MACOSX", ".DS_Store", "._*", ".AppleDouble", ".Spotlight-V100", ".Trashes"),
        *(".fseventsd", ".TemporaryItems", "Network Trash Folder", "Icon\r"),
    ),
    "Windows": (
        *("Thumbs.db", "ehthumbs*.db", "desktop.ini", "$RECYCLE.BIN"),
        "System Volume Information",
    ),
    "Linux": ("lost+found", ".Trash-*", ".thumbnails", ".directory"),
    "Synology": ("@eaDir", "#recycle", "#snapshot", "@tmp", "@sharebin"),
    "QNAP": ("@Recycle", ".@__thumb", "@Recently-Snapshot"),
    "Lightroom": ("*.lrdata", "*.lrcat-data"),
    "Picasa": (".picasa.ini", "Picasa.ini", ".picasaoriginals"),
    "Dropbox": (".dropbox", ".dropbox.cache", ".dropbox.attr"),
    "Syncthing": (".stfolder", ".stversions"),
    "Jupyter": (".ipynb_checkpoints",),
    "version control": (".git", ".svn", ".hg"),
}
_PATTERNS = {
    f"{pattern.strip()} of {maker}": re.compile(translate(pattern.casefold()))
    for maker, patterns in SYSTEMS.items()
    for pattern in patterns
}
_ANY = re.compile("|".join(pattern.pattern for pattern in _PATTERNS.values()))
HIDDEN = "hidden ones"
ONCE = "links to folders that are read already"
AROUND = "links to a folder that the set lies in"
NOWHERE = "links that lead nowhere"
EMPTY = "folders that hold nothing"
OUTSIDE = "names that lead out of the zip"
MASKS = "masks and labels beside the images that they belong to"
ZIP_LINKS = "links in the zip, which holds only where they lead"
EQUAL_NAMES = "files in the zip that another one of the same name replaces"
UNIX = 3  # a zip member's system
WINDOWS = (0, 10, 14)  # DOS and Windows, NTFS, VFAT
UTF8 = 1 << 11  # a zip member's flag: its name is UTF-8
UNSAID = (
    "names in the zip that say no encoding, and are not UTF-8: {:,}, such as {}; they are read as "
    "CP437, and classes are called so: zip the folder anew with names in UTF-8, or take the folder"
)
SHOWN = 200  # characters of an example, most of which are folders
# what segmentation and detection sets call their pictures and what was drawn on them; no capitals
IMAGES_OF_MASKS = frozenset(
    {"images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "rgb"}
)
MASKS_OF_IMAGES = frozenset(
    {
        *("masks", "mask", "segmentation", "segmentations", "segmentationclass"),
        *("segmentationobject", "annotations", "annotation", "labels", "label"),
        *("groundtruth", "ground_truth", "gt", "trimaps"),
    }
)
INDEX = "dataset.json"  # it alone says what a set is, see dataset_json.py


class DataError(Mistake):
    """The data cannot be used; the message says which file, what is wrong and what was expected."""


@dataclass
class LeftOut:
    """Counts what is left out, by reason, with the first name of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Counts one more, of this name."""
        self.counts[reason] += 1
        self.examples[reason] = min(name, self.examples.get(reason, name))

    def lines(self) -> list[str]:
        """Returns a line a reason, for people."""
        return [
            f"left out: {reason}: {count:,}, such as {example(self.examples[reason])}"
            for reason, count in sorted(self.counts.items())
        ]


@dataclass(frozen=True)
class Listing:
    """The files of a folder or zip."""

    members: dict[str, str]  # how the file is opened, by its name with forward slashes
    left_out: LeftOut
    remarks: tuple[str, ...] = ()  # how names were understood


def list_folder(folder: Path) -> Listing:
    """Lists the files below a folder. Links to folders are followed, each real folder once: where
    it lies, if that is in the set.

    Raises:
        DataError: a folder cannot be read.
    """
    left_out = LeftOut()
    return _listing([(name, name, False) for name in _walk(folder, left_out)], left_out)


def list_zip(archive: zipfile.ZipFile) -> Listing:
    """Lists the files of a zip. Names that do not say their encoding are UTF-8, as macOS writes
    them, where all of them can be; else they stay as they were read, and that is said.
    """
    left_out, files = LeftOut(), []
    infos = archive.infolist()
    unsaid = {i.filename for i in infos if not i.flag_bits & UTF8 and not i.filename.isascii()}
    spelled = {name: _in_utf8(name) for name in unsaid}
    known = None not in spelled.values()
    for info in infos:
        name = (spelled.get(info.filename) if known else None) or info.filename
        if _is_link(info) and not _is_picture(name):
            left_out.add(ZIP_LINKS, name)
        else:
            files.append((info.filename, name, info.create_system in WINDOWS))
    listed = _listing(files, left_out)
    unsure = [] if known else [name for name, file in listed.members.items() if file in unsaid]
    return replace(
        listed, remarks=(UNSAID.format(len(unsure), example(min(unsure))),) if unsure else ()
    )


def _in_utf8(name: str) -> str | None:
    """Returns a name that zipfile has read as CP437 as the UTF-8 that it is, or None."""
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return None


def _listing(files: list[tuple[str, str, bool]], left_out: LeftOut) -> Listing:
    """Lists files by how they are opened, their names, and whether those may be of Windows;
    backslashes part folders in those, and where a program that knew no better has written them
    into the name of every picture.
    """
    pictures = [name for _, name, _ in files if _is_picture(name)]
    everywhere = all("\\" in name and "/" not in name for name in pictures)
    members: dict[str, str] = {}
    ignored: set[tuple[str, str]] = set()
    for file, name, windows in files:
        name = name.replace("\\", "/") if windows or everywhere else name
        while name.startswith("./"):
            name = name[2:]
        if not name or name.endswith("/"):
            continue
        if ".." in name.split("/"):
            left_out.add(OUTSIDE, name)
        elif (reason := _foreign(name)) is not None:
            ignored.add(reason)
        else:
            if name in members:
                left_out.add(EQUAL_NAMES, name)
            members[name] = file
    for why, name in sorted(ignored):
        left_out.add(why, name)
    for name in _masks(members):
        del members[name]
        left_out.add(MASKS, name)
    return Listing(members, left_out)


def _masks(names: Iterable[str]) -> list[str]:
    """Returns the files in folders of masks or labels that lie beside a folder of images; none
    where an index says what each picture is.
    """
    paths = {name: name.casefold().split("/") for name in names}
    if any(path[-1] == INDEX for path in paths.values()):
        return []
    beside = {
        "/".join(path[:place])
        for path in paths.values()
        for place, folder in enumerate(path[:-1])
        if folder in IMAGES_OF_MASKS
    }
    return [
        name
        for name, path in paths.items()
        if any(
            folder in MASKS_OF_IMAGES and "/".join(path[:place]) in beside
            for place, folder in enumerate(path[:-1])
        )
    ]


def printable(text: str) -> str:
    """Escapes a file's name, so that it fits on one line of any terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def number(count: int, one: str, many: str = "") -> str:
    """Writes a count and what is counted, in the singular or plural."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def example(name: str) -> str:
    """Escapes a file's name and leaves out the middle of a long one, for a line among others."""
    text = printable(name)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]} ... {text[-SHOWN // 2 :]}"


def _foreign(name: str) -> tuple[str, str] | None:
    """Returns why a name is left alone, and up to which of its folders; None where it is not."""
    parts = name.split("/")
    for place, part in enumerate(parts):
        if reason := _maker(part):
            return reason, "/".join(parts[: place + 1])
    return None


@lru_cache(maxsize=2**12)  # folders are met again with each of their files
def _maker(part: str) -> str | None:
    """Returns who makes files or folders of this name, HIDDEN of hidden ones, None of others."""
    small = part.casefold()
    if _ANY.match(small):
        return next(maker for maker, pattern in _PATTERNS.items() if pattern.match(small))
    return HIDDEN if part.startswith(".") else None


def _walk(folder: Path, left_out: LeftOut) -> Iterator[str]:
    top = os.path.realpath(folder)
    around = {str(parent) for parent in Path(top).parents}
    seen: set[str] = set()
    waiting, links = [""], list[str]()
    while waiting or links:
        place = waiting.pop() if waiting else links.pop(0)  # all that lies in the set comes first
        real = os.path.realpath(folder / place)
        if real in seen or real in around:
            left_out.add(ONCE if real in seen else AROUND, place)
            continue
        seen.add(real)
        entries = _entries(folder / place)
        if not entries and place:
            left_out.add(EMPTY, place)
        for entry in entries:
            name = f"{place}/{entry.name}" if place else entry.name
            if reason := _maker(entry.name):
                left_out.add(reason, name)
            elif _is_folder(entry):
                (links if entry.is_symlink() else waiting).append(name)
            elif entry.is_symlink() and not _is_picture(name) and not os.path.exists(entry.path):
                left_out.add(NOWHERE, name)
            else:
                yield name


def _is_picture(name: str) -> bool:
    """Checks the name's ending; what cannot be read is a broken picture then, not left out."""
    return name.lower().endswith(SUFFIXES)


def _is_link(info: zipfile.ZipInfo) -> bool:
    return info.create_system == UNIX and stat.S_ISLNK(info.external_attr >> 16)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads around in a circle
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{example(str(folder))}: cannot be read ({error.strerror})") from None
