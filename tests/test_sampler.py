"""A picture depends on its latent alone."""

import numpy as np
import pytest
import torch

from model.latents import sample_latents
from model.networks.config import DCGANConfig
from model.networks.dcgan import Generator
from model.sampler import DeviceError, TorchSampler, resolve_device

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sampler() -> TorchSampler:
    """The article's own network: kernels are chosen by size, so a tiny one would prove little."""
    torch.manual_seed(0)
    generator = Generator(DCGANConfig(channels=1))
    for parameter in generator.parameters():
        parameter.data.mul_(3)
    return TorchSampler(generator, 28, CPU)


@pytest.mark.parametrize("count", [2, 3, 5, 8, 13, 64])
def test_picture_is_the_same_in_any_batch(sampler: TorchSampler, count: int) -> None:
    z = sample_latents(range(count), 100, "uniform")
    together = sampler(z)
    alone = np.concatenate([sampler(row[None]) for row in z])
    assert np.array_equal(together, alone)


def test_picture_is_the_same_at_any_place_in_the_batch(sampler: TorchSampler) -> None:
    z = sample_latents(range(8), 100, "uniform")
    plain = sampler(z)
    for shift in range(1, 8):
        assert np.array_equal(sampler(np.roll(z, shift, axis=0)), np.roll(plain, shift, axis=0))


def test_neighbours_of_any_size_leave_a_picture_alone(sampler: TorchSampler) -> None:
    z = sample_latents(range(8), 100, "uniform")
    wild = z.copy()
    wild[1:] = 10.0
    assert np.array_equal(sampler(z)[0], sampler(wild)[0])


def test_pictures_differ_by_seed_and_have_the_served_size(sampler: TorchSampler) -> None:
    pixels = sampler(sample_latents(range(20), 100, "uniform"))
    assert pixels.shape == (20, 28, 28, 1)
    assert pixels.dtype == np.uint8
    assert len({picture.tobytes() for picture in pixels}) == 20


def test_no_latents_give_no_pictures(sampler: TorchSampler) -> None:
    assert sampler(np.empty((0, 100), np.float32)).shape == (0, 28, 28, 1)


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "", "CPU"])
def test_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="allowed: auto, cpu"):
        resolve_device(name)


def test_auto_is_a_device_that_is_there() -> None:
    assert resolve_device("auto").type in ("cpu", "cuda")
    assert resolve_device("cpu") == CPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_draws_what_the_cpu_draws() -> None:
    torch.manual_seed(0)
    generator = Generator(DCGANConfig(channels=1))
    z = sample_latents(range(32), 100, "uniform")
    cpu = TorchSampler(generator, 28, CPU)(z)
    gpu = TorchSampler(generator, 28, torch.device("cuda"))(z)
    assert np.abs(cpu.astype(int) - gpu.astype(int)).max() <= 1
