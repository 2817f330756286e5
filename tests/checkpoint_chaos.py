"""`python -m tests.checkpoint_chaos FOLDER WAY...`: writes checkpoints in processes that are killed
between any two calls into the system, or find the disk full at any byte; prints as JSON what went
on, way by way. A process of its own, since it forks.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from model.training.run import checkpoint
from model.training.run.checkpoint import (
    Checkpoint,
    CheckpointError,
    newest_first,
    read_checkpoint,
    write_checkpoint,
)

STEP = 64  # images between checkpoints


def new(images_seen: int) -> Checkpoint:
    """Returns one whose content tells which it is."""
    tensors = {"weight": torch.full((50, 7), float(images_seen)), "step": torch.tensor(7.0)}
    return Checkpoint(tensors, {"images_seen": images_seen, "best": None})


def in_a_child(work: Callable[[], object]) -> int:
    """Returns the wait status of a process that does it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def speaks_to_the_system(function: Any) -> bool:
    """Returns whether a C function can make system calls."""
    owner = type(getattr(function, "__self__", None)).__module__
    return getattr(function, "__module__", None) in ("posix", "_io", "io") or owner == "_io"


def killed_at(
    number: int, work: Callable[[], object], counts: Callable[[Any], bool] = speaks_to_the_system
) -> None:
    """Kills a process that does it before or after its so many-th call of what speaks to the
    system: each such call is in a function of `posix`, or of a file's methods in `_io`.
    """
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        if event in ("c_call", "c_return") and counts(argument):
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    sys.setprofile(profile)
    work()
    sys.setprofile(None)


def newest_good(folder: Path) -> int:
    """Returns images seen of the newest checkpoint; every one that is there has to be whole."""
    found = []
    for path in newest_first(folder):
        one = read_checkpoint(path)
        assert bool((one.tensors["weight"] == one.images_seen).all())
        found.append(one.images_seen)
    return found[0]


def prepared(folder: Path) -> None:
    """Writes two checkpoints, the older of which the next write removes."""
    for path in folder.iterdir():
        path.unlink()
    for images_seen in (STEP, 2 * STEP):
        write_checkpoint(folder, new(images_seen))


def kill_everywhere(folder: Path) -> dict[str, Any]:
    """Kills at each point of a write, until one is not reached any more."""
    newest: list[int] = []
    while True:
        prepared(folder)
        status = in_a_child(
            lambda: killed_at(len(newest), lambda: write_checkpoint(folder, new(3 * STEP)))
        )
        newest.append(newest_good(folder))
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        write_checkpoint(folder, new(4 * STEP))  # the next of the same run
        assert newest_good(folder) == 4 * STEP
        assert not list(folder.glob(".*"))
    return {"newest": newest}


def fill_everywhere(folder: Path) -> dict[str, Any]:
    """Returns the file may be so large and no larger, up to what it needs."""
    prepared(folder)
    size = newest_first(folder)[0].stat().st_size
    refused = 0
    for limit in (*range(0, size, 41), size - 1, size):
        prepared(folder)

        def limited(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            write_checkpoint(folder, new(3 * STEP))

        status = in_a_child(limited)
        assert os.WIFEXITED(status)
        failed = os.WEXITSTATUS(status) == 1
        refused += failed
        assert newest_good(folder) == (2 if failed else 3) * STEP
        assert not list(folder.glob(".*"))  # nothing takes the room that there is not
    return {"refused": refused, "written": limit == size and not failed}


def fill_the_disk(folder: Path) -> dict[str, Any]:
    """Writes until the file system of the folder is full."""
    images_seen, written = 2 * STEP, 0
    prepared(folder)
    ballast = folder.parent / "ballast"
    while True:
        try:
            write_checkpoint(folder, new(images_seen + STEP))
        except OSError as error:
            assert newest_good(folder) == images_seen
            return {"written": written, "error": error.strerror}
        images_seen, written = images_seen + STEP, written + 1
        with ballast.open("ab") as stream, open("/dev/zero", "rb") as zeros:
            try:
                stream.write(zeros.read(1500))
            except OSError:
                continue


def plant_a_write_in_place() -> None:
    """Plants a mistake that has to be found: the file is written where it will be."""

    def in_place(path: Path, content: bytes) -> None:
        with path.open("wb", buffering=0) as stream:
            stream.write(content[: len(content) // 2])
            stream.write(content[len(content) // 2 :])

    checkpoint.write_atomically = in_place


def tried(way: str, folder: Path) -> dict[str, Any]:
    """Returns what was found this way, in a process that a planted mistake ends with."""
    ways = {"kill": kill_everywhere, "fill": fill_everywhere, "disk": fill_the_disk}
    kind, _, planted = way.partition("-")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if planted:
            plant_a_write_in_place()
        try:
            result = ways[kind](folder)
        except (CheckpointError, AssertionError) as error:
            result = {"lost": f"{type(error).__name__}: {error}"}
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as stream:
        found: dict[str, Any] = json.loads(stream.read())
    os.waitpid(child, 0)
    return found


def main(place: Path, ways: list[str]) -> None:
    """Prints what was found; what says that a checkpoint was lost says so as `lost`."""
    found = {}
    for way in ways:
        (place / way).mkdir()
        found[way] = tried(way, place / way)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
