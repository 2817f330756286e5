"""What a picture is, in words: enough to make it again, and the same words for the same picture.

"0-35,77" -> seeds     "d0:1.5,d3:-2" -> edits     "red panda", "2" -> the place of a class
seeds, Changes -> rows (N, z_dim + classes), and the recipe that goes into the file
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.encoding.marking import LONGEST_RECIPE
from model.generator_file import GeneratorConfig, GeneratorFile
from model.latents import SEED_LIMIT

Words = dict[str, Any]  # a recipe, as it travels

MOST_SEEDS = 1_000_000  # in one list
MANY_CLASSES = 20  # so many are named in a refusal
EDIT = re.compile(r"d([0-9]{1,2}):(-?(?:100|[0-9]{1,2}(?:\.[0-9]{1,6})?))")
SPAN = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")


class RecipeError(Exception):
    """What is asked of a generator cannot be drawn; the message says what can."""


@dataclass(frozen=True)
class Changes:
    """What is done to a seed's latent, as far as anything is."""

    class_: str | None = None  # its name; none: each seed has its own
    truncation: float = 1.0
    edits: Mapping[int, float] = field(default_factory=dict)  # steps, by the direction's number

    def rows(self, file: GeneratorFile, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Seeds as rows (N, z_dim + classes), their latents truncated and then edited."""
        place = None if self.class_ is None else file.config.classes.index(self.class_)
        return changed(file, file.config.rows(seeds, place), self.truncation, self.edits)

    def words(self) -> Words:
        """The part of a recipe that is not the default."""
        words: Words = {}
        if self.class_ is not None:
            words["class"] = self.class_
        if self.truncation != 1:
            words["truncation"] = plain(self.truncation)
        if self.edits:
            steps = sorted(self.edits.items())
            words["edit"] = ",".join(f"d{number}:{plain(step)}" for number, step in steps)
        return words


def checked_changes(
    config: GeneratorConfig, class_: str | None, truncation: float, edit: str | None
) -> Changes:
    """Changes as a person writes them, held against what the generator has.

    Raises:
        RecipeError: it has no such class or direction, or a step is too long for it.
    """
    edits = {} if edit is None else read_edits(edit)
    check_edits(config, edits)
    name = None if class_ is None else config.classes[class_place(config, class_)]
    return Changes(name, truncation, edits)


def changed(
    file: GeneratorFile,
    rows: NDArray[np.float32],
    truncation: float,
    edits: Mapping[int, float],
) -> NDArray[np.float32]:
    """Rows (N, z_dim + classes) anew, their latents truncated and then edited."""
    rows = rows.copy()
    z = rows[:, : file.config.network.z_dim]
    if truncation != 1:
        z *= np.float32(truncation)
    for number, step in sorted(edits.items()):
        z += np.float32(step) * file.directions[number]
    return rows


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
    """The place of a class that is named by its name or by its place.

    Raises:
        RecipeError: there is none.
    """
    classes = config.classes
    if name in classes:
        return classes.index(name)
    if name.isascii() and name.isdecimal() and int(name) < len(classes):
        return int(name)
    if not classes:
        raise RecipeError(f"class: generator {config.name} has no classes")
    shown = ", ".join(classes[:MANY_CLASSES]) + ", ..." * (len(classes) > MANY_CLASSES)
    raise RecipeError(f"class: {config.name} has {shown}, or by number 0 to {len(classes) - 1}")


def read_edits(text: str) -> dict[int, float]:
    """Edits such as d0:1.5,d3:-2.

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


def read_seeds(text: str) -> Sequence[int]:
    """Seeds such as 0-35,77, in their order.

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
    """The recipe as a compact ASCII JSON text; none if it is longer than a file has room for."""
    text = json.dumps(words, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text if len(text) <= LONGEST_RECIPE else None


def vector_words(z: NDArray[np.float32]) -> list[float]:
    """A latent's values, each as short as names its float32."""
    return [float(str(value)) for value in z]


def plain(value: float) -> int | float:
    """5 for 5.0: one number has one name."""
    return int(value) if value == int(value) else value
