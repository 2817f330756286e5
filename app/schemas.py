"""Every parameter once, with its bounds: shared by the query strings and the JSON bodies.

Numbers are taken as JSON Schema means them: 5 and 5.0 are whole, true and "5" are not. A query
string holds text, so there digits are numbers. Out of bounds is refused, and the refusal says what
is allowed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from model.latents import SEED_LIMIT

MAX_PICTURES = 256  # in one sheet or strip
MAX_KEYS = 32  # seeds of one interpolation
MAX_Z = 4096  # values in a latent; the generator says how many it wants
Z_BOUND = 10.0


def refusal(text: str) -> PydanticCustomError:
    """A validation error with exactly this text."""
    return PydanticCustomError("refused", "{text}", {"text": text})


@dataclass(frozen=True)
class Whole:
    """Marks an int: a whole number from `low` to `high`, both allowed."""

    low: int
    high: int

    def check(self, value: Any) -> int:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not self.low <= value <= self.high or value != int(value):
            raise refusal(f"a whole number from {self.low} to {self.high} is wanted")
        return int(value)

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.int_schema(ge=self.low, le=self.high)
        return core_schema.no_info_before_validator_function(self.check, bounded)


Seed = Annotated[
    int,
    Whole(0, SEED_LIMIT - 1),
    Field(
        description="Names the picture: the same seed gives the same picture for ever.",
        examples=[42],
    ),
]
Count = Annotated[
    int,
    Whole(1, MAX_PICTURES),
    Field(description="Pictures on one sheet, of the seeds seed, seed + 1, ..."),
]
Columns = Annotated[
    int,
    Whole(1, MAX_PICTURES),
    Field(description="Pictures in a row, up to n; by default the sheet is nearly square."),
]
Frames = Annotated[
    int,
    Whole(2, MAX_PICTURES),
    Field(description="Pictures on the way, both ends included; at least one a seed."),
]
Coordinate = Annotated[float, Field(strict=True, ge=-Z_BOUND, le=Z_BOUND, allow_inf_nan=False)]
Latents = Annotated[
    list[Annotated[list[Coordinate], Field(min_length=1, max_length=MAX_Z, fail_fast=True)]],
    Field(
        min_length=1,
        max_length=MAX_PICTURES,
        description="Latent vectors in place of seed and n, each as long as the generator's z.",
        fail_fast=True,
    ),
]
SeedList = Annotated[
    list[Seed],
    Field(
        min_length=2,
        max_length=MAX_KEYS,
        description=f"2 to {MAX_KEYS} seeds, separated by commas: the path leads through them.",
        examples=["1,2"],
    ),
]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping):
            raise refusal(f"an object is wanted, with {', '.join(cls.model_fields)}")
        for name in fields:
            if name not in cls.model_fields:
                shown = ascii(name)[:40]
                raise refusal(f"unknown parameter {shown}; known: {', '.join(cls.model_fields)}")
        return dict(fields)


class GenerateParameters(_Parameters):
    """Which pictures, and how they are laid out."""

    seed: Seed | None = None
    n: Count = 1
    columns: Columns | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.seed is not None and self.seed + self.n > SEED_LIMIT:
            raise refusal(f"seed + n: {SEED_LIMIT} at most is wanted; no seed lies above")
        if self.columns is not None and self.columns > self.n:
            raise refusal(f"columns: a whole number from 1 to n ({self.n}) is wanted")
        return self

    def columns_of(self, pictures: int) -> int:
        """Pictures in a row: as asked, else a sheet as square as can be."""
        return self.columns or math.isqrt(pictures - 1) + 1


class GenerateQuery(GenerateParameters):
    """A query string of /generate."""

    @model_validator(mode="before")
    @classmethod
    def _digits_are_numbers(cls, fields: Any) -> Any:
        return {name: _number(value) for name, value in fields.items()}


class GenerateBody(GenerateParameters):
    """A JSON body of /generate; explicit latents may take the place of a seed."""

    z: Latents | None = None

    @model_validator(mode="before")
    @classmethod
    def _latents_are_counted(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or not isinstance(fields.get("z"), list):
            return fields
        if "seed" in fields or "n" in fields:
            raise refusal("z stands in place of seed and n: one or the other is wanted")
        return {**fields, "n": max(1, min(len(fields["z"]), MAX_PICTURES))}


class InterpolateQuery(_Parameters):
    """A query string of /interpolate: a path through latent space."""

    seeds: SeedList
    frames: Frames = 8

    @model_validator(mode="before")
    @classmethod
    def _split_seeds(cls, fields: Any) -> Any:
        values = {name: _number(value) for name, value in fields.items()}
        if "seeds" in values:
            # a list field reaches us as the list of its repetitions
            text = ",".join(values["seeds"])
            values["seeds"] = [_number(part) for part in text.split(",", MAX_KEYS)]
        return values

    @model_validator(mode="after")
    def _frames_reach_every_seed(self) -> Self:
        if self.frames < len(self.seeds):
            low, high = len(self.seeds), MAX_PICTURES
            raise refusal(f"frames: a whole number from {low} (one a seed) to {high} is wanted")
        return self


def _number(value: Any) -> Any:
    """The number that plain digits stand for; all else as it is, for the field to refuse."""
    short = isinstance(value, str) and len(value) <= 20 and value.isascii()
    return int(value) if short and value.removeprefix("-").isdigit() else value
