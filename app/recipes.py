"""Parameters as recipes: the words that make a picture again, without defaults.

parameters -> recipe -> text in the file, ETag, permanent URL, name
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np

from app.schemas import LatentParameters, OutputParameters, Portion, Recipe
from model.recipes import Changes, Words, plain, vector_words


def latent_words(parameters: LatentParameters | Recipe) -> Words:
    """What is done to a latent: class, truncation and edits, as far as anything is."""
    truncation, edit = parameters.truncation, parameters.edit
    return Changes(
        parameters.class_,
        1 if truncation is None else truncation,
        {} if edit is None else edit.steps,
    ).words()


def mix_text(mix: Sequence[Portion]) -> str:
    """A mix as a query string has it, and so a file: 3:1,8:-1."""
    return ",".join(f"{part.seed}:{plain(part.weight)}" for part in mix)


def recipe_words(recipe: Recipe) -> Words:
    """Where a recipe's latent comes from, and what is done to it; without the generator."""
    if recipe.seed is not None:
        source: Words = {"seed": recipe.seed}
    elif recipe.z is not None:
        source = {"z": vector_words(np.array(recipe.z, np.float32))}
    elif recipe.mix is not None:
        source = {"mix": mix_text(recipe.mix)}
    else:
        assert recipe.plane is not None
        place = recipe.plane
        source = {"plane": {"seeds": place.seeds, "x": plain(place.x), "y": plain(place.y)}}
        source["plane"] |= {"mode": place.mode} if place.mode else {}
    return source | latent_words(recipe)


def with_defaults(recipe: Recipe, parameters: LatentParameters) -> Recipe:
    """A recipe of a body: what it leaves open is as the body says."""
    update = {
        "class_": parameters.class_ if recipe.class_ is None else recipe.class_,
        "truncation": parameters.truncation if recipe.truncation is None else recipe.truncation,
        "edit": parameters.edit if recipe.edit is None else recipe.edit,
    }
    return recipe.model_copy(update=update)


def output_words(parameters: OutputParameters) -> Words:
    """How a picture is enlarged, if it is."""
    words: Words = {"scale": parameters.scale} if parameters.scale > 1 else {}
    if words and parameters.resample != "nearest":
        words["resample"] = parameters.resample
    return words


def url(path: str, words: Mapping[str, Any]) -> str:
    """A path with the recipe as its query string."""
    pairs = {name: _query_value(value) for name, value in words.items()}
    return f"{path}?{urlencode(pairs, safe=':,@')}" if pairs else path


def _query_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(str(entry) for entry in value)
    return str(value)
