"""The application: settings in, a FastAPI application with a loaded generator out."""

import gc
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import crossorigin, description, lean, problems
from app.access.control import AccessControl, access_control
from app.batcher import Batcher
from app.bulk import Streams
from app.caching import PictureCache
from app.encoding.png import encode_pngs
from app.generation import ClientGoneError, Generation, Generators, gather_latents
from app.limits import BodyLimit, Bounds, each_parameter_once
from app.problems import Problem
from app.routes import (
    health,
    images,
    interpolations,
    latents,
    models,
    page,
    permalinks,
    planes,
    problem_pages,
)
from app.settings import Settings, read_settings
from model.cores import usable_cores
from model.devices import DeviceError
from model.generator_file import GeneratorFileError, read_generator_file
from model.sampler import Sampler, UnequalBytesError, check_bytes, load_sampler

log = logging.getLogger("ganserve")

START_ERRORS = (GeneratorFileError, DeviceError, UnequalBytesError)
CHECKED_BATCHES = (1, 2, 3, 4, 5, 7, 8, 13, 16, 64)


class Service(FastAPI):
    """The application, with the short way in front of everything that it does for a request, and
    the door, where there is one, in front of both.
    """

    access: AccessControl | None = None
    constant: crossorigin.RawHeaders

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if self.access:
            try:
                scope, send = self.access.admit(scope, send)
            except Problem as problem:
                refuse = crossorigin.with_headers(send, self.constant)
                await problem.response()(scope, receive, refuse)
                return
        generation = self.state.generation
        if await lean.answered(generation, self.constant, scope, receive, send):
            return
        if scope["method"] == "OPTIONS":
            allowed = crossorigin.methods(self.openapi(), scope["path"])
            await crossorigin.preflight(send, self.constant, allowed)
            return
        send = crossorigin.with_headers(send, self.constant)
        if scope["method"] == "HEAD":
            scope, send = crossorigin.as_head(scope, send)
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The document of /openapi.json, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = description.described(super().openapi())
        return self.openapi_schema


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service; without settings it reads them from the environment. Nothing is loaded before it
    starts.
    """
    settings = settings or read_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        start = time.monotonic()
        loaded = [load(folder, settings) for folder in settings.generator_folders]
        generators = Generators(loaded)
        check_names(generators)
        for generation in loaded:
            generation.batcher.start()
        app.state.generators, app.state.generation = generators, generators.default
        quieten_collector()
        seconds = time.monotonic() - start
        names = ", ".join(f"{one.id} on {one.sampler}" for one in loaded)
        log.info("ready after %.1f s: %s", seconds, names)
        yield
        app.state.generators = app.state.generation = None
        for generation in loaded:
            await generation.batcher.stop()

    app = Service(
        title="ganserve",
        summary="An image generator behind a URL",
        version=version("ganserve"),
        lifespan=lifespan,
        dependencies=[Depends(each_parameter_once)],
        generate_unique_id_function=lambda route: route.name,
    )
    app.access = access_control(settings)
    app.constant = crossorigin.headers(settings.cors_origin)
    app.state.generators = app.state.generation = None
    app.state.bounds = Bounds(settings.max_pixels, Streams(settings.max_streams))
    problems.install(app)

    @app.exception_handler(ClientGoneError)
    async def _gone(request: Request, error: ClientGoneError) -> Response:
        return Response(status_code=problems.CLIENT_GONE)

    rooms = (images, permalinks, interpolations, planes, models, latents)
    for room in (*rooms, health, problem_pages, page):
        app.include_router(room.router)
    app.add_middleware(BodyLimit, limit=settings.max_body_kib * 2**10)
    app.add_middleware(OneLineStart)

    return app


def load(folder: Path, settings: Settings) -> Generation:
    """A generator file, checked, on its device and warm.

    Raises:
        GeneratorFileError, DeviceError, UnequalBytesError: it cannot be served.
    """
    file = read_generator_file(folder)
    threads = settings.threads or usable_cores()
    sampler = load_sampler(file, settings.device, settings.precision, threads)
    warm_up(sampler, settings.max_batch)
    batcher = Batcher(
        sampler,
        encode_pngs,
        partial(gather_latents, z_dim=sampler.z_dim, prior=file.config.prior),
        max_batch=settings.max_batch,
        max_queue=settings.max_queue,
        max_wait=settings.max_wait,
    )
    cache = PictureCache(settings.cache_mib * 2**20)
    return Generation(
        file,
        batcher,
        cache,
        sampler=str(sampler),
        precision=settings.precision,
        recipes_in_files=settings.recipes,
    )


def check_names(generators: Generators) -> None:
    """Raises GeneratorFileError where two generators have one name."""
    names = [one.name for one in generators.loaded]
    for name in names:
        if names.count(name) > 1:
            raise GeneratorFileError(f"two generators are named {name}; each needs its own name")


def quieten_collector() -> None:
    """Takes all that lives now out of the garbage collector's rounds, and makes them rarer.

    A full round over a few hundred thousand objects of the libraries halts every request for 50 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def warm_up(sampler: Sampler, max_batch: int) -> None:
    """Generates and encodes, alone and in company: no client pays for a library's first time.

    Raises:
        UnequalBytesError: a picture's bytes depend on its company.
    """
    sizes = [size for size in CHECKED_BATCHES if size <= max_batch]
    check_bytes(sampler, [*sizes, min(max_batch, CHECKED_BATCHES[-1])])
    encode_pngs(sampler(np.zeros((1, sampler.z_dim), np.float32)))


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
