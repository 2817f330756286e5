"""A loaded generator as the routes see it: pictures of seeds and of latents, each computed once at
most.

    picture request -> kept already? -> being made already? -> batcher -> file
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import Any, Literal, cast

import numpy as np

from app.engine.batcher import Batcher, Encoder, Job, Latents, Note, Pixels, Rows, Timing
from app.monitoring.request_context import current
from app.responses.caching import ENCODING
from app.responses.problems import InvalidRequest, NotFound, Problem
from app.server.disconnection import Watch
from model.encoding.png import encode_pngs
from model.generator_file import GeneratorConfig, GeneratorFile
from model.picture_request import DEFAULT_OUTPUT, Changes, Output, PictureRequest, one_seed
from model.recipes import class_place, recipe_text

ENTRY_OVERHEAD = 200  # bytes that a kept picture costs besides its own


class ClientGoneError(Exception):
    """No client waits for the answer any more."""


# a plain picture's seed; a seed, the class that was asked for, and what becomes of the pixels
PictureKey = int | tuple[int, str | None, Output]


class PictureCache:
    """The last pictures asked for, up to so many bytes. Lives on the event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._files: OrderedDict[PictureKey, bytes] = OrderedDict()
        self.hits = 0

    def get(self, key: PictureKey) -> bytes | None:
        """Returns the file of a picture, if it is still here."""
        file = self._files.get(key)
        if file is not None:
            self._files.move_to_end(key)
            self.hits += 1
        return file

    def put(self, key: PictureKey, file: bytes) -> None:
        """Keeps a file, and drops the least recently used where there is no room."""
        size = len(file) + ENTRY_OVERHEAD
        if key in self._files or size > self._max_bytes:
            return
        self._files[key] = file
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, dropped = self._files.popitem(last=False)
            self._bytes -= len(dropped) + ENTRY_OVERHEAD


@dataclass(eq=False)
class Shared:
    """A picture in the making, and how many wait for it."""

    job: Job
    waiting: int = 0
    work: Literal["generate", "classify"] = "generate"


async def reply_of(shared: Shared, watch: Watch) -> Pixels | list[bytes]:
    """Waits for the reply, and records where the time of the request in progress went; once nobody
    waits for it any more, its place is given up.

    Raises:
        Problem: the batcher refuses.
        ClientGoneError: every client that waited for it went away first.
    """
    reply = shared.job.reply
    shared.waiting += 1

    def leave() -> None:
        shared.waiting -= 1
        if shared.waiting == 0:
            reply.cancel()  # nothing happens to one that is done

    with watch(leave):
        try:
            result = await reply
            if (facts := current.get()) is not None:
                timing = shared.job.timing
                facts.queue += timing.queue
                setattr(facts, shared.work, timing.generate)
                facts.upscale, facts.encode = timing.upscale, timing.encode
            return result
        except asyncio.CancelledError:
            if shared.waiting == 0:
                raise ClientGoneError from None
            raise


@dataclass(eq=False)
class Generation:
    """A generator that is loaded and warm. Lives on the event loop."""

    file: GeneratorFile
    batcher: Batcher
    cache: PictureCache
    sampler: str = ""  # which runtime on which device, for the log
    precision: str = "fp32"
    recipes_in_files: bool = True
    encode: Encoder = encode_pngs
    sign: Callable[[bytes, str], bytes] | None = None  # a file of a media type
    signed_by: str = ""
    device_memory: Callable[[], tuple[str, int]] | None = None  # its GPU's name, bytes taken
    history: Mapping[str, bytes] = field(default_factory=dict)  # files of how it came to be
    _making: dict[PictureKey, Shared] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = self.file.config
        self.name = self.config.name
        self.hash, self.id = self.config.hash, self.config.id
        self.full_id = self.config.upscaled_id or self.id  # names all that decides about pixels
        self.side, self.channels = self.config.crop, self.config.network.channels
        # whatever else than the recipe and the format decides about bytes
        kind = f"{self.config.weights_sha256} {self.precision} {self.recipes_in_files} {ENCODING}"
        kind += f" {self.signed_by}" if self.sign else ""
        # signed twice, the same picture has other bytes: RFC 9110, section 8.8.1
        self._strength = "W/" if self.sign else ""
        self._tag = blake2b(kind.encode(), digest_size=10)
        # as recipe_text({"model": ..., "seed": ..., "class": ...}), for the hot path
        self._seed_text = f'{{"model":"{self.id}","seed":%d}}'
        start = self._seed_text[:-1]
        self._class_texts = {
            name: f'{start},"class":{json.dumps(name).replace("%", "%%")}}}'
            for name in self.config.classes
        }

    def seed_text(self, seed: int, class_: str | None = None) -> str:
        """Returns the recipe of a seed's plain picture, of its own class or of one by its name."""
        return (self._seed_text if class_ is None else self._class_texts[class_]) % seed

    def note(self, text: str | None) -> Note:
        """Returns what goes into a file of a recipe: nothing, where the operator has said so."""
        return text if self.recipes_in_files else None

    def tag(self, text: str, format: str = "png", quality: int | None = None) -> str:
        """Returns the ETag of a recipe's picture in a format, strong but for signed files; needs no
        picture.
        """
        tag = self._tag.copy()
        tag.update(f"{format} {quality} {text}".encode())
        return f'{self._strength}"{tag.hexdigest()}"'

    def class_place(self, name: str) -> int:
        """Returns the place of a class that is given by its name or by its place.

        Raises:
            RecipeError: there is none.
        """
        return class_place(self.config, name)

    def latents(self, seeds: Sequence[int], class_: str | None = None) -> Latents:
        """Returns the rows of seeds, (N, z_dim + classes), each of its own class or all of one."""
        return self.config.rows(seeds, None if class_ is None else self.class_place(class_))

    def z(self, rows: Latents) -> Latents:
        """Returns the latents alone (..., z_dim), a view of rows (..., z_dim + classes)."""
        return rows[..., : self.config.network.z_dim]

    async def picture(
        self, seed: int, class_: str | None, watch: Watch, output: Output = DEFAULT_OUTPUT
    ) -> tuple[bytes, Timing | None]:
        """Returns the PNG file of one seed, of its own class or of one by its name, as it is or
        upscaled, and its timing, None where it was kept. Equal pictures that wait together are
        computed once.

        Raises:
            Problem: the batcher refuses.
            ClientGoneError: every client that waited for it went away first.
        """
        if output is not DEFAULT_OUTPUT and output.is_plain:
            output = DEFAULT_OUTPUT
        plain = output is DEFAULT_OUTPUT
        key = seed if class_ is None and plain else (seed, class_, output)
        file = self.cache.get(key)
        if file is not None:
            return file, None
        shared = self._making.get(key)
        if shared is None or shared.job.reply.cancelled():
            if plain:
                text: Note = self.seed_text(seed, class_)
            else:
                request = PictureRequest(one_seed(seed), Changes(class_), output)
                text = recipe_text(request.words(self.config))
            one = range(seed, seed + 1)
            rows = one if class_ is None else self.latents(one, class_)
            scale = 1 if plain else output.upscale
            shared = Shared(self.batcher.submit(rows, [self.note(text)], scale=scale))
            self._making[key] = shared
            shared.job.reply.add_done_callback(lambda reply: self._made(key, shared, reply))
        files = await reply_of(shared, watch)
        return cast("list[bytes]", files)[0], shared.job.timing

    async def pixels(self, rows: Rows, watch: Watch, upscale: int = 1) -> tuple[Pixels, Timing]:
        """Generates pictures (N, H, W, C) of seeds or of rows (N, z_dim + classes), and upscales
        them; returns them and their timing.

        Raises:
            Problem: the batcher refuses.
            ClientGoneError: the client went away first.
        """
        shared = Shared(self.batcher.submit(rows, scale=upscale))
        return cast("Pixels", await reply_of(shared, watch)), shared.job.timing

    def _made(self, key: PictureKey, shared: Shared, reply: "asyncio.Future[Any]") -> None:
        if self._making.get(key) is shared:
            del self._making[key]
        if not reply.cancelled() and reply.exception() is None:
            self.cache.put(key, reply.result()[0])


@dataclass
class Generators:
    """All generators that are served, the default first; and those that others have replaced,
    which answer to name@hash alone.
    """

    loaded: list[Generation]
    previous: list[Generation] = field(default_factory=list)

    @property
    def all(self) -> list[Generation]:
        """The served ones, then the previous ones."""
        return [*self.loaded, *self.previous]

    @property
    def default(self) -> Generation:
        """The one that is meant where none is named."""
        return self.loaded[0]

    def named(self, name: str | None) -> Generation | None:
        """Returns the one of a name, of name@hash, or of name@hash-hash with its upscaler's; the
        default where no name is given.
        """
        if name is None:
            return self.default
        for one in self.loaded:
            if name in (one.name, one.id, one.full_id):
                return one
        return next((one for one in self.previous if name in (one.id, one.full_id)), None)

    def parameter(self, name: str | None) -> Generation:
        """Returns the one that a `model` parameter names.

        Raises:
            InvalidRequest: there is none.
        """
        return self._found(name, InvalidRequest, "model: no such generator here; served: {}")

    def path(self, name: str) -> Generation:
        """Returns the one that a path names.

        Raises:
            NotFound: there is none.
        """
        return self._found(name, NotFound, "No such generator here; served: {}.")

    def _found(self, name: str | None, refusal: type[Problem], wrong: str) -> Generation:
        if (found := self.named(name)) is None:
            raise refusal(wrong.format(", ".join(one.full_id for one in self.loaded)))
        return found


def gather_rows(parts: list[Rows], config: GeneratorConfig) -> Latents:
    """Gathers the rows (N, z_dim + classes) of seeds and of rows, in their order."""
    if all(isinstance(part, range) for part in parts):
        return config.rows(list(chain.from_iterable(parts)))
    return np.concatenate(
        [config.rows(part) if isinstance(part, range) else part for part in parts]
    )
