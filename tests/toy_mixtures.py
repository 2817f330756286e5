"""Mixtures of Gaussians in the plane, and small networks that play the article's game on them."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.training import ema
from model.training.presets import PRESETS
from model.training.techniques.catalogue import PACKED, PACKING
from model.training.techniques.discriminator import SEEING_MORE, BatchDiscriminator
from model.training.train_step import Batch, Networks, train_step

DEVIATION = 0.2
RING = torch.tensor([[2 * np.cos(a), 2 * np.sin(a)] for a in np.arange(8) * np.pi / 4]).float()
GRID = torch.cartesian_prod(*[torch.arange(-4.0, 5.0, 2.0)] * 2)
REACH = 1.25  # how far the tanh lets the generator's points go, times that of the centres
Z_DIM, WIDTH, KERNELS = 2, 128, 8
RATE, KEPT = 1e-3, 0.98  # learning rate, falling to 0 over the second half; share of the average
SAMPLES = 2500


class PointGenerator(nn.Sequential):
    """z -> points in [-1, 1]."""

    def __init__(self) -> None:
        hidden = nn.Linear(Z_DIM, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()
        super().__init__(*hidden, nn.Linear(WIDTH, 2), nn.Tanh())


class PointDiscriminator(nn.Module):
    """Points -> logits (N,)."""

    def __init__(self, pictures: int) -> None:
        super().__init__()
        first, second = nn.Linear(2 * pictures, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.features = nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2))
        self.logit = nn.Linear(WIDTH, 1)

    def forward(self, points: Tensor) -> Tensor:
        return self.logit(self.features(points)).squeeze(1)


def drawn(centres: Tensor, count: int) -> Tensor:
    """Draws so many points of a mixture."""
    chosen = centres[torch.randint(len(centres), (count,))]
    return chosen + DEVIATION * torch.randn_like(chosen)


def play(
    centres: Tensor, techniques: Collection[str], steps: int, seed: int, batch: int = 64
) -> Tensor:
    """Trains by the article's steps, and returns SAMPLES points of the generator's average."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reach = REACH * float(centres.max())
        generator: Any = PointGenerator()
        discriminator: nn.Module = PointDiscriminator(PACKED if PACKING in techniques else 1)
        if SEEING_MORE.intersection(techniques):
            discriminator = BatchDiscriminator(discriminator, techniques, KERNELS)
            discriminator.fit(drawn(centres, 256) / reach)
        optimizers = [
            torch.optim.Adam(net.parameters(), RATE, (0.5, 0.999), fused=True)
            for net in (generator, discriminator)
        ]
        networks = Networks(
            generator=generator,
            discriminator=discriminator,
            generator_ema=ema.slow_copy(generator),
            generator_optimizer=optimizers[0],
            discriminator_optimizer=optimizers[1],
        )
        config = replace(PRESETS["dcgan-mnist"].config, techniques=tuple(techniques))
        for step in range(steps):
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = RATE * min(1.0, 2.0 * (1.0 - step / steps))
            rows, real = torch.randn(batch, Z_DIM), drawn(centres, batch) / reach
            none = torch.empty(batch, 0)
            dealt = Batch(real=real, classes=none, rows=rows, generator_rows=rows)
            train_step(networks, dealt, config, step)
            ema.update(networks.generator_ema, generator, KEPT)
        with torch.no_grad():
            return reach * networks.generator_ema(torch.randn(SAMPLES, Z_DIM))


def modes_found(centres: Tensor, points: Tensor) -> int:
    """Counts the centres that have a tenth of their share of the points within 3 deviations."""
    distance, nearest = torch.cdist(points, centres).min(1)
    counts = torch.bincount(nearest[distance < 3 * DEVIATION], minlength=len(centres))
    return int((counts >= 0.1 * len(points) / len(centres)).sum())
