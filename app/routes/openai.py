"""/v1/images/generations: OpenAI's image API, so that its client libraries generate here too.

prompt -> seed, seed + 1, ... -> permanent URLs, or all generated at once -> files in base64
"""

import base64
import json
import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response
from numpy.typing import NDArray

from app.engine.threads import in_parallel
from app.http.root_path import public
from app.parameters.bodies import body_schema, json_body
from app.parameters.openai import GenerationsBody
from app.parameters.picture_parameters import read_changes, read_output, url
from app.parameters.schemas import NoQuery, OutputParameters
from app.responses.negotiation import check_quality
from app.responses.pictures import UNSENT_COPIES, Answer, Held, check_pixels, permanent_url
from app.responses.problems import NO_STORE
from app.state import Context, ContextDep
from model.encoding.formats import STILLS, encode_still
from model.picture_request import PictureRequest, one_seed, rows_of

TEXT_COPIES = 4  # times that the files are held at most: as bytes, in base64, as JSON, as its bytes

ITEM = {
    "type": "object",
    "properties": {"url": {"type": "string"}, "b64_json": {"type": "string"}},
    "additionalProperties": False,
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The pictures in the order of their seeds: each a `url` or a `b64_json`.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["created", "data"],
                    "properties": {
                        "created": {"type": "integer", "description": "Unix seconds."},
                        "data": {"type": "array", "items": ITEM},
                    },
                }
            }
        },
    }
}

router = APIRouter(tags=["pictures"])


@router.post(
    "/v1/images/generations",
    responses=RESPONSES,
    response_class=Response,
    openapi_extra=body_schema(GenerationsBody),
)
async def image_generations(
    context: ContextDep,
    parameters: Annotated[GenerationsBody, json_body(GenerationsBody)],
    query: Annotated[NoQuery, Query()],
) -> Response:
    """Generates the pictures of a prompt, which is a seed, as OpenAI's clients ask for them.
    Refusals have an `error` as well, which these clients show.
    """
    generation, bounds = context.generators.parameter(parameters.model), context.bounds
    scale = parameters.scale(generation.side)
    sized = OutputParameters(scale=scale, resample=parameters.resample)
    output = read_output(generation.file, sized, parameters.model)
    changes = read_changes(parameters).checked(generation.config)
    format = STILLS[parameters.output_format or "png"]
    check_quality(format, parameters.output_compression)
    side = generation.side * output.scale
    answers = [
        Answer(
            generation=generation,
            picture=PictureRequest(one_seed(seed), changes, output),
            format=format,
            negotiated=False,
            quality=parameters.output_compression,
        )
        for seed in parameters.seeds
    ]
    if parameters.response_format == "b64_json":
        check_pixels(format, len(answers), side, side, bounds.max_pixels)
        return await _generated(context, answers, side)
    check_pixels(format, 1, side, side, bounds.max_pixels)  # each URL is one request
    host = f"{context.request.url.scheme}://{context.request.url.netloc}"
    content = _content([{"url": host + _address(answer)} for answer in answers])
    return Response(content, media_type="application/json", headers=NO_STORE)


async def _generated(context: Context, answers: Sequence[Answer], side: int) -> Response:
    """Generates the pictures and answers with their files; reserves the memory that they take.

    Raises:
        Problem: there is no memory for them, or the batcher refuses.
        ClientGoneError: the client went away first.
    """
    generation, first, watch = answers[0].generation, answers[0], context.watch
    pixels = len(answers) * side**2
    raw = TEXT_COPIES * pixels * generation.channels
    reserved = context.bounds.memory.reserve(first.format.memory(pixels, generation.channels) + raw)
    try:
        output = first.picture.output
        if len(answers) == 1 and first.picture.is_kept and first.format.name == "png":
            seed, class_ = first.picture.source.seed, first.picture.changes.class_
            assert seed is not None
            file, _ = await generation.picture(seed, class_, watch, output)
            content = await in_parallel(watch, [file], _in_base64, _content)
        else:
            rows = rows_of(generation.file, [answer.picture for answer in answers])
            generated, _ = await generation.pixels(rows, watch, output.upscale)
            content = await in_parallel(
                watch, generated, partial(_files, answers), _in_base64, _content
            )
        reserved.resize(UNSENT_COPIES * len(content))
        return Held(reserved, content, media_type="application/json", headers=NO_STORE)
    except BaseException:
        reserved.release()
        raise


def _files(answers: Sequence[Answer], pixels: NDArray[np.uint8]) -> list[bytes]:
    """Makes a file of each of the pictures (N, H, W, C) as they were generated."""
    return [
        answer.signed(
            encode_still(
                answer.picture.finish(pixels[place : place + 1]),
                answer.format.name,
                answer.quality,
                answer.note,
            )
        )
        for place, answer in enumerate(answers)
    ]


def _in_base64(files: Sequence[bytes]) -> list[dict[str, str]]:
    return [{"b64_json": base64.b64encode(file).decode()} for file in files]


def _content(data: Sequence[dict[str, str]]) -> bytes:
    return json.dumps({"created": int(time.time()), "data": data}).encode()


def _address(answer: Answer) -> str:
    """Returns the path and query that mean the same file permanently."""
    extension = answer.format.extensions[0]
    if answer.quality is None:
        return permanent_url(answer.words, extension)
    return public(url(f"/generate.{extension}", answer.words | {"quality": answer.quality}))
