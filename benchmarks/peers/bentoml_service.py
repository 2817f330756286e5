"""BentoML: a front service and a batching service behind it. `POST /generate {"seed": N}` -> PNG.

`bentoml serve benchmarks.peers.bentoml_service:Front`. A batched method takes one list and returns
one list, so one PNG per request needs the front. BentoML gives that hop a fresh HTTP session every
hundred requests and closes the old one with calls in flight, which fails a part of all requests
(bentoml issue 5540); here the session stays.
"""

from typing import Annotated

import bentoml
from _bentoml_impl.client.proxy2 import SessionManager
from bentoml.validators import ContentType

from benchmarks.peers.generator import MAX_BATCH, SeedGenerator

SessionManager._should_refresh = lambda _self: False


@bentoml.service(workers=1, traffic={"timeout": 60}, metrics={"enabled": False})
class Pictures:
    """The generator."""

    def __init__(self) -> None:
        self._generator = SeedGenerator()

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=60_000)
    def pictures(self, seeds: list[int]) -> list[bytes]:
        """Returns one batch: the PNG file of each seed."""
        return self._generator.files(seeds)


@bentoml.service(workers=1, traffic={"timeout": 60}, metrics={"enabled": False})
class Front:
    """What clients talk to."""

    pictures = bentoml.depends(Pictures)

    @bentoml.api
    async def generate(self, seed: int) -> Annotated[bytes, ContentType("image/png")]:
        """Returns the picture of a seed."""
        return (await self.pictures.to_async.pictures([seed]))[0]
