"""/problems/{kind}: what the `type` of a refusal leads to, for people."""

from html import escape
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.parameters.schemas import NoQuery
from app.responses.problems import KINDS, NotFound

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(tags=["problems"])


@router.get(
    "/problems/{kind}", response_class=Response, responses={200: {"content": {"text/html": {}}}}
)
async def problem_page(
    kind: Annotated[str, Path(max_length=60, json_schema_extra={"enum": [*KINDS]})],
    parameters: Annotated[NoQuery, Query()],
) -> Response:
    """Explains what a problem means, and what to do."""
    found = KINDS.get(kind)
    if found is None:
        raise NotFound(f"No such problem; known: {', '.join(KINDS)}.")
    title = f"{int(found.status)} {found.status.phrase}: {found.slug}"
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="../page/page.css">'
        f"<main><h1>{escape(title)}</h1><p>{escape(found.meaning)}</p></main></html>"
    )
    return Response(page, media_type="text/html", headers=HEADERS)
