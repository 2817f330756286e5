"""Files that are there whole or not at all, whatever ends the writing."""

import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.mistakes import Mistake


class OutputError(Mistake):
    """A file cannot be written, or must not be; the message says which and why."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a place next to `path` to write to, which becomes `path` when the block ends well.

    Raises:
        OutputError: it cannot be written there.
    """
    temporary = path.with_name(
        f".{path.name}.{secrets.token_hex(4)}.tmp"
    )  # others may write it too
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file.

    Raises:
        OutputError: it cannot be written there.
    """
    with whole(path) as temporary:
        temporary.write_bytes(content)


def open_folder(folder: Path, index: str) -> tuple[set[str], str | None]:
    """Makes a folder that is filled little by little, if it is not there; returns the names of its
    files, in NFC, and the text of its index, which is written before anything else.

    Raises:
        OutputError: it cannot be used, or holds files without an index.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = (entry.name for entry in folder.iterdir())
        there = {unicodedata.normalize("NFC", name) for name in names if not name.startswith(".")}
        text = (folder / index).read_text(encoding="utf-8") if index in there else None
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder}: cannot be used as a folder ({error})") from None
    if text is None and there:
        raise OutputError(f"{folder}: it holds other files; say another --output, or an empty one")
    return there, text
