"""Quality of a generator, measured: real test pictures and generated ones, seen through one
extractor.

Each figure's name holds its protocol: what is compared, with how many pictures, through which
classifier.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.metrics import frechet_distance, neighbourhoods
from model.sampler import Sampler
from model.training.data import Dataset
from model.training.features import Extractor

FIRST_SEED = 1_000_000  # evaluation draws these seeds and the ones after it
CONFIDENT = 0.9
DRAWN_AT_ONCE = 256
Rows = Callable[[range], NDArray[np.float32]]  # seeds to rows of a generator's input
NEIGHBOUR_IMAGES = 5000  # real and generated pictures in precision, recall and coverage


@dataclass(frozen=True)
class Reference:
    """The real side of a measurement, seen once."""

    extractor: Extractor
    features: NDArray[np.float32]  # (N, 128), of the test pictures


def reference(extractor: Extractor, test: Dataset) -> Reference:
    """Features of the test part."""
    return Reference(extractor, extractor(test.images)[0])


def quality(sampler: Sampler, rows: Rows, real: Reference, count: int) -> tuple[str, float]:
    """The one figure that chooses among a run's snapshots, and its name: the Frechet distance,
    lower is better.
    """
    features, _ = real.extractor(_draw(sampler, rows, count))
    return _frechet_name(real, count), round(frechet_distance(real.features, features), 4)


def evaluate(
    sampler: Sampler, rows: Rows, real: Reference, count: int
) -> dict[str, float | int | list[int]]:
    """All figures of `count` generated pictures, each under a name that says how it was taken."""
    features, probabilities = real.extractor(_draw(sampler, rows, count))
    few = min(NEIGHBOUR_IMAGES, count, len(real.features))
    near = neighbourhoods(real.features[:few], features[:few])
    through = real.extractor.name
    classes = probabilities.argmax(1)
    near_protocol = f"{_thousands(few)}_test{_thousands(few)}_{through}"
    return {
        _frechet_name(real, count): round(frechet_distance(real.features, features), 4),
        f"precision_k3_{near_protocol}": round(near.precision, 4),
        f"recall_k3_{near_protocol}": round(near.recall, 4),
        f"coverage_k5_{near_protocol}": round(near.coverage, 4),
        f"confident{_thousands(count)}_{through}": round(
            float((probabilities.max(1) > CONFIDENT).mean()), 4
        ),
        f"class_histogram{_thousands(count)}_{through}": np.bincount(
            classes, minlength=probabilities.shape[1]
        ).tolist(),
        f"classifier_test_accuracy_{through}": round(real.extractor.config.test_accuracy, 4),
    }


def _draw(sampler: Sampler, rows: Rows, count: int) -> NDArray[np.uint8]:
    seeds = range(FIRST_SEED, FIRST_SEED + count)
    parts = [seeds[start : start + DRAWN_AT_ONCE] for start in range(0, count, DRAWN_AT_ONCE)]
    return np.concatenate([sampler(rows(part)) for part in parts])


def _frechet_name(real: Reference, count: int) -> str:
    return f"frechet{_thousands(count)}_test{_thousands(len(real.features))}_{real.extractor.name}"


def _thousands(count: int) -> str:
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)
