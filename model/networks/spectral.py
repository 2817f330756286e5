"""Spectral norm: a layer's weight is divided by its largest singular value, so that the layer
stretches nothing.

Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (2018), algorithm 1. It
belongs to training: a model folder holds the weights as they act. PyTorch's own form changes
classes that a network shares with its copies, so it cannot be taken off a copy alone.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class NormedConv2d(nn.Conv2d):
    """A convolution with a spectral norm; its kernel counts as a matrix of (out, all the rest)."""

    u: Tensor  # (out,), about the left singular vector; part of the network's state

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layer with its acting weight; shapes as without the norm."""
        found: Tensor = self._conv_forward(x, acting_weight(self), self.bias)
        return found


class NormedLinear(nn.Linear):
    """A dense layer with a spectral norm."""

    u: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layer with its acting weight; shapes as without the norm."""
        return functional.linear(x, acting_weight(self), self.bias)


def acting_weight(layer: NormedConv2d | NormedLinear) -> Tensor:
    """Returns the weight over its largest singular value, found by one step of the power iteration,
    which is kept in training; in float32 also under autocast.
    """
    with torch.autocast(layer.weight.device.type, enabled=False):
        matrix = layer.weight.flatten(1)
        with torch.no_grad():
            v = functional.normalize(matrix.T @ layer.u, dim=0)
            u = functional.normalize(matrix @ v, dim=0)
            if layer.training:
                layer.u.copy_(u)
        return layer.weight / torch.dot(u, matrix @ v)


def normalise(network: nn.Module) -> None:
    """Gives every convolution and every dense layer of the network a spectral norm."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            start = torch.randn(len(module.weight))
            module.register_buffer("u", functional.normalize(start, dim=0))
            module.__class__ = NormedConv2d if isinstance(module, nn.Conv2d) else NormedLinear


@torch.no_grad()
def fold(network: nn.Module) -> None:
    """Takes every spectral norm off, and leaves weights that its exact value divides."""
    for module in network.modules():
        if isinstance(module, NormedConv2d | NormedLinear):
            module.weight.div_(largest_singular_value(module.weight.flatten(1)))
            del module.u
            plain = nn.Conv2d if isinstance(module, nn.Conv2d) else nn.Linear
            module.__class__ = plain  # type: ignore[assignment]  # back to what it was made as


def largest_singular_value(matrix: Tensor) -> Tensor:
    """Computes it by the smaller Gram matrix's eigenvalues: much quicker than singular values."""
    wide = matrix.double() if matrix.shape[0] <= matrix.shape[1] else matrix.double().T
    largest: Tensor = torch.linalg.eigvalsh(wide @ wide.T)[-1].sqrt()
    return largest.to(matrix.dtype)
