"""One budget of bytes for what grows with requests: bodies, pixels, files, answers not yet taken.

    a request's worst case -> reserve -> work -> resize to what is left -> release, when it is sent

Nothing waits for memory: what does not fit is refused at once, and a client alone cannot take all.
"""

from collections import Counter
from typing import Self

from app.monitoring.request_context import client_in_progress, current
from app.responses.problems import InvalidRequest, QueueFull

SHARE = 0.5  # at most, of the budget, for all requests of a client but its first
MIB = 2**20


class MemoryBudget:
    """Bytes that all requests together may take. Lives on the event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._held: Counter[object] = Counter()  # by each client and each request

    def reserve(self, size: int) -> "Reservation":
        """Reserves `size` bytes for the request in progress.

        Raises:
            InvalidRequest: it could never have so many.
            QueueFull: others have them, or its client has its share.
        """
        reservation = Reservation(self, client_in_progress(), current.get() or object())
        reservation.resize(size)
        return reservation

    def _change(self, client: str | bytes, request: object, more: int) -> None:
        size = self._held[request] + more  # a request may have several reservations
        others = self._held[client] + more - size
        if more > 0:
            if size > self.limit:
                raise InvalidRequest(
                    f"it would take about {-(-size // MIB)} MiB of memory; allowed: up to "
                    f"{self.limit // MIB} MiB; fewer pixels or another format take less"
                )
            if self.taken + more > self.limit:
                raise QueueFull(
                    f"all requests together may take {self.limit // MIB} MiB of memory, and others "
                    "have taken them",
                    reason="memory-full",
                )
            if others and others + size > SHARE * self.limit:
                raise QueueFull(
                    f"one client may take {SHARE * self.limit / MIB:.0f} MiB of memory at a time, "
                    "and has taken them",
                    reason="memory-share",
                )
        self.taken += more
        for holder in (client, request):
            self._held[holder] += more
            if self._held[holder] <= 0:
                del self._held[holder]


class Reservation:
    """A request's part of the budget, given back at the end of a `with` block."""

    def __init__(self, budget: MemoryBudget, client: str | bytes, request: object) -> None:
        self._budget, self._client, self._request = budget, client, request
        self.size = 0

    def resize(self, size: int) -> None:
        """Takes more, or gives back what is no longer needed.

        Raises:
            Problem: see `MemoryBudget.reserve`; what was taken stays.
        """
        self._budget._change(self._client, self._request, size - self.size)
        self.size = size

    def release(self) -> None:
        """Gives all of it back; a second time nothing happens."""
        self.resize(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
