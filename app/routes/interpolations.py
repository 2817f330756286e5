"""/interpolate: seeds or recipes in, the way from one to the next back, moving or as a strip."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from app import bulk, negotiation
from app.answers import Answer, check_pixels, check_quality, enlarged
from app.batcher import Latents
from app.bulk import Items
from app.crossorigin import HEAD
from app.disconnection import Watch
from app.generation import Generation, Generators, GeneratorsDep, WatchDep
from app.limits import Bounds, BoundsDep
from app.problems import NotInstalled
from app.recipes import latent_words, output_words, recipe_words, with_defaults
from app.routes.images import BINARY, STILL_RESPONSES, extension_path
from app.schemas import InterpolateBody, InterpolateQuery
from model.encoding.animations import ANIMATIONS, VideoNotInstalled, encode_animation
from model.encoding.formats import Format
from model.paths import default_mode, interpolate_rows
from model.recipes import Words

FRAME_FORMATS = {
    format.name: format
    for format in (
        Format(name="zip", extensions=("zip",), media_type="application/zip", longest_side=2**31),
        Format(name="npy", extensions=("npy",), media_type="application/x-npy", longest_side=2**31),
    )
}
FORMATS = {**ANIMATIONS, **FRAME_FORMATS}
MOTION_RESPONSES: dict[int | str, dict[str, Any]] = {
    **STILL_RESPONSES,
    200: {
        **STILL_RESPONSES[200],
        "description": "The moving picture, the strip, or the frames.",
        "content": {format.media_type: BINARY for format in FORMATS.values()},
    },
    501: {"description": "MP4, on a host without the extra that writes it."},
}

router = APIRouter(tags=["pictures"])


@router.get("/interpolate", responses=MOTION_RESPONSES, response_class=Response)
async def interpolate_seeds(
    request: Request,
    parameters: Annotated[InterpolateQuery, Query()],
    generators: GeneratorsDep,
    watch: WatchDep,
    bounds: BoundsDep,
) -> Response:
    """A way through latent space; its two ends are the plain pictures of their seeds."""
    return await _way(request, parameters, None, generators, watch, bounds)


@router.get("/interpolate.{extension}", responses=MOTION_RESPONSES, response_class=Response)
async def interpolate_seeds_as(
    request: Request,
    extension: Annotated[str, extension_path(negotiation.extensions_of(FORMATS))],
    parameters: Annotated[InterpolateQuery, Query()],
    generators: GeneratorsDep,
    watch: WatchDep,
    bounds: BoundsDep,
) -> Response:
    """The same, as the format that the extension names: webp, apng, gif, mp4, png (a strip of the
    frames side by side), zip or npy.
    """
    return await _way(request, parameters, extension, generators, watch, bounds)


@router.post("/interpolate", responses=MOTION_RESPONSES, response_class=Response)
async def interpolate_from_json(
    request: Request,
    parameters: InterpolateBody,
    generators: GeneratorsDep,
    watch: WatchDep,
    bounds: BoundsDep,
) -> Response:
    """The same with a JSON body, which may name recipes in place of seeds: the way leads through
    their very pictures.
    """
    return await _way(request, parameters, None, generators, watch, bounds)


@dataclass(frozen=True)
class Stops:
    """What a way leads through."""

    rows: Callable[[], Latents]  # (K, z_dim + classes)
    words: Words
    changes: Words  # of all of them
    names: list[str]
    seed: int | None  # of the first


def _stops(generation: Generation, parameters: InterpolateQuery | InterpolateBody) -> Stops:
    seeds = parameters.seeds
    if seeds is not None:
        return Stops(
            lambda: generation.changed(generation.latents(seeds, parameters.class_), parameters),
            {"seeds": seeds},
            latent_words(parameters),
            [str(seed) for seed in seeds],
            seeds[0],
        )
    assert isinstance(parameters, InterpolateBody)
    assert parameters.recipes is not None
    recipes = [with_defaults(generation.checked(one), parameters) for one in parameters.recipes]
    rows = [generation.row(one, f"recipes.{place}.") for place, one in enumerate(recipes)]
    words = [recipe_words(one) for one in recipes]
    names = [str(found.get("seed", next(iter(found)))) for found in words]
    return Stops(lambda: np.concatenate(rows), {"recipes": words}, {}, names, recipes[0].seed)


async def _way(
    request: Request,
    parameters: InterpolateQuery | InterpolateBody,
    extension: str | None,
    generators: Generators,
    watch: Watch,
    bounds: Bounds,
) -> Response:
    generation = generators.parameter(parameters.model)
    parameters = generation.checked(parameters)
    name, negotiated = negotiation.choose(
        {name: format.media_type for name, format in FORMATS.items()},
        extension=extension,
        format=parameters.format,
        accept=", ".join(request.headers.getlist("Accept")),
    )
    format = FORMATS[name]
    check_quality(format, parameters.quality)
    frames, mode = (
        parameters.frame_count(),
        parameters.mode or default_mode(generation.config.prior),
    )
    stops = _stops(generation, parameters)
    words: Words = {"model": generation.id, **stops.words, "frames": frames}
    words |= {"mode": mode, "loop": parameters.loop, "ease": parameters.ease}
    words |= {"fps": parameters.fps, **stops.changes, **output_words(parameters)}
    answer = Answer(
        generation,
        words,
        format,
        negotiated,
        "-".join([generation.name, *stops.names]),
        parameters.quality,
        parameters.download,
        seed=stops.seed,
        lasting=request.method == "GET",
    )
    side = generation.side * parameters.scale
    width = side * frames if name == "strip" else side
    check_pixels(format, 1, side, width, bounds.max_pixels)
    check_pixels(format, frames, side, side, bounds.max_pixels)
    if unchanged := answer.unchanged(request):
        return unchanged
    path = await asyncio.to_thread(
        interpolate_rows,
        stops.rows(),
        generation.config.network.z_dim,
        frames,
        mode,
        loop=parameters.loop,
        ease=parameters.ease,
    )
    if name in FRAME_FORMATS:
        items = Items(
            frames, lambda start, end: path[start:end], lambda index: words | {"frame": index}
        )
        made = bulk.pieces(
            generation, items, parameters, bounds.streams, watch, encoded=name == "zip"
        )
        shape = (frames, side, side, generation.channels)
        content = (
            bulk.as_zip(generation, items, made) if name == "zip" else bulk.as_npy(shape, made)
        )
        begun = bulk.unseen() if HEAD in request.scope else await bulk.begun(content)
        headers = answer.headers()
        del headers["Server-Timing"]  # it is not over yet
        return StreamingResponse(begun, media_type=format.media_type, headers=headers)
    pixels, timing = await generation.pixels(path, watch)
    large = await enlarged(pixels, parameters)
    start = time.perf_counter()
    try:
        file = await asyncio.to_thread(
            encode_animation,
            large,
            name,
            fps=parameters.fps,
            loop=parameters.loop,
            quality=parameters.quality,
            recipe=answer.note,
        )
        file = await answer.signed(file)
    except VideoNotInstalled as error:
        raise NotInstalled(str(error)) from None
    timing.encode += time.perf_counter() - start
    return answer.response(file, timing)
