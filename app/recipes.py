"""What a picture is, in words: enough to make it again, and the same words for the same picture.

parameters -> recipe (a dict without defaults) -> text in the file, ETag, permanent URL, name
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from app.schemas import Edits, LatentParameters, OutputParameters, Recipe
from model.encoding.marking import LONGEST_RECIPE

Words = dict[str, Any]  # a recipe, as it travels


def recipe_text(words: Words) -> str | None:
    """The recipe as a compact ASCII JSON text; none if it is longer than a file has room for."""
    text = json.dumps(words, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text if len(text) <= LONGEST_RECIPE else None


def latent_words(parameters: LatentParameters | Recipe) -> Words:
    """What is done to a latent: class, truncation and edits, as far as anything is."""
    words: Words = {}
    class_, truncation, edit = parameters.class_, parameters.truncation, parameters.edit
    if class_ is not None:
        words["class"] = class_
    if truncation is not None and truncation != 1:
        words["truncation"] = plain(truncation)
    if edit is not None and edit.steps:
        words["edit"] = edit_words(edit)
    return words


def output_words(parameters: OutputParameters) -> Words:
    """How a picture is enlarged, if it is."""
    words: Words = {"scale": parameters.scale} if parameters.scale > 1 else {}
    if words and parameters.resample != "nearest":
        words["resample"] = parameters.resample
    return words


def edit_words(edit: Edits) -> str:
    """Edits as a query string has them, in the order of the directions."""
    return ",".join(f"d{number}:{plain(step)}" for number, step in edit.steps.items())


def vector_words(z: NDArray[np.float32]) -> list[float]:
    """A latent's values, each as short as names its float32."""
    return [float(str(value)) for value in z]


def plain(value: float) -> int | float:
    """5 for 5.0: one number has one name."""
    return int(value) if value == int(value) else value


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
