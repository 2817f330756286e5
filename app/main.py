"""The application: settings in, a FastAPI application with a loaded generator out."""

import importlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from app.access import ports
from app.access.control import AccessControl, access_control
from app.access.keys import ApiKeys
from app.engine.loaded_generator import ClientGoneError
from app.engine.projector import ProjectionError, projector
from app.http import cors, decorations, hot_path, openapi
from app.http.root_path import under, without
from app.monitoring.logs import CONTROL, log_answer
from app.monitoring.request_context import Facts, current, facts_of
from app.monitoring.telemetry import Telemetry
from app.parameters.limits import BodyLimit, Bounds, each_parameter_once, in_force
from app.responses import problems
from app.responses.problems import NotFound, Problem
from app.routes import (
    admin,
    classifications,
    docs,
    health,
    images,
    interpolations,
    latents,
    models,
    openai,
    page,
    permalinks,
    planes,
    problem_pages,
    projections,
)
from app.server.loading import START_ERRORS, load_classifiers
from app.server.process import settle_process
from app.server.readiness import Readiness
from app.server.reloading import Reloader
from app.settings import Robots, Settings, read_settings
from app.state import State
from ganserve import __version__

AT_THE_ROOT = nullcontext()
LONGEST_PATH = 512  # characters; all of ours are shorter

Trace = Callable[[str, str, int, Facts, float], None]

log = logging.getLogger("ganserve")


class Service(FastAPI):
    """The application, with the fast path in front of everything that it does for a request, and
    access control, where there is any, in front of both.
    """

    access: AccessControl | None = None
    sharing: cors.Sharing
    frames: bytes
    telemetry: Telemetry
    span: Trace | None = None
    shown_under = ""  # by a proxy; FastAPI's own root_path would change how routes match
    admin_port = 0
    robots: Robots = "page"
    access_log = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one ASGI scope; counts each HTTP request, and logs and traces it if asked to."""
        if scope["type"] != "http":
            await self._start(scope, receive, send)
            return
        if self.shown_under:
            scope = without(self.shown_under, scope)
        facts = facts_of(scope)
        token, bounds = current.set(facts), in_force.set(self.state.bounds)
        start = time.perf_counter()
        self.telemetry.in_flight += 1
        try:
            with under(self.shown_under) if self.shown_under else AT_THE_ROOT:
                route, status = await self._serve(scope, receive, send, facts)
            self._tell(scope, facts, route, status, time.perf_counter() - start)
        finally:
            self.telemetry.in_flight -= 1
            in_force.reset(bounds)
            current.reset(token)

    async def _start(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Starts the application and ends it; tells the server in one line, without a traceback,
        why a generator cannot be loaded.
        """
        failure: Message = {}

        async def hold(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failure.update(message)
            else:
                await send(message)

        try:
            await super().__call__(scope, receive, hold)
        except (*START_ERRORS, ProjectionError) as error:
            await send({**failure, "message": f"cannot start: {error}"})
        except BaseException:
            await send(failure)
            raise

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, facts: Facts
    ) -> tuple[str, int]:
        """Answers a request; returns the route and the status of the answer."""
        refusal = None
        try:
            scope, send = self._admitted(scope, send)
        except Problem as problem:
            refusal = problem.response()
        constant = [(b"x-request-id", facts.id.encode()), *self.sharing.headers(scope["headers"])]
        if refusal is not None:
            await refusal(scope, receive, cors.with_headers(send, constant))
            return "door", refusal.status_code
        status = await hot_path.answered(self.state.generation, constant, scope, receive, send)
        if status:
            return hot_path.ROUTE, status
        scope = decorations.without(scope)
        if scope["method"] == "OPTIONS":
            allowed = cors.methods(self.openapi(), scope["path"])
            await cors.preflight(scope, send, constant, allowed)
            return "preflight", 204
        statuses: list[int] = []
        send = cors.with_headers(send, constant, statuses, self.frames)
        if scope["method"] == "HEAD":
            scope, send = cors.as_head(scope, send)
        await super().__call__(scope, receive, send)
        route = getattr(scope.get("route"), "path", "unknown")
        return route, statuses[-1] if statuses else problems.CLIENT_GONE

    def _admitted(self, scope: Scope, send: Send) -> tuple[Scope, Send]:
        """Returns the scope and send to go on with.

        Raises:
            Problem: nothing here has such a path, or the client may not ask.
        """
        path = scope["path"]
        # whatever reads the path after this, a pattern's time and its $ are safe from it
        if len(path) > LONGEST_PATH or (not path.isprintable() and CONTROL.search(path)):
            raise NotFound("No path here is so long, or has control characters.")
        on_admin_port = bool(self.admin_port) and scope["server"][1] == self.admin_port
        if self.admin_port and not ports.answers(path, on_admin_port):
            raise NotFound("This path is not on this port.")
        if self.access and not on_admin_port:
            return self.access.admit(scope, send)
        return scope, send

    def _tell(self, scope: Scope, facts: Facts, route: str, status: int, seconds: float) -> None:
        self.telemetry.answered(route, status, seconds)
        if facts.reason:
            self.telemetry.refused(facts.reason)
        if self.access_log:
            log_answer(scope["method"], scope["path"], status, facts, seconds)
        if self.span:
            self.span(scope["method"], route, status, facts, seconds)

    def openapi(self) -> dict[str, Any]:
        """Returns the document of /openapi.json, made once."""
        if self.openapi_schema is None:
            bounds = in_force.set(self.state.bounds)
            try:
                with under(self.shown_under):
                    self.openapi_schema = openapi.described(super().openapi(), self.access)
            finally:
                in_force.reset(bounds)
        return self.openapi_schema


def create_app(settings: Settings | None = None) -> FastAPI:
    """Builds the service; without settings, reads them from the environment. Nothing is loaded
    before it starts.
    """
    settings = settings or read_settings()
    readiness = Readiness(settings.hang_seconds)

    reloader = Reloader(settings, lambda generators: state.swap(generators))
    admins = settings.admin_key_hashes
    bounds = Bounds.of(settings)
    state = State(
        bounds=bounds,
        readiness=readiness,
        reloader=reloader,
        telemetry=Telemetry(readiness, reloader, bounds.memory),
        admin_keys=ApiKeys(admins) if admins else None,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        start = time.monotonic()
        if settings.projection:
            state.projector = projector()
        generators = reloader.start()
        try:
            readiness.classifiers = load_classifiers(settings, generators.loaded)
        except BaseException:
            await reloader.stop()
            raise
        classifiers = readiness.classifiers.loaded
        for one in classifiers:
            one.batcher.start()
        settle_process()
        seconds = time.monotonic() - start
        names = [f"{one.full_id} on {one.sampler}" for one in generators.loaded]
        names += [f"{one.id} classifies" for one in classifiers]
        log.info("ready after %.1f s: %s", seconds, ", ".join(names))
        yield
        state.swap(None)
        await reloader.stop()  # what it still generates may be classified
        for one in classifiers:
            await one.batcher.stop()
        if state.projector:
            state.projector.stop()

    app = Service(
        title="ganserve",
        summary="An image generator behind a URL",
        version=__version__,
        lifespan=lifespan,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
        docs_url=None,  # both load scripts from elsewhere; routes/docs.py does not
        redoc_url=None,
        redirect_slashes=False,  # it would believe the Host header, and answer without a problem
        generate_unique_id_function=lambda route: route.name,
    )
    app.access = access_control(settings)
    app.sharing = cors.Sharing(settings.cors_origin)
    app.frames = cors.frame_ancestors(settings.frame_origin)
    app.state, app.telemetry = state, state.telemetry  # type: ignore[assignment]  # typed, ours
    app.shown_under = settings.root_path
    app.admin_port = settings.admin_port
    app.robots = settings.robots
    app.access_log = settings.access_log
    app.span = tracer(settings)
    problems.install(app)

    @app.exception_handler(ClientDisconnect)  # before its body was here
    @app.exception_handler(ClientGoneError)
    async def _gone(request: Request, error: Exception) -> Response:
        return Response(status_code=problems.CLIENT_GONE)

    modules = (images, permalinks, interpolations, planes, models, latents, openai)
    after = (health.router, problem_pages.router, admin.router)
    projecting = projections.router if settings.projection else projections.off
    classifying = classifications.router if settings.classifiers else classifications.off
    for router in (*(module.router for module in modules), projecting, classifying, *after):
        app.include_router(router, dependencies=[Depends(each_parameter_once)])
    app.include_router(page.router)
    app.include_router(docs.router)
    app.add_middleware(BodyLimit, bounds=state.bounds)

    return app


def tracer(settings: Settings) -> Trace | None:
    """Returns what sends each request away as a span, if anything does.

    Raises:
        SettingsError: the extra is not installed.
    """
    if not settings.traces:
        return None
    # imported by name: the library costs time and memory, and few hosts trace
    trace: Trace
    trace, _ = importlib.import_module(".monitoring.tracing", __package__).tracer()
    return trace
