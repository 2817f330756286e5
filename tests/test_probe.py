"""The container's health check, `python -m app health`."""

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from app.commands import main
from app.probe import ready
from benchmarks.servers import free_port
from tests.services import environment


class Host(HTTPServer):
    """A stand-in for the service."""

    status = 200  # what /readyz answers


class Answering(BaseHTTPRequestHandler):
    """Answers /readyz with the server's status."""

    server: Host

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def host() -> Iterator[Host]:
    server = Host(("127.0.0.1", 0), Answering)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "told",
    [
        {"PORT": "{port}"},
        {"GAN_PORT": "{port}", "PORT": "1"},
        {"gan_port": "{port}", "HOST": "0.0.0.0"},
        {"GAN_PORT": "{port}", "GAN_HOST": "127.0.0.1", "HOST": "::"},
    ],
)
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_is_readiness_where_the_service_listens(
    host: Host, told: dict[str, str], status: int, healthy: bool
) -> None:
    host.status = status
    assert ready({k: v.format(port=host.server_port) for k, v in told.items()}) is healthy


@pytest.mark.parametrize("port", ["nonsense", "1", "99999999"])
def test_nobody_there_is_not_healthy(port: str) -> None:
    assert not ready({"GAN_PORT": port})


def test_health_is_a_command_with_an_exit_status(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_HOST", "127.0.0.1")
    monkeypatch.setenv("GAN_PORT", str(host.server_port))
    assert main(["health"]) == 0
    monkeypatch.setenv("GAN_PORT", str(free_port()))
    assert main(["health"]) == 1


def test_health_check_imports_nothing_of_the_service() -> None:
    code = "import sys; sys.argv[1:] = ['health']; from app.__main__ import main; main(); "
    code += "print([name for name in sys.modules if name.startswith(('app.', 'pydantic', 'uvi'))])"
    settings = environment(GAN_PORT=str(free_port()))
    done = subprocess.run(
        [sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['app.probe', 'app.__main__']"
