"""/livez: the process lives. /readyz: it can make pictures. /metrics: what it has done. All answer
without the queue.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.monitoring.telemetry import MEDIA_TYPE
from app.parameters.schemas import NoQuery
from app.responses.problems import NO_STORE, NotReady
from app.state import ContextDep, StateDep

TEXT: dict[str, Any] = {"content": {"text/plain": {"schema": {"type": "string"}}}}

router = APIRouter(tags=["health"])


@router.get("/livez")
@router.get("/healthz", include_in_schema=False)
async def livez(parameters: Annotated[NoQuery, Query()], response: Response) -> dict[str, str]:
    """Returns 200 as long as the process answers at all."""
    response.headers.update(NO_STORE)
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(
    context: ContextDep,
    parameters: Annotated[NoQuery, Query()],
    response: Response,
    state: StateDep,
) -> dict[str, str]:
    """Returns 200 once every generator is loaded and warm; 503 before that, while shutting down,
    and when a generator does not work any more. Where workers are missing it says how many serve.
    """
    if reason := state.readiness.reason():
        raise NotReady(reason)
    response.headers.update(NO_STORE)
    missing = state.readiness.scoreboard.missing
    workers = {"workers": missing} if missing else {}
    return {"status": "ready", "generator": context.generators.default.name, **workers}


@router.get("/metrics", response_class=Response, responses={200: TEXT})
async def metrics(parameters: Annotated[NoQuery, Query()], state: StateDep) -> Response:
    """Returns the counts and gauges of this process, for Prometheus."""
    return Response(state.telemetry.text(), media_type=MEDIA_TYPE, headers=NO_STORE)
