"""Several processes behind one port: one a device, or several, each with a generator of its own.

    supervisor: bind -> start workers -> replace those that die -> SIGTERM to all -> wait
    worker:     uvicorn on the supervisor's socket, on its device

The kernel hands each connection to whichever worker accepts it. All draw the same bytes.
"""

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from multiprocessing.context import SpawnProcess
from types import FrameType

import uvicorn

from app.main import create_app
from app.monitoring.logs import configure
from app.server.protocol import protocol
from app.server.readiness import Readiness
from app.server.server import GIVEN_UP, START_FAILED, Server, end_at_once
from app.settings import Settings
from model.cores import usable_cores

log = logging.getLogger("ganserve")

RESTART_SECONDS = 1.0


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status."""
    plans = worker_settings(settings)
    if len(plans) == 1:
        return _serve_alone(plans[0])
    configure(settings.log_format)
    try:
        listener = _bound(settings)
    except OSError as error:
        log.error("cannot listen on %s port %d: %s", settings.host, settings.port, error.strerror)
        return START_FAILED
    with listener:
        return _Supervisor(plans, listener).run()


def worker_settings(settings: Settings) -> list[Settings]:
    """Returns one settings a worker: its device, its share of the cores, and its admin port."""
    devices = settings.device.split(",")
    count = settings.workers * len(devices)
    threads = settings.threads or max(1, usable_cores() // count)
    return [
        settings.model_copy(
            update={
                "device": devices[place // settings.workers],
                "threads": threads,
                "admin_port": settings.admin_port and settings.admin_port + place,
            }
        )
        for place in range(count)
    ]


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    return listener


def _work(settings: Settings, listener: socket.socket) -> None:
    threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
    raise SystemExit(_serve_alone(settings, listener))


def _end_with_the_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    assert supervisor
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _serve_alone(settings: Settings, listener: socket.socket | None = None) -> int:
    """Serves in this process, on its own port or the supervisor's; returns the exit status."""
    configure(settings.log_format)
    app, host, port = create_app(settings), settings.host, settings.port
    readiness: Readiness = app.state.readiness
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol(settings, readiness, app.state.telemetry),
        ws="none",
        access_log=False,
        log_config=None,
    )
    server = Server(config, settings, readiness, app.state.reloader.reload)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end_at_once)  # before the server has its own, and after
    server.run(sockets=[listener] if listener else None)
    if server.status == GIVEN_UP:
        logging.shutdown()
        os._exit(GIVEN_UP)  # a thread that hangs would be waited for
    return server.status


def _tell(worker: SpawnProcess, number: int) -> None:
    if worker.pid is not None and worker.is_alive():
        os.kill(worker.pid, number)


class _Supervisor:
    """Starts the workers, replaces those that die, and ends with them."""

    def __init__(self, plans: list[Settings], listener: socket.socket) -> None:
        self._plans, self._listener = plans, listener
        self._stop, self._reload = threading.Event(), False
        self._context = multiprocessing.get_context("spawn")

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)
        signal.signal(signal.SIGHUP, self._asked_to_reload)
        workers = [self._start(plan) for plan in self._plans]
        status = 0
        while not self._stop.wait(0.1):
            if self._reload:
                self._reload = False
                for worker in workers:
                    _tell(worker, signal.SIGHUP)
            for place, worker in enumerate(workers):
                if worker.exitcode is None:
                    continue
                if worker.exitcode == START_FAILED:
                    status = START_FAILED  # another try would fail in the same way
                    self._stop.set()
                    break
                log.error("worker %d ended with %s; replacing it", worker.pid, worker.exitcode)
                time.sleep(RESTART_SECONDS)
                workers[place] = self._start(self._plans[place])
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join()
        return status

    def _start(self, plan: Settings) -> SpawnProcess:
        worker = self._context.Process(target=_work, args=(plan, self._listener), daemon=True)
        # must not end one that is still starting: it is delivered once the worker handles it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        worker.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        return worker

    def _asked_to_reload(self, number: int, frame: FrameType | None) -> None:
        self._reload = True

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()
