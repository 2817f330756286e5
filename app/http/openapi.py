"""The OpenAPI document completed: every status, header and bound that FastAPI cannot know of.

    FastAPI's document -> described -> /openapi.json

What a route knows of itself is stated with the route; what all of them share is stated here.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.access.control import AccessControl, is_open
from app.access.signing import EXPIRES, SIGNATURE
from app.http.root_path import public
from app.parameters.limits import in_force
from app.parameters.openai import GenerationsBody
from app.parameters.schemas import ClassifyBody, GenerateBody, InterpolateBody
from app.responses.problems import KINDS, MEDIA_TYPE, OPENAI

Json = dict[str, Any]

TEXT = (
    "Every GET answers HEAD too, with the same headers and no body, and OPTIONS with 204. Any "
    "other method is 405, and `Allow` names those that there are. Every refusal is an RFC 9457 "
    "problem whose `type` leads to a page that explains it. A parameter that is unknown, or there "
    "twice, is refused; so is whatever is out of bounds."
)
HERE = (  # what no schema can say
    " The bounds are those of this host; a body has up to {:,} bytes, and an answer that is not "
    "streamed up to {:,} pixels."
)
BODIES: dict[str, type[BaseModel]] = {
    body.__name__: body for body in (GenerateBody, InterpolateBody, GenerationsBody, ClassifyBody)
}
REFERENCE = "#/components/{kind}/{name}"

HEADERS = {
    "Cache-Control": "For ever where the URL says all that the picture depends on; else no-store.",
    "ETag": "Names these bytes; If-None-Match with it is answered 304.",
    "Vary": "Accept, where Accept had a say in the format; Origin, where not all are allowed.",
    "Content-Disposition": "A name for the file; attachment with download=true, else inline.",
    "Image-Seed": "The true seed, a whole number, of the (first) picture.",
    "Image-Model": "Name and hash of the generator.",
    "Image-Classifier": "Name and hash of the classifier.",
    "Content-Location": "A URL of the same picture for ever, where this one is not.",
    "Server-Timing": "Milliseconds in the queue, the generator, the upscaler, the classifier and "
    "the encoder; or cache.",
    "X-Request-Id": "The client's own, if it gave one; else the id of its trace, or a random one.",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "Whether other sites may show the answer.",
    "Access-Control-Allow-Origin": "Whose pages may read the answer by script.",
    "Access-Control-Expose-Headers": "The headers that such a script may read.",
    "Timing-Allow-Origin": "Whose pages may read how long it took.",
    "Content-Security-Policy": "That a page loads nothing but its looks, and who may frame it.",
    "Referrer-Policy": "That the pages it leads to are not told of it.",
    "Cross-Origin-Opener-Policy": "That pages of others have no hold on it.",
    "Retry-After": "Seconds after which to come again.",
    "WWW-Authenticate": "Bearer, and what was wrong with the key.",
    "Allow": "The methods of the path.",
    "Accept-Ranges": "bytes: a part may be asked for by Range.",
    "Content-Range": "Which part of how many bytes it is.",
}
ALWAYS = (
    "Cache-Control",
    "Vary",
    "X-Request-Id",
    "X-Content-Type-Options",
    "Cross-Origin-Resource-Policy",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
    "Timing-Allow-Origin",
)
PICTURE = (
    "ETag",
    "Content-Disposition",
    "Image-Seed",
    "Image-Model",
    "Content-Location",
    "Server-Timing",
)
PAGE = (
    "Content-Security-Policy",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
)
OF_STATUS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    416: ("Content-Range",),
    429: ("Retry-After",),
}
OF_STATUS[503] = OF_STATUS[429]
PROBLEM: Json = {
    "type": "object",
    "description": "Why a request is refused: RFC 9457.",
    "required": ["type", "title", "status", "detail"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What was wrong, and what is allowed."},
        "errors": {
            "type": "array",
            "maxItems": 20,
            "items": {
                "type": "object",
                "required": ["where", "problem"],
                "additionalProperties": False,
                "properties": {"where": {"type": "string"}, "problem": {"type": "string"}},
            },
        },
        "error": {
            "type": "object",
            "description": f"The same as OpenAI's clients read it; below {OPENAI} alone.",
            "required": ["message", "type", "param", "code"],
            "additionalProperties": False,
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        },
    },
}
IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "ETags of the copies that the client has.",
}
KEY = "key"
KEY_SCHEME: Json = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key of this host, in Authorization: Bearer KEY.",
}
SIGNATURE_SCHEMES: Json = {
    SIGNATURE: {
        "type": "apiKey",
        "in": "query",
        "name": SIGNATURE,
        "description": "Of path and query, by whoever holds the secret; for GET and HEAD alone.",
    },
    EXPIRES: {
        "type": "apiKey",
        "in": "query",
        "name": EXPIRES,
        "description": "Unix seconds until which a signed URL is good, where it has an end.",
    },
}
SEED, MODEL = "$response.header.Image-Seed", "$response.header.Image-Model"
CARD = "$response.body#/id"
LINKS: dict[str, Json] = {
    "models": {"card": ("model_card", {"model": "$response.body#/default"})},
    "model_card": {"directions": ("directions", {"model": CARD})},
    "directions": {
        "preview": (
            "direction_preview",
            {
                "model": "$response.body#/model",
                "direction": "$response.body#/directions/0/id",
                "extension": "png",
            },
        )
    },
    "generate": {
        "latent": ("latent", {"seed": SEED, "extension": "json", "model": MODEL}),
        "permanent": ("permanent", {"model": MODEL, "file": f"{{{SEED}}}.png"}),
    },
}


def described(document: Json, access: AccessControl | None = None) -> Json:
    """Completes FastAPI's document in place and returns it; with access control, if any."""
    bounds = in_force.get()
    document["info"]["description"] = TEXT + HERE.format(bounds.max_body, bounds.max_pixels)
    _, schemas = models_json_schema(
        [(body, "validation") for body in BODIES.values()],
        ref_template=REFERENCE.format(kind="schemas", name="{model}"),
    )  # as pydantic has them: on FastAPI's way through floats the largest seed becomes one more
    components = document.setdefault("components", {})
    types = {"type": "string", "enum": [public(f"/problems/{slug}") for slug in KINDS]}
    problem = PROBLEM | {"properties": PROBLEM["properties"] | {"type": types}}
    components["schemas"] = {**schemas["$defs"], "Problem": problem}
    components["headers"] = {
        name: {"description": meaning, "schema": {"type": "string"}}
        for name, meaning in HEADERS.items()
    }
    components["parameters"] = {"If-None-Match": IF_NONE_MATCH}
    statuses = sorted({int(kind.status) for kind in KINDS.values()})
    components["responses"] = {str(status): _problem(status) for status in statuses}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _describe(path, method, operation)
    if access is not None:
        _secure(document, access)
    return document


def _secure(document: Json, access: AccessControl) -> None:
    """Says which operations need a key or a signature. What neither can open is left out."""
    by_key: list[Json] = [{KEY: []}] if access.takes_keys else []
    by_url: list[Json] = [{SIGNATURE: []}, {SIGNATURE: [], EXPIRES: []}]
    if not access.takes_signatures:
        by_url = []
    if not (by_key or by_url):
        return
    document["components"]["securitySchemes"] = {
        **({KEY: KEY_SCHEME} if by_key else {}),
        **(SIGNATURE_SCHEMES if by_url else {}),
    }
    for path, operations in document["paths"].items():
        if is_open(path):
            continue
        for method in tuple(operations):
            ways = [*by_key, *(by_url if method == "get" else [])]
            if ways:
                operations[method]["security"] = ways
            else:
                del operations[method]


def _describe(path: str, method: str, operation: Json) -> None:
    operation["parameters"] = [_parameter(one) for one in operation.get("parameters", ())]
    responses = operation["responses"]
    for status in _refusals(path, method, operation):
        responses[str(status)] = _reference("responses", str(status))
    for code in {"200", "304"} & responses.keys():
        names = (*ALWAYS, *(PICTURE if "304" in responses else ()))
        if "text/html" in responses[code].get("content", ()):
            names += PAGE
        headers = {name: _reference("headers", name) for name in names}
        responses[code] = {**responses[code], "headers": headers}
    if path == "/classify":
        responses["200"]["headers"] |= {
            name: _reference("headers", name) for name in ("Image-Classifier", "Server-Timing")
        }
    if method == "post":
        responses.pop("304", None)
        responses["200"]["headers"].pop("ETag", None)
    if "304" in responses:
        operation["parameters"].append(_reference("parameters", "If-None-Match"))
        whole = responses["200"]
        whole["headers"]["Accept-Ranges"] = _reference("headers", "Accept-Ranges")
        part = {"Content-Range": _reference("headers", "Content-Range")}
        responses["206"] = {
            "description": "The part that Range asks for.",
            "headers": whole["headers"] | part,
            "content": whole["content"],
        }
        responses["416"] = _reference("responses", "416")
    if links := LINKS.get(operation["operationId"]):
        responses["200"]["links"] = {
            name: {"operationId": target, "parameters": parameters}
            for name, (target, parameters) in links.items()
        }


def _parameter(parameter: Json) -> Json:
    """Describes a parameter as a query string has it: without null and objects, and lists as one
    text with commas.
    """
    schema = parameter["schema"]
    while len(variants := _texts(schema)) == 1:
        schema = {name: part for name, part in schema.items() if name != "anyOf"} | variants[0]
    parameter["schema"] = schema
    if "description" in schema:
        parameter["description"] = schema["description"]
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}
        items = schema["items"]
        if "pattern" in items:
            schema["items"] = items | {"pattern": items["pattern"].replace("[^", "[^,")}
    return parameter


def _texts(schema: Json) -> list[Json]:
    """Returns the alternatives of a schema that a query string can hold, text rather than lists."""
    found = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return [one for one in found if one.get("type") != "array"] or found


def _refusals(path: str, method: str, operation: Mapping[str, Any]) -> list[int]:
    found = {422, 500}
    closed = not is_open(path)
    if closed:
        found |= {401, 403, 429}  # access control
    if path == "/readyz" or (closed and path != "/metrics"):
        found |= {503}  # a generator that is not loaded yet
    if "{" in path:
        found |= {404}
    if _takes_format(operation) and "{extension}" not in path:
        found |= {406}  # Accept decides where nothing else does
    if method == "post":
        found |= {400, 413}
        if "application/json" in operation["requestBody"]["content"]:
            found |= {415}
    if "501" in operation["responses"]:
        found |= {501}
    return sorted(found)


def _takes_format(operation: Mapping[str, Any]) -> bool:
    if any(one.get("name") == "format" for one in operation["parameters"]):
        return True
    for content in operation.get("requestBody", {}).get("content", {}).values():
        model = content["schema"].get("$ref", "").rpartition("/")[2]
        if model and "format" in BODIES[model].model_fields:
            return True
    return False


def _problem(status: int) -> Json:
    meanings = [kind.meaning for kind in KINDS.values() if kind.status == status]
    names = (*ALWAYS, *OF_STATUS.get(status, ()))
    return {
        "description": " Or: ".join(meanings),
        "headers": {name: _reference("headers", name) for name in names},
        "content": {MEDIA_TYPE: {"schema": _reference("schemas", "Problem")}},
    }


def _reference(kind: str, name: str) -> Json:
    return {"$ref": REFERENCE.format(kind=kind, name=name)}
