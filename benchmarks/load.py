"""Closed-loop load by wrk: so many clients, each asking again as soon as it is answered.

Server, clients, seconds -> Cell (requests/s, latencies, errors, CPU of the server)
"""

import contextlib
import json
import secrets
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.servers import Server, ServerFailed

SCRIPT = Path(__file__).parent / "seeds.lua"
CLIENTS = (1, 16, 64, 256)
TIMEOUT_SECONDS = 20


class LoadFailed(Exception):
    """wrk is missing, or did not report."""


@dataclass(frozen=True)
class Cell:
    """One server under one load."""

    clients: int
    requests: int  # answered with a picture
    errors: int  # answers that are no success, broken connections, timeouts
    requests_per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    cpu_ms_per_request: float  # all processes of the server together
    cores: float  # that the server used meanwhile


def closed_loop(server: Server, clients: int, seconds: float) -> Cell:
    """Runs wrk against the server. Latency is of answers; a closed loop waits with the server, so
    its tail says nothing about arrivals that do not wait.

    Raises:
        LoadFailed: wrk is missing or did not report.
    """
    processes = server.processes()
    before = server.usage(processes)
    report = _wrk(server, clients, max(1, round(seconds)))
    after = server.usage(processes)  # at once: what gone clients leave behind is nobody's request
    wait_until_idle(server)
    duration = report["microseconds"] / 1e6
    failed = sum(report[kind] for kind in ("status", "connect", "read", "write", "timeout"))
    answered = max(0, report["requests"] - report["status"])
    cpu = after.cpu_since(before)
    return Cell(
        clients=clients,
        requests=answered,
        errors=failed,
        requests_per_second=answered / duration,
        p50_ms=report["p50"] / 1e3,
        p90_ms=report["p90"] / 1e3,
        p99_ms=report["p99"] / 1e3,
        max_ms=report["max"] / 1e3,
        cpu_ms_per_request=cpu * 1e3 / max(1, answered),
        cores=cpu / duration,
    )


def _wrk(server: Server, clients: int, seconds: int) -> dict[str, Any]:
    method, path, _ = server.kind.request(0)
    command = [
        "wrk", "--threads", "1", "--connections", str(clients), "--duration", f"{seconds}s",
        "--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(SCRIPT), server.url,
        "--", method, path.partition("?")[0], str(secrets.randbelow(2**40)),
    ]  # fmt: skip
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 60, check=True
        )
        report: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    except FileNotFoundError as error:
        raise LoadFailed("wrk is not installed") from error
    except (subprocess.SubprocessError, ValueError, IndexError) as error:
        raise LoadFailed(f"{server.kind.name}: {error}") from error
    return report


def wait_until_idle(server: Server) -> None:
    """Waits until what the last clients left is worked off: one more request is answered."""
    for _ in range(100):
        time.sleep(0.1)
        with contextlib.suppress(ServerFailed, OSError):
            server.picture(secrets.randbelow(2**40))
            return
