"""A projected discriminator: small heads on the maps of a frozen network, so that what makes
a picture crisp need not be learnt first.

    images -> frozen features -> random mixing, frozen -> a head a map -> logits (N,) of each

After Sauer et al., "Projected GANs Converge Faster" (2021), sections 3.1 and 3.2, with two changes:
heads without normalisation, held by R1 and R2 at the maps, because batch norm in small batches
hides casts of colour and collapse; and logits of places as projections on the class.
"""

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.training.discriminators.frozen_features import CHANNELS, FrozenFeatures
from model.training.losses import relativistic_loss, zero_centred_penalty
from model.training.task import Adam

SIDE = 64  # pixels per side at which smaller pictures are looked at
LARGEST_SIDE = 128  # and larger ones
MIXED = 64  # channels of the finest mixed map; doubled from map to map
HEAD_SIDE = 8  # larger maps are first brought down to it
MOST_CHANNELS = 256  # in a head
EMBEDDING = 64  # values in which a head compares a place with a class
LEAKY_SLOPE = 0.2
MIXING_SEED = 0


def map_sizes(resolution: int) -> list[tuple[int, int]]:
    """Returns channels and pixels per side of each mixed map of pictures of `resolution`."""
    side = _seen_side(resolution)
    return [(MIXED << max(0, level - 1), side >> (2 + level)) for level in range(len(CHANNELS))]


def _seen_side(resolution: int) -> int:
    return min(max(resolution, SIDE), LARGEST_SIDE)


class Projection(nn.Module):
    """Images to mixed maps, nothing of which learns; each map is of unit deviation on the pictures
    of `calibrate`.
    """

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.side = _seen_side(resolution)
        self.features = FrozenFeatures()
        widths = [MIXED << level for level in range(len(CHANNELS))]
        self.channels, self.sides = zip(*map_sizes(resolution), strict=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(MIXING_SEED)
            self.across = nn.ModuleList(map(_mixing, CHANNELS, widths))
            self.down = nn.ModuleList(map(_mixing, widths, self.channels))
        self.scales = [1.0] * len(CHANNELS)
        self.requires_grad_(False)

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Sets the scales by real images (N, C, H, W)."""
        self.scales = [1.0] * len(self.scales)
        self.scales = [1.0 / float(found.float().std().clamp_min(1e-6)) for found in self(images)]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Computes maps (N, channels[i], sides[i], sides[i]), the finest first, of images (N, C, H,
        W), grey or RGB, in [-1, 1].
        """
        x = images.to(self.features.stem.weight.dtype)
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        if x.shape[2] != self.side:
            x = functional.interpolate(x, size=self.side, mode="bilinear")
        mixed = [mix(found) for mix, found in zip(self.across, self.features(x), strict=True)]
        maps: list[Tensor] = []
        for level in reversed(range(len(mixed))):
            found = mixed[level]
            if maps:
                found = found + functional.interpolate(maps[-1], scale_factor=2, mode="bilinear")
            maps.append(self.down[level](found))
        return [scale * found for scale, found in zip(self.scales, reversed(maps), strict=True)]


class Head(nn.Module):
    """A map to a logit: 4x4 convolutions of stride 2 down to 8x8, or one 3x3, then one over all or
    4x4 places, whose values are compared with the class; the mean over the places.
    """

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        width = max(MIXED, channels)
        if side <= HEAD_SIDE:
            self.convolutions.append(nn.Conv2d(channels, min(MOST_CHANNELS, width), 3, padding=1))
            channels = min(MOST_CHANNELS, width)
        while side > HEAD_SIDE:
            wide = min(MOST_CHANNELS, width)
            self.convolutions.append(nn.Conv2d(channels, wide, 4, 2, 1))
            channels, side, width = wide, side // 2, width * 2
        self.logit = nn.Conv2d(channels, EMBEDDING if classes else 1, min(4, side))
        self.classes = nn.Linear(classes, EMBEDDING) if classes else None
        for module in (*self.convolutions, self.logit):
            nn.init.kaiming_normal_(module.weight, LEAKY_SLOPE)
            nn.init.zeros_(module.bias)
        if self.classes is not None:
            nn.init.normal_(self.classes.weight)

    def forward(self, x: Tensor, classes: Tensor) -> Tensor:
        """Returns logits (N,) of a map (N, channels, side, side) and class weights (N, classes)."""
        for convolution in self.convolutions:
            x = functional.leaky_relu(convolution(x), LEAKY_SLOPE)
        places = self.logit(x).flatten(2).float()
        if self.classes is None:
            unconditional: Tensor = places.mean(dim=(1, 2))
            return unconditional
        wanted = self.classes(classes)[:, :, None].float()
        logits: Tensor = (places * wanted).sum(1).mean(1) / math.sqrt(EMBEDDING)
        return logits


class Heads(nn.Module):
    """A head for each map of the projection of pictures of `resolution`."""

    def __init__(self, resolution: int, classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            Head(channels, side, classes) for channels, side in map_sizes(resolution)
        )

    def forward(self, maps: list[Tensor], classes: Tensor) -> list[Tensor]:
        """Computes the logits (N,) of each head."""
        return [head(found, classes) for head, found in zip(self.heads, maps, strict=True)]


class HeadsConfig(Protocol):
    """What a run's configuration says of them."""

    @property
    def heads_learning_rate(self) -> float:
        """Rate of their Adam."""

    @property
    def heads_gamma(self) -> float:
        """Weight of R1 and R2 at the maps."""

    @property
    def heads_penalty_interval(self) -> int:
        """Steps from one penalty to the next."""

    @property
    def heads_betas(self) -> tuple[float, float]:
        """Betas of their Adam."""

    @property
    def bf16(self) -> bool:
        """Whether maps and convolutions are bfloat16."""

    @property
    def channels_last(self) -> bool:
        """The memory order of pictures and kernels."""


Seen = tuple[list[Tensor], list[Tensor]]  # maps of generated images, logits of real ones


class Projected:
    """The projected discriminator of images of `resolution`: a projection that never learns, heads
    that do, and their optimiser.

    Raises:
        FrozenError: the frozen features are not installed.
    """

    def __init__(
        self, config: HeadsConfig, resolution: int, classes: int, device: torch.device
    ) -> None:
        self._config = config
        self.projection = Projection(resolution).to(device)
        self.heads = Heads(resolution, classes).to(device)
        if config.channels_last:
            for network in (self.projection, self.heads):
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.projection.to(torch.bfloat16 if config.bf16 else torch.float32)
        self.optimizer = Adam(
            self.heads.parameters(), config.heads_learning_rate, config.heads_betas, fused=True
        )

    def learn(
        self, real: Tensor, generated: Tensor, classes: Tensor, step: int, stats: dict[str, Tensor]
    ) -> Seen:
        """Runs one update of the heads on images (N, C, H, W), real and generated in pairs; adds
        its losses to `stats`. Returns what the generator's loss needs.
        """
        with torch.no_grad():
            real_maps = self.projection(real)
        fake_maps = self.projection(generated)
        maps = [
            torch.cat([one, other.detach()])
            for one, other in zip(real_maps, fake_maps, strict=True)
        ]
        penalised = step % self._config.heads_penalty_interval == 0
        self.heads.requires_grad_(True)
        if penalised:
            maps = [found.float().requires_grad_() for found in maps]
        bf16 = self._config.bf16 and not penalised
        with torch.autocast(real.device.type, torch.bfloat16, enabled=bf16):
            logits = self.heads(maps, torch.cat([classes, classes]))
        halves = [found.chunk(2) for found in logits]
        loss = torch.stack([relativistic_loss(one, other) for one, other in halves]).sum()
        stats["loss_h"] = loss.detach()
        if penalised:
            penalty = 2.0 * zero_centred_penalty(torch.stack(logits).sum(0), maps)
            loss = loss + self._config.heads_gamma * self._config.heads_penalty_interval * penalty
            stats["penalty_h"] = penalty.detach()
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        return fake_maps, [one.detach() for one, _ in halves]

    def generator_loss(self, seen: Seen, classes: Tensor) -> Tensor:
        """Returns the sum of the heads' losses for generated images, by heads as they are now."""
        maps, real_logits = seen
        self.heads.requires_grad_(False)
        with torch.autocast(maps[0].device.type, torch.bfloat16, enabled=self._config.bf16):
            again = self.heads(maps, classes)
        return torch.stack(list(map(relativistic_loss, again, real_logits))).sum()


def _mixing(into: int, out: int) -> nn.Conv2d:
    """Makes a random 1x1 convolution that keeps the variance."""
    convolution = nn.Conv2d(into, out, 1)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="linear")
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution
