"""Clients that go away, at each stage of their request: `python -m benchmarks.cancellation`.

A request is held at a stage, its client aborts, and while it is still held its place must become
free. Over real sockets, with the generator that ships.
"""

import argparse
import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn

from app.engine.loaded_generator import Generation
from app.main import create_app
from app.server.protocol import protocol
from app.settings import Settings

STAGES = ("queued", "batched", "computing", "encoding", "writing")
HOOKS = {
    "queued": "_run",
    "batched": "_gather",
    "computing": "_run",
    "encoding": "_encode_pictures",
}
PATIENCE = 10.0  # seconds
START_PATIENCE = 300.0
BULK = b'{"seeds": "0-9999", "format": "zip"}'


class Stage:
    """A part of the batcher that can be held."""

    def __init__(self, generation: Generation, hook: str) -> None:
        self._batcher, self._hook = generation.batcher, hook
        self._call = getattr(generation.batcher, hook)
        self.entered, self.gate = threading.Event(), threading.Event()

    def __enter__(self) -> "Stage":
        setattr(self._batcher, self._hook, self._held)
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        setattr(self._batcher, self._hook, self._call)

    def _held(self, *arguments: Any) -> Any:
        self.entered.set()
        self.gate.wait()  # until `__exit__`, however slow the machine is
        return self._call(*arguments)


@dataclass
class Found:
    """Holds what one stage showed: how long places were taken, what was drawn for clients gone."""

    milliseconds: list[float] = field(default_factory=list)
    drawn: int = 0
    encoded: int = 0


class Host:
    """The service in this process, and raw clients of it."""

    def __init__(self, port: int, generation: Generation) -> None:
        self.port, self.generation = port, generation
        self.seed = 1000
        self.encoded = 0
        encode = generation.batcher._encode_pictures

        def counted(pixels: Any, notes: Any) -> list[bytes]:
            self.encoded += len(pixels)
            return encode(pixels, notes)

        generation.batcher._encode_pictures = counted

    async def ask(self) -> asyncio.StreamWriter:
        """Asks for a picture of its own, and waits."""
        self.seed += 1
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /generate?seed=%d HTTP/1.1\r\nHost: x\r\n\r\n" % self.seed)
        return writer

    async def idle(self) -> None:
        """Waits until nothing is pending, and the device has nothing to do."""
        await until(lambda: not self.generation.batcher.in_use)
        await self.generation.batcher.submit(range(1)).reply


@asynccontextmanager
async def host() -> AsyncIterator[Host]:
    """Yields a running one."""
    settings = Settings(device="cpu", threads=1, generator="mnist", models=())
    app = create_app(settings)
    http = protocol(settings)
    server = uvicorn.Server(uvicorn.Config(app, http=http, log_config=None, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        await until(lambda: server.started, START_PATIENCE)
        yield Host(listener.getsockname()[1], app.state.generation)
        server.should_exit = True
        await serving


async def until(condition: Callable[[], bool], patience: float | None = None) -> float:
    """Waits for it; returns the milliseconds that it took.

    Raises:
        TimeoutError: it does not come.
    """
    start = time.perf_counter()
    async with asyncio.timeout(patience or PATIENCE):
        while not condition():
            await asyncio.sleep(0.0005)
    return 1000 * (time.perf_counter() - start)


async def held(place: Host, stage: str, found: Found) -> None:
    """Runs a client that goes away while its request is held in the batcher."""
    batcher = place.generation.batcher
    with Stage(place.generation, HOOKS[stage]) as hold:
        stays = []
        if stage == "queued":  # behind one that is being drawn
            stays.append(await place.ask())
            await asyncio.to_thread(hold.entered.wait, PATIENCE)
        before = batcher.pending
        goes = await place.ask()
        await until(lambda: batcher.pending == before + 1)
        await asyncio.to_thread(hold.entered.wait, PATIENCE)
        drawn, encoded = batcher.pictures, place.encoded
        goes.transport.abort()
        found.milliseconds.append(await until(lambda: batcher.pending == before))
    await place.idle()
    for writer in stays:
        writer.transport.abort()
    found.drawn += batcher.pictures - drawn - 1 - len(stays)  # one was ours, see `idle`
    found.encoded += place.encoded - encoded - len(stays)


async def written(place: Host, stage: str, found: Found) -> None:
    """Runs a client that goes away in the midst of ten thousand pictures."""
    batcher = place.generation.batcher
    head = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BULK)
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(b"POST /generate HTTP/1.1\r\nHost: x\r\n" + head + BULK)
    await reader.readexactly(100_000)
    writer.transport.abort()
    found.milliseconds.append(await until(lambda: not batcher.in_use))
    drawn = batcher.pictures
    await place.idle()
    found.drawn += batcher.pictures - drawn - 1


async def measure(times: int) -> dict[str, Found]:
    """Measures each stage, so many times."""
    ways: dict[str, Callable[[Host, str, Found], Awaitable[None]]] = dict.fromkeys(STAGES, held)
    ways["writing"] = written
    found = {stage: Found() for stage in STAGES}
    async with host() as place:
        await place.idle()
        for stage, way in ways.items():
            for _ in range(times):
                await way(place, stage, found[stage])
    return found


def main() -> None:
    """Prints a line a stage."""
    parser = argparse.ArgumentParser(description="How soon is a gone client's place free?")
    parser.add_argument("--times", type=int, default=20)
    for stage, found in asyncio.run(measure(parser.parse_args().times)).items():
        p50, most = np.percentile(found.milliseconds, [50, 100])
        print(
            f"{stage}: {len(found.milliseconds)} clients gone, free after {p50:.1f} ms (p50), "
            f"{most:.1f} ms at most; drawn for them afterwards: {found.drawn}, "
            f"encoded: {found.encoded}"
        )


if __name__ == "__main__":
    main()
