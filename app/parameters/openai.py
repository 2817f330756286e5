"""The body of OpenAI's image API, with the bounds of our own parameters.

Where that API takes null for what is left out, so do we. What has no meaning here is taken and has
no effect, where a client loses nothing by it: see docs/api.md.
"""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from app.parameters.schemas import (
    Count,
    Json,
    LatentParameters,
    Mark,
    Quality,
    Resample,
    Seed,
    refusal,
)
from model.encoding.formats import LARGEST_SCALE
from model.latent_space.latents import SEED_LIMIT
from model.recipes import RecipeError

AUTO = "auto"
SIZE = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")  # ASCII digits: width x height


class _Size(Mark):
    """Marks a str: width x height, or auto; the generator says which it has."""

    longest = len("999999x999999")

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or len(value) > self.longest:
            raise refusal(f"{AUTO} or a text such as 256x256 is wanted")
        return value

    def describe(self, schema: Json) -> Json:
        return {**schema, "pattern": f"^(?:{AUTO}|{SIZE.pattern})$"}


Size = Annotated[str, _Size(), Field(examples=["256x256"])]


class GenerationsBody(LatentParameters):
    """A JSON body of /v1/images/generations."""

    prompt: Annotated[
        Seed, Field(description="Names the (first) picture, as `seed` does in /generate.")
    ]
    n: Annotated[
        Count | None, Field(description="Pictures, of the prompt's seed and those that follow.")
    ] = None
    size: Annotated[
        Size | None,
        Field(
            description="Width x height in pixels. By default, and as auto, the generator's own.",
        ),
    ] = None
    resample: Resample = "nearest"
    response_format: Annotated[
        Literal["url", "b64_json"] | None,
        Field(description="Permanent URLs, by default, or the files themselves in base64."),
    ] = None
    output_format: Annotated[
        Literal["png", "jpeg", "webp"] | None, Field(description="Of the files; by default png.")
    ] = None
    output_compression: Annotated[
        Quality | None, Field(description="Quality of WebP and JPEG, as `quality` in /generate.")
    ] = None
    quality: Annotated[
        Literal["auto", "standard", "hd", "low", "medium", "high"] | None,
        Field(description="Without effect: a generator has one quality."),
    ] = None
    style: Annotated[
        Literal["vivid", "natural"] | None,
        Field(description="Without effect: `class`, `truncation` and `edit` change a picture."),
    ] = None
    background: Annotated[
        Literal["auto", "opaque"] | None,
        Field(description="Without effect: every picture is opaque."),
    ] = None
    moderation: Annotated[
        Literal["auto", "low"] | None,
        Field(description="Without effect: a prompt is a seed, and its words are not drawn."),
    ] = None
    stream: Annotated[
        Literal[False] | None, Field(description="Without effect: there are no partial pictures.")
    ] = None
    user: Annotated[
        str | None,
        Field(description="Without effect; neither kept nor logged."),
    ] = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.seeds[-1] >= SEED_LIMIT:
            raise refusal(f"prompt + n: {SEED_LIMIT} at most is wanted; no seed lies above")
        return self

    @property
    def seeds(self) -> range:
        """The seeds of the pictures."""
        return range(self.prompt, self.prompt + (self.n or 1))

    def scale(self, side: int) -> int:
        """Reads the size for a generator whose pictures have so many pixels per side.

        Raises:
            RecipeError: it does not generate that size; the message says which it does.
        """
        if self.size in (None, AUTO):
            return 1
        sides = {f"{side * scale}x{side * scale}": scale for scale in range(1, LARGEST_SCALE + 1)}
        if self.size not in sides:
            raise RecipeError(f"size: not of this generator; allowed: {AUTO}, {', '.join(sides)}")
        return sides[self.size]
