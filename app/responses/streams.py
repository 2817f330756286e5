"""Many pictures in one answer, sent as they are made: the memory that it takes does not grow with
their number.

    items -> pieces of latents -> batcher, one piece ahead -> zip | multipart | JSON | npy -> Stream
"""

import asyncio
import base64
import io
import json
import secrets
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.engine.batcher import Job, Latents, Note, Pixels
from app.engine.loaded_generator import ClientGoneError, Generation
from app.engine.threads import in_parallel
from app.state import Context
from model.picture_request import Output
from model.recipes import Words, recipe_text, with_seed_texts

PIECE = 64  # pictures that are made at once for one answer, at most
PIECE_BYTES = 2 * 2**20  # a piece's pixels; one picture may have more
COPIES = 8  # times that a piece is held at most: generated, as files, encoded, unsent
EPOCH = (1980, 1, 1, 0, 0, 0)  # date of every file in a zip: the same request gives the same bytes


@dataclass(frozen=True)
class Items:
    """The pictures of an answer: how many, and the latents and recipes of any part of them."""

    count: int
    latents: Callable[[int, int], Latents]
    words: Callable[[int], Words]


async def pieces(
    context: Context, generation: Generation, items: Items, output: Output, *, encoded: bool
) -> AsyncIterator[tuple[int, Pixels | list[bytes]]]:
    """Yields first index and pictures of one piece after another, as PNG files or as pixels.

    Comes to its first piece, or is refused, before anything is sent: see `begun`.

    Raises:
        Problem: the batcher refuses, or too many large answers are on their way.
        ClientGoneError: the client went away.
    """
    generated = output.is_generated
    size = generation.channels * (generation.side * output.scale) ** 2  # bytes of a picture
    step = max(1, min(PIECE, generation.batcher.max_queue, PIECE_BYTES // size))
    ahead: list[Job] = []
    gone = False

    def notes(start: int) -> list[Note]:
        part = range(start, min(start + step, items.count))
        return [generation.note(recipe_text(items.words(index))) for index in part]

    def prepared(start: int) -> tuple[Latents, list[Note] | None]:
        z = items.latents(start, min(start + step, items.count))
        return z, notes(start) if encoded and generated else None

    async def submit(start: int) -> None:
        z, files = await in_parallel(context.watch, start, prepared)
        check_client()
        job = generation.batcher.submit(z, files, scale=output.upscale, goes_on=start > 0)
        ahead.append(job)

    def give_up() -> None:
        nonlocal gone
        gone = True
        for job in ahead:
            job.reply.cancel()

    def check_client() -> None:
        if gone:
            raise ClientGoneError

    def finished(start: int, pixels: Pixels) -> Pixels | list[bytes]:
        whole = output.finish(pixels)
        return generation.encode(whole, notes(start)) if encoded else whole

    bounds = context.bounds
    with bounds.streams.place(), bounds.memory.reserve(COPIES * step * size):
        try:
            with generation.batcher.held(), context.watch(give_up):
                await submit(0)
                for start in range(0, items.count, step):
                    if start + step < items.count:
                        await submit(start + step)
                    made = await ahead[0].reply
                    del ahead[0]
                    if not generated:
                        made = await in_parallel(context.watch, made, partial(finished, start))
                    check_client()
                    yield start, made
        except asyncio.CancelledError:
            check_client()  # it was the batcher's reply that was cancelled
            raise
        finally:
            give_up()


async def begun(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Returns the same content once its first part is there: a refusal comes before the answer."""
    first = await anext(content)

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for part in content:
            yield part

    return whole()


async def unseen() -> AsyncIterator[bytes]:
    """Yields the content of an answer to HEAD: none, and no picture is made for it."""
    return
    yield b""


class Stream(StreamingResponse):
    """An answer in pieces, whose content raises ClientGoneError where its client has gone.

    Starlette's cancels the content instead: while a thread still makes the next piece, what is
    reserved for it is given back, and the exception and what it came through hold each other, with
    megabytes of pixels, until the garbage collector's next full round.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it, for as long as the client is there."""
        with suppress(ClientGoneError):
            await self.stream_response(send)


class _Drain(io.RawIOBase):
    """A stream that a zip file is written to, and that is emptied after every piece. Of what it
    still holds, the head of a file is written again once its length is known: a reader of a zip
    from a pipe needs it.
    """

    def __init__(self) -> None:
        self._content, self._start = io.BytesIO(), 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._start + self._content.tell()

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        assert whence == io.SEEK_SET
        return self._start + self._content.seek(position - self._start)

    def write(self, data: Any) -> int:
        return self._content.write(data)

    def taken(self) -> bytes:
        content = self._content.getvalue()
        self._content, self._start = io.BytesIO(), self._start + len(content)
        return content


Pieces = AsyncIterator[tuple[int, Pixels | list[bytes]]]


async def as_zip(items: Items, made: Pieces) -> AsyncIterator[bytes]:
    """Yields a zip of numbered PNG files, and a manifest.json that says what each is."""
    drain = _Drain()
    digits = max(4, len(str(items.count - 1)))
    with zipfile.ZipFile(drain, "w", zipfile.ZIP_STORED) as archive:
        async for start, files in made:
            for index, file in enumerate(cast("list[bytes]", files), start):
                archive.writestr(zipfile.ZipInfo(f"{index:0{digits}}.png", EPOCH), file)
            yield drain.taken()
        entry = zipfile.ZipInfo("manifest.json", EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED  # it is held until it is whole
        with archive.open(entry, "w") as manifest:
            for text in _manifest(items, digits):
                manifest.write(text.encode())
                await asyncio.sleep(0)  # others have their turn
    yield drain.taken()


def _manifest(items: Items, digits: int) -> Iterator[str]:
    head = {"model": items.words(0)["model"], "pictures": items.count}
    yield json.dumps(head)[:-1] + ', "files": [\n'
    for start in range(0, items.count, PIECE):
        entries = [
            json.dumps({"file": f"{index:0{digits}}.png", **with_seed_texts(items.words(index))})
            for index in range(start, min(start + PIECE, items.count))
        ]
        yield ",\n" * (start > 0) + ",\n".join(entries)
    yield "\n]}\n"


async def as_json(items: Items, made: Pieces) -> AsyncIterator[bytes]:
    """Yields one JSON object: {"model": ..., "media_type": "image/png", "pictures": [{"seed": ...,
    "image": base64 of a PNG}]}.
    """
    first = {"model": items.words(0)["model"], "media_type": "image/png"}
    head = json.dumps(first)[:-1] + ', "pictures": ['
    async for start, files in made:
        entries = [
            json.dumps(
                {**with_seed_texts(items.words(index)), "image": base64.b64encode(file).decode()}
            )
            for index, file in enumerate(cast("list[bytes]", files), start)
        ]
        yield ((", " if start else head) + ", ".join(entries)).encode()
    yield b"]}\n"


def boundary() -> str:
    """Returns what separates a multipart answer: random, so that no picture can hold it."""
    return secrets.token_hex(16)


async def as_multipart(items: Items, made: Pieces, boundary: str) -> AsyncIterator[bytes]:
    """Yields multipart/mixed (RFC 2046): each part a PNG with its seed among its headers."""
    async for start, files in made:
        parts: list[bytes] = []
        for index, file in enumerate(cast("list[bytes]", files), start):
            seed = items.words(index).get("seed")
            named = f"Image-Seed: {seed}\r\n" if seed is not None else ""
            parts += [
                f"--{boundary}\r\nContent-Type: image/png\r\nContent-Length: {len(file)}\r\n"
                f"{named}\r\n".encode(),
                file,
                b"\r\n",
            ]
        yield b"".join(parts)
    yield f"--{boundary}--\r\n".encode()


async def as_npy(shape: Sequence[int], made: Pieces) -> AsyncIterator[bytes]:
    """Yields a NumPy file of all pixels (N, H, W, C), uint8."""
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(stream, header)
    async for start, pixels in made:
        yield (b"" if start else stream.getvalue()) + cast("Pixels", pixels).tobytes()
