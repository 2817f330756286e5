"""The networks of SNGAN and SAGAN: their shapes, spectral norm, attention, and that every runtime
draws them alike.
"""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model.generator_file import GeneratorFile, read_generator_file, write_generator_file
from model.networks import spectral
from model.networks.families.sngan import SNGANConfig
from model.networks.registry import network_from_dict, network_to_dict
from model.networks.sngan import Attention, Discriminator, Generator, Norm
from model.samplers.onnx import OnnxSampler
from model.samplers.pytorch import computes_bf16, generator_weights, load_generator, plain_sampler
from model.samplers.sampler import check_bytes, load_sampler
from model.training import ema
from model.training.presets import PRESETS
from tests.conftest import SHA, TINY_SNGAN

CPU, SIZES = torch.device("cpu"), torch.device("meta")  # there nothing is computed


def network_of(preset: str) -> SNGANConfig:
    network = PRESETS[preset].config.network
    assert isinstance(network, SNGANConfig)
    return network


SNGAN, SAGAN = network_of("sngan-32"), network_of("sagan-64")


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_networks_for_32_have_the_papers_size() -> None:
    """4.28 million parameters and 1.6 billion multiply-adds: Miyato et al., appendix B.4."""
    with torch.no_grad(), SIZES, FlopCounterMode(display=False) as counter:
        generator = Generator(SNGAN)
        assert generator(torch.zeros(1, 128)).shape == (1, 3, 32, 32)
        assert parameters(Discriminator(SNGAN)) == pytest.approx(1.05e6, rel=0.01)
    assert parameters(generator) == pytest.approx(4.28e6, rel=0.01)
    assert counter.get_total_flops() / 2 == pytest.approx(1.6e9, rel=0.05)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("attention", [0, 8, 16])
def test_shapes_are_those_of_the_network(channels: int, classes: int, attention: int) -> None:
    config = replace(TINY_SNGAN, channels=channels, classes=classes, attention=attention)
    generator = Generator(config)
    images = generator(torch.randn(2, 8 + classes))
    assert images.shape == (2, channels, 32, 32)
    assert images.abs().max() <= 1
    assert Discriminator(config)(images, torch.zeros(2, classes)).shape == (2,)
    spectral.fold(generator)
    found = {name: value.shape for name, value in generator_weights(generator).items()}
    assert found == config.generator_shapes()
    assert network_from_dict(network_to_dict(config)) == config


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"resolution": 8}, "allowed: 16, 32"),
        ({"halved": 2}, "allowed: 0, 1"),
        ({"halved": 1, "width": 4}, "multiple of 8"),
        ({"attention": 32}, "attention is 32; allowed: 0, 8, 16"),
        ({"attention": 16, "width": 12}, "multiples of 8"),
        ({"classes": -1}, "allowed: 0 to 1000"),
        ({"z_dim": 0}, "allowed: 1 to 4096"),
    ],
)
def test_shape_that_cannot_be_is_refused(fields: dict[str, int], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SNGANConfig(**fields)


# --- spectral norm ---


def stretches(network: nn.Module) -> list[float]:
    """Returns the largest singular value of each layer's weight as it acts."""
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    normed = (spectral.NormedConv2d, spectral.NormedLinear)
    weights = [spectral.acting_weight(m) if isinstance(m, normed) else m.weight for m in layers]
    return [float(spectral.largest_singular_value(w.detach().flatten(1))) for w in weights]


def test_every_layer_of_the_discriminator_comes_to_stretch_nothing() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(TINY_SNGAN)
    images, classes = torch.randn(2, 3, 32, 32), torch.zeros(2, 3)
    for _ in range(100):
        discriminator(images, classes)
    discriminator.eval()
    assert stretches(discriminator) == pytest.approx([1.0] * len(stretches(discriminator)), 0.05)


def test_power_iteration_goes_on_in_training_alone_and_is_part_of_the_state() -> None:
    discriminator = Discriminator(TINY_SNGAN)
    images, classes = torch.randn(2, 3, 32, 32), torch.zeros(2, 3)

    def vectors() -> dict[str, torch.Tensor]:
        state = discriminator.state_dict()
        return {name: value.clone() for name, value in state.items() if name.endswith(".u")}

    before = vectors()
    assert len(before) == len(stretches(discriminator.eval()))
    discriminator(images, classes)
    assert all(torch.equal(value, before[name]) for name, value in vectors().items())
    discriminator.train()(images, classes)
    assert not any(
        torch.equal(value, before[name]) for name, value in vectors().items() if len(value) > 1
    )


def test_gradient_is_that_of_the_normed_weight() -> None:
    """Miyato et al., equation 12: what would only stretch the weight is taken out."""
    layer = nn.Linear(5, 4, bias=False)
    spectral.normalise(layer)
    for _ in range(200):
        layer(torch.zeros(1, 5))
    layer(torch.randn(7, 5)).square().sum().backward()
    assert layer.weight.grad is not None
    assert (layer.weight * layer.weight.grad).sum().item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("shape", [(3, 40), (40, 3), (1, 7), (6, 6)])
def test_largest_singular_value_is_the_largest(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape)
    wanted = np.linalg.svd(matrix.double().numpy(), compute_uv=False)[0]
    assert float(spectral.largest_singular_value(matrix)) == pytest.approx(wanted)


def test_average_is_drawn_with_its_own_exact_norms() -> None:
    torch.manual_seed(0)
    average = ema.slow_copy(Generator(TINY_SNGAN))
    state = copy.deepcopy(average.state_dict())
    generator = ema.with_own_statistics(average, "normal")
    assert all(torch.equal(value, state[name]) for name, value in average.state_dict().items())
    assert average(torch.zeros(1, 11)).shape == (1, 3, 32, 32)  # the average itself is left alone
    assert type(generator.dense) is nn.Linear
    assert stretches(generator) == pytest.approx([1.0] * len(stretches(generator)), 1e-4)
    assert not generator.training


# --- attention and classes ---


def test_attention_starts_as_nothing_and_then_sees_far() -> None:
    torch.manual_seed(0)
    attention, x = Attention(16), torch.randn(2, 16, 8, 8)
    assert torch.equal(attention(x), x)
    with torch.no_grad():
        attention.gate.fill_(1.0)
        far = x.clone()
        far[:, :, -1, -1] += 3.0
        moved = (attention(far) - attention(x))[:, :, 0, 0].abs().max()
    assert moved > 1e-3


def test_attention_is_that_of_the_paper() -> None:
    """Zhang et al., equations 1 to 3, place by place."""
    torch.manual_seed(0)
    attention, x = Attention(8), torch.randn(1, 8, 4, 4)
    with torch.no_grad():
        attention.gate.fill_(0.5)
        query, key, value = (part(x) for part in (attention.query, attention.key, attention.value))
        key, value = (
            part.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)).flatten(2) for part in (key, value)
        )
        found = torch.zeros(1, 4, 4, 4)
        for row in range(4):
            for column in range(4):
                likeness = torch.stack([query[0, :, row, column] @ key[0, :, i] for i in range(4)])
                found[0, :, row, column] = (likeness.softmax(0) * value[0]).sum(1)
        wanted = x + 0.5 * attention.out(found)
        assert torch.allclose(attention(x), wanted, atol=1e-5)


def test_norm_of_each_class_is_its_own_and_mixes() -> None:
    torch.manual_seed(0)
    norm, x = Norm(4, 3), torch.randn(6, 4, 5, 5)
    assert torch.allclose(norm(x, torch.eye(3)[[0] * 6]), norm(x, torch.eye(3)[[1] * 6]))
    nn.init.normal_(norm.gain)
    nn.init.normal_(norm.offset)
    one, two = (norm(x, torch.eye(3)[[place] * 6]) for place in (1, 2))
    assert not torch.allclose(one, two)
    half = norm(x, torch.tensor([[0.0, 0.5, 0.5]] * 6))
    assert torch.allclose(half, (one + two) / 2, atol=1e-5)


def test_discriminator_compares_with_the_class() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(TINY_SNGAN).eval()
    images = torch.randn(2, 3, 32, 32)
    zero, one = (discriminator(images, torch.eye(3)[[place] * 2]) for place in (0, 1))
    assert not torch.allclose(zero, one)


# --- drawing ---


def write(folder: Path, network: SNGANConfig) -> GeneratorFile:
    """Returns an untrained generator with every part at work."""
    torch.manual_seed(0)
    generator = Generator(network)
    spectral.fold(generator)
    with torch.no_grad():
        for module in generator.modules():
            if isinstance(module, Norm):
                module.gain.add_(0.3 * torch.randn_like(module.gain))
                module.offset.add_(0.3 * torch.randn_like(module.offset))
                module.statistics.running_mean.normal_(0, 0.3)
                module.statistics.running_var.uniform_(0.1, 0.5)
        if generator.attention is not None:
            generator.attention.gate.fill_(1.5)
            generator.attention.query.weight.mul_(4)
    write_generator_file(
        folder,
        generator_weights(generator),
        "# tiny\n",
        name="tiny",
        preset="sagan-64",
        network=network,
        prior="normal",
        crop=network.resolution,
        classes=tuple(f"class {place}" for place in range(network.classes)),
        data={"name": "noise", "split": "train", "images": 1, "sha256": SHA},
        images_seen=0,
    )
    return read_generator_file(folder)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(TINY_SNGAN, id="classes-attention"),
        pytest.param(replace(TINY_SNGAN, classes=0, attention=0, channels=1), id="plain"),
    ],
)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GeneratorFile:
    return write(tmp_path_factory.mktemp("generators") / "tiny", request.param)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_runtime_draws_what_the_network_draws(file: GeneratorFile, precision: str) -> None:
    rows = file.config.rows(range(40))
    wanted = plain_sampler(load_generator(file), file.config.crop, CPU)(rows).astype(int)
    found = load_sampler(file, "cpu", precision)(rows)  # type: ignore[arg-type]
    assert found.shape == (40, 32, 32, file.config.network.channels)
    difference = np.abs(found - wanted)
    assert difference.max() <= 1 if precision == "fp32" else difference.mean() < found.std() / 20
    assert found.std() > 20
    assert len({picture.tobytes() for picture in found}) == 40


EMULATED = pytest.mark.skipif(
    not computes_bf16(torch.device("cpu")), reason="this processor has no fast bfloat16"
)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=EMULATED)])
@pytest.mark.parametrize("threads", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_picture_is_the_same_in_any_batch(
    file: GeneratorFile, precision: str, threads: int
) -> None:
    sampler = load_sampler(file, "cpu", precision, threads)  # type: ignore[arg-type]
    check_bytes(sampler, [1, 2, 3, 4, 5, 7, 8, 16])
    rows = file.config.rows(range(35))
    some = range(0, 35, 5)
    alone = np.concatenate([sampler(rows[place : place + 1]) for place in some])
    assert np.array_equal(sampler(rows)[some], alone)


def test_presets_own_network_is_the_same_in_any_batch(tmp_path: Path) -> None:
    """Kernels are chosen by size, so the tiny network shows too little."""
    file = write(tmp_path / "full", replace(SAGAN, classes=4))
    one, two = (OnnxSampler(file, threads) for threads in (1, 2))
    rows = file.config.rows(range(5))
    whole = two(rows)
    plain = plain_sampler(load_generator(file), 64, CPU)(rows)
    assert np.abs(whole.astype(int) - plain).max() <= 1
    for sampler in (one, two):
        for size in (1, 2, 3):
            parts = [sampler(rows[start : start + size]) for start in range(0, 5, size)]
            assert np.array_equal(whole, np.concatenate(parts))
