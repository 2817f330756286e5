"""Every parameter once, with its bounds: shared by query strings, paths and JSON bodies.

Numbers are taken as JSON Schema means them: 5 and 5.0 are whole, true and "5" are not. A query
string holds text, so there digits are numbers. Out of bounds is refused, and the refusal says what
is allowed. How many there may be of a thing is for the operator to set: see limits.py.
"""

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from app.parameters.limits import in_force
from app.responses.offers import BULK_OFFERS, PATH_OFFERS, STILL_OFFERS
from model.classification.scores import ScoreName
from model.encoding.animations import LARGEST_FPS
from model.encoding.formats import LARGEST_SCALE
from model.generator_file import MAX_CLASS_NAME
from model.latent_space.latents import SEED_LIMIT, has_controls, text_seed
from model.latent_space.paths import Ease, Mode
from model.networks.config import MAX_CLASSES
from model.picture_request import Resample as ResampleName
from model.recipes import EDIT, PORTION

Json = dict[str, Any]

MAX_Z = 4096  # values in a latent; the generator says how many it takes
CORNERS = 4  # corners of a plane
FRAMES_A_KEY = 20  # frames from each seed to the next, where an interpolation does not say how many
Z_BOUND = 10.0
WEIGHT_BOUND = 10.0
MOST_STEPS = 1000  # steps of a search for a picture
EDIT_BOUND = 100  # each generator says how far its own directions go
LONGEST_EDIT = len("d99:-99.999999,")  # characters of a step

# as JSON Schema has it: no control character, and one that is neither space nor part of a number
TEXT_PATTERN = r"^[^{0}]*[^{0}\s\p{{Nd}}+\-_.,][^{0}]*$".format(r"\u0000-\u001f\u007f-\u009f\ufffd")
WHOLE_PATTERN = "^(?:0|[1-9][0-9]{0,17})$"
NAME_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f\ufffd]+$"
LOOKS_LIKE_A_NUMBER = re.compile(r"[\s\d+\-_.,]*")
SPAN = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")  # seeds from one to another


def refusal(text: str) -> PydanticCustomError:
    """Returns a validation error with exactly this text."""
    return PydanticCustomError("refused", "{text}", {"text": text})


def bound(high: int | str) -> int:
    """Returns a number as it is, or the one of the bounds in force that has this name."""
    if isinstance(high, int):
        return high
    found: int = getattr(in_force.get(), high)
    return found


class Mark(ABC):
    """Marks a type: its values are checked before pydantic looks at them, and the document says
    more of it than pydantic knows.
    """

    @abstractmethod
    def check(self, value: Any) -> Any:
        """Returns the value to go on with.

        Raises:
            PydanticCustomError: it is not allowed; the message says what is.
        """

    @abstractmethod
    def describe(self, schema: Json) -> Json:
        """Completes pydantic's own JSON schema of the type."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Json:
        return self.describe(handler(schema))


@dataclass(frozen=True)
class Whole(Mark):
    """Marks an int: a whole number from `low` to `high`, both allowed."""

    low: int
    high: int | str  # or the name of a bound

    def check(self, value: Any) -> int:
        high = bound(self.high)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not self.low <= value <= high or value != int(value):
            raise refusal(f"a whole number from {self.low} to {high} is wanted")
        return int(value)

    def describe(self, schema: Json) -> Json:
        return {**schema, "minimum": self.low, "maximum": bound(self.high)}


@dataclass(frozen=True)
class Between(Mark):
    """Marks a float: a number from `low` to `high`, both allowed."""

    low: float
    high: float

    def check(self, value: Any) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not self.low <= value <= self.high:
            raise refusal(f"a number from {self.low:g} to {self.high:g} is wanted")
        return float(value)

    def describe(self, schema: Json) -> Json:
        return {**schema, "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Entries(Mark):
    """Marks a list: from `low` to `high` entries, counted before any of them is looked at."""

    low: int
    high: int | str  # or the name of a bound

    def check(self, value: Any) -> Any:
        high = bound(self.high)
        if isinstance(value, list) and not self.low <= len(value) <= high:
            count = high if self.low == self.high else f"{self.low} to {high}"
            raise refusal(f"{count} entries are wanted")
        return value

    def describe(self, schema: Json) -> Json:
        return {**schema, "minItems": self.low, "maxItems": bound(self.high)}


@dataclass(frozen=True)
class Form(Mark):
    """Marks a str: of a form that `words` tell of."""

    pattern: str
    words: str

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise refusal(f"{self.words} is wanted")
        return value

    def describe(self, schema: Json) -> Json:
        return {**schema, "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True)
class OneOf(Mark):
    """Marks a str: one of these names."""

    names: tuple[str, ...]

    def check(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.names:
            raise refusal(f"one of {', '.join(self.names)} is wanted")
        return value

    def describe(self, schema: Json) -> Json:
        return {**schema, "enum": list(self.names)}


WHOLE_SEED = Whole(0, SEED_LIMIT - 1)


class SeedOrText(Mark):
    """Marks an int: a seed, or the seed that a text stands for."""

    def check(self, value: Any) -> int:
        return seed_of(value)

    def describe(self, schema: Json) -> Json:
        return {
            "description": "Names the picture: the same seed gives the same picture for ever. "
            "Text, such as a user name, stands for the number that its SHA-256 begins with.",
            "type": ["integer", "string"],
            "minimum": 0,
            "maximum": SEED_LIMIT - 1,
            "minLength": 1,
            "maxLength": in_force.get().max_text,
            "pattern": f"{WHOLE_PATTERN}|{TEXT_PATTERN}",
        }


class AnyText(Mark):
    """Marks a str: any text, also one that looks like a number."""

    def check(self, value: Any) -> str:
        most = in_force.get().max_text
        if not isinstance(value, str) or not 0 < len(value) <= most or has_controls(value):
            raise refusal(f"a text of 1 to {most} characters is wanted, without control characters")
        return value

    def describe(self, schema: Json) -> Json:
        longest = in_force.get().max_text
        return {**schema, "minLength": 1, "maxLength": longest, "pattern": NAME_PATTERN}


class EditText(Mark):
    """Marks steps along directions of latent space, by the direction's number: in a text such as
    d0:1.5,d3:-2.
    """

    def check(self, value: Any) -> dict[int, float]:
        most = in_force.get().max_edits
        wanted = (
            f"up to {most} edits such as d0:1.5,d3:-2 are wanted: each direction once, a step from "
            f"{-EDIT_BOUND} to {EDIT_BOUND}"
        )
        if not isinstance(value, str) or not 0 < len(value) < most * LONGEST_EDIT:
            raise refusal(wanted)
        found = [EDIT.fullmatch(part) for part in value.split(",", most - 1)]
        steps = {int(match[1]): float(match[2]) for match in found if match}
        if len(steps) < len(found):
            raise refusal(wanted)
        return dict(sorted(steps.items()))

    def describe(self, schema: Json) -> Json:
        step, most = EDIT.pattern, in_force.get().max_edits
        return {
            "description": "Steps along directions of latent space, see /models/{id}/directions.",
            "type": "string",
            "pattern": f"^{step}(,{step}){{0,{most - 1}}}$",
            "maxLength": most * LONGEST_EDIT - 1,
        }


Weighted = tuple[int, float]  # a seed and its share in a mix


class MixText(Mark):
    """Marks seeds with weights: a list of portions, or a text such as 3:1,8:-1."""

    def check(self, value: Any) -> list[Weighted]:
        most = in_force.get().max_keys
        found = [PORTION.fullmatch(part) for part in value.split(",", most)]
        mix = [(int(m[1]), float(m[2]) if m[2] else 1.0) for m in found if m]
        if not len(found) == len(mix) <= most or max(mix)[0] >= SEED_LIMIT:
            raise refusal(
                f"1 to {most} seeds with weights such as 3:1,8:-1,5 are wanted: each seed a whole "
                f"number below {SEED_LIMIT}, each weight from {-WEIGHT_BOUND:g} to "
                f"{WEIGHT_BOUND:g}, or none for 1"
            )
        return mix

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any, portions: Callable[[Any], list[Portion]]) -> list[Weighted]:
            # pairs, for many portions as objects would take ten times the memory
            if isinstance(value, str):
                return self.check(value)
            return [(portion.seed, portion.weight) for portion in portions(value)]

        return core_schema.no_info_wrap_validator_function(read, handler.generate_schema(Portions))

    def describe(self, schema: Json) -> Json:
        part, most = PORTION.pattern, in_force.get().max_keys
        text = {"type": "string", "pattern": f"^{part}(?:,{part}){{0,{most - 1}}}$"}
        return {
            "description": "Seeds and their weights, whose latents are added up: 3:1,8:-1,5:1 is "
            "3 - 8 + 5. In JSON also a list of objects.",
            "anyOf": [text, schema],
        }


class SeedRanges(Mark):
    """Marks a list of seeds: a list, or a text such as 1,5,10-20."""

    def check(self, value: Any) -> list[int]:
        most = in_force.get().max_bulk
        wanted = f"1 to {most} seeds are wanted, as a list or as a text such as 1,5,10-20"
        parts = value.split(",", most) if isinstance(value, str) else value
        if not isinstance(parts, list) or not 1 <= len(parts) <= most:
            raise refusal(wanted)
        if isinstance(value, str):
            parts = [part if SPAN.fullmatch(part) else number_of(part) for part in parts]
        seeds: list[int] = []
        for entry in parts:
            span = SPAN.fullmatch(entry) if isinstance(entry, str) else None
            if span is None:
                seeds.append(seed_of(entry))
                continue
            first, last = int(span[1]), int(span[2])
            if first > last or last >= SEED_LIMIT:
                raise refusal(f"a range from a lower to a higher seed below {SEED_LIMIT} is wanted")
            if last - first >= most - len(seeds):
                raise refusal(wanted)
            seeds.extend(range(first, last + 1))
        if len(seeds) > most:
            raise refusal(wanted)
        return seeds

    def describe(self, schema: Json) -> Json:
        bounds = in_force.get()
        seed = SeedOrText().describe({})
        return {
            "description": "Seeds, as a list or as a text with ranges.",
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": bounds.max_body},
                {"type": "array", "items": seed, "minItems": 1, "maxItems": bounds.max_bulk},
            ],
        }


def seeds_in_all(value: Any) -> Any:
    """Counts the seeds of all mixes and planes of a list of recipes, before any of them is looked
    at. There may be as many as planes of four corners need.
    """
    most = CORNERS * in_force.get().max_bulk
    if isinstance(value, list) and sum(map(_seeds, value)) > most:
        raise refusal(f"up to {most} seeds in all mixes and planes together are wanted")
    return value


def _seeds(recipe: Any) -> int:
    if not isinstance(recipe, dict):
        return 1
    mix = recipe.get("mix")
    if isinstance(mix, str):
        return mix.count(",") + 1
    return len(mix) if isinstance(mix, list) else CORNERS if "plane" in recipe else 1


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise refusal("true or false is wanted")
    return value


def seed_of(value: Any) -> int:
    """Returns the seed that a whole number or a text stands for.

    Raises:
        PydanticCustomError: it is neither; the message says what is allowed.
    """
    value, longest = number_of(value), in_force.get().max_text
    if isinstance(value, str):
        wrong = len(value) > longest or LOOKS_LIKE_A_NUMBER.fullmatch(value)
        if not (wrong or has_controls(value)):
            return text_seed(value)
    else:
        with suppress(PydanticCustomError):
            return WHOLE_SEED.check(value)
    raise refusal(
        f"a whole number from 0 to {SEED_LIMIT - 1} is wanted, or a text of 1 to {longest} "
        "characters that does not look like a number"
    )


def number_of(value: Any) -> Any:
    """Returns the number that plain digits stand for, all else as it is for the field to refuse."""
    short = isinstance(value, str) and len(value) <= 20 and value.isascii()
    return int(value) if short and value.removeprefix("-").isdigit() else value


Seed = Annotated[int, SeedOrText(), Field(examples=[42])]
Name = Annotated[
    str,
    AnyText(),
    Field(
        description="Names the picture by any text, such as a user's id: as `seed` does with a "
        "text, and digits are text here too.",
        examples=["+491701234567"],
    ),
]
Model = Annotated[
    str,
    Form(
        r"[a-z0-9][a-z0-9_-]{0,63}(@[0-9a-f]{12}(-[0-9a-f]{12})?)?",
        "a name or name@hash that /models lists",
    ),
    Field(
        description="Which generator, by name, by name@hash, or with its upscaler by "
        "name@hash-hash; by default the service's first.",
    ),
]
ClassName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_CLASS_NAME,
        description="Which class, by name or number, where the generator has classes.",
    ),
]
Truncation = Annotated[
    float,
    Between(0, 1),
    Field(
        description="How far from the middle of latent space: 1 is the latent itself, 0 the same "
        "picture for every seed.",
    ),
]
Steps = Annotated[dict[int, float], EditText(), Field(examples=["d0:1.5,d3:-2"])]
Scale = Annotated[
    int, Whole(1, LARGEST_SCALE), Field(description="How many times as long each side becomes.")
]
Resample = Annotated[
    ResampleName,
    Field(
        description="How pixels are enlarged: as squares, smooth, or by the generator's upscaler, "
        "where it has one, for the scales that its card names."
    ),
]
Quality = Annotated[
    int,
    Whole(1, 100),
    Field(description="Of WebP (by default every pixel is kept), AVIF (75) and JPEG (90)."),
]
Download = Annotated[
    bool,
    BeforeValidator(_flag),
    Field(description="Asks the browser to save the picture, not to show it."),
]
StillFormat = Annotated[
    str,
    OneOf(tuple(STILL_OFFERS)),
    Field(description="By default the extension's, else what Accept prefers, else png."),
]
PathFormat = Annotated[
    str,
    OneOf(tuple(PATH_OFFERS)),
    Field(description="By default the extension's, else what Accept prefers, else webp."),
]
AnyFormat = Annotated[
    str,
    OneOf((*STILL_OFFERS, *BULK_OFFERS)),
    Field(
        description="A sheet (png, webp, avif, jpeg), the pixels of all (npy), or all pictures one "
        "by one (zip, json, multipart); by default what Accept prefers, else a sheet as png."
    ),
]
Count = Annotated[
    int,
    Whole(1, "max_pictures"),
    Field(description="Pictures on one sheet, of the seeds seed, seed + 1, ..."),
]
Columns = Annotated[
    int,
    Whole(1, "max_pictures"),
    Field(description="Pictures in a row, up to n; by default the sheet is nearly square."),
]
Frames = Annotated[
    int,
    Whole(2, "max_frames"),
    Field(
        description="Pictures on the way, both ends included; at least one a seed. By default "
        f"{FRAMES_A_KEY} from each seed to the next, as far as there may be so many.",
    ),
]
WayMode = Annotated[
    Mode,
    Field(description="By default slerp for a normal prior, lerp for a uniform one."),
]
Fps = Annotated[int, Whole(1, LARGEST_FPS), Field(description="Frames a second.")]
Loop = Annotated[
    bool,
    BeforeValidator(_flag),
    Field(description="Leads back to the first seed, and plays for ever; else it plays once."),
]
EaseName = Annotated[
    Ease, Field(description="The speed between a seed and the next, as CSS names it.")
]
Side = Annotated[
    int, Whole(1, "max_side"), Field(description="Pictures on this side of the plane.")
]
Share = Annotated[
    float,
    Between(0, 1),
    Field(description="A place or length on the plane, whose sides are 1 long."),
]
PlaneMode = Annotated[Literal["lerp", "slerp"], Field(description="As in /interpolate.")]
Coordinate = Annotated[  # there may be thousands in a body, so that pydantic checks them by itself
    float, Field(strict=True, allow_inf_nan=False, ge=-Z_BOUND, le=Z_BOUND)
]
Vector = Annotated[
    list[Coordinate],
    Field(description="A latent vector, as long as the generator's z.", fail_fast=True),
    Entries(1, MAX_Z),
]
Latents = Annotated[
    list[Vector],
    Field(
        description="Latent vectors in place of seeds, each as long as the generator's z.",
        fail_fast=True,
    ),
    Entries(1, "max_bulk"),
]
SeedList = Annotated[
    list[Seed],
    Entries(2, "max_way"),
    Field(
        description="Seeds, separated by commas: the path leads through them.",
        examples=["1,2"],
    ),
]
Corners = Annotated[
    list[Seed],
    Entries(CORNERS, CORNERS),
    Field(
        description="Four seeds: top left, top right, bottom left, bottom right.",
        examples=["1,2,3,4"],
    ),
]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @classmethod
    def names(cls) -> list[str]:
        """Returns the parameters' names as a client writes them."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @model_validator(mode="before")
    @classmethod
    def _known(cls, fields: Any) -> Any:
        names = cls.names()
        if not isinstance(fields, Mapping):
            raise refusal(f"an object is wanted, with {', '.join(names)}")
        for name in fields:
            if name not in names:
                near = difflib.get_close_matches(str(name)[:40], names, 1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                shown = ascii(name)[:40]
                raise refusal(f"unknown parameter {shown}{hint}; known: {', '.join(names)}")
        return dict(fields)


class _Query(_Parameters):
    """Parameters as text. Runs before `_known`, which is further up."""

    lists: ClassVar[frozenset[str]] = frozenset({"seeds", "z"})
    flags: ClassVar[frozenset[str]] = frozenset({"loop", "download"})
    reals: ClassVar[frozenset[str]] = frozenset({"truncation", "x", "y", "size"})
    texts: ClassVar[frozenset[str]] = frozenset({"model", "class", "edit", "format", "mix", "name"})

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, fields: Any) -> Any:
        return {name: cls._value(name, value) for name, value in fields.items()}

    @classmethod
    def _value(cls, name: str, value: Any) -> Any:
        if name in cls.lists and name in cls.names():
            # a list field reaches us as the list of its repetitions
            text = value if isinstance(value, str) else ",".join(value)
            if name == "z":
                return [_real(part) for part in text.split(",", MAX_Z)]
            most = max(in_force.get().max_keys, CORNERS)
            return [number_of(part) for part in text.split(",", most)]
        if name == "mix" and isinstance(value, list):
            return ",".join(value)
        if name in cls.flags:
            return {"true": True, "false": False}.get(value, value)
        if name in cls.reals and isinstance(value, str):
            return _real(value)
        return value if name in cls.texts else number_of(value)


# as JSON writes numbers: the shortest text of a float64 may be 1e-05
DECIMAL = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?")


def _real(text: str) -> float | str:
    """Returns the number that a decimal stands for, all else as it is for the field to refuse."""
    return float(text) if DECIMAL.fullmatch(text) else text


class LatentParameters(_Parameters):
    """What is done to a latent before it is generated, and by which generator."""

    model: Model | None = None
    class_: Annotated[ClassName | None, Field(alias="class")] = None
    truncation: Truncation = 1.0
    edit: Steps | None = None


class OutputParameters(_Parameters):
    """How pictures leave, whatever they show."""

    scale: Scale = 1
    resample: Resample = "nearest"
    quality: Quality | None = None
    download: Download = False


class Portion(_Parameters):
    """A seed's share in a mix."""

    seed: Seed
    weight: Annotated[float, Between(-WEIGHT_BOUND, WEIGHT_BOUND)] = 1.0


Portions = Annotated[list[Portion], Entries(1, "max_keys")]
Mix = Annotated[list[Weighted], MixText(), Field(examples=["3:1,8:-1,5:1"])]


class Named(_Parameters):
    """A picture that may be named by a seed, or by any text."""

    seed: Seed | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.seed is not None and self.name is not None:
            raise refusal("one of seed and name is wanted")
        return self

    @property
    def first_seed(self) -> int | None:
        """The seed that is given, or that the name stands for."""
        return self.seed if self.name is None else text_seed(self.name)


class SheetParameters(LatentParameters, OutputParameters, Named):
    """Which pictures, and how they are laid out."""

    mix: Mix | None = None
    n: Count = 1
    columns: Columns | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.first_seed is not None and self.first_seed + self.n > SEED_LIMIT:
            raise refusal(f"seed + n: {SEED_LIMIT} at most is wanted; no seed lies above")
        return self

    def check_columns(self, pictures: int) -> None:
        """Refuses more columns than pictures."""
        if self.columns is not None and self.columns > pictures:
            raise refusal(f"columns: a whole number from 1 to n ({pictures}) is wanted")


class GenerateQuery(_Query, SheetParameters):
    """A query string of /generate."""

    z: Vector | None = None
    format: StillFormat | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        named = not self.model_fields_set.isdisjoint(("seed", "name", "n"))
        if (self.mix is not None) + (self.z is not None) + named > 1:
            raise refusal("one of seed or name (with n), mix and z is wanted")
        return self

    @model_validator(mode="after")
    def _columns_are_filled(self) -> Self:
        self.check_columns(self.n)
        return self


class Place(_Parameters):
    """A place on a plane between four corners, as /plane has it."""

    seeds: Corners
    x: Share
    y: Share
    mode: PlaneMode | None = None


class Recipe(Named):
    """One picture of a body: a seed, a latent, a mix of seeds, or a place on a plane."""

    z: Vector | None = None
    mix: Mix | None = None
    plane: Place | None = None
    class_: Annotated[ClassName | None, Field(alias="class")] = None
    truncation: Truncation | None = None
    edit: Steps | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = (self.first_seed, self.z, self.mix, self.plane)
        if sum(source is not None for source in sources) != 1:
            raise refusal("one of seed, name, z, mix and plane is wanted")
        return self


Recipes = Annotated[
    list[Recipe],
    Field(
        description="Each of one seed, z, mix or plane, with what is done to it.", fail_fast=True
    ),
    BeforeValidator(seeds_in_all),
    Entries(1, "max_bulk"),
]
Stops = Annotated[
    list[Recipe],
    Entries(2, "max_way"),
    Field(description="Recipes in place of seeds, as in /generate: the path leads through them."),
]


class GenerateBody(SheetParameters):
    """A JSON body of /generate: pictures of one seed and those that follow, of seeds, of latents,
    or of recipes.
    """

    seeds: Annotated[list[int], SeedRanges(), Field(examples=["1,5,10-20"])] | None = None
    z: Latents | None = None
    recipes: Recipes | None = None
    format: AnyFormat | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, fields: Any) -> Any:
        if isinstance(fields, dict):
            sources = ("seed", "name", "mix", "seeds", "z", "recipes")
            given = [name for name in sources if name in fields]
            if len(given) > 1 or (given not in ([], ["seed"], ["name"]) and "n" in fields):
                raise refusal("one of seed or name (with n), mix, seeds, z and recipes is wanted")
        return fields

    @model_validator(mode="after")
    def _columns_are_filled(self) -> Self:
        self.check_columns(self.pictures)
        return self

    @property
    def pictures(self) -> int:
        """How many are asked for."""
        return len(self.seeds or self.z or self.recipes or range(self.n))


class _Way(LatentParameters, OutputParameters):
    """A path through latent space."""

    seeds: SeedList | None = None
    frames: Frames | None = None
    mode: WayMode | None = None
    loop: Loop = False
    ease: EaseName = "linear"
    fps: Fps = 20
    format: PathFormat | None = None

    @property
    def stops(self) -> int:
        """How many pictures it leads through."""
        return len(self.seeds or ())

    @model_validator(mode="after")
    def _frames_reach_every_stop(self) -> Self:
        if self.frames is not None and self.frames < self.stops:
            high, what = in_force.get().max_frames, "seed" if self.seeds else "recipe"
            raise refusal(
                f"frames: a whole number from {self.stops} (one a {what}) to {high} is wanted"
            )
        return self

    def frame_count(self) -> int:
        """Returns as many as asked for, else so many from each picture to the next, as allowed."""
        ways = self.stops - (not self.loop)
        most = in_force.get().max_frames
        return self.frames or min(most, FRAMES_A_KEY * ways + (not self.loop))


class InterpolateQuery(_Query, _Way):
    """A query string of /interpolate."""

    seeds: SeedList


class InterpolateBody(_Way):
    """A JSON body of /interpolate: a path through seeds, or through recipes."""

    recipes: Stops | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.seeds is None) is (self.recipes is None):
            raise refusal("one of seeds and recipes is wanted")
        return self

    @property
    def stops(self) -> int:
        """How many pictures it leads through."""
        return len(self.seeds or self.recipes or ())


class PlaneQuery(_Query, LatentParameters, OutputParameters):
    """A query string of /plane: a blend between four corners."""

    seeds: Corners
    columns: Side = 5
    rows: Side = 5
    x: Share = 0.0
    y: Share = 0.0
    size: Share = 1.0
    mode: PlaneMode | None = None
    format: StillFormat | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if max(self.x, self.y) + self.size > 1:
            raise refusal("x + size and y + size: 1 at most is wanted; the plane ends there")
        most = in_force.get().max_pictures
        if self.columns * self.rows > most:
            raise refusal(f"columns times rows: {most} at most is wanted")
        return self


class ModelQuery(_Query):
    """A query string that only says which generator."""

    model: Model | None = None
    class_: Annotated[ClassName | None, Field(alias="class")] = None


Classifier = Annotated[
    str,
    Form(
        "[a-z0-9][a-z0-9_-]{0,63}(@[0-9a-f]{12})?",
        "a name or name@hash that /classifiers lists",
    ),
    Field(
        description="Which classifier, by name or by name@hash; by default that of the generator's "
        "data. Of what is uploaded, that of the first generator's, else the first.",
    ),
]
TopK = Annotated[
    int,
    Whole(1, MAX_CLASSES),
    Field(description="Classes in the answer at most, the most probable first."),
]
ScoreFunction = Annotated[
    ScoreName,
    Field(description="What makes scores of logits; none: they are the logits."),
]


class ClassifyParameters(_Parameters):
    """How pictures are classified, and what is told of it."""

    classifier: Classifier | None = None
    top_k: TopK = 5
    function_to_apply: ScoreFunction = "softmax"


class ClassifyQuery(_Query, ClassifyParameters, LatentParameters, Named):
    """A query string of /classify: one picture as in /generate."""

    texts = _Query.texts | {"classifier", "function_to_apply"}

    mix: Mix | None = None
    z: Vector | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.first_seed, self.mix, self.z)) > 1:
            raise refusal("one of seed or name, mix and z is wanted")
        return self


class UploadQuery(_Query, ClassifyParameters):
    """A query string of /classify with a picture in the body."""

    texts = ClassifyQuery.texts


class ClassifyBody(_Parameters):
    """A JSON body of /classify, as clients of the Hugging Face Hub send it."""

    inputs: Annotated[
        str,
        Field(
            description="A picture file in base64.",
            json_schema_extra={"contentEncoding": "base64"},
        ),
    ]
    parameters: Annotated[
        ClassifyParameters | None, Field(description="As in the query; each in one of the two.")
    ] = None


class PreviewQuery(_Query, OutputParameters):
    """A query string of a direction's preview."""

    seed: Seed = 0
    steps: Annotated[int, Whole(2, "max_side"), Field(description="Pictures from end to end.")] = 7


class ProjectQuery(ModelQuery):
    """A query string of /project."""

    steps: Annotated[int, Whole(1, MOST_STEPS), Field(description="Of the search.")] = 400


class NoQuery(_Query):
    """The query string of what has no parameters."""
