"""One step of each game: a batch in, both networks moved, what happened out.

article        one discriminator update, then two of the generator on the same z
relativistic   paired losses with zero-centred penalties (R3GAN)
hinge          one update each, at two speeds, networks with spectral norm (SNGAN, SAGAN)
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.networks.families import Discriminator, Generator, new_discriminator, new_generator
from model.training import checkpoint, ema
from model.training.augment import Augmentation
from model.training.losses import (
    discriminator_loss,
    generator_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    relativistic_loss,
    zero_centred_penalty,
)
from model.training.presets import TrainConfig
from model.training.schedules import cosine

Stats = dict[str, Tensor]


@dataclass
class Players:
    """Both networks, the average of one, and both optimisers: what a checkpoint holds."""

    generator: Generator
    discriminator: Discriminator
    average: Generator
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the game, by name."""
        return {
            **checkpoint.pack("generator", self.generator.state_dict()),
            **checkpoint.pack("discriminator", self.discriminator.state_dict()),
            **checkpoint.pack("average", self.average.state_dict()),
            **checkpoint.pack_optimizer("generator_optimizer", self.generator_optimizer),
            **checkpoint.pack_optimizer("discriminator_optimizer", self.discriminator_optimizer),
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        self.generator.load_state_dict(checkpoint.unpack("generator", tensors))
        self.discriminator.load_state_dict(checkpoint.unpack("discriminator", tensors))
        self.average.load_state_dict(checkpoint.unpack("average", tensors))
        checkpoint.unpack_optimizer("generator_optimizer", tensors, self.generator_optimizer)
        checkpoint.unpack_optimizer(
            "discriminator_optimizer", tensors, self.discriminator_optimizer
        )


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one step is played with, on the networks' device."""

    real: Tensor  # (N, C, H, W) in [-1, 1]
    classes: Tensor  # (N, classes): 1 for the real picture's class, else 0; none may be there
    rows: Tensor  # (N, z_dim + classes), of the pictures that the discriminator learns from
    generator_rows: Tensor  # the same for the generator's update, where it has its own
    augmentation: Augmentation | None = None  # of 2 N images, the real ones first
    generator_augmentation: Augmentation | None = None


def new_players(config: TrainConfig, device: torch.device, seed: int) -> Players:
    """The players before their first step, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = new_generator(config.network).to(device)
        discriminator = new_discriminator(config.network).to(device)
    if config.channels_last:
        for parameter in (*generator.parameters(), *discriminator.parameters()):
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
        betas = config.betas
        return torch.optim.Adam(network.parameters(), rate, betas, eps=1e-8, fused=True)

    return Players(
        generator=generator,
        discriminator=discriminator,
        average=ema.slow_copy(generator),
        generator_optimizer=adam(generator, config.learning_rate),
        discriminator_optimizer=adam(
            discriminator, config.discriminator_learning_rate or config.learning_rate
        ),
    )


def play(players: Players, batch: Batch, config: TrainConfig, step: int) -> Stats:
    """One step of the configuration's game; `step` counts from 0.

    Returns the losses and what else is worth a look, before the generator moved.
    """
    return GAMES[config.game](players, batch, config, step)


def article_step(players: Players, batch: Batch, config: TrainConfig, step: int) -> Stats:
    """One discriminator update, then `generator_updates` of the generator on the same z."""
    generator, discriminator = players.generator, players.discriminator
    real, z = batch.real, batch.rows
    autocast = torch.autocast(real.device.type, torch.bfloat16, enabled=config.bf16)

    discriminator.requires_grad_(True)
    with autocast:
        fake = generator(z)
        real_logits = discriminator(real).float()  # real and generated: separate batches
        fake_logits = discriminator(fake.detach()).float()
    loss_d = discriminator_loss(real_logits, fake_logits, config.label_smoothing)
    players.discriminator_optimizer.zero_grad()
    torch.autograd.backward(loss_d)
    players.discriminator_optimizer.step()

    discriminator.requires_grad_(False)
    for update in range(config.generator_updates):
        with autocast:
            if update > 0:  # before, the images drawn above still hold: the generator has not moved
                fake = generator(z)
            loss_g = generator_loss(discriminator(fake).float())
        players.generator_optimizer.zero_grad()
        torch.autograd.backward(loss_g)
        players.generator_optimizer.step()

    return {
        "loss_d": loss_d.detach(),
        "loss_g": loss_g.detach(),
        "d_real": real_logits.detach().sigmoid().mean(),
        "d_fake": fake_logits.detach().sigmoid().mean(),
    }


def relativistic_step(players: Players, batch: Batch, config: TrainConfig, step: int) -> Stats:
    """One update each. The penalties are taken every `penalty_interval` steps and count so many
    times then; with them the discriminator's whole pass is in float32.
    """
    generator, discriminator = players.generator, players.discriminator
    images_seen = step * config.batch
    _anneal(players, config, images_seen)
    gamma = cosine(config.gamma, config.final_gamma, images_seen, config.burn_in)
    penalised = step % config.penalty_interval == 0
    device = batch.real.device.type
    both_classes = torch.cat([batch.classes, batch.classes])

    # the discriminator
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=config.bf16):
        fake = generator(batch.rows).float()
    discriminator.requires_grad_(True)
    images = _ordered(torch.cat([batch.real, fake]), config).requires_grad_(penalised)
    with torch.autocast(device, torch.bfloat16, enabled=config.bf16 and not penalised):
        seen = batch.augmentation(images) if batch.augmentation else images
        real_logits, fake_logits = discriminator(seen, both_classes).float().chunk(2)
    loss_d = relativistic_loss(real_logits, fake_logits)
    stats: Stats = {}
    total = loss_d
    if penalised:
        # the mean over both halves is half of R1 + R2
        penalty = 2.0 * zero_centred_penalty(torch.cat([real_logits, fake_logits]), images)
        total = loss_d + gamma * config.penalty_interval * penalty
        stats["penalty"] = penalty.detach()
    players.discriminator_optimizer.zero_grad()
    torch.autograd.backward(total)
    players.discriminator_optimizer.step()

    # the generator
    discriminator.requires_grad_(False)
    with torch.autocast(device, torch.bfloat16, enabled=config.bf16):
        fake = generator(batch.generator_rows)
        images = _ordered(torch.cat([batch.real.to(fake.dtype), fake]), config)
        seen = batch.generator_augmentation(images) if batch.generator_augmentation else images
        real_again, fake_again = discriminator(seen, both_classes).float().chunk(2)
    loss_g = relativistic_loss(fake_again, real_again)
    players.generator_optimizer.zero_grad()
    torch.autograd.backward(loss_g)
    players.generator_optimizer.step()

    return stats | {
        "loss_d": loss_d.detach(),
        "loss_g": loss_g.detach(),
        "d_real": real_logits.detach().mean(),
        "d_fake": fake_logits.detach().mean(),
    }


def hinge_step(players: Players, batch: Batch, config: TrainConfig, step: int) -> Stats:
    """One update each."""
    generator, discriminator = players.generator, players.discriminator
    _anneal(players, config, step * config.batch)
    autocast = torch.autocast(batch.real.device.type, torch.bfloat16, enabled=config.bf16)

    discriminator.requires_grad_(True)
    with autocast:
        with torch.no_grad():
            fake = generator(batch.rows)
        real_logits = discriminator(batch.real, batch.classes).float()
        fake_logits = discriminator(fake, batch.classes).float()
    loss_d = hinge_discriminator_loss(real_logits, fake_logits)
    players.discriminator_optimizer.zero_grad()
    torch.autograd.backward(loss_d)
    players.discriminator_optimizer.step()

    discriminator.requires_grad_(False)
    with autocast:
        fake = generator(batch.generator_rows)
        loss_g = hinge_generator_loss(discriminator(fake, batch.classes).float())
    players.generator_optimizer.zero_grad()
    torch.autograd.backward(loss_g)
    players.generator_optimizer.step()

    return {
        "loss_d": loss_d.detach(),
        "loss_g": loss_g.detach(),
        "d_real": real_logits.detach().mean(),
        "d_fake": fake_logits.detach().mean(),
    }


GAMES: dict[str, Callable[[Players, Batch, TrainConfig, int], Stats]] = {
    "article": article_step,
    "relativistic": relativistic_step,
    "hinge": hinge_step,
}


def _ordered(images: Tensor, config: TrainConfig) -> Tensor:
    if config.channels_last:
        return images.contiguous(memory_format=torch.channels_last)
    return images


def _anneal(players: Players, config: TrainConfig, images_seen: int) -> None:
    rates = (
        (players.generator_optimizer, config.learning_rate),
        (
            players.discriminator_optimizer,
            config.discriminator_learning_rate or config.learning_rate,
        ),
    )
    for optimizer, start in rates:
        end = start * config.final_rate_share
        beta2 = cosine(config.betas[1], config.final_beta2, images_seen, config.burn_in)
        for group in optimizer.param_groups:
            group["lr"] = cosine(start, end, images_seen, config.burn_in)
            group["betas"] = (config.betas[0], beta2)
