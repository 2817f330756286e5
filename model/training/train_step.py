"""One step of each objective: a batch in, both networks updated, statistics out.

article        one discriminator update, then two of the generator on the same z; with the
               techniques that the configuration names
relativistic   paired losses with zero-centred penalties (R3GAN)
modern         the same with one batch of generated images for both updates, and where the
               configuration says so a projected discriminator next to the other
hinge          one update each, at two speeds, networks with spectral norm (SNGAN, SAGAN)
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.networks.pytorch import Generator, new_discriminator, new_generator
from model.training import ema
from model.training.datasets.augment import Augmentation
from model.training.discriminators.projected import Projected
from model.training.losses import (
    discriminator_loss,
    generator_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    relativistic_loss,
    zero_centred_penalty,
)
from model.training.presets import TrainConfig
from model.training.schedules import cosine, inverse_root
from model.training.task import Adam, Learning, Stats
from model.training.techniques.catalogue import (
    FEATURE_MATCHING,
    HISTORICAL_AVERAGING,
    PACKED,
    PACKING,
    VIRTUAL_BATCH_NORM,
)
from model.training.techniques.discriminator import SEEING_MORE, BatchDiscriminator, features_of
from model.training.techniques.history import History, descend
from model.training.techniques.matching import feature_matching_loss, mean_features
from model.training.techniques.reference_batch import normalise_by_reference, reference_rows

BEYOND = 0.1  # slope beyond the range of pictures


@dataclass
class Networks(Learning):
    """Holds what a checkpoint does: both networks, the average of one, both optimisers, and the
    projected discriminator and the means of all past weights where there are such.
    """

    generator: Generator
    discriminator: nn.Module
    generator_ema: Generator
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    projected: Projected | None = None
    generator_history: History | None = None
    discriminator_history: History | None = None

    @property
    def learners(self) -> tuple[nn.Module, ...]:
        """The networks whose batch norms see the whole batch."""
        return self.generator, self.discriminator

    def modules(self) -> dict[str, nn.Module]:
        """Returns every network that learns, the average and the means, by name."""
        found: dict[str, nn.Module | None] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.generator_ema,
            "heads": self.projected.heads if self.projected else None,
            "generator_history": self.generator_history,
            "discriminator_history": self.discriminator_history,
        }
        return {name: network for name, network in found.items() if network is not None}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns every optimiser, by name."""
        found = {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }
        return found | ({"heads_optimizer": self.projected.optimizer} if self.projected else {})


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The input of one step, on the networks' device."""

    real: Tensor  # (N, C, H, W) in [-1, 1]
    classes: Tensor  # (N, classes): 1 for the real picture's class, else 0; there may be none
    rows: Tensor  # (N, z_dim + classes), of the pictures that the discriminator learns from
    generator_rows: Tensor  # the same for the generator's update, where it has its own
    augmentation: Augmentation | None = None  # for 2 N images, the real ones first
    generator_augmentation: Augmentation | None = None
    rate_share: float = 1.0  # factor of the learning rates, where the modern objective cools down


def new_networks(
    config: TrainConfig, device: torch.device, seed: int, examples: Tensor | None = None
) -> Networks:
    """Makes the networks before their first step, the same for the same seed. Real `examples`
    (N, C, H, W) give the colour that generated ones start with, the scale of frozen features and
    that in which a discriminator compares pictures; without them the colour is grey, the scales 1.

    Raises:
        FrozenError: the configuration wants frozen features, which are not installed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = new_generator(config.network).to(device)
        discriminator = _new_discriminator(config).to(device)
        projected = None
        if config.frozen_features:
            projected = Projected(config, config.network.resolution, config.network.classes, device)
    if config.channels_last:
        for parameter in (p for net in (generator, discriminator) for p in net.parameters()):
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    if examples is not None:
        generator.prepare(examples)
        if isinstance(discriminator, BatchDiscriminator):
            discriminator.fit(examples)
    if VIRTUAL_BATCH_NORM in config.techniques:
        rows = reference_rows(config.network, config.prior)
        normalise_by_reference(generator, torch.from_numpy(rows).to(device))
    averaged = HISTORICAL_AVERAGING in config.techniques

    def adam(
        network: nn.Module, optimizer: str, betas: tuple[float, float] | None = None
    ) -> torch.optim.Optimizer:
        return Adam(
            network.parameters(), config.rates[optimizer], betas or config.betas, fused=True
        )

    if projected and examples is not None:
        projected.projection.calibrate(_ordered(examples, config))
    return Networks(
        generator=generator,
        discriminator=discriminator,
        generator_ema=ema.slow_copy(generator),
        generator_optimizer=adam(generator, "generator_optimizer", config.generator_betas),
        discriminator_optimizer=adam(discriminator, "discriminator_optimizer"),
        projected=projected,
        generator_history=History(generator.parameters()) if averaged else None,
        discriminator_history=History(discriminator.parameters()) if averaged else None,
    )


def _new_discriminator(config: TrainConfig) -> nn.Module:
    if not SEEING_MORE.intersection(config.techniques):
        return new_discriminator(config.network)
    packed = {"pictures": PACKED} if PACKING in config.techniques else {}
    return BatchDiscriminator(new_discriminator(config.network, **packed), config.techniques)


def train_step(networks: Networks, batch: Batch, config: TrainConfig, step: int) -> Stats:
    """Runs one step of the configuration's objective; `step` counts from 0.

    Returns the losses and other statistics, from before the generator's last update.
    """
    return STEPS[config.objective](networks, batch, config, step)


def article_step(networks: Networks, batch: Batch, config: TrainConfig, step: int) -> Stats:
    """Runs one discriminator update, then `generator_updates` of the generator on the same z.

    With feature matching the generator's loss is that of its features, in the discriminator as it
    is after its update.
    """
    generator, discriminator = networks.generator, networks.discriminator
    real, z = batch.real, batch.rows
    autocast = torch.autocast(real.device.type, torch.bfloat16, enabled=config.bf16)

    discriminator.requires_grad_(True)
    with autocast:
        fake = generator(z)
        real_logits = discriminator(real).float()  # real and generated: separate batches
        fake_logits = discriminator(fake.detach()).float()
    loss_d = discriminator_loss(real_logits, fake_logits, config.label_smoothing)
    descend(networks.discriminator_optimizer, loss_d, networks.discriminator_history)

    discriminator.requires_grad_(False)
    wanted = None
    if FEATURE_MATCHING in config.techniques:
        with torch.no_grad(), autocast:
            wanted = mean_features(features_of(discriminator, real))
    for update in range(config.generator_updates):
        with autocast:
            if update > 0:  # before, the generator has not moved: the images from above still hold
                fake = generator(z)
            if wanted is None:
                loss_g = generator_loss(discriminator(fake).float())
            else:
                loss_g = feature_matching_loss(wanted, features_of(discriminator, fake))
        descend(networks.generator_optimizer, loss_g, networks.generator_history)

    return {
        "loss_d": loss_d.detach(),
        "loss_g": loss_g.detach(),
        "d_real": real_logits.detach().sigmoid().mean(),
        "d_fake": fake_logits.detach().sigmoid().mean(),
    }


def relativistic_step(networks: Networks, batch: Batch, config: TrainConfig, step: int) -> Stats:
    """Runs one update of each network. The penalties are taken every `penalty_interval` steps and
    count so many times then; with them the discriminator's whole pass is in float32.
    """
    generator, discriminator = networks.generator, networks.discriminator
    images_seen = step * config.batch
    _anneal(networks, config, images_seen)
    gamma = cosine(config.gamma, config.final_gamma, images_seen, config.burn_in)
    autocast = torch.autocast(batch.real.device.type, torch.bfloat16, enabled=config.bf16)
    stats: Stats = {}

    # the discriminator
    with torch.no_grad(), autocast:
        fake = generator(batch.rows).float()
    images = torch.cat([batch.real, fake])
    loss_d, real_logits, fake_logits = _discriminate(
        discriminator, images, batch, config, step, stats, gamma, batch.augmentation
    )
    descend(networks.discriminator_optimizer, loss_d)

    # the generator
    discriminator.requires_grad_(False)
    with autocast:
        fake = generator(batch.generator_rows)
        images = _ordered(torch.cat([batch.real.to(fake.dtype), fake]), config)
        seen = batch.generator_augmentation(images) if batch.generator_augmentation else images
        both_classes = torch.cat([batch.classes, batch.classes])
        real_again, fake_again = discriminator(seen, both_classes).float().chunk(2)
    loss_g = relativistic_loss(fake_again, real_again)
    descend(networks.generator_optimizer, loss_g)

    return stats | {
        "loss_g": loss_g.detach(),
        "d_real": real_logits.mean(),
        "d_fake": fake_logits.mean(),
    }


def modern_step(networks: Networks, batch: Batch, config: TrainConfig, step: int) -> Stats:
    """Runs one update of each network, on one batch of generated images whose graph is kept: the
    discriminators learn from them, then the generator from new logits of the same images. Each
    generated image is paired with a real one of its class, whose logits the generator's loss uses
    again.
    """
    generator, discriminator = networks.generator, networks.discriminator
    share = batch.rate_share * inverse_root(step * config.batch, config.steady)
    for name, optimizer in networks.optimizers().items():
        for group in optimizer.param_groups:
            group["lr"] = share * config.rates[name]
    autocast = torch.autocast(batch.real.device.type, torch.bfloat16, enabled=config.bf16)
    with autocast:
        fake = softly_limited(generator(batch.rows))
    real, generated = _ordered(batch.real, config), _ordered(fake, config)
    if batch.augmentation:
        real, generated = batch.augmentation.halves(real, generated)
    stats: Stats = {}

    # the discriminators
    loss_d, real_logits, fake_logits = _discriminate(
        discriminator,
        torch.cat([real, generated.detach().float()]),
        batch,
        config,
        step,
        stats,
        config.gamma,
    )
    descend(networks.discriminator_optimizer, loss_d)
    projected = networks.projected if step % config.heads_interval == 0 else None
    seen = projected and projected.learn(real, generated, batch.classes, step, stats)

    # the generator
    discriminator.requires_grad_(False)
    with autocast:
        again = discriminator(generated, batch.classes).float()
    loss_g = relativistic_loss(again, real_logits)
    total = loss_g if networks.projected is None else config.discriminator_weight * loss_g
    if projected and seen:
        total = total + projected.generator_loss(seen, batch.classes)
    descend(networks.generator_optimizer, total)

    return stats | {
        "loss_g": loss_g.detach(),
        "d_real": real_logits.mean(),
        "d_fake": fake_logits.mean(),
    }


def softly_limited(images: Tensor) -> Tensor:
    """Brings what lies beyond [-1, 1], which serving cuts off, to a tenth of its excess.

    White and black are then as even for the discriminators as in real pictures, whatever little the
    generator adds to them; cut off altogether, or not at all, backgrounds stay hazy.
    """
    within = images.clamp(-1.0, 1.0)
    return within + BEYOND * (images - within)


def _discriminate(
    discriminator: nn.Module,
    images: Tensor,
    batch: Batch,
    config: TrainConfig,
    step: int,
    stats: Stats,
    gamma: float,
    augmentation: Augmentation | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes loss, and logits without graph, of images (2 N, C, H, W), the real ones first."""
    penalised = step % config.penalty_interval == 0
    discriminator.requires_grad_(True)
    images = _ordered(images, config).requires_grad_(penalised)
    bf16 = config.bf16 and not penalised
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        seen = augmentation(images) if augmentation else images
        logits = discriminator(seen, torch.cat([batch.classes, batch.classes])).float()
    real_logits, fake_logits = logits.chunk(2)
    loss = relativistic_loss(real_logits, fake_logits)
    stats["loss_d"] = loss.detach()
    if penalised:
        # the mean over both halves is half of R1 + R2
        penalty = 2.0 * zero_centred_penalty(logits, [images])
        loss = loss + gamma * config.penalty_interval * penalty
        stats["penalty"] = penalty.detach()
    return loss, real_logits.detach(), fake_logits.detach()


def hinge_step(networks: Networks, batch: Batch, config: TrainConfig, step: int) -> Stats:
    """Runs one update of each network."""
    generator, discriminator = networks.generator, networks.discriminator
    _anneal(networks, config, step * config.batch)
    autocast = torch.autocast(batch.real.device.type, torch.bfloat16, enabled=config.bf16)

    discriminator.requires_grad_(True)
    with autocast:
        with torch.no_grad():
            fake = generator(batch.rows)
        real_logits = discriminator(batch.real, batch.classes).float()
        fake_logits = discriminator(fake, batch.classes).float()
    loss_d = hinge_discriminator_loss(real_logits, fake_logits)
    descend(networks.discriminator_optimizer, loss_d)

    discriminator.requires_grad_(False)
    with autocast:
        fake = generator(batch.generator_rows)
        loss_g = hinge_generator_loss(discriminator(fake, batch.classes).float())
    descend(networks.generator_optimizer, loss_g)

    return {
        "loss_d": loss_d.detach(),
        "loss_g": loss_g.detach(),
        "d_real": real_logits.detach().mean(),
        "d_fake": fake_logits.detach().mean(),
    }


STEPS: dict[str, Callable[[Networks, Batch, TrainConfig, int], Stats]] = {
    "article": article_step,
    "relativistic": relativistic_step,
    "modern": modern_step,
    "hinge": hinge_step,
}


def _ordered(images: Tensor, config: TrainConfig) -> Tensor:
    if config.channels_last:
        return images.contiguous(memory_format=torch.channels_last)
    return images


def _anneal(networks: Networks, config: TrainConfig, images_seen: int) -> None:
    beta2 = cosine(config.betas[1], config.final_beta2, images_seen, config.burn_in)
    for name, optimizer in networks.optimizers().items():
        start = config.rates[name]
        end = start * config.final_rate_share
        for group in optimizer.param_groups:
            group["lr"] = cosine(start, end, images_seen, config.burn_in)
            group["betas"] = (config.betas[0], beta2)
