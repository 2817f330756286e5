"""The end of a process: drained, cut off, given up; and as process 1."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection
from pathlib import Path

import pytest
import uvicorn

from app.access.keys import key_hash
from app.server.readiness import Readiness
from app.server.server import GIVEN_UP, Server
from app.settings import Settings
from benchmarks.servers import free_port
from tests.services import (
    TIMEOUT,
    environment,
    fetch,
    in_flight,
    service,
    wait_until,
    worker_ids,
)

# the real service, but that seed 13 hangs and seed 14 ends the device's thread
BROKEN = """
import sys, time
import app.engine.batcher, app.server.loading
from app.commands import main

load_sampler = app.server.loading.load_sampler

class Fragile:
    def __init__(self, *arguments):
        self._sampler = load_sampler(*arguments)
        self.input_dim = self._sampler.input_dim
        self._unlucky = {seed: self._row(seed) for seed in (13, 14)}

    def _row(self, seed):
        from model.latent_space.latents import sample_rows
        return sample_rows([seed], 8, "uniform", 0, None)[0].tolist()

    def __call__(self, rows):
        for row in rows.tolist():
            if row == self._unlucky[13]:
                time.sleep(3600)
            if row == self._unlucky[14]:
                raise SystemExit("the thread ends")
        return self._sampler(rows)

app.server.loading.load_sampler = Fragile
sys.exit(main())
"""
FRAGILE = (sys.executable, "-c", BROKEN)


def status(url: str) -> int:
    """Returns that of a GET on a connection of its own; 0 if there is no answer."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def wait_for(wanted: int, url: str) -> None:
    wait_until(lambda: status(url) == wanted, f"{url} is {wanted}")


LONG = {"GAN_DRAIN_SECONDS": "600", "GAN_GRACE_SECONDS": "700"}  # a second SIGTERM ends it


def test_sigterm_makes_it_not_ready_while_it_still_serves_until_a_second_one(
    generator_folder: Path,
) -> None:
    with service(generator_folder, **LONG) as (process, address):
        kept = HTTPConnection(address.removeprefix("http://"), timeout=TIMEOUT)
        kept.request("GET", "/generate?seed=1")
        picture = kept.getresponse().read()
        process.send_signal(signal.SIGTERM)
        wait_for(503, f"{address}/readyz")
        assert status(f"{address}/livez") == 200
        assert fetch(f"{address}/generate?seed=1") == picture
        kept.request("GET", "/generate?seed=1")
        answer = kept.getresponse()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert answer.read() == picture
        process.send_signal(signal.SIGTERM)
        wait_for(0, f"{address}/livez")
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def test_drain_lasts_as_long_as_the_setting_says(generator_folder: Path) -> None:
    with service(generator_folder, GAN_DRAIN_SECONDS="1") as (process, _):
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
    assert time.monotonic() - begin >= 1
    assert process.returncode == 0


def test_sigint_leaves_the_drain_out(generator_folder: Path) -> None:
    with service(generator_folder, **LONG) as (process, _):
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("seed", "reason"), [(13, "at one batch for"), (14, "the device thread has ended")]
)
def test_generator_that_hangs_or_dies_ends_the_process(
    generator_folder: Path, seed: int, reason: str
) -> None:
    with service(generator_folder, FRAGILE, GAN_HANG_SECONDS="3", **LONG) as (process, address):
        assert status(f"{address}/generate?seed=1") == 200
        assert status(f"{address}/generate?seed={seed}") == 503  # somebody else may answer it
        assert status(f"{address}/readyz") == 503
        assert status(f"{address}/livez") == 200
        assert status(f"{address}/generate?seed=2") == 503
        process.send_signal(signal.SIGTERM)  # it would end by itself, after the drain
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == GIVEN_UP
    assert f"giving up: tiny@{log.partition('tiny@')[2][:12]}: " in log
    assert reason in log


def test_what_hangs_is_cut_off_when_the_grace_time_is_over(generator_folder: Path) -> None:
    with service(generator_folder, FRAGILE, GAN_GRACE_SECONDS="1.5") as (process, address):
        asking = threading.Thread(target=status, args=(f"{address}/generate?seed=13",))
        asking.start()
        wait_until(lambda: in_flight(address) == 1, "the request has come")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=TIMEOUT)
        asking.join()
    assert process.returncode == GIVEN_UP
    assert "not finished in the grace time" in log


def test_workers_end_with_their_supervisor(generator_folder: Path) -> None:
    with service(generator_folder, GAN_WORKERS="2") as (process, address):
        workers = worker_ids(process.pid)
        assert len(workers) == 2
        process.kill()
        wait_for(0, f"{address}/livez")
        wait_until(lambda: not any(alive(worker) for worker in workers), "no worker is left")


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_admin_port_answers_the_operator_and_the_other_everybody(generator_folder: Path) -> None:
    admin, hashes = free_port(), key_hash("gan_client")
    settings = {"GAN_ADMIN_PORT": str(admin), "GAN_API_KEY_HASHES": hashes}
    with service(generator_folder, **settings) as (process, public):
        private = f"http://127.0.0.1:{admin}"
        for path in ("/metrics", "/docs", "/openapi.json"):
            assert (status(private + path), status(public + path)) == (200, 404)
        for path in ("/livez", "/readyz"):
            assert (status(private + path), status(public + path)) == (200, 200)
        public_ones = {"/generate?seed=1": 401, "/models": 401, "/problems/not-found": 200}
        for path, code in public_ones.items():
            assert (status(private + path), status(public + path)) == (404, code)
        assert b'route="door",status="404"' in fetch(f"{private}/metrics")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def test_each_worker_has_its_own_admin_port(generator_folder: Path) -> None:
    first = free_port()
    settings = {"GAN_ADMIN_PORT": str(first), "GAN_WORKERS": "2"}
    with service(generator_folder, **settings) as (process, address):
        for _ in range(10):
            assert status(f"{address}/generate?seed=1") == 200
        wait_for(200, f"http://127.0.0.1:{first}/readyz")
        wait_for(200, f"http://127.0.0.1:{first + 1}/readyz")
        own = [f"http://127.0.0.1:{port}/metrics" for port in (first, first + 1)]
        for _ in range(3):
            fetch(own[0])
        scraped = re.compile(rb'requests_total{route="/metrics",status="200"} (\S+)')
        assert scraped.findall(fetch(own[0])) == [b"3.0"]
        assert scraped.findall(fetch(own[1])) == []
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def in_namespace(*command: str) -> list[str]:
    """Returns the command as process 1."""
    return ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command]


def may_unshare() -> bool:
    tried = shutil.which("unshare") and subprocess.run(
        in_namespace("true"), capture_output=True, check=False
    )
    return bool(tried) and tried.returncode == 0


needs_namespaces = pytest.mark.skipif(not may_unshare(), reason="needs PID namespaces")


def first_process(parent: int) -> int:
    def children() -> list[str]:
        return Path(f"/proc/{parent}/task/{parent}/children").read_text().split()

    wait_until(children, f"process {parent} has a child")
    return int(children()[0])


@needs_namespaces
@pytest.mark.parametrize("workers", ["2", pytest.param("1", marks=pytest.mark.slow)])
def test_process_1_ends_on_sigterm(generator_folder: Path, workers: str) -> None:
    command = in_namespace(sys.executable, "-m", "app")
    with service(generator_folder, command, GAN_WORKERS=workers) as (process, address):
        assert status(f"{address}/generate?seed=1") == 200
        os.kill(first_process(process.pid), signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def minds_sigterm(pid: int) -> bool:
    """Returns whether a process has a handler for it."""
    caught = re.findall(r"SigCgt:\s+(\S+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught[0], 16) >> (signal.SIGTERM - 1) & 1)


@needs_namespaces
@pytest.mark.parametrize(
    "seconds", [0.3, *(pytest.param(other, marks=pytest.mark.slow) for other in (0.0, 1.0))]
)
def test_process_1_ends_on_sigterm_while_it_starts(generator_folder: Path, seconds: float) -> None:
    settings = environment(GAN_GENERATOR=str(generator_folder), PORT=str(free_port()))
    process = subprocess.Popen(in_namespace(sys.executable, "-m", "app"), env=settings)
    try:
        first = first_process(process.pid)
        while not minds_sigterm(first):
            time.sleep(0.001)
        time.sleep(seconds)
        os.kill(first, signal.SIGTERM)
        assert process.wait(timeout=TIMEOUT) == 0
    finally:
        process.kill()
        process.wait()


def test_connection_without_a_request_does_not_keep_the_process(generator_folder: Path) -> None:
    with service(generator_folder) as (process, address):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as idle:
            idle.sendall(b"GET /generate")
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def test_signal_that_comes_while_a_thread_is_started_is_no_deadlock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Starting a thread takes a lock that the interrupted main thread may hold already."""

    async def nothing() -> None: ...

    settings, readiness = Settings(), Readiness(60)
    server = Server(uvicorn.Config("app", log_config=None), settings, readiness, nothing)
    server.started = True
    starts: list[object] = []
    monkeypatch.setattr(threading.Thread, "start", starts.append)
    for _ in range(2):
        server.handle_exit(signal.SIGTERM, None)
    assert readiness.draining
    assert starts == []
