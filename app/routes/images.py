"""/generate: a seed or latents in, one picture or one sheet back."""

import asyncio
import secrets
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from app import caching
from app.disconnection import Watch
from app.encoding.png import MEDIA_TYPE, encode_png
from app.generation import Generation, GenerationDep, WatchDep
from app.problems import InvalidRequest
from app.schemas import GenerateBody, GenerateParameters, GenerateQuery
from model.images import tile

RANDOM_SEEDS = 2**32 - 256  # a random seed is below, so that a sheet of them is too

PNG: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A PNG picture; `Image-Seed` names the (first) seed.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "The client's copy, named by If-None-Match, is the picture."},
}

router = APIRouter(tags=["pictures"])


@router.get("/generate", responses=PNG, response_class=Response)
async def generate(
    request: Request,
    parameters: Annotated[GenerateQuery, Query()],
    generation: GenerationDep,
    watch: WatchDep,
) -> Response:
    """The picture of a seed. Without a seed a random one, which nobody may cache."""
    return await _by_seed(request, parameters, generation, watch)


@router.post("/generate", responses=PNG, response_class=Response)
async def generate_from_json(
    request: Request, parameters: GenerateBody, generation: GenerationDep, watch: WatchDep
) -> Response:
    """The same with a JSON body, which may hold latent vectors `z` instead of a seed."""
    if parameters.z is None:
        return await _by_seed(request, parameters, generation, watch)
    z_dim = generation.config.network.z_dim
    for index, vector in enumerate(parameters.z):
        if len(vector) != z_dim:
            wanted = f"this generator wants {z_dim}"
            raise InvalidRequest(f"z.{index} has {len(vector)} values; {wanted}")
    pixels = await generation.pixels(np.array(parameters.z, np.float32), watch)
    sheet = tile(pixels, parameters.columns_of(len(pixels)))
    content = await asyncio.to_thread(encode_png, sheet)
    return Response(content, media_type=MEDIA_TYPE, headers=caching.headers(tag=None))


async def _by_seed(
    request: Request, parameters: GenerateParameters, generation: Generation, watch: Watch
) -> Response:
    n, columns = parameters.n, parameters.columns_of(parameters.n)
    seed, tag = parameters.seed, None
    if seed is None:
        seed = secrets.randbelow(RANDOM_SEEDS)
    else:
        name = caching.recipe("g", seed, n, columns)
        tag = caching.picture_tag(generation.config.weights_sha256, name)
    headers = {"Image-Seed": str(seed), **caching.headers(tag)}
    if tag and caching.matches(request.headers.get("If-None-Match", ""), tag):
        return Response(status_code=304, headers=headers)
    if n == 1:
        content = await generation.picture(seed, watch)
    else:
        pixels = await generation.pixels(range(seed, seed + n), watch)
        sheet = tile(pixels, columns)
        content = await asyncio.to_thread(encode_png, sheet)
    return Response(content, media_type=MEDIA_TYPE, headers=headers)
