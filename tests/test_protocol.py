"""HTTP on the wire: one write an answer, and a bell for clients that go away."""

import asyncio
import gc
import socket
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from app.server.disconnection import watching
from app.server.protocol import Protocol, protocol
from app.settings import Settings

Ask = Callable[[bytes], Awaitable[bytes]]


class Recorder:
    """A transport that remembers each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

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
    """The writes that requests, sent one after another, are answered with; whether we closed."""

    async def main() -> tuple[list[bytes], bool]:
        async with connection(app) as (line, recorder):
            for request in requests:
                line.data_received(request)
                await asyncio.sleep(0.01)
            return recorder.writes, recorder.closed

    return asyncio.run(main())


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

    assert [write.rpartition(b"\r\n")[2] for write in asyncio.run(main())] == [b"/slow", b"/fast"]


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

    asyncio.run(main())


def test_client_that_leaves_over_a_real_socket_is_noticed() -> None:
    async def main() -> bool:
        gone = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            with watching(scope, receive)(gone.set):
                await gone.wait()

        server = uvicorn.Server(configured(app))
        listener = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(GET)
        await asyncio.sleep(0.2)
        was_quiet = not gone.is_set()
        writer.close()
        await asyncio.wait_for(gone.wait(), 5)
        server.should_exit = True
        await serving
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
        server = uvicorn.Server(configured(app, stalled_seconds=0.3))
        listener = socket.create_server(("127.0.0.1", 0))
        # little room in the kernel: what the client takes is soon seen
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**14)
        serving = asyncio.create_task(server.serve([listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname(), limit=2**16)
        writer.write(GET)
        for _ in range(12):
            await asyncio.sleep(0.1)
            if reads:
                await reader.read(2**16)
        was_given_up = gone.is_set()
        writer.transport.abort()
        server.should_exit = True
        await serving
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

    write, closed = asyncio.run(main())
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

    (small, closed), (large, open_) = asyncio.run(main())
    assert small.startswith(b"HTTP/1.1 431 ")
    assert b"allowed: up to 2048 bytes" in small
    assert large.startswith(b"HTTP/1.1 200 ")
    assert (closed, open_) == (True, False)


def test_connection_is_kept_between_requests_as_long_as_the_setting_says() -> None:
    async def main() -> float:
        app = answering(b"ab", (b"content-length", b"2"))
        server = uvicorn.Server(configured(app, keep_alive_seconds=1))
        listener = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(GET)
        await reader.readuntil(b"ab")
        start = time.monotonic()
        assert await reader.read() == b""
        seconds = time.monotonic() - start
        writer.close()
        server.should_exit = True
        await serving
        return seconds

    assert 0.5 < asyncio.run(main()) < 3


@pytest.mark.parametrize(
    "begun", [b"", b"GET /", GET[:-2], b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"]
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

    writes, closed = asyncio.run(main())
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

    (write,) = asyncio.run(main())
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
        assert asyncio.run(main()) == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "content",
    [b"", b"GET /", GET, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"],
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
        line = config.http_protocol_class(config, uvicorn.Server(config).server_state, {})
        seen.append(weakref.ref(line))
        line.connection_made(Recorder())  # type: ignore[arg-type]
        line.data_received(content)
        await asyncio.sleep(0.01)
        line.connection_lost(None)
        await asyncio.sleep(0.01)

    gc.disable()
    try:
        asyncio.run(main())
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
            line.data_received(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
            await asyncio.sleep(0.2)
            return recorder.writes, recorder.closed

    writes, closed = asyncio.run(main())
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
            line.data_received(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
            await asyncio.sleep(0.2)
            return recorder.writes

    (write,) = asyncio.run(main())
    assert write.startswith(b"HTTP/1.1 408 ")


def test_connection_whose_answer_came_before_all_of_its_request_is_not_kept_for_ever() -> None:
    async def main() -> tuple[bytes, bool]:
        app = answering(b"ab", (b"content-length", b"2"))  # and it reads no body
        server = uvicorn.Server(configured(app, keep_alive_seconds=1))
        listener = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        answer = await reader.readuntil(b"ab")
        writer.write(b"def")
        ended = await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        server.should_exit = True
        await serving
        return answer, ended

    answer, ended = asyncio.run(main())
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert ended


def test_request_that_was_answered_early_gets_no_second_answer() -> None:
    async def main() -> tuple[list[bytes], bool]:
        app = answering(b"ab", (b"content-length", b"2"))  # and it reads no body
        async with connection(app, receipt_seconds=0.05) as (line, recorder):
            line.data_received(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
            await asyncio.sleep(0.2)
            return recorder.writes, recorder.closed

    writes, closed = asyncio.run(main())
    assert closed
    assert len(writes) == 1
