"""Residual networks with batch norm in the generator and spectral norm in the discriminator, and
maps that attend to themselves where the configuration says so.

    z (N, z_dim) and a weight a class -> Generator -> images (N, C, H, W) in [-1, 1]
    images, weights of the classes -> Discriminator -> logits (N,)

After Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (SNGAN, 2018,
appendix B.4), Miyato and Koyama, "cGANs with Projection Discriminator" (2018), and Zhang et al.,
"Self-Attention Generative Adversarial Networks" (SAGAN, 2019): what the author of "An intuitive
introduction to GANs" went on to.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.networks import pytorch, spectral
from model.networks.config import FIRST_SIDE
from model.networks.families.sngan import SNGANConfig

EPSILON, MOMENTUM = 1e-5, 0.1  # batch norm's


class Norm(nn.Module):
    """Batch norm whose scale and shift belong to the class, where there are classes: with weights
    of several, their mean by weight.
    """

    def __init__(self, width: int, classes: int = 0) -> None:
        super().__init__()
        self.statistics = nn.BatchNorm2d(width, EPSILON, MOMENTUM, affine=False)
        shape = (width, classes) if classes else (width,)
        self.gain, self.offset = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor, classes: Tensor | None = None) -> Tensor:
        """Maps (N, width, H, W) to the same shape; `classes` is (N, classes)."""

        def of_class(part: Tensor) -> Tensor:
            mixed = part if part.dim() == 1 or classes is None else classes @ part.T
            return mixed.view(-1, x.shape[1], 1, 1).to(x.dtype)

        gain, offset = of_class(self.gain), of_class(self.offset)
        return torch.addcmul(offset, self.statistics(x), gain)


class Attention(nn.Module):
    """x + gate * what each place finds at the places that are like what it looks for. The gate
    starts at zero: first what is near, then what is far (SAGAN, equation 3).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(1))
        self.query = nn.Conv2d(width, width // 8, 1)
        self.key = nn.Conv2d(width, width // 8, 1)
        self.value = nn.Conv2d(width, width // 2, 1)
        self.out = nn.Conv2d(width // 2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, width, H, W) to the same shape. Keys and values are the largest of 2x2, as in
        the authors' own code: a quarter of the work.
        """
        query = self.query(x).flatten(2).mT  # (N, H W, width / 8)
        key = functional.max_pool2d(self.key(x), 2).flatten(2)  # (N, width / 8, H W / 4)
        value = functional.max_pool2d(self.value(x), 2).flatten(2).mT  # (N, H W / 4, width / 2)
        found = (query @ key).softmax(2) @ value
        gate = self.gate.to(x.dtype)
        outer: Tensor = x + gate * self.out(found.mT.unflatten(2, x.shape[2:]))
        return outer


class Growing(nn.Module):
    """A stage of the generator: twice the side of the one before."""

    def __init__(self, before: int, width: int, classes: int) -> None:
        super().__init__()
        self.first_norm = Norm(before, classes)
        self.first = nn.Conv2d(before, width, 3, padding=1)
        self.second_norm = Norm(width, classes)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(before, width, 1)

    def forward(self, x: Tensor, classes: Tensor) -> Tensor:
        """Maps (N, before, H, W) to (N, width, 2 H, 2 W)."""
        inner = _doubled(functional.relu(self.first_norm(x, classes)))
        inner = functional.relu(self.second_norm(self.first(inner), classes))
        # before the doubling, with which a 1x1 convolution commutes: a quarter of the work
        outer: Tensor = self.second(inner) + _doubled(self.shortcut(x))
        return outer


class Generator(pytorch.Generator):
    """Dense layer to 4x4 -> stages, attention after one of them -> batch norm, ReLU, 3x3
    convolution -> tanh.
    """

    def __init__(self, config: SNGANConfig) -> None:
        super().__init__(config)
        self._side = config.attention
        widths = config.generator_widths
        self.dense = nn.Linear(config.z_dim, config.width * FIRST_SIDE**2)
        self.stages = nn.ModuleList(
            Growing(before, width, config.classes)
            for before, width in zip([config.width, *widths], widths, strict=False)
        )
        self.attention = _attention(config, dict(zip(config.sides, widths, strict=True)))
        self.norm = Norm(widths[-1])
        self.picture = nn.Conv2d(widths[-1], config.channels, 3, padding=1)
        self.apply(_init)
        if config.generator_spectral:
            spectral.normalise(self)

    def forward(self, rows: Tensor) -> Tensor:
        """Maps rows (N, z_dim + classes) to images (N, C, resolution, resolution) in [-1, 1]."""
        z, classes = rows[:, : self.config.z_dim], rows[:, self.config.z_dim :]
        x = self.dense(z).unflatten(1, (-1, FIRST_SIDE, FIRST_SIDE))
        for stage in self.stages:
            x = stage(x, classes)
            if self.attention is not None and x.shape[2] == self._side:
                x = self.attention(x)
        x = self.picture(functional.relu(self.norm(x)))
        return torch.tanh(x.float())


class Shrinking(nn.Module):
    """A stage of the discriminator; all but the last two leave half the side."""

    def __init__(self, before: int, width: int, *, first: bool, halving: bool) -> None:
        super().__init__()
        self._first, self._halving = first, halving
        self.first = nn.Conv2d(before, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(before, width, 1) if halving else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, before, H, W) to (N, width, H, W) or half its sides. Pictures need no ReLU."""
        inner = self.first(x if self._first else functional.relu(x))
        inner = self.second(functional.relu(inner))
        if self._halving:
            inner, x = functional.avg_pool2d(inner, 2), functional.avg_pool2d(x, 2)
        outer: Tensor = inner + (x if self.shortcut is None else self.shortcut(x))
        return outer


class Discriminator(nn.Module):
    """Stages down to 8x8 and two there, attention after one of them -> ReLU, sum over all places
    -> logit, where there are classes plus the projection on the class. Every layer has a spectral
    norm.
    """

    def __init__(self, config: SNGANConfig) -> None:
        super().__init__()
        self._side, last = config.attention, config.discriminator_width
        widths = config.discriminator_widths
        self.stages = nn.ModuleList(
            [
                Shrinking(before, width, first=place == 0, halving=True)
                for place, (before, width) in enumerate(
                    zip([config.channels, *widths], widths, strict=False)
                )
            ]
            + [Shrinking(last, last, first=False, halving=False) for _ in range(2)]
        )
        self.attention = _attention(config, dict(zip(config.sides[-2::-1], widths, strict=True)))
        self.logit = nn.Linear(last, 1)
        self.classes = nn.Linear(config.classes, last, bias=False) if config.classes else None
        self.apply(_init)
        spectral.normalise(self)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Returns logits (N,) of images (N, C, H, W) with a weight per class (N, classes)."""
        x = images
        for stage in self.stages:
            smaller = stage(x)
            if self.attention is not None and smaller.shape[2] == self._side < x.shape[2]:
                smaller = self.attention(smaller)
            x = smaller
        found = functional.relu(x).sum((2, 3))
        logits: Tensor = self.logit(found).squeeze(1)
        return logits if self.classes is None else logits + (found * self.classes(classes)).sum(1)


def _attention(config: SNGANConfig, widths: dict[int, int]) -> Attention | None:
    """Makes attention for the maps of the configured side, whose channels are `widths[side]`."""
    return Attention(widths[config.attention]) if config.attention else None


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


def _init(module: nn.Module) -> None:
    """Applies Glorot's uniform initialisation, wider in 3x3 convolutions, as in Miyato's code."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        wide = isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
        nn.init.xavier_uniform_(module.weight, math.sqrt(2) if wide else 1.0)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
