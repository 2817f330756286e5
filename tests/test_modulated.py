"""The generator with modulated norms: its cost, its shapes, and what every runtime makes of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.generator_file import GeneratorFile, read_generator_file
from model.networks.families.modulated import ModulatedConfig
from model.networks.modulated import Generator
from model.networks.registry import network_from_dict, network_to_dict
from model.networks.residual import Discriminator
from model.samplers.pytorch import generator_weights, load_generator, plain_sampler
from model.samplers.sampler import check_bytes, load_sampler
from tests.conftest import write_tiny_residual

CPU, SIZES = torch.device("cpu"), torch.device("meta")  # there nothing is computed
TINY = ModulatedConfig(z_dim=8, classes=3, resolution=32, width=16, discriminator_width=16)


@pytest.mark.parametrize(("resolution", "most"), [(32, 0.2e9), (64, 0.3e9), (128, 0.5e9)])
def test_picture_costs_no_more_than_is_promised(resolution: int, most: float) -> None:
    with torch.no_grad(), SIZES, FlopCounterMode(display=False) as counter:
        generator = Generator(ModulatedConfig(resolution=resolution, classes=4)).eval()
        images = generator(torch.zeros(1, 68))
    assert images.shape == (1, 3, resolution, resolution)
    assert 0.5 * most < counter.get_total_flops() / 2 <= most


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [0, 3])
def test_shapes_are_those_of_the_network(channels: int, classes: int) -> None:
    config = replace(TINY, channels=channels, classes=classes)
    generator = Generator(config)
    found = {name: value.shape for name, value in generator_weights(generator).items()}
    assert found == config.generator_shapes()
    images = generator(torch.randn(2, 8 + classes))
    assert images.shape == (2, channels, 32, 32)
    assert Discriminator(config)(images, torch.zeros(2, classes)).shape == (2,)
    assert network_from_dict(network_to_dict(config)) == config


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"code_dim": 0}, "code_dim is 0; allowed: 1 to 4096"),
        ({"width": 3}, "multiple of 8"),
        ({"classes": 1001}, "allowed: 0 to 1000"),
    ],
)
def test_shape_that_cannot_be_is_refused(fields: dict[str, int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        ModulatedConfig(**{"resolution": 64, **fields})


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> GeneratorFile:
    """Returns an untrained one whose norms have seen something."""
    folder: Path = tmp_path_factory.mktemp("generators") / "faces"
    return read_generator_file(write_tiny_residual(folder, TINY))


def test_class_and_latent_move_the_norms(file: GeneratorFile) -> None:
    generator = load_generator(file).eval()
    assert isinstance(generator, Generator)
    seen: list[torch.Tensor] = []
    norm = generator.stages[1].second_norm
    norm.modulation.register_forward_hook(lambda *parts: seen.append(parts[2]))
    rows = torch.from_numpy(file.config.rows([1, 2], 0))
    generator(torch.cat([rows, torch.from_numpy(file.config.rows([1], 1))]))
    (modulations,) = seen
    assert not torch.allclose(modulations[0], modulations[1])  # another latent
    assert not torch.allclose(modulations[0], modulations[2])  # another class


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_runtime_draws_what_the_network_draws(file: GeneratorFile, precision: str) -> None:
    rows = file.config.rows(range(40))
    wanted = plain_sampler(load_generator(file), file.config.crop, CPU)(rows).astype(int)
    found = load_sampler(file, "cpu", precision)(rows)  # type: ignore[arg-type]
    assert found.shape == (40, 32, 32, 3)
    difference = np.abs(found - wanted)
    assert difference.max() <= 1 if precision == "fp32" else difference.mean() < 2
    assert len({picture.tobytes() for picture in found}) == 40


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("threads", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_picture_is_the_same_in_any_batch(
    file: GeneratorFile, precision: str, threads: int
) -> None:
    sampler = load_sampler(file, "cpu", precision, threads)  # type: ignore[arg-type]
    check_bytes(sampler, [1, 2, 3, 4, 5, 7, 8, 16])
    rows = file.config.rows(range(23))
    some = range(0, 23, 5)
    alone = np.concatenate([sampler(rows[place : place + 1]) for place in some])
    assert np.array_equal(sampler(rows)[some], alone)


@pytest.mark.slow
def test_modern_presets_network_is_the_same_in_any_batch(tmp_path: Path) -> None:
    """Kernels are chosen by size, so the tiny network shows too little."""
    network = ModulatedConfig(resolution=64, classes=4)
    file = read_generator_file(write_tiny_residual(tmp_path / "full", network, crop=64))
    rows = file.config.rows(range(5))
    one, two = (load_sampler(file, "cpu", "fp32", threads) for threads in (1, 2))
    whole = two(rows)
    for sampler in (one, two):
        for size in (1, 2, 3):
            parts = [sampler(rows[start : start + size]) for start in range(0, 5, size)]
            assert np.array_equal(whole, np.concatenate(parts))
