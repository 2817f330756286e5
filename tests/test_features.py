"""The feature networks behind the quality figures: classifiers, and what learns without labels."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from model.classification.classifiers import SHIPPED_CLASSIFIERS
from model.classification.config import ClassifierConfig
from model.classification.pytorch import Classifier
from model.files import GeneratorFileError
from model.metrics import frechet_distance
from model.training.datasets.dataset import Dataset, load
from model.training.evaluation import features
from model.training.evaluation.feature_networks import find_network, thinned
from model.training.evaluation.features import (
    Extractor,
    ExtractorError,
    load_extractor,
    sensible_epochs,
    to_input,
    train_extractor,
    train_selfsup,
)
from model.training.evaluation.measure import FEW_TEST_IMAGES, evaluate, reference
from model.training.evaluation.self_supervised import DAMAGES, clusters, damage
from tests.conftest import edit_json

CPU = torch.device("cpu")


@pytest.fixture
def saved(classifier: Extractor, tmp_path: Path) -> Path:
    classifier.save(tmp_path / "classifier")
    return tmp_path / "classifier"


def test_classifier_learns_and_states_its_accuracy(classifier: Extractor, digits: Path) -> None:
    test = load(digits, "test", side=28, channels=1)
    assert classifier.config.test_accuracy > 0.95
    assert classifier.accuracy(test) == pytest.approx(classifier.config.test_accuracy)


def test_extractor_returns_features_and_probabilities(classifier: Extractor, digits: Path) -> None:
    images = load(digits, "test", side=28, channels=1).images
    features, probabilities = classifier(images)
    assert features.shape == (240, 128)
    assert probabilities.shape == (240, 10)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)


def test_saved_classifier_sees_the_same(classifier: Extractor, saved: Path, digits: Path) -> None:
    images = load(digits, "test", side=28, channels=1).images
    again = load_extractor(saved, CPU)
    assert again.config == classifier.config
    assert again.name == classifier.name
    assert np.array_equal(again(images)[0], classifier(images)[0])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(lambda f: (f / "config.json").unlink(), "config.json: no such", id="config"),
        pytest.param(
            lambda f: (f / "model.safetensors").write_bytes(b"x" * 100),
            "damaged or of another config",
            id="weights",
        ),
        pytest.param(lambda f: edit_json(f / "config.json", kind="gan"), "kind: ", id="kind"),
        pytest.param(
            lambda f: edit_json(f / "config.json", classes=[], golden=[]),
            "not a classifier; by its fields it is a selfsup",
            id="no classes",
        ),
        pytest.param(
            lambda f: edit_json(f / "config.json", layout="dense"),
            r"tensor \S+ is",
            id="layout",
        ),
        pytest.param(
            lambda f: edit_json(f / "config.json", side=14),
            r"tensor features\.weight is",
            id="shape",
        ),
        pytest.param(lambda f: (f / "config.json").write_text("["), "not JSON", id="json"),
    ],
)
def test_damaged_classifier_is_refused(saved: Path, damage: object, reason: str) -> None:
    damage(saved)  # type: ignore[operator]
    with pytest.raises(GeneratorFileError, match=reason):
        load_extractor(saved, CPU)


def test_data_without_classes_is_refused() -> None:
    data = Dataset(name="plain", images=np.zeros((9, 28, 28, 1), np.uint8), labels=None)
    with pytest.raises(ExtractorError, match="labelled"):
        train_extractor(data, data, epochs=1, seed=0, device=CPU, say=print)


def test_network_has_128_features(classifier: Extractor) -> None:
    assert Classifier(classifier.config).embed(torch.zeros(2, 1, 28, 28)).shape == (2, 128)


@pytest.mark.parametrize(
    ("side", "channels"), [(8, 1), (28, 1), (32, 3), (50, 1), (64, 3), (66, 3), (256, 3)]
)
def test_pictures_of_any_side_have_128_features(side: int, channels: Literal[1, 3]) -> None:
    config = ClassifierConfig(
        side=side,
        channels=channels,
        classes=("a", "b"),
        data="any",
        data_sha256="",
        epochs=1,
        seed=0,
        layout="folded",
    )
    network = Classifier(config)
    assert network.embed(torch.zeros(2, channels, side, side)).shape == (2, 128)
    assert sum(parameter.numel() for parameter in network.parameters()) < 2_000_000


def test_shipped_classifier_is_still_of_the_first_layout() -> None:
    """Its features written out, from the tensors alone."""
    folder = SHIPPED_CLASSIFIERS / "mnist"
    extractor = load_extractor(folder, CPU)
    assert extractor.name == "mnist-classifier-b9b83ab4"
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1)).astype(np.uint8)
    tensors = load_file(folder / "model.safetensors")
    x = to_input(torch.from_numpy(pixels))
    for level in range(3):
        mean, variance, weight, bias = [
            tensors[f"norms.{level}.{part}"]
            for part in ("running_mean", "running_var", "weight", "bias")
        ]
        x = functional.conv2d(x, tensors[f"convolutions.{level}.weight"], padding=1)
        x = functional.relu(functional.batch_norm(x, mean, variance, weight, bias))
        x = functional.max_pool2d(x, 2) if level < 2 else x
    x = functional.linear(x.flatten(1), tensors["features.weight"], tensors["features.bias"])
    assert np.allclose(extractor(pixels)[0], functional.relu(x), atol=1e-5)


# --- without labels ---


def scenes(count: int, seed: int, kinds: int = 5) -> Dataset:
    """Returns RGB pictures, 64x64: a disc on a ground, whose colours and places vary; no labels."""
    random = np.random.default_rng(seed)
    ys, xs = np.mgrid[:64, :64]
    grounds = np.random.default_rng(99).integers(0, 256, (kinds, 3))
    images = np.empty((count, 64, 64, 3), np.uint8)
    for image in images:
        image[:] = grounds[random.integers(kinds)]
        y, x, radius = random.integers(20, 44), random.integers(20, 44), random.integers(6, 18)
        image[(ys - y) ** 2 + (xs - x) ** 2 < radius**2] = random.integers(0, 256, 3)
    return Dataset(name="scenes", images=images, labels=None)


@pytest.fixture(scope="module")
def selfsup() -> Extractor:
    train, test = scenes(600, 0), scenes(200, 1)
    return train_selfsup(train, test, epochs=15, seed=0, device=CPU, say=print)


@pytest.mark.slow
def test_network_without_labels_has_features_alone(selfsup: Extractor) -> None:
    features, probabilities = selfsup(scenes(10, 2).images)
    assert features.shape == (10, 128)
    assert probabilities.shape == (10, 0)
    assert selfsup.name.startswith("scenes-selfsup-")
    assert selfsup.test_accuracy > 1.3 / len(DAMAGES)  # more than chance, after so little
    assert (features.std(axis=0) > 0).all()  # none has died


@pytest.mark.slow
def test_network_without_labels_is_read_as_it_was_written(
    selfsup: Extractor, tmp_path: Path
) -> None:
    selfsup.save(tmp_path / "network")
    again = load_extractor(tmp_path / "network", CPU)
    images = scenes(10, 2).images
    assert (again.config, again.name) == (selfsup.config, selfsup.name)
    assert np.array_equal(again(images)[0], selfsup(images)[0])


def blurred(images: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return (
        functional.avg_pool2d(x, 5, 1, 2, count_include_pad=False)
        .permute(0, 2, 3, 1)
        .numpy()
        .astype(np.uint8)
    )


def noisy(images: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 25, images.shape)
    return (images + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "worse",
    [
        pytest.param(blurred, id="blurred"),
        pytest.param(noisy, id="noisy"),
        pytest.param(lambda x: x // 2 + np.roll(x, 1, axis=0) // 2, id="ghosts of others"),
        pytest.param(lambda x: np.repeat(x[:8], len(x) // 8, axis=0), id="few over and over"),
        pytest.param(lambda x: x[x[:, 0, 0, 0] != x[0, 0, 0, 0]], id="a kind left out"),
        pytest.param(
            lambda x: np.concatenate([x[:, :32], np.roll(x[:, 32:], 1, axis=0)], axis=1),
            id="halves of two",
        ),
    ],
)
def test_worse_pictures_are_farther_away(
    selfsup: Extractor, worse: Callable[[np.ndarray], np.ndarray]
) -> None:
    real, other = (selfsup(scenes(800, seed).images)[0] for seed in (3, 4))
    found = selfsup(worse(scenes(800, 4).images))[0]
    assert frechet_distance(real, found) > 2 * frechet_distance(real, other)


def test_same_seed_same_network() -> None:
    train, test = scenes(60, 0), scenes(20, 1)
    names = {
        train_selfsup(train, test, epochs=1, seed=seed, device=CPU, say=print).name
        for seed in (0, 0, 1)
    }
    assert len(names) == 2


def test_clusters_are_of_pictures_that_look_alike() -> None:
    images = np.zeros((200, 32, 32, 3), np.uint8)
    kinds = np.random.default_rng(0).integers(0, 2, 200)
    images[kinds == 1, :16] = 200
    groups, count = clusters(images, seed=0)
    assert count == 10
    assert groups.shape == (200,)
    for group in range(count):
        assert len(set(kinds[groups == group])) <= 1


def test_damage_is_none_where_it_says_so_and_some_elsewhere() -> None:
    images = to_input(torch.from_numpy(scenes(200, 0).images))
    damaged, kinds = damage(images, np.random.default_rng(0))
    assert damaged.shape == images.shape
    assert damaged.abs().max() <= 1
    changed = (damaged != images).flatten(1).any(dim=1)
    assert not changed[kinds == 0].any()
    assert set(kinds.tolist()) == set(range(len(DAMAGES)))
    for kind in range(1, len(DAMAGES)):
        assert changed[kinds == kind].float().mean() > 0.9, DAMAGES[kind]


def test_number_of_passes_suits_the_number_of_pictures() -> None:
    assert sensible_epochs(60_000, labelled=True) == 3
    assert sensible_epochs(7_200, labelled=False) == 8
    assert sensible_epochs(500_000, labelled=False) == 1
    assert sensible_epochs(10, labelled=False) == 60


# --- which network ---


def test_network_is_found_by_its_kind_and_kept(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "MOST_PASSES", 1)
    train, test = (load(digits, part, side=28, channels=1) for part in ("train", "test"))
    said: list[str] = []
    find = (tmp_path, train, test, CPU, said.append)
    first = find_network("auto", *find)
    assert first is not None
    assert "-classifier-" in first.name
    assert first.classes == train.classes
    without = find_network("selfsup", *find)
    assert without is not None
    assert "-selfsup-" in without.name
    spoken = len(said)
    for kind, network in (("classifier", first), ("selfsup", without)):
        again = find_network(kind, *find)
        assert again is not None
        assert again.name == network.name
    assert len(said) == spoken  # they were read, not trained again
    assert find_network("none", *find) is None


def test_network_that_was_killed_while_it_was_written_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "MOST_PASSES", 1)
    find = ("auto", tmp_path, scenes(60, 0), scenes(20, 1), CPU, print)
    first = find_network(*find)
    (config,) = tmp_path.glob("classifiers/*/config.json")
    config.unlink()
    again = find_network(*find)
    assert first is not None
    assert again is not None
    assert again.name == first.name


def test_pictures_without_labels_get_the_network_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "MOST_PASSES", 1)
    found = find_network("auto", tmp_path, scenes(60, 0), scenes(20, 1), CPU, print)
    assert found is not None
    assert found.name.startswith("scenes-selfsup-")


def test_nearest_pictures_are_looked_for_among_evenly_chosen_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = scenes(90, 0)
    assert np.array_equal(thinned(data).images, data.images)
    monkeypatch.setattr("model.training.evaluation.feature_networks.TRAIN_IMAGES", 10)
    few = thinned(replace(data, labels=np.arange(90)))
    assert len(few) == 10
    assert few.labels is not None
    assert np.array_equal(few.images, data.images[few.labels])
    assert (few.labels[0], few.labels[-1]) == (0, 89)


# --- how figures are taken ---


def drawing(pictures: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a sampler that draws these, whatever it is asked."""
    calls = iter(np.split(pictures, range(256, len(pictures), 256)))
    return lambda rows: next(calls)


def test_asked_classes_are_held_against_what_the_classifier_calls(
    classifier: Extractor, digits: Path
) -> None:
    test = load(digits, "test", side=28, channels=1)
    assert test.labels is not None
    asked = test.labels.copy()
    asked[test.labels == 3] = 4  # every 3 was to be a 4
    names = test.classes[::-1]  # the generator counts its classes the other way round

    def rows(seeds: range) -> np.ndarray:
        found = np.zeros((len(seeds), 5 + len(names)), np.float32)
        places = [names.index(test.classes[asked[seed % 240]]) for seed in seeds]
        found[np.arange(len(seeds)), 5 + np.array(places)] = 1
        return found

    order = [seed % 240 for seed in range(1_000_000, 1_000_240)]
    sampler = drawing(test.images[order])
    real = reference(classifier, test)
    figures = evaluate(sampler, rows, real, 240, classes=names)  # type: ignore[arg-type]
    each = figures[f"class_right_percent240_{classifier.name}"]
    assert isinstance(each, list)
    assert each[3] == 0  # nobody asked for a 3
    assert each[4] == pytest.approx(50, abs=3)
    assert min(each[:3] + each[5:]) > 90
    assert figures[f"class_right240_{classifier.name}"] == pytest.approx(0.9, abs=0.03)


def test_learning_ends_where_nothing_is_left_to_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two classes that differ in everything, in many more epochs than that takes."""
    monkeypatch.setattr(features, "KNOWN", 0.9)
    random, labels = np.random.default_rng(0), np.arange(200, dtype=np.int64) % 2
    images = random.integers(0, 40, (200, 16, 16, 1)).astype(np.uint8)
    images += (200 * labels).astype(np.uint8)[:, None, None, None]
    plain = Dataset(name="plain", images=images, labels=labels, classes=("a", "b"))
    said: list[str] = []
    found = train_extractor(plain, plain, epochs=60, seed=0, device=CPU, say=said.append)
    assert found.config.epochs < 40
    assert found.test_accuracy == 1
    assert re.fullmatch(r"classifier: up to 60 epochs of 200 pictures, about \d+ .*", said[0])
    assert f"nothing left to learn, ending with epoch {found.config.epochs}" in " ".join(said)


@pytest.mark.slow
def test_training_pictures_drawn_again_are_called_copies(selfsup: Extractor) -> None:
    train, test = scenes(300, 0), scenes(220, 1)
    figures = evaluate(
        drawing(train.images[:200]),  # type: ignore[arg-type]
        lambda seeds: np.zeros((len(seeds), 8), np.float32),
        reference(selfsup, test),
        200,
        train=selfsup(train.images)[0],
    )
    protocol = f"200_test220_train300_{selfsup.name}"
    assert figures[f"nearest_ratio_{protocol}"] == pytest.approx(0, abs=1e-3)
    assert figures[f"nearest_below1pc_{protocol}"] == 1


@pytest.mark.slow
def test_copies_of_a_small_set_are_seen_too(selfsup: Extractor) -> None:
    train, test = scenes(300, 0), scenes(40, 1)
    figures = evaluate(
        drawing(train.images[:200]),  # type: ignore[arg-type]
        lambda seeds: np.zeros((len(seeds), 8), np.float32),
        reference(selfsup, test, train),
        200,
        train=selfsup(train.images)[0],
    )
    near = {name: figure for name, figure in figures.items() if name.startswith("nearest")}
    (name,) = near  # forty have no percentiles
    assert name == f"nearest_ratio_200_test40_train300_{selfsup.name}"
    assert near[name] == pytest.approx(0, abs=1e-3)


@pytest.mark.slow
def test_few_test_pictures_are_joined_by_the_training_ones(selfsup: Extractor) -> None:
    train, test = scenes(60, 0), scenes(20, 1)
    joined = reference(selfsup, test, train)
    assert (joined.part, len(joined.features)) == ("all", 80)
    many = scenes(FEW_TEST_IMAGES, 1)
    assert reference(selfsup, many, train).part == "test"
    assert reference(selfsup, test).part == "test"
    assert len(reference(selfsup, test, train, "train").features) == 60


@pytest.mark.parametrize(
    "classes", [range(10), [3, 1, 0, 2, 9, 8, 7, 4, 5, 6]], ids=["rising", "any"]
)
def test_pictures_that_come_class_by_class_are_mixed(
    classifier: Extractor, digits: Path, classes: Sequence[int]
) -> None:
    test = load(digits, "test", side=28, channels=1)
    assert test.labels is not None
    order = np.concatenate([np.flatnonzero(test.labels == class_) for class_ in classes])
    ordered = replace(test, images=test.images[order], labels=test.labels[order])
    plain = classifier(ordered.images)[0]
    mixed = reference(classifier, ordered).features
    assert not np.array_equal(mixed, plain)
    assert np.allclose(np.sort(mixed, axis=0), np.sort(plain, axis=0))
    assert np.array_equal(reference(classifier, test).features, classifier(test.images)[0])
