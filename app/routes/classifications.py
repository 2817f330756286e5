"""/classify: a picture in, or the one of a seed; the names of what it shows out, as the Hugging
Face Hub's image classification has it.

    seed -> generator | upload -> centre square of the classifier's side -> its batcher -> JSON
"""

import base64
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response

from app.engine.batcher import Pixels, Timing
from app.engine.loaded_classifier import Classification, Logits
from app.engine.threads import in_parallel
from app.http.root_path import public
from app.parameters.bodies import JSON, body_schema, read_json, says_json
from app.parameters.picture_parameters import read_one, url
from app.parameters.schemas import (
    ClassifyBody,
    ClassifyParameters,
    ClassifyQuery,
    NoQuery,
    UploadQuery,
)
from app.parameters.uploads import BINARY, PICTURE_TYPES, Upload, fitted, read_upload
from app.responses import caching
from app.responses.pictures import Held
from app.responses.problems import NO_STORE, InvalidRequest, NotFound, UnsupportedMediaType
from app.responses.ranges import ranged
from app.routes.images import UNCHANGED
from app.state import Context, ContextDep
from model.classification.scores import probability_real, scores
from model.recipes import Words, recipe_text

FREE_BYTES = 2**20  # for which nothing is reserved: that of a picture of 200x200
ENTRY_BYTES = 64  # that a class takes in an answer, beside its name
TEXT_COPIES = 4  # times that an answer's text is held
DECIMALS = 6

ENTRY: dict[str, Any] = {
    "type": "object",
    "required": ["label", "score"],
    "additionalProperties": False,
    "properties": {
        "label": {"type": "string"},
        "score": {"type": "number"},
        "real": {
            "type": "number",
            "description": "How probable it is that the picture is a real one and not generated, "
            "where the classifier was trained as a discriminator; the same in all entries.",
        },
    },
}
ENTRIES: dict[str, Any] = {"type": "array", "items": ENTRY}
GET_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Classes and their scores, the most probable first.",
        "content": {JSON: {"schema": ENTRIES}},
    },
    304: UNCHANGED,
}
POST_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Classes and their scores, the most probable first; of an archive of "
        "pictures a list of such lists, in its order.",
        "content": {
            JSON: {"schema": {"anyOf": [ENTRIES, {"type": "array", "items": ENTRIES}]}},
        },
    },
}
BODY = body_schema(ClassifyBody)
BODY["requestBody"] |= {
    "description": "A picture file (PNG, JPEG, WebP, BMP, GIF or TIFF), as it is, in a form or in "
    "JSON; a zip of some; or an npy file of pixels, uint8, (H, W, C) or (N, H, W, C).",
    "content": {
        **BODY["requestBody"]["content"],
        **PICTURE_TYPES,
        "application/zip": BINARY,
        "application/x-npy": BINARY,
    },
}

router = APIRouter(tags=["pictures"])
off = APIRouter(include_in_schema=False)  # in its place where the operator has named none


@off.api_route("/classify", methods=["GET", "HEAD", "POST"])
@off.api_route("/classifiers", methods=["GET", "HEAD"])
async def is_off() -> Response:
    """Says that nothing is classified here, and how it would be.

    Raises:
        NotFound: always.
    """
    raise NotFound("/classify is off on this host; its operator can name some in GAN_CLASSIFIERS")


@router.get("/classifiers")
async def classifiers(
    context: ContextDep, parameters: Annotated[NoQuery, Query()], response: Response
) -> dict[str, Any]:
    """Lists every classifier that is served, with the generators whose pictures it classifies where
    none is named.
    """
    response.headers.update(NO_STORE)
    loaded, generators = context.classifiers, context.generators
    default = loaded.of_upload(None, generators.default) if loaded.loaded else None
    return {
        "default": default and default.id,
        "classifiers": [
            {
                "id": one.id,
                "name": one.name,
                "weights_sha256": one.file.sha256,
                "width": one.side,
                "height": one.side,
                "channels": one.channels,
                "classes": list(one.config.classes),
                "real": one.config.real,
                "layout": one.config.layout,
                "preset": one.config.preset,
                "training": {
                    "data": one.config.data,
                    "sha256": one.config.data_sha256,
                    "labels": one.config.labels and one.config.labels.model_dump(),
                    "epochs": one.config.epochs,
                    "licence": one.config.licence,
                },
                "test_accuracy": one.config.test_accuracy,
                "metrics": one.config.metrics,
                "models": [model.id for model in generators.loaded if loaded.of(model) is one],
            }
            for one in loaded.loaded
        ],
    }


@router.get("/classify", responses=GET_RESPONSES, response_class=Response)
async def classify(context: ContextDep, parameters: Annotated[ClassifyQuery, Query()]) -> Response:
    """Classifies the picture of a seed, of a mix of seeds or of a latent vector. Without any,
    that of a random one, whose answer no cache may keep.
    """
    generation = context.generators.parameter(parameters.model)
    classification = context.classifiers.chosen(parameters.classifier, generation)
    picture, lasting = read_one(generation.file, parameters)
    words = picture.words(generation.config) | _words(classification, parameters)
    tag = generation.tag(f"classify {recipe_text(words) or words}", "json") if lasting else None
    headers = caching.headers(tag)
    headers |= {"Image-Model": words["model"], "Image-Classifier": classification.id}
    if picture.source.seed is not None:
        headers["Image-Seed"] = str(picture.source.seed)
    if not lasting:
        headers["Content-Location"] = public(url("/classify", words))
    if tag and caching.unchanged(context.request.headers, tag):
        return Response(status_code=304, headers=headers)
    pixels, generated = await generation.pixels(picture.rows(generation.file), context.watch)
    side, channels = classification.side, classification.channels
    if pixels.shape[1:] != (side, side, channels):
        resized = partial(fitted, side=side, channels=channels)
        pixels = await in_parallel(context.watch, pixels, resized)
    logits, classified = await classification.logits(pixels, context.watch)
    headers["Server-Timing"] = _timing(classified, generated)
    content = named(classification, parameters, logits)[0]
    return ranged(context.request, Response(content, media_type=JSON, headers=headers))


@router.post("/classify", responses=POST_RESPONSES, response_class=Response, openapi_extra=BODY)
async def classify_upload(
    context: ContextDep, parameters: Annotated[UploadQuery, Query()]
) -> Response:
    """Classifies a picture, or each of many: its centre square, resized to what the
    classifier looks at. Clients of the Hugging Face Hub's image classification can send theirs
    here.
    """
    options, read = await _body(context, parameters)
    default = context.generators.default
    classification = context.classifiers.of_upload(options.classifier, default)
    most = min(classification.batcher.max_queue, context.bounds.max_bulk)
    classification.batcher.admit(1)  # first, so that nothing is unpacked for those who are refused
    side, channels, watch = classification.side, classification.channels, context.watch

    def fit(upload: Upload) -> Pixels:
        return upload.fitted(side, channels)

    def begin(most: int) -> tuple[Upload, Pixels | None]:
        upload = read(most)
        return upload, fit(upload) if upload.memory(side, channels) <= FREE_BYTES else None

    upload, pixels = await in_parallel(watch, most, begin)
    entries = len(upload.pictures) * min(options.top_k, len(classification.labels))
    text = entries * (ENTRY_BYTES + max(map(len, classification.labels)))
    taken = TEXT_COPIES * text + (upload.memory(side, channels) if pixels is None else 0)
    reserved = context.bounds.memory.reserve(taken)
    try:
        if pixels is None:
            pixels = await in_parallel(watch, upload, fit)
        logits, timing = await classification.logits(pixels, watch)
        if upload.alone:
            content = named(classification, options, logits)[0]
        else:
            content = await in_parallel(watch, logits, partial(_all_named, classification, options))
        headers = {"Image-Classifier": classification.id, "Server-Timing": _timing(timing)}
        answer = content.encode()
        return Held(reserved, answer, media_type=JSON, headers={**NO_STORE, **headers})
    except BaseException:
        reserved.release()
        raise


async def _body(
    context: Context, query: UploadQuery
) -> tuple[ClassifyParameters, Callable[[int], Upload]]:
    """Reads how pictures are to be classified, and what reads up to so many of them.

    Raises:
        Problem: a body of JSON that is not what is wanted, or does not say that it is JSON.
    """
    request = context.request
    if says_json(request):
        sent = await read_json(request, ClassifyBody)

        def read(_: int) -> Upload:
            return read_upload("", _decoded(sent.inputs), where="inputs")

        return _merged(query, sent.parameters), read
    body = await request.body()
    if body[:100].lstrip().startswith(b"{"):
        raise UnsupportedMediaType(f"a body of JSON wants the header Content-Type: {JSON}")
    return query, partial(read_upload, request.headers.get("Content-Type", ""), body)


def _merged(query: UploadQuery, sent: ClassifyParameters | None) -> ClassifyParameters:
    """Returns the parameters of the query and of the body.

    Raises:
        InvalidRequest: one is in both.
    """
    if sent is None:
        return query
    for name in sent.model_fields_set & query.model_fields_set:
        raise InvalidRequest(f"{name}: it is in the query and in the body; one of them is enough")
    given = {name: getattr(query, name) for name in query.model_fields_set}
    return sent.model_copy(update=given)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise InvalidRequest(
            "inputs: a picture file in base64 is wanted, without line breaks or `data:`"
        ) from None


def named(classification: Classification, options: ClassifyParameters, logits: Logits) -> list[str]:
    """Writes for each picture the JSON list of its classes and their scores."""
    labels, found = classification.labels, scores(logits, options.function_to_apply)
    real = [""] * len(logits)
    if classification.config.real:
        real = [f', "real": {one}' for one in probability_real(logits).round(DECIMALS).tolist()]
    best = np.argsort(-found, axis=1, kind="stable")[:, : options.top_k]
    best_scores = np.take_along_axis(found, best, 1).round(DECIMALS)
    lists = []
    for places, values, more in zip(best.tolist(), best_scores.tolist(), real, strict=True):
        pairs = zip(places, values, strict=True)
        entries = [f'{{"label": {labels[at]}, "score": {value}{more}}}' for at, value in pairs]
        lists.append(f"[{', '.join(entries)}]")
    return lists


def _all_named(classification: Classification, options: ClassifyParameters, logits: Logits) -> str:
    return f"[{', '.join(named(classification, options, logits))}]"


def _words(classification: Classification, options: ClassifyParameters) -> Words:
    """Returns words for how a picture is classified, beside its recipe."""
    words: Words = {"classifier": classification.id}
    for name in ("top_k", "function_to_apply"):
        if (value := getattr(options, name)) != ClassifyParameters.model_fields[name].default:
            words[name] = value
    return words


def _timing(classified: Timing, generated: Timing | None = None) -> str:
    """Returns the Server-Timing in milliseconds."""
    queue = classified.queue + (generated.queue if generated else 0)
    generate = f"generate;dur={1000 * generated.generate:.2f}, " if generated else ""
    classify = f"classify;dur={1000 * classified.generate:.2f}"
    return f"queue;dur={1000 * queue:.2f}, {generate}{classify}"
