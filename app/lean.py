"""The short way for the hot request, GET /generate?seed=N: plain ASGI, nothing per request but the
picture.

Everything else goes on to the application. The route in `routes/images.py` is this one's slow twin
and describes it in the OpenAPI document; a test holds both to the same answers.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from app.caching import LASTING, matches, picture_tag, recipe
from app.encoding.png import MEDIA_TYPE
from app.generation import ClientGoneError, Generation
from app.problems import Problem
from model.latents import SEED_LIMIT

QUERY = re.compile(rb"seed=([0-9]{1,19})")
CACHE_CONTROL = (b"cache-control", LASTING.encode())
CONTENT_TYPE = (b"content-type", MEDIA_TYPE.encode())


class LeanGenerate:
    """Answers the hot request itself; `app.state.generation` of the wrapped application makes the
    picture.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/generate" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        query = QUERY.fullmatch(scope["query_string"])
        generation: Generation | None = scope["app"].state.generation
        if query is None or generation is None or (seed := int(query[1])) >= SEED_LIMIT:
            await self._app(scope, receive, send)
            return
        try:
            await _answer(generation, seed, scope, receive, send)
        except Problem as problem:
            await problem.response()(scope, receive, send)
        except ClientGoneError:
            return


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
    file = await generation.picture(seed, receive)
    headers += [CONTENT_TYPE, (b"content-length", b"%d" % len(file))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": file})
