"""Slow connections beside good ones: `python -m benchmarks.slow`.

    a closed loop of good clients, in rounds: alone, then beside 400 connections that send nothing,
    or a byte now and then -> answers per second of both, and what the slow ones got

Ends with status 1 where good clients notice the slow ones.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.chaos.clients import HOST, Load, load, picture
from benchmarks.chaos.cluster import Process, Replica, end_in_order, started
from benchmarks.chaos.trials import verdict

LEAST_SHARE = 0.95  # share of what is answered without them
MOST_MB = 5.0
CLIENTS = 16
PAUSE_SECONDS = 1.0  # between a slow connection's bytes
RECEIPT_SECONDS = 4.0
SETTINGS = {
    "GAN_RECEIPT_SECONDS": f"{RECEIPT_SECONDS:g}",
    "GAN_GENERATOR": "mnist",
    "GAN_CACHE_MIB": "0",  # it would grow
}
SEEDS = 2**40  # hardly one is asked for twice
# requests that never end: in the line, in the head, in the body; and one that never begins
LINE = b"GET /generate?seed=1 HTTP/1.1\r\n"
KIND = b"Content-Type: application/json\r\n"
BODY = b"POST /generate HTTP/1.1\r\nHost: x\r\n" + KIND + b"Content-Length: 500\r\n\r\n"
BEGINNINGS = (b"GET /generate?seed=", LINE + b"Host: x\r\nX-Slow: ", BODY + b'{"seed": ', b"")


@dataclass
class Slow:
    """What became of the slow connections."""

    opened: int = 0
    answers: Counter[str] = field(default_factory=Counter)  # by status, or how else they ended
    connected: int = 0  # now


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What came of it."""

    alone: tuple[float, ...]  # answers per second of each round
    beside: tuple[float, ...]
    failed: Counter[str]  # answers to the good clients, by what went wrong
    slow: Slow
    grown_mb: float  # memory, while they were there

    @property
    def share(self) -> float:
        """Returns the share of answers left beside slow connections, the median over pairs."""
        return float(np.median(np.divide(self.beside, self.alone)))

    def losses(self) -> list[str]:
        """Returns what breaks the promise."""
        found = [f"{count} x {what}" for what, count in self.failed.items()]
        found += [f"slow: {n} x {what}" for what, n in self.slow.answers.items() if what != "408"]
        broken = {
            f"goodput {self.share:.1%} of that without them": self.share < LEAST_SHARE,
            f"{self.grown_mb:.1f} MB more memory": self.grown_mb > MOST_MB,
            "no slow connection was ended, so nothing is shown": not self.slow.answers,
        }
        return found + [what for what, is_broken in broken.items() if is_broken]

    def text(self) -> str:
        """Returns one line."""
        pairs = ", ".join(f"{b:.0f}/{a:.0f}" for a, b in zip(self.alone, self.beside, strict=True))
        return (
            f"answers per second beside them and alone: {pairs}; goodput {self.share:.1%}; "
            f"{self.slow.opened} slow connections, ended by {dict(self.slow.answers)}; memory "
            f"{self.grown_mb:+.1f} MB"
        )


@asynccontextmanager
async def slow_connections(port: int, count: int, slow: Slow) -> AsyncIterator[None]:
    """Keeps so many at all times while the block runs, which begins when all are there."""
    tasks = [asyncio.create_task(_stay(port, number, slow)) for number in range(count)]
    try:
        while slow.connected < count:
            await asyncio.sleep(0.05)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _stay(port: int, number: int, slow: Slow) -> None:
    """Opens one slow connection after another."""
    while True:
        reader, writer = await asyncio.open_connection(HOST, port)
        slow.opened += 1
        slow.connected += 1
        dripping = asyncio.create_task(_drip(writer, number))
        ended = "closed without an answer"
        try:
            with contextlib.suppress(ConnectionResetError):
                head = await reader.read(12)
                ended = head[9:12].decode() or ended
        finally:
            slow.connected -= 1
            dripping.cancel()
            writer.transport.abort()
        slow.answers[ended] += 1


async def _drip(writer: asyncio.StreamWriter, number: int) -> None:
    beginning = BEGINNINGS[number % len(BEGINNINGS)]
    writer.write(beginning)
    await asyncio.sleep(PAUSE_SECONDS * (number % 100) / 100)  # not all at once
    while beginning and not writer.is_closing():
        writer.write(b"1")
        await asyncio.sleep(PAUSE_SECONDS)


async def beside(replica: Replica, count: int, pairs: int, seconds: float) -> Beside:
    """Measures one ready replica, in so many pairs of rounds."""
    slow = Slow()
    alone, with_them = [], []
    async with load(replica.port, clients=CLIENTS, seeds=SEEDS, ask=picture) as running:
        await asyncio.sleep(1)  # to warm up
        async with slow_connections(replica.port, count, Slow()):
            await asyncio.sleep(1)  # room for so many connections is kept once it was needed
        memory = replica.metric("process_resident_memory_bytes")
        for _ in range(pairs):
            alone.append(await _rate(running, seconds))
            async with slow_connections(replica.port, count, slow):
                with_them.append(await _rate(running, seconds))
                grown = replica.metric("process_resident_memory_bytes") - memory
    return Beside(
        alone=tuple(alone),
        beside=tuple(with_them),
        failed=running.tally.failed,
        slow=slow,
        grown_mb=grown / 1e6,
    )


async def _rate(running: Load, seconds: float) -> float:
    start, before = time.monotonic(), running.tally.answered
    await asyncio.sleep(seconds)
    return (running.tally.answered - before) / (time.monotonic() - start)


def main() -> int:
    """Prints what came of it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow", description=__doc__)
    parser.add_argument("--connections", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=7, help="of rounds")
    parser.add_argument("--seconds", type=float, default=2 * RECEIPT_SECONDS, help="of each round")
    arguments = parser.parse_args()
    end_in_order()
    with tempfile.TemporaryDirectory() as folder:
        replica = Process(SETTINGS, Path(folder) / "log")
        with started([replica]):
            found = asyncio.run(
                beside(replica, arguments.connections, arguments.pairs, arguments.seconds)
            )
    print(found.text())
    return verdict(found.losses())


if __name__ == "__main__":
    sys.exit(main())
