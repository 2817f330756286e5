"""One step of each objective: a batch in, both networks updated, statistics out.

article        one discriminator update, then two of the generator on the same z
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
from model.training.discriminators.projected import Heads, Projection
from model.training.losses import (
    discriminator_loss,
    generator_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    relativistic_loss,
    zero_centred_penalty,
)
from model.training.presets import TrainConfig
from model.training.run import checkpoint
from model.training.schedules import cosine, inverse_root

Stats = dict[str, Tensor]
BEYOND = 0.1  # slope beyond the range of pictures


@dataclass
class Projected:
    """The projected discriminator: a projection that never learns, heads that do."""

    projection: Projection
    heads: Heads
    optimizer: torch.optim.Optimizer


@dataclass
class Networks:
    """Both networks, the average of one, and both optimisers, with the projected discriminator
    where there is one: what a checkpoint holds.
    """

    generator: Generator
    discriminator: nn.Module
    generator_ema: Generator
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    projected: Projected | None = None

    def modules(self) -> dict[str, nn.Module]:
        """Returns every network that learns, and the average, by name."""
        found: dict[str, nn.Module] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.generator_ema,
        }
        return found | ({"heads": self.projected.heads} if self.projected else {})

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns every optimiser, by name."""
        found = {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }
        return found | ({"heads_optimizer": self.projected.optimizer} if self.projected else {})

    def tensors(self) -> dict[str, Tensor]:
        """Returns every tensor that training goes on from, by name."""
        tensors: dict[str, Tensor] = {}
        for name, network in self.modules().items():
            tensors |= checkpoint.pack(name, network.state_dict())
        for name, optimizer in self.optimizers().items():
            tensors |= checkpoint.pack_optimizer(name, optimizer)
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Loads tensors as `tensors` returns them."""
        for name, network in self.modules().items():
            network.load_state_dict(checkpoint.unpack(name, tensors))
        for name, optimizer in self.optimizers().items():
            checkpoint.unpack_optimizer(name, tensors, optimizer)


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
    (N, C, H, W) give the colour that generated ones start with and the scale of frozen features;
    without them the colour is grey and the scale 1.

    Raises:
        FrozenError: the configuration wants frozen features, which are not installed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = new_generator(config.network).to(device)
        discriminator = new_discriminator(config.network).to(device)
        projection = heads = None
        if config.frozen_features:
            projection = Projection(config.network.resolution).to(device)
            heads = Heads(config.network.resolution, config.network.classes).to(device)
    learning = [net for net in (generator, discriminator, heads) if net is not None]
    if config.channels_last:
        for parameter in (p for net in (*learning, projection) if net for p in net.parameters()):
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    if examples is not None:
        generator.prepare(examples)

    def adam(
        network: nn.Module, optimizer: str, betas: tuple[float, float] | None = None
    ) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            network.parameters(), config.rates[optimizer], betas or config.betas, fused=True
        )

    projected = None
    if projection is not None and heads is not None:
        projection.to(torch.bfloat16 if config.bf16 else torch.float32)
        if examples is not None:
            projection.calibrate(_ordered(examples, config))
        optimizer = adam(heads, "heads_optimizer", config.generator_betas)
        projected = Projected(projection, heads, optimizer)
    return Networks(
        generator=generator,
        discriminator=discriminator,
        generator_ema=ema.slow_copy(generator),
        generator_optimizer=adam(generator, "generator_optimizer", config.generator_betas),
        discriminator_optimizer=adam(discriminator, "discriminator_optimizer"),
        projected=projected,
    )


def train_step(networks: Networks, batch: Batch, config: TrainConfig, step: int) -> Stats:
    """Runs one step of the configuration's objective; `step` counts from 0.

    Returns the losses and other statistics, from before the generator's last update.
    """
    return STEPS[config.objective](networks, batch, config, step)


def article_step(networks: Networks, batch: Batch, config: TrainConfig, step: int) -> Stats:
    """Runs one discriminator update, then `generator_updates` of the generator on the same z."""
    generator, discriminator = networks.generator, networks.discriminator
    real, z = batch.real, batch.rows
    autocast = torch.autocast(real.device.type, torch.bfloat16, enabled=config.bf16)

    discriminator.requires_grad_(True)
    with autocast:
        fake = generator(z)
        real_logits = discriminator(real).float()  # real and generated: separate batches
        fake_logits = discriminator(fake.detach()).float()
    loss_d = discriminator_loss(real_logits, fake_logits, config.label_smoothing)
    _update(networks.discriminator_optimizer, loss_d)

    discriminator.requires_grad_(False)
    for update in range(config.generator_updates):
        with autocast:
            if update > 0:  # before, the generator has not moved: the images from above still hold
                fake = generator(z)
            loss_g = generator_loss(discriminator(fake).float())
        _update(networks.generator_optimizer, loss_g)

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
    _update(networks.discriminator_optimizer, loss_d)

    # the generator
    discriminator.requires_grad_(False)
    with autocast:
        fake = generator(batch.generator_rows)
        images = _ordered(torch.cat([batch.real.to(fake.dtype), fake]), config)
        seen = batch.generator_augmentation(images) if batch.generator_augmentation else images
        both_classes = torch.cat([batch.classes, batch.classes])
        real_again, fake_again = discriminator(seen, both_classes).float().chunk(2)
    loss_g = relativistic_loss(fake_again, real_again)
    _update(networks.generator_optimizer, loss_g)

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
    _update(networks.discriminator_optimizer, loss_d)
    heads_real: list[Tensor] = []
    projected = networks.projected if step % config.heads_interval == 0 else None
    if projected:
        with torch.no_grad():
            real_maps = projected.projection(real)
        fake_maps = projected.projection(generated)
        maps = [
            torch.cat([one, other.detach()])
            for one, other in zip(real_maps, fake_maps, strict=True)
        ]
        loss_h, heads_real = _discriminate_maps(projected.heads, maps, batch, config, step, stats)
        _update(projected.optimizer, loss_h)

    # the generator
    discriminator.requires_grad_(False)
    with autocast:
        again = discriminator(generated, batch.classes).float()
    loss_g = relativistic_loss(again, real_logits)
    total = loss_g if networks.projected is None else config.discriminator_weight * loss_g
    if projected:
        projected.heads.requires_grad_(False)
        with autocast:
            again_heads = projected.heads(fake_maps, batch.classes)
        losses = map(relativistic_loss, again_heads, heads_real)
        total = total + torch.stack(list(losses)).sum()
    _update(networks.generator_optimizer, total)

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


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()


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


def _discriminate_maps(
    heads: Heads, maps: list[Tensor], batch: Batch, config: TrainConfig, step: int, stats: Stats
) -> tuple[Tensor, list[Tensor]]:
    """Computes the loss of all heads, and the logits of each for real images without graph, of maps
    of 2 N images, the real ones first.
    """
    penalised = step % config.heads_penalty_interval == 0
    heads.requires_grad_(True)
    if penalised:
        maps = [found.float().requires_grad_() for found in maps]
    bf16 = config.bf16 and not penalised
    with torch.autocast(maps[0].device.type, torch.bfloat16, enabled=bf16):
        logits = heads(maps, torch.cat([batch.classes, batch.classes]))
    halves = [found.chunk(2) for found in logits]
    loss = torch.stack([relativistic_loss(real, fake) for real, fake in halves]).sum()
    stats["loss_h"] = loss.detach()
    if penalised:
        penalty = 2.0 * zero_centred_penalty(torch.stack(logits).sum(0), maps)
        loss = loss + config.heads_gamma * config.heads_penalty_interval * penalty
        stats["penalty_h"] = penalty.detach()
    return loss, [real.detach() for real, _ in halves]


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
    _update(networks.discriminator_optimizer, loss_d)

    discriminator.requires_grad_(False)
    with autocast:
        fake = generator(batch.generator_rows)
        loss_g = hinge_generator_loss(discriminator(fake, batch.classes).float())
    _update(networks.generator_optimizer, loss_g)

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
