"""What pages of other sites may do with our pictures: show them, and read them by script.

CORS: the Fetch standard. Only GET and HEAD are allowed from elsewhere.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.types import Message, Scope, Send

METHODS = ("GET", "HEAD", "OPTIONS")
EXPOSED = (
    "Accept-Ranges, Content-Disposition, Content-Location, Content-Range, ETag, Image-Classifier, "
    "Image-Model, Image-Seed, Retry-After, Server-Timing, X-Request-Id"
)
PREFLIGHT_SECONDS = 86400
REQUEST_HEADERS = b"access-control-request-headers"
HEADER_NAME = re.compile(rb"[a-z0-9!#$%&'+.^_`|~-]{1,100}")  # no *: it would mean all
HEAD = "ganserve.head"  # in the scope of a HEAD that is answered as a GET: its body is not sent

HTML: dict[bytes, bytes] = {  # headers of every page
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; base-uri 'none'; form-action 'none'",
}
POLICY = b"content-security-policy"
RawHeaders = list[tuple[bytes, bytes]]


class Sharing:
    """The headers of every answer, which say whose pages may show and read it."""

    def __init__(self, origins: Sequence[str]) -> None:
        """Takes * for all, origins, or none for our own pages alone."""
        self._of = {origin.encode(): _headers(origin) for origin in origins}
        others = [*_headers("*")[:2], VARY] if origins else _headers("")
        # one alone is named to all who ask: caches may keep that
        self._others = others if len(self._of) != 1 else next(iter(self._of.values()))
        self._differs = len(self._of) > 1

    def headers(self, asked: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
        """Returns those for a request with these headers. Vary, if there is any, is the last."""
        if self._differs:
            for name, value in asked:
                if name == b"origin":
                    return self._of.get(value, self._others)
        return self._others


VARY = (b"vary", b"Origin")


def _headers(origin: str) -> RawHeaders:
    found: RawHeaders = [(b"x-content-type-options", b"nosniff")]
    if not origin:
        return [*found, (b"cross-origin-resource-policy", b"same-origin")]
    found += [
        (b"cross-origin-resource-policy", b"cross-origin"),
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-expose-headers", EXPOSED.encode()),
        (b"timing-allow-origin", origin.encode()),
    ]
    return found if origin == "*" else [*found, VARY]


def frame_ancestors(origins: Sequence[str]) -> bytes:
    """Returns the part of a Content-Security-Policy that says who may hold a page in a frame."""
    allowed = origins if "*" in origins else ("'self'", *origins)
    return f"; frame-ancestors {' '.join(allowed)}".encode()


def with_accept(constant: RawHeaders) -> RawHeaders:
    """Returns the same headers where Accept has a say too. Vary stays one header: a cache may read
    the last alone, as nginx before 1.23 does, and would mix up formats.
    """
    if constant[-1][0] != b"vary":
        return [(b"vary", b"Accept"), *constant]
    return [*constant[:-1], (b"vary", b"Accept, " + constant[-1][1])]


def template_of(document: Mapping[str, Any], path: str) -> str | None:
    """Returns the path of the OpenAPI document that stands for this one; none where none does."""
    for template in document["paths"]:
        parts = re.split(r"\{\w+\}", template)
        if re.fullmatch("[^/]+".join(map(re.escape, parts)), path):
            found: str = template
            return found
    return None


def methods(document: Mapping[str, Any], path: str) -> list[str]:
    """Returns the methods of a path, by the OpenAPI document; none where it has no such path."""
    template = template_of(document, path)
    operations = document["paths"][template] if template else ()
    return sorted({*METHODS, *(method.upper() for method in operations)}) if operations else []


async def preflight(scope: Scope, send: Send, constant: RawHeaders, methods: Sequence[str]) -> None:
    """Answers OPTIONS of a path that takes these methods; METHODS where none is known. Any header
    may be sent from elsewhere but Content-Type: with it a page could POST.
    """
    asked = [value for name, value in scope["headers"] if name == REQUEST_HEADERS]
    names = [name.strip().lower() for name in b",".join(asked).split(b",")]
    others = [name for name in names if HEADER_NAME.fullmatch(name) and name != b"content-type"]
    allowed: RawHeaders = [
        (b"allow", ", ".join(methods or METHODS).encode()),
        (b"access-control-allow-methods", ", ".join(METHODS).encode()),
        (b"access-control-allow-headers", b", ".join((b"Authorization, If-None-Match", *others))),
        (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": [*constant, *allowed]})
    await send({"type": "http.response.body"})


def with_headers(
    send: Send,
    constant: RawHeaders,
    statuses: list[int] | None = None,
    frames: bytes = frame_ancestors(()),
) -> Send:
    """Sends on, with the constant headers where the answer has none of that name; Vary
    grows, and every policy of a page says who may hold it in a frame, also that of a 304, which
    takes the place of the one that is kept. The answer's status is appended to `statuses`.
    """

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            if statuses is not None:
                statuses.append(message["status"])
            own = message["headers"] = list(message["headers"])
            places = {name: place for place, (name, _) in enumerate(own)}
            kind = places.get(b"content-type")
            if kind is not None and own[kind][1].startswith(b"text/html"):
                own += [item for item in HTML.items() if item[0] not in places]
            own[:] = [(name, value + frames * (name == POLICY)) for name, value in own]
            for name, value in constant:
                if name not in places:
                    own.append((name, value))
                elif name == b"vary":
                    own[places[name]] = (name, own[places[name]][1] + b", " + value)
        await send(message)

    return sent


def as_head(scope: Scope, send: Send) -> tuple[Scope, Send]:
    """Turns a HEAD request into the GET that it stands for; its body is not sent."""

    async def headed(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
        elif not message.get("more_body"):
            await send({"type": "http.response.body", "body": b""})

    return {**scope, "method": "GET", HEAD: True}, headed
