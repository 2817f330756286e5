"""Seeds, edits and classes as a person writes them, and what becomes of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from model.generator_file import read_generator_file
from model.picture_request import Changes
from model.recipes import (
    MOST_SEEDS,
    RecipeError,
    read_edits,
    read_seeds,
    recipe_text,
    vector_words,
)
from tests.conftest import write_tiny_generator, write_tiny_residual

LAST = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", [7]),
        ("0-3,77", [0, 1, 2, 3, 77]),
        ("5, 1-2 ,5", [5, 1, 2, 5]),
        ("4-4", [4]),
        (f"{LAST - 1}-{LAST}", [LAST - 1, LAST]),
        ("007", [7]),
    ],
)
def test_seeds_are_read_in_their_order(text: str, seeds: list[int]) -> None:
    assert list(read_seeds(text)) == seeds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is none"),
        ("1,,2", "'' is none"),
        ("-1", "'-1' is none"),
        ("1-", "'1-' is none"),
        ("ada", "'ada' is none"),
        ("1.5", "'1.5' is none"),
        ("٣", "is none"),
        ("9" * 40, "is none"),
        (str(LAST + 1), "out of bounds"),
        (f"0-{LAST + 1}", "out of bounds"),
        ("5-3", "ranges upwards"),
        (f"0-{MOST_SEEDS}", "too many at once; allowed: up to 1,000,000"),
        (f"0-{LAST}", "too many at once"),
        (f"1,0-{MOST_SEEDS - 1}", "too many at once"),
    ],
)
def test_text_that_is_no_seeds_is_refused(text: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        read_seeds(text)


def test_edits_are_steps_by_direction() -> None:
    assert read_edits("d0:1.5,d3:-2") == {0: 1.5, 3: -2.0}


@pytest.mark.parametrize(
    "text", ["", "d0", "d0:", "0:1", "d0:1,d0:2", "d0:nan", "d0:1e3", "d0:101"]
)
def test_text_that_is_no_edits_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="edits such as"):
        read_edits(text)


def test_changes_move_the_latents_and_leave_the_classes(tmp_path: Path) -> None:
    file = read_generator_file(write_tiny_residual(tmp_path / "pets"))
    changes = Changes.read(file.config, "red panda", 0.5, "d1:-0.5,d0:0.25")
    found, plain = changes.rows(file, [3, 4]), file.config.rows([3, 4], 2)
    z = plain[:, :8] * np.float32(0.5)
    z = z + np.float32(0.25) * file.directions[0] + np.float32(-0.5) * file.directions[1]
    assert np.array_equal(found[:, :8], z)
    assert np.array_equal(found[:, 8:], plain[:, 8:])
    assert changes.words() == {"class": "red panda", "truncation": 0.5, "edit": "d0:0.25,d1:-0.5"}
    assert Changes.read(file.config, "2", 1.0, None).words() == {"class": "red panda"}
    assert np.array_equal(Changes().rows(file, [3]), file.config.rows([3]))
    assert Changes().words() == {}


@pytest.mark.parametrize(
    ("class_", "edit", "reason"),
    [
        ("bird", None, "class: pets has cat, dog, red panda, or by number 0 to 2"),
        ("3", None, "by number 0 to 2"),
        (None, "d8:1", "no direction d8; pets has: d0 to d7"),
        (None, "d0:50", "takes a step from -1.4 to 1.4"),
    ],
)
def test_what_the_generator_does_not_have_is_refused(
    tmp_path: Path, class_: str | None, edit: str | None, reason: str
) -> None:
    config = read_generator_file(write_tiny_residual(tmp_path / "pets")).config
    with pytest.raises(RecipeError, match=reason):
        Changes.read(config, class_, 1.0, edit)


def test_generator_without_classes_has_none_to_ask_for(tmp_path: Path) -> None:
    config = read_generator_file(write_tiny_generator(tmp_path / "tiny")).config
    with pytest.raises(RecipeError, match="generator tiny has no classes"):
        Changes.read(config, "0", 1.0, None)


def test_vector_in_words_is_the_very_vector() -> None:
    z = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    assert np.array_equal(np.array(json.loads(json.dumps(vector_words(z))), np.float32), z)


def test_recipe_that_is_too_long_for_a_file_is_left_out() -> None:
    assert recipe_text({"model": "ä", "seed": 1}) == '{"model":"\\u00e4","seed":1}'
    assert recipe_text({"z": [0.1] * 4000}) is None
