"""The generators that ship: they load, they draw what they say, and their cards tell the truth."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from app.main import create_app
from app.settings import Settings
from model.classification.classifiers import SHIPPED_CLASSIFIERS
from model.generator_file import read_generator_file
from model.generators import DEFAULT, ZOO
from model.networks.families.dcgan import DCGANConfig
from model.training.evaluation.features import load_extractor
from model.training.evaluation.measure import CONFIDENT
from model.training.start import read_start

SIDE = 28  # pixels of a digit
AVATARS = ("robot", "monster", "robothead", "kitten")
FOLDERS = sorted(ZOO.iterdir())


@pytest.fixture(scope="module")
def shipped() -> Iterator[TestClient]:
    """Yields the service as it comes."""
    with TestClient(create_app(Settings(device="cpu"))) as client:
        yield client


def served(client: TestClient, query: str, count: int) -> NDArray[np.uint8]:
    """Returns pictures of seeds that come over HTTP in one sheet, (count, side, side, C)."""
    answer = client.get(f"/generate?{query}&n={count}&columns=1")
    with Image.open(io.BytesIO(answer.content)) as sheet:
        return np.array(sheet).reshape(count, sheet.width, sheet.width, -1)


def probabilities(classifier: str, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    extractor = load_extractor(SHIPPED_CLASSIFIERS / classifier, torch.device("cpu"))
    return extractor(pictures)[1]


def test_avatars_are_served_with_digits_beside_them(shipped: TestClient) -> None:
    listing = shipped.get("/models").json()
    assert [model["name"] for model in listing["models"]] == [DEFAULT, "mnist"]
    assert listing["default"] == listing["models"][0]["id"]
    card = shipped.get(f"/models/{DEFAULT}").json()
    assert card["classes"] == list(AVATARS)
    assert card["precision"] == "int8"  # the same bytes on every machine
    assert card["upscaler"]["precision"] == "int8"


@pytest.mark.parametrize("name", AVATARS)
def test_served_avatars_are_of_the_class_that_is_asked_for(shipped: TestClient, name: str) -> None:
    pictures = served(shipped, f"class={name}&seed=0", 100)
    assert pictures.shape == (100, 64, 64, 3)
    classes = read_generator_file(ZOO / DEFAULT).config.classes
    called = probabilities("avatars", pictures).argmax(1)
    assert (called == classes.index(name)).mean() >= 0.97
    assert len({picture.tobytes() for picture in pictures}) == 100


def test_training_can_start_from_the_avatars() -> None:
    start = read_start("avatars")
    assert start.preset == "modern-64"
    assert start.discriminator is not None
    assert start.discriminator.header.frozen_features


def test_attribution_comes_with_the_avatars(shipped: TestClient) -> None:
    card = (ZOO / DEFAULT / "README.md").read_text()
    licence = shipped.get(f"/models/{DEFAULT}").json()["training"]["licence"]
    for artist in ("Zikri Kader", "Hrvoje Novakovic", "Julian Peter Arias", "David Revoy"):
        assert artist in card
        assert artist in licence


def test_avatars_of_integers_are_as_good_as_those_in_floats() -> None:
    def metric(name: str, beginning: str) -> float:
        metrics = read_generator_file(ZOO / name).config.metrics
        (found,) = (value for key, value in metrics.items() if key.startswith(beginning))
        assert isinstance(found, float)
        return found

    assert metric(DEFAULT, "frechet10k") <= 1.03 * metric("avatars", "frechet10k")
    assert metric(DEFAULT, "precision") >= metric("avatars", "precision") / 1.03
    assert metric(DEFAULT, "fidelity_psnr1000") >= 34


def test_digits_come_from_the_articles_network_in_grey() -> None:
    config = read_generator_file(ZOO / "mnist").config
    assert config.network == DCGANConfig(channels=1)
    assert (config.preset, config.prior, config.crop) == ("dcgan-mnist", "uniform", SIDE)
    assert config.data.images == 60_000
    assert config.images_seen >= 3 * 60_000 * 0.99  # three epochs at least, whole batches only


def test_thousand_served_seeds_show_every_digit_clearly(shipped: TestClient) -> None:
    parts = [served(shipped, f"model=mnist&seed={first}", 250) for first in range(0, 1000, 250)]
    pictures = np.concatenate(parts)
    assert pictures.shape == (1000, SIDE, SIDE, 1)
    found = probabilities("mnist", pictures)
    shares = np.bincount(found.argmax(1), minlength=10) / 1000
    assert shares.min() >= 0.04
    assert shares.max() <= 0.18
    assert (found.max(1) > CONFIDENT).mean() >= 0.75
    assert len({picture.tobytes() for picture in pictures}) == 1000


@pytest.mark.parametrize("name", ["trouser", "sandal", "bag"])
def test_garments_are_of_the_class_that_is_asked_for(name: str) -> None:
    """Asks for classes that the classifier knows apart: to it a shirt is a coat now and then."""
    with TestClient(create_app(Settings(generator="fashion-mnist", device="cpu"))) as client:
        pictures = served(client, f"class={name}&seed=0", 100)
    classes = read_generator_file(ZOO / "fashion-mnist").config.classes
    called = probabilities("fashion-mnist", pictures).argmax(1)
    assert (called == classes.index(name)).mean() >= 0.95
    assert len({picture.tobytes() for picture in pictures}) == 100


@pytest.mark.parametrize("name", ["avatars", "mnist"])
def test_shipped_classifier_is_right_on_99_of_100_test_pictures(name: str) -> None:
    extractor = load_extractor(SHIPPED_CLASSIFIERS / name, torch.device("cpu"))
    assert extractor.config.test_accuracy >= 0.99


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_card_names_the_weights_the_data_the_command_and_the_figures(folder: Path) -> None:
    config = read_generator_file(folder).config
    card = (folder / "README.md").read_text()
    assert config.weights_sha256 in card
    assert config.data.sha256 in card
    made = "quantize" if config.is_integer else "train --"
    assert f"python -m model.training {made}" in card
    assert f"preset `{config.preset}`" in card
    assert config.licence in card
    folded = config.network.family != "residual" and not config.is_integer
    assert ("batch-norm" in card) == folded
    assert config.metrics
    for name in config.metrics:
        assert name in card


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_cards_samples_are_the_pictures_that_are_served(folder: Path) -> None:
    with Image.open(folder / "samples.png") as samples:
        sheet = np.asarray(samples).astype(int)
    with TestClient(create_app(Settings(generator=folder.name, device="cpu"))) as client:
        answer = client.get("/generate?seed=0&n=64&columns=16")
    with Image.open(io.BytesIO(answer.content)) as image:
        difference = np.abs(np.asarray(image).astype(int) - sheet)
    assert difference.max() <= 1  # another processor may round the last bit another way


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_generator_in_the_zoo_loads_and_has_a_card(folder: Path) -> None:
    assert read_generator_file(folder).config.name == folder.name
    assert f"---\n\n# {folder.name}\n" in (folder / "README.md").read_text()
