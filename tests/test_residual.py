"""The residual networks: their shapes, their start, and that every runtime draws them alike."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.generator_file import GeneratorFileError, read_generator_file
from model.latent_space.latents import sample_latents, sample_rows
from model.networks.families.residual import ResidualConfig
from model.networks.registry import network_from_dict, network_to_dict
from model.networks.residual import Block, Discriminator, Generator
from model.samplers.onnx import OnnxSampler
from model.samplers.pytorch import generator_weights, load_generator, plain_sampler
from model.samplers.sampler import check_bytes, load_sampler
from tests.conftest import CLASSES, TINY_RESIDUAL, edit_json, write_tiny_residual

CPU, SIZES = torch.device("cpu"), torch.device("meta")  # there nothing is computed


@pytest.mark.parametrize(
    ("resolution", "multiply_adds"), [(32, 0.18e9), (64, 0.26e9), (128, 0.34e9)]
)
def test_picture_costs_what_is_wanted(resolution: int, multiply_adds: float) -> None:
    with torch.no_grad(), SIZES, FlopCounterMode(display=False) as counter:
        images = Generator(ResidualConfig(resolution=resolution, classes=4))(torch.zeros(1, 68))
    assert images.shape == (1, 3, resolution, resolution)
    assert counter.get_total_flops() / 2 == pytest.approx(multiply_adds, rel=0.05)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [0, 3])
def test_shapes_are_those_of_the_network(channels: int, classes: int) -> None:
    config = ResidualConfig(
        z_dim=5, classes=classes, resolution=32, channels=channels, width=8, blocks=2,
        discriminator_width=8,
    )  # fmt: skip
    generator = Generator(config)
    found = {name: value.shape for name, value in generator_weights(generator).items()}
    assert found == config.generator_shapes()
    images = generator(torch.randn(2, 5 + classes))
    assert images.shape == (2, channels, 32, 32)
    assert Discriminator(config)(images, torch.zeros(2, classes)).shape == (2,)
    assert network_from_dict(network_to_dict(config)) == config


def test_blocks_start_as_nothing() -> None:
    generator = Generator(ResidualConfig(width=8))
    blocks = [m for m in generator.modules() if isinstance(m, Block)]
    assert len(blocks) == 4
    for block in blocks:
        x = torch.randn(2, block.first.in_channels, 6, 6)
        assert torch.equal(block(x), x)
        assert block.first.weight.any()


def test_first_pictures_have_no_grid() -> None:
    """What alternates from pixel to pixel is small beside the rest."""
    torch.manual_seed(0)
    with torch.no_grad():
        images = Generator(ResidualConfig(resolution=32, width=16))(torch.randn(16, 64))
    signs = torch.tensor([1.0, -1.0]).repeat(16)
    for pattern in (signs[:, None] * signs, signs[:, None].expand(32, 32), signs.expand(32, 32)):
        alternating = (images * pattern).mean(dim=(2, 3)).square().mean().sqrt()
        assert alternating < 0.1 * images.std()


def test_class_moves_the_picture_from_the_start() -> None:
    torch.manual_seed(0)
    config = ResidualConfig(classes=3, resolution=32, width=64)
    generator = Generator(config)
    z = torch.randn(64, 64)
    one, other = (
        generator(torch.cat([z, torch.eye(3)[place].expand(64, 3)], 1)) for place in (0, 1)
    )
    between_classes = (one - other).square().mean()
    between_latents = (one - one.roll(1, 0)).square().mean()
    assert 0.3 < between_classes / between_latents < 3


def test_discriminator_compares_with_the_class() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(ResidualConfig(classes=3, resolution=32, discriminator_width=8))
    images = torch.randn(2, 3, 32, 32)
    logits = [discriminator(images, torch.eye(3)[[place] * 2]) for place in range(3)]
    assert not torch.allclose(logits[0], logits[1])
    both = discriminator(images, torch.tensor([[0.5, 0.5, 0.0]] * 2))
    assert torch.allclose(both, (logits[0] + logits[1]) / 2, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"width": 3}, "multiple of 8"),
        ({"classes": -1}, "allowed: 0 to 1000"),
        ({"blocks": 0}, "allowed: 1 to 16"),
        ({"resolution": 48}, "allowed: 8, 16"),
        ({"channels": 4}, "grey"),
        ({"z_dim": 0}, "allowed: 1 to 4096"),
    ],
)
def test_shape_that_cannot_be_is_refused(fields: dict[str, int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        ResidualConfig(**{"resolution": 64, **fields})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_residual(tmp_path_factory.mktemp("generators") / "faces")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_runtime_draws_what_the_network_draws(folder: Path, precision: str) -> None:
    file = read_generator_file(folder)
    rows = file.config.rows(range(40))
    wanted = plain_sampler(load_generator(file), file.config.crop, CPU)(rows).astype(int)
    found = load_sampler(file, "cpu", precision)(rows)  # type: ignore[arg-type]
    assert found.shape == (40, 32, 32, 3)
    difference = np.abs(found - wanted)
    assert difference.max() <= 1 if precision == "fp32" else difference.mean() < 1
    assert len({picture.tobytes() for picture in found}) == 40


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("threads", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_picture_is_the_same_in_any_batch(folder: Path, precision: str, threads: int) -> None:
    file = read_generator_file(folder)
    sampler = load_sampler(file, "cpu", precision, threads)  # type: ignore[arg-type]
    check_bytes(sampler, [1, 2, 3, 4, 5, 7, 8, 16])
    rows = file.config.rows(range(23))
    some = range(0, 23, 5)
    alone = np.concatenate([sampler(rows[place : place + 1]) for place in some])
    assert np.array_equal(sampler(rows)[some], alone)


def test_modern_presets_network_is_the_same_in_any_batch(tmp_path: Path) -> None:
    """Kernels are chosen by size, so the tiny network shows too little."""
    network = ResidualConfig(resolution=64, classes=4)
    file = read_generator_file(write_tiny_residual(tmp_path / "full", network, crop=64))
    one, two = (OnnxSampler(file, threads) for threads in (1, 2))
    rows = file.config.rows(range(9))
    whole = two(rows)
    for sampler in (one, two):
        for size in (1, 2, 3, 5):
            parts = [sampler(rows[start : start + size]) for start in range(0, 9, size)]
            assert np.array_equal(whole, np.concatenate(parts))


def test_seeds_class_is_its_own_and_can_be_chosen() -> None:
    rows = sample_rows(range(3000), 7, "normal", 3)
    assert np.array_equal(rows[:, :7], sample_latents(range(3000), 7, "normal"))
    classes = rows[:, 7:]
    assert np.array_equal(np.unique(classes), [0.0, 1.0])
    assert np.array_equal(classes.sum(1), np.ones(3000))
    assert np.abs(classes.mean(0) - 1 / 3).max() < 0.03
    chosen = sample_rows(range(5), 7, "normal", 3, 2)
    assert np.array_equal(chosen[:, :7], rows[:5, :7])
    assert np.array_equal(chosen[:, 7:], [[0, 0, 1]] * 5)


def test_classes_of_the_first_seeds_never_change() -> None:
    rows = sample_rows(range(16), TINY_RESIDUAL.z_dim, "normal", TINY_RESIDUAL.classes)
    found = rows[:, TINY_RESIDUAL.z_dim :].argmax(1).tolist()
    assert found == [0, 1, 2, 0, 0, 2, 1, 0, 0, 2, 1, 0, 2, 1, 0, 1]


@pytest.mark.parametrize(
    "classes", [["one"], ["one", "one", "two"], ["one", "two", "three", "four"], None]
)
def test_classes_must_be_those_of_the_network(
    folder: Path, tmp_path: Path, classes: list[str] | None
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    edit_json(copy / "config.json", classes=classes)
    with pytest.raises(GeneratorFileError, match="different classes are named, the network has 3"):
        read_generator_file(copy)
    assert read_generator_file(folder).config.classes == CLASSES


def test_directions_are_of_the_latent_alone(folder: Path) -> None:
    file = read_generator_file(folder)
    assert file.directions.shape == (8, TINY_RESIDUAL.z_dim)
    assert np.allclose(np.linalg.norm(file.directions, axis=1), 1, atol=1e-3)
