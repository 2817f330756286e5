"""Open-loop load: requests start by the clock, whether or not earlier ones were answered.

    Server, rate, seconds -> Point (goodput, refusals, latencies from the planned start)

This is what many independent visitors do, and what shows how a server behaves past its limit. One
connection carries one request at a time; a new one is opened when none is free.
"""

import asyncio
import gc
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field

import httptools
import numpy as np

from benchmarks.load import wait_until_idle
from benchmarks.servers import HOST, Kind, Server

MAX_CONNECTIONS = 4096
DEADLINE_SECONDS = 1.0
PATIENCE_SECONDS = 10.0  # how long answers are waited for after the last request


@dataclass(frozen=True)
class Point:
    """One server at one offered rate; rates are per second."""

    offered: float  # requests that were due
    goodput: float  # pictures that came while requests were offered
    in_time: float  # those of them that came within DEADLINE_SECONDS of when they were due
    refused: float  # answered 429 or 503
    other: float  # any other status, broken, never answered, or no connection to send it on
    p50_ms: float | None  # median of all pictures, from the moment the request was due
    p99_ms: float | None
    refused_p99_ms: float | None
    cpu_ms_per_picture: float
    late_ms: float | None  # how late the generator of the load itself was, 99th percentile


@dataclass
class Tally:
    """What came of the requests."""

    pictures: list[float] = field(default_factory=list)  # latencies, seconds
    refusals: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    end: float = 0.0  # seconds of the clock, when the offer ended
    in_window: int = 0  # pictures that came before it
    in_time: int = 0  # and soon


class _Connection(asyncio.Protocol):
    """One keep-alive connection; it returns to the idle ones after each answer."""

    def __init__(self, tally: Tally, idle: "list[_Connection]") -> None:
        self._tally, self._idle = tally, idle
        self._parser = httptools.HttpResponseParser(self)
        self._due: float | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes, due: float) -> None:
        assert self.transport is not None
        self._due = due
        self._tally.waiting += 1
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            assert self.transport is not None
            self.transport.abort()

    def on_message_complete(self) -> None:
        if self._due is None:
            return
        now, status = time.perf_counter(), self._parser.get_status_code()
        seconds = now - self._due
        self._due = None
        self._tally.waiting -= 1
        if status == 200:
            self._tally.pictures.append(seconds)
            self._tally.in_window += now <= self._tally.end
            self._tally.in_time += now <= self._tally.end and seconds <= DEADLINE_SECONDS
        elif status in (429, 503):
            self._tally.refusals.append(seconds)
        else:
            self._tally.other[str(status)] += 1
        if self._parser.should_keep_alive():
            self._idle.append(self)
        else:
            assert self.transport is not None
            self.transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)
        if self._due is not None:
            self._due = None
            self._tally.waiting -= 1
            self._tally.other["broken"] += 1


def open_loop(server: Server, rate: float, seconds: float) -> Point:
    """Offers `rate` requests a second at random moments (a Poisson process), then waits for what
    is still to come.
    """
    processes = server.processes()
    before = server.usage(processes)
    gc.disable()  # the client shares the machine: its own pauses must not look like the server's
    tally, sent = asyncio.run(offer(server.kind, server.port, rate, seconds))
    gc.enable()
    cpu = server.usage(processes).cpu_since(before)
    wait_until_idle(server)
    return Point(
        offered=sent / seconds,
        goodput=tally.in_window / seconds,
        in_time=tally.in_time / seconds,
        refused=len(tally.refusals) / seconds,
        other=tally.other.total() / seconds,
        p50_ms=_percentile_ms(tally.pictures, 50),
        p99_ms=_percentile_ms(tally.pictures, 99),
        refused_p99_ms=_percentile_ms(tally.refusals, 99),
        cpu_ms_per_picture=cpu * 1e3 / max(1, len(tally.pictures)),
        late_ms=_percentile_ms(tally.late, 99),
    )


async def offer(kind: Kind, port: int, rate: float, seconds: float) -> tuple[Tally, int]:
    """Offers requests; returns what came of them, and how many there were."""
    loop = asyncio.get_running_loop()
    tally, idle, all_connections = Tally(), list[_Connection](), list[_Connection]()
    opening: set[asyncio.Task[None]] = set()

    async def open_and_ask(request: bytes, due: float) -> None:
        try:
            connect = loop.create_connection(lambda: _Connection(tally, idle), HOST, port)
            _, connection = await asyncio.wait_for(connect, PATIENCE_SECONDS)
        except OSError:  # timeouts are of this kind too
            tally.other["no connection"] += 1
            return
        all_connections.append(connection)
        connection.ask(request, due)

    seed = secrets.randbelow(2**40)
    pauses = np.random.default_rng().exponential(1 / rate, round(rate * seconds * 2) + 100)
    moments = np.cumsum(pauses)
    moments = moments[moments < seconds]
    start = time.perf_counter()
    tally.end = start + seconds
    for number, moment in enumerate(moments):
        due = start + float(moment)
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        elif number % 16 == 0:
            await asyncio.sleep(0)  # answers come in between
        tally.late.append(time.perf_counter() - due)
        request = _request(kind, port, seed + number)
        while idle:
            connection = idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                connection.ask(request, due)
                break
        else:
            if len(all_connections) + len(opening) >= MAX_CONNECTIONS:
                tally.other["too many connections"] += 1
                continue
            task = loop.create_task(open_and_ask(request, due))
            opening.add(task)
            task.add_done_callback(opening.discard)

    limit = time.perf_counter() + PATIENCE_SECONDS
    while (tally.waiting or opening) and time.perf_counter() < limit:
        await asyncio.sleep(0.01)
    for connection in all_connections:
        if connection.transport is not None:
            connection.transport.abort()  # what is not answered by now counts as broken
    await asyncio.sleep(0.05)
    return tally, len(moments)


def _request(kind: Kind, port: int, seed: int) -> bytes:
    method, path, body = kind.request(seed)
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
    if body is None:
        return f"{head}\r\n".encode()
    kind_of_body = "Content-Type: application/json"
    return f"{head}{kind_of_body}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def _percentile_ms(seconds: list[float], percent: float) -> float | None:
    return float(np.percentile(seconds, percent)) * 1e3 if seconds else None
