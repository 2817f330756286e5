"""A seed's bytes, taken every way we can think of: `python -m benchmarks.determinism`.

    10,000 seeds x (batch sizes, threads, clients, two processes, a restart)  ->  one digest each

Prints a line a way; exits 1 if any seed's file differs from the first way's.
"""

import argparse
import asyncio
import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers import OURS, Server, running
from model.encoding.png import encode_pngs
from model.generator_file import read_generator_file
from model.generators import ZOO
from model.recipes import recipe_text
from model.samplers.sampler import load_sampler

GENERATOR = ZOO / "mnist"
LOG = Path("runs/benchmarks/logs/determinism.log")
BATCHES = (1, 2, 3, 5, 8, 13, 32, 64, 100, 256)
CLIENTS = (1, 16, 64)

Digests = list[bytes]


def by_batches(seeds: int, size: int, threads: int = 1) -> Digests:
    """Files of seeds 0 to `seeds` - 1, drawn without a server in batches of one size."""
    file = read_generator_file(GENERATOR)
    sampler = load_sampler(file, "cpu", threads=threads)
    id_ = file.config.id
    found: Digests = []
    for first in range(0, seeds, size):
        part = range(first, min(first + size, seeds))
        notes = [recipe_text({"model": id_, "seed": seed}) for seed in part]
        files = encode_pngs(sampler(file.config.rows(part)), notes)
        found += [hashlib.sha256(content).digest() for content in files]
    return found


async def by_clients(server: Server, seeds: int, clients: int) -> Digests:
    """Digests the same over HTTP, by so many clients at once, each on its own connection."""
    found: Digests = [b""] * seeds
    waiting: Iterator[int] = iter(range(seeds))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for seed in waiting:
            writer.write(b"GET /generate?seed=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % seed)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            (length,) = (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            found[seed] = hashlib.sha256(await reader.readexactly(length)).digest()
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return found


@contextmanager
def fresh_server() -> Iterator[Server]:
    """Yields our service in a process of its own."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with running(OURS, noop=False, log=LOG) as server:
        yield server


def main() -> int:
    """Takes the seeds every way; returns the exit status."""
    parser = argparse.ArgumentParser(description="Does a seed give the same bytes every way?")
    parser.add_argument("--seeds", type=int, default=10_000)
    seeds = parser.parse_args().seeds
    wanted = by_batches(seeds, 1)
    failures = 0

    def report(way: str, found: Digests) -> None:
        nonlocal failures
        different = sum(a != b for a, b in zip(found, wanted, strict=True))
        failures += different
        print(f"{way}: {seeds - different} of {seeds} seeds equal", flush=True)

    print(f"{len(set(wanted))} different pictures of {seeds} seeds", flush=True)
    for size in BATCHES[1:]:
        report(f"batches of {size}", by_batches(seeds, size))
    report("batches of 64, 2 threads", by_batches(seeds, 64, threads=2))
    with fresh_server() as one, fresh_server() as other:
        for clients in CLIENTS:
            report(f"HTTP, {clients} clients", asyncio.run(by_clients(one, seeds, clients)))
        report("HTTP, another process", asyncio.run(by_clients(other, seeds, 16)))
    with fresh_server() as again:
        report("HTTP, after a restart", asyncio.run(by_clients(again, seeds, 16)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
