"""/interpolate: seeds or recipes in, the path through them back, moving, a strip or frames."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.engine.batcher import Pixels
from app.engine.loaded_generator import Generation
from app.engine.threads import in_parallel
from app.http.cors import HEAD
from app.parameters.bodies import body_schema, json_body
from app.parameters.picture_parameters import read_changes, read_output, read_recipes
from app.parameters.schemas import InterpolateBody, InterpolateQuery
from app.parameters.uploads import BINARY
from app.responses import negotiation, streams
from app.responses.negotiation import check_quality
from app.responses.offers import FRAME_FORMATS, PATH_FORMATS, PATH_OFFERS
from app.responses.pictures import Answer, check_pixels, generate
from app.responses.problems import NotInstalled
from app.responses.streams import Items
from app.routes.images import STILL_RESPONSES, extension_path
from app.state import Context, ContextDep
from model.encoding.animations import VideoNotInstalled, encode_animation
from model.picture_request import DEFAULT_CHANGES, Path, PictureRequest

MOTION_RESPONSES: dict[int | str, dict[str, Any]] = {
    **STILL_RESPONSES,
    200: {
        **STILL_RESPONSES[200],
        "description": "The moving picture, the strip, or the frames.",
        "content": {format.media_type: BINARY for format in PATH_FORMATS.values()},
    },
    501: {"description": "MP4, on a host without the extra that writes it."},
}

router = APIRouter(tags=["pictures"])


@router.get("/interpolate", responses=MOTION_RESPONSES, response_class=Response)
async def interpolate_seeds(
    context: ContextDep, parameters: Annotated[InterpolateQuery, Query()]
) -> Response:
    """Generates a path through latent space; its two ends are the plain pictures of their seeds."""
    return await _way(context, parameters, None)


@router.get("/interpolate.{extension}", responses=MOTION_RESPONSES, response_class=Response)
async def interpolate_seeds_as(
    context: ContextDep,
    extension: Annotated[str, extension_path(negotiation.extensions_of(PATH_FORMATS))],
    parameters: Annotated[InterpolateQuery, Query()],
) -> Response:
    """Generates the same, in the format that the extension names: webp, apng, gif, mp4, png (a
    strip of the frames side by side), zip or npy.
    """
    return await _way(context, parameters, extension)


@router.post(
    "/interpolate",
    responses=MOTION_RESPONSES,
    response_class=Response,
    openapi_extra=body_schema(InterpolateBody),
)
async def interpolate_from_json(
    context: ContextDep, parameters: Annotated[InterpolateBody, json_body(InterpolateBody)]
) -> Response:
    """Generates the same from a JSON body, which may name recipes in place of seeds: the path leads
    through their very pictures.
    """
    return await _way(context, parameters, None)


async def _way(
    context: Context, parameters: InterpolateQuery | InterpolateBody, extension: str | None
) -> Response:
    request, bounds = context.request, context.bounds
    generation = context.generators.parameter(parameters.model)
    name, negotiated = negotiation.choose(request, PATH_OFFERS, extension, parameters.format)
    format = PATH_FORMATS[name]
    check_quality(format, parameters.quality)
    picture = _path(generation, parameters)
    output, frames = picture.output, len(picture.source)
    answer = Answer.of(
        generation,
        picture,
        (format, negotiated),
        parameters,
        lasting=request.method == "GET",
        located=False,
    )
    side = generation.side * output.scale
    pictures, width = (1, side * frames) if name == "strip" else (frames, side)
    check_pixels(format, pictures, side, width, bounds.max_pixels)
    if unchanged := answer.unchanged(request):
        return unchanged
    if name in FRAME_FORMATS:
        path = await in_parallel(context.watch, generation.file, picture.rows)
        items = Items(
            frames,
            lambda start, end: path[start:end],
            lambda index: answer.words | {"frame": index},
        )
        made = streams.pieces(context, generation, items, output, encoded=name == "zip")
        shape = (frames, side, side, generation.channels)
        content = streams.as_zip(items, made) if name == "zip" else streams.as_npy(shape, made)
        begun = streams.unseen() if HEAD in request.scope else await streams.begun(content)
        headers = answer.headers()
        del headers["Server-Timing"]  # it is not over yet
        return streams.Stream(begun, media_type=format.media_type, headers=headers)

    def encode(pixels: Pixels) -> bytes:
        return encode_animation(
            pixels,
            format.name,
            fps=parameters.fps,
            loop=parameters.loop,
            quality=parameters.quality,
            recipe=answer.note,
        )

    try:
        return await generate(context, answer, frames * side**2, (output.finish, encode))
    except VideoNotInstalled as error:
        raise NotInstalled(str(error)) from None


def _path(generation: Generation, parameters: InterpolateQuery | InterpolateBody) -> PictureRequest:
    """Reads the path that is asked for; what is done to latents is done to its stops."""
    changes = read_changes(parameters).checked(generation.config)
    output = read_output(generation.file, parameters, parameters.model)
    stops: Sequence[int] | Sequence[PictureRequest]
    if parameters.seeds is not None:
        stops = parameters.seeds
    else:
        assert isinstance(parameters, InterpolateBody)
        assert parameters.recipes is not None
        stops = read_recipes(generation.file, parameters.recipes, changes, output)
        changes = DEFAULT_CHANGES
    path = Path(
        stops=stops,
        frames=parameters.frame_count(),
        mode=parameters.mode,
        loop=parameters.loop,
        ease=parameters.ease,
        fps=parameters.fps,
    )
    return PictureRequest(path, changes, output)
