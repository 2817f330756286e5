"""The table of the article's networks, row by row."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model.networks.dcgan import Discriminator, Generator
from model.networks.families.dcgan import DCGANConfig
from model.networks.registry import network_from_dict, network_to_dict
from model.samplers.pytorch import generator_weights

RGB, GREY = DCGANConfig(channels=3), DCGANConfig(channels=1)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("config", "count"),
    [pytest.param(RGB, 4_935_171, id="rgb"), pytest.param(GREY, 4_928_769, id="grey")],
)
def test_generator_has_the_articles_parameters(config: DCGANConfig, count: int) -> None:
    assert parameters(Generator(config)) == count


def test_discriminator_has_the_articles_parameters() -> None:
    assert parameters(Discriminator(RGB)) == 1_034_113


def test_one_picture_costs_108_million_multiply_adds() -> None:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        Generator(RGB).eval()(torch.zeros(1, 100))
    assert counter.get_total_flops() / 2 == pytest.approx(108e6, rel=0.01)


def test_generator_doubles_from_4_to_32() -> None:
    generator = Generator(RGB)
    sides = []
    for norm in generator.norms:
        norm.register_forward_hook(lambda _, __, x: sides.append(tuple(x.shape[1:])))
    images = generator(torch.rand(2, 100) * 2 - 1)
    assert sides == [(512, 4, 4), (256, 8, 8), (128, 16, 16)]
    assert images.shape == (2, 3, 32, 32)
    assert images.abs().max() <= 1


def test_every_convolution_is_5x5_of_stride_2() -> None:
    layers = [*Generator(RGB).modules(), *Discriminator(RGB).modules()]
    convolutions = [m for m in layers if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convolutions) == 6
    assert all(m.kernel_size == (5, 5) and m.stride == (2, 2) for m in convolutions)
    assert all(m.bias is not None for m in convolutions)


def test_discriminator_halves_to_4096_features_and_one_logit() -> None:
    discriminator = Discriminator(RGB)
    shapes = []
    for layer in discriminator.downsamples:
        layer.register_forward_hook(lambda _, __, x: shapes.append(tuple(x.shape[1:])))
    assert discriminator(torch.zeros(2, 3, 32, 32)).shape == (2,)
    assert shapes == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    assert discriminator.logit.in_features == 4096


def test_batch_norm_is_on_the_second_and_third_convolution_only() -> None:
    discriminator = Discriminator(RGB)
    assert [norm.num_features for norm in discriminator.norms] == [128, 256]


def test_leaky_relu_lets_a_fifth_through() -> None:
    discriminator = Discriminator(RGB).eval()
    seen = []
    discriminator.downsamples[0].register_forward_hook(lambda _, __, x: seen.append(x))
    discriminator.downsamples[1].register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    discriminator(torch.rand(1, 3, 32, 32))
    before, after = seen
    assert torch.equal(after, torch.where(before > 0, before, before * 0.2))


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_weights_start_as_the_article_says(network: type[nn.Module]) -> None:
    torch.manual_seed(0)
    for module in network(RGB).modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            assert module.weight.mean().item() == pytest.approx(0, abs=2e-3)
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert not module.bias.any()
            assert module.eps == 1e-5
            assert module.momentum == 0.1


@pytest.mark.parametrize("config", [RGB, GREY, DCGANConfig(z_dim=4, resolution=64, width=32)])
def test_shapes_without_torch_are_the_networks_own(config: DCGANConfig) -> None:
    weights = generator_weights(Generator(config))
    assert {name: value.shape for name, value in weights.items()} == config.generator_shapes()


def test_config_survives_its_file_form() -> None:
    assert network_from_dict(network_to_dict(RGB)) == RGB


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"family": "stylegan"}, id="unknown-family"),
        pytest.param({"depth": 3}, id="unknown-field"),
        pytest.param({"channels": 2}, id="two-channels"),
        pytest.param({"resolution": 33}, id="odd-resolution"),
        pytest.param({"width": 6}, id="width-not-halvable"),
        pytest.param({"z_dim": "100"}, id="text-for-number"),
        pytest.param({"z_dim": 10**9}, id="huge"),
    ],
)
def test_impossible_config_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"allowed|known|wanted"):
        network_from_dict(network_to_dict(RGB) | change)
