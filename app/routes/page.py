"""/: a page that shows what the service draws, with nothing from elsewhere and no script.

It takes any query string: that is the page's own, and the service ignores it.
"""

from pathlib import Path

from fastapi import APIRouter, Response

FOLDER = Path(__file__).parent.parent / "page"
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    """The front page."""
    return Response((FOLDER / "index.html").read_bytes(), media_type="text/html", headers=HEADERS)


@router.get("/page.css")
async def stylesheet() -> Response:
    """Its looks."""
    return Response((FOLDER / "page.css").read_bytes(), media_type="text/css", headers=HEADERS)
