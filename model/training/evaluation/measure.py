"""Quality of a generator, measured: real pictures and generated ones, seen through one feature
network.

Each metric's name holds its protocol: what is compared, with how many pictures, through which
network.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.metrics import (
    BLOCK,
    CLOSE,
    Features,
    frechet_distance,
    kernel_distance,
    nearness,
    neighbourhoods,
)
from model.samplers.sampler import Sampler
from model.training.datasets.dataset import Dataset, Split
from model.training.run.progress import Progress, Say, silent

FIRST_SEED = 1_000_000  # evaluation takes these seeds and the ones after them
CONFIDENT = 0.9
GENERATED_AT_ONCE = 256
TIMED = 32  # pictures whose time is taken for a forecast
LOOKED_AT_ONCE = 2048  # pictures that a feature network is given
NEIGHBOUR_IMAGES = 5000  # real and generated pictures in precision, recall, density and coverage
KERNEL_SUBSETS, KERNEL_SUBSET = 100, 1000  # draws, and pictures in one
# the same of a snapshot, which a run must not wait for
SNAPSHOT_NEIGHBOUR_IMAGES, SNAPSHOT_KERNEL_SUBSETS = 2000, 10
FEW_TEST_IMAGES = 200  # fewer say little; the whole set then stands for the real pictures

# what a metric says, by the beginning of its name; the longer beginning first
EXPLANATIONS = {
    "frechet": "Frechet distance between Gaussians of the features; 0 is best",
    "kid": "kernel distance (KID); 0 is best, and chance may take it a little below",
    "precision": "precision: share of samples among the real pictures; 1 is best",
    "recall": "recall: share of real pictures among the samples; 1 is best",
    "density": "density: how deep samples lie among the real pictures; 1 is as deep as those",
    "coverage": "coverage: share of real pictures with a sample near; 1 is best",
    "psnr": "nearness of held-out pictures, reduced and enlarged again, to themselves, in dB; more "
    "is better",
    "consistency": "nearness of generated pictures, enlarged and reduced again, to themselves, in "
    "dB; more is better",
    "fidelity": "nearness of an integer generator's pictures to those of the one that it was made "
    "of, in dB; more is better",
    "error": "share of held-out pictures that are named wrong; 0 is best",
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
Metrics = dict[str, float | int | list[int]]


class FeatureNetwork(Protocol):
    """What a measurement needs of its feature network."""

    @property
    def name(self) -> str:
        """What a metric's name says of it: its kind, and the first digits of its weights' hash."""

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
    data_sha256: str = ""  # see `data_digest`


def reference(
    network: FeatureNetwork,
    test: Dataset,
    train: Dataset | None = None,
    against: Split | None = None,
    say: Say = silent,
) -> Reference:
    """Computes features of the part that generated pictures are compared with, see `part_of`."""
    few = train is not None and len(test) < FEW_TEST_IMAGES
    part = part_of(test, train, against)
    digest = data_digest(test, train)
    parts = [
        half for half, name in ((train, "train"), (test, "test")) if half and part in (name, "all")
    ]
    pictures = parts[0].images if len(parts) == 1 else np.concatenate([p.images for p in parts])
    labels = test.labels
    if part != "test" or labels is None or _is_grouped(labels):
        # they come class by class, or film by film: mixed, so that the first ones stand for all
        pictures = pictures[np.random.default_rng(0).permutation(len(pictures))]
    features = look(network, pictures, "features of real pictures", say)[0]
    if part == "test":
        return Reference(network, features, part, features, digest)
    held_out = network(test.images)[0] if few and len(test) else None
    return Reference(network, features, part, held_out, digest)


def part_of(test: Dataset, train: Dataset | None, against: Split | None) -> Split:
    """Returns which part stands for the real pictures: unless `against` says which, the test part,
    with the training part where it is given and the test part is small.
    """
    few = train is not None and len(test) < FEW_TEST_IMAGES
    return against or ("all" if few else "test")


def data_digest(test: Dataset, train: Dataset | None) -> str:
    """Returns the SHA-256 of the real pictures of a measurement."""
    parts = [part.fingerprint for part in (train, test) if part is not None]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def look(
    network: FeatureNetwork, pixels: NDArray[np.uint8], task: str, say: Say = silent
) -> tuple[Features, NDArray[np.float32]]:
    """Returns features and class probabilities of pictures (N, H, W, C) uint8; says how long it
    takes where it does, beginning with `task`.
    """
    progress, parts = Progress(f"{task} ({len(pixels):,})", len(pixels), say), []
    for start in range(0, len(pixels), LOOKED_AT_ONCE):
        parts.append(network(pixels[start : start + LOOKED_AT_ONCE]))
        progress.done(LOOKED_AT_ONCE)
    features, probabilities = zip(*parts, strict=True)
    return np.concatenate(features), np.concatenate(probabilities)


def _is_grouped(labels: NDArray[np.int64]) -> bool:
    """Returns whether pictures come class by class, in whatever order of the classes."""
    return int(np.count_nonzero(np.diff(labels))) < len(np.unique(labels))


def quality(
    sampler: Sampler, rows: Rows, real: Reference, count: int, say: Say = silent
) -> dict[str, float]:
    """Computes the metrics of a snapshot. The first one chooses the best of a run: the Frechet
    distance, lower is better.
    """
    features, _ = _of_generated(real.network, sampler, rows, count, say)
    return compare(real, features, SNAPSHOT_KERNEL_SUBSETS, SNAPSHOT_NEIGHBOUR_IMAGES, say)


def evaluate(
    sampler: Sampler,
    rows: Rows,
    real: Reference,
    count: int,
    *,
    train: Features | None = None,
    classes: tuple[str, ...] = (),
    say: Say = silent,
) -> Metrics:
    """Computes all metrics of `count` generated pictures; each one's name says how it was taken.

    `train` are features of the training pictures, for the nearness to them; `classes` are those
    that the generator has.
    """
    network = real.network
    features, probabilities = _of_generated(network, sampler, rows, count, say)
    metrics: Metrics = {**compare(real, features, say=say)}
    if train is not None and real.held_out is not None:
        metrics |= _nearness(network, features, train, real.held_out, say)
    if network.classes:
        asked = _asked(rows, count, classes, network.classes)
        metrics |= _of_classes(network, probabilities, asked)
    return metrics


def least_seconds(
    network: FeatureNetwork, sampler: Sampler, rows: Rows, generated: int, real: int
) -> float:
    """Estimates by a few pictures how long it takes to generate so many and to compute features of
    those and so many real ones; comparing them comes on top.
    """
    some = rows(range(FIRST_SEED, FIRST_SEED + TIMED))
    for _ in range(2):  # the first pass warms up
        times = [time.monotonic()]
        pixels = sampler(some)
        times.append(time.monotonic())
        network(pixels)
        times.append(time.monotonic())
    generating, looking = times[1] - times[0], times[2] - times[1]
    return (generated * generating + (generated + real) * looking) / TIMED


def compare(
    real: Reference,
    features: Features,
    subsets: int = KERNEL_SUBSETS,
    most: int = NEIGHBOUR_IMAGES,
    say: Say = silent,
) -> dict[str, float]:
    """Computes the metrics that compare two sets of pictures, wherever they come from."""
    return {**_distances(real, features, subsets, say), **_neighbours(real, features, most, say)}


def _of_generated(
    network: FeatureNetwork, sampler: Sampler, rows: Rows, count: int, say: Say
) -> tuple[Features, NDArray[np.float32]]:
    return look(network, generate(sampler, rows, count, say), "features of generated pictures", say)


def explain(name: str) -> str:
    """Explains a metric in words."""
    return next((text for start, text in EXPLANATIONS.items() if name.startswith(start)), name)


def _distances(real: Reference, features: Features, subsets: int, say: Say) -> dict[str, float]:
    against = f"{_thousands(len(features))}_{_against(real, len(real.features))}"
    size = min(KERNEL_SUBSET, len(features), len(real.features))
    frechet = round(frechet_distance(real.features, features), 4)
    if size < 2:
        return {f"frechet{against}": frechet}
    tick = Progress("kernel distance", subsets, say).done
    kernel = kernel_distance(real.features, features, subsets=subsets, subset_size=size, tick=tick)
    return {
        f"frechet{against}": frechet,
        f"kid_s{subsets}x{_thousands(size)}_{against}": float(f"{kernel:.5g}"),
    }


def _neighbours(real: Reference, features: Features, most: int, say: Say) -> dict[str, float]:
    few = min(most, len(features), len(real.features))
    if few <= 5:  # neighbours that each must have
        return {}
    progress = Progress("precision, recall, density and coverage", 4 * -(-few // BLOCK), say)
    near = neighbourhoods(real.features[:few], features[:few], tick=progress.done)
    against = f"{_thousands(few)}_{_against(real, few)}"
    return {
        f"precision_k3_{against}": round(near.precision, 4),
        f"recall_k3_{against}": round(near.recall, 4),
        f"density_k5_{against}": round(near.density, 4),
        f"coverage_k5_{against}": round(near.coverage, 4),
    }


def _nearness(
    network: FeatureNetwork, features: Features, train: Features, held_out: Features, say: Say
) -> dict[str, float]:
    few, held_out = features[:NEIGHBOUR_IMAGES], held_out[:NEIGHBOUR_IMAGES]
    blocks = sum(-(-len(part) // (BLOCK // 4)) for part in (few, held_out))
    progress = Progress("nearest training pictures", blocks, say)
    near = nearness(train, held_out, few, progress.done)
    counts = f"{_thousands(len(few))}_test{_thousands(len(held_out))}_train{_thousands(len(train))}"
    metrics = {f"nearest_ratio_{counts}_{network.name}": round(near.ratio, 4)}
    if len(held_out) >= FEW_TEST_IMAGES:  # fewer have no percentiles
        close = f"nearest_below{CLOSE * 100:.0f}pc_{counts}_{network.name}"
        metrics[close] = round(near.close, 4)
    return metrics


def _of_classes(
    network: FeatureNetwork, probabilities: NDArray[np.float32], asked: NDArray[np.int64] | None
) -> Metrics:
    through = f"{_thousands(len(probabilities))}_{network.name}"
    called, count = probabilities.argmax(1), len(network.classes)
    metrics: Metrics = {
        f"confident{through}": round(float((probabilities.max(1) > CONFIDENT).mean()), 4),
    }
    if asked is not None:
        right = called == asked
        shares = np.bincount(asked, right, count) / np.bincount(asked, minlength=count).clip(1)
        metrics[f"class_right{through}"] = round(float(right.mean()), 4)
        metrics[f"class_right_percent{through}"] = [round(100 * share) for share in shares]
    metrics[f"class_histogram{through}"] = np.bincount(called, minlength=count).tolist()
    metrics[f"classifier_test_accuracy_{network.name}"] = round(network.test_accuracy, 4)
    return metrics


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


def generate(sampler: Sampler, rows: Rows, count: int, say: Say = silent) -> NDArray[np.uint8]:
    """Generates the pictures of a measurement: of the seeds from FIRST_SEED on."""
    seeds, pixels = range(FIRST_SEED, FIRST_SEED + count), []
    progress = Progress(f"generating {count:,} pictures to measure", count, say)
    for start in range(0, count, GENERATED_AT_ONCE):
        pixels.append(sampler(rows(seeds[start : start + GENERATED_AT_ONCE])))
        progress.done(GENERATED_AT_ONCE)
    return np.concatenate(pixels)


def _against(real: Reference, count: int) -> str:
    return f"{real.part}{_thousands(count)}_{real.network.name}"


def _thousands(count: int) -> str:
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)
