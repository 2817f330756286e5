"""The losses against their closed forms."""

import math

import pytest
import torch

from model.training.losses import discriminator_loss, generator_loss


def cross_entropy(logit: float, label: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -label * math.log(p) - (1 - label) * math.log(1 - p)


def test_discriminator_loss_is_the_sum_of_smoothed_real_and_plain_fake() -> None:
    real, fake = [0.3, -1.2, 2.0], [0.1, 0.7, -3.0]
    wanted = (
        sum(cross_entropy(x, 0.9) for x in real) / 3 + sum(cross_entropy(x, 0) for x in fake) / 3
    )
    found = discriminator_loss(torch.tensor(real), torch.tensor(fake), smoothing=0.1)
    assert found.item() == pytest.approx(wanted, rel=1e-6)


def test_generator_loss_labels_its_images_real_without_smoothing() -> None:
    fake = [0.1, 0.7, -3.0]
    wanted = sum(cross_entropy(x, 1) for x in fake) / 3
    assert generator_loss(torch.tensor(fake)).item() == pytest.approx(wanted, rel=1e-6)


def test_undecided_discriminator_has_the_known_loss() -> None:
    zeros = torch.zeros(5)
    assert discriminator_loss(zeros, zeros, 0.1).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(zeros).item() == pytest.approx(math.log(2))
