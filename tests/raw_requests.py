"""Bytes that no HTTP library would send: framing, bodies and heads that are wrong on purpose, and
any number of mutations of them; and what they may be answered with.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterable, Iterator

HOST = b"Host: x\r\n"
CLOSE = b"Connection: close\r\n"


def get(target: bytes, head: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + head + CLOSE + b"\r\n"


def post(body: bytes, head: bytes = b"Content-Type: application/json\r\n") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST /generate HTTP/1.1\r\n" + HOST + head + length + CLOSE + b"\r\n" + body


def framed(head: bytes, rest: bytes = b"") -> bytes:
    return b"POST /generate HTTP/1.1\r\n" + HOST + head + b"\r\n" + rest


BODY = b'{"seed": 1}'
TEXTS = {
    "utf16": '{"seed": 1}'.encode("utf-16"),
    "utf16-le": '{"seed": 1}'.encode("utf-16-le"),
    "utf32": '{"seed": 1}'.encode("utf-32"),
    "bom": b"\xef\xbb\xbf" + BODY,
    "latin1": b'{"seed": "\xe9"}',
    "overlong": b'{"seed": "\xc0\xaf"}',
    "surrogate-bytes": b'{"seed": "\xed\xa0\x80"}',
    "surrogate": b'{"seed": "\\ud800"}',
    "surrogate-pair-reversed": b'{"seed": "\\udc00\\ud800"}',
    "surrogate-key": b'{"\\udfff": 1}',
    "surrogate-in-list": b'{"seeds": ["\\ud800", 1]}',
    "surrogate-class": b'{"seed": 1, "class": "\\ud800"}',
    "null-character": b'{"seed": "\\u0000"}',
    "nan": b'{"seed": NaN}',
    "infinity": b'{"z": [[-Infinity]]}',
    "1e999": b'{"z": [[1e999]]}',
    "minus-zero": b'{"seed": -0}',
    "1e2": b'{"seed": 1e2}',
    "long-number": b'{"seed": ' + b"9" * 5000 + b"}",
    "long-fraction": b'{"seed": 0.' + b"1" * 5000 + b"}",
    "deep-lists": b"[" * 100_000,
    "deep-objects": b'{"a":' * 50_000,
    "deep-closed": b'{"seed": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "duplicate-keys": b'{"seed": 1, "seed": 2}',
    "many-keys": b"{" + b",".join(b'"%d": 1' % i for i in range(20_000)) + b"}",
    "trailing": BODY + b"x",
    "two": BODY + BODY,
    "comment": b'{"seed": 1 /* */}',
    "single-quotes": b"{'seed': 1}",
    "empty": b"",
    "white": b" \n\t ",
    "just-null": b"null",
    "number": b"17",
    "text": b'"seed"',
    "nulls": b'{"seed": null, "z": null, "recipes": null}',
    "mixed-list": b'{"seeds": [1, null, [], {}, "a", true, 1.5]}',
    "nested-recipe": b'{"recipes": [{"mix": [{"seed": {"seed": 1}}]}]}',
    "huge-text": b'{"seed": "' + b"a" * 200_000 + b'"}',
    "pickle": b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00.",
    "zip": b"PK\x03\x04" + bytes(100),
    "too-large": b" " * (2**20 + 1),
}
TARGETS = {
    "percent": b"/generate?seed=%",
    "bad-percent": b"/generate?seed=%zz",
    "bad-utf8": b"/generate?seed=%ff%fe",
    "overlong-slash": b"/%c0%af..%c0%afetc/passwd",
    "dots": b"/../../../../etc/passwd",
    "encoded-dots": b"/i/%2e%2e/%2e%2e/etc.png",
    "null": b"/generate?seed=%00",
    "null-path": b"/gene%00rate",
    "line-break": b"/generate%0d%0aX-Injected:%201?seed=1",
    "surrogate": b"/generate?seed=%ed%a0%80",
    "no-slash": b"generate?seed=1",
    "star": b"*",
    "absolute": b"http://elsewhere/generate?seed=1",
    "fragment": b"/generate?seed=1#x",
    "many-parameters": b"/generate?" + b"&".join(b"a%d=1" % i for i in range(1000)),
    "semicolons": b"/generate?seed=1;n=2",
    "pluses": b"/generate?seed=+1+",
    "equals": b"/generate?====&&&&=",
    "high-bytes": b"/generate?seed=\xff\xfe",
    "double-slash": b"//generate?seed=1",
    "long": b"/" + b"a" * 15_000,
    "model": b"/models/" + b"%2f" * 100,
    "seed-64-bit": b"/generate?seed=9223372036854775808",
    "plane": b"/plane?seeds=1,2,3,4&x=nan&y=inf",
    "interpolate": b"/interpolate?seeds=1,2&fps=1e400",
    "edit": b"/generate?seed=1&edit=d0:1e999",
    "latents": b"/latents/%ff.json",
}
HEADS = {
    "accept-junk": b"Accept: */*;q=nan, ;;;,,,image/png;q=1e999\r\n",
    "accept-long": b"Accept: " + b"a/b," * 3000 + b"\r\n",
    "etag-junk": b'If-None-Match: W/"\xff", ,,"\r\n',
    "high-byte": b"X: \xff\xfe\r\n",
    "auth": b"Authorization: Bearer \xff\r\n",
    "auth-twice": b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    "id-junk": b"X-Request-Id: \xff\xff\r\n",
    "trace-junk": b"traceparent: 00-zz\r\n",
    "trace-twice": b"traceparent: 00-\xff\r\ntraceparent: x\r\n",
    "forwarded": b"X-Forwarded-For: not an address, \xff, ::ffff:1.2.3.4\r\n",
    "range": b"Range: bytes=0-0,-1,99999999999999999999-\r\n",
    "upgrade": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n",
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n",
    "expect": b"Expect: 100-continue\r\n",
    "expect-junk": b"Expect: 200-ok\r\n",
    "no-value": b"X:\r\n",
    "folded": b"X: a\r\n b\r\n",
    "origin": b"Origin: null\r\nAccess-Control-Request-Method: \xff\r\n",
}
CHUNKED = b"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n"
FRAMING = {
    "length-and-chunked": framed(CHUNKED + b"Content-Length: 11\r\n", b"0\r\n\r\n"),
    "two-lengths": framed(b"Content-Length: 11\r\nContent-Length: 12\r\n", BODY),
    "length-list": framed(b"Content-Length: 11, 11\r\n", BODY),
    "length-negative": framed(b"Content-Length: -1\r\n", BODY),
    "length-plus": framed(b"Content-Length: +11\r\n", BODY),
    "length-hex": framed(b"Content-Length: 0x0b\r\n", BODY),
    "length-2-64": framed(b"Content-Length: 18446744073709551616\r\n", BODY),
    "length-huge": framed(b"Content-Length: 99999999999\r\n", BODY),
    "length-short": framed(b"Content-Length: 3\r\n", BODY),
    "chunk-junk": framed(CHUNKED, b"zz\r\n" + BODY),
    "chunk-huge": framed(CHUNKED, b"ffffffffffffffff\r\n" + BODY),
    "chunk-negative": framed(CHUNKED, b"-1\r\n"),
    "chunk-extension": framed(CHUNKED, b"b;" + b"a" * 1000 + b"=1\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunk-trailer": framed(CHUNKED, b"b\r\n" + BODY + b"\r\n0\r\nX: y\r\n\r\n"),
    "chunk-no-end": framed(CHUNKED, b"b\r\n" + BODY),
    "chunked-twice": framed(CHUNKED + b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "chunked-gzip": framed(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "chunked-not-last": framed(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
    "chunked-odd": framed(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
    "bare-lf": b"GET /generate?seed=1 HTTP/1.1\nHost: x\n\n",
    "bare-cr": b"GET /generate?seed=1 HTTP/1.1\rHost: x\r\r",
    "space-before-colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "no-host": b"GET /generate?seed=1 HTTP/1.1\r\n\r\n",
    "two-hosts": b"GET /generate?seed=1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "http-0.9": b"GET /generate?seed=1\r\n",
    "http-1.2": b"GET /generate?seed=1 HTTP/1.2\r\nHost: x\r\n\r\n",
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http-9.9": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    "no-method": b" / HTTP/1.1\r\nHost: x\r\n\r\n",
    "odd-method": b"G\xffT / HTTP/1.1\r\nHost: x\r\n\r\n",
    "long-method": b"A" * 10_000 + b" / HTTP/1.1\r\n\r\n",
    "connect": b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "trace": b"TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "null-bytes": bytes(1000),
    "line-breaks": b"\r\n" * 1000,
    "null-in-header": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "no-colon": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    "half-a-head": b"GET /generate?seed=1 HTTP/1.1\r\nHost: x\r\n",
    "half-a-body": framed(b"Content-Length: 100\r\n", BODY),
    "nothing": b"",
    "pipeline": get(b"/generate?seed=1").replace(CLOSE, b"") * 20,
    "pipeline-and-junk": get(b"/generate?seed=1").replace(CLOSE, b"") + b"\0junk\r\n\r\n",
    "pipeline-of-refusals": get(b"/generate?seed=-1").replace(CLOSE, b"") * 20,
    "pipeline-behind-a-post": post(BODY).replace(CLOSE, b"") + get(b"/livez"),
    "upgrade": framed(b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 11\r\n", BODY),
    "upgrade-and-next": framed(
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + CHUNKED,
        b"b\r\n" + BODY + b"\r\n0\r\n\r\n" + get(b"/livez"),
    ),
    "connect-and-next": b"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n" + get(b"/livez"),
    "long-trailer": framed(
        CHUNKED, b"b\r\n" + BODY + b"\r\n0\r\nX: " + b"a" * 17_000 + b"\r\n\r\n"
    ),
    "long-extension": framed(CHUNKED, b"b;" + b"a" * 17_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "smuggled": framed(b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", get(b"/metrics")),
}

CORPUS: dict[str, bytes] = {
    **{f"body-{name}": post(body) for name, body in TEXTS.items()},
    **{
        f"type-{name}": post(TEXTS[name], b"Content-Type: \xff/x; charset=no\r\n") for name in TEXTS
    },
    **{f"target-{name}": get(target) for name, target in TARGETS.items()},
    **{f"head-{name}": get(b"/generate?seed=1", head) for name, head in HEADS.items()},
    **{f"head-of-two-{name}": get(b"/generate?seed=1&n=2", head) for name, head in HEADS.items()},
    **{f"framing-{name}": request for name, request in FRAMING.items()},
}

GOOD = [
    get(b"/generate?seed=1"),
    get(b"/generate.webp?seed=ada&n=4&columns=2&scale=2&truncation=0.5&edit=d0:0.5"),
    get(b"/interpolate.png?seeds=1,2,3&frames=5&mode=slerp&ease=linear"),
    get(b"/plane?seeds=1,2,3,4&columns=3&rows=2"),
    get(b"/latents/42.json"),
    get(b"/models/tiny/directions/d0.png?seed=3&steps=5"),
    get(b"/i/tiny@0123456789ab/42@4x.png", b'If-None-Match: "a", W/"b"\r\n'),
    get(b"/generate?seed=5", b"Accept: image/webp;q=0.9, image/*;q=0.5\r\n"),
    post(b'{"seeds": "1,5,10-20", "format": "json"}'),
    post(b'{"recipes": [{"mix": [{"seed": 1, "weight": 0.5}, {"seed": 2, "weight": 1}]}]}'),
    post(b'{"z": [[0.1, 0.2, 0.3, 0, 0, 0, 0, 1e-3]], "scale": 2, "format": "png"}'),
    framed(CHUNKED + CLOSE, b"b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    framed(
        b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n" + CHUNKED,
        b"b\r\n" + BODY + b"\r\n0\r\nX: y\r\n\r\n",
    ),
    framed(CHUNKED + CLOSE, b"b\r\n" + BODY + b"\r\n0\r\nContent-Length: 5\r\nX: y\r\n\r\n"),
    get(b"/generate?seed=6").replace(CLOSE, b"") + post(BODY).replace(CLOSE, b"") + get(b"/livez"),
    get(b"/generate.webp?seed=7", b"Range: bytes=0-99\r\n"),
    get(b"/generate?seed=" + b"a" * 200),
    get(b"/" + b"a/" * 250),
    get(b"/docs", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"),
    *(
        post(BODY, b"Content-Type: multipart/form-data; boundary=x\r\n").replace(b"/generate", path)
        for path in (b"/project", b"/classify")
    ),
]
PARTS = [
    b"%00", b"%ff", b"\\ud800", b"NaN", b"-1", b"1e999", b"9" * 400, b"\r\n", b"\0", b"\xff", b"{",
    b"[", b"]", b'"', b"null", b"true", b",", b":", b"=", b"&", b"?", b"%", b";", b"../", b" ",
    b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"\xed\xa0\x80", b"\xef\xbb\xbf",
]  # fmt: skip


def mutated(seed: int) -> bytes:
    """Returns one request out of any number."""
    source = random.Random(seed)
    request = bytearray(source.choice(GOOD))
    for _ in range(source.choice((1, 1, 2, 3, 8))):
        place = source.randrange(len(request) + 1)
        length = source.choice((1, 1, 2, 4, 16))
        match source.randrange(6):
            case 0 if place < len(request):
                request[place] ^= 1 << source.randrange(8)
            case 1:
                request[place : place + length] = source.randbytes(length)
            case 2:
                del request[place : place + length]
            case 3:
                request[place:place] = source.choice(PARTS)
            case 4:
                request[place : place + length] = source.choice(PARTS)
            case _:
                request[place:place] = request[place : place + 4 * length]
    return bytes(request)


async def answer(port: int, request: bytes, ends: bool = False) -> bytes:
    """Returns all that comes, on a connection of its own, until the server closes it; the client
    `ends` its half at once, or not.

    Raises:
        TimeoutError: it never does.
    """
    async with asyncio.timeout(300.0):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        parts: list[bytes] = []
        try:
            writer.write(request)
            if ends:
                with contextlib.suppress(OSError):  # the server has ended the connection already
                    writer.write_eof()
            while part := await reader.read(2**16):
                parts.append(part)
        except (ConnectionResetError, BrokenPipeError):
            pass  # refused before all was sent
        finally:
            writer.transport.abort()
        return b"".join(parts)


async def answers(port: int, requests: Iterable[bytes], connections: int = 64) -> list[bytes]:
    """Collects the answers to many requests, so many at once, in their order."""
    found: dict[int, bytes] = {}
    waiting = iter(enumerate(requests))

    async def ask() -> None:
        for index, request in waiting:
            found[index] = await answer(port, request, ends=len(request) % 4 == 0)  # by chance

    await asyncio.gather(*(ask() for _ in range(connections)))
    return [found[index] for index in sorted(found)]


def statuses(answer: bytes) -> Iterator[int]:
    """Yields the statuses in what a connection has sent: the first, and those that begin a line."""
    for part in answer.split(b"HTTP/1.")[1:]:
        if part[1:2] == b" " and part[2:5].isdigit():
            yield int(part[2:5])
