"""/plane: four corner seeds in, one sheet of the blend between them back."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from app.answers import Answer, check_pixels, enlarged, still_format
from app.disconnection import Watch
from app.generation import Generators, GeneratorsDep, WatchDep
from app.limits import BoundsDep
from app.recipes import latent_words, output_words
from app.routes.images import STILL_RESPONSES, Extension
from app.schemas import PlaneQuery
from model.images import tile
from model.paths import default_mode, plane_rows
from model.recipes import Words, plain

router = APIRouter(tags=["pictures"])


@router.get("/plane", responses=STILL_RESPONSES, response_class=Response)
async def blend(
    request: Request,
    parameters: Annotated[PlaneQuery, Query()],
    generators: GeneratorsDep,
    watch: WatchDep,
    bounds: BoundsDep,
) -> Response:
    """A sheet of the blend between four corners; each corner is the plain picture of its seed."""
    return await _plane(request, parameters, None, generators, watch, bounds.max_pixels)


@router.get("/plane.{extension}", responses=STILL_RESPONSES, response_class=Response)
async def blend_as(
    request: Request,
    extension: Extension,
    parameters: Annotated[PlaneQuery, Query()],
    generators: GeneratorsDep,
    watch: WatchDep,
    bounds: BoundsDep,
) -> Response:
    """The same, as the format that the extension names."""
    return await _plane(request, parameters, extension, generators, watch, bounds.max_pixels)


async def _plane(
    request: Request,
    parameters: PlaneQuery,
    extension: str | None,
    generators: Generators,
    watch: Watch,
    max_pixels: int,
) -> Response:
    generation = generators.parameter(parameters.model)
    parameters = generation.checked(parameters)
    format, negotiated = still_format(request, extension, parameters.format, parameters.quality)
    columns, rows = parameters.columns, parameters.rows
    mode = parameters.mode or default_mode(generation.config.prior)
    words: Words = {"model": generation.id, "seeds": parameters.seeds}
    words |= {"columns": columns, "rows": rows, "mode": mode}
    words |= {name: plain(getattr(parameters, name)) for name in ("x", "y", "size")}
    words |= latent_words(parameters) | output_words(parameters)
    answer = Answer(
        generation,
        words,
        format,
        negotiated,
        "-".join([generation.name, "plane", *map(str, parameters.seeds)]),
        parameters.quality,
        parameters.download,
        seed=parameters.seeds[0],
    )
    side = generation.side * parameters.scale
    check_pixels(format, 1, rows * side, columns * side, max_pixels)
    if unchanged := answer.unchanged(request):
        return unchanged
    corners = generation.changed(
        generation.latents(parameters.seeds, parameters.class_), parameters
    )
    across = np.linspace(parameters.x, parameters.x + parameters.size, columns)
    down = np.linspace(parameters.y, parameters.y + parameters.size, rows)
    blend = plane_rows(corners, generation.config.network.z_dim, across, down, mode)
    pixels, timing = await generation.pixels(blend, watch)
    return await answer.still(tile(await enlarged(pixels, parameters), columns), timing)
