"""The short way for the hot request, GET /generate?seed=N: plain ASGI, nothing per request but the
picture.

Everything else goes on to the application. The route in `routes/images.py` is this one's slow twin
and describes it in the OpenAPI document; a test holds both to the same answers.
"""

import re

from starlette.types import Receive, Scope, Send

from app.caching import LASTING, matches, picture_tag, recipe
from app.disconnection import watching
from app.encoding.png import MEDIA_TYPE
from app.generation import ClientGoneError, Generation
from app.problems import Problem, internal_error
from model.latents import SEED_LIMIT

QUERY = re.compile(rb"seed=([0-9]{1,19})")
CACHE_CONTROL = (b"cache-control", LASTING.encode())
CONTENT_TYPE = (b"content-type", MEDIA_TYPE.encode())


async def answered(
    generation: Generation | None, scope: Scope, receive: Receive, send: Send
) -> bool:
    """Answers the hot request and returns True; leaves anything else alone and returns False."""
    if scope["type"] != "http" or scope["path"] != "/generate" or scope["method"] != "GET":
        return False
    query = QUERY.fullmatch(scope["query_string"])
    if query is None or generation is None or (seed := int(query[1])) >= SEED_LIMIT:
        return False
    try:
        await _answer(generation, seed, scope, receive, send)
    except ClientGoneError:
        pass
    except Problem as problem:
        await problem.response()(scope, receive, send)
    except Exception as error:
        await internal_error("GET", "/generate", error)(scope, receive, send)
    return True


async def _answer(
    generation: Generation, seed: int, scope: Scope, receive: Receive, send: Send
) -> None:
    tag = picture_tag(generation.config.weights_sha256, recipe("g", seed, 1, 1))
    headers = [CACHE_CONTROL, (b"etag", tag.encode()), (b"image-seed", b"%d" % seed)]
    for name, value in scope["headers"]:
        if name == b"if-none-match" and matches(value.decode("latin-1"), tag):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body"})
            return
    file = await generation.picture(seed, watching(scope, receive))
    headers += [CONTENT_TYPE, (b"content-length", b"%d" % len(file))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": file})
