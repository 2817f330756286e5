"""A service in a process of its own: started, asked and stopped as an operator and clients do.

No limit here is one of speed: what takes longer hangs, on a machine ten times slower too.
"""

import asyncio
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.servers import free_port

TIMEOUT = 300.0  # seconds
Words = dict[str, Any]


def wait_until(holds: Callable[[], object], what: str = "what was waited for") -> None:
    """Returns as soon as a condition holds.

    Raises:
        AssertionError: it never does.
    """
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline, f"not so after {TIMEOUT:.0f} s: {what}"
        time.sleep(0.02)


async def until(holds: Callable[[], object]) -> None:
    """Lets the event loop go on until a condition holds."""
    async with asyncio.timeout(TIMEOUT):
        while not holds():
            await asyncio.sleep(0.001)


def environment(**settings: str) -> dict[str, str]:
    """Returns this process's, without settings of the service but these."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("GAN_") and k != "HOST"}
    # a slow machine is no reason for 429
    slow = {"GAN_MAX_WAIT": "600", "GAN_GRACE_SECONDS": "700"}  # machines may be
    return plain | {"GAN_DEVICE": "cpu", "GAN_DRAIN_SECONDS": "0"} | slow | settings


@contextmanager
def service(
    folder: Path | str, command: Sequence[str] = (sys.executable, "-m", "app"), **more: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yields a running service and its address; ready when the block begins."""
    port = free_port()
    settings = environment(GAN_GENERATOR=str(folder), PORT=str(port), **more)
    process = subprocess.Popen(command, env=settings, stderr=subprocess.PIPE, text=True)
    address = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, "the service has ended at its start"
        with suppress(OSError):
            urllib.request.urlopen(f"{address}/readyz", timeout=TIMEOUT).close()
            return True
        return False

    try:
        wait_until(ready, "the service is ready")
        yield process, address
    finally:
        process.kill()
        process.communicate()


def start_and_fail(**settings: str) -> list[str]:
    """Returns the lines on stderr of a service that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "app"],
        env=environment(**{"PORT": str(free_port()), **settings}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()


def start_of(app: Any) -> str | None:
    """Returns what the server is told when the application starts; None if all is well."""
    told: list[dict[str, Any]] = []

    async def run() -> None:
        started = asyncio.Event()
        messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> dict[str, Any]:
            return next(messages)

        async def send(message: dict[str, Any]) -> None:
            told.append(message)
            started.set()

        await app({"type": "lifespan", "state": {}}, receive, send)

    asyncio.run(run())
    failed = [entry["message"] for entry in told if entry["type"] == "lifespan.startup.failed"]
    return failed[0] if failed else None


def worker_ids(parent: int) -> list[int]:
    """Returns the processes that the supervisor has started to serve."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            serves = b"spawn_main" in (entry / "cmdline").read_bytes()
            if int(fields[1]) == parent and serves and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def refuses(address: str) -> bool:
    """Returns whether nobody takes a connection any more."""
    host, port = address.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    return False


def in_flight(address: str) -> int:
    """Counts the requests that the service has taken and not answered, but the one that asks."""
    (line,) = re.findall(rb"^ganserve_requests_in_flight (\S+)$", fetch(f"{address}/metrics"), re.M)
    return round(float(line)) - 1


def fetch(url: str) -> bytes:
    """Returns the content of an address."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        content: bytes = answer.read()
        return content


def problem_of(answer: Any, status: int) -> dict[str, Any]:
    """Returns what a refusal says, which has the form that every refusal has."""
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    problem: dict[str, Any] = json.loads(answer.content)
    assert problem["status"] == status
    assert problem["title"]
    assert problem["type"].startswith("/problems/")
    assert len(answer.content) < 2000
    return problem


# 500 MB, and so few pictures as may be in what a connection holds of it
LARGE = {"seeds": "0-9999", "format": "npy", "scale": 8}


@dataclass(frozen=True)
class RunningService:
    """Asks a running service for many pictures, and sees what its process takes for them."""

    process: "subprocess.Popen[str]"
    address: str

    @contextmanager
    def posting(self, body: Words, accept: str | None = None) -> Iterator[http.client.HTTPResponse]:
        """Yields an answer of which the head is there."""
        headers = {"Content-Type": "application/json"}
        if accept is not None:
            headers["Accept"] = accept
        place = self.address.removeprefix("http://")
        with closing(http.client.HTTPConnection(place, timeout=TIMEOUT)) as connection:
            connection.request("POST", "/generate", json.dumps(body), headers)
            with closing(connection.getresponse()) as answer:
                yield answer

    @contextmanager
    def begun(self, body: Words, accept: str | None = None) -> Iterator[http.client.HTTPResponse]:
        """Yields the same, once there is a place: that of an answer that has ended is free a moment
        later.
        """
        while True:
            with self.posting(body, accept) as answer:
                if answer.status != 429:
                    yield answer
                    return
                answer.read()

    def post(self, body: Words, accept: str | None = None) -> tuple[int, str, bytes]:
        """Status, media type and content, once there is a place."""
        with self.begun(body, accept) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()

    def get(self, path: str) -> bytes:
        """Returns the content of a path."""
        return fetch(self.address + path)

    def connected(self, body: Words) -> socket.socket:
        """Returns a connection over which the request has gone, with little room for the answer."""
        host, port = self.address.removeprefix("http://").split(":")
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(TIMEOUT)
        connection.connect((host, int(port)))
        content = json.dumps(body)
        head = f"POST /generate HTTP/1.1\r\nHost: test\r\nContent-Length: {len(content)}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n{content}".encode())
        return connection

    @contextmanager
    def held(self, body: Words) -> Iterator[socket.socket]:
        """Holds the same open when the answer has begun, once there is a place."""
        while True:
            with closing(self.connected(body)) as connection:
                begin = connection.recv(15)
                if begin != b"HTTP/1.1 429 To":
                    assert begin == b"HTTP/1.1 200 OK"
                    yield connection
                    return

    def memory(self) -> int:
        """Returns bytes that the process holds in memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def busy(self, seconds: float) -> float:
        """Returns the share of so much time that the process is at work: 1 is one core."""
        before = self.worked()
        time.sleep(seconds)
        return (self.worked() - before) / seconds

    def worked(self) -> float:
        """Returns the seconds of a core since the process began."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="no /proc to read memory and work from"
)


def spent_until_idle(host: RunningService, before: float) -> float:
    """Returns the seconds of a core until there is no more work, however long it takes."""
    # at work it has more of a core than that, however many others it shares the core with
    wait_until(lambda: host.busy(0.5) < 0.03, "the service has nothing to do")
    return host.worked() - before
