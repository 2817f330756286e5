"""What a feature network learns where there are no classes to learn: which pictures are alike, and
what has been done to a picture.

    clusters(pixels)  ->  a group for each picture, of pictures whose colours are laid out alike
    damage(images)    ->  images that went wrong as a generator's do, and how each went wrong

The first makes features tell what is in a picture, the second how well it is drawn. Sources: for
clusters as classes Caron et al., "Deep Clustering for Unsupervised Learning of Visual Features"
(2018), here of pixels and once; for kinds of damage Madhusudana et al., "Image Quality Assessment
using Contrastive Learning" (2022).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

CLUSTERS = 100  # at most
PICTURES_A_CLUSTER = 20  # at least, on average
COARSE = 8  # pixels a side of what clusters are made of
ROUNDS = 20
DAMAGES = ("none", "blend", "patch", "blur", "noise", "warp", "colour")


def clusters(pixels: NDArray[np.uint8], seed: int) -> tuple[NDArray[np.int64], int]:
    """Groups pictures (N, H, W, C) by k-means over small ones; returns groups and their number."""
    coarse = _coarse(pixels)
    random = np.random.default_rng(seed)
    count = int(np.clip(len(pixels) // PICTURES_A_CLUSTER, 2, CLUSTERS))
    centres = coarse[random.choice(len(coarse), count, replace=len(coarse) < count)]
    for _ in range(ROUNDS):
        groups = _nearest_centre(coarse, centres)
        for group in range(count):
            members = coarse[groups == group]
            # an empty group starts anew at a picture
            centre = members.mean(0) if len(members) else coarse[random.integers(len(coarse))]
            centres[group] = centre
    return _nearest_centre(coarse, centres), count


def damage(images: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Damages most of the images (N, C, H, W) in [-1, 1]; returns all, and the number of each one's
    damage in DAMAGES.
    """
    count = len(images)
    kinds = random.integers(0, len(DAMAGES), count)
    others = images[torch.from_numpy(random.permutation(count)).to(images.device)]
    damaged = images.clone()
    for number, name in enumerate(DAMAGES):
        chosen = torch.from_numpy(np.flatnonzero(kinds == number)).to(images.device)
        if len(chosen) and name != "none":
            damaged[chosen] = _DAMAGE[name](images[chosen], others[chosen], random)
    return damaged.clamp(-1, 1), torch.from_numpy(kinds).to(images.device)


def _blend(images: Tensor, others: Tensor, random: np.random.Generator) -> Tensor:
    return images.lerp(others, _strengths(images, random, 0.1, 0.5))


def _patch(images: Tensor, others: Tensor, random: np.random.Generator) -> Tensor:
    """Pastes a square of another picture, of a fifth to three fifths of the side."""
    side = images.shape[2]
    sizes = random.uniform(0.2, 0.6, (len(images), 1)) * side
    starts = random.uniform(0, 1, (2, len(images), 1)) * (side - sizes)
    down, across = (starts <= np.arange(side)) & (np.arange(side) < starts + sizes)
    inside = torch.from_numpy(down[:, None, :, None] & across[:, None, None, :])
    return torch.where(inside.to(images.device), others, images)


def _blur(images: Tensor, others: Tensor, random: np.random.Generator) -> Tensor:
    channels = images.shape[1]
    line = torch.tensor([0.25, 0.5, 0.25], device=images.device)
    kernel = torch.outer(line, line).expand(channels, 1, 3, 3)
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    blurred = functional.conv2d(padded, kernel, groups=channels)
    return images.lerp(blurred, _strengths(images, random, 0.4, 1.0))


def _noise(images: Tensor, others: Tensor, random: np.random.Generator) -> Tensor:
    noise = torch.from_numpy(random.standard_normal(images.shape, np.float32)).to(images.device)
    return images + noise * _strengths(images, random, 0.03, 0.3)


def _warp(images: Tensor, others: Tensor, random: np.random.Generator) -> Tensor:
    """Moves places smoothly by some hundredths of the side."""
    pushes = torch.from_numpy(random.standard_normal((len(images), 2, 4, 4), np.float32))
    smooth = functional.interpolate(
        pushes.to(images.device), size=images.shape[2:], mode="bilinear", align_corners=False
    )
    moved = (smooth * _strengths(images, random, 0.02, 0.1)).permute(0, 2, 3, 1)
    still = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
    grid = functional.affine_grid(still, list(images.shape), align_corners=False) + moved
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _colour(images: Tensor, others: Tensor, random: np.random.Generator) -> Tensor:
    """Lowers the contrast, and shifts each channel."""
    shifts = random.uniform(-0.2, 0.2, (*images.shape[:2], 1, 1)).astype(np.float32)
    shift = torch.from_numpy(shifts).to(images.device)
    return images * _strengths(images, random, 0.6, 0.95) + shift


_DAMAGE = {
    "blend": _blend,
    "patch": _patch,
    "blur": _blur,
    "noise": _noise,
    "warp": _warp,
    "colour": _colour,
}


def _strengths(images: Tensor, random: np.random.Generator, low: float, high: float) -> Tensor:
    """Draws one strength a picture, (N, 1, 1, 1)."""
    drawn = random.uniform(low, high, (len(images), 1, 1, 1)).astype(np.float32)
    return torch.from_numpy(drawn).to(images.device)


def _coarse(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Reduces pictures to (N, D) rows of few pixels, channels of equal weight."""
    parts = [
        functional.adaptive_avg_pool2d(
            torch.from_numpy(pixels[start : start + 1024]).permute(0, 3, 1, 2).float(), COARSE
        ).flatten(1)
        for start in range(0, len(pixels), 1024)
    ]
    return torch.cat(parts).numpy()


def _nearest_centre(points: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    squares = (centres * centres).sum(axis=1)[None, :] - 2 * (points @ centres.T)
    nearest: NDArray[np.int64] = squares.argmin(axis=1)
    return nearest
