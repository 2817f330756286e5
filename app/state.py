"""What one application holds, typed, and the dependencies through which routes ask for it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.access.keys import ApiKeys
from app.engine.loaded_classifier import Classifiers
from app.engine.loaded_generator import Generation, Generators
from app.engine.projector import Projector
from app.monitoring.telemetry import Telemetry
from app.parameters.limits import Bounds
from app.responses.problems import NotReady
from app.server.disconnection import Watch, watching
from app.server.readiness import Readiness
from app.server.reloading import Reloader


@dataclass
class State:
    """The parts of one application. Generators and projector are there while it is ready."""

    bounds: Bounds
    readiness: Readiness
    reloader: Reloader
    telemetry: Telemetry
    admin_keys: ApiKeys | None
    generators: Generators | None = None
    generation: Generation | None = None  # the default one, for the hot path
    projector: Projector | None = None
    docs: str = ""  # the page at /docs, once somebody has asked for it

    def swap(self, generators: Generators | None) -> None:
        """Serves these generators from here on, or none."""
        self.generators = self.readiness.generators = generators
        self.generation = generators.default if generators else None


async def get_state(request: Request) -> State:
    """Returns the application's state."""
    state: State = request.app.state
    return state


StateDep = Annotated[State, Depends(get_state)]


@dataclass(frozen=True)
class Context:
    """One request, and what its route needs of the application while it is ready."""

    request: Request
    generators: Generators
    classifiers: Classifiers
    bounds: Bounds
    projector: Projector | None  # where the operator has turned it on
    watch: Watch  # tells when the request's client goes away


async def get_context(request: Request) -> Context:
    """Returns the context of a request.

    Raises:
        NotReady: the generators are not loaded yet, or the service is shutting down.
    """
    state: State = request.app.state
    if state.generators is None:
        raise NotReady("The service is not ready, or is shutting down.")
    watch = watching(request.scope, request.receive)
    return Context(
        request, state.generators, state.readiness.classifiers, state.bounds, state.projector, watch
    )


ContextDep = Annotated[Context, Depends(get_context)]
