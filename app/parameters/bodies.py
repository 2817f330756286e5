"""JSON bodies: bytes in, checked parameters out, and the event loop is free meanwhile.

    Content-Type -> bytes, up to the limit -> JSON, each name once -> schema

A large body is checked on a thread, for its checks take as long as it has entries. Python's reader
of JSON keeps the interpreter from all others until it calls us back: so it does for each number,
and what it could go on with alone has bounds, of which no request that means something comes near.
"""

import json
from collections import Counter
from functools import partial
from typing import Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from app.engine.threads import in_turn
from app.parameters.limits import in_force
from app.responses.problems import InvalidRequest, MalformedBody, UnsupportedMediaType
from app.server.disconnection import watching

Body = TypeVar("Body", bound=BaseModel)
SMALL = 4096  # bytes that are checked at once
MOST_NAMES = 100  # names of one object, in a body
LISTS = 4  # lists in a body for each of its pictures, at most
FEWEST_PICTURES = 10_000  # pictures for which there may be lists, whatever the operator allows
JSON = "application/json"


def json_body(model: type[BaseModel]) -> Any:
    """Declares a parameter that is read from the body, for a route with `body_schema`."""

    async def read(request: Request) -> BaseModel:
        check_query(request)
        check_type(request)
        return await read_json(request, model)

    return Depends(read)


async def read_json(request: Request, model: type[Body]) -> Body:
    """Reads the body of a request as JSON, whatever type it says it has.

    Raises:
        MalformedBody: it is not JSON.
        RequestValidationError: it is not what the model allows, or gives a name twice.
    """
    content = await request.body()
    if len(content) <= SMALL:
        return parse(model, content)
    watch = watching(request.scope, request.receive)
    read: Body = await in_turn(watch, content, partial(parse, model))
    return read


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Returns what the document says of such a body, for `openapi_extra`."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def check_query(request: Request) -> None:
    """Refuses a query string next to a JSON body: nothing would read it.

    Raises:
        InvalidRequest: there is one.
    """
    if name := next(iter(request.query_params), None):
        raise InvalidRequest(
            f"query: {ascii(name)[:40]} is there; with a JSON body all parameters are in the body"
        )


def check_type(request: Request) -> None:
    """Refuses a body that does not say it is JSON.

    Raises:
        UnsupportedMediaType: its Content-Type names another type, or is missing.
    """
    if not says_json(request):
        named = request.headers.get("Content-Type", "")
        wrong = "names another type" if named else "is missing"
        raise UnsupportedMediaType(f"the header Content-Type {wrong}; allowed: {JSON}")


def says_json(request: Request) -> bool:
    """Returns whether Content-Type says that the body is JSON."""
    named = request.headers.get("Content-Type", "")
    kind, _, subtype = named.partition(";")[0].strip().lower().partition("/")
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))


def parse(model: type[Body], content: bytes) -> Body:
    """Reads a body.

    Raises:
        MalformedBody: it is not JSON.
        RequestValidationError: it is not what the model allows, or gives a name twice.
    """
    try:
        text = content.decode(json.detect_encoding(content), "surrogatepass")
        _count_lists(text)
        value = json.loads(
            text, object_pairs_hook=_each_name_once, parse_int=_whole, parse_float=_real
        )
    except (ValueError, RecursionError):
        raise MalformedBody("The body is not valid JSON.") from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        entries = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**entry, "loc": ("body", *entry["loc"])} for entry in entries]
        ) from None


def _whole(text: str) -> int:  # ours, not int itself, so that other threads have their turn
    return int(text)


def _real(text: str) -> float:
    return float(text)


def _count_lists(text: str) -> None:
    most = LISTS * max(FEWEST_PICTURES, in_force.get().max_bulk)
    if text.count("[") > most:
        between = text.replace("\\\\", "").replace('\\"', "").split('"')[::2]  # its strings
        if sum(part.count("[") for part in between) > most:
            raise _refused(f"up to {most} lists are wanted")


def _refused(text: str, *where: str) -> RequestValidationError:
    return RequestValidationError([{"type": "refused", "loc": ("body", *where), "msg": text}])


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_NAMES:
        raise _refused(f"objects of up to {MOST_NAMES} names are wanted")
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise _refused("given more than once", twice)
    return found
