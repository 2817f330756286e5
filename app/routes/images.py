"""/generate: a seed or latents in, one picture or one sheet back."""

import asyncio
import secrets
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response
from numpy.typing import NDArray

from app.caching import cache_headers
from app.encoding.png import MEDIA_TYPE, encode_png
from app.generation import Generation, GenerationDep
from app.problems import InvalidRequest
from app.schemas import GenerateBody, GenerateParameters, GenerateQuery
from model.images import tile
from model.latents import sample_latents

RANDOM_SEEDS = 2**32 - 256  # a random seed is below, so that a sheet of them is too

PNG: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A PNG picture; `Image-Seed` names the (first) seed.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}

router = APIRouter(tags=["pictures"])


@router.get("/generate", responses=PNG, response_class=Response)
async def generate(
    parameters: Annotated[GenerateQuery, Query()], generation: GenerationDep
) -> Response:
    """The picture of a seed. Without a seed a random one, which nobody may cache."""
    return await _by_seed(parameters, generation)


@router.post("/generate", responses=PNG, response_class=Response)
async def generate_from_json(parameters: GenerateBody, generation: GenerationDep) -> Response:
    """The same with a JSON body, which may hold latent vectors `z` instead of a seed."""
    if parameters.z is None:
        return await _by_seed(parameters, generation)
    z_dim = generation.config.network.z_dim
    for index, vector in enumerate(parameters.z):
        if len(vector) != z_dim:
            raise InvalidRequest(
                f"z.{index} has {len(vector)} values; this generator wants {z_dim}"
            )
    z = np.array(parameters.z, np.float32)
    content = await _sheet(z, parameters, generation)
    return Response(content, media_type=MEDIA_TYPE, headers=cache_headers(lasting=False))


async def _by_seed(parameters: GenerateParameters, generation: Generation) -> Response:
    lasting = parameters.seed is not None
    seed = secrets.randbelow(RANDOM_SEEDS) if parameters.seed is None else parameters.seed
    config = generation.config
    z = sample_latents(range(seed, seed + parameters.n), config.network.z_dim, config.prior)
    content = await _sheet(z, parameters, generation)
    headers = {"Image-Seed": str(seed), **cache_headers(lasting)}
    return Response(content, media_type=MEDIA_TYPE, headers=headers)


async def _sheet(
    z: NDArray[np.float32], parameters: GenerateParameters, generation: Generation
) -> bytes:
    pixels = await generation.batcher.submit(z)
    sheet = tile(pixels, parameters.columns_of(len(pixels)))
    return await asyncio.to_thread(encode_png, sheet)
