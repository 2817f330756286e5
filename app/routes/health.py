"""/healthz: the process lives. /readyz: it can make pictures. Both answer beside the queue."""

from fastapi import APIRouter, Response

from app.generation import GenerationDep
from app.problems import NO_STORE

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz(response: Response) -> dict[str, str]:
    """200 as long as the process answers at all."""
    response.headers.update(NO_STORE)
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(response: Response, generation: GenerationDep) -> dict[str, str]:
    """200 once the generator is loaded and warm; 503 before that and while shutting down."""
    response.headers.update(NO_STORE)
    return {"status": "ready", "generator": generation.config.name}
