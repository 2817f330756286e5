"""Quality of a generator, measured: real pictures and generated ones, seen through one feature
network.

Each figure's name holds its protocol: what is compared, with how many pictures, through which
network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.metrics import (
    CLOSE,
    Features,
    frechet_distance,
    kernel_distance,
    nearness,
    neighbourhoods,
)
from model.samplers.sampler import Sampler
from model.training.datasets.dataset import Dataset, Split

FIRST_SEED = 1_000_000  # evaluation draws these seeds and the ones after it
CONFIDENT = 0.9
DRAWN_AT_ONCE = 256
NEIGHBOUR_IMAGES = 5000  # real and generated pictures in precision, recall, density and coverage
KERNEL_SUBSETS, KERNEL_SUBSET = 100, 1000  # draws, and pictures in one
# the same of a snapshot, which a run must not wait for
SNAPSHOT_NEIGHBOUR_IMAGES, SNAPSHOT_KERNEL_SUBSETS = 2000, 10
FEW_TEST_IMAGES = 200  # fewer say little; the whole set then stands for the real pictures

# what a figure says, by the beginning of its name; the longer beginning first
EXPLANATIONS = {
    "frechet": "Frechet distance between Gaussians of the features; 0 is best",
    "kid": "kernel distance (KID); 0 is best, and chance may take it a little below",
    "precision": "precision: share of samples among the real pictures; 1 is best",
    "recall": "recall: share of real pictures among the samples; 1 is best",
    "density": "density: how deep samples lie among the real pictures; 1 is as deep as those",
    "coverage": "coverage: share of real pictures with a sample near; 1 is best",
    "nearest_ratio": "median distance to the nearest training picture, over that of held-out "
    "pictures; far below 1 means copies",
    "nearest_below": "share of samples nearer to a training picture than 99 % of the held-out "
    "pictures; 0.01 is to be expected",
    "confident": "share of samples whose class the classifier is sure of",
    "class_right_percent": "of each class, how many of 100 samples the classifier calls so",
    "class_right": "share of samples that the classifier calls what was asked for",
    "class_histogram": "samples of each class, as the classifier calls them",
    "classifier_test_accuracy": "share of real test pictures that the classifier calls right",
}

Rows = Callable[[range], NDArray[np.float32]]  # seeds to rows of a generator's input
Figures = dict[str, float | int | list[int]]


class FeatureNetwork(Protocol):
    """What a measurement needs of its feature network."""

    @property
    def name(self) -> str:
        """What a figure's name says of it: its kind, and the first digits of its weights' hash."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it tells apart; there may be none."""

    @property
    def test_accuracy(self) -> float:
        """Share of the test pictures whose class it names."""

    def __call__(self, pixels: NDArray[np.uint8]) -> tuple[Features, NDArray[np.float32]]:
        """Returns features (N, D) and class probabilities (N, classes) of pictures (N, H, W, C)
        uint8.
        """


@dataclass(frozen=True)
class Reference:
    """The real side of a measurement, computed once."""

    network: FeatureNetwork
    features: Features  # (N, D)
    part: Split  # part of the data that they come from
    held_out: Features | None  # features of test pictures, to detect copies by


def reference(
    network: FeatureNetwork,
    test: Dataset,
    train: Dataset | None = None,
    against: Split | None = None,
) -> Reference:
    """Computes features of the part that generated pictures are compared with: unless `against`
    says which, the test part, with the training part where it is given and the test part is small.
    """
    few = train is not None and len(test) < FEW_TEST_IMAGES
    part = against or ("all" if few else "test")
    parts = [
        half for half, name in ((train, "train"), (test, "test")) if half and part in (name, "all")
    ]
    pictures = parts[0].images if len(parts) == 1 else np.concatenate([p.images for p in parts])
    labels = test.labels
    if part != "test" or labels is None or _is_grouped(labels):
        # they come class by class, or film by film: mixed, so that the first ones stand for all
        pictures = pictures[np.random.default_rng(0).permutation(len(pictures))]
    features = network(pictures)[0]
    if part == "test":
        return Reference(network, features, part, held_out=features)
    return Reference(network, features, part, network(test.images)[0] if few else None)


def _is_grouped(labels: NDArray[np.int64]) -> bool:
    """Returns whether pictures come class by class, in whatever order of the classes."""
    return int(np.count_nonzero(np.diff(labels))) < len(np.unique(labels))


def quality(sampler: Sampler, rows: Rows, real: Reference, count: int) -> dict[str, float]:
    """Computes the figures of a snapshot. The first one chooses the best of a run: the Frechet
    distance, lower is better.
    """
    features, _ = real.network(draw(sampler, rows, count))
    return compare(real, features, SNAPSHOT_KERNEL_SUBSETS, SNAPSHOT_NEIGHBOUR_IMAGES)


def evaluate(
    sampler: Sampler,
    rows: Rows,
    real: Reference,
    count: int,
    *,
    train: Features | None = None,
    classes: tuple[str, ...] = (),
) -> Figures:
    """Computes all figures of `count` generated pictures; each one's name says how it was taken.

    `train` are features of the training pictures, for the nearness to them; `classes` are those
    that the generator draws.
    """
    network = real.network
    features, probabilities = network(draw(sampler, rows, count))
    figures: Figures = {**compare(real, features)}
    if train is not None and real.held_out is not None:
        figures |= _nearness(network, features, train, real.held_out)
    if network.classes:
        asked = _asked(rows, count, classes, network.classes)
        figures |= _of_classes(network, probabilities, asked)
    return figures


def compare(
    real: Reference,
    features: Features,
    subsets: int = KERNEL_SUBSETS,
    most: int = NEIGHBOUR_IMAGES,
) -> dict[str, float]:
    """Computes the figures that compare two sets of pictures, wherever they come from."""
    return {**_distances(real, features, subsets), **_neighbours(real, features, most)}


def explain(name: str) -> str:
    """Explains a figure in words."""
    return next((text for start, text in EXPLANATIONS.items() if name.startswith(start)), name)


def _distances(real: Reference, features: Features, subsets: int) -> dict[str, float]:
    against = f"{_thousands(len(features))}_{_against(real, len(real.features))}"
    size = min(KERNEL_SUBSET, len(features), len(real.features))
    frechet = round(frechet_distance(real.features, features), 4)
    if size < 2:
        return {f"frechet{against}": frechet}
    kernel = kernel_distance(real.features, features, subsets=subsets, subset_size=size)
    return {
        f"frechet{against}": frechet,
        f"kid_s{subsets}x{_thousands(size)}_{against}": float(f"{kernel:.5g}"),
    }


def _neighbours(real: Reference, features: Features, most: int) -> dict[str, float]:
    few = min(most, len(features), len(real.features))
    if few <= 5:  # neighbours that each must have
        return {}
    near = neighbourhoods(real.features[:few], features[:few])
    against = f"{_thousands(few)}_{_against(real, few)}"
    return {
        f"precision_k3_{against}": round(near.precision, 4),
        f"recall_k3_{against}": round(near.recall, 4),
        f"density_k5_{against}": round(near.density, 4),
        f"coverage_k5_{against}": round(near.coverage, 4),
    }


def _nearness(
    network: FeatureNetwork, features: Features, train: Features, held_out: Features
) -> dict[str, float]:
    few, held_out = features[:NEIGHBOUR_IMAGES], held_out[:NEIGHBOUR_IMAGES]
    near = nearness(train, held_out, few)
    counts = f"{_thousands(len(few))}_test{_thousands(len(held_out))}_train{_thousands(len(train))}"
    figures = {f"nearest_ratio_{counts}_{network.name}": round(near.ratio, 4)}
    if len(held_out) >= FEW_TEST_IMAGES:  # fewer have no percentiles
        close = f"nearest_below{CLOSE * 100:.0f}pc_{counts}_{network.name}"
        figures[close] = round(near.close, 4)
    return figures


def _of_classes(
    network: FeatureNetwork, probabilities: NDArray[np.float32], asked: NDArray[np.int64] | None
) -> Figures:
    through = f"{_thousands(len(probabilities))}_{network.name}"
    called, count = probabilities.argmax(1), len(network.classes)
    figures: Figures = {
        f"confident{through}": round(float((probabilities.max(1) > CONFIDENT).mean()), 4),
    }
    if asked is not None:
        right = called == asked
        shares = np.bincount(asked, right, count) / np.bincount(asked, minlength=count).clip(1)
        figures[f"class_right{through}"] = round(float(right.mean()), 4)
        figures[f"class_right_percent{through}"] = [round(100 * share) for share in shares]
    figures[f"class_histogram{through}"] = np.bincount(called, minlength=count).tolist()
    figures[f"classifier_test_accuracy_{network.name}"] = round(network.test_accuracy, 4)
    return figures


def _asked(
    rows: Rows, count: int, classes: tuple[str, ...], known: tuple[str, ...]
) -> NDArray[np.int64] | None:
    """Returns the class that was asked for of each picture, as the network counts them; None where
    the generator has no classes, or others.
    """
    if not classes or not set(classes) <= set(known):
        return None
    drawn = rows(range(FIRST_SEED, FIRST_SEED + count))[:, -len(classes) :].argmax(1)
    return np.array([known.index(classes[class_]) for class_ in drawn], np.int64)


def draw(sampler: Sampler, rows: Rows, count: int) -> NDArray[np.uint8]:
    """Draws the generated pictures of a measurement: of the seeds from FIRST_SEED on."""
    seeds = range(FIRST_SEED, FIRST_SEED + count)
    parts = [seeds[start : start + DRAWN_AT_ONCE] for start in range(0, count, DRAWN_AT_ONCE)]
    return np.concatenate([sampler(rows(part)) for part in parts])


def _against(real: Reference, count: int) -> str:
    return f"{real.part}{_thousands(count)}_{real.network.name}"


def _thousands(count: int) -> str:
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)
