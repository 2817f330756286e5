"""The residual generator that learns fast: batch norm whose gain and offset come from the latent
and the class, 3x3 convolutions up to the full resolution. Its discriminator is that of `residual`.

    z (N, z_dim) and a weight a class -> Generator -> images (N, C, H, W), about [-1, 1]

Batch norm in the generator allows three times the learning rate of the networks without it.
Modulation: Karras et al., "A Style-Based Generator Architecture" (2019), equation 1, with the
statistics of the batch, which inference fixes; by class and latent as Brock et al., "Large Scale
GAN Training" (BigGAN, 2019), appendix B.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.networks import pytorch, residual
from model.networks.config import FIRST_SIDE
from model.networks.families.modulated import ModulatedConfig

LEAKY_SLOPE = 0.2


class Norm(nn.Module):
    """Batch norm with a gain and an offset for each picture, linear in its code."""

    def __init__(self, width: int, code_dim: int) -> None:
        super().__init__()
        self.statistics = nn.BatchNorm2d(width, affine=False)
        self.modulation = nn.Linear(code_dim, 2 * width)
        nn.init.normal_(self.modulation.weight, 0.0, 0.02)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Maps (N, width, H, W) and (N, code_dim) to (N, width, H, W)."""
        gain, offset = self.modulation(code)[:, :, None, None].to(x.dtype).chunk(2, 1)
        return torch.addcmul(offset, self.statistics(x), 1.0 + gain)


class Growing(nn.Module):
    """Twice the side: shortcut(x) + second(doubled(leaky(norm(first(leaky(norm(x))))))).

    What commutes with the doubling comes before it, at a quarter of the work. The shortcut is
    doubled bilinearly: nearest neighbours on both ways leave a fine grid in flat areas.
    """

    def __init__(self, before: int, width: int, code_dim: int) -> None:
        super().__init__()
        self.first_norm = Norm(before, code_dim)
        self.first = nn.Conv2d(before, width, 3, padding=1, bias=False)
        self.second_norm = Norm(width, code_dim)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(before, width, 1, bias=False) if before != width else None
        for convolution in (self.first, self.second, self.shortcut):
            if convolution is not None:
                nn.init.orthogonal_(convolution.weight)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Maps (N, before, H, W) and (N, code_dim) to (N, width, 2 H, 2 W)."""
        # in place, for training keeps every other map until its backward pass
        inner = self.first(functional.leaky_relu_(self.first_norm(x, code), LEAKY_SLOPE))
        inner = functional.leaky_relu_(self.second_norm(inner, code), LEAKY_SLOPE)
        inner = self.second(functional.interpolate(inner, scale_factor=2, mode="nearest"))
        straight = x if self.shortcut is None else self.shortcut(x)
        outer: Tensor = inner + functional.interpolate(straight, scale_factor=2, mode="bilinear")
        return outer


class Generator(pytorch.Generator):
    """Dense layer to 4x4 -> stages up to the resolution -> leaky ReLU, 3x3 convolution. Linear
    output: what lies beyond [-1, 1] is white or black; a tanh saturates on white pictures.
    """

    def __init__(self, config: ModulatedConfig) -> None:
        super().__init__(config)
        widths, row = config.generator_widths, config.input_dim
        self.code = nn.Linear(row, config.code_dim)
        self.dense = nn.Linear(row, config.width * FIRST_SIDE**2)
        self.stages = nn.ModuleList(
            Growing(before, width, config.code_dim) for before, width in itertools.pairwise(widths)
        )
        self.picture = nn.Conv2d(widths[-1], config.channels, 3, padding=1)
        nn.init.normal_(self.dense.weight, 0.0, 1.0 / math.sqrt(config.z_dim + 1))
        with torch.no_grad():
            self.picture.weight.mul_(0.3)

    def forward(self, rows: Tensor) -> Tensor:
        """Maps rows (N, z_dim + classes) to images (N, C, resolution, resolution)."""
        code = functional.leaky_relu(self.code(rows), LEAKY_SLOPE)
        x = self.dense(rows).unflatten(1, (-1, FIRST_SIDE, FIRST_SIDE))
        x = x.contiguous(memory_format=torch.channels_last)  # quicker to learn with
        for stage in self.stages:
            x = stage(x, code)
        images: Tensor = self.picture(functional.leaky_relu_(x, LEAKY_SLOPE))
        return images

    @torch.no_grad()
    def prepare(self, examples: Tensor) -> None:
        """Starts from the mean colour of real images (N, C, H, W)."""
        assert self.picture.bias is not None
        self.picture.bias.copy_(examples.mean((0, 2, 3)))


Discriminator = residual.Discriminator
