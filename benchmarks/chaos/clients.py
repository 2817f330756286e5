"""Clients of a balancer that hold every answer to the law: each seed its picture, always the same.

    port, clients, seeds -> Load (running beside whatever happens) -> Tally (answers, failures)

A closed loop: each client has one connection and asks again as soon as it is answered.
"""

import asyncio
import hashlib
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httptools

HOST = "127.0.0.1"
PATIENCE_SECONDS = 20.0
SHEET = 48  # pictures
Ask = Callable[[int, int], bytes]  # a seed, and how many requests the client has sent before
PNG_BEGIN, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


@dataclass
class Tally:
    """What the clients have seen."""

    answered: int = 0  # with the right picture
    failed: Counter[str] = field(default_factory=Counter)  # by what was wrong
    slowest: float = 0.0  # seconds
    late: int = 0  # answered after more than a second
    pictures: dict[int, bytes] = field(default_factory=dict)  # digests by seed
    example: str = ""  # the first file with other bytes than before

    @property
    def asked(self) -> int:
        """Requests that have come to an end, a good or a bad one."""
        return self.answered + self.failed.total()

    def take(self, seed: int, status: int, body: bytes, seconds: float) -> None:
        """Takes one answer, and holds it to the law."""
        self.slowest = max(self.slowest, seconds)
        self.late += seconds > 1
        digest = hashlib.sha256(body).digest()
        if status != 200:
            self.failed[str(status)] += 1
        elif not (body.startswith(PNG_BEGIN) and body.endswith(PNG_END)):
            self.failed["no whole PNG"] += 1
        elif self.pictures.setdefault(seed, digest) != digest:
            self.failed["other bytes than before"] += 1
            recipe = body.partition(b"ganserve\0")[2].partition(b"}")[0] + b"}"
            example = f"asked for seed {seed}, got {recipe!r}, {len(body)} bytes"
            self.example = self.example or example
        else:
            self.answered += 1


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._begin()
        self._transport: asyncio.Transport | None = None

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body. Raises OSError where the connection breaks or nothing comes."""
        assert self._transport is not None
        if self._transport.is_closing():
            raise ConnectionResetError("closed while idle")
        self._answer = self._loop.create_future()
        self._transport.write(request)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._answer

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        answer = self._parser.get_status_code(), b"".join(self._body)
        if not self._parser.should_keep_alive():
            self.close()
        self._begin()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("broken"))


class Load:
    """Clients at work."""

    def __init__(self, port: int, seeds: int, ask: Ask) -> None:
        self.tally = Tally()
        self._port, self._seeds, self._ask = port, seeds, ask
        self._stopped = False

    async def until(self, asked: int) -> None:
        """Returns when so many requests have ended."""
        while self.tally.asked < asked:
            await asyncio.sleep(0.02)

    async def client(self, number: int) -> None:
        """Asks until the load ends."""
        draw = random.Random(number)
        connection: _Connection | None = None
        for turn in itertools.count():
            if self._stopped:
                break
            seed = draw.randrange(self._seeds)
            start = time.monotonic()
            try:
                if connection is None or not connection.open:
                    connection = await _connected(self._port)
                status, body = await connection.ask(self._ask(seed, turn))
            except OSError as error:  # timeouts are of this kind too
                self.tally.failed[str(error) or "no answer in time"] += 1
                if connection is not None:
                    connection.close()
                await asyncio.sleep(0.01)
                continue
            self.tally.take(seed, status, body, time.monotonic() - start)
        if connection is not None:
            connection.close()

    def stop(self) -> None:
        """Lets each client end after the answer that it waits for."""
        self._stopped = True


async def _connected(port: int) -> _Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(_Connection, HOST, port)
    return connection


@asynccontextmanager
async def load(port: int, *, clients: int, seeds: int, ask: Ask) -> AsyncIterator[Load]:
    """Clients that ask while the block runs, for pictures of so many seeds."""
    running = Load(port, seeds, ask)
    tasks = [asyncio.create_task(running.client(number)) for number in range(clients)]
    try:
        yield running
    finally:
        running.stop()
        await asyncio.gather(*tasks)


def picture(seed: int, turn: int) -> bytes:
    """Asks for the picture of a seed; every fourth request is a POST."""
    if turn % 4 < 3:
        return f"GET /generate?seed={seed} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    body = json.dumps({"seed": seed})
    return (
        f"POST /generate HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def sheet(seed: int, turn: int) -> bytes:
    """Asks for SHEET pictures at once."""
    return f"GET /generate?seed={seed}&n={SHEET} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
