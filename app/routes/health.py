"""/livez: the process lives. /readyz: it can make pictures. Both answer beside the queue."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.generation import GeneratorsDep
from app.problems import NO_STORE
from app.schemas import NoQuery

router = APIRouter(tags=["health"])


@router.get("/livez")
@router.get("/healthz", include_in_schema=False)
async def livez(parameters: Annotated[NoQuery, Query()], response: Response) -> dict[str, str]:
    """200 as long as the process answers at all."""
    response.headers.update(NO_STORE)
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(
    parameters: Annotated[NoQuery, Query()], response: Response, generators: GeneratorsDep
) -> dict[str, str]:
    """200 once every generator is loaded and warm; 503 before that and while shutting down."""
    response.headers.update(NO_STORE)
    return {"status": "ready", "generator": generators.default.name}
