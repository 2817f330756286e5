"""The process from its first signal to its exit status: uvicorn, with a drain and a watchdog.

    SIGTERM              -> not ready, still serving -> no new connections -> all answered -> 0
    SIGINT, or SIGTERM again -> the same without the wait
    SIGHUP               -> model folders are read again
    a generator is broken    -> what waits is refused, not ready for as long -> GIVEN_UP

Balancers need a moment to see that a process is not ready: one that closes at once loses what is
sent to it meanwhile.
"""

import asyncio
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import FrameType
from typing import cast

import uvicorn

from app import START_FAILED
from app.responses.problems import Problem
from app.server.readiness import Readiness
from app.settings import Settings

log = logging.getLogger("ganserve")

GIVEN_UP = 4  # the watchdog has ended the process, or the grace time has
END_SECONDS = 0.2  # between looks at whether it is over
LAST_SECONDS = 1.0  # the last part of the grace time, to end in good order


class Server(uvicorn.Server):
    """One process's server."""

    def __init__(
        self,
        config: uvicorn.Config,
        settings: Settings,
        readiness: Readiness,
        reload: Callable[[], Awaitable[object]],
        admin: Sequence[socket.socket] = (),
        place: int = 0,
    ) -> None:
        """Takes what is bound for the operator, and its place among the host's workers."""
        left = settings.grace_seconds - settings.drain_seconds - LAST_SECONDS
        config.timeout_graceful_shutdown = max(1, int(left))
        super().__init__(config)
        self._settings, self._readiness, self._reload = settings, readiness, reload
        self._admin, self._place = admin, place
        self._reloads: set[asyncio.Task[None]] = set()
        self._leave_at: float | None = None  # monotonic seconds: the end of the drain
        self._end_at = math.inf  # monotonic seconds: the end of the grace time
        self._failure: str | None = None

    @property
    def status(self) -> int:
        """The exit status, once it has run."""
        if not self.started:
            return START_FAILED
        return GIVEN_UP if self._failure else 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles a signal that tells the process to end."""
        if not self.started:
            end_at_once(sig, frame)  # loading may take long, and no request has been accepted
        if self._leave_at is None:
            self._begin_to_leave(self._settings.drain_seconds if sig == signal.SIGTERM else 0.0)
            return
        self._leave_at = 0.0
        self.force_exit |= sig == signal.SIGINT  # nor is anything waited for

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Loads, listens, and from then on handles SIGHUP."""
        try:
            await super().startup(sockets)
            await self._listen_for_the_operator()
        except OSError as error:  # bound, but somebody else listens there by now
            log.error("cannot listen: %s", error.strerror)
            await self.lifespan.shutdown()
            sys.exit(START_FAILED)
        threading.Thread(target=self._see_to_the_end, name="end", daemon=True).start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked_to_reload)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        log.info("listening on %s", ", ".join(map(_address, sockets or ())))
        self._readiness.scoreboard.serving[self._place] = 1

    async def _listen_for_the_operator(self) -> None:
        connection: Callable[[], asyncio.Protocol] = partial(
            cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        for one in self._admin:
            server = await asyncio.get_running_loop().create_server(connection, sock=one)
            self.servers.append(server)

    def _asked_to_reload(self) -> None:
        task = asyncio.create_task(self._reload_and_tell())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload_and_tell(self) -> None:
        try:
            await self._reload()
        except Problem as problem:
            log.error("SIGHUP: %s", problem.detail)
        except Exception:
            log.exception("SIGHUP: the reload has failed")

    async def on_tick(self, counter: int) -> bool:
        """Tells ten times a second whether to end now; gives up where a generator has failed."""
        if self._failure is None and (failure := self._readiness.failure()):
            self._give_up(failure)
        asked = await super().on_tick(counter)
        return asked or (self._leave_at is not None and time.monotonic() >= self._leave_at)

    def _begin_to_leave(self, seconds: float) -> None:
        """Takes no lock and starts no thread: a signal may come while the main thread does."""
        self._readiness.draining = True
        now = time.monotonic()
        self._leave_at, self._end_at = now + seconds, now + self._settings.grace_seconds

    def _see_to_the_end(self) -> None:
        """Ends the process after the grace time, from a thread of its own, whatever hangs."""
        while time.monotonic() < self._end_at:
            time.sleep(END_SECONDS)
        log.critical("not finished in the grace time; what is not answered is cut")
        logging.shutdown()
        os._exit(GIVEN_UP)

    def _give_up(self, failure: str) -> None:
        self._failure = failure
        log.critical("giving up: %s", failure)
        for _, batcher in self._readiness.batchers():
            batcher.give_up()
        self.force_exit = True  # a thread that hangs is not waited for
        if self._leave_at is None:
            self._begin_to_leave(self._settings.drain_seconds)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def end_at_once(number: int, frame: FrameType | None) -> None:
    """Ends the process: a signal's handler where there is nothing to finish."""
    os._exit(0)
