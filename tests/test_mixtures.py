"""What the techniques cure, on mixtures of Gaussians in the plane, by the article's own steps."""

import pytest
import torch

from tests.toy_mixtures import GRID, RING, SAMPLES, drawn, modes_found, play

STEPS, GRID_STEPS = 500, 3000
MINIBATCHES = ("minibatch-discrimination",)
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2, 3, 4))]


def test_only_real_modes_are_counted() -> None:
    torch.manual_seed(0)
    assert modes_found(RING, drawn(RING, SAMPLES)) == 8
    assert modes_found(RING, drawn(RING[:3], SAMPLES)) == 3
    assert modes_found(RING, torch.zeros(SAMPLES, 2)) == 0


def test_plain_game_loses_most_modes_of_a_ring() -> None:
    assert modes_found(RING, play(RING, (), STEPS, seed=0)) <= 4


@pytest.mark.long
def test_plain_game_loses_modes_of_a_grid() -> None:
    assert modes_found(GRID, play(GRID, (), GRID_STEPS, seed=0, batch=128)) <= 20


@pytest.mark.parametrize("seed", SEEDS)
def test_minibatch_discrimination_finds_all_modes_of_a_ring(seed: int) -> None:
    assert modes_found(RING, play(RING, MINIBATCHES, STEPS, seed)) == 8


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_minibatch_discrimination_finds_the_modes_of_a_grid(seed: int) -> None:
    assert modes_found(GRID, play(GRID, MINIBATCHES, GRID_STEPS, seed, batch=128)) >= 24
