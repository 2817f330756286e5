"""How near generated pictures are to real ones: pure functions of feature vectors, (N, D) float
arrays.

They do not know what made the features. A metric means something only together with its
extractor and counts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Tick = Callable[[], None]  # called after each block of a long computation
BLOCK = 1024  # rows of a distance matrix held at once
HIGHER = ("psnr", "consistency")  # names of metrics of which more is better begin so
CLOSE = 0.01  # quantile of the held-out pictures' distances to the training ones: nearer is close


def frechet_distance(real: Features, fake: Features) -> float:
    """Computes the squared Frechet distance between Gaussians fitted to both sets; 0 is best.

    |m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r C_f)^(1/2)). Source: Heusel et al. (2017), equation 6,
    there on Inception features; the trace of the root is taken from the eigenvalues of C_r^(1/2)
    C_f C_r^(1/2).
    """
    mean_real, covariance_real = _gaussian(real)
    mean_fake, covariance_fake = _gaussian(fake)
    values, vectors = np.linalg.eigh(covariance_real)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ covariance_fake @ root)
    trace = np.trace(covariance_real) + np.trace(covariance_fake) - 2 * np.sqrt(cross.clip(0)).sum()
    return float(max(0.0, np.sum((mean_real - mean_fake) ** 2) + trace))


def is_better(name: str, value: float, other: float) -> bool:
    """Returns whether a value of the metric of that name is better than another."""
    return value > other if name.startswith(HIGHER) else value < other


def _no_tick() -> None:
    pass


def kernel_distance(
    real: Features,
    fake: Features,
    *,
    subsets: int,
    subset_size: int,
    seed: int = 0,
    tick: Tick = _no_tick,
) -> float:
    """Computes KID, the squared maximum mean discrepancy under the kernel (x.y / D + 1)^3; 0 is
    best, and as the estimate has no bias it may fall below.

    The mean over `subsets` draws of `subset_size` rows of each set, without replacement. Source:
    Binkowski et al. (2018), section 4; the estimate is Gretton et al. (2012), equation 3.
    """
    random = np.random.default_rng(seed)
    estimates = []
    for _ in range(subsets):
        one = real[random.choice(len(real), subset_size, replace=False)]
        other = fake[random.choice(len(fake), subset_size, replace=False)]
        estimates.append(_kernel_discrepancy(one, other))
        tick()
    return float(np.mean(estimates))


@dataclass(frozen=True)
class Neighbourhoods:
    """Fidelity and variety by nearest neighbours; 1 is best, and all but density end there."""

    precision: float  # share of generated pictures that lie among the real ones
    recall: float  # share of real pictures that lie among the generated ones
    density: float  # in how many real neighbourhoods a generated picture lies, over k
    coverage: float  # share of real pictures with a generated one nearby


def neighbourhoods(
    real: Features, fake: Features, k: int = 3, k_coverage: int = 5, tick: Tick = _no_tick
) -> Neighbourhoods:
    """Computes precision and recall (Kynkaanniemi et al. 2019, section 2), density and coverage
    (Naeem et al. 2020, section 3.2; with `k_coverage`).

    A point lies among a set if it is no farther from one of its members than that member's k-th
    neighbour.

    Raises:
        ValueError: a set has no more members than neighbours are asked for.
    """
    if min(len(real), len(fake)) <= max(k, k_coverage):
        raise ValueError(f"{len(real)} and {len(fake)} points have no {k_coverage} neighbours each")
    radii_real = _neighbour_distances(real, k, tick)
    radii_fake = _neighbour_distances(fake, k, tick)
    radii_coverage = _neighbour_distances(real, k_coverage, tick)
    inside_real = np.zeros(len(fake), bool)
    inside_fake = np.zeros(len(real), bool)
    covered = np.zeros(len(real), bool)
    memberships = 0
    for start in range(0, len(real), BLOCK):
        rows = slice(start, start + BLOCK)
        distances = _squared_distances(real[rows], fake)
        inside_real |= (distances <= radii_real[rows, None]).any(axis=0)
        inside_fake[rows] = (distances <= radii_fake[None, :]).any(axis=1)
        near = distances <= radii_coverage[rows, None]
        memberships += int(near.sum())
        covered[rows] = near.any(axis=1)
        tick()
    return Neighbourhoods(
        precision=float(inside_real.mean()),
        recall=float(inside_fake.mean()),
        density=memberships / (k_coverage * len(fake)),
        coverage=float(covered.mean()),
    )


@dataclass(frozen=True)
class Nearness:
    """Whether generated pictures are copies: how near the training pictures they lie, compared with
    real pictures that were held out.
    """

    ratio: float  # between the median distances; 1: as far as held-out pictures, 0: copies
    close: float  # share nearer than all but CLOSE of the held-out ones; CLOSE is to be expected


def nearness(
    train: Features, held_out: Features, fake: Features, tick: Tick = _no_tick
) -> Nearness:
    """Compares how far generated and held-out pictures are from their nearest training picture.

    In the manner of Meehan et al. (2020), who test whether the first tend to be the
    smaller.
    """
    of_fake, of_held_out = (nearest(train, points, tick)[0] for points in (fake, held_out))
    median = float(np.median(of_held_out))
    return Nearness(
        ratio=float(np.median(of_fake)) / median if median > 0 else 1.0,
        close=float((of_fake < np.quantile(of_held_out, CLOSE)).mean()),
    )


def nearest(
    members: Features, points: Features, tick: Tick = _no_tick
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns the distance of each point to the nearest member, and which one that is."""
    chosen = []
    for start in range(0, len(points), BLOCK // 4):
        block = points[start : start + BLOCK // 4]
        chosen.append(_squared_distances(block, members).argmin(axis=1))
        tick()
    index = np.concatenate(chosen)
    return np.linalg.norm(points - members[index], axis=1), index


@dataclass(frozen=True)
class Modes:
    """How many of a known number of modes are there, and how evenly."""

    found: int
    divergence: float  # Kullback-Leibler, from the uniform distribution, in nats; 0 is best


def modes(labels: NDArray[np.int64], count: int) -> Modes:
    """Counts the modes among the labels, the mode of each generated picture, from 0 to `count` - 1.
    Source: Metz et al. (2017), section 3.3.1, for the 1,000 modes of stacked digits.
    """
    shares = np.bincount(labels, minlength=count) / len(labels)
    there = shares[shares > 0]
    return Modes(found=len(there), divergence=float((there * np.log(there * count)).sum()))


def _gaussian(features: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    wide = features.astype(np.float64)
    return wide.mean(axis=0), np.atleast_2d(np.cov(wide, rowvar=False))


def _kernel_discrepancy(a: Features, b: Features) -> float:
    count = len(a)

    def total(x: Features, y: Features) -> float:
        kernel = x @ y.T / x.shape[1] + np.float32(1)
        cubes = kernel * kernel * kernel
        own = cubes.trace(dtype=np.float64) if x is y else 0.0  # a point is not compared to itself
        return float(cubes.sum(dtype=np.float64) - own)

    within = (total(a, a) + total(b, b)) / (count * (count - 1))
    return within - 2 * total(a, b) / count**2


def _neighbour_distances(features: Features, k: int, tick: Tick) -> NDArray[np.float32]:
    """Computes the squared distance of each point to its k-th nearest other one."""
    blocks = []
    for start in range(0, len(features), BLOCK):
        distances = _squared_distances(features[start : start + BLOCK], features)
        # position 0 of the sorted row is the point itself
        blocks.append(np.partition(distances, k, axis=1)[:, k])
        tick()
    return np.concatenate(blocks)


def _squared_distances(a: Features, b: Features) -> NDArray[np.float32]:
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2 * (a @ b.T)
    distances: NDArray[np.float32] = np.maximum(squares, 0)
    return distances
