"""Virtual batch norm: a picture is normalised by a fixed reference batch and itself, so that it
does not depend on the others that are generated beside it.

    rows -> [reference rows; rows] -> generator -> pictures of the rows alone

Salimans et al., "Improved Techniques for Training GANs" (2016), section 3.4, in the generator only,
as they do. The statistics of the reference batch are computed by the weights of the moment, in
every pass. In inference mode they act alone, without the picture itself, which has one part in
65: so weights of convolutions can hold them, as those of any batch norm.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.latent_space.latents import Prior, sample_rows
from model.networks.config import NetworkConfig
from model.networks.pytorch import Generator
from model.training.distributed import widened

REFERENCE = 64  # pictures
FIRST_SEED = 3_000_000  # the latents of the reference batch are of seeds that nothing else uses


class VirtualBatchNorm(nn.BatchNorm2d):
    """Batch norm by the first pictures of its input and, for each of the others, itself."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises x (REFERENCE + N, C, H, W), statistics in float32 at least; in inference mode
        as the layer that it was, by the statistics of the last reference batch.
        """
        if not self.training:
            return super().forward(x)
        values = x.to(widened(x))
        own_mean = values.mean((2, 3))  # (N, C): each picture has its own
        own_variance = (values - own_mean[:, :, None, None]).square().mean((2, 3))
        mean = own_mean[:REFERENCE].mean(0)
        away = own_mean - mean
        variance = own_variance[:REFERENCE].mean(0) + away[:REFERENCE].square().mean(0)
        self._keep(mean, variance, x)
        own = torch.zeros(len(x), 1, dtype=values.dtype, device=x.device)
        own[REFERENCE:] = 1.0 / (REFERENCE + 1)
        # mean and variance of both together
        mean = mean + own * away
        variance = (1 - own) * variance + own * own_variance + own * (1 - own) * away.square()
        scale = self.weight * (variance + self.eps).rsqrt()
        normed = (values - mean[:, :, None, None]) * scale[:, :, None, None]
        return (normed + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _keep(self, mean: Tensor, variance: Tensor, x: Tensor) -> None:
        count = REFERENCE * x[0, 0].numel()
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.copy_(mean)
        self.running_var.copy_(variance * (count / (count - 1)))


def reference_rows(config: NetworkConfig, prior: Prior) -> NDArray[np.float32]:
    """Returns the generator's input (REFERENCE, input_dim) for the reference batch."""
    seeds = range(FIRST_SEED, FIRST_SEED + REFERENCE)
    return sample_rows(seeds, config.z_dim, prior, config.classes)


def normalise_by_reference(generator: Generator, rows: Tensor) -> None:
    """Makes every batch norm of a generator a virtual one, with the reference batch of these rows
    (REFERENCE, input_dim); also in copies of the generator that are made later.
    """
    assert len(rows) == REFERENCE
    generator.register_buffer("reference", rows, persistent=False)
    for module in generator.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = VirtualBatchNorm
    generator.register_forward_pre_hook(_with_reference)
    generator.register_forward_hook(_without_reference)


def _with_reference(generator: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    (rows,) = inputs
    if not generator.training:
        return rows
    return torch.cat([generator.get_buffer("reference").to(rows.dtype), rows])


def _without_reference(generator: nn.Module, _: object, images: Tensor) -> Tensor:
    return images[REFERENCE:] if generator.training else images
