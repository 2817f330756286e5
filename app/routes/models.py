"""/models: what is served, and along which directions its pictures change."""

from hashlib import blake2b
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response

from app.engine.loaded_generator import Generation
from app.http.root_path import public
from app.parameters.picture_parameters import read_output
from app.parameters.schemas import Z_BOUND, Form, NoQuery, PreviewQuery
from app.responses.caching import unchanged
from app.responses.negotiation import still_format
from app.responses.pictures import Answer, still
from app.responses.problems import NO_STORE, NotFound
from app.routes.images import STILL_RESPONSES, Extension
from app.state import ContextDep
from model.encoding.animations import films
from model.latent_space.latents import SEED_LIMIT
from model.picture_request import PictureRequest, Strip

ModelPath = Annotated[str, Path(max_length=93, description="Name, or name@hash.")]

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
async def models(
    context: ContextDep, parameters: Annotated[NoQuery, Query()], response: Response
) -> dict[str, Any]:
    """Lists every generator that is served, the default first."""
    response.headers.update(NO_STORE)
    generators = context.generators
    return {
        "default": generators.default.id,
        "models": [
            {"id": one.id, "name": one.name, "url": public(f"/models/{one.id}")}
            for one in generators.loaded
        ],
    }


@router.get("/{model}")
async def model_card(
    context: ContextDep,
    model: ModelPath,
    parameters: Annotated[NoQuery, Query()],
    response: Response,
) -> dict[str, Any]:
    """Returns the card of one generator: what it generates, what it has learnt from, and its
    metrics.
    """
    response.headers.update(NO_STORE)
    generation, bounds = context.generators.path(model), context.bounds
    config = generation.config
    query = f"?model={generation.id}"
    return {
        "id": generation.id,
        "name": generation.name,
        "weights_sha256": config.weights_sha256,
        "width": generation.side,
        "height": generation.side,
        "channels": generation.channels,
        "z_dim": config.network.z_dim,
        "prior": config.prior,
        "precision": generation.precision,
        "upscaler": _upscaler(generation),
        "classes": list(config.classes),
        "family": config.network.family,
        "preset": config.preset,
        "training": {
            "data": config.data.name,
            "split": config.data.split,
            "images": config.data.images,
            "sha256": config.data.sha256,
            "images_seen": config.images_seen,
            "licence": config.licence,
        },
        "metrics": config.metrics,
        "ranges": {
            "seed": [0, SEED_LIMIT - 1],
            "truncation": [0, 1],
            "z": [-Z_BOUND, Z_BOUND],
            "edit": [-config.direction_range, config.direction_range],
            "pictures": bounds.max_pictures,
            "pictures_of_a_post": bounds.max_bulk,
            "frames": bounds.max_frames,
            "seeds_of_a_path": bounds.max_way,
            "side": bounds.max_side,
            "edits": bounds.max_edits,
        },
        "films": films(),
        "directions": public(f"/models/{generation.id}/directions"),
        "history": _history(generation),
        "projection": public(f"/project{query}") if context.projector else None,
        "samples": [
            public(f"/i/{generation.id}/42@4x.png"),
            public(f"/generate.png{query}&seed=0&n={min(64, bounds.max_pictures)}"),
            public(f"/interpolate.webp{query}&seeds=1,2&loop=true"),
        ],
    }


def _history(generation: Generation) -> str | None:
    """Says where its history is, if it has one."""
    return public(f"/models/{generation.id}/history.json") if generation.history else None


def _upscaler(generation: Generation) -> dict[str, Any] | None:
    """Says what `resample=learned` takes, if the generator has an upscaler."""
    upscaler = generation.file.upscaler
    if upscaler is None:
        return None
    return {
        "id": generation.full_id,
        "hash": upscaler.hash,
        "scales": list(upscaler.scales),
        "precision": "int8" if upscaler.header.is_integer else "fp32",
        "licence": upscaler.header.licence,
        "metrics": upscaler.header.metrics,
    }


@router.get("/{model}/directions")
async def directions(
    context: ContextDep,
    model: ModelPath,
    parameters: Annotated[NoQuery, Query()],
    response: Response,
) -> dict[str, Any]:
    """Lists the directions of latent space along which pictures change most, strongest first."""
    response.headers.update(NO_STORE)
    generation = context.generators.path(model)
    reach, names = generation.config.direction_range, generation.config.direction_names
    return {
        "model": generation.id,
        "method": "closed-form factorisation of the first layer (SeFa)",
        "directions": [
            {
                "id": f"d{number}",
                **({"name": names[number]} if names and names[number] else {}),
                "range": [-reach, reach],
                "preview": public(f"/models/{generation.id}/directions/d{number}.png"),
            }
            for number in range(generation.config.directions)
        ],
    }


@router.get("/{model}/history.{extension}", include_in_schema=False)
async def history(
    context: ContextDep,
    model: ModelPath,
    extension: Literal["json", "webp"],
    parameters: Annotated[NoQuery, Query()],
) -> Response:
    """Returns how a generator came to be, as `export` has written it, for those who learn."""
    generation = context.generators.path(model)
    content = generation.history.get(extension)
    if content is None:
        raise NotFound("This generator's folder has no history.")
    tag = f'"{blake2b(content, digest_size=10).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if unchanged(context.request.headers, tag):
        return Response(status_code=304, headers=headers)
    media_type = "application/json" if extension == "json" else "image/webp"
    return Response(content, media_type=media_type, headers=headers)


@router.get(
    "/{model}/directions/{direction}.{extension}",
    responses=STILL_RESPONSES,
    response_class=Response,
)
async def direction_preview(
    context: ContextDep,
    model: ModelPath,
    direction: Annotated[str, Form("d[0-9]{1,2}", "d0, d1 or another"), Path()],
    extension: Extension,
    parameters: Annotated[PreviewQuery, Query()],
) -> Response:
    """Generates a strip of one seed's pictures from one end of a direction to the other."""
    generation = context.generators.path(model)
    number = int(direction[1:])
    if number >= generation.config.directions:
        raise NotFound(f"No such direction; there are {generation.config.directions}, from d0.")
    format = still_format(context.request, extension, None, parameters.quality)
    strip = Strip(parameters.seed, number, parameters.steps)
    output = read_output(generation.file, parameters, model)
    picture = PictureRequest(strip, output=output)
    lasting = model in (generation.id, generation.full_id)
    answer = Answer.of(generation, picture, format, parameters, lasting=lasting, located=False)
    return await still(context, answer)
