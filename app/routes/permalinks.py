"""/i/{model}@{hash}/{seed}[@4x].{ext}: a permanent picture, without a query. Upscaled it is
/i/{model}@{hash}-{hash of the upscaler}/{seed}@4x~learned.{ext}.
"""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from app.engine.loaded_generator import Generation
from app.http.root_path import public
from app.parameters.schemas import GenerateQuery, NoQuery
from app.responses import caching
from app.responses.negotiation import extensions_of
from app.responses.pictures import permanent_url
from app.responses.problems import NotFound
from app.responses.ranges import ranged
from app.routes.images import STILL_RESPONSES, sheet
from app.state import ContextDep
from model.encoding.formats import STILLS
from model.latent_space.latents import SEED_LIMIT
from model.picture_request import Output, PictureRequest, one_seed
from model.recipes import RecipeError

FILE = re.compile(r"([0-9]{1,19})(?:@([0-9]{1,2})x(~learned)?)?\.([a-z0-9]{1,8})")

RESPONSES: dict[int | str, dict[str, Any]] = {
    **STILL_RESPONSES,
    200: {
        "description": "The picture, or its recipe.",
        "content": STILL_RESPONSES[200]["content"]
        | {"application/json": {"schema": {"type": "object"}}},
    },
}
PATTERN = (
    r"^(0|[1-9][0-9]{0,17})(@([2-9]|1[0-6])x(~learned)?)?"
    rf"\.({'|'.join([*extensions_of(STILLS), 'json'])})$"
)

router = APIRouter(tags=["pictures"])


@router.get("/i/{model}/{file}", responses=RESPONSES, response_class=Response)
async def permanent(
    context: ContextDep,
    model: Annotated[str, Path(max_length=93, examples=["mnist@0123456789ab"])],
    file: Annotated[
        str,
        Path(
            max_length=40,
            examples=["42.png", "42@4x.webp", "42@4x~learned.png", "42.json"],
            json_schema_extra={"pattern": PATTERN},  # only documented: else it is 404, not 422
        ),
    ],
    parameters: Annotated[NoQuery, Query()],
) -> Response:
    """Returns the picture of a seed (a whole number) by path alone, or its recipe (.json)."""
    generation = context.generators.path(model)
    match = FILE.fullmatch(file)
    if match is None or int(match[1]) >= SEED_LIMIT or match[1] != str(int(match[1])):
        raise NotFound("A seed, perhaps a scale, and an extension are wanted: 42.png, 42@4x.webp.")
    seed, scale, learned, extension = int(match[1]), match[2], match[3], match[4]
    if scale is not None and (scale.startswith("0") or not 2 <= int(scale) <= 16):
        raise NotFound("A scale is wanted from @2x to @16x.")
    try:
        output = Output(int(scale or 1), "learned" if learned else "nearest").checked(
            generation.file
        )
    except RecipeError as error:
        raise NotFound(f"No such picture: {error}.") from None
    if model != (wanted := output.model(generation.config)):
        raise NotFound(
            "A permanent path names the generator's hash, and where it is ~learned the upscaler's: "
            f"/i/{wanted}/{file}."
        )
    if extension == "json":
        return _recipe(context.request, generation, PictureRequest(one_seed(seed), output=output))
    picture = GenerateQuery(model=model, seed=seed, scale=output.scale, resample=output.resample)
    return await sheet(context, picture, extension)


def _recipe(request: Request, generation: Generation, picture: PictureRequest) -> Response:
    words, seed, output = picture.words(generation.config), picture.source.seed, picture.output
    tag = generation.tag(str(words), "json")
    headers = caching.headers(tag) | {"Image-Seed": str(seed), "Image-Model": words["model"]}
    if caching.unchanged(request.headers, tag):
        return Response(status_code=304, headers=headers)
    side = generation.side * output.scale
    content = {
        "recipe": words,
        "seed_text": str(seed),
        "weights_sha256": generation.config.weights_sha256,
        **({"upscaler_sha256": generation.config.upscaler} if output.upscale > 1 else {}),
        "width": side,
        "height": side,
        "channels": generation.channels,
        "latent": public(f"/latents/{seed}.json?model={generation.id}"),
        "pictures": {
            name: permanent_url(words, still.extensions[0]) for name, still in STILLS.items()
        },
    }
    return ranged(request, JSONResponse(content, headers=headers))
