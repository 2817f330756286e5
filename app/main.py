"""The application: settings in, a FastAPI application with a loaded generator out."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import numpy as np
from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from app.batcher import Batcher
from app.encoding.png import encode_png
from app.generation import Generation
from app.limits import BodyLimit, each_parameter_once
from app.routes import health, images, interpolations
from app.settings import Settings
from model.generator_file import GeneratorFileError, read_generator_file
from model.sampler import DeviceError, Sampler, load_sampler, resolve_device

log = logging.getLogger("ganserve")

START_ERRORS = (GeneratorFileError, DeviceError)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service; without settings it reads them from the environment. Nothing is loaded before it
    starts.
    """
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        start = time.monotonic()
        file = read_generator_file(settings.generator_folder)
        device = resolve_device(settings.device)
        sampler = load_sampler(file, device)
        warm_up(sampler, settings.max_batch)
        batcher = Batcher(sampler, max_batch=settings.max_batch, max_queue=settings.max_queue)
        batcher.start()
        app.state.generation = Generation(file.config, batcher)
        seconds = time.monotonic() - start
        log.info("ready: generator %s on %s after %.1f s", file.config.name, device, seconds)
        yield
        app.state.generation = None
        await batcher.stop()

    app = FastAPI(
        title="ganserve",
        summary="An image generator behind a URL",
        version=version("ganserve"),
        lifespan=lifespan,
        dependencies=[Depends(each_parameter_once)],
    )
    app.state.generation = None
    problems.install(app)
    for room in (images, interpolations, health):
        app.include_router(room.router)
    app.add_middleware(BodyLimit)
    app.add_middleware(OneLineStart)

    @app.get("/", include_in_schema=False)
    async def front() -> Response:
        return RedirectResponse("/docs")

    return app


def warm_up(sampler: Sampler, max_batch: int) -> None:
    """Generates and encodes, alone and full: no client pays for a library's first time."""
    for count in (1, max_batch):
        pixels = sampler(np.zeros((count, sampler.z_dim), np.float32))
        encode_png(pixels[0])


class OneLineStart:
    """Where the generator cannot be loaded, the server gets one line that says why, and no
    traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        failure: Message = {}

        async def hold(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failure.update(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold)
        except START_ERRORS as error:
            await send({**failure, "message": f"cannot start: {error}"})
        except BaseException:
            await send(failure)
            raise
