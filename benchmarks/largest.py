"""The largest answers that are allowed, for many clients at once: `python -m benchmarks.largest`.

    one client -> the largest request of each road, one after the other -> /livez meanwhile
    200 clients, each from an address of its own -> the same, endlessly, and half of them never read
    what comes -> memory at its highest, statuses, /livez meanwhile
    all go away -> seconds until nothing is reserved any more

Ends with status 1 where one request alone delays /livez, or where the service takes more than
--mib, fails, or holds memory for nobody.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil

from benchmarks.chaos.clients import HOST
from benchmarks.chaos.cluster import Process, end_in_order, started, wait_for
from benchmarks.chaos.trials import verdict

ALLOWED = {"200", "429"}
RELEASE_SECONDS = 60.0
ALONE_SECONDS = 10.0  # then the client goes
LIVEZ_P99, LIVEZ_WORST = 0.05, 0.25  # seconds
SETTINGS = {"GAN_STALLED_SECONDS": "15", "FORWARDED_ALLOW_IPS": "*"}
SHEETS = {"png": 16, "webp": 12, "avif": 12, "jpg": 16, "npy": 16}  # format: rows of 16 pictures
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
    paths = [f"/generate.{name}?seed=1&n={16 * n}&columns=16&scale=4" for name, n in SHEETS.items()]
    paths += [f"/generate.{name}?seed=1&n={n}&columns=4&scale=16" for name, n in SHEETS.items()]
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

    def refused(self) -> list[str]:
        """Returns what neither of the two kinds of answers is that a client may get here."""
        others = {status: n for status, n in self.statuses.items() if status not in ALLOWED}
        return [f"other answers: {others}"] if others else []

    def delays(self) -> list[str]:
        """Returns where one request makes others wait."""
        p99, worst = np.quantile(self.livez, 0.99), max(self.livez)
        broken = {
            f"one request: /livez p99 {p99:.3f} s": p99 > LIVEZ_P99,
            f"one request: /livez after {worst:.3f} s": worst > LIVEZ_WORST,
        }
        return [what for what, is_broken in broken.items() if is_broken]

    def losses(self, mib: float) -> list[str]:
        """Returns what many requests take that is not theirs."""
        broken = {
            f"{self.mib:.0f} MiB": self.mib > mib,
            "nothing was answered": not self.statuses["200"],
            "nothing was refused, so nothing is shown": not self.statuses["429"],
            f"memory reserved for {self.release_seconds:.0f} s after": (
                self.release_seconds > RELEASE_SECONDS
            ),
        }
        return [what for what, is_broken in broken.items() if is_broken]

    def text(self) -> str:
        """Returns one line."""
        p50, p99 = np.quantile(self.livez, (0.5, 0.99))
        return (
            f"{dict(self.statuses)}; {self.mib:.0f} MiB at most; /livez p50 {p50 * 1000:.1f}, p99 "
            f"{p99 * 1000:.1f}, worst {max(self.livez) * 1000:.0f} ms; all released after "
            f"{self.release_seconds:.0f} s"
        )


async def _ask(port: int, request: bytes, number: int, found: Found, reads: bool) -> None:
    line, _, rest = request.partition(b"\r\n")
    address = f"X-Forwarded-For: 198.51.100.{number % 250}\r\n".encode()
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


async def _client(port: int, number: int, found: Found) -> None:
    draw, asks = random.Random(number), requests()
    while True:
        await _ask(port, draw.choice(asks), number, found, reads=number % 2 == 0)
        await asyncio.sleep(draw.random())


def _watch(port: int, pid: int, pipe: Connection) -> None:
    """Asks /livez and looks at memory until it is told to stop, in a process that does nothing
    else: in that of the clients it would measure how long they take to read.
    """
    process, mib, livez = psutil.Process(pid), 0.0, []
    while not pipe.poll(0.02):
        start = time.monotonic()
        with socket.create_connection((HOST, port)) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while connection.recv(2**16):
                pass
        livez.append(time.monotonic() - start)
        mib = max(mib, process.memory_info().rss / 2**20)
    pipe.send((mib, livez))


@contextlib.asynccontextmanager
async def _watched(replica: Process, found: Found) -> AsyncIterator[None]:
    pipe, theirs = multiprocessing.Pipe()
    watcher = multiprocessing.get_context("spawn").Process(
        target=_watch, args=(replica.port, replica.pid, theirs), daemon=True
    )
    watcher.start()
    yield
    pipe.send("stop")
    found.mib, found.livez = await asyncio.to_thread(pipe.recv)
    series = "ganserve_memory_reserved_bytes"
    found.release_seconds = await asyncio.to_thread(
        wait_for, lambda: replica.metric(series) == 0, "memory to be released"
    )


async def alone(replica: Process) -> Found:
    """Asks one ready replica for each largest request, one at a time."""
    found = Found()
    async with _watched(replica, found):
        for request in requests():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_ask(replica.port, request, 0, found, True), ALONE_SECONDS)
    return found


async def together(replica: Process, clients: int, seconds: float) -> Found:
    """Asks one ready replica for so long."""
    found = Found()
    async with _watched(replica, found):
        tasks = [asyncio.create_task(_client(replica.port, n, found)) for n in range(clients)]
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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
            one = asyncio.run(alone(replica))
            print(f"one client:  {one.text()}", flush=True)
            many = asyncio.run(together(replica, options.clients, options.seconds))
            print(f"{options.clients} clients: {many.text()}")
        losses = [*one.refused(), *one.delays(), *many.refused(), *many.losses(options.mib)]
        tracebacks = log.read_text().count("Traceback")
        return verdict(losses + ([f"{tracebacks} tracebacks"] if tracebacks else []))


if __name__ == "__main__":
    sys.exit(main())
