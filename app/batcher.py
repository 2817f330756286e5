"""Dynamic batching: many small requests in, few full device batches out.

    submit(z) -> queue -> whatever waits when the device is free, up to max_batch -> run -> split ->
    reply

Nothing waits by the clock: an idle device starts at once, a busy one fills its next batch
meanwhile. A request larger than a batch is cut. The batcher knows arrays, not HTTP and not the
network.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.problems import InvalidRequest, NotReady, QueueFull

Latents = NDArray[np.float32]  # (N, z_dim)
Pixels = NDArray[np.uint8]  # (N, H, W, C)


@dataclass(eq=False)
class _Job:
    z: Latents
    reply: "asyncio.Future[Pixels]"
    taken: int = 0  # rows that are in a batch already
    parts: list[Pixels] = field(default_factory=list)


class Batcher:
    """One device's queue and its one worker thread. Lives on the event loop that started it."""

    def __init__(self, run: Callable[[Latents], Pixels], *, max_batch: int, max_queue: int) -> None:
        self._run = run
        self._max_batch, self._max_queue = max_batch, max_queue
        self._jobs: deque[_Job] = deque()
        self._wake = asyncio.Event()
        self._open = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="generator")
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to accept and to work."""
        self._open = True
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Refuses new requests, answers what was accepted, then ends the worker."""
        self._open = False
        self._wake.set()
        if self._worker is not None:
            await self._worker
        self._thread.shutdown()

    @property
    def waiting(self) -> int:
        """Pictures accepted and not yet in a batch."""
        return sum(len(job.z) - job.taken for job in self._jobs if not job.reply.done())

    async def submit(self, z: Latents) -> Pixels:
        """Pictures of the latents, in their order.

        Raises:
            NotReady: not started, or draining.
            QueueFull: so many pictures would wait that max_queue is passed.
            InvalidRequest: more pictures than the queue could ever hold.
        """
        if not self._open:
            raise NotReady("The service is not ready, or is shutting down.")
        if len(z) > self._max_queue:
            raise InvalidRequest(f"{len(z)} pictures at once; allowed: up to {self._max_queue}")
        if self.waiting + len(z) > self._max_queue:
            raise QueueFull(f"{self._max_queue} pictures may wait, and no more; try again soon.")
        job = _Job(z, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._wake.set()
        return await job.reply

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            pieces = self._next_batch()
            if not pieces:
                if not self._open:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = np.concatenate([job.z[start:end] for job, start, end in pieces])
            try:
                pixels = await loop.run_in_executor(self._thread, self._run, batch)
            except Exception as error:  # whatever a device may throw goes to those who wait for it
                for job, _, _ in pieces:
                    if not job.reply.done():
                        job.reply.set_exception(error)
                continue
            self._reply(pieces, pixels)

    def _next_batch(self) -> list[tuple[_Job, int, int]]:
        """Rows (job, start, end) of the jobs in front; jobs whose client has gone are dropped."""
        pieces: list[tuple[_Job, int, int]] = []
        room = self._max_batch
        while self._jobs and room:
            job = self._jobs[0]
            if job.reply.done():
                self._jobs.popleft()
                continue
            end = min(job.taken + room, len(job.z))
            pieces.append((job, job.taken, end))
            room -= end - job.taken
            job.taken = end
            if end == len(job.z):
                self._jobs.popleft()
        return pieces

    def _reply(self, pieces: list[tuple[_Job, int, int]], pixels: Pixels) -> None:
        position = 0
        for job, start, end in pieces:
            job.parts.append(pixels[position : position + end - start])
            position += end - start
            if end == len(job.z) and not job.reply.done():
                job.reply.set_result(np.concatenate(job.parts))
