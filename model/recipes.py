"""What a picture is, in words: enough to make it again, and the same words for the same picture.

"0-35,77" -> seeds     "d0:1.5,d3:-2" -> edits     "red panda", "2" -> the place of a class
"3:1,8:-1" -> a mix        recipe -> the text that goes into the file
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from model.encoding.marking import LONGEST_RECIPE
from model.generator_file import GeneratorConfig
from model.latent_space.latents import SEED_LIMIT
from model.mistakes import Mistake

Words = dict[str, Any]  # a recipe, as it travels

MOST_SEEDS = 1_000_000  # in one list
MANY_CLASSES = 20  # so many are named in a refusal
EDIT = re.compile(r"d([0-9]{1,2}):(-?(?:100|[0-9]{1,2}(?:\.[0-9]{1,6})?))")
PORTION = re.compile(
    r"([0-9]{1,19})(?::(-?(?:10|[0-9](?:\.[0-9]{1,25})?(?:e-[0-9]{1,3})?)))?"
)  # a seed and its weight in a mix
SPAN = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")


class RecipeError(Mistake):
    """What is asked of a generator cannot be generated; the message says what can."""


def check_edits(config: GeneratorConfig, edits: Mapping[int, float]) -> None:
    """Holds edits against the directions that a generator has.

    Raises:
        RecipeError: there is no such direction, or a step is too long.
    """
    count, reach = config.directions, config.direction_range
    for number, step in edits.items():
        if number >= count:
            last = f"d0 to d{count - 1}" if count else "none"
            raise RecipeError(f"edit: no direction d{number}; {config.name} has: {last}")
        if abs(step) > reach:
            raise RecipeError(f"edit: d{number} takes a step from {-reach:g} to {reach:g}")


def class_place(config: GeneratorConfig, name: str) -> int:
    """Finds the place of a class that is named by its name or by its place.

    Raises:
        RecipeError: there is none.
    """
    classes = config.classes
    if name in classes:
        return classes.index(name)
    if name.isascii() and name.isdecimal() and int(name) < len(classes):
        return int(name)
    composed = [normalize("NFC", known) for known in classes]
    if (spelled := normalize("NFC", name)) in composed:  # as another system writes it
        return composed.index(spelled)
    if not classes:
        raise RecipeError(f"class: generator {config.name} has no classes")
    shown = ", ".join(classes[:MANY_CLASSES]) + ", ..." * (len(classes) > MANY_CLASSES)
    raise RecipeError(f"class: {config.name} has {shown}, or by number 0 to {len(classes) - 1}")


def read_edits(text: str) -> dict[int, float]:
    """Reads edits such as d0:1.5,d3:-2.

    Raises:
        RecipeError: the text is nothing of the kind, or names a direction twice.
    """
    found = [EDIT.fullmatch(part) for part in text.split(",")]
    steps = {int(match[1]): float(match[2]) for match in found if match}
    if len(steps) < len(found):
        raise RecipeError(
            f"edit: {text[:80]!a}; edits such as d0:1.5,d3:-2 are wanted, each direction once"
        )
    return steps


def read_mix(text: str) -> list[tuple[int, float]]:
    """Reads seeds and weights such as 3:1,8:-1,5.

    Raises:
        RecipeError: the text is nothing of the kind.
    """
    found = [PORTION.fullmatch(part) for part in text.split(",")]
    portions = [(int(match[1]), float(match[2] or 1)) for match in found if match]
    if len(portions) < len(found):
        raise RecipeError(f"mix: {text[:80]!a}; seeds with weights such as 3:1,8:-1,5 are wanted")
    return portions


def read_seeds(text: str) -> Sequence[int]:
    """Reads seeds such as 0-35,77, in their order.

    Raises:
        RecipeError: the text is nothing of the kind, a seed is out of bounds, or there are too
        many.
    """
    wanted = f"seeds such as 0-35,77 are wanted, each from 0 to {SEED_LIMIT - 1}"
    spans: list[range] = []
    for part in text.split(","):
        match = SPAN.fullmatch(part.strip())
        if match is None:
            raise RecipeError(f"seeds: {part[:40]!a} is none; {wanted}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < SEED_LIMIT:
            raise RecipeError(f"seeds: {part[:40]!a} is out of bounds; {wanted}, ranges upwards")
        spans.append(range(first, last + 1))
        check_count(sum(span.stop - span.start for span in spans))
    return spans[0] if len(spans) == 1 else [seed for span in spans for seed in span]


def check_count(count: int) -> None:
    """Refuses more seeds than one list may hold.

    Raises:
        RecipeError: there are too many.
    """
    if count > MOST_SEEDS:
        raise RecipeError(f"seeds: {count:,} are too many at once; allowed: up to {MOST_SEEDS:,}")


def recipe_text(words: Words) -> str | None:
    """Writes the recipe as compact ASCII JSON; none if it is longer than a file has room for."""
    text = json.dumps(words, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text if len(text) <= LONGEST_RECIPE else None


def with_seed_texts(words: Words) -> Words:
    """Adds each seed as text: a JSON number beyond 2^53 becomes another one in JavaScript."""
    found: Words = {}
    for name, value in words.items():
        found[name] = with_seed_texts(value) if isinstance(value, dict) else value
        if name == "seed":
            found["seed_text"] = str(value)
        elif name == "seeds":
            found["seeds_text"] = [str(seed) for seed in value]
    return found


def vector_words(z: NDArray[np.float32]) -> list[float]:
    """Returns a latent's values, each in the fewest digits that identify its float32."""
    return [float(str(value)) for value in z]


def plain(value: float) -> int | float:
    """Turns 5.0 into 5: one number has one name."""
    return int(value) if value == int(value) else value
