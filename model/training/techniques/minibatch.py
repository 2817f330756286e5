"""What a discriminator is told of a batch: features in, features of the company they are in out.

    features (N, F) -> similarity to the others of the batch (N, kernels), or their deviation (N, 1)

With several processes the batch is that of all of them.
"""

import torch
from torch import Tensor, nn

from model.training.distributed import gathered, shared_mean, widened

KERNELS = 100
KERNEL_DIM = 5
WEIGHT_STD = 0.05
DISTANCE = 4.0  # mean distance of two pictures at the start, in each kernel
FARTHEST = 30.0  # what is farther adds 1e-13, and from 87 on numbers are denormal and slow
EPSILON = 1e-8


class MinibatchDiscrimination(nn.Module):
    """Sums, for each kernel, of how close each picture of the batch is to the others.

    M = f(x) T, c_b(x_i, x_j) = exp(-||M_ib - M_jb||_1), o(x_i)_b = sum over j of c_b(x_i, x_j).
    Salimans et al., "Improved Techniques for Training GANs" (2016), section 3.2. As in the authors'
    code the start is fitted to data; theirs puts the nearest pictures 2 apart, which in few
    dimensions leaves kernels that see duplicates alone.
    """

    def __init__(self, features: int, kernels: int = KERNELS, dim: int = KERNEL_DIM) -> None:
        super().__init__()
        self.shape = kernels, dim
        self.weight = nn.Parameter(torch.randn(features, kernels * dim) * WEIGHT_STD)
        self.bias = nn.Parameter(torch.zeros(kernels))

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Scales each kernel so that two of the features (N, F) are DISTANCE apart in the mean,
        where exp(-d) has a slope, and shifts it so that the mean output is 0. Where all are alike,
        or there is but one, scales stay.
        """
        placed = self._placed(features)
        count = len(features)
        apart = torch.cdist(placed, placed, p=1.0).sum((1, 2)) / max(1, count * (count - 1))
        scale = torch.where(apart > EPSILON, DISTANCE / apart, 1.0).to(self.weight.dtype)
        self.weight.view(-1, *self.shape).mul_(scale[:, None])
        placed = self._placed(features)
        self.bias.copy_(-self._closeness(placed, placed).mean(0))

    def forward(self, features: Tensor) -> Tensor:
        """Returns (N, kernels), float32 at least."""
        placed = self._placed(features)
        others = gathered(placed.transpose(0, 1)).transpose(0, 1)
        return self._closeness(placed, others) + self.bias

    def _placed(self, features: Tensor) -> Tensor:
        placed = features @ self.weight
        placed = placed.to(widened(placed)).reshape(len(features), *self.shape)
        return placed.transpose(0, 1).contiguous()

    @staticmethod
    def _closeness(placed: Tensor, others: Tensor) -> Tensor:
        close = torch.exp(-torch.cdist(placed, others, p=1.0).clamp_max(FARTHEST))
        return close.sum(2).T - 1.0  # each is as close as can be to itself


def minibatch_stddev(features: Tensor) -> Tensor:
    """Returns the standard deviation over the batch, its mean over all features, beside each
    picture: (N, 1), float32 at least, of (N, F).

    Karras et al., "Progressive Growing of GANs" (2018), section 3.
    """
    values = features.to(widened(features))
    centred = values - shared_mean(values.mean(0))
    variance = shared_mean(centred.square().mean(0))
    return (variance + EPSILON).sqrt().mean().expand(len(features), 1)
