"""How near generated pictures are to real ones: pure functions of feature vectors, (N, D) float
arrays.

They do not know what made the features. A figure means something only with its extractor and counts
beside it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
BLOCK = 1024  # rows of a distance matrix held at once


def frechet_distance(real: Features, fake: Features) -> float:
    """Squared Frechet distance between Gaussians fitted to both sets; 0 is best.

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


@dataclass(frozen=True)
class Neighbourhoods:
    """Fidelity and variety by nearest neighbours; each from 0 to 1, 1 is best."""

    precision: float  # share of generated pictures that lie among the real ones
    recall: float  # share of real pictures that lie among the generated ones
    coverage: float  # share of real pictures with a generated one nearby


def neighbourhoods(
    real: Features, fake: Features, k: int = 3, k_coverage: int = 5
) -> Neighbourhoods:
    """Precision and recall (Kynkaanniemi et al. 2019, section 2) and coverage (Naeem et al. 2020,
    equation 9).

    A point lies among a set if it is no farther from one of its members than that member's k-th
    neighbour.
    """
    radii_real = _neighbour_distances(real, k)
    radii_fake = _neighbour_distances(fake, k)
    radii_coverage = _neighbour_distances(real, k_coverage)
    inside_real = np.zeros(len(fake), bool)
    inside_fake = np.zeros(len(real), bool)
    covered = np.zeros(len(real), bool)
    for start in range(0, len(real), BLOCK):
        rows = slice(start, start + BLOCK)
        distances = _squared_distances(real[rows], fake)
        inside_real |= (distances <= radii_real[rows, None]).any(axis=0)
        inside_fake[rows] = (distances <= radii_fake[None, :]).any(axis=1)
        covered[rows] = distances.min(axis=1) <= radii_coverage[rows]
    return Neighbourhoods(
        precision=float(inside_real.mean()),
        recall=float(inside_fake.mean()),
        coverage=float(covered.mean()),
    )


def _gaussian(features: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    wide = features.astype(np.float64)
    return wide.mean(axis=0), np.atleast_2d(np.cov(wide, rowvar=False))


def _neighbour_distances(features: Features, k: int) -> NDArray[np.float32]:
    """Squared distance of each point to its k-th nearest other one."""
    blocks = [
        # position 0 of the sorted row is the point itself
        np.partition(_squared_distances(features[start : start + BLOCK], features), k, axis=1)[:, k]
        for start in range(0, len(features), BLOCK)
    ]
    return np.concatenate(blocks)


def _squared_distances(a: Features, b: Features) -> NDArray[np.float32]:
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2 * (a @ b.T)
    distances: NDArray[np.float32] = np.maximum(squares, 0)
    return distances
