"""/generate: seeds, latents or recipes in; one picture, one sheet or many files back."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import JsonValue

from app import bulk, negotiation
from app.answers import (
    Answer,
    check_pixels,
    check_quality,
    enlarged,
    permanent_url,
    still_format,
)
from app.batcher import Rows
from app.bulk import Items
from app.disconnection import Watch
from app.generation import Generation, Generators, GeneratorsDep, WatchDep
from app.limits import BoundsDep
from app.problems import InvalidRequest
from app.recipes import latent_words, output_words, recipe_words, with_defaults
from app.schemas import (
    BULK_FORMATS,
    GenerateBody,
    GenerateQuery,
    Recipe,
    SheetParameters,
    sheet_columns,
)
from model.encoding.formats import STILLS, Format
from model.images import tile
from model.latents import SEED_LIMIT
from model.recipes import Words, vector_words

RANDOM_SEEDS = 2**32  # a random seed is below, and so is a sheet of them
BULK_TYPES = {
    "zip": "application/zip",
    "json": "application/json",
    "multipart": "multipart/mixed",
}

BINARY = {"schema": {"type": "string", "format": "binary"}}
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
    """An extension in a path. The document names the known ones; another is 404, not 422."""
    enum: list[JsonValue] = [*known]
    return Path(
        pattern="^[a-z0-9]{1,8}$",
        description="Of the format.",
        json_schema_extra={"enum": enum},
    )


Extension = Annotated[str, extension_path(negotiation.extensions_of(STILLS))]

router = APIRouter(tags=["pictures"])


@router.get("/generate", responses=STILL_RESPONSES, response_class=Response)
async def generate(
    request: Request,
    parameters: Annotated[GenerateQuery, Query()],
    generators: GeneratorsDep,
    watch: WatchDep,
    bounds: BoundsDep,
) -> Response:
    """The picture of a seed, of a mix of seeds or of a latent vector. Without any a random one,
    which nobody may cache.
    """
    return await sheet(request, parameters, None, generators, watch, bounds.max_pixels)


@router.get("/generate.{extension}", responses=STILL_RESPONSES, response_class=Response)
async def generate_as(
    request: Request,
    extension: Extension,
    parameters: Annotated[GenerateQuery, Query()],
    generators: GeneratorsDep,
    watch: WatchDep,
    bounds: BoundsDep,
) -> Response:
    """The same, as the format that the extension names: png, webp, avif, jpg, jpeg or npy."""
    return await sheet(request, parameters, extension, generators, watch, bounds.max_pixels)


@router.post("/generate", responses=BULK_RESPONSES, response_class=Response)
async def generate_from_json(
    request: Request,
    parameters: GenerateBody,
    generators: GeneratorsDep,
    watch: WatchDep,
    bounds: BoundsDep,
) -> Response:
    """The same with a JSON body, which may ask for many pictures: by seeds and ranges of seeds, by
    latent vectors, or by recipes that mix seeds. One sheet, or every picture by itself.
    """
    generation = generators.parameter(parameters.model)
    parameters = generation.checked(parameters)
    single = parameters.seeds is None and parameters.z is None and parameters.recipes is None
    offers = {name: still.media_type for name, still in STILLS.items()} | BULK_TYPES
    name, negotiated = negotiation.choose(
        offers,
        extension=None,
        format=parameters.format,
        accept=", ".join(request.headers.getlist("Accept")),
    )
    if single and name in STILLS:
        chosen = parameters.model_copy(update={"format": name})
        answer = await sheet(request, chosen, None, generators, watch, bounds.max_pixels)
        if negotiated:
            answer.headers["Vary"] = "Accept"
        return answer
    items = _items(generation, parameters)
    if name in BULK_FORMATS or name == "npy":
        return await _many(generation, parameters, items, name, watch, bounds)
    check_quality(STILLS[name], parameters.quality)
    if items.count > bounds.max_pictures:
        raise InvalidRequest(
            f"{items.count} pictures on one sheet; allowed: up to {bounds.max_pictures}; "
            f"{', '.join(BULK_FORMATS)} and npy take more"
        )
    words: Words = {
        "model": generation.id,
        "pictures": [items.words(i) for i in range(items.count)],
    }
    many = Answer(
        generation,
        words,
        STILLS[name],
        negotiated,
        f"{generation.name}-{items.count}",
        parameters.quality,
        parameters.download,
        lasting=False,
    )
    _check_size(many.format, generation, parameters, items.count, bounds.max_pixels)
    return await _sheet(many, items.latents(0, items.count), parameters, watch)


async def sheet(
    request: Request,
    parameters: SheetParameters,
    extension: str | None,
    generators: Generators,
    watch: Watch,
    max_pixels: int,
) -> Response:
    """The picture of a seed, or the sheet of it and those that follow; or the one of a recipe."""
    generation = generators.parameter(parameters.model)
    parameters = generation.checked(parameters)
    format, negotiated = still_format(
        request, extension, getattr(parameters, "format", None), parameters.quality
    )
    seed, recipe = parameters.seed, parameters.recipe
    # what cannot be drawn is refused, also to If-None-Match: *
    _check_size(format, generation, parameters, parameters.n, max_pixels)
    row = None if recipe is None else generation.row(recipe)
    words: Words = {"model": generation.id}
    if recipe is None:
        if seed is None:
            seed = secrets.randbelow(RANDOM_SEEDS - parameters.n + 1)
        words["seed"] = seed
        if parameters.n > 1:
            columns = sheet_columns(parameters.columns, parameters.n)
            words |= {"n": parameters.n, "columns": columns}
        words |= latent_words(parameters)
    else:
        words |= recipe_words(recipe)
    words |= output_words(parameters)
    # RFC 9110, section 9.3.3: who wants to keep the answer to a POST, asks for it by GET elsewhere
    named = parameters.seed is not None or recipe is not None
    lasting = named and request.method == "GET"
    quality: Words = {} if parameters.quality is None else {"quality": parameters.quality}
    answer = Answer(
        generation,
        words,
        format,
        negotiated,
        _file_name(generation, seed, recipe, parameters.n),
        parameters.quality,
        parameters.download,
        seed=seed,
        lasting=lasting,
        location=None
        if lasting
        else permanent_url(generation, words | quality, format.extensions[0]),
    )
    if unchanged := answer.unchanged(request):
        return unchanged
    if row is not None:
        return await _sheet(answer, row, parameters, watch)
    assert seed is not None
    plain = parameters.truncation == 1 and parameters.edit is None
    if plain and parameters.n == parameters.scale == 1 and format.name == "png":
        content, timing = await generation.picture(seed, parameters.class_, watch)
        return answer.response(content, timing)
    rows = generation.rows(range(seed, seed + parameters.n), parameters)
    return await _sheet(answer, rows, parameters, watch)


def _file_name(generation: Generation, seed: int | None, recipe: Recipe | None, n: int) -> str:
    """A file's name without its extension."""
    if recipe is not None:
        return f"{generation.name}-{'z' if recipe.mix is None else 'mix'}"
    return f"{generation.name}-{seed}" + (f"-{n}" if n > 1 else "")


def _check_size(
    format: Format, generation: Generation, parameters: SheetParameters, count: int, max_pixels: int
) -> None:
    """Refuses a sheet of so many pictures that is larger than the format or the host allows."""
    columns = sheet_columns(parameters.columns, count)
    side = generation.side * parameters.scale
    lines = -(-count // columns)
    check_pixels(format, lines * columns, side, side, max_pixels)
    check_pixels(format, 1, lines * side, columns * side, max_pixels)


async def _sheet(answer: Answer, rows: Rows, parameters: SheetParameters, watch: Watch) -> Response:
    columns = sheet_columns(parameters.columns, len(rows))
    pixels, timing = await answer.generation.pixels(rows, watch)
    return await answer.still(tile(await enlarged(pixels, parameters), columns), timing)


async def _many(
    generation: Generation,
    parameters: GenerateBody,
    items: Items,
    name: str,
    watch: Watch,
    bounds: BoundsDep,
) -> Response:
    if parameters.quality is not None or parameters.columns is not None:
        raise InvalidRequest(f"quality, columns: {name} has neither; a sheet has")
    side = generation.side * parameters.scale
    made = bulk.pieces(
        generation, items, parameters, bounds.streams, watch, encoded=name in BULK_FORMATS
    )
    extension, media_type = name, BULK_TYPES.get(name, "application/x-npy")
    match name:
        case "zip":
            content = bulk.as_zip(generation, items, made)
        case "json":
            content = bulk.as_json(generation, items, made)
        case "multipart":
            line = bulk.boundary()
            content = bulk.as_multipart(items, made, line)
            media_type, extension = f"multipart/mixed; boundary={line}", "txt"
        case _:
            shape = (items.count, side, side, generation.channels)
            content = bulk.as_npy(shape, made)
    kind = "attachment" if parameters.download else "inline"
    headers = {
        "Cache-Control": "no-store",
        "Image-Model": generation.id,
        "Content-Disposition": f'{kind}; filename="{generation.name}-{items.count}.{extension}"',
    }
    if parameters.format is None:
        headers["Vary"] = "Accept"
    return StreamingResponse(await bulk.begun(content), media_type=media_type, headers=headers)


def _items(generation: Generation, parameters: GenerateBody) -> Items:
    """The pictures of a body, whichever way it names them."""
    fixed: Words = {"model": generation.id}
    changes = latent_words(parameters) | output_words(parameters)
    if parameters.recipe is not None:
        row = generation.row(parameters.recipe)
        words = fixed | recipe_words(parameters.recipe) | output_words(parameters)
        return Items(1, lambda start, end: row[start:end], lambda _: words)
    if parameters.recipes is not None:
        return _recipes(generation, parameters, parameters.recipes)
    if parameters.z is not None:
        rows = generation.vectors(parameters.z, parameters.class_)
        return Items(
            len(rows),
            lambda start, end: generation.changed(rows[start:end], parameters),
            lambda index: fixed | {"z": vector_words(generation.z(rows[index]))} | changes,
        )
    seeds: Sequence[int] = parameters.seeds or _following(parameters)
    return Items(
        len(seeds),
        lambda start, end: generation.changed(
            generation.latents(seeds[start:end], parameters.class_), parameters
        ),
        lambda index: fixed | {"seed": seeds[index]} | changes,
    )


def _following(parameters: SheetParameters) -> range:
    first = parameters.seed
    if first is None:
        first = secrets.randbelow(RANDOM_SEEDS - parameters.n + 1)
    assert first + parameters.n <= SEED_LIMIT
    return range(first, first + parameters.n)


def _recipes(generation: Generation, parameters: GenerateBody, recipes: list[Recipe]) -> Items:
    whole = [with_defaults(generation.checked(recipe), parameters) for recipe in recipes]
    for index, recipe in enumerate(whole):
        if recipe.z is not None or recipe.mix is not None:
            generation.row(recipe, f"recipes.{index}.")  # or it is refused before anything is sent
    return Items(
        len(whole),
        lambda start, end: np.concatenate([generation.row(recipe) for recipe in whole[start:end]]),
        lambda index: (
            {"model": generation.id} | recipe_words(whole[index]) | output_words(parameters)
        ),
    )
