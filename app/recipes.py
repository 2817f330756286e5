"""Parameters as recipes: the words that make a picture again, without defaults.

parameters -> recipe -> text in the file, ETag, permanent URL, name
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from app.schemas import LatentParameters, OutputParameters, Recipe
from model.recipes import Changes, Words


def latent_words(parameters: LatentParameters | Recipe) -> Words:
    """What is done to a latent: class, truncation and edits, as far as anything is."""
    truncation, edit = parameters.truncation, parameters.edit
    return Changes(
        parameters.class_,
        1 if truncation is None else truncation,
        {} if edit is None else edit.steps,
    ).words()


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
