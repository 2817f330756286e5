"""The classifier behind the quality figures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.training.data import Dataset, load
from model.training.features import (
    Classifier,
    Extractor,
    ExtractorError,
    load_extractor,
    train_extractor,
)
from tests.conftest import edit_json

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(digits: Path) -> Extractor:
    train, test = (load(digits, part, side=28, channels=1) for part in ("train", "test"))
    return train_extractor(train, test, epochs=8, seed=0, device=CPU, say=print)


@pytest.fixture
def saved(trained: Extractor, tmp_path: Path) -> Path:
    trained.save(tmp_path / "classifier")
    return tmp_path / "classifier"


def test_classifier_learns_and_states_its_accuracy(trained: Extractor, digits: Path) -> None:
    test = load(digits, "test", side=28, channels=1)
    assert trained.config.test_accuracy > 0.95
    assert trained.accuracy(test) == pytest.approx(trained.config.test_accuracy)


def test_extractor_returns_features_and_probabilities(trained: Extractor, digits: Path) -> None:
    images = load(digits, "test", side=28, channels=1).images
    features, probabilities = trained(images)
    assert features.shape == (240, 128)
    assert probabilities.shape == (240, 10)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)


def test_saved_classifier_sees_the_same(trained: Extractor, saved: Path, digits: Path) -> None:
    images = load(digits, "test", side=28, channels=1).images
    again = load_extractor(saved, CPU)
    assert again.config == trained.config
    assert again.name == trained.name
    assert np.array_equal(again(images)[0], trained(images)[0])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(lambda f: (f / "config.json").unlink(), "config.json is missing", id="config"),
        pytest.param(
            lambda f: (f / "model.safetensors").write_bytes(b"x" * 100), "hash", id="weights"
        ),
        pytest.param(
            lambda f: edit_json(f / "config.json", kind="gan"), "not a classifier", id="kind"
        ),
        pytest.param(lambda f: edit_json(f / "config.json", side=14), "not a readable", id="shape"),
        pytest.param(lambda f: (f / "config.json").write_text("["), "not a readable", id="json"),
    ],
)
def test_damaged_classifier_is_refused(saved: Path, damage: object, reason: str) -> None:
    damage(saved)  # type: ignore[operator]
    with pytest.raises(ExtractorError, match=reason):
        load_extractor(saved, CPU)


def test_data_without_classes_is_refused() -> None:
    data = Dataset(name="plain", images=np.zeros((9, 28, 28, 1), np.uint8), labels=None)
    with pytest.raises(ExtractorError, match="labelled"):
        train_extractor(data, data, epochs=1, seed=0, device=CPU, say=print)


def test_network_has_128_features(trained: Extractor) -> None:
    assert Classifier(trained.config).embed(torch.zeros(2, 1, 28, 28)).shape == (2, 128)
