"""The upscaler, in floats and in integers, and the discriminator that it learns against, in
PyTorch.

images (N, C, H, W) in [-1, 1] -> convolutions -> a head's sub-pixels + the pixel below them
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.images import HALF_RANGE
from model.integers.pytorch import Exact, exact_convolutions, run
from model.integers.steps import last_target, zeros_of
from model.networks.layers import Weights
from model.upscaling.config import UpscalerConfig
from model.upscaling.upscaler_file import UpscalerFile

LEAKY_SLOPE = 0.2


class Upscaler(nn.Module):
    """A network of some 3x3 convolutions at the small side. Its heads start at zero, so that it
    starts as nearest neighbours: no checkerboard has to be unlearned, and no colour drifts.
    """

    def __init__(self, config: UpscalerConfig) -> None:
        super().__init__()
        self.config = config
        widths = itertools.pairwise([config.channels, *[config.width] * (config.layers + 1)])
        first, *layers = (nn.Conv2d(before, width, 3, padding=1) for before, width in widths)
        self.first, self.layers = first, nn.ModuleList(layers)
        self.heads = nn.ModuleDict(
            {
                str(scale): nn.Conv2d(config.width, config.channels * scale**2, 3, padding=1)
                for scale in config.scales
            }
        )
        for convolution in (first, *layers):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        for parameter in self.heads.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor, scale: int) -> Tensor:
        """Maps images (N, C, H, W) to (N, C, scale H, scale W)."""
        return self.each(images, [scale])[0]

    def each(self, images: Tensor, scales: list[int]) -> list[Tensor]:
        """Maps images (N, C, H, W) to those of several scales, at the cost of little more than
        one.
        """
        x = functional.relu(self.first(images))
        for layer in self.layers:
            x = functional.relu(layer(x))
        large = []
        for scale in scales:
            below = images.repeat_interleave(scale**2, 1)
            large.append(functional.pixel_shuffle(self.heads[str(scale)](x) + below, scale))
        return large


class PatchDiscriminator(nn.Module):
    """A logit for every patch of some 34 pixels per side, four pixels apart.

    Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (2017),
    section 3.2.2; without norms, as the zero-centred penalties want it, and with pixels laid over
    one another where it halves the side, which on a CPU costs a third of strided convolutions.
    """

    def __init__(self, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, width, 3, padding=1),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * width, 2 * width, 3, padding=1),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (N, C, H, W) to logits (N, H / 4, W / 4)."""
        logits: Tensor = self.layers(images)
        return logits.squeeze(1)


class IntegerUpscaler(nn.Module):
    """An integer upscaler as a network: of images that are bytes, exactly those of
    docs/integers.md.
    """

    def __init__(self, file: UpscalerFile) -> None:
        super().__init__()
        network = file.header.network
        self._steps = {scale: network.steps(scale) for scale in network.scales}
        self._zeros = zeros_of(network.steps(*network.scales), file.tensors)
        self._names = list(file.tensors)
        for name, value in file.tensors.items():
            self.register_buffer(name.replace(".", "_"), torch.from_numpy(value).float())

    def forward(self, images: Tensor, scale: int) -> Tensor:
        """Maps images (N, C, H, W) to (N, C, scale H, scale W)."""
        tensors = {name: self.get_buffer(name.replace(".", "_")) for name in self._names}
        pixels = ((images + 1) * HALF_RANGE).round()
        with exact_convolutions():
            values = run(self._steps[scale], tensors, self._zeros, pixels, Exact())
        return (values[last_target(self._steps[scale])] - HALF_RANGE) / HALF_RANGE


def load_upscaler(file: UpscalerFile) -> Upscaler | IntegerUpscaler:
    """Makes the network of a checked file, with its weights."""
    if file.header.is_integer:
        return IntegerUpscaler(file)
    network = Upscaler(file.header.network)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in file.weights.items()})
    return network


def upscaler_weights(network: Upscaler) -> Weights:
    """Returns the tensors that a file holds, by name."""
    return {
        name: value.detach().float().cpu().numpy() for name, value in network.state_dict().items()
    }
