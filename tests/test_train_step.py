"""The modern objective, piece by piece: losses in closed form, penalties by hand, augmentation as
the linear map it is, schedules and batches as functions of the step alone.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.generator_file import read_generator_file
from model.samplers.sampler import load_sampler
from model.training import loop
from model.training.datasets.augment import draw_augmentation
from model.training.datasets.batches import Batches
from model.training.generator_task import GeneratorRun
from model.training.losses import (
    hinge_discriminator_loss,
    hinge_generator_loss,
    relativistic_loss,
    zero_centred_penalty,
)
from model.training.presets import PRESETS, Schedule, TrainConfig
from model.training.schedules import cooled, cosine, inverse_root
from model.training.train_step import Networks, new_networks, train_step
from tests.conftest import CLASSES, SHA, TINY_RESIDUAL
from tests.data_files import colours

CPU = torch.device("cpu")
MODERN = replace(
    PRESETS["modern-32-v1"].config,
    network=TINY_RESIDUAL,
    batch=8,
    burn_in=800,
    gamma=0.5,
    final_gamma=0.05,
    penalty_interval=2,
    bf16=False,
)


# --- losses ---


def test_relativistic_loss_is_softplus_of_the_gap() -> None:
    winners, losers = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0])
    wanted = (math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2
    assert relativistic_loss(winners, losers).item() == pytest.approx(wanted)
    assert relativistic_loss(winners + 7, losers + 7).item() == pytest.approx(wanted)


def test_hinge_losses_are_flat_beyond_the_margin() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert hinge_discriminator_loss(real, fake).item() == pytest.approx(0.25 + 0.5)
    assert hinge_generator_loss(fake).item() == pytest.approx(1.5)


def test_penalty_is_half_the_squared_slope() -> None:
    """Takes a logit that is linear in the picture, so that its slope is known."""
    weight = torch.randn(3, 4, 4)
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    logits = (images * weight).sum(dim=(1, 2, 3))
    penalty = zero_centred_penalty(logits, [images])
    assert penalty.item() == pytest.approx(0.5 * weight.square().sum().item(), rel=1e-5)


def test_penalty_teaches_the_discriminator() -> None:
    """It has a gradient itself: the slope of a quadratic logit shrinks with its factor."""
    factor = torch.tensor(2.0, requires_grad=True)
    images = torch.ones(1, 1, 2, 2, requires_grad=True)
    penalty = zero_centred_penalty((factor * images.square()).sum(dim=(1, 2, 3)), [images])
    penalty.backward()
    # 1/2 sum (2 f x)^2 = 8 f^2 over four pixels of 1
    assert penalty.item() == pytest.approx(8 * 4)
    assert factor.grad is not None
    assert factor.grad.item() == pytest.approx(16 * 2)


# --- schedules ---


def test_inverse_root_is_steady_and_then_falls() -> None:
    found = [inverse_root(seen, 100) for seen in (0, 1, 100, 400, 10_000)]
    assert found == pytest.approx([1.0, 1.0, 1.0, 0.5, 0.1])


def test_cooled_falls_to_a_tenth_and_stays() -> None:
    shares = [cooled(images, 700, 1000) for images in (0, 700, 850, 1000, 2000)]
    assert shares == pytest.approx([1, 1, 10**-0.5, 0.1, 0.1])
    assert cooled(5, 5, 5) == 1  # no images to cool down over


def test_cosine_goes_from_start_to_end_and_stays() -> None:
    values = [cosine(2.0, 0.5, seen, 100) for seen in (0, 50, 100, 10**9)]
    assert values == pytest.approx([2.0, 1.25, 0.5, 0.5])
    path = [cosine(2.0, 0.5, seen, 100) for seen in range(101)]
    assert path == sorted(path, reverse=True)
    assert cosine(2.0, 0.5, 0, 0) == 0.5


def test_rates_and_betas_follow_the_images_seen() -> None:
    networks = new_networks(MODERN, CPU, 0)
    batches = Batches(MODERN, colours(), CPU)
    for step, share in ((0, 1.0), (50, 0.625), (100, 0.25), (1000, 0.25)):
        train_step(networks, batches(step), MODERN, step)
        for optimizer in (networks.generator_optimizer, networks.discriminator_optimizer):
            (group,) = optimizer.param_groups
            assert group["lr"] == pytest.approx(share * 2e-4)
            assert group["betas"][0] == 0.0
            assert group["betas"][1] == pytest.approx(0.9 + 0.09 * (1 - share) / 0.75)


# --- augmentation ---


def test_augmentation_without_probability_is_nothing() -> None:
    images = torch.randn(4, 3, 16, 16)
    augment = draw_augmentation(np.random.default_rng(0), 4, 16, 0.0, CPU)
    assert torch.equal(augment(images), images)


def test_augmentation_moves_and_cuts_each_picture_its_own_way() -> None:
    side, count = 16, 200
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    image = torch.stack([rows, columns]).float().expand(count, 2, side, side) + 1
    found = draw_augmentation(np.random.default_rng(1), count, side, 0.5, CPU)(image)
    moved = cut = 0
    for one in found:
        gone = (one == 0).all(0)
        cut += bool(gone.any())
        assert gone.sum() <= (side // 2) ** 2
        middle = (
            one[:, 5:-5, 5:-5][:, ~gone[5:-5, 5:-5]] - image[0, :, 5:-5, 5:-5][:, ~gone[5:-5, 5:-5]]
        )
        if middle.numel():
            assert (middle == middle[:, :1]).all()  # one shift for the whole picture
            assert middle.abs().max() <= side / 8
            moved += bool(middle.any())
    assert 60 < cut < 140
    assert 60 < moved < 130


def test_augmentation_is_linear_so_that_penalties_see_through_it() -> None:
    augment = draw_augmentation(np.random.default_rng(2), 3, 8, 1.0, CPU)
    a, b = torch.randn(2, 3, 1, 8, 8)
    assert torch.allclose(augment(2 * a - b), 2 * augment(a) - augment(b), atol=1e-5)


# --- batches ---


def test_batch_is_a_function_of_the_step() -> None:
    data = colours()
    straight, jumping = Batches(MODERN, data, CPU), Batches(MODERN, data, CPU)
    wanted = [straight(step) for step in range(30)]
    for step in (29, 3, 17, 0):
        found = jumping(step)
        for name in ("real", "classes", "rows", "generator_rows"):
            assert torch.equal(getattr(found, name), getattr(wanted[step], name))
        image = torch.randn(2 * MODERN.batch, 3, 32, 32)
        one, other = found.augmentation, wanted[step].augmentation
        assert one is not None
        assert other is not None
        assert torch.equal(one(image), other(image))


def test_generated_pictures_have_the_classes_of_the_real_ones() -> None:
    batch = Batches(MODERN, colours(), CPU)(0)
    brightest = batch.real.mean(dim=(2, 3)).argmax(1)
    assert torch.equal(batch.classes.argmax(1), brightest)
    for rows in (batch.rows, batch.generator_rows):
        assert torch.equal(rows[:, TINY_RESIDUAL.z_dim :], batch.classes)
    assert not torch.equal(batch.rows, batch.generator_rows)


def test_another_attempt_is_dealt_other_batches() -> None:
    data = colours()
    one, other = Batches(MODERN, data, CPU, attempt=0)(0), Batches(MODERN, data, CPU, attempt=1)(0)
    assert not torch.equal(one.real, other.real)
    assert not torch.equal(one.rows, other.rows)


def test_pictures_are_mirrored_only_where_asked() -> None:
    data = colours()
    data.images[:, :, :16] = 0  # dark on the left
    plain = Batches(MODERN, data, CPU)(0).real
    turned = Batches(replace(MODERN, mirror=True), data, CPU)(0).real
    left = [(images[:, :, :, :16].mean(dim=(1, 2, 3)) < -0.99) for images in (plain, turned)]
    assert left[0].all()
    assert 0 < left[1].sum() < len(turned)


# --- the steps ---


def moved(networks: Networks, before: Networks) -> tuple[bool, bool]:
    pairs = ((networks.generator, before.generator), (networks.discriminator, before.discriminator))
    return tuple(  # type: ignore[return-value]
        any(
            not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
        )
        for one, other in pairs
    )


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("objective", ["relativistic", "hinge"])
def test_step_moves_both_networks(objective: str, bf16: bool) -> None:
    config = replace(MODERN, objective=objective, bf16=bf16)  # type: ignore[arg-type]
    networks, before = new_networks(config, CPU, 0), new_networks(config, CPU, 0)
    batches = Batches(config, colours(), CPU)
    stats = train_step(networks, batches(0), config, 0)
    assert moved(networks, before) == (True, True)
    assert all(value.dtype == torch.float32 and value.isfinite() for value in stats.values())


def test_penalty_is_taken_at_its_interval_and_counts_so_often() -> None:
    batches = Batches(MODERN, colours(), CPU)
    networks = new_networks(MODERN, CPU, 0)
    taken = ["penalty" in train_step(networks, batches(step), MODERN, step) for step in range(5)]
    assert taken == [True, False, True, False, True]


def test_step_equals_the_equations_written_out() -> None:
    """The discriminator's and the generator's update by R3GAN's equations, each pass made anew."""
    config = replace(MODERN, augmentation=0.0, penalty_interval=1)
    ours, plain = new_networks(config, CPU, 0), new_networks(config, CPU, 0)
    batch = Batches(config, colours(), CPU)(0)
    train_step(ours, batch, config, 0)

    d, g = plain.discriminator, plain.generator
    for optimizer in (plain.discriminator_optimizer, plain.generator_optimizer):
        optimizer.param_groups[0]["betas"] = (0.0, 0.9)
    real = batch.real.clone().requires_grad_()
    fake = g(batch.rows).detach().requires_grad_()
    real_logits, fake_logits = d(real, batch.classes), d(fake, batch.classes)
    loss = torch.nn.functional.softplus(fake_logits - real_logits).mean()
    for logits, images in ((real_logits, real), (fake_logits, fake)):
        (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        loss = loss + config.gamma / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
    plain.discriminator_optimizer.zero_grad()
    loss.backward()
    plain.discriminator_optimizer.step()
    plain.generator_optimizer.zero_grad()
    real_logits = d(batch.real, batch.classes)
    fake_logits = d(g(batch.generator_rows), batch.classes)
    torch.nn.functional.softplus(real_logits - fake_logits).mean().backward()
    plain.generator_optimizer.step()

    for one, other in ((ours.discriminator, d), (ours.generator, g)):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.long
def test_generator_learns_what_a_class_looks_like(tmp_path: Path) -> None:
    """Sixty steps: the colour of each class is the brightest."""
    config = replace(MODERN, learning_rate=2e-3, batch=16, augmentation=0.0, burn_in=0)
    run = GeneratorRun(
        config=config,
        schedule=Schedule(images=200 * 16, grid_steps=1000),
        data=colours(),
        data_sha256=SHA,
        real=None,
        folder=tmp_path,
        device=CPU,
    )
    assert loop.train(run, stop=lambda: False)

    file = read_generator_file(tmp_path / "last")
    assert file.config.classes == CLASSES
    sampler = load_sampler(file, "cpu")
    for place in range(3):
        pixels = sampler(file.config.rows(range(20), place))
        assert pixels.mean(axis=(0, 1, 2)).argmax() == place


def test_first_modern_presets_are_what_they_were() -> None:
    """Runs that began with them go on: the same fingerprint, whatever was added since."""
    for side in (32, 64, 128):
        preset = PRESETS[f"modern-{side}-v1"]
        config = preset.config
        assert (config.prior, config.objective, config.betas) == (
            "normal",
            "relativistic",
            (0.0, 0.9),
        )
        assert (config.learning_rate, config.final_rate_share) == (2e-4, 0.25)
        assert (config.final_beta2, config.ema_half_life, config.ema_ramp) == (0.99, 5e5, 0.05)
        assert config.final_gamma == pytest.approx(config.gamma / 10)
        assert config.bf16
        assert not config.mirror
        assert isinstance(config, TrainConfig)
        assert preset.kimg
