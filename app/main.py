"""The application: settings in, a FastAPI application with a loaded generator out."""

import gc
import importlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import crossorigin, description, lean, problems
from app.access.control import AccessControl, access_control
from app.batcher import Batcher
from app.caching import PictureCache
from app.generation import ClientGoneError, Generation, Generators, gather_rows
from app.limits import BodyLimit, Bounds, each_parameter_once, enforced
from app.problems import Problem
from app.projection import ProjectionError, projector
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
    projections,
)
from app.settings import Settings, read_settings
from app.telemetry import Telemetry
from model.cores import usable_cores
from model.devices import DeviceError
from model.encoding.marking import SigningError
from model.encoding.png import encode_pngs
from model.generator_file import GeneratorFileError, read_generator_file
from model.generators import generator_folder
from model.sampler import Sampler, UnequalBytesError, check_bytes, load_sampler

if TYPE_CHECKING:
    from app.signing import Signer

log = logging.getLogger("ganserve")

START_ERRORS = (
    GeneratorFileError,
    DeviceError,
    UnequalBytesError,
    SigningError,
    ProjectionError,
)
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
        with enforced(self.state.bounds):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        telemetry: Telemetry = self.state.telemetry
        status = await lean.answered(self.state.generation, self.constant, scope, receive, send)
        if status:
            telemetry.count(lean.ROUTE, status)
            return
        if scope["method"] == "OPTIONS":
            allowed = crossorigin.methods(self.openapi(), scope["path"])
            await crossorigin.preflight(send, self.constant, allowed)
            return
        statuses: list[int] = []
        send = crossorigin.with_headers(send, self.constant, statuses)
        if scope["method"] == "HEAD":
            scope, send = crossorigin.as_head(scope, send)
        await super().__call__(scope, receive, send)
        route = getattr(scope.get("route"), "path", "unknown")
        for status in statuses:
            telemetry.count(route, status)

    def openapi(self) -> dict[str, Any]:
        """The document of /openapi.json, made once."""
        if self.openapi_schema is None:
            with enforced(self.state.bounds):
                self.openapi_schema = description.described(super().openapi(), self.access)
        return self.openapi_schema


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service; without settings it reads them from the environment. Nothing is loaded before it
    starts.
    """
    settings = settings or read_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        start = time.monotonic()
        signer = file_signer(settings)
        if settings.projection:
            app.state.projector = projector()
        loaded = [load(generator_folder(name), settings, signer) for name in settings.generators]
        generators = Generators(loaded)
        check_names(generators)
        for generation in loaded:
            generation.batcher.start()
        app.state.generators, app.state.generation = generators, generators.default
        app.state.telemetry.watch(generators)
        quieten_collector()
        seconds = time.monotonic() - start
        names = ", ".join(f"{one.id} on {one.sampler}" for one in loaded)
        log.info("ready after %.1f s: %s", seconds, names)
        yield
        app.state.generators = app.state.generation = None
        for generation in loaded:
            await generation.batcher.stop()
        if app.state.projector:
            app.state.projector.stop()

    app = Service(
        title="ganserve",
        summary="An image generator behind a URL",
        version=version("ganserve"),
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    app.access = access_control(settings)
    app.constant = crossorigin.headers(settings.cors_origin)
    app.state.generators = app.state.generation = None
    app.state.projector = None
    app.state.telemetry = Telemetry()
    app.state.bounds = Bounds.of(settings)
    problems.install(app)

    @app.exception_handler(ClientGoneError)
    async def _gone(request: Request, error: ClientGoneError) -> Response:
        return Response(status_code=problems.CLIENT_GONE)

    rooms = (images, permalinks, interpolations, planes, models, latents)
    asked_for = (projections,) if settings.projection else ()
    for room in (*rooms, *asked_for, health, problem_pages):
        app.include_router(room.router, dependencies=[Depends(each_parameter_once)])
    app.include_router(page.router)
    app.add_middleware(BodyLimit, limit=app.state.bounds.max_body)
    app.add_middleware(OneLineStart)

    return app


def file_signer(settings: Settings) -> "Signer | None":
    """What signs the files of this host, if anything does.

    Raises:
        SigningError: one setting lacks the other, or no valid signature comes of them.
    """
    paths = {
        "GAN_C2PA_CERTIFICATE": settings.c2pa_certificate,
        "GAN_C2PA_KEY": settings.c2pa_key,
    }
    if not any((*paths.values(), settings.c2pa_timestamp_url)):
        return None
    pems = []
    for name, path in paths.items():
        if not path:
            raise SigningError(f"{name} is not set; signing needs a certificate and its key")
        try:
            pems.append(Path(path).read_bytes())
        except OSError as error:
            raise SigningError(f"{name}: cannot be read ({error.strerror})") from None
    certificate, key = pems
    # imported by name: the library costs time and memory, and few hosts sign
    signing = importlib.import_module("app.signing")
    signer: Signer = signing.Signer(certificate, key, settings.c2pa_timestamp_url or None)
    return signer


def load(folder: Path, settings: Settings, signer: "Signer | None" = None) -> Generation:
    """A generator file, checked, on its device and warm; its files signed, if anything signs.

    Raises:
        GeneratorFileError, DeviceError, UnequalBytesError: it cannot be served.
    """
    file = read_generator_file(folder)
    threads = settings.threads or usable_cores()
    sampler = load_sampler(file, settings.device, settings.precision, threads)
    warm_up(sampler, settings.max_batch)
    encode = signer.encode_pngs if signer else encode_pngs
    batcher = Batcher(
        sampler,
        encode,
        partial(gather_rows, config=file.config),
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
        encode=encode,
        sign=signer.sign if signer else None,
        signed_by=signer.id if signer else "",
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
    encode_pngs(sampler(np.zeros((1, sampler.input_dim), np.float32)))


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
