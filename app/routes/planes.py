"""/plane: four corner seeds in, one sheet of the blend between them back."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.parameters.picture_parameters import read_changes, read_output
from app.parameters.schemas import PlaneQuery
from app.responses.negotiation import still_format
from app.responses.pictures import Answer, still
from app.routes.images import STILL_RESPONSES, Extension
from app.state import Context, ContextDep
from model.picture_request import PictureRequest, Plane

router = APIRouter(tags=["pictures"])


@router.get("/plane", responses=STILL_RESPONSES, response_class=Response)
async def blend(context: ContextDep, parameters: Annotated[PlaneQuery, Query()]) -> Response:
    """Generates the blend between four corners as a sheet; a corner is its seed's plain picture."""
    return await _plane(context, parameters, None)


@router.get("/plane.{extension}", responses=STILL_RESPONSES, response_class=Response)
async def blend_as(
    context: ContextDep, extension: Extension, parameters: Annotated[PlaneQuery, Query()]
) -> Response:
    """Generates the same, in the format that the extension names."""
    return await _plane(context, parameters, extension)


async def _plane(context: Context, parameters: PlaneQuery, extension: str | None) -> Response:
    generation = context.generators.parameter(parameters.model)
    plane = Plane(
        corners=parameters.seeds,
        across=parameters.columns,
        down=parameters.rows,
        x=parameters.x,
        y=parameters.y,
        size=parameters.size,
        mode=parameters.mode,
    )
    format = still_format(context.request, extension, parameters.format, parameters.quality)
    output = read_output(generation.file, parameters, parameters.model)
    picture = PictureRequest(plane, read_changes(parameters), output)
    answer = Answer.of(generation, picture.checked(generation.file), format, parameters)
    return await still(context, answer)
