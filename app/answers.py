"""Pictures as HTTP answers: the format that suits, the tag, and all that is said beside the bytes.

parameters -> Answer(recipe, format) -> 304 | make the pixels -> enlarge -> file -> Response
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import Request, Response
from numpy.typing import NDArray

from app import caching, negotiation
from app.batcher import Timing
from app.generation import Generation
from app.problems import InvalidRequest
from app.recipes import url
from app.schemas import OutputParameters
from model.encoding.formats import (
    STILLS,
    Format,
    PictureTooLarge,
    check_size,
    encode_still,
    enlarge,
)
from model.recipes import Words, recipe_text

LARGEST_NAME = 60  # characters of a file's name, less its extension


@dataclass(frozen=True)
class Answer:
    """One file that is asked for."""

    generation: Generation
    words: Words  # its recipe
    format: Format
    negotiated: bool  # Accept had a say in the format
    name: str  # of the file, less its extension
    quality: int | None = None
    download: bool = False
    seed: int | None = None  # of its first picture
    lasting: bool = True  # the URL says all that the picture depends on
    location: str | None = None  # of the same picture for ever, where the URL does not say it

    @property
    def text(self) -> str:
        """The recipe as text; too long for a file, it is still good for a tag."""
        return recipe_text(self.words) or str(self.words)

    @property
    def note(self) -> str | None:
        """What goes into the file."""
        return self.generation.note(recipe_text(self.words))

    @property
    def tag(self) -> str | None:
        """The ETag, where there may be one."""
        if not self.lasting:
            return None
        return self.generation.tag(self.text, self.format.name, self.quality)

    def headers(self, timing: Timing | None = None) -> dict[str, str]:
        """All but the content's own."""
        headers = caching.headers(self.tag)
        if self.seed is not None:
            headers["Image-Seed"] = str(self.seed)
        headers["Image-Model"] = self.generation.id
        if self.location:
            headers["Content-Location"] = self.location
        if self.negotiated:
            headers["Vary"] = "Accept"
        headers["Content-Disposition"] = disposition(
            f"{self.name[:LARGEST_NAME]}.{self.format.extensions[0]}", self.download
        )
        headers["Server-Timing"] = server_timing(timing)
        return headers

    def unchanged(self, request: Request) -> Response | None:
        """304, if the client has the picture already. RFC 9110, section 13.1.2: of GET alone, as
        which HEAD comes here.
        """
        tag = self.tag if request.method == "GET" else None
        if tag and caching.unchanged(request.headers, tag):
            return Response(status_code=304, headers=self.headers())
        return None

    def response(self, content: bytes, timing: Timing | None) -> Response:
        """The file."""
        headers = self.headers(timing)
        return Response(content, media_type=self.format.media_type, headers=headers)

    async def signed(self, content: bytes) -> bytes:
        """The file with a signature, if this host signs."""
        if self.generation.sign is None:
            return content
        return await asyncio.to_thread(self.generation.sign, content, self.format.media_type)

    async def still(self, pixels: NDArray[np.uint8], timing: Timing) -> Response:
        """The file of one picture (H, W, C)."""
        start = time.perf_counter()
        content = await asyncio.to_thread(
            encode_still, pixels, self.format.name, self.quality, self.note
        )
        content = await self.signed(content)
        timing.encode += time.perf_counter() - start
        return self.response(content, timing)


def still_format(
    request: Request, extension: str | None, format: str | None, quality: int | None
) -> tuple[Format, bool]:
    """The format of a still picture, and whether Accept had a say in it.

    Raises:
        Problem: there is no such format, or none that suits, or it has no quality.
    """
    offers = {name: still.media_type for name, still in STILLS.items()}
    accept = ", ".join(request.headers.getlist("Accept"))
    name, negotiated = negotiation.choose(offers, extension=extension, format=format, accept=accept)
    check_quality(STILLS[name], quality)
    return STILLS[name], negotiated


def check_quality(format: Format, quality: int | None) -> None:
    """Raises InvalidRequest where a quality is asked of a format that has none."""
    if quality is not None and not format.has_quality:
        raise InvalidRequest(f"quality: {format.name} has none; webp, avif and jpeg have")


def check_pixels(format: Format, pictures: int, height: int, width: int, max_pixels: int) -> None:
    """Refuses what is too large, before anything is computed.

    Raises:
        InvalidRequest: the format cannot hold it, or it has more pixels than an answer may have.
    """
    try:
        check_size(format, height, width)
    except PictureTooLarge as error:
        raise InvalidRequest(str(error)) from None
    pixels = pictures * height * width
    if pixels > max_pixels:
        raise InvalidRequest(f"{pixels:,} pixels in one answer; allowed: up to {max_pixels:,}")


async def enlarged(pixels: NDArray[np.uint8], output: OutputParameters) -> NDArray[np.uint8]:
    """Pictures (N, H, W, C) at the scale that is asked for."""
    if output.scale == 1:
        return pixels
    return await asyncio.to_thread(enlarge, pixels, output.scale, output.resample)


def disposition(name: str, download: bool) -> str:
    """Content-Disposition; the name is ours and plain ASCII."""
    return f'{"attachment" if download else "inline"}; filename="{name}"'


def server_timing(timing: Timing | None) -> str:
    """Server-Timing in milliseconds; an answer that was there already names the cache."""
    if timing is None:
        return "cache"
    queue, generate, encode = timing.queue, timing.generate, timing.encode
    return (
        f"queue;dur={1000 * queue:.2f}, generate;dur={1000 * generate:.2f}, "
        f"encode;dur={1000 * encode:.2f}"
    )


def permanent_url(generation: Generation, words: Mapping[str, Any], extension: str) -> str:
    """A URL that means the same picture for ever: by path if a seed and a scale say all, else by
    query.
    """
    if {"seed"} <= words.keys() <= {"model", "seed", "scale"}:
        scale = f"@{words['scale']}x" if "scale" in words else ""
        return f"/i/{generation.id}/{words['seed']}{scale}.{extension}"
    return url(f"/generate.{extension}", words)
