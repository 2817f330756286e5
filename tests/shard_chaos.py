"""`python -m tests.shard_chaos SOURCE FOLDER`: makes shards in processes of which the first is
killed before or after each of its calls that change files, goes on with another number of them, and
prints as JSON at which moments, and after which of these the files were not those of a making that
nobody broke. A process of its own, since it forks.
"""

import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from model.training.commands.arguments import ProcessRank
from model.training.commands.prepare import prepare
from tests.checkpoint_chaos import killed_at

WORLDS = ((1, 2), (2, 1))  # processes before and after
CHANGES = {"fsync", "mkdir", "replace", "tofile", "unlink", "write"}


def started(work: Callable[[], object]) -> int:
    """Returns the id of a process that does it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> int:
    """Returns the exit status of a process, negative where a signal has ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def changes_files(function: Any) -> bool:
    """Returns whether a C function changes what lies in a folder."""
    return getattr(function, "__name__", "") in CHANGES


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kill_everywhere(source: Path, folder: Path, before: int, after: int) -> dict[str, list[int]]:
    """Kills at each call of the first of `before` processes, until one is not reached any more;
    `after` processes go on.
    """

    def make(rank: int, world: int) -> None:
        ranks = ProcessRank(rank, world, rank, world)
        prepare(source, None, side=28, channels=1, shards=folder, shard_size=4, ranks=ranks)

    make(0, 1)
    wanted = files(folder)
    found: dict[str, list[int]] = {"killed": [], "broken": []}
    for number in count():
        shutil.rmtree(folder)
        broken = started(partial(killed_at, number, partial(make, 0, before), changes_files))
        others = [started(partial(make, rank, before)) for rank in range(1, before)]
        statuses = [ended(child) for child in others]
        if ended(broken) == 0:
            return found
        found["killed"].append(number)
        again = [started(partial(make, rank, after)) for rank in range(after)]
        statuses += [ended(child) for child in again]
        if any(statuses) or files(folder) != wanted:
            found["broken"].append(number)
    raise AssertionError


def main(source: Path, folder: Path) -> None:
    """Prints what was found for each of the numbers of processes."""
    print(json.dumps([kill_everywhere(source, folder, *worlds) for worlds in WORLDS]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
