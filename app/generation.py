"""A loaded generator as the routes see it: pictures of seeds and of latents, each computed once at
most.

    seed -> kept already? -> being made already? -> batcher -> file
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from starlette.types import Receive

from app.batcher import Batcher, Job, Latents, Pixels
from app.caching import PictureCache
from app.problems import NotReady
from model.generator_file import GeneratorConfig
from model.latents import sample_latents


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


@dataclass
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
    _watches: set[asyncio.Task[None]] = field(default_factory=set)

    def latents(self, seeds: range | list[int]) -> Latents:
        """The latents of seeds, (N, z_dim)."""
        return sample_latents(seeds, self.config.network.z_dim, self.config.prior)

    async def picture(self, seed: int, receive: Receive) -> bytes:
        """The file of one seed. Equal seeds that wait together are computed once.

        Raises:
            Problem: the batcher refuses.
            ClientGoneError: the client, seen through `receive`, went away first.
        """
        file = self.cache.get(seed)
        if file is not None:
            return file
        shared = self._making.get(seed)
        if shared is None or shared.job.reply.cancelled():
            shared = Shared(self.batcher.submit(self.latents([seed]), encoded=True))
            self._making[seed] = shared
            shared.job.reply.add_done_callback(lambda reply: self._made(seed, shared, reply))
        shared.waiting += 1
        files = await self._answer(shared, receive)
        return cast("list[bytes]", files)[0]

    async def pixels(self, z: Latents, receive: Receive) -> Pixels:
        """Pictures (N, H, W, C) of latents (N, z_dim).

        Raises:
            Problem: the batcher refuses.
            ClientGoneError: the client, seen through `receive`, went away first.
        """
        shared = Shared(self.batcher.submit(z, encoded=False), waiting=1)
        return cast("Pixels", await self._answer(shared, receive))

    async def _answer(self, shared: Shared, receive: Receive) -> Pixels | list[bytes]:
        reply = shared.job.reply
        here = True

        def leave() -> None:
            nonlocal here
            shared.waiting -= here
            here = False
            if shared.waiting == 0:
                reply.cancel()  # nothing happens to one that is done

        watch = asyncio.get_running_loop().create_task(_until_gone(receive, leave))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        try:
            return await asyncio.shield(reply)  # others may wait for it too
        except asyncio.CancelledError:
            if reply.cancelled():
                raise ClientGoneError from None
            leave()
            raise

    def _made(self, seed: int, shared: Shared, reply: "asyncio.Future[Any]") -> None:
        if self._making.get(seed) is shared:
            del self._making[seed]
        if not reply.cancelled() and reply.exception() is None:
            self.cache.put(seed, reply.result()[0])


async def _until_gone(receive: Receive, leave: Callable[[], None]) -> None:
    """Waits for the client to disconnect; servers also say so once the answer is out."""
    while (await receive())["type"] != "http.disconnect":
        pass
    leave()


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
