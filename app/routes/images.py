"""/generate: seeds, latents or recipes in; one picture, one sheet or many files back."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import JsonValue

from app.engine.loaded_generator import Generation
from app.engine.threads import in_turn
from app.parameters.bodies import body_schema, json_body
from app.parameters.picture_parameters import Listed, read_list, read_output, read_picture
from app.parameters.schemas import GenerateBody, GenerateQuery, SheetParameters
from app.parameters.uploads import BINARY
from app.responses import negotiation, streams
from app.responses.negotiation import check_quality, still_format
from app.responses.offers import BULK_OFFERS, STILL_OFFERS
from app.responses.pictures import Answer, still
from app.responses.problems import InvalidRequest
from app.responses.streams import Items
from app.state import Context, ContextDep
from model.encoding.formats import STILLS
from model.picture_request import PictureRequest, Seeds, Several, one_seed, rows_of

UNCHANGED = {"description": "The client's copy, named by If-None-Match, is still good."}
STILL_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture; `Image-Seed` names its (first) seed.",
        "content": {still.media_type: BINARY for still in STILLS.values()},
    },
    304: UNCHANGED,
}
BULK_RESPONSES: dict[int | str, dict[str, Any]] = {
    **STILL_RESPONSES,
    200: {
        **STILL_RESPONSES[200],
        "content": STILL_RESPONSES[200]["content"]
        | {"application/zip": BINARY, "multipart/mixed": BINARY}
        | {"application/json": {"schema": {"type": "object"}}},
    },
}


def extension_path(known: Iterable[str]) -> Any:
    """Declares an extension in a path: the document names the known ones; others are 404, not
    422.
    """
    enum: list[JsonValue] = [*known]
    return Path(description="Of the format.", json_schema_extra={"enum": enum})


Extension = Annotated[str, extension_path(negotiation.extensions_of(STILLS))]

router = APIRouter(tags=["pictures"])


@router.get("/generate", responses=STILL_RESPONSES, response_class=Response)
async def generate(context: ContextDep, parameters: Annotated[GenerateQuery, Query()]) -> Response:
    """Generates the picture of a seed, of a mix of seeds or of a latent vector. Without any, a
    random one, which no cache may keep.
    """
    return await sheet(context, parameters, None)


@router.get("/generate.{extension}", responses=STILL_RESPONSES, response_class=Response)
async def generate_as(
    context: ContextDep, extension: Extension, parameters: Annotated[GenerateQuery, Query()]
) -> Response:
    """Generates the same, in the format that the extension names: png, webp, avif, jpg, jpeg or
    npy.
    """
    return await sheet(context, parameters, extension)


@router.post(
    "/generate",
    responses=BULK_RESPONSES,
    response_class=Response,
    openapi_extra=body_schema(GenerateBody),
)
async def generate_from_json(
    context: ContextDep, parameters: Annotated[GenerateBody, json_body(GenerateBody)]
) -> Response:
    """Generates the same from a JSON body, which may ask for many pictures: by seeds and ranges of
    seeds, by latent vectors, or by recipes. One sheet, or every picture by itself.
    """
    generation, bounds = context.generators.parameter(parameters.model), context.bounds
    if parameters.recipes or parameters.z:  # as long as the list; all else is read at once
        listed = await in_turn(context.watch, parameters, partial(read_list, generation.file))
    else:
        listed = read_list(generation.file, parameters)
    offers = STILL_OFFERS | BULK_OFFERS
    name, negotiated = negotiation.choose(context.request, offers, None, parameters.format)
    if listed is None and name in STILLS:
        chosen = parameters.model_copy(update={"format": name})
        answer = await sheet(context, chosen, None)
        if negotiated:
            answer.headers["Vary"] = "Accept"
        return answer
    if name in BULK_OFFERS or name == "npy":
        listed = listed or _following(generation, parameters)
        return await _many(context, generation, parameters, listed, name)
    assert listed is not None
    check_quality(STILLS[name], parameters.quality)
    if listed.count > bounds.max_pictures:
        raise InvalidRequest(
            f"{listed.count} pictures on one sheet; allowed: up to {bounds.max_pictures}; "
            f"{', '.join(BULK_OFFERS)} and npy take more"
        )
    pictures = [listed.picture(place) for place in range(listed.count)]
    several = Several(pictures, parameters.columns)
    output = read_output(generation.file, parameters, parameters.model)
    picture = PictureRequest(several, output=output)
    format = STILLS[name], negotiated
    all_of_them = Answer.of(generation, picture, format, parameters, lasting=False, located=False)
    return await still(context, all_of_them)


async def sheet(context: Context, parameters: SheetParameters, extension: str | None) -> Response:
    """Generates the picture of a seed, a sheet of it and its followers, or the one of a recipe."""
    request, generation = context.request, context.generators.parameter(parameters.model)
    picture, named = read_picture(generation.file, parameters)
    format = still_format(
        request, extension, getattr(parameters, "format", None), parameters.quality
    )
    # RFC 9110, section 9.3.3: to keep the answer to a POST, a client asks for it by GET
    lasting = named and request.method == "GET"
    answer = Answer.of(generation, picture, format, parameters, lasting=lasting)
    return await still(context, answer)


def _following(generation: Generation, parameters: GenerateBody) -> Listed:
    """Lists the pictures of the one source, each by itself."""
    picture, _ = read_picture(generation.file, parameters)
    if not isinstance(picture.source, Seeds):
        return Listed(1, lambda _: picture)
    seeds = picture.source.seeds
    return Listed(len(seeds), lambda place: replace(picture, source=one_seed(seeds[place])))


async def _many(
    context: Context, generation: Generation, parameters: GenerateBody, listed: Listed, name: str
) -> Response:
    if parameters.quality is not None or parameters.columns is not None:
        raise InvalidRequest(f"quality, columns: {name} has neither; a sheet has")
    file, picture = generation.file, listed.picture
    items = Items(
        listed.count,
        lambda start, end: rows_of(file, [picture(place) for place in range(start, end)]),
        lambda place: picture(place).words(file.config),
    )
    output = read_output(file, parameters, parameters.model)
    side = generation.side * output.scale
    made = streams.pieces(context, generation, items, output, encoded=name in BULK_OFFERS)
    extension, media_type = name, (STILL_OFFERS | BULK_OFFERS)[name]
    match name:
        case "zip":
            content = streams.as_zip(items, made)
        case "json":
            content = streams.as_json(items, made)
        case "multipart":
            line = streams.boundary()
            content = streams.as_multipart(items, made, line)
            media_type, extension = f"multipart/mixed; boundary={line}", "txt"
        case _:
            shape = (items.count, side, side, generation.channels)
            content = streams.as_npy(shape, made)
    kind = "attachment" if parameters.download else "inline"
    headers = {
        "Cache-Control": "no-store",
        "Image-Model": output.model(file.config),
        "Content-Disposition": f'{kind}; filename="{generation.name}-{items.count}.{extension}"',
    }
    if parameters.format is None:
        headers["Vary"] = "Accept"
    return streams.Stream(await streams.begun(content), media_type=media_type, headers=headers)
