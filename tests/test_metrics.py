"""The metrics against cases that can be worked out by hand."""

import numpy as np
import pytest

from model.metrics import frechet_distance, neighbourhoods


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


def test_far_away_set_is_none_of_it() -> None:
    features = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    near = neighbourhoods(features, features + 100)
    assert (near.precision, near.recall, near.coverage) == (0, 0, 0)


def test_one_mode_of_two_is_precise_but_half_complete() -> None:
    random = np.random.default_rng(0)
    left = random.normal(size=(400, 4)).astype(np.float32)
    right = left + np.float32(50)
    near = neighbourhoods(np.concatenate([left, right]), random.permutation(left))
    assert near.precision == 1
    assert near.recall == pytest.approx(0.5, abs=0.01)
    assert near.coverage == pytest.approx(0.5, abs=0.01)
