"""`generate --site names.txt`: a picture for each name, for hosts that only serve files.

    names, one a line -> file names that every file system holds -> PNG files, the same bytes that a
    service sends for `/generate?name=...`; index.json, index.html

The same command again continues a folder, and adds the names that are new.
"""

import html
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from model.files import OutputError, open_folder, write_whole
from model.latent_space.latents import has_controls, text_seed
from model.recipes import MOST_SEEDS, RecipeError, Words
from model.training.run.progress import counting

LONGEST_NAME = 256  # characters, as a service takes them by default
LARGEST_LIST = 2**28  # bytes of a file of names
LONGEST_FILE = 240  # bytes of a file's name: 255, less what a file in the making is called
INDEX, PAGE = "index.json", "index.html"
SHOWN = 1000  # pictures on the page at most
RESERVED = '/\\:*?"<>|%'  # not in file names of some system; % marks what stands for one of them
DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in range(10)
}


@dataclass(frozen=True)
class Entry:
    """A name, its seed, and the file of its picture."""

    name: str
    seed: int
    file: str

    def words(self) -> Words:
        """Returns what index.json says of it."""
        seed = {"seed": self.seed, "seed_text": str(self.seed)}  # JavaScript's numbers end at 2^53
        return {"name": self.name, "file": self.file, "url": quote(self.file), **seed}


def read_names(path: Path) -> list[Entry]:
    """Reads the names of a file in UTF-8, one a line; empty lines are left out, and so is a name
    that was there before.

    Raises:
        RecipeError: it cannot be read, a line is no name, or two names are one file.
    """
    wanted = "names are wanted, one a line"
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_LIST + 1)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise RecipeError(f"{path}: cannot be read ({reason}); {wanted}") from None
    if len(content) > LARGEST_LIST:
        raise RecipeError(f"{path}: too large; allowed: up to {LARGEST_LIST:,} bytes")
    found: dict[str, Entry] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        name = unicodedata.normalize("NFC", line.removesuffix("\r"))
        if not name:
            continue
        _check_name(path, number, name)
        entry = Entry(name, text_seed(name), file_name(name))
        key = unicodedata.normalize("NFC", entry.file.casefold())
        other = found.setdefault(key, entry)
        if other.name != name:
            raise RecipeError(
                f"{path}: lines {lines[key]} and {number}, {other.name!a} and {name!a}, would be "
                "one file where capitals do not count; leave one of them out"
            )
        lines.setdefault(key, number)
        if len(found) > MOST_SEEDS:
            raise RecipeError(f"{path}: too many names; allowed: up to {MOST_SEEDS:,}")
    if not found:
        raise RecipeError(f"{path}: it holds no names; {wanted}")
    return list(found.values())


def _check_name(path: Path, number: int, name: str) -> None:
    wrong = None
    if len(name) > LONGEST_NAME:
        wrong = f"{len(name)} characters; allowed: 1 to {LONGEST_NAME}"
    elif has_controls(name):
        wrong = "it has control characters, or characters that were lost"
    elif name != name.strip():
        wrong = "white space before or after the name would be part of it; take it away"
    if wrong:
        raise RecipeError(f"{path}, line {number}: {wrong}")


def file_name(name: str) -> str:
    """Returns the file name of a name's picture: the name itself, with %XX for what some system
    reserves; `seed-` and the seed where that would be too long.
    """
    stem = "".join(f"%{ord(c):02X}" if c in RESERVED else c for c in name)
    if stem[0] == "." or stem.partition(".")[0].rstrip().lower() in DEVICES:
        stem = f"%{ord(stem[0]):02X}{stem[1:]}"
    file = f"{stem}.png"
    return file if len(file.encode()) <= LONGEST_FILE else f"seed-{text_seed(name)}.png"


def write_site(
    entries: Sequence[Entry],
    head: Mapping[str, object],
    generate: Callable[[Sequence[int]], list[bytes]],
    folder: Path,
    batch: int = 64,
) -> tuple[int, int]:
    """Writes the pictures that are missing, and the index; returns how many pictures those were,
    and how many are there of names that are no longer listed.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
    """
    there = _prepare(folder, head)
    _write_index(folder, head, entries)
    missing = [entry for entry in entries if entry.file not in there]
    with counting("generating", len(missing), "pictures") as count:
        for start in range(0, len(missing), batch):
            part = missing[start : start + batch]
            for entry, content in zip(part, generate([one.seed for one in part]), strict=True):
                write_whole(folder / entry.file, content)
            count(len(part))
    pictures = {name for name in there if name.endswith(".png")}
    return len(missing), len(pictures - {entry.file for entry in entries})


def _prepare(folder: Path, head: Mapping[str, object]) -> set[str]:
    """Makes the folder; returns the names of the files that are there already, in NFC."""
    there, text = open_folder(folder, INDEX)
    if text is not None and not text.startswith(_opening(head)):
        raise OutputError(
            f"{folder}: its {INDEX} tells of another generator or other options; say another "
            "--output"
        )
    return there


def _opening(head: Mapping[str, object]) -> str:
    return json.dumps(head)[:-1] + ', "pictures": '


def _write_index(folder: Path, head: Mapping[str, object], entries: Sequence[Entry]) -> None:
    lines = ",\n".join(json.dumps(entry.words()) for entry in entries)
    index = f'{_opening(head)}{len(entries)}, "files": [\n{lines}\n]}}\n'
    write_whole(folder / INDEX, index.encode())
    pictures = "\n".join(
        f'<figure><img src="{quote(entry.file)}" alt="" loading="lazy">'
        f"<figcaption>{html.escape(entry.name)}</figcaption></figure>"
        for entry in entries[:SHOWN]
    )
    more = len(entries) - SHOWN
    rest = f"<p>and {more:,} more in <a href={INDEX}>{INDEX}</a></p>\n" if more > 0 else ""
    page = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n<title>Pictures by name</title>\n'
        "<style>figure { display: inline-block; margin: 8px; text-align: center; }</style>\n"
        f"{pictures}\n{rest}</html>\n"
    )
    write_whole(folder / PAGE, page.encode())
