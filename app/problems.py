"""What can go wrong for a client, and the RFC 9457 answer to it.

An answer says what was wrong and what is allowed; it never repeats the input, and never shows our
insides.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

log = logging.getLogger("ganserve")

NO_STORE = {"Cache-Control": "no-store"}
RETRY = MappingProxyType({"Retry-After": "1"})  # seconds


class Problem(Exception):
    """A refusal: its HTTP status, a sentence for people, and headers if the status wants some."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def response(self) -> Response:
        """The answer to the client."""
        return problem_response(self.status, self.detail, self.headers)


class InvalidRequest(Problem):
    """The request asks for something that is not allowed."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class Unauthorized(Problem):
    """The API key is missing or wrong."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str, wrong: bool = False) -> None:
        super().__init__(detail)
        # RFC 6750, section 3.1: an error code only for those who gave a key
        error = ', error="invalid_token"' if wrong else ""
        self.headers = {"WWW-Authenticate": f'Bearer realm="ganserve"{error}'}


class Forbidden(Problem):
    """The URL's signature is missing, wrong or too old."""

    status = HTTPStatus.FORBIDDEN


class RateLimited(Problem):
    """The client asks more often than it may."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after)}  # seconds


class QueueFull(Problem):
    """As many pictures wait as may wait. Balancers do not retry a 429 elsewhere."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after)}  # seconds


class NotReady(Problem):
    """Not loaded yet, or draining: another replica may be able to answer."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = RETRY


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    """An application/problem+json answer, never cached."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    # ensure_ascii: a lone surrogate must not break the answer
    content = json.dumps(body | {"detail": detail} | members, ensure_ascii=True, allow_nan=False)
    return Response(
        content,
        status,
        headers={**NO_STORE, **(headers or {})},
        media_type="application/problem+json",
    )


def internal_error(method: str, path: str, error: Exception) -> Response:
    """The answer to what is our own failure; the reason goes to the log alone."""
    log.error("%s %s failed", method, path, exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return problem_response(status, "The service failed; the operator's log says why.")


CLIENT_GONE = 499  # nginx's own number: no one will read it


def install(app: FastAPI) -> None:
    """Makes every error of the application answer as a problem."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        found = error.errors()
        if found[0]["type"] == "json_invalid":
            return problem_response(HTTPStatus.BAD_REQUEST, "The body is not valid JSON.")
        errors = [_described(entry) for entry in found[:20]]
        detail = "; ".join(f"{entry['where']}: {entry['problem']}" for entry in errors[:3])
        return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # the router names the methods of one route, and a path may have several
            operations = app.openapi()["paths"].get(request.url.path, {})
            if operations:
                headers["Allow"] = ", ".join(sorted(operation.upper() for operation in operations))
        return problem_response(error.status_code, str(error.detail), headers)

    @app.exception_handler(Exception)
    async def _internal(request: Request, error: Exception) -> Response:
        return internal_error(request.method, request.url.path, error)


def _described(entry: Mapping[str, Any]) -> dict[str, str]:
    location: Sequence[str | int] = entry["loc"]
    # the name of an unknown parameter is the client's own text: cut, and escaped by the encoder
    where = ".".join(str(part)[:40] for part in location[:6])
    return {"where": where, "problem": str(entry["msg"])[:200]}
