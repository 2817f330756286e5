"""What one request may ask for: the bounds that the operator has set, and each parameter once.

    Settings -> Bounds -> in force while a request is read -> schemas, /openapi.json, routes

A schema is one for all applications of a process and knows none of them, so the bounds in force
come to it by the context: two applications never see each other's.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.engine.memory import MemoryBudget, Reservation
from app.monitoring.request_context import client_in_progress
from app.responses.problems import InvalidRequest, QueueFull
from app.settings import Settings

SMALL_BODY = 2 * 2**10  # bytes for which nothing is reserved
# bytes that a body becomes as Python's objects, at most: each of its bytes, and each of its recipes
BODY_FACTOR = 32
RECIPE_BYTES = 1024


class Streams:
    """How many answers are being sent in pieces, of so many at most, half of them to one client.
    Lives on the event loop.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._share = limit, max(1, limit // 2)
        self._open: Counter[str | bytes] = Counter()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Holds a place for the request in progress.

        Raises:
            QueueFull: there is none, or its client has its share.
        """
        client = client_in_progress()
        if (opened := self._open.total()) >= self._limit:
            raise QueueFull(
                f"{opened} large answers are on their way; allowed: up to {self._limit}",
                reason="streams-full",
            )
        if self._open[client] >= self._share:
            raise QueueFull(
                f"{self._share} large answers to this client are on their way; allowed: up to "
                f"{self._share} of {self._limit}",
                reason="streams-share",
            )
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            self._open += Counter()  # forgets who has none


@dataclass(frozen=True)
class Bounds:
    """What a request may ask for, and an answer take."""

    max_pictures: int  # on one sheet
    max_bulk: int  # pictures in one answer that is streamed
    max_frames: int
    max_keys: int  # seeds of one interpolation, or of one mix
    max_side: int  # pictures on a side of a plane, or in a direction's strip
    max_edits: int
    max_text: int  # characters of a seed
    max_body: int  # bytes
    max_pixels: int
    streams: Streams
    memory: MemoryBudget

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Returns the bounds that a host's settings give, with all places free."""
        return cls(
            max_pictures=settings.max_pictures,
            max_bulk=settings.max_bulk,
            max_frames=settings.max_frames,
            max_keys=settings.max_keys,
            max_side=settings.max_side,
            max_edits=settings.max_edits,
            max_text=settings.max_text,
            max_body=settings.max_body_kib * 2**10,
            max_pixels=settings.max_pixels,
            streams=Streams(settings.max_streams),
            memory=MemoryBudget(settings.max_memory_mib * 2**20),
        )

    @property
    def max_way(self) -> int:
        """Seeds of one interpolation: each of them is a frame."""
        return min(self.max_keys, self.max_frames)


# every setting's default, whatever the environment says
DEFAULT = Bounds.of(Settings.model_construct())
in_force = ContextVar("bounds", default=DEFAULT)  # those of the application that is at work


def body_memory(size: int, objects: int, max_bulk: int) -> int:
    """Returns the bytes that a body takes at most until it is answered: as bytes, JSON, parameters
    and picture requests.
    """
    return BODY_FACTOR * size + RECIPE_BYTES * min(objects, max_bulk)


class BodyLimit:
    """Reads no body that is beyond its limit by its Content-Length, whose client may wait for our
    100 to send it, and stops reading any other there; reserves memory for what is made of a large
    one.
    """

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self._app = app
        self._limit, self._memory, self._bulk = bounds.max_body, bounds.memory, bounds.max_bulk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = objects = 0
        told = [value for name, value in scope["headers"] if name == b"content-length"]
        told_too_many = any(value.isdigit() and int(value) > self._limit for value in told)
        reserved: Reservation | None = None

        async def counted() -> Message:
            nonlocal seen, objects, reserved
            message: Message = {} if told_too_many else await receive()
            part = message.get("body", b"")
            seen += len(part)
            objects += part.count(b"{")
            if told_too_many or seen > self._limit:
                raise HTTPException(413, f"the body is larger than the {self._limit} bytes allowed")
            if seen > SMALL_BODY:
                reserved = reserved or self._memory.reserve(0)
                reserved.resize(body_memory(seen, objects, self._bulk))
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            if reserved:
                reserved.release()


async def each_parameter_once(request: Request) -> None:
    """Refuses a query string that gives a parameter twice: whichever we took, we would be guessing.

    Raises:
        InvalidRequest: a parameter is there twice.
    """
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name in seen:
            raise InvalidRequest(f"parameter {ascii(name)[:40]} is given more than once")
        seen.add(name)
