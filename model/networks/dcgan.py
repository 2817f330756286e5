"""The networks of Thalles Silva's article "An intuitive introduction to GANs" (2017), to the
letter.

    z (N, 100) -> Generator -> images (N, C, 32, 32) in [-1, 1] -> Discriminator -> logits (N,)

Every kernel starts from N(0, 0.02), every bias from 0, every batch-norm scale from 1. A stride-2
layer pads evenly by two, where TensorFlow's SAME pads 1 and 2: the same map, shifted by one pixel.
"""

import copy
import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.networks import pytorch
from model.networks.config import FIRST_SIDE
from model.networks.families.dcgan import DCGANConfig

KERNEL_STD = 0.02
LEAKY_SLOPE = 0.2
EPSILON, MOMENTUM = 1e-5, 0.1  # batch norm's; momentum 0.1 here is TensorFlow's 0.9


class Generator(pytorch.Generator):
    """z -> dense -> (batch norm, ReLU, transposed convolution 5x5 of stride 2) per doubling ->
    tanh.
    """

    config: DCGANConfig

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__(config)
        widths = config.generator_widths
        self.dense = nn.Linear(config.z_dim, config.width * FIRST_SIDE**2)
        self.norms = nn.ModuleList(nn.BatchNorm2d(wide, EPSILON, MOMENTUM) for wide in widths[:-1])
        self.upsamples = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, 5, stride=2, padding=2, output_padding=1)
            for wide, narrow in itertools.pairwise(widths)
        )
        self.apply(_init_kernels)

    def forward(self, z: Tensor) -> Tensor:
        """Maps latents (N, z_dim) to images (N, C, resolution, resolution) in [-1, 1]."""
        x = self.dense(z).unflatten(1, (-1, FIRST_SIDE, FIRST_SIDE))
        for norm, upsample in zip(self.norms, self.upsamples, strict=True):
            x = upsample(functional.relu(norm(x)))
        return torch.tanh(x.to(torch.promote_types(x.dtype, torch.float32)))

    def folded(self) -> nn.Module:
        """Returns the generator without batch norms, which its other layers hold."""
        generator = copy.deepcopy(self)
        generator.norms = nn.ModuleList(nn.Identity() for _ in self.norms)
        weights = {name: tensor.numpy() for name, tensor in self.state_dict().items()}
        layers = (generator.dense, *generator.upsamples)
        for layer, found in zip(layers, self.config.fold(weights), strict=True):
            layer.load_state_dict({k: torch.from_numpy(v) for k, v in vars(found).items()})
        return generator


class Discriminator(nn.Module):
    """Images -> (convolution 5x5 of stride 2, leaky ReLU) per halving, batch norm on all but the
    first -> one logit.

    In training each call normalises by its own batch: real and generated images go through in
    separate calls. With `pictures` above 1 it sees so many at once, stacked as channels.
    """

    def __init__(self, config: DCGANConfig, pictures: int = 1) -> None:
        super().__init__()
        widths = config.discriminator_widths
        widths[0] *= pictures
        self.downsamples = nn.ModuleList(
            nn.Conv2d(narrow, wide, 5, stride=2, padding=2)
            for narrow, wide in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(wide, EPSILON, MOMENTUM) for wide in widths[2:])
        self.logit = nn.Linear(widths[-1] * FIRST_SIDE**2, 1)
        self.apply(_init_kernels)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N,): their sigmoid is the probability that an image is real."""
        logits: Tensor = self.logit(self.features(images))
        return logits.squeeze(1)

    def features(self, images: Tensor) -> Tensor:
        """Returns what the last layer sees, (N, features)."""
        x = functional.leaky_relu(self.downsamples[0](images), LEAKY_SLOPE)
        for downsample, norm in zip(self.downsamples[1:], self.norms, strict=True):
            x = functional.leaky_relu(norm(downsample(x)), LEAKY_SLOPE)
        return x.flatten(1)


def _init_kernels(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, KERNEL_STD)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
