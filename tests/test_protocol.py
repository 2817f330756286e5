"""HTTP on the wire: one write an answer, and a bell for clients that go away."""

import asyncio
import contextlib
import gc
import selectors
import socket
import struct
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop

from app.server.disconnection import watching
from app.server.protocol import Protocol, protocol
from app.server.transport import WatchedTransport
from app.settings import Settings
from tests.services import TIMEOUT, until

Ask = Callable[[bytes], Awaitable[bytes]]


class Skipping(selectors.DefaultSelector):
    """Waits for no clock: where nothing is ready, the time to wait has passed."""

    passed = 0.0  # seconds

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(None if timeout is None else 0)
        if timeout and not ready:
            self.passed += timeout
        return ready


class OwnTime(asyncio.SelectorEventLoop):
    """Has a time of its own, which passes only while there is nothing to do.

    So nothing is late on a slow machine, and a minute takes no time on any. Not for sockets: the
    kernel has another time.
    """

    def __init__(self) -> None:
        self._skipping = Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.passed


def run(main: Any, loop: Callable[[], asyncio.AbstractEventLoop] = OwnTime) -> Any:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)


each_loop = pytest.mark.parametrize(
    "loop",
    [
        pytest.param(asyncio.new_event_loop, id="asyncio"),
        pytest.param(uvloop.new_event_loop, id="uvloop"),
    ],
)


class Recorder:
    """A transport that remembers each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> None:
        return None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def configured(app: Any, **settings: Any) -> uvicorn.Config:
    http = protocol(Settings(**settings))
    return uvicorn.Config(app, http=http, lifespan="off", log_config=None)


@asynccontextmanager
async def connection(app: Any, **settings: Any) -> AsyncIterator[tuple[Protocol, Recorder]]:
    config = configured(app, **settings)
    config.load()
    server = uvicorn.Server(config)
    line = protocol(Settings(**settings))(config, server.server_state, {})
    recorder = Recorder()
    line.connection_made(recorder)  # type: ignore[arg-type]
    yield line, recorder
    if recorder.closed is False:
        line.connection_lost(None)


def answering(body: bytes, *headers: tuple[bytes, bytes], status: int = 200, parts: int = 1) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for part in range(parts):
            more = part + 1 < parts
            await send({"type": "http.response.body", "body": body, "more_body": more})

    return app


def talk(app: Any, *requests: bytes) -> tuple[list[bytes], bool]:
    """Returns the writes that requests in a row are answered with, and whether we closed."""

    async def main() -> tuple[list[bytes], bool]:
        async with connection(app) as (line, recorder):
            for request in requests:
                line.data_received(request)
                await asyncio.sleep(0.01)
            return recorder.writes, recorder.closed

    return run(main())


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_head_and_body_leave_in_one_write() -> None:
    app = answering(b"picture", (b"content-length", b"7"), (b"etag", b'"a"'))
    writes, closed = talk(app, GET, GET)
    assert len(writes) == 2
    assert not closed
    head, body = writes[0].split(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b'etag: "a"' in lines
    assert b"content-length: 7" in lines
    assert body == b"picture"


def test_head_of_a_head_request_has_the_length_and_no_body() -> None:
    app = answering(b"", (b"content-length", b"7"))
    (write,), _ = talk(app, GET.replace(b"GET", b"HEAD"))
    assert write.endswith(b"content-length: 7\r\n\r\n")


def test_304_has_no_body() -> None:
    (write,), _ = talk(answering(b"", (b"etag", b'"a"'), status=304), GET)
    assert write.startswith(b"HTTP/1.1 304 Not Modified\r\n")
    assert write.endswith(b'etag: "a"\r\n\r\n')
    assert b"chunked" not in write


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_client_of_http_1_0_gets_an_answer_of_unknown_length_without_chunks(method: bytes) -> None:
    request = GET.replace(b"1.1", b"1.0").replace(b"GET", method)
    writes, closed = talk(answering(b"ab", parts=3), request)
    head, _, body = b"".join(writes).partition(b"\r\n\r\n")
    assert closed
    assert b"connection: close" in head
    assert b"chunked" not in head
    assert body == (b"" if method == b"HEAD" else b"ababab")


@pytest.mark.parametrize(
    "request_",
    [GET.replace(b"1.1", b"1.0"), GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")],
    ids=["http-1.0", "connection-close"],
)
def test_connection_that_the_client_wants_closed_is_closed_after_the_answer(
    request_: bytes,
) -> None:
    writes, closed = talk(answering(b"ab", (b"content-length", b"2")), request_)
    assert closed
    assert writes[0].count(b"connection: close") == 1
    assert writes[0].endswith(b"ab")


def test_answer_of_unknown_length_is_chunked() -> None:
    writes, _ = talk(answering(b"abc", parts=2), GET)
    assert b"transfer-encoding: chunked" in writes[0]
    assert b"".join(writes).endswith(b"3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n")


def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.005 if scope["path"] == "/slow" else 0)
        body = scope["path"].encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def main() -> list[bytes]:
        async with connection(app) as (line, recorder):
            line.data_received(GET.replace(b"/ ", b"/slow ") + GET.replace(b"/ ", b"/fast "))
            await asyncio.sleep(0.1)
            return recorder.writes

    assert [write.rpartition(b"\r\n")[2] for write in run(main())] == [b"/slow", b"/fast"]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"5")],
        [(b"content-length", b"2"), (b"x", b"a\r\nb: c")],
        [(b"content-length", b"2"), (b"x\n", b"a")],
    ],
    ids=["length", "line-break-in-value", "line-break-in-name"],
)
def test_broken_answer_never_reaches_the_client(
    headers: list[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    writes, _ = talk(answering(b"ab", *headers), GET)
    assert b"b: c" not in b"".join(writes)
    assert not b"".join(writes).endswith(b"ab")
    assert "Exception in ASGI application" in caplog.text


def test_failure_before_the_body_is_a_500() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("too late for uvicorn, in time for us")

    writes, _ = talk(app, GET)
    assert b"".join(writes).startswith(b"HTTP/1.1 500 ")


def test_bell_rings_for_every_request_of_a_lost_connection_and_for_no_other() -> None:
    left: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with watching(scope, receive)(lambda: left.append(scope["path"])):
            await asyncio.sleep(0.01 if scope["path"] == "/done" else 10)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def main() -> None:
        async with connection(app) as (line, _):
            line.data_received(GET.replace(b"/ ", b"/done "))
            await asyncio.sleep(0.05)
            line.data_received(GET.replace(b"/ ", b"/waiting "))
            await asyncio.sleep(0.05)
            assert left == []
        assert left == ["/waiting"]

    run(main())


def test_bell_is_heard_by_who_begins_to_listen_after_the_connection_was_lost() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        watch = watching(scope, receive)
        with watch(lambda: heard.append("first")):
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)  # the connection is lost, and nobody listens
        with watch(lambda: heard.append("later")):
            pass

    async def main() -> None:
        async with connection(app) as (line, _):
            line.data_received(GET)
            await asyncio.sleep(0.01)
        while "later" not in heard:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), TIMEOUT))
    assert heard == ["later"]


def test_client_that_leaves_over_a_real_socket_is_noticed() -> None:
    async def main() -> bool:
        asked, gone = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            with watching(scope, receive)(gone.set):
                asked.set()
                await gone.wait()

        async with served(app) as (_, address):
            _, writer = await asyncio.open_connection(*address)
            writer.write(GET)
            await asyncio.wait_for(asked.wait(), TIMEOUT)
            await asyncio.sleep(0.2)
            was_quiet = not gone.is_set()
            writer.close()
            await asyncio.wait_for(gone.wait(), TIMEOUT)
        return was_quiet

    assert asyncio.run(main())


@pytest.mark.parametrize(
    ("reads", "given_up"), [(False, True), (True, False)], ids=["never", "slowly"]
)
def test_client_that_takes_nothing_is_given_up_and_a_slow_one_is_not(
    reads: bool, given_up: bool
) -> None:
    gone = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with watching(scope, receive)(gone.set):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not gone.is_set():
                part = bytes(2**23)
                await send({"type": "http.response.body", "body": part, "more_body": True})

    async def main() -> bool:
        stalled = 2.0 if reads else 0.3  # seconds; many times as long as between two reads
        async with served(app, stalled_seconds=stalled) as (_, address):
            reader, writer = await asyncio.open_connection(*address, limit=2**16)
            writer.write(GET)
            if reads:
                for _ in range(30):
                    await asyncio.sleep(0.1)
                    await reader.read(2**16)
            else:
                await asyncio.wait_for(gone.wait(), TIMEOUT)
            was_given_up = gone.is_set()
            writer.transport.abort()
        return was_given_up

    assert asyncio.run(main()) is given_up


LARGEST_HEAD = 16 * 2**10  # by default
LONG = b"a" * (LARGEST_HEAD + 1)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([b"GET /" + LONG + b" HTTP/1.1\r\nHost: x\r\n\r\n"], id="path"),
        pytest.param([b"GET / HTTP/1.1\r\nHost: x\r\nX: " + LONG + b"\r\n\r\n"], id="header"),
        pytest.param(
            [b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * LARGEST_HEAD + b"\r\n"], id="many-headers"
        ),
        pytest.param([b"GET / HTTP/1.1\r\nX: ", *[b"a" * 1000] * 40], id="never-ending"),
        pytest.param([GET, b"GET / HTTP/1.1\r\nX: ", *[b"a" * 1000] * 40], id="second-request"),
    ],
)
def test_long_head_is_431_and_never_reaches_the_application(parts: list[bytes]) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await answering(b"ab", (b"content-length", b"2"))(scope, receive, send)

    async def main() -> tuple[bytes, bool]:
        async with connection(app) as (line, recorder):
            for part in parts:
                line.data_received(part)
                if len(parts) > 1 and part is GET:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            return recorder.writes[-1], recorder.closed

    write, closed = run(main())
    assert closed
    assert write.startswith(b"HTTP/1.1 431 ")
    assert b"/problems/headers-too-large" in write
    assert seen == ["/"] * parts.count(GET)


def test_two_applications_of_one_process_have_bounds_of_their_own() -> None:
    async def main() -> list[tuple[bytes, bool]]:
        app = answering(b"ab", (b"content-length", b"2"))
        request = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 3000 + b"\r\n\r\n"
        answers = []
        async with connection(app, max_head_kib=2) as one, connection(app, max_head_kib=4) as two:
            for line, recorder in (one, two):
                line.data_received(request)
                await asyncio.sleep(0.01)
                answers.append((recorder.writes[0], recorder.closed))
        return answers

    (small, closed), (large, open_) = run(main())
    assert small.startswith(b"HTTP/1.1 431 ")
    assert b"allowed: up to 2048 bytes" in small
    assert large.startswith(b"HTTP/1.1 200 ")
    assert (closed, open_) == (True, False)


def test_connection_is_kept_between_requests_as_long_as_the_setting_says() -> None:
    async def main() -> tuple[bool, bool]:
        app = answering(b"ab", (b"content-length", b"2"))
        async with connection(app, keep_alive_seconds=100) as (line, recorder):
            line.data_received(GET)
            await asyncio.sleep(99)
            kept = not recorder.closed
            await asyncio.sleep(2)
            return kept, recorder.closed

    assert run(main()) == (True, True)


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET /", GET[:-2], b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"],
)
def test_request_that_does_not_arrive_is_408(begun: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def main() -> tuple[list[bytes], bool]:
        async with connection(app, receipt_seconds=0.05) as (line, recorder):
            if begun:
                line.data_received(begun)
            await asyncio.sleep(0.2)
            return recorder.writes, recorder.closed

    writes, closed = run(main())
    assert closed
    (write,) = writes
    assert write.startswith(b"HTTP/1.1 408 ")


def test_slow_answer_is_waited_for() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.2)
        await answering(b"ab", (b"content-length", b"2"))(scope, receive, send)

    async def main() -> list[bytes]:
        async with connection(app, receipt_seconds=0.05) as (line, recorder):
            line.data_received(GET)
            await asyncio.sleep(0.4)
            return recorder.writes

    (write,) = run(main())
    assert write.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("headers", [[(b"content-length", b"2")], []], ids=["one-write", "chunked"])
def test_answered_request_leaves_nothing_to_the_garbage_collector(
    headers: list[tuple[bytes, bytes]],
) -> None:
    cycles: list[weakref.ref[Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cycles.append(weakref.ref(receive.__self__))
        await answering(b"ab", *headers)(scope, receive, send)

    async def main() -> list[object]:
        async with connection(app) as (line, _):
            for _ in range(3):
                line.data_received(GET)
                await asyncio.sleep(0.01)
            return [cycle() for cycle in cycles[:-1]]  # the last is still the connection's

    gc.disable()
    try:
        assert run(main()) == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "content",
    [b"", b"GET /", GET, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"],
    ids=["nothing", "line", "request", "body"],
)
def test_connection_that_breaks_leaves_nothing_to_the_garbage_collector(content: bytes) -> None:
    seen: list[weakref.ref[Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(weakref.ref(receive.__self__))
        while (await receive())["type"] != "http.disconnect":
            pass

    async def main() -> None:
        config = configured(app)
        config.load()
        line = protocol(Settings())(config, uvicorn.Server(config).server_state, {})
        seen.append(weakref.ref(line))
        line.connection_made(Recorder())  # type: ignore[arg-type]
        line.data_received(content)
        await asyncio.sleep(0.01)
        line.connection_lost(None)
        await asyncio.sleep(0.01)

    gc.disable()
    try:
        run(main())
        assert [one() for one in seen] == [None] * (2 if b"HTTP/1.1" in content else 1)
    finally:
        gc.enable()


def test_late_rest_of_a_request_leaves_an_answer_that_has_begun_alone() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async def main() -> tuple[list[bytes], bool]:
        async with connection(app, receipt_seconds=0.05) as (line, recorder):
            line.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
            await asyncio.sleep(0.2)
            return recorder.writes, recorder.closed

    writes, closed = run(main())
    assert closed
    assert b"".join(writes).endswith(b"begun\r\n")
    assert b"408" not in b"".join(writes)


def test_application_that_answers_after_a_refusal_is_not_heard() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await answering(b"ab", (b"content-length", b"2"))(scope, receive, send)

    async def main() -> list[bytes]:
        async with connection(app, receipt_seconds=0.05) as (line, recorder):
            line.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
            await asyncio.sleep(0.2)
            return recorder.writes

    (write,) = run(main())
    assert write.startswith(b"HTTP/1.1 408 ")


def test_connection_whose_answer_came_before_all_of_its_request_is_not_kept_for_ever() -> None:
    async def main() -> tuple[bytes, bool]:
        app = answering(b"ab", (b"content-length", b"2"))  # and it reads no body
        async with connection(app, keep_alive_seconds=1) as (line, recorder):
            line.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
            await asyncio.sleep(0.1)
            line.data_received(b"def")
            await asyncio.sleep(1.1)
            return b"".join(recorder.writes), recorder.closed

    answer, ended = run(main())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert ended


def test_request_that_was_answered_early_gets_no_second_answer() -> None:
    async def main() -> tuple[list[bytes], bool]:
        app = answering(b"ab", (b"content-length", b"2"))  # and it reads no body
        async with connection(app, receipt_seconds=0.05) as (line, recorder):
            line.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
            await asyncio.sleep(0.2)
            return recorder.writes, recorder.closed

    writes, closed = run(main())
    assert closed
    assert len(writes) == 1


class Echo:
    """Reads each request as a whole, notes it, and answers with its path when it may."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.seen: list[tuple[str, bytes, dict[bytes, bytes]]] = []
        self._gate = gate

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, whole = b"", False
        while not whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, whole = body + message["body"], not message["more_body"]
        self.seen.append((scope["path"], body, dict(scope["headers"])))
        if self._gate:
            await self._gate.wait()
        path = scope["path"].encode()
        await answering(path, (b"content-length", b"%d" % len(path)))(scope, receive, send)


Told = tuple[list[Any], list[bytes], bool]


def told(*parts: bytes) -> Told:
    """Returns what the application sees of these, what is answered, and whether we closed."""
    (one,) = each_told([parts])
    return one


def each_told(connections: Iterable[Sequence[bytes]]) -> list[Told]:
    """Returns the same of several connections, one after another."""

    async def main() -> list[Told]:
        return [await tell(parts) for parts in connections]

    config = configured(app := Echo())
    config.load()
    state, kind = uvicorn.Server(config).server_state, protocol(Settings())

    async def tell(parts: Sequence[bytes]) -> Told:
        app.seen = []
        line, recorder = kind(config, state, {}), Recorder()
        line.connection_made(recorder)  # type: ignore[arg-type]
        for part in parts:
            line.data_received(part)
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        closed = recorder.closed
        line.connection_lost(None)
        return app.seen, recorder.writes, closed

    return run(main())


def cuts(request: bytes) -> list[tuple[bytes, ...]]:
    """Returns a request in one segment, in two by many ways to cut it, and byte by byte."""
    ends = [place for place in range(1, len(request)) if b"\r" in request[place - 1 : place + 3]]
    places = {*ends, *range(1, len(request), 7)}
    halves = [(request[:place], request[place:]) for place in places]
    return [(request,), *halves, tuple(request[i : i + 1] for i in range(len(request)))]


CHUNKS = b"Transfer-Encoding: chunked\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
    "two": b"Upgrade: a\r\nconnection: upgrade\r\nUPGRADE: b\r\n",
    "none": b"",
}
BODIES = {
    "length": (b"POST", b"Content-Length: 5\r\n\r\nab\r\nc"),
    "chunks": (b"POST", CHUNKS + b"\r\n2\r\nab\r\n3\r\n\r\nc\r\n0\r\n\r\n"),
    "trailers": (
        b"POST",
        CHUNKS + b"\r\n5;a=b\r\nab\r\nc\r\n0\r\nAuthorization: t\r\nHost: t\r\nUpgrade: t\r\n\r\n",
    ),
    "empty": (b"POST", b"Content-Length: 0\r\n\r\n"),
    "none": (b"GET", b"\r\n"),
}


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("body", BODIES)
def test_requests_are_the_same_however_they_are_cut(upgrade: str, body: str) -> None:
    """An upgrade is ignored, trailers are no headers, and what follows is another request."""
    method, rest = BODIES[body]
    head = method + b" /first HTTP/1.1\r\nHost: x\r\n" + UPGRADES[upgrade]
    content = b"" if body in ("empty", "none") else b"ab\r\nc"
    for seen, writes, closed in each_told(cuts(head + rest + NEXT)):
        assert [(path, read) for path, read, _ in seen] == [("/first", content), ("/next", b"")]
        assert b"upgrade" not in seen[0][2]
        assert b"authorization" not in seen[0][2]
        assert [write.rpartition(b"\r\n")[2] for write in writes] == [b"/first", b"/next"]
        assert closed is False


def test_upgrade_leaves_nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    told(b"GET / HTTP/1.1\r\nHost: x\r\n" + UPGRADES["h2c"] + b"\r\n")
    assert caplog.text == ""


LONG_FIELD = b"a" * 1000
AROUND = {
    "trailer": [b"0\r\nX: ", *[LONG_FIELD] * 20],
    "trailers": [b"0\r\n", *[b"X: " + LONG_FIELD + b"\r\n"] * 20],
    "short-trailers": [b"0\r\n", *[b"A: b\r\n" * 100] * 40],
    "trailer-name": [b"0\r\n", *[LONG_FIELD] * 20],
    "chunk-extension": [b"5;", *[LONG_FIELD] * 20],
    "chunk-extensions": [b"1;" + LONG_FIELD + b"\r\na\r\n"] * 20,
    "zeros": [b"0" * 1000] * 20,
}


@pytest.mark.parametrize("segments", ["one", "many"])
@pytest.mark.parametrize("form", AROUND)
def test_bytes_around_a_body_count_as_its_head(form: str, segments: str) -> None:
    head = b"POST /first HTTP/1.1\r\nHost: x\r\n" + CHUNKS + b"\r\n"
    parts = [head, *AROUND[form]]
    if segments == "one":
        parts = [b"".join(parts) + b"\r\n\r\n"]
    _, writes, closed = told(*parts)
    (write,) = writes
    proper = form in ("trailer", "trailers", "short-trailers", "chunk-extension")
    assert write[:13] in (b"HTTP/1.1 431 ", *([] if proper else [b"HTTP/1.1 400 "]))
    assert closed


def test_small_chunks_are_no_head() -> None:
    head = b"POST /first HTTP/1.1\r\nHost: x\r\n" + CHUNKS + b"\r\n"
    body = b"1\r\na\r\n" * 30_000 + b"0\r\n\r\n"
    for parts in ([head + body], [head, *(body[i : i + 7] for i in range(0, len(body), 7))]):
        ((_, content, _),), (write,), _ = told(*parts)
        assert content == b"a" * 30_000
        assert write.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n", id="get"),
        pytest.param(b"POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", id="length"),
        pytest.param(
            b"POST /first HTTP/1.1\r\nHost: x\r\n" + CHUNKS + b"\r\n1\r\na\r\n0\r\n\r\n",
            id="chunks",
        ),
    ],
)
def test_requests_ahead_of_their_turn_wait_unread_and_bounded(first: bytes) -> None:
    async def main() -> tuple[int, int, int, bool, int]:
        app = Echo(gate := asyncio.Event())
        async with connection(app) as (line, recorder):
            line.data_received(first + NEXT * 4_000)
            await asyncio.sleep(0.01)
            ahead, held, paused = len(line.pipeline), len(line._held), line.flow.read_paused
            gate.set()
            while len(recorder.writes) < 4_001:
                await asyncio.sleep(0.01)
            return len(app.seen), ahead, held, paused, len(line._held)

    count, ahead, held, paused, left = run(main())
    assert ahead <= 512 / len(NEXT)
    assert held <= 4_000 * len(NEXT)
    assert paused
    assert (count, left) == (4_001, 0)


@pytest.mark.parametrize("kind", ["length", "chunks"])
def test_junk_behind_a_request_leaves_its_answer_alone(kind: str) -> None:
    method, rest = BODIES[kind]
    request = method + b" /first HTTP/1.1\r\nHost: x\r\n" + rest + b"\0junk\r\n\r\n"
    for _, writes, closed in each_told(cuts(request)):
        assert writes[0].startswith(b"HTTP/1.1 200 ")
        assert len(writes) == 1 or writes[1].startswith(b"HTTP/1.1 400 ")
        assert closed


def lines(first: bytes, *more: bytes) -> bytes:
    return b"\r\n".join([first, *more, b"", b""])


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (lines(b"GET http://host HTTP/1.1", b"Host: host"), "/"),
        (lines(b"GET http://host?a=b HTTP/1.1", b"Host: host"), "/"),
        (lines(b"GET HTTPS://host:1/a?b HTTP/1.1", b"Host: host"), "/a"),
        (lines(b"OPTIONS * HTTP/1.1", b"Host: host"), "*"),
        (lines(b"GET / HTTP/1.0"), "/"),
        (lines(b"GET / HTTP/1.1", b"Host:"), "/"),
        (lines(b"GET / HTTP/1.1", b"Host: [::1]:80"), "/"),
        (lines(b"GET / HTTP/1.1", b"Host: 1.2.3.4:80"), "/"),
        (lines(b"GET / HTTP/1.1", b"Host: my_host.example."), "/"),
        (lines(b"CONNECT x:80 HTTP/1.1", b"Host: x"), None),
        (lines(b"CONNECT / HTTP/1.1", b"Host: x", b"Content-Length: 3") + b"abc", None),
        (lines(b"GET x:80 HTTP/1.1", b"Host: x"), None),
        (lines(b"GET ftp://x/ HTTP/1.1", b"Host: x"), None),
        (lines(b"GET http://a@x/ HTTP/1.1", b"Host: x"), None),
        (lines(b"GET http:/// HTTP/1.1", b"Host: x"), None),
        (lines(b"GET x HTTP/1.1", b"Host: x"), None),
        (lines(b"GET / HTTP/1.1"), None),
        (lines(b"GET / HTTP/1.1", b"Host: x", b"Host: x"), None),
        (lines(b"GET / HTTP/1.0", b"Host: x", b"Host: y"), None),
        (lines(b"GET / HTTP/1.1", b"Host: x y"), None),
        (lines(b"GET / HTTP/1.1", b"Host: x/y"), None),
        (lines(b"GET / HTTP/1.1", b"Host: x@y"), None),
        (lines(b"GET / HTTP/1.1", b"Host: x:y"), None),
        (lines(b"GET / HTTP/1.1", b"Host: \xff"), None),
        (b"GET /\r\n\r\n", None),
        (lines(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", None),
        (lines(b"GET /\xff HTTP/1.1", b"Host: x"), None),
    ],
)
def test_every_target_and_host_is_answered(request_: bytes, path: str | None) -> None:
    for before, more in ((b"", ()), (NEXT, ("/next",))):
        seen, writes, closed = told(before, request_) if before else told(request_)
        assert [one[0] for one in seen] == [*more, *([path] if path else [])]
        assert writes[-1].startswith(b"HTTP/1.1 200 " if path else b"HTTP/1.1 400 ")
        assert len(writes) == len(more) + 1
        assert closed is (path is None or b"HTTP/1.0" in request_)


@asynccontextmanager
async def served(app: Any, **settings: Any) -> AsyncIterator[tuple[uvicorn.Server, Any]]:
    """Yields a server on a port of its own; its address."""
    config = configured(app, **settings)
    config.timeout_graceful_shutdown = round(2 * TIMEOUT)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    # little room in the kernel: what a client takes is soon seen
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**12)
    serving = asyncio.create_task(server.serve([listener]))
    await until(lambda: server.started)
    try:
        yield server, listener.getsockname()
    finally:  # uvloop waits for ever for a listener that is left open
        server.should_exit = True
        await serving


def deaf(address: Any) -> socket.socket:
    """Returns a connection of a client that has little room for what it does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**11)
    client.connect(address)
    return client


LINGERING = {
    "kept": (GET, {}),
    "closed": (GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), {}),
    "half-closed": (GET, {"shut": True}),
    "late": (GET + b"GET /", {}),
    "junk": (GET + b"\0", {}),
}
UNREAD = bytes(50_000)  # more than the kernel keeps, and less than 64 KiB
UNREAD_ANSWER = answering(UNREAD, (b"content-length", b"%d" % len(UNREAD)))


@each_loop
@pytest.mark.parametrize("form", LINGERING)
def test_client_that_does_not_read_the_rest_of_its_answer_is_given_up(form: str, loop: Any) -> None:
    request, more = LINGERING[form]

    async def main() -> None:
        short = {"stalled_seconds": 1, "keep_alive_seconds": 1, "receipt_seconds": 1}
        async with served(UNREAD_ANSWER, **short) as (server, address):
            with deaf(address) as client:
                client.sendall(request)
                if more:
                    client.shutdown(socket.SHUT_WR)
                await until(lambda: server.server_state.total_requests > 0)
                await asyncio.sleep(0.05)
                assert server.server_state.connections
                await until(lambda: not server.server_state.connections)

    run(main(), loop)


@pytest.mark.parametrize("turns", range(8))
def test_all_of_a_pipeline_is_answered_to_a_client_that_sends_no_more(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WatchedTransport, "tells_who_has_gone", lambda self: True)
    monkeypatch.setattr(WatchedTransport, "await_answer", lambda self, begun: None)

    async def main() -> tuple[int, bool]:
        async with connection(answering(b"x", (b"content-length", b"1"))) as (line, recorder):
            line.data_received(GET * 5)
            for _ in range(turns):  # turns of the event loop: as far as answers have come by then
                await asyncio.sleep(0)
            if line.eof_received() is False:
                recorder.close()
            for _ in range(40):
                await asyncio.sleep(0)
            return len(recorder.writes), recorder.closed

    assert run(main()) == (5, True)


@each_loop
@pytest.mark.parametrize("parts", [1, 4])
def test_client_that_takes_too_little_is_given_up_and_the_answer_is_held_until_then(
    parts: int, loop: Any
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    size = 16 * 2**20
    answer = answering(bytes(size // parts), (b"content-length", b"%d" % size), parts=parts)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await answer(scope, receive, send)
        ended.set()

    async def main() -> None:
        async with served(app, stalled_seconds=0.5) as (server, address):
            with deaf(address) as client:
                client.setblocking(False)
                client.sendall(GET)
                await asyncio.wait_for(begun.wait(), TIMEOUT)
                taken, turns = 0, 0
                while server.server_state.connections:
                    assert not ended.is_set()  # the most of it is not taken
                    with contextlib.suppress(BlockingIOError, ConnectionResetError):
                        taken += len(client.recv(5))
                    turns += 1
                    await asyncio.sleep(0.05)
                await asyncio.wait_for(ended.wait(), TIMEOUT)
                assert taken <= 5 * turns

    run(main(), loop)


@each_loop
@pytest.mark.parametrize("size", [50_000, 2**23], ids=["small", "large"])
def test_client_that_does_not_read_holds_up_no_shutdown(size: int, loop: Any) -> None:
    async def main() -> None:
        app = answering(bytes(size), (b"content-length", b"%d" % size))
        async with served(app, stalled_seconds=10 * TIMEOUT) as (server, address):
            with deaf(address) as client:
                client.sendall(GET)
                await until(lambda: server.server_state.connections)
                server.should_exit = True
                await until(lambda: not server.server_state.connections)

    run(main(), loop)


@each_loop
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_client_that_only_sends_no_more_is_answered(loop: Any, count: int, version: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.2)
        with watching(scope, receive)(lambda: pytest.fail("it has not gone")):
            await answering(b"ab", (b"content-length", b"2"))(scope, receive, send)

    async def main() -> bytes:
        async with served(app, keep_alive_seconds=10 * TIMEOUT) as (_, address):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(GET.replace(b"1.1", version) * count)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), TIMEOUT)  # it is not kept
            writer.close()
            return answer

    answer = run(main(), loop)
    count = count if version == b"1.1" else 1
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == count
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"ab")
    assert answer.count(b"connection: close") == 1


@each_loop
@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.parametrize("requests", [1, 2, 5, 20_000])
def test_client_that_goes_is_noticed_and_leaves_no_traceback(
    requests: int, way: str, loop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        gone, ended = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            with watching(scope, receive)(gone.set):
                await gone.wait()
            await answering(b"ab", (b"content-length", b"2"))(scope, receive, send)
            await receive()
            ended.set()

        async with served(app) as (_, address):
            client = socket.create_connection(address)
            client.setblocking(False)
            client.send(GET * requests)
            await asyncio.sleep(0.1)
            assert not gone.is_set()
            if way == "reset":
                linger = struct.pack("ii", 1, 0)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.close()
            await asyncio.wait_for(gone.wait(), TIMEOUT)
            await asyncio.wait_for(ended.wait(), TIMEOUT)

    run(main(), loop)
    assert not [record for record in caplog.records if record.levelname != "INFO"]
