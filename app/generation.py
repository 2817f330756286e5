"""A loaded generator as the routes see it: pictures of seeds and of latents, each computed once at
most.

    seed -> kept already? -> being made already? -> batcher -> file
"""

import asyncio
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any, cast

import numpy as np
from fastapi import Depends, Request

from app.batcher import Batcher, Job, Latents, Pixels, Rows
from app.caching import PictureCache
from app.disconnection import Watch, watching
from app.problems import NotReady
from model.generator_file import GeneratorConfig
from model.latents import Prior, sample_latents


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


@dataclass(eq=False)
class Shared:
    """A picture in the making, and how many wait for it."""

    job: Job
    waiting: int = 0


@dataclass
class Generation:
    """A generator that is loaded and warm. Lives on the event loop."""

    config: GeneratorConfig
    batcher: Batcher
    cache: PictureCache
    _making: dict[int, Shared] = field(default_factory=dict)

    def latents(self, seeds: range | list[int]) -> Latents:
        """The latents of seeds, (N, z_dim)."""
        return sample_latents(seeds, self.config.network.z_dim, self.config.prior)

    async def picture(self, seed: int, watch: Watch) -> bytes:
        """The file of one seed. Equal seeds that wait together are computed once.

        Raises:
            Problem: the batcher refuses.
            ClientGoneError: every client that waited for it went away first.
        """
        file = self.cache.get(seed)
        if file is not None:
            return file
        shared = self._making.get(seed)
        if shared is None or shared.job.reply.cancelled():
            shared = Shared(self.batcher.submit(range(seed, seed + 1), encoded=True))
            self._making[seed] = shared
            shared.job.reply.add_done_callback(lambda reply: self._made(seed, shared, reply))
        files = await self._answer(shared, watch)
        return cast("list[bytes]", files)[0]

    async def pixels(self, rows: Rows, watch: Watch) -> Pixels:
        """Pictures (N, H, W, C) of seeds or of latents (N, z_dim).

        Raises:
            Problem: the batcher refuses.
            ClientGoneError: the client went away first.
        """
        shared = Shared(self.batcher.submit(rows, encoded=False))
        return cast("Pixels", await self._answer(shared, watch))

    async def _answer(self, shared: Shared, watch: Watch) -> Pixels | list[bytes]:
        reply = shared.job.reply
        shared.waiting += 1

        def leave() -> None:
            shared.waiting -= 1
            if shared.waiting == 0:
                reply.cancel()  # nothing happens to one that is done

        with watch(leave):
            try:
                return await reply
            except asyncio.CancelledError:
                if shared.waiting == 0:
                    raise ClientGoneError from None
                raise

    def _made(self, seed: int, shared: Shared, reply: "asyncio.Future[Any]") -> None:
        if self._making.get(seed) is shared:
            del self._making[seed]
        if not reply.cancelled() and reply.exception() is None:
            self.cache.put(seed, reply.result()[0])


def gather_latents(parts: list[Rows], z_dim: int, prior: Prior) -> Latents:
    """The latents (N, z_dim) of seeds and of latents, in their order."""
    if all(isinstance(part, range) for part in parts):
        return sample_latents(list(chain.from_iterable(parts)), z_dim, prior)
    return np.concatenate(
        [sample_latents(part, z_dim, prior) if isinstance(part, range) else part for part in parts]
    )


def get_watch(request: Request) -> Watch:
    """Tells when this request's client goes away."""
    return watching(request.scope, request.receive)


def get_generation(request: Request) -> Generation:
    """The application's generator.

    Raises:
        NotReady: it is not loaded yet, or the service is shutting down.
    """
    generation: Generation | None = request.app.state.generation
    if generation is None:
        raise NotReady("The service is not ready, or is shutting down.")
    return generation


GenerationDep = Annotated[Generation, Depends(get_generation)]
WatchDep = Annotated[Watch, Depends(get_watch)]
