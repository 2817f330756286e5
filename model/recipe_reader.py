"""Reads recipes back: from the words that a picture's file holds to the picture request.

    read_recipe(file) -> words -> from_words -> PictureRequest

Nothing in the words is trusted: they may come out of any file.
"""

from collections.abc import Mapping
from typing import Any, get_args

from model.encoding.formats import LARGEST_SCALE
from model.generator_file import GeneratorFile
from model.latent_space.latents import SEED_LIMIT
from model.picture_request import (
    Changes,
    Mix,
    Output,
    PictureRequest,
    Place,
    Resample,
    Seeds,
    Source,
    Vector,
    one_seed,
)
from model.recipes import RecipeError, Words, read_mix

MOST_PICTURES = 4096  # on one sheet
MOST_PORTIONS = 1024  # seeds in a mix
CORNERS = 4  # seeds of a plane
FURTHEST = 10.0  # value of a latent


def from_words(file: GeneratorFile, words: Mapping[str, Any]) -> PictureRequest:
    """Reads the recipe of one picture or of a sheet of seeds: the inverse of
    `PictureRequest.words`.

    Raises:
        RecipeError: it is of another generator, of no kind that is known, or out of bounds.
    """
    config, rest = file.config, dict(words)
    scale = _whole(rest, "scale", 1, LARGEST_SCALE, 1)
    output = Output(scale, _choice(rest, "resample", get_args(Resample)) or "nearest")
    ours = output.model(config)
    if (model := rest.pop("model", ours)) != ours:
        raise RecipeError(f"model: the recipe is of {model!a:.80}; this is {ours}")
    source = _source(rest)
    truncation = _number(rest, "truncation", 0, 1, 1.0)
    changes = Changes.read(config, _text(rest, "class"), truncation, _text(rest, "edit"))
    _check_empty(rest)
    return PictureRequest(source, changes, output.checked(file))


def _source(words: Words) -> Source:
    if (mix := _text(words, "mix")) is not None:
        portions = read_mix(mix)
        if len(portions) > MOST_PORTIONS or max(portions)[0] >= SEED_LIMIT:
            raise RecipeError(f"mix: up to {MOST_PORTIONS} seeds below {SEED_LIMIT} are wanted")
        return Mix(portions)
    if "z" in words:
        z = _list(words, "z")
        return Vector([_number({"z": value}, "z", -FURTHEST, FURTHEST) for value in z])
    if "plane" in words:
        return _place(words.pop("plane"))
    first = _whole(words, "seed", 0, SEED_LIMIT - 1)
    count = _whole(words, "n", 1, min(MOST_PICTURES, SEED_LIMIT - first), 1)
    columns = _whole(words, "columns", 1, count, 0)
    return Seeds(range(first, first + count), columns) if count > 1 else one_seed(first)


def _place(place: Any) -> Place:
    if not isinstance(place, Mapping):
        raise RecipeError("plane: an object is wanted")
    rest = dict(place)
    seeds = [_whole({"seeds": seed}, "seeds", 0, SEED_LIMIT - 1) for seed in _list(rest, "seeds")]
    if len(seeds) != CORNERS:
        raise RecipeError(f"seeds: {CORNERS} are wanted")
    x, y = _number(rest, "x", 0, 1), _number(rest, "y", 0, 1)
    mode = _choice(rest, "mode", ("lerp", "slerp"))
    _check_empty(rest)
    return Place(seeds, x, y, mode)


def _number(words: Words, name: str, low: float, high: float, default: float | None = None) -> Any:
    value = words.pop(name, default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not (value == default or low <= value <= high):
        raise RecipeError(f"{name}: a number from {low} to {high} is wanted")
    return value


def _whole(words: Words, name: str, low: int, high: int, default: int | None = None) -> int:
    value = _number(words, name, low, high, default)
    if value != int(value):
        raise RecipeError(f"{name}: a whole number is wanted")
    return int(value)


def _text(words: Words, name: str) -> str | None:
    value = words.pop(name, None)
    if value is not None and not isinstance(value, str):
        raise RecipeError(f"{name}: a text is wanted")
    return value


def _choice(words: Words, name: str, allowed: tuple[str, ...]) -> Any:
    value = words.pop(name, None)
    if value is not None and value not in allowed:
        raise RecipeError(f"{name}: one of {', '.join(allowed)} is wanted")
    return value


def _list(words: Words, name: str) -> list[Any]:
    value = words.pop(name, None)
    if not isinstance(value, list):
        raise RecipeError(f"{name}: a list is wanted")
    return value


def _check_empty(rest: Words) -> None:
    if rest:
        raise RecipeError(
            f"recipe: nothing is known of {', '.join(sorted(map(ascii, rest)))[:200]}"
        )
