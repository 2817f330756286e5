"""The metrics against cases that can be worked out by hand, against loops, and against
torch-fidelity's arithmetic where that is installed.
"""

import importlib
import math
from types import ModuleType

import numpy as np
import pytest

from model.metrics import (
    frechet_distance,
    kernel_distance,
    modes,
    nearest,
    nearness,
    neighbourhoods,
)


def points(count: int, dimensions: int, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, (count, dimensions)).astype(np.float32)


def fidelity(name: str) -> ModuleType:
    """Returns a module of torch-fidelity, or a skipped test."""
    try:
        return importlib.import_module(f"torch_fidelity.{name}")
    except (ImportError, RuntimeError):  # a torchvision of another torch raises the second
        pytest.skip("torch-fidelity is not installed")


def test_equal_sets_are_at_distance_zero() -> None:
    features = np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)


def test_shift_adds_its_squared_length() -> None:
    features = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    shifted = features + np.float32(2)
    assert frechet_distance(features, shifted) == pytest.approx(8 * 4, rel=1e-4)


def test_scaling_changes_the_distance_by_the_closed_form() -> None:
    # tr(C + a^2 C - 2 a C) = (1 - a)^2 tr(C) for centred features
    features = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    features -= features.mean(axis=0)
    trace = np.trace(np.cov(features, rowvar=False))
    assert frechet_distance(features, 3 * features) == pytest.approx(4 * trace, rel=1e-4)


def test_distance_of_unlike_covariances_matches_the_matrix_root() -> None:
    random = np.random.default_rng(1)
    a = (random.normal(size=(800, 5)) @ random.normal(size=(5, 5))).astype(np.float32)
    b = (random.normal(size=(800, 5)) @ random.normal(size=(5, 5)) + 1).astype(np.float32)
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root_trace = np.sqrt(np.linalg.eigvals(ca @ cb).real.clip(0)).sum()
    mean = ((a.mean(0) - b.mean(0)) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(
        mean + np.trace(ca + cb) - 2 * root_trace, rel=1e-3
    )


def test_equal_sets_are_precise_complete_and_covered() -> None:
    features = np.random.default_rng(0).normal(size=(1500, 4)).astype(np.float32)
    near = neighbourhoods(features, features)
    assert (near.precision, near.recall, near.coverage) == (1, 1, 1)
    # each point lies in its own neighbourhood and in those of about five others
    assert near.density == pytest.approx(1.2, abs=0.01)


def test_far_away_set_is_none_of_it() -> None:
    features = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    near = neighbourhoods(features, features + 100)
    assert (near.precision, near.recall, near.density, near.coverage) == (0, 0, 0, 0)


def test_one_mode_of_two_is_precise_but_half_complete() -> None:
    random = np.random.default_rng(0)
    left = random.normal(size=(400, 4)).astype(np.float32)
    right = left + np.float32(50)
    near = neighbourhoods(np.concatenate([left, right]), random.permutation(left))
    assert near.precision == 1
    assert near.recall == pytest.approx(0.5, abs=0.01)
    assert near.coverage == pytest.approx(0.5, abs=0.01)


def test_neighbourhoods_equal_a_count_point_by_point() -> None:
    real, fake = points(60, 3), points(50, 3, seed=1, mean=0.5)
    near = neighbourhoods(real, fake)

    def radii(members: np.ndarray, k: int) -> list[float]:
        return [sorted(math.dist(a, b) for b in members)[k] for a in members]

    inside = [[math.dist(x, y) <= radius for x, radius in zip(real, radii(real, 3), strict=True)]
              for y in fake]  # fmt: skip
    assert near.precision == pytest.approx(np.any(inside, axis=1).mean())
    inside = [[math.dist(x, y) <= radius for y, radius in zip(fake, radii(fake, 3), strict=True)]
              for x in real]  # fmt: skip
    assert near.recall == pytest.approx(np.any(inside, axis=1).mean())
    inside = [[math.dist(x, y) <= radius for x, radius in zip(real, radii(real, 5), strict=True)]
              for y in fake]  # fmt: skip
    assert near.density == pytest.approx(np.sum(inside) / (5 * 50))
    assert near.coverage == pytest.approx(np.any(inside, axis=0).mean())


def test_crowding_at_one_real_point_is_dense_but_does_not_cover() -> None:
    real = points(400, 4)
    crowded = real[np.linalg.norm(real, axis=1).argmin()]
    near = neighbourhoods(real, np.repeat(crowded[None], 50, axis=0))
    assert near.density > 1
    assert near.coverage < 0.05


def test_too_few_points_for_their_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match="5 neighbours"):
        neighbourhoods(points(5, 2), points(50, 2))


def test_kernel_distance_equals_the_sums_written_out() -> None:
    real, fake = points(7, 3), points(7, 3, seed=1, mean=0.3)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (float(np.dot(x, y)) / 3 + 1) ** 3

    within = sum(
        kernel(part[i], part[j])
        for part in (real, fake)
        for i in range(7)
        for j in range(7)
        if i != j
    )
    between = sum(kernel(x, y) for x in real for y in fake)
    wanted = within / (7 * 6) - 2 * between / 7**2
    assert kernel_distance(real, fake, subsets=1, subset_size=7) == pytest.approx(wanted, rel=1e-4)


def test_kernel_distance_in_one_dimension_compares_three_moments() -> None:
    # (x y + 1)^3 = 1 + 3 x y + 3 x^2 y^2 + x^3 y^3, so the discrepancy is 3 (difference of the
    # means)^2 + 3 (of the second moments)^2 + (of the third)^2: for N(0, 1) and N(1, 1) 3 + 3 + 16
    found = kernel_distance(
        points(20_000, 1), points(20_000, 1, seed=1, mean=1), subsets=100, subset_size=1000
    )
    assert found == pytest.approx(22, rel=0.05)


def test_kernel_distance_of_equal_distributions_is_near_zero_on_either_side() -> None:
    found = [
        kernel_distance(points(500, 8), points(500, 8, seed=seed), subsets=1, subset_size=500)
        for seed in range(1, 30)
    ]
    assert min(found) < 0 < max(found)
    assert abs(np.mean(found)) < np.std(found)


def test_kernel_distance_draws_its_subsets_by_seed() -> None:
    real, fake = points(300, 4), points(300, 4, seed=1)
    first, again, other = (
        kernel_distance(real, fake, subsets=5, subset_size=100, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_nearest_names_the_nearest_member() -> None:
    members, queries = points(700, 5), points(300, 5, seed=1)
    distances, index = nearest(members, queries)
    every = np.linalg.norm(queries[:, None] - members[None], axis=2)
    assert np.array_equal(index, every.argmin(axis=1))
    assert np.allclose(distances, every.min(axis=1), rtol=1e-5)


def test_copies_are_near_and_new_pictures_as_far_as_held_out_ones() -> None:
    train, held_out = points(2000, 4), points(1000, 4, seed=1)
    copies = nearness(train, held_out, train[:500])
    assert (copies.ratio, copies.close) == (0, 1)
    new = nearness(train, held_out, points(3000, 4, seed=2))
    assert new.ratio == pytest.approx(1, abs=0.05)
    assert new.close == pytest.approx(0.01, abs=0.006)
    half = nearness(train, held_out, np.concatenate([train[:500], points(500, 4, seed=2)]))
    assert half.close == pytest.approx(0.505, abs=0.01)


def test_scaling_all_features_leaves_nearness_as_it_is() -> None:
    train, held_out, fake = (points(400, 4, seed=seed) for seed in range(3))
    plain, scaled = nearness(train, held_out, fake), nearness(9 * train, 9 * held_out, 9 * fake)
    assert plain.close == scaled.close
    assert plain.ratio == pytest.approx(scaled.ratio, rel=1e-5)


@pytest.mark.parametrize(
    ("labels", "found", "divergence"),
    [
        pytest.param(np.arange(1000), 1000, 0.0, id="uniform"),
        pytest.param(np.zeros(50, np.int64), 1, math.log(1000), id="one mode"),
        pytest.param(np.arange(200) % 100, 100, math.log(10), id="a tenth of the modes"),
        pytest.param(
            np.array([0, 0, 0, 1]),
            2,
            0.75 * math.log(750) + 0.25 * math.log(250),
            id="two, unequal",
        ),
    ],
)
def test_modes_are_counted_and_compared_with_the_uniform_distribution(
    labels: np.ndarray, found: int, divergence: float
) -> None:
    counted = modes(labels, 1000)
    assert counted.found == found
    assert counted.divergence == pytest.approx(divergence, abs=1e-9)


def test_frechet_distance_is_torch_fidelitys() -> None:
    theirs = fidelity("metric_fid")
    real, fake = points(900, 24) @ points(24, 24, seed=5), points(800, 24, seed=1, mean=0.2)
    means = [part.mean(axis=0, dtype=np.float64) for part in (real, fake)]
    spreads = [np.cov(part.astype(np.float64), rowvar=False) for part in (real, fake)]
    wanted = theirs.fid_statistics_to_metric(
        {"mu": means[0], "sigma": spreads[0]}, {"mu": means[1], "sigma": spreads[1]}, verbose=False
    )["frechet_inception_distance"]
    assert frechet_distance(real, fake) == pytest.approx(wanted, rel=1e-6)


def test_kernel_distance_is_torch_fidelitys() -> None:
    theirs = fidelity("metric_kid")
    real, fake = points(400, 24), points(400, 24, seed=1, mean=0.2)
    wanted = theirs.mmd2(
        theirs.kernel_poly(real.astype(np.float64), real),
        theirs.kernel_poly(real.astype(np.float64), fake),
        theirs.kernel_poly(fake.astype(np.float64), fake),
    )
    found = kernel_distance(real, fake, subsets=1, subset_size=400)
    assert found == pytest.approx(wanted, rel=1e-4)


def test_precision_and_recall_are_torch_fidelitys() -> None:
    theirs = fidelity("metric_prc")
    torch = importlib.import_module("torch")
    real, fake = points(600, 8), points(500, 8, seed=1, mean=0.4)
    precision, recall = theirs.calculate_precision_recall_full(
        torch.from_numpy(fake), torch.from_numpy(real)
    )
    near = neighbourhoods(real, fake)
    assert near.precision == pytest.approx(precision, abs=2e-3)  # a point on a sphere may differ
    assert near.recall == pytest.approx(recall, abs=2e-3)
