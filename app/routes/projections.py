"""/project: a picture in, the latent whose picture is nearest to it back, better step by step."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Response

from app.engine.batcher import Pixels
from app.engine.loaded_generator import ClientGoneError, Generation
from app.engine.threads import in_parallel
from app.parameters.schemas import ProjectQuery
from app.parameters.uploads import PICTURE_TYPES, read_upload
from app.responses.problems import NotFound
from app.responses.streams import Stream, begun
from app.server.disconnection import Watch
from app.state import ContextDep
from model.recipes import vector_words

if TYPE_CHECKING:
    from model.latent_space.projection import Progress

MEDIA_TYPE = "application/x-ndjson"
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A JSON object a line: step, steps, error, and z with its class.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    },
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A picture file: PNG, JPEG, WebP, BMP, GIF or TIFF; or a form whose "
        "one field is that file.",
        "content": PICTURE_TYPES,
    }
}

router = APIRouter(tags=["pictures"])
off = APIRouter(include_in_schema=False)  # in its place where the operator has not turned it on


@off.api_route("/project", methods=["GET", "HEAD", "POST"])
async def is_off() -> Response:
    """Says that nothing is projected here, and how it would be.

    Raises:
        NotFound: always.
    """
    raise NotFound("/project is off on this host; its operator can set GAN_PROJECTION=true")


@router.post("/project", responses=RESPONSES, openapi_extra=BODY, response_class=Response)
async def project(context: ContextDep, parameters: Annotated[ProjectQuery, Query()]) -> Response:
    """Projects a picture into latent space: looks for the latent whose picture is nearest to its
    centre square. Each line of the answer is better than the one before, the last one the best; the
    search ends when the client goes away.
    """
    request, projector = context.request, context.projector
    assert projector is not None
    generation = context.generators.parameter(parameters.model)
    place = None if parameters.class_ is None else generation.class_place(parameters.class_)
    side, channels = generation.side, generation.channels
    kind = request.headers.get("Content-Type", "")

    def read(content: bytes) -> Pixels:
        pixels: Pixels = read_upload(kind, content).fitted(side, channels)[0]
        return pixels

    projector.take_place()  # first, so that one picture at a time is decoded
    try:
        picture = await in_parallel(context.watch, await request.body(), read)
        reports = projector.begin(generation.file, picture, parameters.steps, place)
    except BaseException:
        projector.give_place_up()
        raise
    headers = {"Cache-Control": "no-store", "Image-Model": generation.id}
    lines = await begun(_lines(generation, reports, context.watch))
    return Stream(lines, media_type=MEDIA_TYPE, headers=headers)


async def _lines(
    generation: Generation, reports: AsyncIterator["Progress"], watch: Watch
) -> AsyncIterator[bytes]:
    gone = asyncio.Event()
    with watch(gone.set):
        async for report in reports:
            if gone.is_set():
                raise ClientGoneError
            yield _line(generation, report)


def _line(generation: Generation, report: "Progress") -> bytes:
    z_dim, classes = generation.config.network.z_dim, generation.config.classes
    words: dict[str, Any] = {
        "step": report.step,
        "steps": report.steps,
        "error": round(report.error, 3),
        "model": generation.id,
        "z": vector_words(report.row[:z_dim]),
    }
    if classes:
        words["class"] = classes[int(report.row[z_dim:].argmax())]
    return json.dumps(words).encode() + b"\n"
