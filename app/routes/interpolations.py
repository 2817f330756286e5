"""/interpolate: seeds in, the way from one to the next back."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.caching import cache_headers
from app.encoding.png import MEDIA_TYPE, encode_png
from app.generation import GenerationDep
from app.routes.images import PNG
from app.schemas import InterpolateQuery
from model.images import tile
from model.latents import interpolate, sample_latents

router = APIRouter(tags=["pictures"])


@router.get("/interpolate", responses=PNG, response_class=Response)
async def interpolate_seeds(
    parameters: Annotated[InterpolateQuery, Query()], generation: GenerationDep
) -> Response:
    """A strip of pictures, side by side; its two ends are the plain pictures of their seeds."""
    config = generation.config
    keys = sample_latents(parameters.seeds, config.network.z_dim, config.prior)
    pixels = await generation.batcher.submit(interpolate(keys, parameters.frames, config.prior))
    content = await asyncio.to_thread(encode_png, tile(pixels, len(pixels)))
    return Response(content, media_type=MEDIA_TYPE, headers=cache_headers(lasting=True))
