"""The application: settings in, a FastAPI application with a loaded generator out."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import crossorigin, description, lean, problems
from app.access.control import AccessControl, access_control
from app.access.keys import ApiKeys
from app.generation import ClientGoneError, Generators
from app.limits import BodyLimit, Bounds, each_parameter_once, enforced
from app.loading import START_ERRORS, quieten_collector
from app.problems import Problem
from app.readiness import Readiness
from app.reloading import Reloader
from app.routes import (
    admin,
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
from app.telemetry import Telemetry

log = logging.getLogger("ganserve")


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
    readiness = Readiness(settings.hang_seconds)

    def swapped(generators: Generators) -> None:
        app.state.generators, app.state.generation = generators, generators.default
        readiness.generators = generators

    reloader = Reloader(settings, swapped)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        start = time.monotonic()
        generators = reloader.start()
        app.state.telemetry.watch(generators)
        quieten_collector()
        seconds = time.monotonic() - start
        names = ", ".join(f"{one.id} on {one.sampler}" for one in generators.loaded)
        log.info("ready after %.1f s: %s", seconds, names)
        yield
        app.state.generators = app.state.generation = readiness.generators = None
        await reloader.stop()

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
    app.state.readiness, app.state.reloader = readiness, reloader
    admins = settings.admin_key_hashes
    app.state.admin_keys = ApiKeys(admins) if admins else None
    app.state.telemetry = Telemetry()
    app.state.bounds = Bounds.of(settings)
    problems.install(app)

    @app.exception_handler(ClientGoneError)
    async def _gone(request: Request, error: ClientGoneError) -> Response:
        return Response(status_code=problems.CLIENT_GONE)

    rooms = (images, permalinks, interpolations, planes, models, latents)
    for room in (*rooms, health, problem_pages, admin):
        app.include_router(room.router, dependencies=[Depends(each_parameter_once)])
    app.include_router(page.router)
    app.add_middleware(BodyLimit, limit=app.state.bounds.max_body)
    app.add_middleware(OneLineStart)

    return app


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
