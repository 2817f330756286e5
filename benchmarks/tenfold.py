"""Ten times as much as the service can do, by the clock: `python -m benchmarks.tenfold`.

    closed loop -> its peak; open loop at 10 x peak; then 0.8 x peak, second by second, until it is
    as if nothing had been

Ends with status 1 where what came of it breaks the promise.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.chaos.clients import load, picture
from benchmarks.chaos.cluster import Process, Replica, end_in_order, started
from benchmarks.chaos.trials import verdict
from benchmarks.open_loop import offer
from benchmarks.servers import OURS

FACTOR = 10.0
LATER = 0.8  # share of the peak, when it is over
LATER_SECONDS = 8
MAX_WAIT = 1.0  # seconds: the bound of the queue
SETTINGS = {"GAN_MAX_WAIT": f"{MAX_WAIT:g}", "GAN_MAX_BATCH": "16", "GAN_CACHE_MIB": "0"}
CLIENTS = 32
FRESH = 2**40  # seeds: hardly one is asked for twice


@dataclass(frozen=True, kw_only=True)
class Overload:
    """What came of it; rates are per second."""

    peak: float  # pictures
    offered: float
    goodput: float
    refused: float
    other: int  # neither a picture nor a refusal
    refused_p50_ms: float
    refused_p99_ms: float
    accepted_p99: float  # seconds
    recovered: int | None  # seconds after the end, until 95 % are answered again
    grown_mb: float  # memory at the end, less that before
    late_ms: float  # 99th percentile of the load itself: what it could not offer in time

    def losses(self) -> list[str]:
        """Returns what breaks the promise."""
        broken = {
            f"goodput {self.goodput / self.peak:.0%} of the peak": self.goodput < 0.9 * self.peak,
            "nothing was refused, so nothing is shown": not self.refused,
            f"{self.other} neither answered nor refused": self.other > 0,
            f"half of the refusals took {self.refused_p50_ms:.0f} ms": self.refused_p50_ms > 10,
            f"1 % of the refusals took {self.refused_p99_ms:.0f} ms": self.refused_p99_ms > 100,
            f"1 % of the pictures took {self.accepted_p99:.1f} s": self.accepted_p99 > 2 * MAX_WAIT,
            "not recovered within 5 s": self.recovered is None or self.recovered > 5,
            f"{self.grown_mb:.0f} MB more memory": self.grown_mb > 10,
        }
        return [what for what, is_broken in broken.items() if is_broken]

    def text(self) -> str:
        """Returns one line."""
        return (
            f"peak {self.peak:.0f}/s; offered {self.offered:.0f}/s: {self.goodput:.0f} pictures/s "
            f"({self.goodput / self.peak:.0%}), p99 {self.accepted_p99:.2f} s; {self.refused:.0f} "
            f"refused/s, p50 {self.refused_p50_ms:.1f} ms, p99 {self.refused_p99_ms:.1f} ms; "
            f"{self.other} others; recovered after {self.recovered} s; memory "
            f"{self.grown_mb:+.1f} MB; load late by {self.late_ms:.1f} ms (p99)"
        )


async def overload(
    replica: Replica, seconds: float, later_seconds: int = LATER_SECONDS
) -> Overload:
    """Measures one ready replica: its peak, the overload, and how it is later."""
    async with load(replica.port, clients=CLIENTS, seeds=FRESH, ask=picture) as running:
        await asyncio.sleep(1)  # to warm up
        start, before = time.monotonic(), running.tally.answered
        await asyncio.sleep(seconds)
        peak = (running.tally.answered - before) / (time.monotonic() - start)
    memory = replica.metric("process_resident_memory_bytes")

    async def later(second: int) -> float:
        await asyncio.sleep(seconds + second)
        tally, sent = await offer(OURS, replica.port, LATER * peak, 1.0)
        return len(tally.pictures) / max(1, sent)

    (tally, sent), shares = await asyncio.gather(
        offer(OURS, replica.port, FACTOR * peak, seconds),
        asyncio.gather(*map(later, range(later_seconds))),
    )
    fine = [second for second, share in enumerate(shares) if share >= 0.95]
    return Overload(
        peak=peak,
        offered=sent / seconds,
        goodput=tally.in_window / seconds,
        refused=len(tally.refusals) / seconds,
        other=tally.other.total(),
        refused_p50_ms=_percentile(tally.refusals, 50) * 1e3,
        refused_p99_ms=_percentile(tally.refusals, 99) * 1e3,
        accepted_p99=_percentile(tally.pictures, 99),
        recovered=fine[0] if fine else None,
        grown_mb=(replica.metric("process_resident_memory_bytes") - memory) / 1e6,
        late_ms=_percentile(tally.late, 99) * 1e3,
    )


def _percentile(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else 0.0


def main() -> int:
    """Prints what came of it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tenfold", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase")
    parser.add_argument(
        "--module",
        default="benchmarks.delayed",
        help="the service: benchmarks.delayed (default), or app, whose CPU the load competes for",
    )
    arguments = parser.parse_args()
    end_in_order()
    with tempfile.TemporaryDirectory() as folder:
        replica = Process(SETTINGS, Path(folder) / "log", arguments.module)
        with started([replica]):
            found = asyncio.run(overload(replica, arguments.seconds))
    print(found.text())
    return verdict(found.losses())


if __name__ == "__main__":
    sys.exit(main())
