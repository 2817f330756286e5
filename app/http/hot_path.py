"""The fast path of the hot request, GET /generate?seed=N or ?seed=TEXT, perhaps with &class=NAME:
plain ASGI, nothing per request but the picture.

Everything else goes on to the application. The route in `routes/images.py` does the same, slower,
and describes it in the OpenAPI document; a test holds both to the same answers.
"""

import re
from functools import lru_cache
from urllib.parse import unquote_plus

from pydantic_core import PydanticCustomError
from starlette.types import Receive, Scope, Send

from app.engine.loaded_generator import ClientGoneError, Generation
from app.http.cors import RawHeaders, with_accept, with_headers
from app.parameters.schemas import number_of, seed_of
from app.responses.caching import LASTING, matches
from app.responses.negotiation import best
from app.responses.offers import STILL_OFFERS
from app.responses.pictures import disposition, server_timing
from app.responses.problems import CLIENT_GONE, NotAcceptable, Problem, internal_error
from app.server.disconnection import watching
from model.encoding.png import MEDIA_TYPE
from model.generator_file import MAX_CLASS_NAME
from model.latent_space.latents import SEED_LIMIT
from model.recipes import RecipeError

ROUTE = "/generate"  # metrics count these requests under it
PATHS = frozenset({"/generate", "/generate.png"})
QUERY = re.compile(rb"seed=([^&;=]{1,1024})(?:&class=([^&;=]{1,256}))?")
MOST_DIGITS = 19  # digits of the largest seed
CACHE_CONTROL = (b"cache-control", LASTING.encode())
ACCEPT_RANGES = (b"accept-ranges", b"bytes")
CONTENT_TYPE = (b"content-type", MEDIA_TYPE.encode())


async def answered(
    generation: Generation | None,
    constant: RawHeaders,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> int:
    """Answers the hot request and returns the status; leaves anything else alone and returns 0."""
    if scope["path"] not in PATHS or scope["method"] != "GET":
        return 0
    query = QUERY.fullmatch(scope["query_string"])
    if query is None or generation is None:
        return 0
    try:
        seed = _seed(query[1])
        class_ = _class(generation, query[2]) if query[2] else None
    except (PydanticCustomError, RecipeError):
        return 0  # the route says why
    negotiated = scope["path"] == "/generate"
    if_none_match, accepted = b"", False
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            if if_none_match:  # several lines are one list, which the route joins
                return 0
            if_none_match = value
        elif name == b"range":  # for the route
            return 0
        elif name == b"accept" and negotiated:
            if accepted or not _wants_png(value):
                return 0
            accepted = True
    head = with_accept(constant) if negotiated else constant
    try:
        return await _answer(generation, seed, class_, if_none_match, head, scope, receive, send)
    except ClientGoneError:
        return CLIENT_GONE
    except Problem as problem:
        refusal = problem.response()
    except Exception as error:
        refusal = internal_error("GET", scope["path"], error)
    await refusal(scope, receive, with_headers(send, constant))
    return refusal.status_code


async def _answer(
    generation: Generation,
    seed: int,
    class_: str | None,
    if_none_match: bytes,
    constant: RawHeaders,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> int:
    tag = generation.tag(generation.seed_text(seed, class_))
    headers = [
        *constant,
        CACHE_CONTROL,
        (b"etag", tag.encode()),
        (b"image-seed", b"%d" % seed),
        (b"image-model", generation.id.encode()),
        (b"content-disposition", disposition(f"{generation.name}-{seed}.png", False).encode()),
    ]
    if if_none_match and matches(if_none_match.decode("latin-1"), tag):
        headers.append((b"server-timing", server_timing(None).encode()))
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body"})
        return 304
    file, timing = await generation.picture(seed, class_, watching(scope, receive))
    if not tag.startswith("W/"):
        headers.append(ACCEPT_RANGES)
    headers += [
        CONTENT_TYPE,
        (b"content-length", b"%d" % len(file)),
        (b"server-timing", server_timing(timing).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": file})
    return 200


def _seed(value: bytes) -> int:
    if len(value) <= MOST_DIGITS and value.isdigit() and (seed := int(value)) < SEED_LIMIT:
        return seed
    return seed_of(number_of(_text(value)))


def _class(generation: Generation, value: bytes) -> str:
    text = _text(value)
    if len(text) > MAX_CLASS_NAME:
        raise RecipeError("class: too long")
    return generation.config.classes[generation.class_place(text)]


def _text(value: bytes) -> str:
    """Decodes a query string's value: percent-encoded UTF-8, a plus for a space."""
    return unquote_plus(value.decode("latin-1"))


OFFERS = tuple(STILL_OFFERS.items())


@lru_cache(maxsize=1024)
def _wants_png(accept: bytes) -> bool:
    try:
        return best(OFFERS, accept.decode("latin-1") or "*/*") == "png"
    except NotAcceptable:
        return False
