"""/admin: for the operator, who has a key of another kind than those who ask for pictures."""

import multiprocessing
import os
import signal
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.parameters.schemas import NoQuery
from app.responses.problems import NO_STORE, NotFound, NotReady, Unauthorized
from app.state import StateDep

router = APIRouter(prefix="/admin", include_in_schema=False)


@router.post("/reload")
async def reload(
    request: Request, parameters: Annotated[NoQuery, Query()], state: StateDep, response: Response
) -> dict[str, Any]:
    """Reads the model folders again, as SIGHUP does, in every worker of this host."""
    keys, reloader = state.admin_keys, state.reloader
    if keys is None:
        raise NotFound("This host has no admin key.")
    if keys.owner(request.scope["headers"]) is None:
        raise Unauthorized("an admin key (Authorization: Bearer KEY) is needed")
    if reloader.generators is None:
        raise NotReady("The generator is not loaded yet.")
    fresh = await reloader.reload()
    if multiprocessing.parent_process():
        os.kill(os.getppid(), signal.SIGHUP)  # the other workers too; here is nothing left to do
    response.headers.update(NO_STORE)
    return {
        "loaded": [one.full_id for one in fresh],
        "served": [one.full_id for one in reloader.generators.loaded],
        "former": [one.full_id for one in reloader.generators.previous],
    }
