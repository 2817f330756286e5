"""What the routes need of a loaded generator: its config, and pictures by latents, batched."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.batcher import Batcher
from app.problems import NotReady
from model.generator_file import GeneratorConfig


@dataclass(frozen=True)
class Generation:
    """A generator that is loaded and warm."""

    config: GeneratorConfig
    batcher: Batcher


def get_generation(request: Request) -> Generation:
    """The application's generator.

    Raises:
        NotReady: it is not loaded yet, or the service is shutting down.
    """
    generation: Generation | None = request.app.state.generation
    if generation is None:
        raise NotReady("The service is not ready, or is shutting down.")
    return generation


GenerationDep = Annotated[Generation, Depends(get_generation)]
