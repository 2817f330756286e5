"""The folder of one training run: its name, its options, its lock, and finding it again.

runs/00000-mnist-dcgan-mnist-batch128/
    options.json log.txt stats.jsonl metrics.jsonl tensorboard/ grids/ checkpoints/ best/ last/
"""

import errno
import importlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model.mistakes import Mistake

OPTIONS = "options.json"
LOCKLESS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # a file system without locks


class RunError(Mistake):
    """A run cannot start or go on; the message says why and what can be done."""


def is_run(folder: Path) -> bool:
    """Returns whether a folder is that of a run."""
    return (folder / OPTIONS).is_file()


def outdir_of(run_dir: Path) -> Path:
    """Returns the folder that a run lies in, where the feature networks of its pictures are too."""
    return run_dir.resolve().parent


def read_options(run_dir: Path) -> dict[str, Any]:
    """Reads the options of a run.

    Raises:
        RunError: there are none.
    """
    if not (options := _options(run_dir)):
        raise RunError(f"{run_dir}: not a run folder ({OPTIONS} is missing or damaged)")
    return options


def find_run(outdir: Path, fingerprint: str) -> Path | None:
    """Finds the newest run of exactly this configuration and data."""
    for folder in reversed(_runs(outdir)):
        if _options(folder).get("fingerprint") == fingerprint:
            return folder
    return None


def open_run(folder: Path, fingerprint: str) -> Path:
    """Returns a named run folder, if it belongs to this configuration and data.

    Raises:
        RunError: it is no run, or one of another configuration.
    """
    if read_options(folder).get("fingerprint") != fingerprint:
        raise RunError(
            f"{folder}: made with other options or other data; its own are in {folder / OPTIONS}. "
            "Repeat the command that started it, or start a new run"
        )
    return folder


def create_run(outdir: Path, description: str, options: dict[str, Any]) -> Path:
    """Creates a numbered folder, with its options or not at all.

    Raises:
        RunError: the folder cannot be made.
    """
    runs = _runs(outdir)
    number = int(runs[-1].name[:5]) + 1 if runs else 0
    folder = outdir / f"{number:05d}-{slug(description)}"
    temporary = outdir / f".{folder.name}.{os.getpid()}.tmp"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write_options(temporary, options)
        temporary.rename(folder)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror})") from None
    return folder


def slug(text: str) -> str:
    """Reduces a text to lower case letters, digits, - and _, at most 64: fit for a folder and for a
    generator's name.
    """
    return re.sub("[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:64] or "unnamed"


def write_options(folder: Path, options: dict[str, Any]) -> None:
    """Writes the resolved options of a run, whole or not at all."""
    temporary = folder / f".{OPTIONS}.tmp"
    temporary.write_text(json.dumps(options, indent=2) + "\n")
    temporary.replace(folder / OPTIONS)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder for one process; the lock ends with the process, however it ends. On a file
    system without locks it warns, and holds nothing.

    Raises:
        RunError: another process trains in this folder, or it cannot be written to.
    """
    fcntl = importlib.import_module("fcntl")  # by name: Windows, which has none, must get to say so
    try:
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise RunError(f"{folder}: cannot be written to ({error.strerror})") from None
    with lock as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"{folder}: another process is training in this folder") from None
        except OSError as error:
            if error.errno not in LOCKLESS:
                raise
            print(
                f"warning: {folder}: its file system has no locks ({error.strerror}), so nothing "
                "keeps a second process from training in it",
                file=sys.stderr,
            )
        yield


def _runs(outdir: Path) -> list[Path]:
    if not outdir.is_dir():
        return []
    return sorted(
        entry for entry in outdir.iterdir() if entry.is_dir() and re.match(r"\d{5}-", entry.name)
    )


def _options(folder: Path) -> dict[str, Any]:
    try:
        options = json.loads((folder / OPTIONS).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return options if isinstance(options, dict) else {}
