"""Servers as processes: start one, wait for its first picture, count what it uses, stop all of it.

    Kind (how to start it, how to ask it) -> Server (a running one) -> Usage (CPU seconds, bytes)

None is measured before it has answered the right pictures, which our sampler draws here.

A server may be many processes, some of which leave the family tree; each carries a mark in its
environment, and all that carry it are counted and, in the end, stopped.
"""

import contextlib
import functools
import http.client
import io
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from benchmarks.noop import NoopGenerator, shipped_digits
from model.generator_file import read_generator_file
from model.generators import ZOO
from model.samplers.onnx_file import write_onnx
from model.samplers.sampler import GOLDEN_LEVELS, load_sampler

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"
MARK = "BENCHMARKED_SERVER"
START_SECONDS = 300.0
STOP_SECONDS = 15.0  # to end by itself
ORPHAN_SECONDS = 2.0  # for what is left when the first process has ended
CHECKED_SEEDS = (1, 2)
LEVELS = 1  # levels, 255 in all, that runtimes may differ by: float32 sums have other last bits


class ServerFailed(Exception):
    """It did not start, or answered something else than a picture."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One serving system: how it is started and asked."""

    name: str
    title: str  # in the tables of the documentation
    command: tuple[str, ...]  # after the program
    noop_command: tuple[str, ...] = ()  # where NOOP=1 is not enough
    path: str = "/generate"
    post: bool = False  # {"seed": N} as a JSON body, else ?seed=N
    package: str = "fastapi"  # what must be installed
    program: str = sys.executable
    probe: tuple[str, ...] = ()  # succeeds where it is installed; () asks Python for the package
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = 1  # threads of a batch; None leaves it to the server
    runtimes: tuple[str, ...] = ("torch", "onnx", "ours")  # see peers/generator.py
    runtime: str = "torch"  # one of them

    @property
    def installed(self) -> bool:
        """Whether its program finds its package."""
        find = f"import importlib.util as u, sys; sys.exit(u.find_spec({self.package!r}) is None)"
        probe = self.probe or (self.program, "-c", find)
        with contextlib.suppress(OSError):
            done = subprocess.run(probe, cwd=ROOT, capture_output=True, check=False)
            return done.returncode == 0
        return False

    def request(self, seed: int) -> tuple[str, str, str | None]:
        """Returns method, path and body that ask for a seed's picture."""
        if self.post:
            return "POST", self.path, json.dumps({"seed": seed})
        return "GET", f"{self.path}?seed={seed}", None


OURS = Kind(
    name="ours",
    title="**ganserve**",
    command=("-m", "app"),
    noop_command=("-m", "benchmarks.ours_noop"),
    threads=None,
    runtimes=("ours", "int8"),
    runtime="ours",
)


@dataclass(frozen=True)
class Usage:
    """What the processes of a server have used, at one moment."""

    cpu_seconds: Mapping[int, float]  # by process id
    memory: int  # bytes, resident, shared pages counted in each process
    moment: float = field(default_factory=time.monotonic)

    def cpu_since(self, earlier: "Usage") -> float:
        """Returns CPU seconds between two moments, without processes that ended between."""
        before = earlier.cpu_seconds
        return sum(used - before.get(pid, 0.0) for pid, used in self.cpu_seconds.items())


class Server:
    """A running server; made by `running`."""

    def __init__(
        self,
        kind: Kind,
        port: int,
        process: "subprocess.Popen[bytes]",
        mark: str,
        right: NDArray[np.uint8],
    ):
        self.kind, self.port, self.process, self._mark = kind, port, process, mark
        self._right = right  # pictures (N, side, side, C) of CHECKED_SEEDS
        self.ready_seconds = 0.0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"

    def processes(self) -> list[psutil.Process]:
        """Returns all that belongs to it and lives."""
        found = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.environ().get(MARK) == self._mark:
                    found[process.pid] = process
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children(recursive=True)
            found |= {process.pid: process for process in family}
        return list(found.values())

    def usage(self, processes: list[psutil.Process] | None = None) -> Usage:
        """Returns CPU and memory of all processes; naming them saves the time to look for them."""
        cpu, memory = {}, 0
        for process in self.processes() if processes is None else processes:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                cpu[process.pid] = times.user + times.system
                memory += process.memory_info().rss
        return Usage(cpu, memory)

    def idle_cores(self, seconds: float) -> float:
        """Cores used while nobody asks."""
        processes = self.processes()
        before = self.usage(processes)
        time.sleep(seconds)
        after = self.usage(processes)
        return after.cpu_since(before) / (after.moment - before.moment)

    def picture(self, seed: int) -> bytes:
        """Returns one answer, checked: status 200 and a PNG of the right size.

        Raises:
            ServerFailed: it is anything else.
            OSError: nobody answers.
        """
        method, path, body = self.kind.request(seed)
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            raise ServerFailed(f"{self.kind.name}: {error!r}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ServerFailed(f"{self.kind.name}: {answer.status} {content[:200]!r}")
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.load()
            if image.size != self._right.shape[1:3]:
                raise ServerFailed(f"{self.kind.name}: a picture of {image.size}")
        return content

    def wait_until_ready(self, log: Path) -> None:
        """Waits for the first picture; it must repeat, and show what our sampler draws of it.

        Raises:
            ServerFailed: it ended, took too long, or its pictures are others.
        """
        begin = time.monotonic()
        while True:
            if self.process.poll() is not None:
                tail = log.read_text(errors="replace")[-1500:]
                raise ServerFailed(f"{self.kind.name} ended at its start:\n{tail}")
            if time.monotonic() - begin > START_SECONDS:
                tail = log.read_text(errors="replace")[-1500:]
                raise ServerFailed(f"{self.kind.name}: no picture in {START_SECONDS} s\n{tail}")
            with contextlib.suppress(OSError, ServerFailed):
                first = self.picture(CHECKED_SEEDS[0])
                break
            time.sleep(0.05)
        self.ready_seconds = time.monotonic() - begin
        if self.picture(CHECKED_SEEDS[0]) != first:
            raise ServerFailed(f"{self.kind.name}: a seed has two pictures")
        precision = os.environ.get("GAN_PRECISION", "fp32") if self.kind.runtime == "ours" else ""
        allowed = GOLDEN_LEVELS["bf16"] if precision == "bf16" else LEVELS
        for seed, right in zip(CHECKED_SEEDS, self._right, strict=True):
            off = levels_off(self.picture(seed), right)
            if off > allowed:
                raise ServerFailed(
                    f"{self.kind.name}: the picture of seed {seed} is {off} of 255 levels off"
                )

    def stop(self) -> None:
        """Asks it to end, then makes sure that nothing of it is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        deadline = time.monotonic() + ORPHAN_SECONDS
        while rest := self.processes():
            if time.monotonic() > deadline:
                for process in rest:
                    with contextlib.suppress(psutil.Error):
                        process.kill()
            psutil.wait_procs(rest, timeout=0.2)
        self.process.wait()


@contextlib.contextmanager
def running(
    kind: Kind, *, noop: bool = False, log: Path | None = None, generator: str = "mnist"
) -> Iterator[Server]:
    """Yields a ready server, stopped afterwards whatever happens. Its output goes to `log`, which
    is shown should it not start. The peers draw digits alone.

    Raises:
        ServerFailed: it does not become ready, or answers the wrong pictures.
    """
    port, mark = free_port(), secrets.token_hex(8)
    if kind.runtime == "int8" and not noop:
        generator = str(Path(os.environ["INT8_GENERATOR"]).resolve())
    environment = os.environ | {
        MARK: mark,
        "PORT": str(port),
        "GAN_PORT": str(port),
        "GAN_GENERATOR": generator,
        "NOOP": "1" if noop else "0",
        "RUNTIME": kind.runtime,
        "PYTHONPATH": str(ROOT),
        "DO_NOT_TRACK": "1",
        "BENTOML_DO_NOT_TRACK": "True",
        "RAY_USAGE_STATS_ENABLED": "0",
        **kind.environment,
    }
    if kind.threads is not None:
        for name in ("THREADS", "OMP_NUM_THREADS", "GAN_THREADS"):
            environment[name] = str(kind.threads)
    command = kind.noop_command if noop and kind.noop_command else kind.command
    words = [word.replace("{port}", str(port)) for word in command]
    with tempfile.TemporaryDirectory() as folder:
        if kind.runtime == "onnx":
            environment |= onnx_files(generator, Path(folder))
        log = log or Path(folder) / "log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [kind.program, *words],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = Server(kind, port, process, mark, right_pictures(generator, noop))
        try:
            server.wait_until_ready(log)
            yield server
        finally:
            server.stop()


@functools.cache
def right_pictures(generator: str, noop: bool) -> NDArray[np.uint8]:
    """Returns the pictures (N, side, side, C) of CHECKED_SEEDS, with or without the network."""
    file = read_generator_file(ZOO / generator)
    draw = NoopGenerator() if noop else load_sampler(file, "cpu")
    return draw(file.config.rows(CHECKED_SEEDS))


def levels_off(content: bytes, right: NDArray[np.uint8]) -> int:
    """Returns the greatest difference of a PNG from a picture (side, side, C), of 255 levels."""
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        pixels = np.asarray(image).reshape(right.shape)
    return int(np.abs(pixels.astype(int) - right).max())


def onnx_files(generator: str, folder: Path) -> dict[str, str]:
    """Writes what a peer needs that runs the ONNX file; returns the variables that name it. DIGITS
    are raw pixels to answer without the network, for peers that cannot import `noop.py`.
    """
    model, digits = folder / "model.onnx", folder / "digits"
    write_onnx(read_generator_file(ZOO / generator), model)
    digits.write_bytes(shipped_digits().tobytes())
    return {"ONNX_FILE": str(model), "DIGITS": str(digits)}


def free_port() -> int:
    """Returns a port of the loopback that nobody listens on, 20,000 to 29,999, for a server.

    No two calls are given the same one, in this process or another, while both processes live: a
    UDP socket stays bound to the number, which leaves TCP free. Outgoing connections take none of
    them, as systems choose theirs above 32,768; and others derived from it fit below 65,536.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            claim = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            claim.bind((HOST, port))
            probe = stack.enter_context(socket.socket())
            probe.bind((HOST, port))
            claim.detach()  # open until this process ends
            return port
