"""Ray Serve: proxy and replica as processes of their own. `POST / {"seed": N}` -> PNG."""

import os
import signal

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.generator import HOST, MAX_BATCH, SeedGenerator, port, wait_ms


@serve.deployment(max_ongoing_requests=1024, ray_actor_options={"num_cpus": 1})
class Pictures:
    """The generator; Ray collects the batches."""

    def __init__(self) -> None:
        self._generator = SeedGenerator()

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=wait_ms(10) / 1000)
    async def pictures(self, seeds: list[int]) -> list[bytes]:
        """Returns one batch: the PNG file of each seed."""
        return self._generator.files(seeds)

    async def __call__(self, request: Request) -> Response:
        """Answers one request."""
        content = await self.pictures(int((await request.json())["seed"]))
        return Response(content, media_type="image/png")


if __name__ == "__main__":
    signals = {signal.SIGTERM, signal.SIGINT}
    ray.init(include_dashboard=False, log_to_driver=False, num_cpus=max(os.cpu_count() or 1, 2))
    serve.start(http_options={"host": HOST, "port": port()})
    serve.run(Pictures.bind())  # type: ignore[attr-defined]  # the decorator adds it
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.sigwait(signals)
    serve.shutdown()
    ray.shutdown()
