"""A discriminator that sees more of a batch than one picture: packed, compared, its spread known.

images (N, ...) -> packs -> the plain network's features -> what the batch says -> logits
"""

from collections.abc import Collection
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from model.training.techniques.catalogue import (
    MINIBATCH_DISCRIMINATION,
    MINIBATCH_STDDEV,
    PACKED,
    PACKING,
)
from model.training.techniques.minibatch import (
    KERNELS,
    MinibatchDiscrimination,
    minibatch_stddev,
)

LOGIT_STD = 0.02
SEEING_MORE = {MINIBATCH_DISCRIMINATION, MINIBATCH_STDDEV, PACKING}


class Featured(Protocol):
    """What is asked of a discriminator: features (N, F) of images, of which `logit` is a layer."""

    logit: nn.Linear

    def features(self, images: Tensor) -> Tensor:
        """Computes what the last layer sees."""


def features_of(discriminator: nn.Module, images: Tensor) -> Tensor:
    """Computes what the last layer of a discriminator sees of images, (N, F)."""
    return cast(Featured, discriminator).features(images)


class BatchDiscriminator(nn.Module):
    """A plain discriminator, which must take packs where pictures are packed, with a last layer
    that sees the batch too.
    """

    def __init__(
        self, plain: nn.Module, techniques: Collection[str], kernels: int = KERNELS
    ) -> None:
        super().__init__()
        self.plain = plain
        self.packed = PACKED if PACKING in techniques else 1
        self.stddev = MINIBATCH_STDDEV in techniques
        count = cast(Featured, plain).logit.in_features
        wanted = MINIBATCH_DISCRIMINATION in techniques
        self.minibatch = MinibatchDiscrimination(count, kernels) if wanted else None
        told = (self.minibatch.shape[0] if self.minibatch else 0) + self.stddev
        if told:
            logit = nn.Linear(count + told, 1)
            nn.init.normal_(logit.weight, 0.0, LOGIT_STD)
            nn.init.zeros_(logit.bias)
            cast(Featured, plain).logit = logit

    @torch.no_grad()
    def fit(self, examples: Tensor) -> None:
        """Fits the start of what compares to real images, those that fill packs."""
        if self.minibatch:
            whole = len(examples) // self.packed * self.packed
            self.minibatch.fit(self.features(examples[:whole]))

    def features(self, images: Tensor) -> Tensor:
        """Computes features (N / packed, F) of packs, without what the batch says."""
        packs = len(images) // self.packed
        return features_of(self.plain, images.reshape(packs, -1, *images.shape[2:]))

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N / packed,); N is a multiple of `packed`."""
        features = self.features(images)
        told = [self.minibatch(features)] if self.minibatch else []
        told += [minibatch_stddev(features)] if self.stddev else []
        both = torch.cat([features, *(more.to(features.dtype) for more in told)], 1)
        logits: Tensor = cast(Featured, self.plain).logit(both)
        return logits.squeeze(1)
