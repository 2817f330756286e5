"""What one application holds, typed, and the dependencies through which routes ask for it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.access.keys import ApiKeys
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


async def get_bounds(state: StateDep) -> Bounds:
    """Returns the application's bounds."""
    return state.bounds


async def get_projector(state: StateDep) -> Projector | None:
    """Returns the application's projector, where the operator has turned it on."""
    return state.projector


async def get_generators(state: StateDep) -> Generators:
    """Returns the application's generators.

    Raises:
        NotReady: they are not loaded yet, or the service is shutting down.
    """
    if state.generators is None:
        raise NotReady("The service is not ready, or is shutting down.")
    return state.generators


async def get_watch(request: Request) -> Watch:
    """Returns what tells when this request's client goes away."""
    return watching(request.scope, request.receive)


BoundsDep = Annotated[Bounds, Depends(get_bounds)]
ProjectorDep = Annotated[Projector | None, Depends(get_projector)]
GeneratorsDep = Annotated[Generators, Depends(get_generators)]
WatchDep = Annotated[Watch, Depends(get_watch)]
