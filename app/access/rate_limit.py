"""Rate limits: a token bucket for each key, else for each client address.

A bucket holds `burst` requests and is filled at `rate`. All that is kept of it is the moment at
which it will be full: one number a client, in whole nanoseconds, so that nothing is rounded away.
At most MAX_BUCKETS are kept, some 6 MB; beyond that the one admitted longest ago is forgotten, and
so counts as full. Buckets belong to one process: behind several, a client has as many.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction

MAX_BUCKETS = 32_768
SECOND = 10**9  # nanoseconds


class RateLimit:
    """`rate` requests a second, and `burst` at once."""

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._interval = round(SECOND / Fraction(rate))  # nanoseconds a request
        self._allowed = (burst - 1) * self._interval
        self._clock = clock
        self._full_at: OrderedDict[str | bytes, int] = OrderedDict()

    def wait(self, client: str | bytes) -> int:
        """Takes a request from the bucket and returns 0, or the whole seconds until it has one."""
        now = self._clock()
        full_at = max(self._full_at.get(client, now), now)
        if (early := full_at - now - self._allowed) > 0:
            return -(-early // SECOND)
        self._full_at[client] = full_at + self._interval
        self._full_at.move_to_end(client)
        if len(self._full_at) > MAX_BUCKETS:
            self._full_at.popitem(last=False)
        return 0
