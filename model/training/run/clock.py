"""How long a run has been training, over all its starts: from a reading of seconds to when it is
over, and when a snapshot is due.

The time counts from a start's first step to its end, with all measuring and saving; what comes
before, reading pictures and making the network that measures, does not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from model.training.presets import Schedule

SNAPSHOT_SHARE = 0.1  # share of the time that snapshots by the clock may take


class Clock:
    """Counts the time of a run, from the construction of the clock on."""

    def __init__(self, schedule: Schedule, read: Callable[[], float], before: float) -> None:
        """Starts the clock: `read` returns seconds; `before` are those of earlier starts."""
        self._schedule, self._read, self.before = schedule, read, before
        self._start = self._snapshot_end = read()
        self._snapshot_took = 0.0

    def here(self) -> float:
        """Returns the seconds since this start."""
        return self._read() - self._start

    def spent(self) -> float:
        """Returns the seconds of all starts."""
        return self.before + self.here()

    def left(self) -> float:
        """Returns the seconds that are left of the schedule's hours."""
        return (self._schedule.hours or 0.0) * 3600 - self.spent()

    def is_over(self) -> bool:
        """Returns whether the hours are over; never where there are none."""
        return self._schedule.hours is not None and self.left() <= 0

    def has_passed(self, share: float) -> bool:
        """Returns whether this share of the hours is spent; never where there are none."""
        hours = self._schedule.hours
        return hours is not None and self.spent() >= share * hours * 3600

    def is_snapshot_due(self) -> bool:
        """Returns whether `snapshot_seconds` have passed since the last one, or since this start;
        more of them after one that took long.
        """
        between = self._schedule.snapshot_seconds
        if between is None:
            return False
        since = self._read() - self._snapshot_end
        return since >= max(between, self._snapshot_took * (1 / SNAPSHOT_SHARE - 1))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Wraps a snapshot, and records how long it takes."""
        begun = self._read()
        yield
        self._snapshot_end = self._read()
        self._snapshot_took = self._snapshot_end - begun
