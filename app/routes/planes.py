"""/plane: four corner seeds in, one sheet of the blend between them back."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.engine.loaded_generator import Generators
from app.parameters.limits import Bounds
from app.parameters.picture_parameters import read_changes, read_output
from app.parameters.schemas import PlaneQuery
from app.responses.pictures import Answer, still, still_format
from app.routes.images import STILL_RESPONSES, Extension
from app.server.disconnection import Watch
from app.state import BoundsDep, GeneratorsDep, WatchDep
from model.picture_request import PictureRequest, Plane

router = APIRouter(tags=["pictures"])


@router.get("/plane", responses=STILL_RESPONSES, response_class=Response)
async def blend(
    request: Request,
    parameters: Annotated[PlaneQuery, Query()],
    generators: GeneratorsDep,
    watch: WatchDep,
    bounds: BoundsDep,
) -> Response:
    """Draws the blend between four corners as a sheet; each corner is its seed's plain picture."""
    return await _plane(request, parameters, None, generators, watch, bounds)


@router.get("/plane.{extension}", responses=STILL_RESPONSES, response_class=Response)
async def blend_as(
    request: Request,
    extension: Extension,
    parameters: Annotated[PlaneQuery, Query()],
    generators: GeneratorsDep,
    watch: WatchDep,
    bounds: BoundsDep,
) -> Response:
    """Draws the same, in the format that the extension names."""
    return await _plane(request, parameters, extension, generators, watch, bounds)


async def _plane(
    request: Request,
    parameters: PlaneQuery,
    extension: str | None,
    generators: Generators,
    watch: Watch,
    bounds: Bounds,
) -> Response:
    generation = generators.parameter(parameters.model)
    plane = Plane(
        corners=parameters.seeds,
        across=parameters.columns,
        down=parameters.rows,
        x=parameters.x,
        y=parameters.y,
        size=parameters.size,
        mode=parameters.mode,
    )
    changes = read_changes(generation.file, parameters)
    format = still_format(request, extension, parameters.format, parameters.quality)
    picture = PictureRequest(plane, changes, read_output(parameters))
    answer = Answer.of(generation, picture, format, parameters)
    return await still(request, answer, watch, bounds)
