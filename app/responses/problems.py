"""What can go wrong for a client, and the RFC 9457 answer to it.

An answer says what was wrong and what is allowed; it never repeats the input, and never shows
internals.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.http import cors
from app.http.root_path import public
from app.monitoring.request_context import current, refused
from model.recipes import RecipeError

log = logging.getLogger("ganserve")

MEDIA_TYPE = "application/problem+json"
NO_STORE = {"Cache-Control": "no-store"}
OPENAI = "/v1/"  # paths of OpenAI's API
RETRY = MappingProxyType({"Retry-After": "1"})  # seconds


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its page lies at /problems/{slug}."""

    slug: str
    status: HTTPStatus
    meaning: str  # what it means, and what to do


KINDS = {
    kind.slug: kind
    for kind in (
        Kind(
            "malformed-body",
            HTTPStatus.BAD_REQUEST,
            "The body is not JSON. Send valid JSON in UTF-8.",
        ),
        Kind(
            "malformed-request",
            HTTPStatus.BAD_REQUEST,
            "What came is not a request of HTTP/1.1. Let a library write it.",
        ),
        Kind(
            "unauthorized",
            HTTPStatus.UNAUTHORIZED,
            "This host wants an API key, and there was none or a wrong one. Send it as "
            "Authorization: Bearer KEY.",
        ),
        Kind(
            "forbidden",
            HTTPStatus.FORBIDDEN,
            "This host wants signed URLs, and the signature was missing, wrong or too old. Ask "
            "whoever gave you the URL for a new one.",
        ),
        Kind(
            "not-found",
            HTTPStatus.NOT_FOUND,
            "Nothing lies at this path. Where a generator or its hash is part of the path, the "
            "detail names those that are served.",
        ),
        Kind(
            "method-not-allowed",
            HTTPStatus.METHOD_NOT_ALLOWED,
            "This path does not take that method; the header Allow names those that it takes.",
        ),
        Kind(
            "not-acceptable",
            HTTPStatus.NOT_ACCEPTABLE,
            "The header Accept takes none of the formats that there are. Name one by extension or "
            "by the parameter format, or let Accept take one that the detail names.",
        ),
        Kind(
            "request-timeout",
            HTTPStatus.REQUEST_TIMEOUT,
            "The request did not arrive whole in the time that there is. Send it at once.",
        ),
        Kind(
            "reload-refused",
            HTTPStatus.CONFLICT,
            "The model folders as they are now cannot take the place of those that are served. "
            "Nothing has changed.",
        ),
        Kind(
            "content-too-large",
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "The body is larger than this host reads. Ask for fewer pictures at once; seeds are "
            "shorter than latents, and ranges of seeds shorter still.",
        ),
        Kind(
            "unsupported-media-type",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The body is JSON, or has to be, and does not say so. Send it with the header "
            "Content-Type: application/json.",
        ),
        Kind(
            "range-not-satisfiable",
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "The header Range asks for bytes beyond the answer's end. Content-Range says how long "
            "it is.",
        ),
        Kind(
            "invalid-request",
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "A parameter is unknown, out of its range or at odds with another. The detail says "
            "which and what is allowed. Nothing is ever cut down to what fits.",
        ),
        Kind(
            "headers-too-large",
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "The request's line and headers are longer than this host reads. Long lists belong in "
            "the body of a POST.",
        ),
        Kind(
            "queue-full",
            HTTPStatus.TOO_MANY_REQUESTS,
            "As many pictures wait as may wait, or the memory for requests is taken. Come again "
            "after the seconds in Retry-After.",
        ),
        Kind(
            "rate-limited",
            HTTPStatus.TOO_MANY_REQUESTS,
            "This client asks more often than it may. Come again after the seconds in Retry-After.",
        ),
        Kind(
            "internal-error",
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "The service has failed, and its log says why. It is not your request's fault.",
        ),
        Kind(
            "not-ready",
            HTTPStatus.SERVICE_UNAVAILABLE,
            "The generator is not loaded yet, or the service is shutting down. Another replica may "
            "answer; else come again after the seconds in Retry-After.",
        ),
        Kind(
            "not-installed",
            HTTPStatus.NOT_IMPLEMENTED,
            "The format needs an optional part that this host has not installed.",
        ),
    )
}
BY_STATUS = {kind.status: kind for kind in reversed(KINDS.values())}  # the first of each


class Problem(Exception):
    """A refusal: its kind, a sentence for people, and headers if the status needs some."""

    kind = KINDS["internal-error"]
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = self.kind.slug  # for metrics and logs

    def response(self) -> Response:
        """Returns the answer to the client, and records the reason."""
        response = problem_response(self.kind, self.detail, self.headers)
        refused(self.reason)
        return response


class InvalidRequest(Problem):
    """The request asks for something that is not allowed."""

    kind = KINDS["invalid-request"]


class MalformedBody(Problem):
    """The body is not JSON."""

    kind = KINDS["malformed-body"]


class UnsupportedMediaType(Problem):
    """The body is said to be something else than JSON, or nothing is said."""

    kind = KINDS["unsupported-media-type"]


class RangeNotSatisfiable(Problem):
    """A part of an answer is asked for that lies beyond its end."""

    kind = KINDS["range-not-satisfiable"]

    def __init__(self, detail: str, size: int) -> None:
        super().__init__(detail)
        self.headers = {"Content-Range": f"bytes */{size}"}


class NotFound(Problem):
    """The path leads nowhere."""

    kind = KINDS["not-found"]


class NotAcceptable(Problem):
    """None of our formats suits the client."""

    kind = KINDS["not-acceptable"]


class NotInstalled(Problem):
    """An optional part is missing here."""

    kind = KINDS["not-installed"]


class ReloadRefused(Problem):
    """What is served stays as it is."""

    kind = KINDS["reload-refused"]


class Unauthorized(Problem):
    """The API key is missing or wrong."""

    kind = KINDS["unauthorized"]

    def __init__(self, detail: str, wrong: bool = False) -> None:
        super().__init__(detail)
        # RFC 6750, section 3.1: an error code only for those who gave a key
        error = ', error="invalid_token"' if wrong else ""
        self.headers = {"WWW-Authenticate": f'Bearer realm="ganserve"{error}'}


class Forbidden(Problem):
    """The URL's signature is missing, wrong or too old."""

    kind = KINDS["forbidden"]


class RateLimited(Problem):
    """The client asks more often than it may."""

    kind = KINDS["rate-limited"]

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after)}  # seconds


class QueueFull(Problem):
    """The queue is full. Balancers do not retry a 429 elsewhere."""

    kind = KINDS["queue-full"]

    def __init__(self, detail: str, retry_after: int = 1, reason: str = "queue-full") -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after)}  # seconds
        self.reason = reason


class NotReady(Problem):
    """Not loaded yet, or draining: another replica may be able to answer."""

    kind = KINDS["not-ready"]
    headers = RETRY


def problem_response(
    kind: Kind, detail: str, headers: Mapping[str, str] | None = None, **members: Any
) -> Response:
    """Returns an application/problem+json answer, never cached; records its kind as the reason."""
    body = {
        "type": public(f"/problems/{kind.slug}"),
        "title": kind.status.phrase,
        "status": int(kind.status),
        "detail": detail,
    }
    refused(kind.slug)
    if (facts := current.get()) is not None and facts.path.startswith(OPENAI):
        members["error"] = _openai_error(kind, detail, members.get("errors", ()))
    # ensure_ascii: a lone surrogate must not break the answer
    content = json.dumps(body | members, ensure_ascii=True, allow_nan=False)
    return Response(
        content,
        kind.status,
        headers={**NO_STORE, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def _openai_error(
    kind: Kind, detail: str, errors: Sequence[Mapping[str, str]]
) -> dict[str, str | None]:
    """Says the same as clients of OpenAI's API read it."""
    return {
        "message": detail,
        "type": "server_error" if kind.status >= 500 else "invalid_request_error",
        "param": errors[0]["where"].removeprefix("body.") if errors else None,
        "code": kind.slug,
    }


def internal_error(method: str, path: str, error: Exception) -> Response:
    """Returns the answer to what is our own failure; the cause goes to the log alone."""
    log.error("%s %s failed", method, path, exc_info=error)
    kind = KINDS["internal-error"]
    return problem_response(kind, "The service failed; the operator's log says why.")


CLIENT_GONE = 499  # nginx's own number: no one will read it


def install(app: FastAPI) -> None:
    """Makes every error of the application answer as a problem."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(RecipeError)
    async def _undrawable(request: Request, error: RecipeError) -> Response:
        return InvalidRequest(str(error)).response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        errors = [_described(entry) for entry in error.errors()[:20]]
        detail = "; ".join(f"{entry['where']}: {entry['problem']}" for entry in errors[:3])
        return problem_response(KINDS["invalid-request"], detail, errors=errors)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # the router names the methods of one route, and a path may have several
            known = cors.methods(app.openapi(), request.url.path)
            headers["Allow"] = ", ".join(known or cors.METHODS)
        kind = BY_STATUS.get(HTTPStatus(error.status_code), KINDS["malformed-body"])
        detail = str(error.detail)
        tidy = "/" + "/".join(filter(None, request.url.path.split("/")))
        if error.status_code == HTTPStatus.NOT_FOUND and tidy != request.url.path:
            template = cors.template_of(app.openapi(), tidy)
            detail += f". {template} has no slash at its end, nor two in a row" if template else ""
        return problem_response(kind, detail, headers)

    @app.exception_handler(Exception)
    async def _internal(request: Request, error: Exception) -> Response:
        return internal_error(request.method, request.url.path, error)


def _described(entry: Mapping[str, Any]) -> dict[str, str]:
    location: Sequence[str | int] = entry["loc"]
    # the name of an unknown parameter is the client's own text: cut, and escaped by the encoder
    where = ".".join(str(part)[:40] for part in location[:6])
    return {"where": where, "problem": str(entry["msg"])[:200]}
