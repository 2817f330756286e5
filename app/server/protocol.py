"""HTTP/1.1 as uvicorn speaks it, with four things more: an answer leaves in one write, a bell rings
when the client goes away, what comes in is bounded in bytes and in time, and a client that takes
nothing for a while is gone too. How much and how long are settings, each application's own.

Two writes, head and body, cost a system call more, and a process that is killed between them leaves
an answer that no load balancer can ask for again elsewhere. A client that does not read would keep
its place among the large answers forever, and the process from its end.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from app.monitoring.telemetry import Telemetry
from app.responses.problems import KINDS, Kind, problem_response
from app.server.disconnection import BELL
from app.server.readiness import Readiness
from app.settings import Settings

BODILESS = (204, 304)


class Protocol(HttpToolsProtocol):
    """One connection. See `protocol` for its bounds."""

    largest_head: int  # bytes of a request's line and headers
    receipt_seconds: float  # from a connection, or a request's first byte, to the request's last
    stalled_seconds: float  # without one byte taken, until a connection is given up
    keep_alive_seconds: int  # from an answer to the next request
    readiness: Readiness | None  # while draining, each answer is the last of its connection
    telemetry: Telemetry | None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.timeout_keep_alive = self.keep_alive_seconds
        self._bell: set[Callable[[], None]] = set()
        self._extensions: dict[str, Any] = {BELL: self._bell}
        self._stall: asyncio.TimerHandle | None = None
        self._receipt: asyncio.TimerHandle | None = None
        self._head_bytes = 0  # received of a head that is not complete
        self._in_head, self._complete, self._refused = True, False, False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a request."""
        super().connection_made(transport)
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Parses bytes of a request, or of several; bounds the head's size and the time."""
        if self._refused:
            return
        self._complete = False
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.largest_head:
            self._refuse(KINDS["headers-too-large"], f"allowed: up to {self.largest_head} bytes")
        if self._complete:
            self._end_receipt()
            self._await_the_next()
        elif self._receipt is None and not self._refused:
            self._await_request()

    def on_message_begin(self) -> None:
        """Begins a request, when the parser has seen its first byte."""
        super().on_message_begin()
        self._complete = False
        self.scope["extensions"] = self._extensions

    def on_headers_complete(self) -> None:
        """Begins the answer, when the parser has seen the whole head; refuses one too large."""
        self._head_bytes = 0
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.largest_head:
            self._refuse(KINDS["headers-too-large"], f"allowed: up to {self.largest_head} bytes")
        if not self._refused:
            self._in_head = False
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Passes on a part of the body that the parser has seen."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request, when the parser has seen its last byte."""
        self._in_head = self._complete = True
        if not self._refused:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the timers and rings the bell: the client is gone, or we have closed."""
        super().connection_lost(exc)
        self._end_stall()
        self._end_receipt()
        for leave in tuple(self._bell):
            leave()
        if self.cycle is not None:
            _let_go(self.cycle)

    def pause_writing(self) -> None:
        """Watches for a stall: more waits to be sent than the client takes."""
        super().pause_writing()
        self._watch_stall()

    def resume_writing(self) -> None:
        """Ends the watch: the client has taken most of it."""
        super().resume_writing()
        self._end_stall()

    def send_400_response(self, msg: str) -> None:
        """Refuses what the parser cannot read."""
        self._refuse(KINDS["malformed-request"], "This is not HTTP/1.1 as RFC 9112 has it.")

    def _await_request(self) -> None:
        self._receipt = self.loop.call_later(self.receipt_seconds, self._late)

    def _await_the_next(self) -> None:
        """Starts the keep-alive timer where the answer was complete before its request."""
        answered = self.cycle is not None and self.cycle.response_complete
        if answered and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _end_receipt(self) -> None:
        if self._receipt is not None:
            self._receipt.cancel()
            self._receipt = None

    def _late(self) -> None:
        self._receipt = None
        self._refuse(KINDS["request-timeout"], f"allowed: up to {self.receipt_seconds:g} s")

    def _refuse(self, kind: Kind, detail: str) -> None:
        """Answers in the application's place, unless it has begun to, and closes."""
        self._refused = True
        if self.telemetry:
            self.telemetry.refused(kind.slug)
        if self._may_answer():
            refusal = problem_response(kind, detail, {"Connection": "close"})
            lines = b"".join([b"%b: %b\r\n" % header for header in refusal.raw_headers])
            head = b"%b%b\r\n" % (STATUS_LINE[refusal.status_code], lines)
            self.transport.write(head + bytes(refusal.body))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # nothing more of it may leave
            self.cycle.message_event.set()
        self.transport.close()

    def _may_answer(self) -> bool:
        """Returns whether this request has no answer yet, and no other has to come first."""
        if self.cycle is None or self.cycle.response_complete:
            return self._in_head  # else it is the body of one that has been answered
        return not (self.pipeline or self.cycle.response_started)

    def _watch_stall(self, before: int | None = None) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting == before:
            self.transport.abort()
        else:
            self._stall = self.loop.call_later(self.stalled_seconds, self._watch_stall, waiting)

    def _end_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.send = OneWrite(cycle)  # type: ignore[method-assign]
        if self.readiness and self.readiness.draining:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)


def protocol(
    settings: Settings, readiness: Readiness | None = None, telemetry: Telemetry | None = None
) -> type[Protocol]:
    """Returns the class of one application's connections, with its bounds, for uvicorn."""
    ready, told = readiness, telemetry

    class Bounded(Protocol):
        largest_head = settings.max_head_kib * 2**10
        receipt_seconds = settings.receipt_seconds
        stalled_seconds = settings.stalled_seconds
        keep_alive_seconds = settings.keep_alive_seconds
        readiness, telemetry = ready, told

    return Bounded


class OneWrite:
    """ASGI's `send` for one request: keeps the head back until the body is there.

    What is not a whole answer of known length goes uvicorn's own way; to a client that speaks
    HTTP/1.0, and so knows no chunks, it goes until the connection ends.
    """

    __slots__ = ("_cycle", "_head", "_slow", "_until_closed")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._slow = cycle.send
        self._head: Any = None
        self._until_closed = False

    async def __call__(self, message: Any) -> None:
        """Raises RuntimeError where the application breaks ASGI's rules."""
        cycle, head = self._cycle, self._head
        if message["type"] == "http.response.start" and not cycle.response_started:
            self._head = message  # in place of an earlier one, where the application has failed
            return
        if head is None:
            await self._send_slowly(message)
            return
        self._head = None
        answer = None
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answer = _whole(cycle, head, message.get("body", b""))
        if answer is None or cycle.flow.write_paused or cycle.disconnected:
            if cycle.scope["http_version"] == "1.0" and not _has_length(head):
                self._until_closed = True
                cycle.chunked_encoding = cycle.keep_alive = False
            await self._slow(head)
            await self._send_slowly(message)
            return
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(answer)
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        _let_go(cycle)

    async def _send_slowly(self, message: Any) -> None:
        if self._until_closed:  # each part is as long as it is
            self._cycle.expected_content_length = len(message.get("body", b""))
        await self._slow(message)
        if self._cycle.response_complete:
            _let_go(self._cycle)


def _let_go(cycle: RequestResponseCycle) -> None:
    # its OneWrite holds it, and it that: whole requests would wait for the garbage collector, and
    # its rounds halt all others
    vars(cycle).pop("send", None)


def _has_length(head: Any) -> bool:
    return any(name == b"content-length" for name, _ in head.get("headers", ()))


def _whole(cycle: RequestResponseCycle, head: Any, body: bytes) -> bytes | None:
    """Returns head and body as they go over the wire; None if uvicorn has to decide about them."""
    status, headers = head["status"], [*cycle.default_headers, *head.get("headers", ())]
    bodiless = cycle.scope["method"] == "HEAD" or status in BODILESS
    length = None
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
        elif name in (b"connection", b"transfer-encoding"):
            return None
    if not bodiless and length is None:
        return None
    if not bodiless and length != len(body):
        raise RuntimeError("the body is not as long as its Content-Length says")
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers):
        raise RuntimeError("a header holds a line break")
    close = b"" if cycle.keep_alive else b"connection: close\r\n"
    return b"%b%b%b\r\n%b" % (STATUS_LINE[status], lines, close, b"" if bodiless else body)
