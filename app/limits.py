"""Bounds of a request that no schema can hold: bytes of its body, pixels of its answer, large
answers at once, and each parameter once.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import InvalidRequest, QueueFull


class Streams:
    """How many answers are being sent in pieces, of so many at most. Lives on the event loop."""

    def __init__(self, limit: int) -> None:
        self._limit, self._open = limit, 0

    def enter(self) -> None:
        """Takes a place.

        Raises:
            QueueFull: there is none.
        """
        if self._open >= self._limit:
            raise QueueFull(
                f"{self._open} large answers are on their way; allowed: up to {self._limit}"
            )
        self._open += 1

    def leave(self) -> None:
        """Gives the place up."""
        self._open -= 1


@dataclass(frozen=True)
class Bounds:
    """What an answer may take."""

    max_pixels: int
    streams: Streams


def get_bounds(request: Request) -> Bounds:
    """The application's bounds."""
    bounds: Bounds = request.app.state.bounds
    return bounds


BoundsDep = Annotated[Bounds, Depends(get_bounds)]


class BodyLimit:
    """Stops reading a body at `limit` bytes, whatever its Content-Length says."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise HTTPException(413, f"the body is larger than the {self._limit} bytes allowed")
            return message

        await self._app(scope, counted, send)


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
