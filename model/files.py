"""Files that are there whole or not at all, whatever ends the writing; and files of a model folder
as they come: bounded bytes, fields that are all known, or an error that says which file is wrong.
"""

import hashlib
import json
import os
import secrets
import stat
import struct
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError

from model.mistakes import Mistake

MAX_WEIGHT_BYTES = 2**30
HASH = 12  # hexadecimal digits of a SHA-256 that name weights
SEAL = "config_sha256"  # field of a config.json that holds the SHA-256 of the others

Tensors = TypeVar("Tensors")
Header = TypeVar("Header", bound=BaseModel)
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


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


def open_folder(folder: Path, index: str, option: str = "--output") -> tuple[set[str], str | None]:
    """Makes a folder that is filled little by little, if it is not there; returns the names of its
    files, in NFC, and the text of its index, which is written before anything else. `option` named
    the folder.

    Raises:
        OutputError: it cannot be used, or holds files without an index.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = (entry.name for entry in folder.iterdir())
        there = {unicodedata.normalize("NFC", name) for name in names if not name.startswith(".")}
        path = folder / index
        text = path.read_text(encoding="utf-8") if path.is_file() else None  # others may write, too
    except (OSError, ValueError) as error:
        raise OutputError(f"{folder}: cannot be used as a folder ({error})") from None
    if text is None and there:
        raise OutputError(f"{folder}: it holds other files; say another {option}, or an empty one")
    return there, text


class GeneratorFileError(Mistake):
    """A model folder cannot be used; the message says which file, what is wrong and what is
    expected.
    """


class Fields(BaseModel):
    """Holds what a file says; a field that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TrainingData(Fields):
    """Which pictures a generator has learnt from."""

    name: str
    split: Literal["train", "test", "all"]
    images: Annotated[int, Field(ge=1)]
    sha256: Sha256  # over the pictures and labels, see Dataset.fingerprint


def read_bytes(path: Path, limit: int) -> bytes:
    """Reads the content of a regular file.

    Raises:
        GeneratorFileError: it is missing, something else, too large or cannot be read.
    """
    try:
        # a pipe in its place would be waited for
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise GeneratorFileError(f"{path}: not a regular file")
            content = stream.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise GeneratorFileError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise GeneratorFileError(f"{path}: not a regular file") from None
    except OSError as error:
        raise GeneratorFileError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > limit:
        raise GeneratorFileError(f"{path}: more than the {limit:,} bytes allowed")
    return content


def read_tensors(path: Path, sha256: str, load: Callable[[bytes], Tensors]) -> Tensors:
    """Reads the safetensors file at `path`, whose SHA-256 the config.json beside it names; `load`
    makes tensors of it.

    Raises:
        GeneratorFileError: it is missing, too large, damaged or another one.
    """
    content = read_bytes(path, MAX_WEIGHT_BYTES)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise GeneratorFileError(
            f"{path}: damaged or of another config: its SHA-256 is {found[:HASH]}..., config.json "
            f"says {sha256[:HASH]}..."
        )
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise GeneratorFileError(f"{path}: not a safetensors file ({error})") from None


def parse_tensors(
    path: Path, content: bytes, load: Callable[[bytes], Tensors], kind: str, header: type[Header]
) -> tuple[Tensors, Header]:
    """Parses the content of the safetensors file at `path`, whose metadata has, under its `kind`,
    a header as JSON; `load` makes tensors of it. Neither is held against the other.

    Raises:
        GeneratorFileError: it is damaged, or the header is not valid.
    """
    try:
        tensors = load(content)
        (size,) = struct.unpack("<Q", content[:8])
        text = json.loads(content[8 : 8 + size])["__metadata__"][kind]
        return tensors, validated(path, header, text, "the header")
    except (SafetensorError, ValueError, KeyError, TypeError, struct.error) as error:
        reason = str(error).partition("\n")[0]
        raise GeneratorFileError(f"{path}: damaged or no {kind} ({reason})") from None


def validated(
    path: Path, fields: type[Header], text: str | bytes, whole: str = "the file"
) -> Header:
    """Parses JSON as fields.

    Raises:
        GeneratorFileError: they are not valid; the message names the first one, or the `whole`.
    """
    try:
        return fields.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or whole
        raise GeneratorFileError(f"{path}: {where}: {first['msg']}") from None


def sealed(fields: dict[str, Any]) -> str:
    """Returns the text of a config.json with these fields, and their SHA-256."""
    return json.dumps({**fields, SEAL: _digest(fields)}, indent=2, ensure_ascii=False) + "\n"


def check_seal(path: Path, fields: dict[str, Any]) -> None:
    """Checks the fields of a config.json against their SHA-256, where there is one.

    Raises:
        GeneratorFileError: they have changed.
    """
    others = {name: value for name, value in fields.items() if name != SEAL}
    if fields.get(SEAL) and fields[SEAL] != _digest(others):
        raise GeneratorFileError(
            f"{path}: damaged: not what was written; if it was changed on purpose, take the "
            f"field {SEAL} out"
        )


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
