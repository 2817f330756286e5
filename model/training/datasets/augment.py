"""Augmentation that both networks' images pass on their way to the discriminator: moved by up to an
eighth, and a square cut out.

A small set of real pictures is then not memorised. Zhao et al., "Differentiable Augmentation for
Data-Efficient GAN Training" (2020); with a probability below 1 it does not leak into what is drawn
(Karras et al., StyleGAN2-ADA, 2020).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LARGEST_MOVE = 1 / 8  # share of a side
CUT_SIDE = 1 / 2  # share of a side; its middle may be anywhere


@dataclass(frozen=True)
class Augmentation:
    """What happens to each of N images; a linear map, so that penalties see through it."""

    rows: Tensor  # (N, H, H): each row of the result is one of the image
    columns: Tensor  # (N, W, W)
    kept: Tensor  # (N, 1, H, W): 0 where the square is cut out

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (N, C, H, W), keeping their shape; what moves in repeats the edge."""
        rows, columns, kept = (
            part.to(images.dtype) for part in (self.rows, self.columns, self.kept)
        )
        moved = torch.einsum("nij,ncjk,nlk->ncil", rows, images, columns)
        return moved * kept

    def halves(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Augments two half batches (N / 2, C, H, W), each in a graph of its own."""
        parts = [part.chunk(2) for part in (self.rows, self.columns, self.kept)]
        one, other = (Augmentation(*(part[place] for part in parts)) for place in (0, 1))
        return one(first), other(second)


def draw_augmentation(
    random: np.random.Generator,
    count: int,
    side: int,
    probability: float,
    device: torch.device,
    places: NDArray[np.int64] | None = None,
) -> Augmentation:
    """Draws an augmentation for `count` images of `side` pixels, or for those of them at `places`;
    each image is moved, and each is cut, with this probability.
    """
    reach = int(side * LARGEST_MOVE)
    moves = random.integers(-reach, reach + 1, (2, count))
    moves[:, random.random(count) >= probability] = 0
    middles = random.integers(0, side + 1, (2, count))
    cut = random.random(count) < probability
    if places is not None:
        moves, middles, cut = moves[:, places], middles[:, places], cut[places]
    pixels = np.arange(side)
    inside = np.abs(pixels + 0.5 - middles[..., None]) < side * CUT_SIDE / 2
    gone = inside[0][:, :, None] & inside[1][:, None, :] & cut[:, None, None]
    sources = np.clip(pixels + moves[..., None], 0, side - 1)  # (2, count, side)
    matrices = (sources[..., None] == pixels).astype(np.float32)
    rows, columns = torch.from_numpy(matrices).to(device)
    return Augmentation(rows, columns, torch.from_numpy(~gone[:, None]).to(device, torch.float32))
