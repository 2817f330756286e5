"""Says how far a long task is, in plain lines that read the same on a terminal and in a log.

A task of less than two seconds says nothing.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Say = Callable[[str], None]
SILENT_SECONDS = 2.0  # before the first line
LINE_SECONDS = 15.0  # between two lines


class Progress:
    """Counts the parts of one task that are done, and forecasts its end."""

    def __init__(
        self, task: str, total: int, say: Say, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Starts the clock: `task` is what the lines begin with, `total` the number of parts, and
        `clock` returns seconds.
        """
        self._task, self._total, self._say, self._clock = task, total, say, clock
        self._start = clock()
        self._next = self._start + SILENT_SECONDS
        self._done = 0

    def done(self, count: int = 1) -> None:
        """Counts parts that are done; says how long the others will take, if it is time to."""
        self._done += count
        now = self._clock()
        if now < self._next or not 0 < self._done < self._total:
            return
        self._next = now + LINE_SECONDS
        left = (now - self._start) * (self._total - self._done) / self._done
        self._say(f"{self._task}: {self._done / self._total:.0%}, {duration(left)} left")


@contextmanager
def counting(
    task: str, total: int, unit: str, *, done: int = 0, hidden: bool = False
) -> Iterator[Callable[[int], object]]:
    """Yields what counts the parts of a task that are done, of which `done` are before it begins:
    on a terminal as a bar of such units, else in lines on stderr.
    """
    if sys.stderr.isatty() and not hidden:
        with tqdm(total=total, initial=done, unit=f" {unit}") as bar:
            yield bar.update
    else:
        yield Progress(task, total - done, silent if hidden else to_stderr).done


def to_stderr(text: str) -> None:
    """Prints a line on stderr."""
    print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Formats a time to wait, rounded up: "40 s", "12 min", "3 h 05 min"."""
    if seconds <= 90:
        return f"{max(1, -int(-seconds // 1))} s"
    minutes = -int(-seconds // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def silent(_: str) -> None:
    """Says nothing."""
