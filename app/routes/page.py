"""/: the explorer, a page that steers what the service generates, and speaks only the public API.

Its files lie under /page/: plain modules, nothing from elsewhere, no build. They travel without
their doc comments. The page takes any query string: that is its own, and the service reads it for
no more than the preview of a link. Where /docs has a port of its own, the page does not lead there.
"""

import gzip
import re
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

from fastapi import APIRouter, Request, Response

from app.http.root_path import public
from app.responses import caching, previews
from app.responses.problems import NotFound
from app.settings import Robots

FOLDER = Path(__file__).parent.parent / "page"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",  # kept, but revalidated: a new release is there at once
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}

ROBOTS: dict[Robots, str] = {  # RFC 9309
    "page": "Allow: /$\nAllow: /?\nAllow: /page/\nAllow: /favicon.ico\nDisallow: /\n",
    "none": "Disallow: /\n",
    "all": "Allow: /\n",
}
HEAD, SHOWN = b"<!-- what is shown, as tags -->", b"<!-- what is shown -->"
FIRST = b"<!-- what is asked for first -->"
DOCS = b'<a href="docs">API</a> '
# a fifth of the modules' bytes, whole lines; those who read them read the files
DOC_COMMENT = re.compile(rb"^ */\*\*(?:(?!\*/).)*\*/$", re.DOTALL | re.MULTILINE)

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request) -> Response:
    """Returns the explorer, and in its head what its address shows."""
    return _file(request, "index.html", with_preview=True)


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """Returns the icon that browsers ask for where a page names none."""
    return _file(request, "favicon.ico")


@router.get("/robots.txt")
async def robots(request: Request) -> Response:
    """Returns what crawlers may fetch: pictures are more than any of them could."""
    text = f"User-agent: *\n{ROBOTS[request.app.robots]}"
    return Response(text, media_type="text/plain", headers=HEADERS)


@router.get("/page/{name}")
async def part(request: Request, name: str) -> Response:
    """Returns one of the explorer's files."""
    return _file(request, name)


@dataclass(frozen=True)
class Part:
    """A file of the page, plain and as gzip."""

    content: bytes
    packed: bytes
    media_type: str

    @property
    def tag(self) -> str:
        """Weak: it names both forms."""
        return f'W/"{blake2b(self.content, digest_size=10).hexdigest()}"'


def _file(request: Request, name: str, *, with_preview: bool = False) -> Response:
    part = _parts(docs=not request.app.admin_port).get(name)
    if part is None:
        raise NotFound("The page has no such part.")
    if with_preview:
        part = _previewed(request, part)
    headers = {**HEADERS, "ETag": part.tag}
    if caching.unchanged(request.headers, part.tag):
        return Response(status_code=304, headers=headers)
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return Response(part.content, media_type=part.media_type, headers=headers)
    headers["Content-Encoding"] = "gzip"
    return Response(part.packed, media_type=part.media_type, headers=headers)


def _previewed(request: Request, part: Part) -> Part:
    """Returns the page with what its address shows; without pictures where not all may see them."""
    generators, access = request.app.state.generators, request.app.access
    pictured = access is None or not (access.takes_keys or access.takes_signatures)
    found = previews.preview(request.url.query, generators.default.side if generators else 64)
    host = request.headers.get("Host", "")
    origin = previews.origin_of(request.url.scheme, host, public(""))
    head = previews.head(found, origin, pictured=pictured)
    image = previews.image(found) if pictured else ""
    content = part.content.replace(HEAD, head.encode()).replace(SHOWN, image.encode())
    named = "model=" in request.url.query
    first = _first(None if named else generators.default.id) if generators and pictured else ""
    content = content.replace(FIRST, first.encode())
    return Part(content, gzip.compress(content, mtime=0), part.media_type)


def _first(generator: str | None) -> str:
    """Returns links by which a browser asks for the generators, and for what the page wants to know
    of one, while the modules that ask for them are on their way.
    """
    paths = ["models"]
    if generator:
        paths += [f"models/{generator}", f"models/{generator}/directions"]
    link = '<link rel="preload" href="{}" as="fetch" crossorigin>'
    return "\n".join(link.format(path) for path in paths)


@cache
def _parts(*, docs: bool) -> dict[str, Part]:
    """Returns the page's files by name, read and packed once, with the link to /docs or without."""
    files = [file for file in FOLDER.iterdir() if file.suffix in TYPES]
    return {file.name: _part(file, b"" if docs else DOCS) for file in files}


def _part(file: Path, left_out: bytes) -> Part:
    content = file.read_bytes().replace(left_out, b"")
    if file.suffix == ".js":
        content = DOC_COMMENT.sub(_only_newlines, content)
    return Part(content, gzip.compress(content, mtime=0), TYPES[file.suffix])


def _only_newlines(comment: re.Match[bytes]) -> bytes:
    """Keeps the number of every other line, as it stands in a browser's errors."""
    return b"\n" * comment.group().count(b"\n")
