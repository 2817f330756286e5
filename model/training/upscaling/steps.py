"""The networks of an upscaler's run, and one step of the objective `super-resolution`.

small pictures -> enlarged at every scale -> difference to the truth
                                          -> logits of two discriminators, in pairs with the
                                             truth's: of patches, and by frozen features
                                          -> reduced again: what was put in
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.training import ema
from model.training.discriminators.projected import Projected, Seen
from model.training.losses import relativistic_loss, zero_centred_penalty
from model.training.task import Adam, Learning, Stats
from model.training.upscaling.config import UpscaleConfig
from model.training.upscaling.pairs import Pairs
from model.upscaling.pytorch import LEAKY_SLOPE, PatchDiscriminator, Upscaler

LOBES = 3  # Lanczos' filter has so many on either side
COARSEST = 32  # pixels per place of the coarsest map
EDGE = 3  # small pixels at a crop's edges that the rest of its picture would have changed


@dataclass
class UpscalerNetworks(Learning):
    """The upscaler, its average, and in phase 2 two discriminators, with their optimisers."""

    generator: Upscaler
    generator_ema: Upscaler
    generator_optimizer: torch.optim.Optimizer
    discriminator: PatchDiscriminator | None = None
    discriminator_optimizer: torch.optim.Optimizer | None = None
    projected: Projected | None = None

    @property
    def learners(self) -> tuple[nn.Module, ...]:
        """The networks that learn."""
        return self.generator, *([self.discriminator] if self.discriminator else [])

    def modules(self) -> dict[str, nn.Module]:
        """Returns every network that learns, and the average, by name."""
        found: dict[str, nn.Module] = {"generator": self.generator, "average": self.generator_ema}
        found |= {"discriminator": self.discriminator} if self.discriminator else {}
        return found | ({"heads": self.projected.heads} if self.projected else {})

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns every optimiser, by name."""
        found = {"generator_optimizer": self.generator_optimizer}
        if self.discriminator_optimizer:
            found["discriminator_optimizer"] = self.discriminator_optimizer
        return found | ({"heads_optimizer": self.projected.optimizer} if self.projected else {})


def new_upscaler_networks(
    config: UpscaleConfig, device: torch.device, seed: int, examples: Tensor | None = None
) -> UpscalerNetworks:
    """Makes the networks before their first step, the same for the same seed. Large `examples`
    (N, C, H, W) give the scale of frozen features.

    Raises:
        FrozenError: phase 2 wants frozen features, which are not installed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Upscaler(config.network).to(device)
        discriminator = projected = None
        if config.adversarial:
            projected = Projected(config, config.large_side // COARSEST * COARSEST, 0, device)
            if examples is not None:
                projected.projection.calibrate(examples)
            width = config.discriminator_width
            discriminator = PatchDiscriminator(config.network.channels, width).to(device)
            for layer in discriminator.modules():
                if isinstance(layer, nn.Conv2d):  # smaller weights take hundreds of steps to grow
                    nn.init.kaiming_normal_(layer.weight, LEAKY_SLOPE)
    if config.channels_last:
        for network in (generator, discriminator):
            if network is not None:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def adam(network: nn.Module, name: str) -> torch.optim.Optimizer:
        return Adam(network.parameters(), config.rates[name], config.betas, fused=True)

    return UpscalerNetworks(
        generator=generator,
        generator_ema=ema.slow_copy(generator),
        generator_optimizer=adam(generator, "generator_optimizer"),
        discriminator=discriminator,
        discriminator_optimizer=adam(discriminator, "discriminator_optimizer")
        if discriminator
        else None,
        projected=projected,
    )


def super_resolution_step(
    networks: UpscalerNetworks, pairs: Pairs, config: UpscaleConfig, step: int, rate_share: float
) -> Stats:
    """Runs one step; `step` counts from 0. Returns the losses, from before the update."""
    risen = min(1.0, (step + 1) * config.batch / max(config.warm_up, 1.0))
    for name, optimizer in networks.optimizers().items():
        for group in optimizer.param_groups:
            group["lr"] = risen * rate_share * config.rates[name]
    scales, count = list(config.network.scales), len(pairs.small)
    inputs = torch.cat([pairs.small, pairs.generated]) if len(pairs.generated) else pairs.small
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=config.bf16):
        found = networks.generator.each(inputs, scales)
    enlarged = {scale: images.float() for scale, images in zip(scales, found, strict=True)}
    stats: Stats = {}
    total = torch.zeros((), device=inputs.device)
    for scale, images in enlarged.items():
        loss = functional.l1_loss(images[:count], pairs.large[scale])
        stats[f"loss_{scale}x"] = loss.detach()
        total = total + loss
    if networks.discriminator is not None:
        loss, more = _adversarial(networks, pairs, enlarged, config, step)
        stats |= more
        loss = config.discriminator_weight * loss
        if networks.projected:
            seen = _learn_maps(networks.projected, pairs, enlarged[max(scales)], step, stats)
            loss = loss + networks.projected.generator_loss(seen, inputs.new_zeros(len(inputs), 0))
        share = min(1.0, step * config.batch / max(config.burn_in, 1.0))
        total = total + share * config.adversarial * loss
    if config.consistency:  # at the scale from which the small ones were reduced
        most = max(scales)
        kept = torch.cat([pairs.clean, pairs.clean.new_ones(len(pairs.generated))])
        loss = inconsistency(enlarged[most][kept], inputs[kept], most)
        stats["loss_back"] = loss.detach()
        total = total + config.consistency * loss
    networks.generator_optimizer.zero_grad()
    torch.autograd.backward(total)
    networks.generator_optimizer.step()
    return stats


def _adversarial(
    networks: UpscalerNetworks,
    pairs: Pairs,
    enlarged: dict[int, Tensor],
    config: UpscaleConfig,
    step: int,
) -> tuple[Tensor, Stats]:
    """Runs one update of the discriminator, which sees every scale; returns the generator's loss.

    Each enlarged picture is paired with its truth, patch by patch; one without truth with that of
    another.
    """
    discriminator, optimizer = networks.discriminator, networks.discriminator_optimizer
    assert discriminator is not None
    assert optimizer is not None
    penalised = step % config.penalty_interval == 0
    scales, generated = list(enlarged), len(pairs.generated)
    device = pairs.small.device.type

    def logits_of(images: Tensor, bf16: bool) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            return discriminator(images).float()  # type: ignore[no-any-return]

    discriminator.requires_grad_(True)
    reals: dict[int, Tensor] = {}
    losses, penalties, fakes = [], [], []
    for scale in scales:
        truth = pairs.large[scale].detach().requires_grad_(penalised)
        real = logits_of(truth, config.bf16 and not penalised)
        fake = logits_of(enlarged[scale].detach(), config.bf16)
        if penalised:  # as many patches, as large a penalty
            whole = real.flatten(1).sum(1) / real[0].numel() ** 0.5
            penalties.append(zero_centred_penalty(whole, [truth]))
        real = torch.cat([real, real[:generated]])
        losses.append(relativistic_loss(real, fake))
        reals[scale] = real.detach()
        fakes.append(fake.detach().mean())
    loss_d = torch.stack(losses).mean()
    stats: Stats = {"loss_d": loss_d.detach()}
    if penalised:
        penalty = torch.stack(penalties).mean()
        stats["penalty"] = penalty.detach()
        loss_d = loss_d + config.gamma * config.penalty_interval * penalty
    optimizer.zero_grad()
    torch.autograd.backward(loss_d)
    optimizer.step()

    discriminator.requires_grad_(False)
    again = [
        relativistic_loss(logits_of(enlarged[scale], config.bf16), reals[scale]) for scale in scales
    ]
    loss_g = torch.stack(again).mean()
    stats |= {
        "loss_g": loss_g.detach(),
        "d_real": torch.stack([real.mean() for real in reals.values()]).mean(),
        "d_fake": torch.stack(fakes).mean(),
    }
    return loss_g, stats


def _learn_maps(
    projected: Projected, pairs: Pairs, enlarged: Tensor, step: int, stats: Stats
) -> Seen:
    """Runs one update of the heads, which see the largest scale alone."""
    truth = pairs.large[max(pairs.large)]
    real = torch.cat([truth, truth[: len(pairs.generated)]])
    return projected.learn(real, enlarged, enlarged.new_zeros(len(enlarged), 0), step, stats)


def inconsistency(enlarged: Tensor, small: Tensor, scale: int) -> Tensor:
    """Returns the mean squared difference between pictures (N, C, H, W) and their enlargements,
    reduced again by the filter that made such pictures small, which cuts values to their range
    after each direction. Where pictures are cut from larger ones, their edges do not count.
    """
    rows, columns = (reduction(side, scale).to(small) for side in small.shape[2:])
    narrow = (enlarged.clamp(-1, 1) @ columns.T).clamp(-1, 1)
    difference = ((rows @ narrow).clamp(-1, 1) - small)[:, :, EDGE:-EDGE, EDGE:-EDGE]
    return difference.square().mean()


@cache
def reduction(side: int, scale: int) -> Tensor:
    """Returns the matrix (side, scale * side) of Lanczos' filter as Pillow has it."""
    centres = (torch.arange(side, dtype=torch.float64)[:, None] + 0.5) * scale
    places = torch.arange(scale * side, dtype=torch.float64) + 0.5
    at = (places - centres) / scale
    weights = torch.where(at.abs() < LOBES, torch.sinc(at) * torch.sinc(at / LOBES), 0.0)
    return (weights / weights.sum(1, keepdim=True)).float()
