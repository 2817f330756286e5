"""One owner of which picture is asked for: recipes are read back, and nothing else is believed."""

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from model.encoding.marking import read_recipe
from model.generator_file import read_generator_file
from model.picture_request import Changes, Output, PictureRequest, one_seed, rows_of
from model.pretrained import PretrainedGenerator
from model.recipe_reader import from_words
from model.recipes import RecipeError
from tests.conftest import write_tiny_residual

PLACE = {"seeds": [1, 2, 3, 4], "x": 0.25, "y": 1}
RECIPES: list[dict[str, Any]] = [
    {"seed": 7},
    {"seed": 2**63 - 1, "class": "dog", "truncation": 0.5, "edit": "d0:1,d3:-0.5"},
    {"seed": 3, "n": 5, "columns": 2, "class": "cat", "scale": 2},
    {"seed": 3, "scale": 3, "resample": "lanczos"},
    {"mix": "3:1,8:-0.5,5:1e-05", "class": "cat"},
    {"mix": "3:1,8:0.25"},
    {"z": [0.5, -1, 0.25, 0, 1, 2, -2, 0.1], "class": "red panda", "truncation": 0.5},
    {"plane": PLACE, "class": "dog"},
    {"plane": PLACE | {"mode": "lerp"}, "edit": "d1:1"},
]


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> PretrainedGenerator:
    return PretrainedGenerator(write_tiny_residual(tmp_path_factory.mktemp("pets")), device="cpu")


@pytest.mark.parametrize("words", RECIPES, ids=str)
def test_recipe_is_read_back(pets: PretrainedGenerator, words: dict[str, Any]) -> None:
    whole = {"model": pets.config.id, **words}
    assert from_words(pets.file, json.loads(json.dumps(whole))).words(pets.config) == whole


@pytest.mark.parametrize(
    "query",
    [
        {"seed": 7, "scale": 2},
        {"seed": 7, "n": 3, "columns": 3, "truncation": 0.5},
        {"mix": "1:1,2:1", "edit": "d0:0.5", "scale": 2, "resample": "lanczos"},
    ],
    ids=str,
)
def test_python_draws_what_the_service_drew(
    client: TestClient, generator_folder: Path, query: dict[str, Any]
) -> None:
    content = client.get(f"/generate.png?{urlencode(query)}").content
    recipe = read_recipe(content)
    assert recipe is not None
    drawn = PretrainedGenerator(generator_folder, device="cpu").draw(recipe)
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(drawn[..., 0], np.asarray(image))


@pytest.mark.parametrize("mix", ["1:1,2:-1", "1:0", "1:2,2:-1,3:-1", "1:1,2:1", "5:-10"])
def test_mix_with_a_chosen_class_has_that_class_and_is_finite(
    pets: PretrainedGenerator, mix: str
) -> None:
    request = from_words(pets.file, {"mix": mix, "class": "dog"})
    rows: Any = request.rows(pets.file)
    assert np.isfinite(rows).all()
    assert rows[0, pets.config.network.z_dim :].tolist() == [
        float(name == "dog") for name in pets.config.classes
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param({}, "seed: a number", id="nothing"),
        pytest.param({"seed": -1}, "seed: a number from 0", id="negative-seed"),
        pytest.param({"seed": 1.5}, "seed: a whole number", id="half-a-seed"),
        pytest.param({"seed": True}, "seed: a number", id="flag"),
        pytest.param({"seed": "7"}, "seed: a number", id="text"),
        pytest.param({"seed": float("nan")}, "seed: a number", id="nan"),
        pytest.param({"seed": 1, "n": 10**9}, "n: a number from 1 to 4096", id="many"),
        pytest.param({"seed": 2**63 - 1, "n": 2}, "n: a number from 1 to 1 ", id="beyond"),
        pytest.param({"seed": 1, "n": 2, "columns": 3}, "columns: a number", id="columns"),
        pytest.param({"seed": 1, "scale": 17}, "scale: a number from 1 to 16", id="scale"),
        pytest.param({"seed": 1, "scale": 2, "resample": "x"}, "resample: one of", id="resample"),
        pytest.param({"seed": 1, "truncation": 2}, "truncation: a number", id="truncation"),
        pytest.param({"seed": 1, "class": 3}, "class: a text", id="class-number"),
        pytest.param({"seed": 1, "class": "bird"}, "class: pets0 has", id="class"),
        pytest.param({"seed": 1, "edit": "d9:1"}, "edit: no direction d9", id="edit"),
        pytest.param({"seed": 1, "mirror": True}, "recipe: nothing is known of 'mirror'", id="new"),
        pytest.param(
            {"seed": 1, "model": "x@0123"}, "model: the recipe is of 'x@0123'", id="other"
        ),
        pytest.param({"mix": "a"}, "mix: 'a'", id="mix"),
        pytest.param({"mix": f"{2**63}:1"}, "mix: up to 1024 seeds below", id="mix-seed"),
        pytest.param({"mix": ",".join(["1"] * 1025)}, "mix: up to 1024", id="mix-many"),
        pytest.param({"z": 3}, "z: a list", id="z"),
        pytest.param({"z": [11]}, "z: a number from -10", id="z-far"),
        pytest.param({"plane": 3}, "plane: an object", id="plane"),
        pytest.param({"plane": {"seeds": [1], "x": 0, "y": 0}}, "seeds: 4", id="plane-corners"),
        pytest.param({"plane": PLACE | {"mode": "spline"}}, "mode: one of", id="plane-mode"),
        pytest.param({"plane": PLACE | {"v": 1}}, "nothing is known of 'v'", id="plane-word"),
    ],
)
def test_words_that_are_no_recipe_are_refused(
    pets: PretrainedGenerator, words: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RecipeError, match=reason):
        from_words(pets.file, words)


def test_only_a_seed_as_it_is_is_plain() -> None:
    assert PictureRequest(one_seed(7)).is_plain
    assert PictureRequest(one_seed(7), Changes("dog")).is_plain
    assert PictureRequest(one_seed(7), output=Output(1, "lanczos")).is_plain  # it has no effect
    for changes in (Changes(truncation=0.5), Changes("dog", 0.5), Changes(edits={0: 1.0})):
        assert not PictureRequest(one_seed(7), changes).is_plain
    assert not PictureRequest(one_seed(7), output=Output(2)).is_plain


def test_rows_of_many_are_the_rows_of_each(tmp_path: Path) -> None:
    file = read_generator_file(write_tiny_residual(tmp_path / "pets"))
    changes = Changes("dog", 0.5, {1: 0.5})
    alike = [PictureRequest(one_seed(seed), changes) for seed in (3, 1, 2)]
    each = np.concatenate([one.source.rows(file, one.changes) for one in alike])
    assert np.array_equal(rows_of(file, alike), each)
    other = [*alike, PictureRequest(one_seed(4), Changes("cat"))]
    assert np.array_equal(rows_of(file, other)[:3], each)
    assert np.array_equal(rows_of(file, other)[3:], Changes("cat").rows(file, [4]))
