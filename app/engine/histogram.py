"""Histograms that cost one list element a value: counted on the hot path, read on demand."""

from bisect import bisect_left

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
PICTURES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class Tally:
    """How many values were up to each bound, and their sum. One thread writes."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Adds one more value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Returns each bound, and how many values were at most that, as Prometheus has it."""
        found, sofar = [], 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            sofar += count
            found.append(("+Inf" if bound == float("inf") else repr(float(bound)), float(sofar)))
        return found
