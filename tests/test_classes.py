"""A generator with classes, served: a seed's own class, or the one that is asked for, by every
road.
"""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.main import create_app
from app.settings import Settings
from model.encoding.marking import read_recipe
from model.generator_file import read_generator_file
from model.samplers.onnx import OnnxSampler
from tests.conftest import CLASSES, write_tiny_generator, write_tiny_residual


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_residual(tmp_path_factory.mktemp("generators") / "pets")


@pytest.fixture(scope="module")
def pets(folder: Path) -> Iterator[TestClient]:
    other = write_tiny_generator(folder.parent / "tiny")
    settings = Settings(generator=str(folder), models=(str(other),), device="cpu")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def pixels(content: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def drawn(folder: Path, seed: int, class_: int | None = None) -> np.ndarray[Any, Any]:
    """Returns what the generator draws, without the service."""
    file = read_generator_file(folder)
    return OnnxSampler(file)(file.config.rows([seed], class_))[0]


def own_class(folder: Path, seed: int) -> int:
    config = read_generator_file(folder).config
    return int(config.rows([seed])[0, config.network.z_dim :].argmax())


def test_seed_has_its_own_class(pets: TestClient, folder: Path) -> None:
    assert {own_class(folder, seed) for seed in range(12)} == {0, 1, 2}
    for seed in range(4):
        plain = pets.get(f"/generate?seed={seed}")
        assert np.array_equal(pixels(plain.content), drawn(folder, seed))
        chosen = pets.get(f"/generate?seed={seed}&class={own_class(folder, seed)}")
        assert np.array_equal(pixels(chosen.content), pixels(plain.content))


@pytest.mark.parametrize(("name", "place"), [(n, p) for p, n in enumerate(CLASSES)])
def test_class_is_named_or_numbered(pets: TestClient, folder: Path, name: str, place: int) -> None:
    by_name, by_number = (
        pets.get("/generate", params={"seed": 5, "class": text}) for text in (name, str(place))
    )
    assert by_name.status_code == by_number.status_code == 200
    assert by_name.content == by_number.content
    assert by_name.headers["ETag"] == by_number.headers["ETag"]
    assert np.array_equal(pixels(by_name.content), drawn(folder, 5, place))
    recipe = read_recipe(by_name.content)
    assert recipe is not None
    assert recipe["class"] == name
    again = pets.get("/generate", params=recipe)
    assert again.content == by_name.content


def test_every_road_leads_to_the_same_picture(pets: TestClient, folder: Path) -> None:
    wanted = drawn(folder, 3, 1)
    body = {"class": "dog"}
    sheet = pixels(pets.get("/generate?seed=2&n=2&class=dog&columns=2").content)
    assert np.array_equal(sheet[:, 32:], wanted)
    strip = pets.get("/interpolate.png?seeds=3,4&frames=3&class=dog")
    assert np.array_equal(pixels(strip.content)[:, :32], wanted)
    plane = pets.get("/plane.png?seeds=3,4,5,6&class=dog&columns=2&rows=2")
    assert np.array_equal(pixels(plane.content)[:32, :32], wanted)
    for source in (
        {"seeds": "3"},
        {"recipes": [{"seed": 3}]},
        {"recipes": [{"mix": [{"seed": 3}]}]},
    ):
        answer = pets.post("/generate", json={**body, **source, "format": "zip"})
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            (name,) = [n for n in archive.namelist() if n.endswith(".png")]
            assert np.array_equal(pixels(archive.read(name)), wanted)
    z = pets.get("/latents/3.json?class=dog").json()
    assert z["class"] == "dog"
    answer = pets.post("/generate", json={"z": [z["z"]], "class": "dog", "format": "png"})
    assert np.array_equal(pixels(answer.content), wanted)


def test_recipes_class_goes_before_the_bodys(pets: TestClient, folder: Path) -> None:
    body = {"class": "dog", "recipes": [{"seed": 1}, {"seed": 1, "class": "0"}], "format": "npy"}
    found = np.load(io.BytesIO(pets.post("/generate", json=body).content))
    assert np.array_equal(found, [drawn(folder, 1, 1), drawn(folder, 1, 0)])


def test_mix_takes_classes_by_their_weight(pets: TestClient, folder: Path) -> None:
    """1 a - 1 b + 1 c, where a and b are of one class, is of the class of c."""
    config = read_generator_file(folder).config
    first = [own_class(folder, seed) for seed in range(40)]
    a = first.index(0)
    b = first.index(0, a + 1)
    c = first.index(2)
    mix = [{"seed": a}, {"seed": b, "weight": -1}, {"seed": c}]
    body = {"recipes": [{"mix": mix}], "format": "npy"}
    found = np.load(io.BytesIO(pets.post("/generate", json=body).content))
    rows = config.rows([a, b, c])
    row = rows[:1] - rows[1:2] + rows[2:3]
    assert row[0, config.network.z_dim :].argmax() == 2
    file = read_generator_file(folder)
    assert np.abs(found.astype(int) - OnnxSampler(file)(row)).max() <= 1


def test_directions_and_truncation_leave_the_class_alone(pets: TestClient, folder: Path) -> None:
    answer = pets.get("/generate?seed=3&class=dog&truncation=0.5&edit=d0:0.5")
    file = read_generator_file(folder)
    row = file.config.rows([3], 1)
    z = row[:, : file.config.network.z_dim]
    z *= np.float32(0.5)
    z += np.float32(0.5) * file.directions[0]
    assert np.array_equal(pixels(answer.content), OnnxSampler(file)(row)[0])
    preview = pets.get("/models/pets/directions/d0.png?seed=3")
    assert preview.status_code == 200


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ("/generate?seed=1&class=bird", "class: pets has cat, dog, red panda, or by number 0 to 2"),
        ("/generate?seed=1&class=3", "by number 0 to 2"),
        ("/generate?seed=1&class=-1", "by number 0 to 2"),
        ("/generate?seed=1&class=٢", "by number 0 to 2"),
        ("/generate?seed=1&class=Cat", "pets has cat"),
        ("/interpolate?seeds=1,2&class=bird", "pets has cat"),
        ("/plane?seeds=1,2,3,4&class=bird", "pets has cat"),
        ("/latents/1.json?class=bird", "pets has cat"),
        ("/generate?seed=1&model=tiny&class=0", "class: generator tiny has no classes"),
        ("/latents/1.json?model=tiny&class=0", "class: generator tiny has no classes"),
    ],
)
def test_class_that_is_not_there_is_refused(pets: TestClient, request_: str, word: str) -> None:
    answer = pets.get(request_)
    assert answer.status_code == 422
    assert word in answer.text


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"z": [[0.0] * 8], "format": "png"}, "z: pets has classes, so say which, such as 'cat'"),
        ({"recipes": [{"z": [0.0] * 8}], "format": "zip"}, "recipes.0.z: pets has classes"),
        (
            {"recipes": [{"mix": [{"seed": 1}, {"seed": 1, "weight": -1}]}], "format": "zip"},
            "mix: pets has classes, so say which",
        ),
        ({"recipes": [{"seed": 1, "class": "bird"}], "format": "zip"}, "pets has cat"),
    ],
)
def test_body_that_leaves_the_class_open_is_refused(
    pets: TestClient, body: dict[str, Any], word: str
) -> None:
    answer = pets.post("/generate", json=body)
    assert answer.status_code == 422
    assert word in answer.text


def test_card_names_the_classes(pets: TestClient) -> None:
    assert pets.get("/models/pets").json()["classes"] == list(CLASSES)
    assert pets.get("/models/tiny").json()["classes"] == []


def test_way_between_classes_meets_both_ends(pets: TestClient, folder: Path) -> None:
    first = [own_class(folder, seed) for seed in range(20)]
    a, b = first.index(0), first.index(2)
    strip = pixels(pets.get(f"/interpolate.png?seeds={a},{b}&frames=5").content)
    assert np.array_equal(strip[:, :32], drawn(folder, a))
    assert np.array_equal(strip[:, -32:], drawn(folder, b))
