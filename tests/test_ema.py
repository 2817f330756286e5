"""The slow copy of the generator."""

import pytest
import torch

from model.latent_space.latents import sample_latents
from model.networks.dcgan import Generator
from model.training import ema
from tests.conftest import TINY


def test_half_is_left_after_the_half_life() -> None:
    keep = ema.decay(batch=100, images_seen=10**9, half_life=10_000, ramp=0.05)
    assert keep**100 == pytest.approx(0.5)


def test_early_half_life_is_a_share_of_the_images_seen() -> None:
    keep = ema.decay(batch=100, images_seen=2000, half_life=10_000, ramp=0.05)
    assert keep == pytest.approx(0.5)  # 5 % of 2,000 images is one batch
    assert ema.decay(batch=100, images_seen=0, half_life=10_000, ramp=0.05) == 0


def test_without_a_ramp_the_half_life_is_there_from_the_first_step() -> None:
    keep = ema.decay(batch=100, images_seen=100, half_life=10_000, ramp=0.0)
    assert keep**100 == pytest.approx(0.5)


def statistics(generator: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the running mean and variance of the first batch norm."""
    norm = next(one for one in generator.modules() if isinstance(one, torch.nn.BatchNorm2d))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def test_update_moves_weights_and_copies_statistics() -> None:
    source, average = Generator(TINY), Generator(TINY)
    mean, copied = statistics(source)[0], statistics(average)[0]
    mean.fill_(3.0)
    before = average.dense.weight.detach().clone()
    ema.update(average, source, keep=0.75)
    assert torch.allclose(average.dense.weight, 0.75 * before + 0.25 * source.dense.weight)
    assert torch.equal(copied, mean)


def test_slow_copy_is_equal_and_takes_no_gradients() -> None:
    generator = Generator(TINY)
    average = ema.slow_copy(generator)
    assert torch.equal(average.get_parameter("dense.weight"), generator.dense.weight)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert all(parameter.requires_grad for parameter in generator.parameters())


def test_statistics_are_those_of_the_averaged_weights() -> None:
    torch.manual_seed(0)
    average = ema.slow_copy(Generator(TINY))
    for buffer in average.buffers():
        buffer.fill_(99)  # as wrong as can be
    generator = ema.with_own_statistics(average, "uniform")
    z = torch.from_numpy(sample_latents(range(5000), TINY.z_dim, "uniform"))
    with torch.no_grad():
        x = generator.get_submodule("dense")(z).view(-1, TINY.width, 4, 4)
    mean, variance = statistics(generator)
    scale = x.std().item()
    assert torch.allclose(mean, x.mean((0, 2, 3)), atol=0.05 * scale)
    assert torch.allclose(variance, x.var((0, 2, 3)), rtol=0.1)
    assert not generator.training
    assert statistics(average)[0][0] == 99  # the average itself is left alone
