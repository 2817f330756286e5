"""A way through whole pictures: it meets each of them, and between them it is the way of seeds."""

import io
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from model.encoding.marking import read_recipe
from tests.conftest import write_tiny_generator, write_tiny_residual
from tests.services import problem_of

Z = [0.5, -1.25, 0, 0.1, 2, -0.3, 0.7, 1]
PLANE = {"seeds": [1, 2, 3, 4], "x": 0.3, "y": 0.6}
RECIPES: list[dict[str, Any]] = [
    {"seed": 3},
    {"seed": 3, "truncation": 0.25},
    {"seed": 8, "class": "dog", "edit": "d0:0.5,d1:-0.5"},
    {"mix": "3:1,8:-1,5:1", "class": "red panda"},
    {"mix": [{"seed": 7}, {"seed": 9, "weight": 0.5}], "truncation": 0.5},
    {"z": Z, "class": "cat", "edit": "d0:-0.25"},
    {"plane": PLANE, "edit": "d1:0.5"},
    {"plane": PLANE | {"mode": "lerp"}, "class": "dog", "truncation": 0.75},
    {"seed": "ada"},
]


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = write_tiny_residual(tmp_path_factory.mktemp("generators") / "pets")
    other = write_tiny_generator(folder.parent / "tiny")
    settings = Settings(generator=str(folder), models=(str(other),), device="cpu")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def posted(client: TestClient, path: str, **body: Any) -> bytes:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    content: bytes = answer.content
    return content


def frames(client: TestClient, **body: Any) -> np.ndarray:
    """Returns the frames of a way, (N, H, W, C)."""
    found: np.ndarray = np.load(io.BytesIO(posted(client, "/interpolate", format="npy", **body)))
    return found


def pictures(client: TestClient, recipes: list[dict[str, Any]], **body: Any) -> np.ndarray:
    content = posted(client, "/generate", recipes=recipes, format="npy", **body)
    found: np.ndarray = np.load(io.BytesIO(content))
    return found


@pytest.mark.parametrize("mode", ["lerp", "slerp", "spline"])
@pytest.mark.parametrize("loop", [True, False])
def test_way_meets_the_very_pictures_of_its_recipes(
    pets: TestClient, mode: str, loop: bool
) -> None:
    count = len(RECIPES)
    found = frames(pets, recipes=RECIPES, frames=4 * count - 3 * (not loop), mode=mode, loop=loop)
    assert np.array_equal(found[::4], pictures(pets, RECIPES))
    for one, other in pairwise(found):
        assert not np.array_equal(one, other)


def test_ends_are_what_each_picture_is_by_itself(pets: TestClient) -> None:
    first, last = frames(pets, recipes=[RECIPES[6], RECIPES[3]], frames=2)
    place = "seeds=1,2,3,4&x=0.3&y=0.6&size=0&columns=1&rows=1&edit=d1:0.5"
    for frame, path in (
        (first, f"/plane.npy?{place}"),
        (last, "/generate.npy?mix=3:1,8:-1,5:1&class=red+panda"),
    ):
        assert np.array_equal(frame, np.load(io.BytesIO(pets.get(path).content)))


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"mode": "spline", "loop": True, "ease": "in-out"},
        {"truncation": 0.5, "edit": "d0:0.5", "class": "dog", "mode": "lerp"},
    ],
)
def test_way_of_plain_recipes_is_the_way_of_their_seeds(
    pets: TestClient, words: dict[str, Any]
) -> None:
    seeds = [3, 8, 5]
    by_recipes = frames(pets, recipes=[{"seed": seed} for seed in seeds], frames=12, **words)
    assert np.array_equal(by_recipes, frames(pets, seeds=seeds, frames=12, **words))


def test_recipe_goes_before_the_body(pets: TestClient) -> None:
    body: dict[str, Any] = {"class": "dog", "truncation": 0.5, "edit": "d0:0.5"}
    recipes: list[dict[str, Any]] = [
        {"seed": 3},
        {"seed": 3, "class": "cat", "truncation": 1},
        {"mix": "3", **body},
    ]
    found = frames(pets, recipes=recipes, frames=3, **body)
    assert np.array_equal(found, pictures(pets, recipes, **body))
    plain = pets.get("/generate.npy", params={"seed": 3, **body})
    assert np.array_equal(found[0], np.load(io.BytesIO(plain.content)))


@pytest.mark.parametrize("format", ["webp", "apng", "strip"])
def test_recipe_in_the_file_asks_for_that_file_again(pets: TestClient, format: str) -> None:
    body = {"recipes": RECIPES, "frames": 9, "scale": 2, "truncation": 0.5, "format": format}
    first = pets.post("/interpolate", json=body)
    assert first.headers["Cache-Control"] == "no-store"
    assert first.headers["Image-Seed"] == "3"
    recipe = read_recipe(first.content)
    assert recipe is not None
    assert recipe["recipes"][3] == {"mix": "3:1,8:-1,5:1", "class": "red panda", "truncation": 0.5}
    again = pets.post("/interpolate", json=recipe | {"format": format})
    assert again.content == first.content
    assert 'filename="pets-3-3-8-mix-mix-z-plane-plane-' in first.headers["Content-Disposition"]


def test_way_whose_recipe_is_too_long_for_a_file_is_drawn(pets: TestClient) -> None:
    seeds = range(2**63 - 32, 2**63)
    mix = ",".join(f"{seed}:0.0625" for seed in seeds)
    content = posted(pets, "/interpolate", recipes=[{"mix": mix}] * 32, frames=32)
    assert content[:4] == b"RIFF"
    assert read_recipe(content) is None


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "one of seeds and recipes"),
        ({"seeds": None}, "one of seeds and recipes"),
        ({"seeds": [1, 2], "recipes": [{"seed": 1}, {"seed": 2}]}, "one of seeds and recipes"),
        ({"recipes": [{"seed": 1}]}, "recipes: 2 to 32 entries"),
        ({"recipes": [{"seed": 1}] * 33}, "recipes: 2 to 32 entries"),
        ({"recipes": [{}] * 2}, "one of seed, name, z, mix and plane"),
        ({"recipes": [{"seed": 1}] * 3, "frames": 2}, "from 3 (one a recipe) to 256"),
        ({"recipes": [{"seed": 1}, {"seed": 2, "class": "bird"}]}, "pets has cat"),
        ({"recipes": [{"seed": 1}, {"seed": 2, "edit": "d9:1"}]}, "d0 to d7"),
        ({"recipes": [{"seed": 1}, {"z": [0.5]}]}, "recipes.1.z has 1 values"),
        ({"recipes": [{"seed": 1}, {"z": Z}]}, "recipes.1.z: pets has classes"),
        ({"recipes": [{"seed": 1}, {"mix": "1:1,1:-1"}]}, "recipes.1.mix: pets has classes"),
        ({"recipes": [{"seed": 1}, {"mix": "1:11"}]}, "each weight from -10 to 10"),
        ({"recipes": [{"seed": 1}, {"seed": 2, "model": "tiny"}]}, "unknown parameter"),
    ],
)
def test_way_that_cannot_be_is_refused(pets: TestClient, body: dict[str, Any], word: str) -> None:
    assert word in problem_of(pets.post("/interpolate", json=body), 422)["detail"]


def test_query_takes_seeds_alone(pets: TestClient) -> None:
    problem = problem_of(pets.get("/interpolate?recipes=1,2"), 422)
    assert "unknown parameter" in problem["detail"]
