"""From a picture back to a latent: the one whose picture comes nearest, found by gradient descent.

    picture -> many seeds, the nearest few kept -> Adam on their latents, half of them dropped at
               each quarter of the way -> the row of the best

The cost is bounded by the steps and the starts. Equal inputs give equal rows on one CPU with one
number of threads. Latents stay where the prior puts them: a uniform one in its box, a normal one
pulled back where it grows longer than usual. After Zhu et al., "Generative Visual Manipulation on
the Natural Image Manifold" (2016), section 3, and Abdal et al., "Image2StyleGAN" (2019).
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.generator_file import GeneratorFile
from model.images import HALF_RANGE
from model.latent_space.directions import DEVIATIONS
from model.latent_space.latents import SEED_LIMIT, Prior, text_seed
from model.networks.pytorch import Generator
from model.samplers.pytorch import load_generator

STEPS, STARTS = 400, 8
MOST_STEPS, MOST_STARTS = 10_000, 64
CANDIDATES = 256  # seeds that are looked at for starts
GENERATED_AT_ONCE = 32
REPORT_STEPS = 20
RATE = 0.25  # the first step's length, in deviations of the prior
MOMENTUM, SQUARES = 0.9, 0.99  # Adam's
LENGTH_WEIGHT = 1.0  # what a normal latent's excess length counts in the loss
LEVELS = 3  # sizes in the pyramid


@dataclass(frozen=True)
class Progress:
    """How far a projection has come, and the best that it has found."""

    step: int  # 0: the nearest of the seeds, before any descent
    steps: int
    error: float  # root mean square of the pixels' differences, in levels of 255
    row: NDArray[np.float32]  # (z_dim + classes,)


def project(
    file: GeneratorFile,
    picture: NDArray[np.uint8],
    *,
    steps: int = STEPS,
    starts: int = STARTS,
    seed: int = 0,
    class_: int | None = None,
    device: torch.device | None = None,
) -> Iterator[Progress]:
    """Looks for the row whose picture is nearest to `picture` (side, side, C); the last report
    holds it.

    `seed` decides which starts are tried. Without `class_` each start keeps a class of its own, and
    the best picture decides.

    Raises:
        ValueError: the picture has another shape than the generator's, or a number is out of
        bounds.
    """
    config = file.config
    shape = (config.crop, config.crop, config.network.channels)
    if picture.shape != shape:
        raise ValueError(f"the picture is {picture.shape}; the generator's are {shape}")
    if not (1 <= steps <= MOST_STEPS and 1 <= starts <= MOST_STARTS):
        raise ValueError(f"allowed: 1 to {MOST_STEPS} steps, 1 to {MOST_STARTS} starts")
    return _descend(file, picture, steps, starts, seed, class_, device or torch.device("cpu"))


def _descend(
    file: GeneratorFile,
    picture: NDArray[np.uint8],
    steps: int,
    starts: int,
    seed: int,
    class_: int | None,
    device: torch.device,
) -> Iterator[Progress]:
    config, z_dim = file.config, file.config.network.z_dim
    network = load_generator(file).to(device).eval().requires_grad_(False)
    target = _to_target(picture).to(device)
    first = text_seed(f"projection {seed}") % (SEED_LIMIT - CANDIDATES)
    rows = torch.from_numpy(config.rows(range(first, first + CANDIDATES), class_)).to(device)
    errors = torch.cat(
        [_errors(network, part, target) for part in torch.split(rows, GENERATED_AT_ONCE)]
    )
    nearest = errors.argsort(stable=True)[:starts]
    rows = rows[nearest]
    best, error = rows[0].clone(), float(errors[nearest[0]])
    yield Progress(0, steps, error, best.cpu().numpy())

    mean, square = torch.zeros_like(rows[:, :z_dim]), torch.zeros_like(rows[:, :z_dim])
    rate = RATE * DEVIATIONS[config.prior]
    quarter = max(1, steps // 4)
    for step in range(1, steps + 1):
        gradient = _gradient(network, rows, target, z_dim, config.prior)
        mean = MOMENTUM * mean + (1 - MOMENTUM) * gradient
        square = SQUARES * square + (1 - SQUARES) * gradient**2
        slope = mean / (1 - MOMENTUM**step)
        size = (square / (1 - SQUARES**step)).sqrt() + 1e-8
        cosine = 0.5 + 0.5 * math.cos(math.pi * (step - 1) / steps)
        z = rows[:, :z_dim] - rate * cosine * slope / size
        z = z.clamp(-1, 1) if config.prior == "uniform" else z
        rows = torch.cat([z, rows[:, z_dim:]], dim=1)
        fewer = step % quarter == 0 and len(rows) > 1
        if fewer or step % REPORT_STEPS == 0 or step == steps:
            errors = _errors(network, rows, target)
            nearest = errors.argsort(stable=True)
            if float(errors[nearest[0]]) < error:
                best, error = rows[nearest[0]].clone(), float(errors[nearest[0]])
            yield Progress(step, steps, error, best.cpu().numpy())
            if fewer:
                kept = nearest[: -(-len(rows) // 2)]
                rows, mean, square = rows[kept], mean[kept], square[kept]


def _to_target(picture: NDArray[np.uint8]) -> Tensor:
    """Maps a picture (side, side, C) to (1, C, side, side) in [-1, 1]."""
    scaled = picture.astype(np.float32) / np.float32(HALF_RANGE) - 1
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]


def _generate(network: Generator, rows: Tensor, target: Tensor) -> Tensor:
    """Generates images as far as they can be seen: where the target is white, what is beyond white
    is white, and likewise for black.
    """
    images = network(rows)
    side = target.shape[-1]
    margin = (images.shape[-1] - side) // 2
    images = images[:, :, margin : margin + side, margin : margin + side]
    infinity = torch.full_like(target, math.inf)
    images = torch.minimum(images, torch.where(target >= 1, target, infinity))
    return torch.maximum(images, torch.where(target <= -1, target, -infinity))


def _errors(network: Generator, rows: Tensor, target: Tensor) -> Tensor:
    """Computes the root mean squares of the differences (N,), in levels of 255."""
    with torch.inference_mode(), _steady():
        images = _generate(network, rows, target).clamp(-1, 1)
        return HALF_RANGE * (images - target).square().mean((1, 2, 3)).sqrt()


def _gradient(network: Generator, rows: Tensor, target: Tensor, z_dim: int, prior: Prior) -> Tensor:
    """Computes the gradient of the loss with respect to the latents (N, z_dim)."""
    with torch.enable_grad(), _steady():
        z = rows[:, :z_dim].clone().requires_grad_()
        images = _generate(network, torch.cat([z, rows[:, z_dim:]], dim=1), target)
        loss = (images - target).square().mean((1, 2, 3)) + _pyramid(images, target)
        if prior == "normal":
            loss = loss + LENGTH_WEIGHT * functional.relu(z.square().mean(1) - 1).square()
        (gradient,) = torch.autograd.grad(loss.sum(), z)
    return gradient


def _pyramid(images: Tensor, target: Tensor) -> Tensor:
    """Computes the mean absolute difference (N,), the mean over pictures of the whole, half and
    quarter side.
    """
    total = torch.zeros(len(images), device=images.device)
    for _ in range(LEVELS):
        total = total + (images - target).abs().mean((1, 2, 3)) / LEVELS
        if min(target.shape[-2:]) < 2:
            break
        images, target = functional.avg_pool2d(images, 2), functional.avg_pool2d(target, 2)
    return total


def one_thread() -> None:
    """Makes torch compute in this thread alone: so few pictures at once are hardly faster with more
    threads, on a busy machine far slower; and the result then does not depend on the number of
    cores.
    """
    torch.set_num_threads(1)


def _steady() -> AbstractContextManager[None]:
    """Makes arithmetic the same every time, as far as a library offers it."""
    steady: AbstractContextManager[None] = torch.backends.cudnn.flags(
        benchmark=False, deterministic=True, allow_tf32=False
    )
    return steady
