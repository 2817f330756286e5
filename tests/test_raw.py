"""Hostile bytes over raw sockets: every connection is answered or closed, nothing is a 500, nothing
leaves a traceback, and the service is afterwards as it was before.
"""

import asyncio
import contextlib
import itertools
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.raw_requests import (
    BODY,
    CHUNKED,
    CLOSE,
    CORPUS,
    GOOD,
    answer,
    answers,
    framed,
    get,
    mutated,
    post,
    statuses,
)
from tests.services import TIMEOUT, fetch, service, wait_until

MUTATIONS = int(os.environ.get("GAN_MUTATIONS", 200_000))
# two seconds are enough for a request that is whole, on a slow machine too
SHORT = {"GAN_RECEIPT_SECONDS": "2", "GAN_KEEP_ALIVE_SECONDS": "1", "GAN_MAX_QUEUE": "4096"}
ALLOWED = {
    *(200, 204, 206, 304, 400, 401, 404, 405, 406, 408, 413, 415, 416, 422, 429, 431, 501, 503)
}
# gauges of a service that does nothing but answer the request that reads them
AT_REST = {"requests_in_flight": 1, "pictures_pending": 0, "memory_reserved_bytes": 0}
# the real service, but that seed 13 is a mistake of our own
PLANTED = """
import sys
import app.http.hot_path
from app.commands import main
seed = app.http.hot_path._seed
app.http.hot_path._seed = lambda value: 1 // 0 if value == b"13" else seed(value)
sys.exit(main())
"""


@contextlib.contextmanager
def watched(
    folder: Path, log: Path, command: Iterable[str] = (sys.executable, "-m", "app"), **more: str
) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """Starts a service with its log in a file, which is in order at the end; it ends well."""
    redirected = ("sh", "-c", 'exec "$@" 2>"$0"', str(log), *command)
    with service(folder, redirected, **(SHORT | more)) as (process, address):
        with left_as_it_was(process, address):
            yield process, address, int(address.rpartition(":")[2])
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=TIMEOUT) == 0


@contextlib.contextmanager
def left_as_it_was(process: "subprocess.Popen[str]", address: str) -> Iterator[None]:
    """Yields a service that has to be afterwards as it was before."""
    picture = fetch(f"{address}/generate?seed=42")
    before = open_files(process.pid)

    def at_rest() -> bool:
        metrics = fetch(f"{address}/metrics").decode()
        found = [gauge(metrics, f"ganserve_{name}") for name in AT_REST]
        return found == list(AT_REST.values()) and open_files(process.pid) <= before + 2

    yield
    assert fetch(f"{address}/generate?seed=42") == picture
    wait_until(at_rest, "no request is left")  # work for clients that went away may still end


Shared = tuple[subprocess.Popen[str], str, Path]


@pytest.fixture(scope="module")
def shared(generator_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Yields a service that several tests ask one after another, and its log."""
    log = tmp_path_factory.mktemp("raw") / "log"
    with watched(generator_folder, log) as (process, address, _):
        yield process, address, log


@pytest.fixture
def port(shared: Shared) -> Iterator[int]:
    """Yields its port; after each test it has to be as it was before."""
    process, address, _ = shared
    with left_as_it_was(process, address):
        yield int(address.rpartition(":")[2])


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def gauge(metrics: str, name: str) -> float:
    (value,) = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", metrics, re.MULTILINE)
    return float(value)


def problems(content: bytes) -> Iterator[dict[str, Any]]:
    """Yields the problems among the answers of a connection."""
    for head in re.finditer(rb"HTTP/1\.1 \d{3}[^\0]*?\r\n\r\n", content):
        if b"application/problem+json" in head[0]:
            (length,) = re.findall(rb"content-length: (\d+)", head[0].lower())
            yield json.loads(content[head.end() : head.end() + int(length)])


def check(requests: dict[str, bytes], found: list[bytes], log: Path) -> Counter[int]:
    """Holds each answer to what a client can understand; returns how many there were of each."""
    counts: Counter[int] = Counter()
    wrong = []
    for (name, request), content in zip(requests.items(), found, strict=True):
        seen = list(statuses(content))
        counts.update(seen or [0])
        if not ALLOWED.issuperset(seen):
            wrong.append((name, seen, request[:200]))
        for problem in problems(content):
            assert problem["status"] in seen
    text = log.read_text()
    assert wrong == []
    assert "Traceback" not in text
    assert "ERROR" not in text
    return counts


def test_corpus_of_hostile_bytes(shared: Shared, port: int) -> None:
    found = asyncio.run(answers(port, CORPUS.values()))
    counts = check(CORPUS, found, shared[-1])
    assert counts[200] > 20
    assert counts[400] > 20
    assert counts[422] > 20
    assert counts[408] >= 1
    assert counts[413] >= 1
    refusals = dict(zip(CORPUS, found, strict=True))
    for name in ("length-and-chunked", "two-lengths", "length-negative", "smuggled", "tls"):
        assert refusals[f"framing-{name}"].startswith(b"HTTP/1.1 400 "), name
        assert len(list(statuses(refusals[f"framing-{name}"]))) == 1  # and it is closed
    assert len(list(statuses(refusals["framing-pipeline"]))) == 20


@pytest.mark.parametrize("count", [2_000, pytest.param(MUTATIONS, marks=pytest.mark.long)])
def test_mutated_requests(shared: Shared, port: int, count: int) -> None:
    requests = {str(seed): mutated(seed) for seed in range(count)}
    counts = check(requests, asyncio.run(answers(port, requests.values())), shared[-1])
    assert counts[200] > count / 20  # mutations are small enough to get somewhere
    assert counts[422] > count / 40
    assert counts[400] > count / 50


def test_good_requests_of_the_corpus_are_good(generator_folder: Path, tmp_path: Path) -> None:
    unhurried = {"GAN_RECEIPT_SECONDS": "300"}
    with watched(generator_folder, tmp_path / "log", **unhurried) as (_, _, port):
        found = asyncio.run(answers(port, GOOD))
    codes = [next(statuses(content)) for content in found]
    assert dict(Counter(codes)) == {200: len(GOOD) - 6, 206: 1, 400: 1, 404: 3, 415: 1}


def test_planted_500_fails_the_check(generator_folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    requests = {"good": get(b"/generate?seed=12"), "planted": get(b"/generate?seed=13")}
    command = (sys.executable, "-c", PLANTED)
    with watched(generator_folder, log, command) as (_, _, port):
        found = asyncio.run(answers(port, requests.values()))
        with pytest.raises(AssertionError, match="planted"):
            check(requests, found, log)
        with pytest.raises(AssertionError, match="Traceback"):
            check({"good": requests["good"]}, found[:1], log)


def resident(pid: int) -> float:
    """Returns MiB."""
    (line,) = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(line) / 1024


def largest(pid: int) -> float:
    """Returns the most MiB that it has had."""
    (line,) = re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(line) / 1024


async def flood(port: int, head: bytes, unit: bytes, units: int) -> bytes:
    """Returns what is answered to a request that goes on and on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head)
        for _ in range(units):
            writer.write(unit)
            await writer.drain()
    except (ConnectionResetError, BrokenPipeError):
        pass
    content = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        content = await asyncio.wait_for(reader.read(), TIMEOUT)
    writer.transport.abort()
    return content


CHUNK = 2**20
FLOODS = {
    "64-MiB-header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"a" * CHUNK, 64, 431),
    "2-million-headers": (b"GET / HTTP/1.1\r\n", b"A: b\r\n" * 10_000, 200, 431),
    "64-MiB-path": (b"GET /", b"a" * CHUNK, 64, 431),
    "300-MiB-body": (
        b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % (300 * CHUNK),
        b" " * CHUNK,
        300,
        413,
    ),
    "300-MiB-of-chunks": (
        b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"%x\r\n%b\r\n" % (CHUNK, b" " * CHUNK),
        300,
        413,
    ),
}


def test_endless_requests_are_refused_and_take_no_memory(
    generator_folder: Path, tmp_path: Path
) -> None:
    with watched(generator_folder, tmp_path / "log") as (process, _, port):
        asyncio.run(answers(port, [*GOOD, *CORPUS.values()]))  # what libraries load once
        before = resident(process.pid)
        for name, (head, unit, units, status) in FLOODS.items():
            content = asyncio.run(flood(port, head, unit, units))
            assert list(statuses(content)) in ([status], []), name  # or the reset came first
        assert largest(process.pid) < before + 5


HALVES = (b"", b"GET /gen", GOOD[0][:-2], GOOD[8][:-5])


@pytest.mark.parametrize("connections", [100, pytest.param(400, marks=pytest.mark.slow)])
def test_slow_connections_are_408_and_stand_in_nobodys_way(
    generator_folder: Path, tmp_path: Path, connections: int
) -> None:
    async def main(port: int, pid: int) -> tuple[list[bytes], int, float]:
        before = resident(pid)
        slow = [HALVES[index % len(HALVES)] for index in range(connections)]
        waiting = [asyncio.create_task(answer(port, half)) for half in slow]
        served = 0
        while not all(task.done() for task in waiting):
            content = await answer(port, get(b"/generate?seed=%d" % served))
            assert content.startswith(b"HTTP/1.1 200 ")
            served += 1
        return [task.result() for task in waiting], served, resident(pid) - before

    with watched(generator_folder, tmp_path / "log") as (process, _, port):
        asyncio.run(answers(port, CORPUS.values()))
        found, served, grown = asyncio.run(main(port, process.pid))
    assert served > 0
    assert grown < 5
    assert {next(statuses(content)) for content in found} == {408}


def test_slow_sender_is_given_its_time_and_no_more(port: int) -> None:
    """A byte now and then does not buy time."""

    async def main(port: int) -> int:
        sent = 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for byte in GOOD[0]:
                writer.write(bytes([byte]))
                await writer.drain()
                sent += 1
                await asyncio.sleep(0.05)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            await asyncio.wait_for(reader.read(), TIMEOUT)
        writer.transport.abort()
        return sent

    assert asyncio.run(main(port)) < len(GOOD[0])


CONTROLS = ("%00", "%0A", "%0D", "%0d%0a", "%09", "%1F", "%7F", "%C2%85", "%E2%80%A8", "%E2%80%A9")


@pytest.fixture(scope="module")
def doors(generator_folder: Path) -> Iterator[list[TestClient]]:
    """Yields an open application, a closed one with an operator's port, and that port."""
    closed: dict[str, Any] = {"admin_port": 9, "url_secrets": ["s" * 32], "rate_limit": 1e-5}
    nothing: dict[str, Any] = {}
    with ExitStack() as stack:
        apps = [
            create_app(Settings(generator=str(generator_folder), device="cpu", **more))
            for more in (nothing, closed)
        ]
        for app in apps:
            stack.enter_context(TestClient(app))
        bases = ("http://x", "http://x", "http://x:9")
        yield [
            TestClient(app, base_url=base)
            for app, base in zip((apps[0], *apps[1:] * 2), bases, strict=True)
        ]


METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT")


@pytest.mark.parametrize("method", METHODS)
def test_path_that_can_be_none_of_ours_is_refused_before_all_else(
    doors: list[TestClient], method: str
) -> None:
    """Asks every route, at every end and joint of its path, whatever door stands before it, by GET
    and by one of the other methods.
    """
    known = [
        re.sub(r"\{\w+\}", "1", path) for path in doors[0].get("/openapi.json").json()["paths"]
    ]
    known += [
        "/",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/page.css",
        "/page/x",
        "/nowhere",
        "/admin/x",
    ]
    for place, path in enumerate(known):
        if method not in ("GET", METHODS[1 + place % 4]):
            continue
        control = CONTROLS[place % len(CONTROLS)]
        joints = [found.start() for found in re.finditer("/", path)]
        odd = [path[:joint] + control + path[joint:] for joint in joints if joint]
        long = (path.rstrip("/") + "/" + "." * 600 + "/", path + "a" * 600)
        odd += [path + control, "/" + control + path[1:], *long]
        for door, wrong in itertools.product(doors, odd):
            answer = door.request(method, wrong)
            assert answer.status_code == 404, wrong
            assert answer.headers["X-Request-Id"]
            if method != "HEAD":
                assert "so long" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_long_path_costs_no_more_than_a_short_one(doors: list[TestClient], method: str) -> None:
    def seconds(path: str) -> float:
        spent = []
        for _ in range(3):
            start = time.process_time()
            doors[0].request(method, path)
            spent.append(time.process_time() - start)
        return min(spent)

    for path in ("/latents/", "/i/", "/models/", "/page/", "/generate"):
        assert seconds(path + "." * 16_000 + "/") < 20 * seconds(path + "x")


def posted(body: bytes) -> bytes:
    return post(body).replace(CLOSE, b"")


ADDRESS = b"somebody@mail.example"
PIPELINED = {
    "invalid": posted(b'{"seed": "%b", "no": 1}' % ADDRESS),
    "large": posted(b'{"seed": "%b", "no": [%b1]}' % (ADDRESS, b"1," * 20_000)),
    "valid": posted(b'{"seed": "%b"}' % ADDRESS),
    "page": get(b"/").replace(CLOSE, b""),
    "chunks": framed(CHUNKED, b"b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "upgrade": framed(b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 11\r\n", BODY),
    "junk": b"\0",
}


def test_clients_that_reset_at_any_moment_leave_no_word_in_the_log(
    generator_folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    source = random.Random(1)
    with watched(generator_folder, log, GAN_LOG_FORMAT="json") as (_, _, port):
        before = len(log.read_text().splitlines())
        for _ in range(400):
            names = source.choices(list(PIPELINED), k=source.choice((2, 2, 3, 6)))
            content = b"".join(PIPELINED[name] for name in names)
            cut = source.randrange(len(content))
            client = socket.create_connection(("127.0.0.1", port))
            linger = struct.pack("ii", 1, 0)  # close is a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            with client, contextlib.suppress(ConnectionResetError, BrokenPipeError):
                client.sendall(content[:cut])
                time.sleep(source.choice((0, 0.001)))
                client.sendall(content[cut:])
                time.sleep(source.choice((0, 0.0005, 0.002, 0.006)))
        fetch(f"http://127.0.0.1:{port}/livez")
        assert log.read_text().splitlines()[before:] == []


def test_requests_ahead_of_their_turn_take_little_memory(
    generator_folder: Path, tmp_path: Path
) -> None:
    async def main(port: int) -> None:
        slow = get(b"/interpolate.webp?seeds=1,2&frames=256&scale=4").replace(CLOSE, b"")
        many = get(b"/livez").replace(CLOSE, b"") * 20_000
        sockets = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
        for _, writer in sockets:
            writer.write(slow + many)
        await asyncio.sleep(1)
        for _, writer in sockets:
            writer.transport.abort()

    with watched(generator_folder, tmp_path / "log") as (process, _, port):
        asyncio.run(answers(port, [get(b"/interpolate.webp?seeds=1,2&frames=256&scale=4")] * 10))
        before = largest(process.pid)
        asyncio.run(main(port))
        assert largest(process.pid) < before + 15  # 70 where each is parsed
