"""The short way for the hot request, GET /generate?seed=N: plain ASGI, nothing per request but the
picture.

Everything else goes on to the application. The route in `routes/images.py` is this one's slow twin
and describes it in the OpenAPI document; a test holds both to the same answers.
"""

import re
from functools import lru_cache

from starlette.types import Receive, Scope, Send

from app.answers import disposition, server_timing
from app.caching import LASTING, matches
from app.crossorigin import RawHeaders, with_accept, with_headers
from app.disconnection import watching
from app.generation import ClientGoneError, Generation
from app.negotiation import best
from app.problems import CLIENT_GONE, NotAcceptable, Problem, internal_error
from model.encoding.formats import STILLS
from model.encoding.png import MEDIA_TYPE
from model.latents import SEED_LIMIT

ROUTE = "/generate"  # to which metrics count what goes this way
PATHS = frozenset({"/generate", "/generate.png"})
QUERY = re.compile(rb"seed=([0-9]{1,19})")
CACHE_CONTROL = (b"cache-control", LASTING.encode())
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
    if query is None or generation is None or (seed := int(query[1])) >= SEED_LIMIT:
        return 0
    negotiated = scope["path"] == "/generate"
    if_none_match = b""
    for name, value in scope["headers"]:
        if name == b"if-none-match":
            if_none_match = value
        elif name == b"accept" and negotiated and not _wants_png(value):
            return 0
    head = with_accept(constant) if negotiated else constant
    try:
        return await _answer(generation, seed, if_none_match, head, scope, receive, send)
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
    if_none_match: bytes,
    constant: RawHeaders,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> int:
    tag = generation.tag(generation.seed_text(seed))
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
    file, timing = await generation.picture(seed, watching(scope, receive))
    headers += [
        CONTENT_TYPE,
        (b"content-length", b"%d" % len(file)),
        (b"server-timing", server_timing(timing).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": file})
    return 200


OFFERS = tuple((name, still.media_type) for name, still in STILLS.items())


@lru_cache(maxsize=1024)
def _wants_png(accept: bytes) -> bool:
    try:
        return best(OFFERS, accept.decode("latin-1") or "*/*") == "png"
    except NotAcceptable:
        return False
