"""Residual networks without normalisation: dense 3x3 convolutions, most of them at small sides,
where they are cheap.

    z (N, z_dim) and a weight a class -> Generator -> images (N, C, H, W), about [-1, 1]
    images, weights of the classes -> Discriminator -> logits (N,)

After R3GAN (Huang et al., "The GAN is dead; long live the GAN!", 2024): pre-activation blocks whose
last convolution starts at zero, leaky ReLU, linear output, a discriminator that ends in a 4x4
depthwise convolution and a projection on the class (Miyato and Koyama, 2018).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.networks import pytorch
from model.networks.config import FIRST_SIDE
from model.networks.families.residual import ResidualConfig, StagedConfig

LEAKY_SLOPE = 0.2
EMBEDDING = 64  # values in which the discriminator compares a picture with a class


class Block(nn.Module):
    """x + convolution(leaky(convolution(leaky(x)))), nothing but x at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, width, H, W) to the same shape."""
        inner = self.first(functional.leaky_relu(x, LEAKY_SLOPE))
        functional.leaky_relu_(inner, LEAKY_SLOPE)  # training keeps one map less
        outer: Tensor = x + self.second(inner)
        return outer


class Growing(nn.Module):
    """A stage of the generator: twice the side of the one before, then blocks."""

    def __init__(self, before: int | None, width: int, blocks: int) -> None:
        super().__init__()
        # before the bilinear doubling, with which a 1x1 convolution commutes: a quarter of the work
        self.widen = nn.Conv2d(before, width, 1) if before is not None else None
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, before, H, W) to (N, width, 2 H, 2 W); the first stage keeps its side."""
        if self.widen is not None:
            x = functional.interpolate(self.widen(x), scale_factor=2, mode="bilinear")
        for block in self.blocks:
            x = block(x)
        return x


class Generator(pytorch.Generator):
    """Dense layer to 4x4 -> stages -> 3x3 convolution. Linear output: what lies beyond [-1, 1] is
    white or black.

    The last doubling is bilinear too: where a pixel shuffle made four pixels of one, neighbours
    learnt apart and a fine grid stayed for hundreds of thousands of images.
    """

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__(config)
        widths = config.generator_widths
        self.dense = nn.Linear(config.input_dim, config.width * FIRST_SIDE**2)
        self.stages = nn.ModuleList(
            Growing(before, width, config.blocks if stage < config.doublings else 0)
            for stage, (before, width) in enumerate(zip([None, *widths], widths, strict=False))
        )
        self.picture = nn.Conv2d(widths[-1], config.channels, 3, padding=1)
        self.apply(_init)
        with torch.no_grad():
            _init_dense(self.dense.weight, config)

    def forward(self, rows: Tensor) -> Tensor:
        """Maps rows (N, z_dim + classes) to images (N, C, resolution, resolution)."""
        x = self.dense(rows).unflatten(1, (-1, FIRST_SIDE, FIRST_SIDE))
        for stage in self.stages:
            x = stage(x)
        images: Tensor = self.picture(functional.leaky_relu(x, LEAKY_SLOPE))
        return images


class Shrinking(nn.Module):
    """A stage of the discriminator: blocks, then half the side for the one after."""

    def __init__(self, width: int, after: int | None, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.widen = nn.Conv2d(width, after, 1) if after is not None else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, width, 2 H, 2 W) to (N, after, H, W); the last stage keeps its side."""
        for block in self.blocks:
            x = block(x)
        if self.widen is not None:
            x = self.widen(functional.avg_pool2d(x, 2))
        return x


class Discriminator(nn.Module):
    """Pixel unshuffle -> 3x3 convolution -> stages down to 4x4 -> depthwise 4x4 -> logit, where
    there are classes its projection on the class.
    """

    def __init__(self, config: StagedConfig) -> None:
        super().__init__()
        widths = config.discriminator_widths
        last = widths[-1]
        self.picture = nn.Conv2d(config.channels * 4, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(
            Shrinking(width, after, config.discriminator_blocks)
            for width, after in zip(widths, [*widths[1:], None], strict=True)
        )
        self.depthwise = nn.Conv2d(last, last, FIRST_SIDE, groups=last, bias=False)
        self.logit = nn.Linear(last, EMBEDDING if config.classes else 1, bias=False)
        self.classes = nn.Linear(config.classes, EMBEDDING, bias=False) if config.classes else None
        self.apply(_init)
        if self.classes is not None:
            nn.init.normal_(self.classes.weight)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Returns logits (N,) of images (N, C, H, W) with a weight per class (N, classes): how much
        more real than others.
        """
        x = self.picture(functional.pixel_unshuffle(images, 2))
        for stage in self.stages:
            x = stage(x)
        x = self.depthwise(functional.leaky_relu(x, LEAKY_SLOPE)).flatten(1)
        found = self.logit(x)
        if self.classes is None:
            logits: Tensor = found.squeeze(1)
            return logits
        projected: Tensor = (found * self.classes(classes)).sum(1) / math.sqrt(EMBEDDING)
        return projected


def _init(module: nn.Module) -> None:
    """Applies He's initialisation for leaky ReLU; the last convolution of a block starts at zero
    (Zhang et al., "Fixup Initialization", 2019).
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, LEAKY_SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, Block):
        nn.init.zeros_(module.second.weight)


def _init_dense(weight: Tensor, config: ResidualConfig) -> None:
    """Draws a map of unit variance, with classes half of it the latent's, half the class's."""
    latent, classes = weight[:, : config.z_dim], weight[:, config.z_dim :]
    share = 0.5 if config.classes else 1.0
    latent.normal_(0.0, math.sqrt(share / config.z_dim))
    classes.normal_(0.0, math.sqrt(share))
