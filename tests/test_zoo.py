"""The generator that ships: it loads, it draws digits, and its card tells the truth about it."""

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
from model.generator_file import read_generator_file
from model.generators import ZOO
from model.networks.config import DCGANConfig
from model.training.evaluate import CONFIDENT
from model.training.feature_networks import SHIPPED_CLASSIFIERS
from model.training.features import load_extractor

SIDE = 28


@pytest.fixture(scope="module")
def shipped() -> Iterator[TestClient]:
    with TestClient(create_app(Settings(device="cpu"))) as client:
        yield client


def served(client: TestClient, first: int, count: int) -> NDArray[np.uint8]:
    """The pictures of seeds as they come over HTTP, cut out of one sheet, (count, 28, 28, 1)."""
    answer = client.get(f"/generate?seed={first}&n={count}&columns=1")
    with Image.open(io.BytesIO(answer.content)) as sheet:
        assert sheet.mode == "L"
        return np.asarray(sheet).reshape(count, SIDE, SIDE, 1)


def test_default_generator_is_the_articles_network_in_grey() -> None:
    config = read_generator_file(ZOO / "mnist").config
    assert config.network == DCGANConfig(channels=1)
    assert (config.preset, config.prior, config.crop) == ("dcgan-mnist", "uniform", SIDE)
    assert config.data.images == 60_000
    assert config.images_seen >= 3 * 60_000 * 0.99  # three epochs at least, whole batches only


def test_thousand_served_seeds_show_every_digit_clearly(shipped: TestClient) -> None:
    pictures = np.concatenate([served(shipped, first, 250) for first in range(0, 1000, 250)])
    extractor = load_extractor(SHIPPED_CLASSIFIERS / "mnist", torch.device("cpu"))
    _, probabilities = extractor(pictures)
    shares = np.bincount(probabilities.argmax(1), minlength=10) / 1000
    assert shares.min() >= 0.04
    assert shares.max() <= 0.18
    assert (probabilities.max(1) > CONFIDENT).mean() >= 0.75
    assert len({picture.tobytes() for picture in pictures}) == 1000


def test_shipped_classifier_is_right_on_99_of_100_test_digits() -> None:
    extractor = load_extractor(SHIPPED_CLASSIFIERS / "mnist", torch.device("cpu"))
    assert extractor.config.test_accuracy >= 0.99


def test_card_names_the_weights_the_data_the_command_and_the_figures() -> None:
    config = read_generator_file(ZOO / "mnist").config
    card = (ZOO / "mnist" / "README.md").read_text()
    assert config.weights_sha256 in card
    assert config.data.sha256 in card
    assert "python -m model.training train --preset dcgan-mnist" in card
    assert "Yann LeCun" in card
    for name in config.metrics:
        assert name in card


def test_cards_samples_are_the_pictures_that_are_served(shipped: TestClient) -> None:
    with Image.open(ZOO / "mnist" / "samples.png") as samples:
        sheet = np.asarray(samples).astype(int)
    answer = shipped.get("/generate?seed=0&n=64&columns=16")
    with Image.open(io.BytesIO(answer.content)) as image:
        difference = np.abs(np.asarray(image).astype(int) - sheet)
    assert difference.max() <= 1  # another processor may round the last bit another way


@pytest.mark.parametrize("folder", sorted(ZOO.iterdir()), ids=lambda folder: folder.name)
def test_every_generator_in_the_zoo_loads_and_has_a_card(folder: Path) -> None:
    assert read_generator_file(folder).config.name == folder.name
    assert f"---\n\n# {folder.name}\n" in (folder / "README.md").read_text()
