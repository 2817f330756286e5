"""Several generators at once, their cards and directions; settings of what an answer says."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.engine.loaded_generator import Generators
from app.main import create_app
from app.server.loading import check_names, load
from app.settings import Settings
from model.encoding.marking import read_recipe
from model.generator_file import GeneratorFileError
from model.networks.families.dcgan import DCGANConfig
from tests.conftest import edit_json, write_tiny_generator

COLOUR = DCGANConfig(z_dim=12, resolution=16, channels=3, width=16)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("two")
    tiny = write_tiny_generator(place / "tiny")
    colour = write_tiny_generator(place / "colour", COLOUR, crop=16)
    edit_json(colour / "config.json", name="colour")
    return [tiny, colour]


@pytest.fixture(scope="module")
def client(folders: list[Path]) -> Iterator[TestClient]:
    settings = Settings(generator=str(folders[0]), models=[str(folders[1])], device="cpu")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def test_first_generator_is_the_default_and_each_answers_by_its_name(client: TestClient) -> None:
    listing = client.get("/models").json()
    tiny, colour = (model["id"] for model in listing["models"])
    assert listing["default"] == tiny
    plain, named = client.get("/generate?seed=1"), client.get("/generate?seed=1&model=tiny")
    assert plain.content == named.content
    for name in ("colour", colour):
        answer = client.get("/generate", params={"seed": 1, "model": name})
        assert answer.headers["Image-Model"] == colour
        assert pixels(answer.content).shape == (16, 16, 3)
    assert client.get(f"/i/{colour}/1.png").content == answer.content


def test_card_says_what_a_client_has_to_know(client: TestClient) -> None:
    card = client.get("/models/colour").json()
    facts = {name: card[name] for name in ("name", "width", "channels", "z_dim", "prior")}
    assert facts == {"name": "colour", "width": 16, "channels": 3, "z_dim": 12, "prior": "uniform"}
    assert card["training"]["licence"]
    for url in card["samples"]:
        assert client.get(url).status_code == 200
    assert client.get("/models/nobody").status_code == 404


def test_directions_reach_as_far_as_they_say_and_no_further(client: TestClient) -> None:
    listed = client.get("/models/colour/directions").json()["directions"]
    assert [one["id"] for one in listed] == [f"d{number}" for number in range(8)]
    assert not any("name" in one for one in listed)  # nobody has named them
    low, high = listed[0]["range"]
    asked: dict[str, int | str] = {"seed": 3, "model": "colour"}
    ends = [client.get("/generate", params={**asked, "edit": f"d0:{step}"}) for step in (low, high)]
    assert [end.status_code for end in ends] == [200, 200]
    beyond = client.get("/generate", params={**asked, "edit": f"d0:{high + 0.1}"})
    assert beyond.status_code == 422
    strip = pixels(client.get(listed[0]["preview"] + "?seed=3&steps=5").content)
    assert strip.shape == (16, 5 * 16, 3)
    assert np.array_equal(strip[:, :16], pixels(ends[0].content))
    assert np.array_equal(strip[:, -16:], pixels(ends[1].content))
    assert np.array_equal(strip[:, 32:48], pixels(client.get("/generate", params=asked).content))


def test_truncation_leads_to_the_middle(client: TestClient) -> None:
    middle = {client.get(f"/generate.npy?seed={seed}&truncation=0").content for seed in (1, 2, 3)}
    assert len(middle) == 1
    assert client.get("/generate?seed=1&truncation=1").content == (
        client.get("/generate?seed=1").content
    )


def test_two_generators_of_one_name_are_not_served(folders: list[Path], tmp_path: Path) -> None:
    settings = Settings(device="cpu")
    twins = [
        load(folder, settings) for folder in (folders[0], write_tiny_generator(tmp_path / "x"))
    ]
    with pytest.raises(GeneratorFileError, match=r"two generators are named tiny; .* --name"):
        check_names(Generators(twins))


def test_recipes_stay_out_of_files_where_the_operator_says_so(folders: list[Path]) -> None:
    answers = {}
    for recipes in (True, False):
        settings = Settings(generator=str(folders[0]), device="cpu", recipes=recipes)
        with TestClient(create_app(settings)) as client:
            paths = ("/generate?seed=7", "/generate.webp?seed=7", "/interpolate?seeds=1,2&frames=2")
            answers[recipes] = [client.get(path) for path in paths]
    for told, silent in zip(answers[True], answers[False], strict=True):
        assert read_recipe(told.content) is not None
        assert read_recipe(silent.content) is None
        assert b"trainedAlgorithmicMedia" in silent.content
        assert told.headers["ETag"] != silent.headers["ETag"]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("*", {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}),
        (
            "https://a.example",
            {
                "access-control-allow-origin": "https://a.example",
                "cross-origin-resource-policy": "cross-origin",
            },
        ),
        (
            "",
            {
                "access-control-allow-origin": None,
                "cross-origin-resource-policy": "same-origin",
            },
        ),
    ],
    ids=["all", "one", "none"],
)
def test_other_sites_may_what_the_operator_says(
    folders: list[Path], origin: str, expected: dict[str, str | None]
) -> None:
    settings = Settings(generator=str(folders[0]), device="cpu", cors_origin=origin)
    with TestClient(create_app(settings)) as client:
        paths = ("/generate?seed=1", "/generate?seed=1&n=2", "/models", "/generate?seed=-1")
        answers = [client.get(path) for path in paths]
        answers.append(client.options("/generate"))
        answers.append(client.head("/generate?seed=1"))
    for answer in answers:
        assert {name: answer.headers.get(name) for name in expected} == expected
        assert ("Origin" in answer.headers.get("Vary", "")) == (origin not in ("*", ""))
