"""HTTP/1.1 as uvicorn speaks it, with five things more: an answer leaves in one write, a bell rings
when the client goes away, what comes in is bounded in bytes and in time, requests that come before
their turn wait unread, and a client that takes nothing for a while is gone too. How much and how
long are settings, each application's own.

Two writes, head and body, cost a system call more, and a process that is killed between them leaves
an answer that no load balancer can ask for again elsewhere. A client that does not read would keep
its place among the large answers forever, and the process from its end.

What comes is parsed in parts. A part ends where a request or its head does, so that nothing of the
next request is parsed before this one is answered:

    head      -> to the blank line
    body      -> as long as Content-Length says
    in chunks -> to a blank line, the last of the next PART bytes: it may be the end of the request
"""

import asyncio
import math
import re
from contextvars import Context
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from app.monitoring.telemetry import Telemetry
from app.responses.problems import KINDS, Kind, problem_response
from app.server.disconnection import BELL, Bell
from app.server.readiness import Readiness
from app.server.transport import WatchedTransport
from app.settings import Settings

BODILESS = (204, 304)
BLANK_LINE = b"\r\n\r\n"
PART = 512  # bytes of a body in chunks: so much of later requests may be parsed too early
CHUNK_LINES = 16  # bytes around a chunk that nobody counts
# RFC 9110, section 7.2: a name or an address, and perhaps a port; empty where the URI has neither
HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%_~-]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(?::[0-9]{0,5})?")
GRACE = 0.02  # seconds in which what has come is read before it is called late
LEAVING_SECONDS = 2.0  # that a client may take nothing of its answer while the process ends


class Protocol(HttpToolsProtocol):
    """One connection. See `protocol` for its bounds."""

    largest_head: int  # bytes of a request's line and headers, and of all else around its body
    receipt_seconds: float  # from a connection, or a request's first byte, to the request's last
    stalled_seconds: float  # without one byte taken, until a connection is given up
    keep_alive_seconds: int  # from an answer to the next request
    readiness: Readiness | None  # while draining, each answer is the last of its connection
    telemetry: Telemetry | None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.timeout_keep_alive = self.keep_alive_seconds
        self._bell = Bell()
        self._extensions: dict[str, Any] = {BELL: self._bell}
        self._receipt: asyncio.TimerHandle | None = None
        self._idle_since = math.inf  # seconds of the loop's clock; a request is here, or none yet
        self._running: RequestResponseCycle | None = None  # the request that is being answered
        self._held = bytearray()  # what came while a request was being answered
        self._head_bytes = 0  # the request's, up to its blank line
        self._around_bytes = 0  # between its chunks and behind them, beyond what has to be there
        self._body_bytes = 0  # in this part, with what has to be around them
        self._body_left = 0  # bytes that are to come by Content-Length
        self._in_head, self._complete, self._refused = True, False, False
        self._ended = False  # the client has sent its last byte

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a request."""
        watched = WatchedTransport(transport, self.loop, self.stalled_seconds)
        super().connection_made(cast("asyncio.Transport", watched))
        self.flow = Flow(self.transport, self._held)
        self._await_request()

    @property
    def _watched(self) -> WatchedTransport:
        return cast("WatchedTransport", self.transport)

    def data_received(self, data: bytes) -> None:
        """Parses bytes of a request, or keeps them until the one before is answered."""
        if self._refused:
            return
        self._idle_since = math.inf
        if self._held or self._is_answering():
            self._hold(data)
        elif (used := self._read(data)) < len(data):
            self._hold(data[used:])

    def _is_answering(self) -> bool:
        """Returns whether a request is here as a whole, and its answer is not."""
        return self._in_head and self.cycle is not None and not self.cycle.response_complete

    def _hold(self, data: bytes) -> None:
        if not self._refused and self.cycle.keep_alive:  # else nothing more will be answered
            self._held += data
            self._pause_if_full()

    def _pause_if_full(self) -> None:
        if len(self._held) > HIGH_WATER_LIMIT and self._is_answering():
            self.flow.pause_reading()
            assert self._running
            if self._watched.tells_who_has_gone():  # reading would tell, if it went on
                self._watched.await_answer(self._running.response_started)

    def _go_on(self) -> None:
        """Reads what has been held."""
        if not self._held or self._is_answering():
            return
        self._watched.answered()
        del self._held[: self._read(self._held)]
        self._pause_if_full()
        self.flow.resume_reading()
        if self._ended and not self._held:
            if self._is_answering():
                self.cycle.keep_alive = False
            else:
                self.transport.close()

    def _read(self, data: bytes | bytearray) -> int:
        """Parses requests as far as their turn has come; returns how many bytes."""
        self._complete = False
        place, size = 0, len(data)
        while place < size:
            end = self._end_of_part(data, place)
            self._parse(data if end - place == size else data[place:end])
            place = end
            if self._refused:
                return size
            if self._complete and not self.cycle.response_complete:
                break
        if not self._complete:
            if self._receipt is None:
                self._await_request()
            return place
        if self._receipt is not None:
            self._end_receipt()
        if self.cycle.response_complete:
            self._await_the_next()
        return place

    def _end_of_part(self, data: bytes | bytearray, place: int) -> int:
        if place == 0 and data[0] in b"\r\n":  # perhaps the rest of a blank line
            return min(3, len(data) - len(data.lstrip(b"\r\n")))
        if self._in_head:
            end = data.find(BLANK_LINE, place)
        elif self._body_left:
            end = min(len(data), place + self._body_left)
            self._body_left -= end - place
            return end
        else:
            end = data.rfind(BLANK_LINE, place, place + PART)
            if end < 0:
                end = data.find(BLANK_LINE, place + PART - len(BLANK_LINE) + 1)
        return len(data) if end < 0 else end + len(BLANK_LINE)

    def _parse(self, part: bytes | bytearray) -> None:
        in_head = self._in_head
        if in_head:
            self._head_bytes += len(part)
            if self._head_bytes > self.largest_head:
                self._refuse_the_head()
                return
        self._body_bytes = 0
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._refused:
                self._ignore_upgrade(part[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse_as_malformed()
            return
        if not in_head:
            self._around_bytes = max(0, self._around_bytes + len(part) - self._body_bytes)
            if self._head_bytes + self._around_bytes > self.largest_head:
                self._refuse_the_head()
        if self._complete:
            self._head_bytes = self._around_bytes = 0

    def _ignore_upgrade(self, rest: bytes | bytearray) -> None:
        """Reads the head again as if it asked for no other protocol: that is ignored here (RFC
        9110, section 7.8), but the parser ends with it, and would take the body for a request.
        """
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        try:
            self.parser.feed_data(b"".join(lines) + b"\r\n")
        except httptools.HttpParserError:
            self._refuse_as_malformed()
        else:
            if rest:
                self._parse(rest)

    def on_message_begin(self) -> None:
        """Begins a request, when the parser has seen its first byte."""
        super().on_message_begin()
        self._complete = False
        self.scope["extensions"] = self._extensions

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header. A trailer is none, whatever its name (RFC 9110, section 6.5.1)."""
        if self._in_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Begins the answer, when the parser has seen the whole head, or refuses it."""
        if self._refused:
            return
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._refuse(KINDS["malformed-request"], "CONNECT is for proxies.")
            return
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        host = self.headers[names.index(b"host")][1] if hosts else b""
        if (hosts != 1 or b"transfer-encoding" in names or not HOST.fullmatch(host)) and (
            mistake := self._mistake(hosts, host, names)
        ):
            self._refuse(KINDS["malformed-request"], mistake)
            return
        self._body_left = 0
        if b"content-length" in names:
            self._body_left = int(self.headers[names.index(b"content-length")][1])
        if self.url[:1] != b"/":
            self.url = origin_form(self.url)
        super().on_headers_complete()
        self._in_head = False

    def _mistake(self, hosts: int, host: bytes, names: list[bytes]) -> str:
        version = self.parser.get_http_version()
        if hosts > 1 or (not hosts and version != "1.0"):
            return "One header Host is wanted."
        if not HOST.fullmatch(host):
            return "The header Host is no name or address."
        if version != "1.1" and b"transfer-encoding" in names:
            return "HTTP/1.0 has no Transfer-Encoding."
        return ""

    def on_chunk_header(self) -> None:
        """Counts a part of the body that is as long as its own line says."""
        self._body_bytes += CHUNK_LINES

    def on_body(self, body: bytes) -> None:
        """Passes on a part of the body that the parser has seen."""
        self._body_bytes += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request, when the parser has seen its last byte."""
        if self._in_head:  # its head is refused, or is read again
            return
        self._in_head = self._complete = True
        cycle = self.cycle
        if not (self._refused or cycle.response_complete):
            cycle.more_body = False
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Goes on to the next request, if it is here."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._held:
            self.loop.call_soon(self._go_on, context=Context())  # none of the request before
        else:
            self._await_the_next()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's never keeps it
        """Keeps the connection of a client that sends no more until all that is here as a whole is
        answered; but not if the client has gone.
        """
        if self._ended:
            return not self.transport.is_closing()
        running, watched = self._running, self._watched
        answering = running is not None and self._is_answering()
        if self._refused or not (answering or self._held) or not watched.tells_who_has_gone():
            watched.close()
            return False
        self._ended = True
        if answering:
            assert running
            if not self._held:
                self.cycle.keep_alive = False
            watched.await_answer(running.response_started)
        return not watched.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the timers and rings the bell: the client is gone, or we have closed."""
        super().connection_lost(exc)
        self._watched.lost()
        self._end_receipt()
        self._unset_keepalive_if_required()
        self._held.clear()
        self._bell.ring()
        for cycle in (self._running, self.cycle):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()
                _let_go(cycle)
        self._running = None
        self.pipeline.clear()

    def shutdown(self) -> None:
        """Ends the connection, when its request is answered; waits for no client that stops."""
        super().shutdown()
        self._watched.hurry(LEAVING_SECONDS)

    def pause_writing(self) -> None:
        """Watches for a stall: more waits to be sent than the client takes."""
        super().pause_writing()
        self._watched.watch()

    def resume_writing(self) -> None:
        """Ends the watch: the client has taken most of it."""
        super().resume_writing()
        self._watched.unwatch()

    def _await_request(self) -> None:
        self._receipt = self.loop.call_later(self.receipt_seconds, self._late)

    def _await_the_next(self) -> None:
        """Begins to count the time to the next request: the last is here, and is answered."""
        if self._in_head and self.cycle is not None and self.cycle.response_complete:
            self._idle_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._look_whether_idle()

    def _look_whether_idle(self) -> None:
        """Closes a connection that nobody uses. One timer does for many requests."""
        self.timeout_keep_alive_task = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0:
            self.transport.close()
        elif left < math.inf and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(left, self._look_whether_idle)

    def _end_receipt(self) -> None:
        if self._receipt is not None:
            self._receipt.cancel()
            self._receipt = None

    def _late(self) -> None:
        """Lets what has come be read first: a loop that was busy looks at its clock before its
        connections.
        """
        self._receipt = self.loop.call_later(GRACE, self._refuse_late)

    def _refuse_late(self) -> None:
        self._receipt = None
        self._refuse(KINDS["request-timeout"], f"allowed: up to {self.receipt_seconds:g} s")

    def _refuse_the_head(self) -> None:
        self._refuse(KINDS["headers-too-large"], f"allowed: up to {self.largest_head} bytes")

    def _refuse_as_malformed(self) -> None:
        self._refuse(KINDS["malformed-request"], "This is not HTTP/1.1 as RFC 9112 has it.")

    def _refuse(self, kind: Kind, detail: str) -> None:
        """Answers in the application's place, unless it has begun to, and closes."""
        if self._refused:
            return
        self._refused = True
        if self.telemetry:
            self.telemetry.refused(kind.slug)
        if self._is_answering() and not self._complete:
            # what is wrong came after a request that is answered first
            self.cycle.keep_alive = False
            return
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

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.send = OneWrite(cycle)  # type: ignore[method-assign]
        if self.readiness and self.readiness.draining:
            cycle.keep_alive = False
        self._running = cycle
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


def origin_form(target: bytes) -> bytes:
    """Returns the path and query of a request's target that begins otherwise: a whole URL (RFC
    9112, section 3.2.2), or the * of OPTIONS.

    Raises:
        HttpParserError: it is neither.
    """
    if target == b"*":
        return target
    url = httptools.parse_url(target)
    if (url.schema or b"").lower() not in (b"http", b"https") or not url.host or url.userinfo:
        raise httptools.HttpParserInvalidURLError("neither a path nor a URL of this service")
    return (url.path or b"/") + (b"" if url.query is None else b"?" + url.query)


class Flow(FlowControl):
    """Reads no more while enough of later requests is here, whoever asks for more of this one."""

    def __init__(self, transport: asyncio.Transport, held: bytearray) -> None:
        super().__init__(transport)
        self._held = held

    def resume_reading(self) -> None:
        """Takes bytes of the client again, if there is room for them."""
        if self.read_paused and len(self._held) <= HIGH_WATER_LIMIT:
            super().resume_reading()


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
        if cycle.flow.write_paused:
            await cycle.flow.drain()  # whoever has memory reserved for it holds it until then

    async def _send_slowly(self, message: Any) -> None:
        if self._until_closed:  # each part is as long as it is
            self._cycle.expected_content_length = len(message.get("body", b""))
        await self._slow(message)
        if self._cycle.response_complete:
            _let_go(self._cycle)
            await self._cycle.flow.drain()


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
