"""Several processes behind one port: one a device, or several, each with a generator of its own.

    supervisor: bind -> start workers -> replace those that die -> SIGTERM to all -> wait
    worker:     uvicorn on the supervisor's sockets, on its device

The kernel hands each connection to whichever worker accepts it. All generate the same bytes. A
worker that cannot be replaced ends none of the others: it is tried again, after longer and longer
pauses.
"""

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from types import FrameType

import uvicorn

from app import START_FAILED
from app.http.root_path import under
from app.main import create_app
from app.monitoring.logs import configure
from app.server.listening import admin_sockets, public_sockets
from app.server.process import prepare_process
from app.server.protocol import protocol
from app.server.readiness import Readiness
from app.server.scoreboard import Scoreboard
from app.server.server import GIVEN_UP, Server, end_at_once
from app.settings import Settings, SettingsError
from model.devices import usable_cores

log = logging.getLogger("ganserve")

SHORTEST_PAUSE = 1.0  # seconds until a worker that has ended is replaced
LONGEST_PAUSE = 60.0  # seconds between tries, each of which may take a core from those that serve


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status.

    Raises:
        SettingsError: an address is not to be had.
    """
    plans = worker_settings(settings)
    with ExitStack() as bound:
        public = [bound.enter_context(one) for one in public_sockets(settings)]
        admin = [[bound.enter_context(one) for one in admin_sockets(plan)] for plan in plans]
        configure(settings.log_format)
        if len(plans) == 1:
            return _serve_alone(plans[0], public, admin[0])
        if not settings.admin_port:
            log.warning(
                "%d workers and no GAN_ADMIN_PORT: /metrics tells of one of them, by chance",
                len(plans),
            )
        return _Supervisor(plans, public, admin).run()


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


def _work(
    settings: Settings,
    public: list[socket.socket],
    admin: list[socket.socket],
    scoreboard: Scoreboard,
    place: int,
) -> None:
    threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
    try:
        status = _serve_alone(settings, public, admin, scoreboard, place)
    except SettingsError as error:
        for mistake in error.mistakes:
            log.error("cannot start: %s", mistake)
        status = START_FAILED
    raise SystemExit(status)


def _end_with_the_supervisor() -> None:
    supervisor = multiprocessing.parent_process()
    assert supervisor
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _serve_alone(
    settings: Settings,
    public: list[socket.socket],
    admin: list[socket.socket],
    scoreboard: Scoreboard | None = None,
    place: int = 0,
) -> int:
    """Serves in this process; returns the exit status."""
    configure(settings.log_format)
    prepare_process()
    app = create_app(settings)
    readiness: Readiness = app.state.readiness
    readiness.scoreboard = scoreboard or readiness.scoreboard
    config = uvicorn.Config(
        app,
        http=protocol(settings, readiness, app.state.telemetry),
        ws="none",
        access_log=False,
        log_config=None,
    )
    server = Server(config, settings, readiness, app.state.reloader.reload, admin, place)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end_at_once)  # before the server has its own, and after
    with under(settings.root_path):  # also in refusals of what is no request for the application
        server.run(sockets=public)
    if server.status == GIVEN_UP:
        logging.shutdown()
        os._exit(GIVEN_UP)  # a thread that hangs would be waited for
    return server.status


def _tell(worker: SpawnProcess, number: int) -> None:
    if worker.pid is not None and worker.is_alive():
        os.kill(worker.pid, number)


@dataclass
class _Place:
    """One worker, and those that take its place."""

    number: int
    plan: Settings
    admin: list[socket.socket]
    process: SpawnProcess = field(init=False)
    pause: float = SHORTEST_PAUSE  # seconds until the next try, should this one fail
    next_try: float | None = None  # monotonic seconds; None while a process is there


class _Supervisor:
    """Starts the workers, replaces those that die, and ends with them."""

    def __init__(
        self, plans: list[Settings], public: list[socket.socket], admin: list[list[socket.socket]]
    ) -> None:
        self._public = public
        self._stop, self._reload = threading.Event(), False
        self._context = multiprocessing.get_context("spawn")
        self._scoreboard = Scoreboard.shared(len(plans), self._context)
        self._places = [
            _Place(number, plan, own)
            for number, (plan, own) in enumerate(zip(plans, admin, strict=True))
        ]
        self._one_has_served = False

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)
        signal.signal(signal.SIGHUP, self._asked_to_reload)
        for place in self._places:
            self._start(place)
        status = 0
        while not self._stop.wait(0.1):
            if self._reload:
                self._reload = False
                self._tell_to_reload()
            self._one_has_served |= any(self._scoreboard.serving)
            for place in self._places:
                self._look_after(place)
            if self._cannot_start():
                status = START_FAILED
                break
        for place in self._places:
            place.process.terminate()
        for place in self._places:
            place.process.join()
        return status

    def _look_after(self, place: _Place) -> None:
        """Replaces a worker that has ended, once its pause is over."""
        if place.next_try is not None:
            if time.monotonic() >= place.next_try:
                self._start(place)
            return
        served = self._scoreboard.serving[place.number]
        if served:
            place.pause = SHORTEST_PAUSE
        if place.process.exitcode is None:
            return
        self._scoreboard.serving[place.number] = 0
        self._scoreboard.ended[place.number] += 1
        log.error(
            "worker %d ended with %s; %s workers serve, another try in %g s",
            place.process.pid,
            place.process.exitcode,
            self._scoreboard.missing,
            place.pause,
        )
        place.next_try = time.monotonic() + place.pause
        place.pause = min(2 * place.pause, LONGEST_PAUSE)

    def _cannot_start(self) -> bool:
        """Tells whether every worker's first word was that it cannot: another try would fail in the
        same way. Where one has served, the others may yet.
        """
        if self._one_has_served:
            return False
        return all(place.process.exitcode == START_FAILED for place in self._places)

    def _start(self, place: _Place) -> None:
        place.next_try = None
        place.process = self._context.Process(
            target=_work,
            args=(place.plan, self._public, place.admin, self._scoreboard, place.number),
            daemon=True,
        )
        # must not end one that is still starting: it is delivered once the worker handles it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        place.process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])

    def _tell_to_reload(self) -> None:
        """Tells every worker; those that could not start may be able to now."""
        for place in self._places:
            if place.next_try is not None:
                place.next_try, place.pause = 0.0, SHORTEST_PAUSE
            else:
                _tell(place.process, signal.SIGHUP)

    def _asked_to_reload(self, number: int, frame: FrameType | None) -> None:
        self._reload = True

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()
