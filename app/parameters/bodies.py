"""JSON bodies: bytes in, checked parameters out, and the event loop is free meanwhile.

    Content-Type -> bytes, up to the limit -> JSON, each name once -> schema

A large body is checked on a thread, for its checks take as long as it has entries.
"""

import json
from collections import Counter
from functools import partial
from typing import Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.engine.threads import in_turn
from app.responses.problems import MalformedBody, UnsupportedMediaType
from app.server.disconnection import watching

Body = TypeVar("Body", bound=BaseModel)
SMALL = 4096  # bytes that are checked at once
JSON = "application/json"


def json_body(model: type[BaseModel]) -> Any:
    """Declares a parameter that is read from the body, for a route with `body_schema`."""

    async def read(request: Request) -> BaseModel:
        check_type(request)
        content = await request.body()
        if len(content) <= SMALL:
            return parse(model, content)
        watch = watching(request.scope, request.receive)
        read: BaseModel = await in_turn(watch, content, partial(parse, model))
        return read

    return Depends(read)


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Returns what the document says of such a body, for `openapi_extra`."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def check_type(request: Request) -> None:
    """Refuses a body that does not say it is JSON.

    Raises:
        UnsupportedMediaType: its Content-Type names another type, or is missing.
    """
    named = request.headers.get("Content-Type", "")
    kind, _, subtype = named.partition(";")[0].strip().lower().partition("/")
    if kind != "application" or not (subtype == "json" or subtype.endswith("+json")):
        wrong = "names another type" if named else "is missing"
        raise UnsupportedMediaType(f"the header Content-Type {wrong}; allowed: {JSON}")


def parse(model: type[Body], content: bytes) -> Body:
    """Reads a body.

    Raises:
        MalformedBody: it is not JSON.
        RequestValidationError: it is not what the model allows, or gives a name twice.
    """
    try:
        value = json.loads(content, object_pairs_hook=_each_name_once)
    except (ValueError, RecursionError):
        raise MalformedBody("The body is not valid JSON.") from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        entries = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**entry, "loc": ("body", *entry["loc"])} for entry in entries]
        ) from None


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        where = {"type": "twice", "loc": ("body", twice), "msg": "given more than once"}
        raise RequestValidationError([where])
    return found
