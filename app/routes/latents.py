"""/latents/{seed}: the vector itself, to make the picture elsewhere."""

import io
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse

from app.engine.batcher import Latents
from app.engine.loaded_generator import Generation
from app.parameters.schemas import Form, ModelQuery
from app.parameters.uploads import BINARY
from app.responses import caching
from app.responses.problems import InvalidRequest, NotFound
from app.responses.ranges import ranged
from app.routes.images import UNCHANGED, extension_path
from app.state import ContextDep
from model.latent_space.latents import SEED_LIMIT
from model.recipes import vector_words

EXTENSIONS = ("json", "npy")

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The latent.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/x-npy": BINARY,
        },
    },
    304: UNCHANGED,
}

SEED = f"a whole number from 0 to {SEED_LIMIT - 1}"

router = APIRouter(tags=["models"])


@router.get("/latents/{seed}.{extension}", responses=RESPONSES, response_class=Response)
async def latent(
    context: ContextDep,
    seed: Annotated[str, Form("[0-9]{1,19}", SEED), Path(examples=["42"])],
    extension: Annotated[str, extension_path(EXTENSIONS)],
    parameters: Annotated[ModelQuery, Query()],
) -> Response:
    """Returns the latent of a seed (a whole number), float32: as JSON, or a NumPy file (z_dim,)."""
    request, generation = context.request, context.generators.parameter(parameters.model)
    if extension not in EXTENSIONS:
        raise NotFound(f"No such extension here; known: {', '.join(EXTENSIONS)}.")
    number = int(seed)
    if number >= SEED_LIMIT:
        raise InvalidRequest(f"seed: {SEED} is wanted")
    class_ = parameters.class_
    if class_ is not None:
        class_ = generation.config.classes[generation.class_place(class_)]
    tag = generation.tag(f"latent {number} {class_}", extension)
    headers = caching.headers(tag) | {"Image-Seed": str(number), "Image-Model": generation.id}
    if caching.unchanged(request.headers, tag):
        return Response(status_code=304, headers=headers)
    row = generation.latents([number], class_)[0]
    z = generation.z(row)
    if extension == "json":
        content = {
            "model": generation.id,
            "seed": number,
            "seed_text": seed,
            "prior": generation.config.prior,
            "class": _class_of(generation, row),
            "z": vector_words(z),
        }
        return ranged(request, JSONResponse(content, headers=headers))
    stream = io.BytesIO()
    np.save(stream, z)
    file = Response(stream.getvalue(), media_type="application/x-npy", headers=headers)
    return ranged(request, file)


def _class_of(generation: Generation, row: Latents) -> str | None:
    classes = generation.config.classes
    return classes[int(row[-len(classes) :].argmax())] if classes else None
