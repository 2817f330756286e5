"""Good, bad and aborted requests by the million: `python -m benchmarks.soak`.

    requests -> a service of its own -> memory after a warm-up and at the end, gauges at the end

The network is left out, unless --network: it is the same a million times. Fails where memory grows,
a gauge is not back at 0, or an answer is not what was asked for. With `--leak` the service keeps a
kilobyte of each request: then it has to fail.
"""

import argparse
import asyncio
import itertools
import random
import re
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.servers import HOST, OURS, Kind, Server, running

WARM_UP = 0.05  # share of all requests
GROWTH, GROWTH_MIB = 0.01, 5.0  # allowed after it: the larger of both
PARTS = 5  # after each of which memory is told
CONNECTIONS = 32
ABORTED = -1
LEAK = """
import sys
import app.main
from benchmarks.ours_noop import main
tell, kept = app.main.Service._tell, []
def leak(self, *arguments):
    kept.append(bytes(1024))
    tell(self, *arguments)
app.main.Service._tell = leak
sys.exit(main())
"""
LEAKING = replace(OURS, name="leaking", noop_command=("-c", LEAK))


@dataclass(frozen=True)
class Ask:
    """One request, and the status that it is answered with."""

    request: bytes
    status: int


def get(path: str, status: int = 200) -> Ask:
    return Ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), status)


def post(body: str, status: int = 200) -> Ask:
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return Ask(f"POST /generate HTTP/1.1\r\nHost: x\r\n{head}\r\n{body}".encode(), status)


def asks(count: int) -> Iterator[Ask]:
    """Yields what is asked, in the same order each time."""
    source = random.Random(0)
    for number in range(count):
        kinds = (
            get(f"/generate?seed={number}"),
            get(f"/generate?seed={number}&class=x", 422),
            get(f"/generate?seed=user-{number}"),
            get(f"/generate?seed={number % 100}"),
            get(f"/generate.webp?seed={number}&n=2&scale=2"),
            get(f"/generate?seed=-{number + 1}", 422),
            get(f"/path/{number}", 404),
            post(f'{{"seed": {number}}}'),
            post(f'{{"seed": {number}', 400),
            post(f'{{"seeds": "{number}-{number + 2}", "format": "npy"}}'),
            replace(get(f"/generate?seed={number}&n=5"), status=ABORTED),
            Ask(b"GET /\x00\r\n\r\n", 400),
        )
        weights = (40, 5, 10, 10, 3, 5, 5, 5, 5, 2, 8, 2)
        yield source.choices(kinds, weights)[0]


class Client:
    """One connection after another, each kept as long as it is good for more."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, ask: Ask) -> int:
        """Returns the status of the answer, all of which is read."""
        if self._line is None:
            self._line = await asyncio.open_connection(HOST, self._port)
        reader, writer = self._line
        writer.write(ask.request)
        if ask.status == ABORTED:
            await asyncio.sleep(0)
            self.close()
            return ABORTED
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        if length:
            await reader.readexactly(int(length[1]))
        else:
            await reader.readuntil(b"\r\n0\r\n\r\n")
        if b"connection: close" in head:
            self.close()
        return int(head[9:12])

    def close(self) -> None:
        """Gives the connection up."""
        if self._line is not None:
            self._line[1].transport.abort()
            self._line = None


async def ask_all(port: int, wanted: Iterator[Ask]) -> Counter[str]:
    """Counts how many were answered how; what was not as it should be by its own name."""
    counts: Counter[str] = Counter()

    async def work() -> None:
        client = Client(port)
        for ask in wanted:
            try:
                status = await asyncio.wait_for(client.ask(ask), 60)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                counts[f"wrong: {type(error).__name__} to {ask.request[:60]!r}"] += 1
                client.close()
                continue
            right = status in (ask.status, 429)
            wrong = f"wrong: {status} to {ask.request[:60]!r}"
            counts[("aborted" if status == ABORTED else str(status)) if right else wrong] += 1
        client.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return counts


def gauges(server: Server) -> dict[str, float]:
    """Returns what has to be 0 when nobody asks but us."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    names = ("ganserve_requests_in_flight", "ganserve_pictures_pending")
    found = {
        name: float(re.findall(rf"^{name}\S* (\S+)$", text, re.MULTILINE)[0]) for name in names
    }
    found["ganserve_requests_in_flight"] -= 1
    return found


def soak(kind: Kind, count: int, noop: bool = True) -> list[str]:
    """Asks so many times; returns what is wrong with the server, and prints what it did."""
    wanted = asks(count)
    with running(kind, noop=noop) as server:
        first = int(WARM_UP * count)
        counts = asyncio.run(ask_all(server.port, itertools.islice(wanted, first)))
        before = server.usage().memory / 2**20
        print(f"after {first} requests: {before:.1f} MiB", flush=True)
        for part in range(PARTS):
            more = (count - first) * (part + 1) // PARTS - (count - first) * part // PARTS
            counts += asyncio.run(ask_all(server.port, itertools.islice(wanted, more)))
            after = server.usage().memory / 2**20
            print(f"after {counts.total()}: {after:.1f} MiB, {after - before:+.1f}", flush=True)
        left = gauges(server)
    print(", ".join(f"{name}: {number}" for name, number in sorted(counts.items())))
    wrong = [f"{name} ({number} times)" for name, number in counts.items() if "wrong" in name]
    if after - before > max(GROWTH_MIB, GROWTH * before):
        wrong.append(f"memory has grown from {before:.1f} to {after:.1f} MiB")
    return wrong + [f"{name} is {value:g}" for name, value in left.items() if value]


def main() -> int:
    """Prints what is wrong; returns 1 if anything is."""
    parser = argparse.ArgumentParser(description="Does anything stay behind?")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--network", action="store_true", help="with the generator that ships")
    parser.add_argument("--leak", action="store_true", help="a service that has to fail")
    options = parser.parse_args()
    wrong = soak(LEAKING if options.leak else OURS, options.requests, not options.network)
    print("\n".join(wrong) or "nothing is wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
