"""Pictures as HTTP answers: the format that suits, the tag, and the other headers.

PictureRequest, format -> Answer -> 304 | rows -> pixels -> finish -> file -> Response
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from fastapi import Request, Response
from numpy.typing import NDArray
from starlette.types import Receive, Scope, Send

from app.engine.batcher import Timing
from app.engine.loaded_generator import Generation
from app.engine.memory import Reservation
from app.engine.threads import in_parallel
from app.http.root_path import public
from app.parameters.picture_parameters import url
from app.parameters.schemas import OutputParameters
from app.responses import caching
from app.responses.problems import InvalidRequest
from app.responses.ranges import ranged
from app.state import Context
from model.encoding.formats import (
    Format,
    PictureTooLarge,
    check_size,
    encode_still,
)
from model.picture_request import PictureRequest
from model.recipes import Words, recipe_text

UNSENT_COPIES = 3  # times that a file is held until it is taken: here, with its head, by the loop
UPSCALED = "learned"  # the resample that a permanent path may name
LARGEST_NAME = 60  # characters of a file's name without its extension


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One requested file."""

    generation: Generation
    picture: PictureRequest
    format: Format
    negotiated: bool  # Accept had a say in the format
    quality: int | None = None
    download: bool = False
    lasting: bool = True  # the URL says all that the picture depends on
    located: bool = True  # where the URL does not, another one does

    @classmethod
    def of(
        cls,
        generation: Generation,
        picture: PictureRequest,
        format: tuple[Format, bool],
        parameters: OutputParameters,
        *,
        lasting: bool = True,
        located: bool = True,
    ) -> Self:
        """Makes the answer that parameters ask for, in a format that Accept had a say in or not."""
        return cls(
            generation=generation,
            picture=picture,
            format=format[0],
            negotiated=format[1],
            quality=parameters.quality,
            download=parameters.download,
            lasting=lasting,
            located=located,
        )

    @cached_property
    def words(self) -> Words:
        """The recipe."""
        return self.picture.words(self.generation.config)

    @cached_property
    def text(self) -> str:
        """The recipe as text; too long for a file, it is still good for a tag."""
        return recipe_text(self.words) or str(self.words)

    @property
    def note(self) -> str | None:
        """What goes into the file."""
        return self.generation.note(recipe_text(self.words))

    @cached_property
    def tag(self) -> str | None:
        """The ETag, where there may be one."""
        if not self.lasting:
            return None
        return self.generation.tag(self.text, self.format.name, self.quality)

    def headers(self, timing: Timing | None = None) -> dict[str, str]:
        """Returns all headers but the content's own."""
        headers = caching.headers(self.tag)
        source = self.picture.source
        if source.seed is not None:
            headers["Image-Seed"] = str(source.seed)
        headers["Image-Model"] = self.words["model"]
        if self.located and not self.lasting:
            quality: Words = {} if self.quality is None else {"quality": self.quality}
            headers["Content-Location"] = permanent_url(
                self.words | quality, self.format.extensions[0]
            )
        if self.negotiated:
            headers["Vary"] = "Accept"
        name = f"{self.generation.name}-{source.name}"[:LARGEST_NAME]
        headers["Content-Disposition"] = disposition(
            f"{name}.{self.format.extensions[0]}", self.download
        )
        headers["Server-Timing"] = server_timing(timing)
        return headers

    def unchanged(self, request: Request) -> Response | None:
        """Returns 304 if the client has the picture already. RFC 9110, section 13.1.2: for GET
        alone; a HEAD arrives here as one.
        """
        tag = self.tag if request.method == "GET" else None
        if tag and caching.unchanged(request.headers, tag):
            return Response(status_code=304, headers=self.headers())
        return None

    def response(
        self, content: bytes, timing: Timing | None, reserved: Reservation | None = None
    ) -> Response:
        """Returns the answer with the file; once the client has taken it, nothing is reserved."""
        if reserved:
            reserved.resize(UNSENT_COPIES * len(content))
        headers = self.headers(timing)
        return Held(reserved, content, media_type=self.format.media_type, headers=headers)

    def signed(self, content: bytes) -> bytes:
        """Returns the file, signed if this host signs; blocks meanwhile."""
        sign = self.generation.sign
        return content if sign is None else sign(content, self.format.media_type)


class Held(Response):
    """An answer that has memory reserved until it is taken, or its client has gone."""

    body: bytes

    def __init__(self, reserved: Reservation | None, content: bytes, **options: Any) -> None:
        super().__init__(content, **options)
        self._reserved = reserved

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it; returns when all but what a connection buffers is taken."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._reserved:
                self._reserved.release()


async def still(context: Context, answer: Answer) -> Response:
    """Generates what is asked for and answers with one file; with none where the client has it.

    Raises:
        Problem: it is too large, or the batcher refuses.
        ClientGoneError: the client went away first.
    """
    generation, picture, format = answer.generation, answer.picture, answer.format
    request, bounds, source = context.request, context.bounds, picture.source
    columns, seed, kept = source.columns, source.seed, picture.is_kept
    output = picture.output
    lines, side = -(-len(source) // columns), generation.side * output.scale
    check_pixels(format, 1, lines * side, columns * side, bounds.max_pixels)
    if unchanged := answer.unchanged(request):
        return unchanged
    pixels = lines * columns * side**2
    if kept and format.name == "png":
        assert seed is not None
        class_, watch = picture.changes.class_, context.watch
        if output.resample != "learned":  # so plain, and small
            content, timing = await generation.picture(seed, class_, watch)
            return ranged(request, answer.response(content, timing))
        reserved = bounds.memory.reserve(format.memory(pixels, generation.channels))
        try:
            content, timing = await generation.picture(seed, class_, watch, output)
            return ranged(request, answer.response(content, timing, reserved))
        except BaseException:
            reserved.release()
            raise

    def encode(pixels: NDArray[np.uint8]) -> bytes:
        return encode_still(pixels, format.name, answer.quality, answer.note)

    return await generate(context, answer, pixels, (picture.finish, encode))


async def generate(
    context: Context, answer: Answer, pixels: int, steps: Iterable[Callable[[Any], Any]]
) -> Response:
    """Generates the picture of an answer, which has so many `pixels` in the end, and makes a file
    of what is generated, step by step.

    Raises:
        Problem: there is no memory for it, or the batcher refuses.
        ClientGoneError: the client went away first.
    """
    generation, picture, watch = answer.generation, answer.picture, context.watch
    reserved = context.bounds.memory.reserve(answer.format.memory(pixels, generation.channels))
    try:
        if picture.source.seed is None and len(picture.source) > 1:
            rows = await in_parallel(watch, generation.file, picture.rows)
        else:
            rows = picture.rows(generation.file)
        generated, timing = await generation.pixels(rows, watch, picture.output.upscale)
        start = time.perf_counter()
        content = await in_parallel(watch, generated, *steps, answer.signed)
        timing.encode += time.perf_counter() - start
        return ranged(context.request, answer.response(content, timing, reserved))
    except BaseException:
        reserved.release()
        raise


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


def disposition(name: str, download: bool) -> str:
    """Returns the Content-Disposition; the name is ours and plain ASCII."""
    return f'{"attachment" if download else "inline"}; filename="{name}"'


def server_timing(timing: Timing | None) -> str:
    """Returns the Server-Timing in milliseconds; names the cache where nothing was computed."""
    if timing is None:
        return "cache"
    queue, generate, encode = timing.queue, timing.generate, timing.encode
    upscale = f"upscale;dur={1000 * timing.upscale:.2f}, " if timing.upscale else ""
    return (
        f"queue;dur={1000 * queue:.2f}, generate;dur={1000 * generate:.2f}, {upscale}"
        f"encode;dur={1000 * encode:.2f}"
    )


def permanent_url(words: Mapping[str, Any], extension: str) -> str:
    """Returns a URL that means the same picture permanently: by path if a seed, a scale and
    perhaps the upscaler say all, else by query.
    """
    way = words.get("resample", UPSCALED)
    if {"seed"} <= words.keys() <= {"model", "seed", "scale", "resample"} and way == UPSCALED:
        scale = f"@{words['scale']}x" if "scale" in words else ""
        mark = f"~{UPSCALED}" if "resample" in words else ""
        return public(f"/i/{words['model']}/{words['seed']}{scale}{mark}.{extension}")
    return public(url(f"/generate.{extension}", words))
