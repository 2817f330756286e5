"""Starting and stopping the service as an operator does, in a process of its own."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.commands import main
from app.server.listening import public_sockets
from app.settings import Settings
from benchmarks.servers import free_port
from model.generators import ZOO
from tests.conftest import edit_json
from tests.services import (
    TIMEOUT,
    fetch,
    in_flight,
    refuses,
    service,
    start_and_fail,
    wait_until,
    worker_ids,
)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(shutil.rmtree, "no such folder", id="missing", marks=pytest.mark.slow),
        pytest.param(
            lambda f: os.truncate(f / "model.safetensors", 500), "SHA-256", id="truncated"
        ),
        pytest.param(
            lambda f: edit_json(f / "config.json", format=9),
            "format",
            id="future",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_broken_generator_file_ends_the_start_with_one_line(
    generator_folder: Path, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    folder = Path(shutil.copytree(generator_folder, tmp_path / "generator"))
    damage(folder)
    lines = start_and_fail(GAN_GENERATOR=str(folder))
    (why,) = [line for line in lines if "cannot start" in line]
    assert reason in why
    assert str(folder) in why


def test_device_that_is_not_there_ends_the_start_with_one_line(generator_folder: Path) -> None:
    lines = start_and_fail(GAN_GENERATOR=str(generator_folder), GAN_DEVICE="cuda:99")
    assert sum("device 'cuda:99' is not on this machine" in line for line in lines) == 1


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """Returns the lines of stderr of a command that ends before it loads one: there is none."""

    def lines(**settings: str) -> list[str]:
        for name in os.environ:
            if name.startswith("GAN_") or name in ("HOST", "PORT"):
                monkeypatch.delenv(name)
        default = {} if settings.keys() & {"PORT", "GAN_PORT"} else {"PORT": str(free_port())}
        for name, value in {**default, **settings, "GAN_GENERATOR": "nowhere"}.items():
            monkeypatch.setenv(name, value)
        assert main([]) == 3
        return capsys.readouterr().err.splitlines()

    return lines


@pytest.mark.parametrize(
    ("name", "value"),
    [("GAN_PORT", "0"), ("GAN_MAX_BATCH", "many"), ("GAN_DEVICE", "tpu"), ("GAN_MAX_QUEUE", "-1")],
)
def test_wrong_setting_is_named(refused: Callable[..., list[str]], name: str, value: str) -> None:
    (line,) = refused(**{name: value})
    assert line.startswith(f"error: setting {name}: ")


@pytest.fixture
def taken() -> Iterator[str]:
    """Yields a port at which somebody else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield str(other.getsockname()[1])


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("variable", ["GAN_PORT", "PORT", "GAN_ADMIN_PORT"])
def test_port_in_use_ends_the_start_before_anything_is_loaded(
    refused: Callable[..., list[str]], taken: str, workers: str, variable: str
) -> None:
    (line,) = refused(**{variable: taken, "GAN_WORKERS": workers})
    wanted = f"error: setting {variable}: cannot listen on 127.0.0.1 port {taken}: "
    assert line.lower() == f"{wanted}address already in use".lower()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        pytest.param("HOST", "x86_64-conda-linux-gnu", id="conda"),
        pytest.param("GAN_HOST", "192.0.2.1", id="of-another-machine"),
        pytest.param("GAN_HOST", "a" * 70, id="no-name-at-all"),
        pytest.param("GAN_ADMIN_HOST", "no.such.invalid", id="of-the-operator"),
    ],
)
def test_address_that_is_none_is_told_by_its_variable_before_anything_is_loaded(
    refused: Callable[..., list[str]], workers: str, variable: str, value: str
) -> None:
    settings = {variable: value, "GAN_WORKERS": workers, "GAN_ADMIN_PORT": str(free_port())}
    (line,) = refused(**settings)
    assert line.startswith(f"error: setting {variable}: '{value}' is no address of this machine (")


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("::", {"127.0.0.1", "::1"}),
        ("0:0::0", {"127.0.0.1", "::1"}),
        ("::1", {"::1"}),
        ("0.0.0.0", {"127.0.0.1"}),
    ],
)
def test_host_is_bound_in_the_same_way_for_any_number_of_workers(
    host: str, answered: set[str]
) -> None:
    settings = Settings(generator="nowhere", host=host, port=free_port())
    found = set()
    sockets = public_sockets(settings)
    for one in sockets:
        one.listen()
    for address in ("127.0.0.1", "::1"):
        with suppress(OSError), socket.create_connection((address, settings.port), timeout=TIMEOUT):
            found.add(address)
    for one in sockets:
        one.close()
    assert found == answered


@pytest.mark.slow
def test_two_workers_give_the_same_bytes_and_outlive_one_of_them(generator_folder: Path) -> None:
    with service(generator_folder, GAN_WORKERS="2") as (process, address):
        children = worker_ids(process.pid)
        assert len(children) == 2
        wanted = fetch(f"{address}/generate?seed=7")
        assert {fetch(f"{address}/generate?seed=7") for _ in range(20)} == {wanted}
        os.kill(children[0], signal.SIGKILL)
        for _ in range(20):  # each on a new connection: the one that lives takes them
            assert fetch(f"{address}/generate?seed=7") == wanted

        def two_again() -> bool:
            workers = worker_ids(process.pid)
            return len(workers) == 2 and children[0] not in workers

        wait_until(two_again, "another worker has taken the place of the one that was killed")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert worker_ids(process.pid) == []


def test_broken_generator_file_ends_the_workers_too(tmp_path: Path) -> None:
    lines = start_and_fail(GAN_GENERATOR=str(tmp_path / "nothing"), GAN_WORKERS="2")
    assert any("cannot start" in line and "no such folder" in line for line in lines)


@pytest.mark.slow
def test_worker_that_cannot_be_replaced_ends_nothing_that_works(
    generator_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(generator_folder, tmp_path / "tiny"))
    weights, admin = folder / "model.safetensors", free_port()
    whole = weights.read_bytes()
    settings = {"GAN_WORKERS": "2", "GAN_ADMIN_PORT": str(admin)}
    with service(folder, **settings) as (process, address):
        living = admin + 1  # the second has it, which is there to tell
        wait_until(lambda: told(living).get("status") == "ready" and "workers" not in told(living))
        wanted = fetch(f"{address}/generate?seed=7")
        weights.write_bytes(whole[:500])  # a copy that is not finished
        (first, second) = worker_ids(process.pid)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: ended(living) >= 3)  # two tries have failed
        assert process.poll() is None
        assert second in worker_ids(process.pid)
        assert fetch(f"{address}/generate?seed=7") == wanted
        assert told(living)["workers"] == "1 of 2"
        metrics = fetch(f"http://127.0.0.1:{living}/metrics").decode()
        assert "ganserve_workers_wanted 2.0" in metrics
        assert "ganserve_workers_serving 1.0" in metrics
        weights.write_bytes(whole)
        process.send_signal(signal.SIGHUP)  # for whom the pauses are too long by now
        wait_until(lambda: "workers" not in told(living))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    pauses = re.findall(r"1 of 2 workers serve, another try in (\d+) s", log)
    assert pauses[:3] == ["1", "2", "4"]
    assert "SHA-256" in log


def told(port: int) -> dict[str, str]:
    """Returns what /readyz says there; nothing where nobody answers."""
    try:
        return dict(json.loads(fetch(f"http://127.0.0.1:{port}/readyz")))
    except OSError:
        return {}


def ended(port: int) -> float:
    metrics = fetch(f"http://127.0.0.1:{port}/metrics").decode()
    (count,) = re.findall(r"^ganserve_workers_ended_total (\S+)", metrics, re.M)
    return float(count)


PATHS = ("/generate?seed=7", "/generate?seed=8&n=20", "/interpolate?seeds=1,2&frames=4")
Ended = tuple[list[bytes], int, str]


@pytest.fixture(scope="module")
def ended_by_sigterm(generator_folder: Path) -> Ended:
    """Files of a service that has ended, its exit status and its log."""
    with service(generator_folder) as (process, address):
        files = [fetch(address + path) for path in PATHS]
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=TIMEOUT)
    return files, process.returncode, log


def test_bytes_are_the_same_in_another_process(ended_by_sigterm: Ended, client: TestClient) -> None:
    assert ended_by_sigterm[0] == [client.get(path).content for path in PATHS]


def test_service_ends_on_sigterm(ended_by_sigterm: Ended) -> None:
    _, status, log = ended_by_sigterm
    assert status == 0
    assert "Traceback" not in log
    assert re.search(r"ready after .* s: tiny@[0-9a-f]{12} on cpu", log)


def test_what_was_accepted_is_answered_after_sigterm() -> None:
    """Twenty sheets of the real generator, told to stop when all have come: they share its time,
    so that all of them are answered late, after some 3 seconds of one core.
    """
    bounds = {"GAN_MAX_QUEUE": "10000", "GAN_MAX_WAIT": "600"}
    with service(ZOO / "mnist", **bounds) as (process, address), ExitStack() as stack:
        host, port = address.removeprefix("http://").split(":")
        visitors = []
        for index in range(20):
            visitor = socket.create_connection((host, int(port)), timeout=TIMEOUT)
            stack.enter_context(closing(visitor))
            query = f"GET /generate?seed={index * 40}&n=40 HTTP/1.1\r\nHost: test\r\n\r\n"
            visitor.sendall(query.encode())
            visitors.append(visitor)
        taken = re.compile(rb'requests_total{route="/generate",status="200"} (\S+)')

        def all_have_come() -> bool:
            answered = taken.findall(fetch(f"{address}/metrics"))
            return in_flight(address) + sum(map(float, answered)) >= len(visitors)

        wait_until(all_have_come, "all have come, and by far not all are answered")
        process.send_signal(signal.SIGTERM)
        assert [visitor.recv(15) for visitor in visitors] == [b"HTTP/1.1 200 OK"] * 20
        wait_until(lambda: refuses(address), "nobody else is taken")
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_serve_ends_with_the_service(tmp_path: Path) -> None:
    """TERM to make reaches the service, and nothing is left of it."""
    (tmp_path / "bin").mkdir()
    service = tmp_path / "bin" / "python"
    service.write_text('#!/bin/sh\necho "$$ $*"\nexec sleep 60\n')
    service.chmod(0o755)
    (tmp_path / ".serve").touch()
    command = ["make", "--silent", "--old-file", str(tmp_path / ".serve"), "serve"]
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        [*command, f"VENV={tmp_path}"], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    pid, arguments = process.stdout.readline().split(maxsplit=1)
    assert arguments == "-m app\n"
    process.terminate()
    process.communicate(timeout=TIMEOUT)
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
