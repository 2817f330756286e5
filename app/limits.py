"""Bounds of a request that no schema can hold: the bytes of its body, and each parameter once."""

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import InvalidRequest

MAX_BODY = 2**20  # bytes: more than 256 latents of 100 values in full precision


class BodyLimit:
    """Stops reading a body at `limit` bytes, whatever its Content-Length says."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY) -> None:
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
