"""The objectives beyond the article's, step by step."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import relu

from model.networks.families.sngan import SNGANConfig
from model.training.presets import PRESETS, TrainConfig
from model.training.train_step import Batch, Networks, new_networks, train_step
from tests.conftest import TINY_SNGAN

CPU = torch.device("cpu")
HINGE = replace(PRESETS["sagan-64"].config, network=TINY_SNGAN, batch=4)


def batch_of(config: TrainConfig, count: int = 4) -> Batch:
    random = torch.Generator().manual_seed(0)
    network = config.network
    classes = torch.eye(network.classes)[torch.arange(count) % network.classes]
    one, two = (
        torch.cat([torch.randn(count, network.z_dim, generator=random), classes], 1)
        for _ in range(2)
    )
    real = torch.rand(count, network.channels, 32, 32, generator=random) * 2 - 1
    return Batch(real=real, classes=classes, rows=one, generator_rows=two)


@pytest.mark.parametrize("name", ["sngan-32", "sagan-64"])
def test_sequels_presets_have_their_numbers(name: str) -> None:
    config = PRESETS[name].config
    assert isinstance(config.network, SNGANConfig)
    assert (config.learning_rate, config.discriminator_learning_rate) == (1e-4, 4e-4)
    assert (config.betas, config.final_beta2, config.final_rate_share) == ((0.0, 0.9), 0.9, 1.0)
    assert (config.objective, config.batch, config.prior) == ("hinge", 64, "normal")
    assert 0.5 ** (config.batch / config.ema_half_life) == pytest.approx(0.999, abs=1e-6)
    assert config.network.resolution == int(name[-2:])
    assert (config.network.attention, config.network.generator_spectral) == (
        (32, 1) if name == "sagan-64" else (0, 0)
    )


def test_hinge_step_is_one_update_each_at_two_speeds() -> None:
    """Held against the same step written out."""
    torch.manual_seed(0)
    ours = new_networks(HINGE, CPU, 0)
    plain: Networks = copy.deepcopy(ours)
    batch = batch_of(HINGE)
    for step in range(2):
        stats = train_step(ours, batch, HINGE, step)

        for optimizer, rate in (
            (plain.generator_optimizer, 1e-4),
            (plain.discriminator_optimizer, 4e-4),
        ):
            (group,) = optimizer.param_groups
            group["lr"], group["betas"] = rate, (0.0, 0.9)
        fake = plain.generator(batch.rows).detach()
        real_logits = plain.discriminator(batch.real, batch.classes)
        fake_logits = plain.discriminator(fake, batch.classes)
        loss_d = relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()
        plain.discriminator_optimizer.zero_grad()
        loss_d.backward()
        plain.discriminator_optimizer.step()
        fake = plain.generator(batch.generator_rows)
        loss_g = -plain.discriminator(fake, batch.classes).mean()
        plain.generator_optimizer.zero_grad()
        loss_g.backward()
        plain.generator_optimizer.step()

        assert torch.allclose(stats["loss_d"], loss_d)
        assert torch.allclose(stats["loss_g"], loss_g)
    for name in ("generator", "discriminator"):
        found, wanted = (getattr(networks, name).state_dict() for networks in (ours, plain))
        assert all(torch.allclose(found[key], wanted[key], atol=1e-6) for key in wanted)


def test_hinge_step_opens_the_gate_of_the_attention() -> None:
    networks = new_networks(HINGE, CPU, 0)
    gates: list[Any] = [networks.generator.attention.gate, networks.discriminator.attention.gate]
    assert [gate.item() for gate in gates] == [0.0, 0.0]
    train_step(networks, batch_of(HINGE), HINGE, 0)
    assert all(gate.item() != 0 for gate in gates)


def test_bf16_keeps_weights_and_losses_in_float32() -> None:
    networks = new_networks(HINGE, CPU, 0)
    stats = train_step(networks, batch_of(HINGE), replace(HINGE, bf16=True), 0)
    assert {value.dtype for value in stats.values()} == {torch.float32}
    floats = {value.dtype for value in networks.tensors().values() if value.is_floating_point()}
    assert floats == {torch.float32}
