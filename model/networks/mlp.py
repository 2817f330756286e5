"""A generator of dense layers, and a discriminator of such, for small pictures.

    z (N, 100) -> Generator -> images (N, C, side, side) in [-1, 1] -> Discriminator -> logits (N,)

Source: Salimans et al., "Improved Techniques for Training GANs" (2016), section 6.1; its code has
the generator. It draws latents from (0, 1); from (-1, 1) the same follows, since batch norm comes
behind the first layer.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.networks import pytorch
from model.networks.families.mlp import MLPConfig
from model.networks.layers import EPSILON

LEAKY_SLOPE = 0.2


class Generator(pytorch.Generator):
    """z -> (dense, batch norm without gains, softplus) twice -> dense -> sigmoid, in [-1, 1]."""

    config: MLPConfig

    def __init__(self, config: MLPConfig) -> None:
        super().__init__(config)
        width = config.width
        self.dense = nn.Linear(config.z_dim, width, bias=False)
        self.hidden = nn.Linear(width, width, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, EPSILON) for _ in range(2))
        self.pixels = nn.Linear(width, config.values)
        for layer in (self.dense, self.hidden, self.pixels):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(self.pixels.bias)
        for norm in self.norms:
            assert isinstance(norm, nn.BatchNorm2d)
            norm.weight.requires_grad_(False)

    def forward(self, z: Tensor) -> Tensor:
        """Maps latents (N, z_dim) to images (N, C, side, side) in [-1, 1]."""
        x = z
        for layer, norm in zip((self.dense, self.hidden), self.norms, strict=True):
            x = norm(layer(x)[..., None, None]).flatten(1)
            x = functional.softplus(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)
        x = self.pixels(x)
        x = torch.tanh(x.to(torch.promote_types(x.dtype, torch.float32)) / 2)  # 2 sigmoid - 1
        side = self.config.resolution
        return x.view(len(x), self.config.channels, side, side)

    def folded(self) -> nn.Module:
        """Returns the generator without batch norms, which its dense layers hold."""
        generator = copy.deepcopy(self)
        weights = {name: tensor.numpy() for name, tensor in self.state_dict().items()}
        generator.norms = nn.ModuleList(nn.Identity() for _ in self.norms)
        names = "dense", "hidden", "pixels"
        for name, found in zip(names, self.config.fold(weights), strict=True):
            layer = nn.Linear(found.weight.shape[1], found.weight.shape[0])
            layer.load_state_dict({k: torch.from_numpy(v) for k, v in vars(found).items()})
            setattr(generator, name, layer)
        return generator


class Discriminator(nn.Module):
    """Images -> two hidden layers with leaky ReLUs -> one logit."""

    def __init__(self, config: MLPConfig) -> None:
        super().__init__()
        width = config.discriminator_width
        self.layers = nn.ModuleList(
            (nn.Linear(config.values, width), nn.Linear(width, width), nn.Linear(width, 1))
        )

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N,): their sigmoid is the probability that an image is real."""
        x = images.flatten(1)
        for layer in list(self.layers)[:-1]:
            x = functional.leaky_relu(layer(x), LEAKY_SLOPE)
        logits: Tensor = self.layers[-1](x)
        return logits.squeeze(1)
