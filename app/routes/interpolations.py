"""/interpolate: seeds in, the way from one to the next back."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app import caching
from app.encoding.png import MEDIA_TYPE, encode_png
from app.generation import GenerationDep, WatchDep
from app.routes.images import PNG
from app.schemas import InterpolateQuery
from model.images import tile
from model.paths import default_mode, interpolate

router = APIRouter(tags=["pictures"])


@router.get("/interpolate", responses=PNG, response_class=Response)
async def interpolate_seeds(
    request: Request,
    parameters: Annotated[InterpolateQuery, Query()],
    generation: GenerationDep,
    watch: WatchDep,
) -> Response:
    """A strip of pictures, side by side; its two ends are the plain pictures of their seeds."""
    config, frames = generation.config, parameters.frames
    name = caching.recipe("i", frames, seeds=parameters.seeds)
    tag = caching.picture_tag(config.weights_sha256, name)
    headers = caching.headers(tag)
    if caching.matches(request.headers.get("If-None-Match", ""), tag):
        return Response(status_code=304, headers=headers)
    path = interpolate(generation.latents(parameters.seeds), frames, default_mode(config.prior))
    pixels = await generation.pixels(path, watch)
    content = await asyncio.to_thread(encode_png, tile(pixels, frames))
    return Response(content, media_type=MEDIA_TYPE, headers=headers)
