"""The largest answers that are allowed, for many clients at once: `python -m benchmarks.largest`.

    200 clients, each from an address of its own -> the largest request of each road, endlessly
    half of them never read what comes -> memory at its highest, statuses, /livez meanwhile
    all go away -> seconds until nothing is reserved any more

Ends with status 1 where the service takes more than --mib, fails, or holds memory for nobody.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from benchmarks.chaos.clients import HOST
from benchmarks.chaos.cluster import Process, Replica, end_in_order, started, wait_for
from benchmarks.chaos.trials import verdict

ALLOWED = {"200", "429"}
RELEASE_SECONDS = 60.0
LIVEZ_P99, LIVEZ_WORST = 0.05, 0.25  # seconds
SETTINGS = {"GAN_STALLED_SECONDS": "15", "FORWARDED_ALLOW_IPS": "*"}
SHEETS = ("png", "webp", "avif", "jpg", "npy")
MOVING = ("webp", "apng", "gif", "png", "zip", "npy")
RECIPES = [{"mix": ",".join(["1"] * 20)}] * 2000
BODIES = [
    {"recipes": RECIPES, "format": "zip"},
    {"seeds": "1-10000", "format": "json", "scale": 4},
    {"seeds": "1-10000", "format": "multipart"},
    {"seeds": [*range(100_000, 110_000)], "format": "npy", "scale": 16},
]


def requests() -> list[bytes]:
    """Returns the largest request of each road, without its blank line."""
    paths = [f"/generate.{name}?seed=1&n=256&columns=16&scale=4" for name in SHEETS]
    paths += [f"/generate.{name}?seed=1&n=16&scale=16" for name in SHEETS]
    paths += [f"/interpolate.{name}?seeds=1,2,3&frames=240&scale=4" for name in MOVING]
    found = [f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths]
    for body in BODIES:
        content = json.dumps(body).encode()
        head = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        found.append(f"POST /generate HTTP/1.1\r\nHost: x\r\n{head}".encode() + content)
    return found


@dataclass
class Found:
    """What was seen."""

    statuses: Counter[str] = field(default_factory=Counter)
    mib: float = 0.0  # resident, at its highest
    livez: list[float] = field(default_factory=list)  # seconds
    release_seconds: float = 0.0

    def losses(self, mib: float) -> list[str]:
        """What breaks the promise."""
        others = {status: n for status, n in self.statuses.items() if status not in ALLOWED}
        broken = {
            f"{self.mib:.0f} MiB": self.mib > mib,
            f"other answers: {others}": bool(others),
            "nothing was answered": not self.statuses["200"],
            "nothing was refused, so nothing is shown": not self.statuses["429"],
            f"/livez after {max(self.livez):.3f} s": max(self.livez) > LIVEZ_WORST,
            f"/livez, p99: {np.quantile(self.livez, 0.99):.3f} s": (
                np.quantile(self.livez, 0.99) > LIVEZ_P99
            ),
            f"memory reserved for {self.release_seconds:.0f} s after": (
                self.release_seconds > RELEASE_SECONDS
            ),
        }
        return [what for what, is_broken in broken.items() if is_broken]

    def text(self) -> str:
        """One line."""
        p50, p99 = np.quantile(self.livez, (0.5, 0.99))
        return (
            f"{dict(self.statuses)}; {self.mib:.0f} MiB at most; /livez p50 {p50 * 1000:.1f}, p99 "
            f"{p99 * 1000:.1f}, worst {max(self.livez) * 1000:.0f} ms; all released after "
            f"{self.release_seconds:.0f} s"
        )


async def _client(port: int, number: int, found: Found, reads: bool) -> None:
    draw, asks = random.Random(number), requests()
    address = f"X-Forwarded-For: 198.51.100.{number % 250}\r\n".encode()
    while True:
        line, _, rest = draw.choice(asks).partition(b"\r\n")
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(HOST, port, limit=2**16)
            try:
                writer.write(line + b"\r\nConnection: close\r\n" + address + rest)
                head = await reader.readuntil(b"\r\n")
                found.statuses[head.split()[1].decode()] += 1
                if not reads:
                    await asyncio.sleep(20)
                while reads and await reader.read(2**16):
                    pass
            finally:
                writer.transport.abort()
        await asyncio.sleep(draw.random())


async def _watch(replica: Replica, process: psutil.Process, found: Found) -> None:
    while True:
        start = time.monotonic()
        reader, writer = await asyncio.open_connection(HOST, replica.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await reader.read()
        found.livez.append(time.monotonic() - start)
        writer.transport.abort()
        found.mib = max(found.mib, process.memory_info().rss / 2**20)
        await asyncio.sleep(0.02)


async def largest(replica: Process, clients: int, seconds: float) -> Found:
    """Asks one ready replica for so long."""
    found = Found()
    tasks = [
        asyncio.create_task(_client(replica.port, n, found, n % 2 == 0)) for n in range(clients)
    ]
    tasks.append(asyncio.create_task(_watch(replica, psutil.Process(replica.pid), found)))
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    series = "ganserve_memory_reserved_bytes"
    found.release_seconds = await asyncio.to_thread(
        wait_for, lambda: replica.metric(series) == 0, "memory to be released"
    )
    return found


def main() -> int:
    """Runs the trial; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--mib", type=float, default=1024.0, help="that the service may take")
    options = parser.parse_args()
    end_in_order()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with started([Process(SETTINGS, log)]) as (replica,):
            assert isinstance(replica, Process)
            found = asyncio.run(largest(replica, options.clients, options.seconds))
        print(found.text())
        tracebacks = log.read_text().count("Traceback")
        losses = found.losses(options.mib)
        return verdict(losses + ([f"{tracebacks} tracebacks"] if tracebacks else []))


if __name__ == "__main__":
    sys.exit(main())
