"""Judges a run from what it measures of itself: metrics in, sentences for people out.

    statistics of steps, spread of pictures, quality of snapshots  ->  {kind of fault: what to do}

Pure functions: they keep nothing, write nothing and know no loop. The thresholds of `of_stats` are
those of the modern loss, with which a healthy run settles at a loss of the generator near 2 and of
the discriminator near 0.4; of the other losses it says nothing.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model.metrics import is_better
from model.training.presets import TrainConfig

WINDOW = 30  # rows of statistics, of ten steps each, of which the median counts
OVERPOWERED = 4.0  # loss of the generator
UNSTEADY = 2.0  # loss of the discriminator; one that guesses has 0.69
OFTEN = 0.1  # share of the rows
BLIND = 0.02  # distance from the loss of guessing, and between real and generated logits
FEW, AUGMENT = 5000, 0.3  # pictures, for which so much augmentation helps
ALIKE = 0.5  # spread of generated pictures over that of real ones
EARLY = 10_000  # images seen, before which a spread says little
STUCK = 10  # snapshots without a better one
MEMORISED = 50  # passes, from which a small set may be memorised

PENALISED = ("modern", "relativistic")  # losses that have --gamma and --augment
Faults = dict[str, str]


def of_stats(rows: Sequence[Mapping[str, float]], config: TrainConfig, pictures: int) -> Faults:
    """Judges the losses of the last steps, once there are WINDOW rows of them."""
    if config.objective != "modern" or len(rows) < WINDOW:
        return {}
    loss_d, loss_g, real, fake = (
        float(np.median([row[name] for row in rows]))
        for name in ("loss_d", "loss_g", "d_real", "d_fake")
    )
    rate, batch = _slower(config)
    wrong = sum(row["loss_d"] > UNSTEADY for row in rows) / len(rows)
    if wrong >= OFTEN:
        return {
            "unsteady": f"the discriminator does worse than guessing again and again ({wrong:.0%} "
            f"of the last steps): both networks swing. Start anew with {rate} or {batch}"
        }
    if loss_g > OVERPOWERED:
        gamma = max(4 * config.gamma, 1.0)
        few = f", with --augment {AUGMENT}" if _few(config, pictures) else ""
        return {
            "overpowered": f"the discriminator is far ahead (loss_g {loss_g:.1f}, about 2 is "
            "healthy), so the generator learns little. Start anew with --gamma "
            f"{gamma:g} (now {config.gamma:g}){few}, or with {rate}"
        }
    if abs(loss_d - math.log(2)) < BLIND and abs(real - fake) < BLIND:
        return {
            "blind": "the discriminator has collapsed: it does no better than guessing (loss_d "
            f"{loss_d:.2f}), so the generator learns nothing. Start anew with --gamma "
            f"{config.gamma / 4:g} (now {config.gamma:g}) or a larger --discriminator-width"
        }
    return {}


def spread(pixels: NDArray[np.uint8], labels: NDArray[np.int64] | None = None) -> float:
    """Returns the mean distance between two pictures (N, H, W, C), of the same class where there
    are labels: root mean square, 2 is black and white. 0 where there are no such two.
    """
    flat = pixels.reshape(len(pixels), -1).astype(np.float64) / 127.5
    squares = (flat**2).sum(1)
    between = squares[:, None] + squares - 2 * flat @ flat.T
    distances = np.sqrt(np.maximum(between, 0) / flat.shape[1])
    pairs = ~np.eye(len(flat), dtype=bool)
    if labels is not None:
        pairs &= labels[:, None] == labels
    return float(distances[pairs].mean()) if pairs.any() else 0.0


def of_pictures(share: float, seen: int, config: TrainConfig) -> Faults:
    """Judges the spread of generated pictures, as a share of that of real ones."""
    if seen < EARLY or share >= ALIKE:
        return {}
    gamma = ["a larger --gamma"] if config.objective in PENALISED else []
    return {
        "alike": f"the generated pictures are alike ({share:.0%} of the distance between real "
        "ones): the generator is collapsing. Ship `best`, or start anew with "
        f"{' or '.join([*_slower(config), *gamma])}"
    }


def of_metrics(
    rows: Sequence[Mapping[str, float]], name: str, config: TrainConfig, pictures: int
) -> Faults:
    """Judges the quality metric of that name, as `stuck` does."""
    found = stuck(rows, name)
    passes = rows[-1]["images_seen"] / pictures if rows else 0.0
    if found and passes > MEMORISED and _few(config, pictures):
        found["stuck"] += (
            f". Each of the {pictures:,} pictures has been seen {passes:.0f} times: more of them, "
            f"or --augment {AUGMENT} in a new run, would carry further"
        )
    return found


def stuck(rows: Sequence[Mapping[str, float]], name: str) -> Faults:
    """Judges at every STUCK-th snapshot after the best by the metric of that name."""
    found = [(row[name], row["images_seen"]) for row in rows if name in row]
    best = 0
    for at, (value, _) in enumerate(found):
        best = at if is_better(name, value, found[best][0]) else best
    since = len(found) - 1 - best
    if not since or since % STUCK:
        return {}
    images = found[-1][1] - found[best][1]
    return {
        "stuck": f"not better for {images:,.0f} images, {since} snapshots; ship `best`, or stop"
    }


def _slower(config: TrainConfig) -> list[str]:
    """Returns options for smaller steps; with the loss `article` only the batch can change."""
    rate = f"--learning-rate {config.learning_rate / 2:g} (now {config.learning_rate:g})"
    return [rate] * (config.objective != "article") + [f"--batch {2 * config.batch}"]


def _few(config: TrainConfig, pictures: int) -> bool:
    """Returns whether a set is small, and could be augmented more."""
    return config.objective in PENALISED and pictures < FEW and config.augmentation < AUGMENT
