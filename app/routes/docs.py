"""/docs: /openapi.json as a page for people. No script, and nothing from elsewhere.

document -> operations -> sections -> one page, made once
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response

from app.routes.page import HEADERS
from app.state import StateDep

Json = Mapping[str, Any]
BOUNDS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
    "minLength": "from {} characters",
    "maxLength": "to {} characters",
    "minItems": "from {} of them",
    "maxItems": "to {} of them",
}

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs(request: Request, state: StateDep) -> Response:
    """Describes every operation with its parameters, bounds and answers."""
    state.docs = state.docs or _page(request.app.openapi())
    return Response(state.docs, media_type="text/html", headers=HEADERS)


def _page(document: Json) -> str:
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    info, schemas = document["info"], document["components"]["schemas"]
    links = (
        f'<li><a href="#{operation["operationId"]}">{_name(method, path)}</a></li>'
        for method, path, operation in operations
    )
    sections = (_operation(document, *one) for one in operations)
    bodies = (_schema(name, schema) for name, schema in sorted(schemas.items()))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(info['title'])}: API</title>"
        '<link rel="icon" href="page/icon.svg"><link rel="stylesheet" href="page/page.css">'
        '<link rel="stylesheet" href="page/docs.css">'
        f"<main><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"{_text(info['description'])}"
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>'
        f"<nav><ul>{''.join(links)}</ul></nav>{''.join(sections)}"
        f"<h2>What bodies hold</h2>{''.join(bodies)}</main></html>"
    )


def _operation(document: Json, method: str, path: str, operation: Json) -> str:
    parameters = [_resolved(document, one) for one in operation["parameters"]]
    rows = [
        (
            f"<code>{escape(one['name'])}</code>",
            escape(one["in"]),
            *_cells(one["schema"], one.get("required", False)),
            _plain(one.get("description", "")),
        )
        for one in parameters
    ]
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        rows.append(("", "body", _type(content["schema"]), "required", escape(media_type)))
    answers = [
        (
            status,
            "<br>".join(map(escape, answer.get("content", ()))) or "no body",
            _plain(answer["description"]),
        )
        for status, answer in (
            (status, _resolved(document, answer))
            for status, answer in operation["responses"].items()
        )
    ]
    asked = _table(("name", "in", "type", "default", "meaning"), rows) if rows else ""
    return (
        f'<section id="{operation["operationId"]}"><h2>{_name(method, path)}</h2>'
        f"{_text(operation.get('description', ''))}{asked}"
        f"{_table(('status', 'type', 'meaning'), answers)}</section>"
    )


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(field)}</code>",
            *_cells(about, field in required),
            _plain(about.get("description", "")),
        )
        for field, about in schema.get("properties", {}).items()
    ]
    head = ("name", "type", "default", "meaning")
    text = _text(schema.get("description", ""))
    fields = _table(head, rows) if rows else f"<p>{_type(schema)}</p>"
    return f'<section id="schema-{escape(name)}"><h3>{escape(name)}</h3>{text}{fields}</section>'


def _cells(schema: Json, required: bool) -> tuple[str, str]:
    """Returns type and default."""
    default = schema.get("default")
    told = "" if default is None else f"<code>{escape(_word(default))}</code>"
    return _type(schema), "required" if required else told


def _type(schema: Json) -> str:
    """Says in words what a schema allows."""
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(map(_type, schema[key])))
    if "const" in schema or "enum" in schema:
        words = schema.get("enum") or [schema["const"]]
        return ", ".join(f"<code>{escape(_word(word))}</code>" for word in words)
    told = [escape(str(schema.get("type", "any")))]
    if "items" in schema:
        told = [f"list of {_type(schema['items'])}"]
    told += [text.format(schema[key]) for key, text in BOUNDS.items() if key in schema]
    return " ".join(told)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _resolved(document: Json, part: Json) -> Json:
    while "$ref" in part:
        kind, name = part["$ref"].split("/")[-2:]
        part = document["components"][kind][name]
    return part


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def cells(kind: str, row: Iterable[str]) -> Iterator[str]:
        return (f"<{kind}>{cell}</{kind}>" for cell in row)

    lines = (f"<tr>{''.join(cells('td', row))}</tr>" for row in rows)
    titles = "".join(cells("th", head))
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _name(method: str, path: str) -> str:
    return f"<code>{method.upper()} {escape(path)}</code>"


def _text(text: str) -> str:
    return "".join(f"<p>{_plain(part)}</p>" for part in text.split("\n\n") if part.strip())


def _plain(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
