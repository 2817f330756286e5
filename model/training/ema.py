"""A slow copy of the generator: the exponential moving average of its weights, which generates
better pictures.
"""

import copy
from typing import TypeVar

import torch
from torch import nn

from model.latent_space.latents import Prior, sample_rows
from model.networks import spectral
from model.networks.pytorch import Generator

N = TypeVar("N", bound=nn.Module)

BATCH_NORM_LATENTS = 2048  # latents that re-estimate batch-norm statistics
BATCH_NORM_BATCH = 256
FIRST_SEED = 2_000_000  # these latents are of seeds that nothing else uses


def slow_copy(generator: N) -> N:
    """Makes the average's start: equal to the generator, without gradients."""
    return copy.deepcopy(generator).requires_grad_(False)


def decay(batch: int, images_seen: int, half_life: float, ramp: float) -> float:
    """Returns the share of the old average that one step keeps.

    After `half_life` images half of it is left; early on the half-life is `ramp` times the images
    seen, so that the average forgets the random start; a ramp of 0 is none, for a start that is
    worth keeping. Source: Karras et al., StyleGAN2-ADA (2020), its training loop.
    """
    if ramp:
        half_life = min(half_life, ramp * images_seen)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


@torch.no_grad()
def update(average: nn.Module, source: nn.Module, keep: float) -> None:
    """Moves weights towards the source; copies the rest, such as batch-norm statistics, which are
    averages already.
    """
    for slow, fast in zip(average.parameters(), source.parameters(), strict=True):
        slow.lerp_(fast, 1.0 - keep)
    for stale, fresh in zip(average.buffers(), source.buffers(), strict=True):
        stale.copy_(fresh)


@torch.no_grad()
def with_own_statistics(average: Generator, prior: Prior) -> Generator:
    """Makes a copy in inference mode whose batch-norm statistics and spectral norms belong to the
    averaged weights.

    The statistics in `average` are those of the fast weights; here the plain mean over 2,048
    latents replaces them. Spectral norms are folded into the weights.
    """
    generator = copy.deepcopy(average)
    spectral.fold(generator)
    if not any(isinstance(module, nn.BatchNorm2d) for module in generator.modules()):
        return generator.eval()
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over all batches
    generator.train()
    device = next(generator.parameters()).device
    for first in range(FIRST_SEED, FIRST_SEED + BATCH_NORM_LATENTS, BATCH_NORM_BATCH):
        seeds, config = range(first, first + BATCH_NORM_BATCH), generator.config
        rows = sample_rows(seeds, config.z_dim, prior, config.classes)
        generator(torch.from_numpy(rows).to(device))
    return generator.eval()
