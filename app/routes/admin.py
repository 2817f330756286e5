"""/admin: for the operator, who has a key of another kind than those who ask for pictures."""

import multiprocessing
import os
import signal
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.access.keys import ApiKeys
from app.problems import NO_STORE, NotFound, NotReady, Unauthorized
from app.reloading import Reloader
from app.schemas import NoQuery

router = APIRouter(prefix="/admin", include_in_schema=False)


@router.post("/reload")
async def reload(
    request: Request, parameters: Annotated[NoQuery, Query()], response: Response
) -> dict[str, Any]:
    """Reads the generator files again, as SIGHUP does, in every worker of this host."""
    keys: ApiKeys | None = request.app.state.admin_keys
    if keys is None:
        raise NotFound("This host has no admin key.")
    if keys.owner(request.scope["headers"]) is None:
        raise Unauthorized("an admin key (Authorization: Bearer KEY) is needed")
    reloader: Reloader = request.app.state.reloader
    if reloader.generators is None:
        raise NotReady("The generator is not loaded yet.")
    fresh = await reloader.reload()
    if multiprocessing.parent_process():
        os.kill(os.getppid(), signal.SIGHUP)  # the other workers too; here is nothing left to do
    response.headers.update(NO_STORE)
    return {
        "loaded": [one.id for one in fresh],
        "served": [one.id for one in reloader.generators.loaded],
        "former": [one.id for one in reloader.generators.former],
    }
