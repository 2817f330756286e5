"""Reads picture requests out of parameters, whichever way a client names its pictures.

query string | body -> source, changes, output -> PictureRequest, held against the generator
"""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

from app.parameters.schemas import (
    ClassifyQuery,
    GenerateBody,
    LatentParameters,
    OutputParameters,
    Recipe,
    SheetParameters,
)
from model.generator_file import GeneratorFile
from model.picture_request import (
    DEFAULT_CHANGES,
    OUTPUT_DEFAULTS,
    Changes,
    Mix,
    Output,
    PictureRequest,
    Place,
    Seeds,
    Source,
    Vector,
    one_seed,
)
from model.recipes import RecipeError

_output = attrgetter(*OUTPUT_DEFAULTS)  # in the order of the fields of `Output`
RANDOM_SEEDS = 2**32  # a random seed is below, and so is a sheet of them


@contextmanager
def located(where: str) -> Iterator[None]:
    """Adds to a RecipeError the place of the request that it is about."""
    try:
        yield
    except RecipeError as error:
        raise RecipeError(f"{where}{error}") from None


def read_changes(
    parameters: LatentParameters | Recipe, defaults: Changes = DEFAULT_CHANGES
) -> Changes:
    """Reads what parameters do to latents; what a recipe leaves open is as in `defaults`."""
    class_, truncation, edit = parameters.class_, parameters.truncation, parameters.edit
    return Changes(
        defaults.class_ if class_ is None else class_,
        defaults.truncation if truncation is None else truncation,
        defaults.edits if edit is None else edit,
    )


def read_output(file: GeneratorFile, parameters: OutputParameters, model: str | None) -> Output:
    """Reads what parameters do to pixels of a generator that the client calls `model`.

    Raises:
        RecipeError: the generator cannot do it, or `model` names its hash and not its upscaler's:
        another day another upscaler would answer.
    """
    output, config = Output(*_output(parameters)), file.config
    if output.resample != "learned":
        return output
    if output.checked(file).upscale > 1 and model == config.id:
        raise RecipeError(
            f"model: {config.id} does not say which upscaler; allowed: {config.upscaled_id}, or "
            f"{config.name} for the one of today"
        )
    return output


def read_source(named: SheetParameters | ClassifyQuery | Recipe) -> Source | None:
    """Reads where a single picture comes from; None where no seed or the like is given."""
    if (mix := named.mix) is not None:
        return Mix(mix)
    if (z := getattr(named, "z", None)) is not None:
        return Vector(z)
    if (place := getattr(named, "plane", None)) is not None:
        return Place(place.seeds, place.x, place.y, place.mode)
    return None if named.first_seed is None else one_seed(named.first_seed)


def read_picture(file: GeneratorFile, parameters: SheetParameters) -> tuple[PictureRequest, bool]:
    """Reads the picture of one source, or a sheet of a seed and those that follow, and whether the
    client has named it: if not, the seed is a random one.

    Raises:
        RecipeError: it cannot be generated.
    """
    changes, output = read_changes(parameters), read_output(file, parameters, parameters.model)
    source = read_source(parameters)
    named = source is not None
    if source is None or isinstance(source, Seeds):
        n = parameters.n
        first = secrets.randbelow(RANDOM_SEEDS - n + 1) if source is None else source.seed
        source = Seeds(range(first, first + n), parameters.columns)
    return PictureRequest(source, changes, output).checked(file), named


def read_one(file: GeneratorFile, parameters: ClassifyQuery) -> tuple[PictureRequest, bool]:
    """Reads the picture of one source, and whether the client has named it, as `read_picture` does.

    Raises:
        RecipeError: it cannot be generated.
    """
    source = read_source(parameters)
    named = source is not None
    source = source or one_seed(secrets.randbelow(RANDOM_SEEDS))
    return PictureRequest(source, read_changes(parameters)).checked(file), named


def read_recipes(
    file: GeneratorFile, recipes: Sequence[Recipe], defaults: Changes, output: Output
) -> list[PictureRequest]:
    """Reads the pictures of a body's recipes; what one leaves open is as in `defaults`.

    Raises:
        RecipeError: one of them cannot be generated.
    """
    requests = []
    for index, recipe in enumerate(recipes):
        source = read_source(recipe)
        assert source is not None
        with located(f"recipes.{index}."):
            picture = PictureRequest(source, read_changes(recipe, defaults), output)
            requests.append(picture.checked(file))
    return requests


@dataclass(frozen=True)
class Listed:
    """Pictures that a body lists, each by its place."""

    count: int
    picture: Callable[[int], PictureRequest]


def read_list(file: GeneratorFile, body: GenerateBody) -> Listed | None:
    """Reads the pictures that a body lists; None where it names one source for all.

    Raises:
        RecipeError: one of them cannot be generated.
    """
    changes = read_changes(body).checked(file.config)
    output = read_output(file, body, body.model)
    if body.recipes is not None:
        recipes = read_recipes(file, body.recipes, changes, output)
        return Listed(len(recipes), recipes.__getitem__)
    if (seeds := body.seeds) is not None:
        return Listed(
            len(seeds), lambda place: PictureRequest(one_seed(seeds[place]), changes, output)
        )
    if body.z is None:
        return None
    vectors = [Vector(z) for z in body.z]
    for index, vector in enumerate(vectors):
        with located(f"z.{index}: "):
            vector.check(file, changes)
    return Listed(len(vectors), lambda place: PictureRequest(vectors[place], changes, output))


def url(path: str, words: Mapping[str, Any]) -> str:
    """Returns a path with the recipe as its query string."""
    pairs = {name: _query_value(value) for name, value in words.items()}
    return f"{path}?{urlencode(pairs, safe=':,@')}" if pairs else path


def _query_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(str(entry) for entry in value)
    return str(value)
