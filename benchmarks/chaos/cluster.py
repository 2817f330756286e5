"""Replicas, as processes or as containers, and a balancer before them, all on loopback.

    Process or Container (start, signals) -> started -> haproxy or nginx (its port, its view)

The balancers run the files of `deploy/`, with nothing in them changed but where things are, and
what a trial says.
"""

import contextlib
import csv
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.servers import HOST, ROOT, free_port

HAPROXY_FILE = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
NGINX_FILE = ROOT / "deploy" / "nginx" / "nginx.conf"
HAPROXY, NGINX = (
    shutil.which(name) or shutil.which(name, path="/usr/sbin") for name in ("haproxy", "nginx")
)
READY_SECONDS = 300.0
NAMES = ("a", "b")  # the replicas in the files of deploy/
# what a replica is told behind a balancer: the same as in deploy/compose.yaml
SETTINGS = {"GAN_KEEP_ALIVE_SECONDS": "75", "GAN_MAX_WAIT": "3"}


class ClusterFailed(Exception):
    """A replica or the balancer did not start, or did not come to where it was waited for."""


class Replica(ABC):
    """One copy of the service, which can be started again and again on its port."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.port = free_port()
        self.settings = {**SETTINGS, **settings, "GAN_HOST": HOST, "GAN_PORT": str(self.port)}

    @abstractmethod
    def start(self) -> None:
        """Starts it; it is not ready yet."""

    @abstractmethod
    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""

    @abstractmethod
    def wait(self) -> int:
        """Waits until it has ended; returns its exit status, negative after a signal."""

    @abstractmethod
    def remove(self) -> None:
        """Ends it, whatever it is at."""

    def ready(self) -> bool:
        """Returns whether it says that it is."""
        url = f"http://{HOST}:{self.port}/readyz"
        with (
            contextlib.suppress(OSError),  # refusals by status are of this kind too
            urllib.request.urlopen(url, timeout=2) as answer,
        ):
            return bool(answer.status == 200)
        return False

    def wait_until_ready(self) -> None:
        """Raises ClusterFailed where it does not become so."""
        wait_for(self.ready, f"the replica on port {self.port} to be ready")

    def metric(self, start: str) -> float:
        """Returns the sum of its series that begin so."""
        with urllib.request.urlopen(f"http://{HOST}:{self.port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))


class Process(Replica):
    """A replica that is a process, `python -m app` or another module."""

    def __init__(self, settings: Mapping[str, str], log: Path, module: str = "app") -> None:
        super().__init__(settings)
        self._log, self._module = log, module
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the running process."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Starts it; see Replica."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                cwd=ROOT,
                env=os.environ | self.settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal; see Replica."""
        assert self._process
        self._process.send_signal(number)

    def wait(self) -> int:
        """Waits until it has ended; see Replica."""
        assert self._process
        return self._process.wait(60)

    def remove(self) -> None:
        """Removes it; see Replica."""
        if self._process:
            self._process.kill()
            self._process.wait()


class Container(Replica):
    """A replica that is a container, of which an engine such as docker or podman takes care.

    It may write nowhere but in /tmp, has no capability, can gain none, and is bounded in memory,
    processes and files. It shares the host's network, for the balancer is on loopback.
    """

    OPTIONS = (
        "--network", "host", "--read-only", "--tmpfs", "/tmp:size=64m", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--pids-limit", "512", "--memory", "1g",
        "--ulimit", "nofile=8192:8192", "--ulimit", "nproc=4096:4096",
    )  # fmt: skip

    def __init__(self, settings: Mapping[str, str], engine: Sequence[str], image: str) -> None:
        super().__init__(settings)
        self._engine, self._image = engine, image
        self._name = f"ganserve-chaos-{self.port}"
        self._exists = False

    def start(self) -> None:
        """Starts it; see Replica."""
        if self._exists:
            self._call("start", self._name)
            return
        told = [word for item in self.settings.items() for word in ("-e", "=".join(item))]
        self._call("run", "--detach", "--name", self._name, *self.OPTIONS, *told, self._image)
        self._exists = True

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal; see Replica."""
        self._call("kill", "--signal", number.name.removeprefix("SIG"), self._name)

    def wait(self) -> int:
        """Waits until it has ended; see Replica."""
        status = int(self._call("wait", self._name))
        return 128 - status if status > 128 else status

    def remove(self) -> None:
        """Removes it; see Replica."""
        if self._exists:
            self._call("rm", "--force", self._name)

    def _call(self, *words: str) -> str:
        done = subprocess.run(
            [*self._engine, *words], capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise ClusterFailed(f"{' '.join(words[:2])}: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()


@dataclass
class Balancer:
    """A running balancer that tells nothing of what it sees, such as nginx."""

    port: int
    pid: int

    def up(self, place: int) -> bool:
        """Returns whether new requests go to a replica."""
        return True

    def retries(self) -> int:
        """Requests that it has sent a second time, as far as it counts them."""
        return 0


@dataclass
class Haproxy(Balancer):
    """A running HAProxy."""

    control: Path  # its socket

    def rows(self) -> list[dict[str, str]]:
        """Returns its statistics: one row a frontend, backend and server."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.control))
            control.sendall(b"show stat\n")
            with control.makefile() as answer:
                text = answer.read()
        return list(csv.DictReader(io.StringIO(text.removeprefix("# "))))

    def up(self, place: int) -> bool:
        """Returns whether new requests go to a replica."""
        (row,) = (
            row
            for row in self.rows()
            if (row["pxname"], row["svname"]) == ("pictures", NAMES[place])
        )
        return row["status"].split()[0] == "UP"  # "DOWN 1/2" while it changes its mind

    def retries(self) -> int:
        """Requests that it has sent a second time."""
        rows = (row for row in self.rows() if row["svname"] == "BACKEND")
        return sum(int(row["wretr"] or 0) for row in rows)


def wait_for(true: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> float:
    """Waits until a condition holds; returns the seconds that it took. Raises ClusterFailed."""
    begin = time.monotonic()
    while not true():
        if time.monotonic() - begin > seconds:
            raise ClusterFailed(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)
    return time.monotonic() - begin


def end_in_order() -> None:
    """Lets SIGTERM end this process as Ctrl-C does, so that nothing that it started is left."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextlib.contextmanager
def started(replicas: Sequence[Replica]) -> Iterator[Sequence[Replica]]:
    """Yields ready replicas, gone afterwards."""
    try:
        for replica in replicas:
            replica.start()
        for replica in replicas:
            replica.wait_until_ready()
        yield replicas
    finally:
        for replica in replicas:
            replica.remove()


@contextlib.contextmanager
def haproxy(
    replicas: Sequence[Replica], folder: Path, changes: Mapping[str, str] | None = None
) -> Iterator[Haproxy]:
    """Yields HAProxy before two ready replicas. `changes` are lines of its file by what is there.

    Raises:
        ClusterFailed: it is not installed, or does not start.
    """
    port = free_port()
    control, more = folder / f"{port}.sock", folder / f"control-{port}.cfg"
    more.write_text(f"global\n    stats socket {control}\n")
    places = {"bind :8000": f"bind {HOST}:{port}", "bind :8404": f"bind {HOST}:{free_port()}"}
    file = _placed(HAPROXY_FILE, replicas, folder, {**places, **(changes or {})})
    with _running(HAPROXY, ["-db", "-f", str(file), "-f", str(more)], folder, port) as pid:
        balancer = Haproxy(port, pid, control)
        for place in range(len(replicas)):
            wait_for(partial(_seen, balancer, place), "the balancer to see a replica")
        yield balancer


def _seen(balancer: Balancer, place: int) -> bool:
    with contextlib.suppress(OSError):  # it does not listen on its socket yet
        return balancer.up(place)
    return False


@contextlib.contextmanager
def nginx(
    replicas: Sequence[Replica], folder: Path, changes: Mapping[str, str] | None = None
) -> Iterator[Balancer]:
    """Yields nginx before two ready replicas, with an empty cache. `changes` as HAProxy's.

    Raises:
        ClusterFailed: it is not installed, or does not start.
    """
    port = free_port()
    places = {
        "listen 8000;": f"listen {HOST}:{port};",
        " /tmp/": f" {folder}/",
        "/var/cache/nginx/ganserve": f"{folder}/cache-{port}",
    }
    file = _placed(NGINX_FILE, replicas, folder, {**places, **(changes or {})})
    foreground = "daemon off; master_process off;"
    words = ["-p", str(folder), "-e", "stderr", "-c", str(file), "-g", foreground]
    with _running(NGINX, words, folder, port) as pid:
        yield Balancer(port, pid)


def _placed(
    file: Path, replicas: Sequence[Replica], folder: Path, places: Mapping[str, str]
) -> Path:
    """Returns a file of deploy/ with other places in it."""
    text = file.read_text()
    addresses = {
        f"replica-{name}:8000": f"{HOST}:{replica.port}"
        for name, replica in zip(NAMES, replicas, strict=True)
    }
    for old, new in {**addresses, **places}.items():
        if old not in text:
            raise ClusterFailed(f"{file.name} has no {old!r}")
        text = text.replace(old, new)
    placed = folder / file.name
    placed.write_text(text)
    return placed


@contextlib.contextmanager
def _running(program: str | None, words: list[str], folder: Path, port: int) -> Iterator[int]:
    """Yields a balancer's process id, once it listens."""
    if program is None:
        raise ClusterFailed("the balancer is not installed")
    log = folder / f"balancer-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen([program, *words], stdout=output, stderr=subprocess.STDOUT)

    def listens() -> bool:
        if process.poll() is not None:
            raise ClusterFailed(f"{program} has ended:\n{log.read_text()[-1000:]}")
        with socket.socket() as probe:
            return probe.connect_ex((HOST, port)) == 0

    try:
        wait_for(listens, program, 20)
        yield process.pid
    finally:
        process.terminate()
        process.wait()
