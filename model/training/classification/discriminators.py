"""Discriminators that are classifiers, as they learn: weights with norms of their own, noise or
dropout between the layers.

    images (N, C, H, W) in [-1, 1] -> features (N, F) -> logits (N, classes)

Weight norm: Salimans and Kingma, "Weight Normalization" (2016), equation 2; data-dependent start:
section 3. The layers are those of the code of Salimans et al., "Improved Techniques for Training
GANs" (2016), for MNIST and CIFAR-10.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from model.classification.layouts import convolutional_steps
from model.networks.graph import LEAKY_SLOPE
from model.training.classification.config import ClassifyConfig

INPUT_NOISE, NOISE = 0.3, 0.5  # deviations; pixels are in [0, 1] here
DROPOUT = 0.5
STDS = {"mlp": 0.1, "convolutional": 0.05}  # deviation of first weights
LAST_STD = 0.1  # deviation of the convolutional one's first logits
NEAR_ZERO = 1e-6


class WeightNorm(nn.Module):
    """The weight and bias of a layer, whose weight has a direction and, for each output, a scale
    that is learnt or stays as the first pictures set it.
    """

    scale: Tensor

    def __init__(self, outputs: int, *inputs: int, std: float, learnt: bool = False) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.randn(outputs, *inputs) * std)
        self.bias = nn.Parameter(torch.zeros(outputs))
        if learnt:
            self.scale = nn.Parameter(torch.ones(outputs))
        else:
            self.register_buffer("scale", torch.ones(outputs))

    @property
    def weight(self) -> Tensor:
        """The weight as it acts."""
        scale = self.scale.view(-1, *[1] * (self.direction.dim() - 1))
        return torch._weight_norm(self.direction, scale, 0)

    @torch.no_grad()
    def fit(self, outputs: Tensor, std: float = 1.0) -> None:
        """Sets scale and bias so that these outputs (N, outputs, ...) of the layer without its bias
        would have mean 0 and this deviation.
        """
        rest = [0, *range(2, outputs.dim())]
        mean = outputs.mean(rest)
        deviation = (outputs.square().mean(rest) - mean.square()).clamp_min(NEAR_ZERO).sqrt()
        self.scale.mul_(std / deviation)
        self.bias.copy_(-mean * std / deviation)


class NormedDense(WeightNorm):
    """A dense layer of such a weight."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps values (N, inputs) to (N, outputs)."""
        return functional.linear(x, self.weight, self.bias)


Acting = Sequence[tuple[Tensor, Tensor]]  # weight and bias of each layer


class Discriminator(nn.Module, ABC):
    """What both have: layers, of which the last one gives logits."""

    layers: nn.ModuleList

    def __init__(self, layers: Sequence[WeightNorm], bf16: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self._type = torch.bfloat16 if bf16 else torch.float32

    def acting(self) -> Acting:
        """Returns weights and biases as they act, for several passes before the next update."""
        found = []
        for layer in self.layers:
            assert isinstance(layer, WeightNorm)
            found.append((layer.weight.to(self._type), layer.bias.to(self._type)))
        return found

    @abstractmethod
    def features(
        self, images: Tensor, acting: Acting, random: torch.Generator | None = None
    ) -> Tensor:
        """Computes the features (N, F) that are matched; without `random`, without noise."""

    @abstractmethod
    def classify(
        self, features: Tensor, acting: Acting, random: torch.Generator | None = None
    ) -> Tensor:
        """Computes logits (N, classes), float32."""

    def forward(
        self, images: Tensor, acting: Acting, random: torch.Generator | None = None
    ) -> Tensor:
        """Computes the logits (N, classes) of images, float32."""
        return self.classify(self.features(images, acting, random), acting, random)

    @abstractmethod
    def start(self, images: Tensor, random: torch.Generator) -> None:
        """Sets scales and biases by some pictures."""

    @abstractmethod
    def served(self) -> dict[str, NDArray[np.float32]]:
        """Returns the tensors of a classifier's file, where weights are as they act."""


class DenseDiscriminator(Discriminator):
    """Gaussian noise before each dense layer, a ReLU behind all but the last."""

    def __init__(self, config: ClassifyConfig, classes: int) -> None:
        std = STDS[config.layout]
        values = config.network.channels * config.side**2
        shapes = list(itertools.pairwise((values, *config.widths, classes)))
        layers = [WeightNorm(wide, before, std=std) for before, wide in shapes[:-1]]
        before, wide = shapes[-1]
        super().__init__([*layers, WeightNorm(wide, before, std=std, learnt=True)], config.bf16)
        self._inputs = [before for before, _ in shapes]

    def features(
        self, images: Tensor, acting: Acting, random: torch.Generator | None = None
    ) -> Tensor:
        x = images.flatten(1).to(self._type) * 0.5 + 0.5
        noises = self._noises(x, random)
        for (weight, bias), noise in zip(acting[:-1], noises, strict=True):
            x = functional.linear(x + noise, weight, bias).relu_()
        return x

    def _noises(self, x: Tensor, random: torch.Generator | None) -> Sequence[Tensor | float]:
        """Draws the noise of all layers but the last in one go."""
        widths = self._inputs[:-1]
        if random is None:
            return [0.0] * len(widths)
        sizes = [len(x) * width for width in widths]
        drawn = torch.empty(sum(sizes), device=x.device).normal_(0.0, NOISE, generator=random)
        first, *others = torch.split(drawn.to(x.dtype), sizes)
        first = first * (INPUT_NOISE / NOISE)
        return [noise.view(len(x), -1) for noise in (first, *others)]

    def classify(
        self, features: Tensor, acting: Acting, random: torch.Generator | None = None
    ) -> Tensor:
        if random is not None:
            drawn = torch.empty(features.shape, device=features.device)
            features = features + drawn.normal_(0.0, NOISE, generator=random).to(features.dtype)
        return functional.linear(features, *acting[-1]).float()

    @torch.no_grad()
    def start(self, images: Tensor, random: torch.Generator) -> None:
        x = images.flatten(1) * 0.5 + 0.5
        for level, layer in enumerate(self.layers):
            assert isinstance(layer, WeightNorm)
            drawn = torch.empty(x.shape, device=x.device)
            x = x + drawn.normal_(0.0, NOISE if level else INPUT_NOISE, generator=random)
            layer.fit(functional.linear(x, layer.weight))
            x = functional.linear(x, layer.weight, layer.bias).relu_()

    def served(self) -> dict[str, NDArray[np.float32]]:
        tensors = {}
        for level, layer in enumerate(self.layers):
            assert isinstance(layer, WeightNorm)
            weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
            if level == 0:  # its pictures are in [-1, 1]
                weight, bias = weight / 2, bias + weight.sum(1) / 2
            tensors[f"layers.{level}.weight"] = weight.float().cpu().numpy()
            tensors[f"layers.{level}.bias"] = bias.float().cpu().numpy()
        return tensors


class ConvolutionalDiscriminator(Discriminator):
    """The convolutional layout with dropout behind what halves the side. The reference drops
    pixels too: here that makes the black ground of digits or garments grey, and an average that
    has learnt so is wrong about pictures without.
    """

    def __init__(self, config: ClassifyConfig, classes: int) -> None:
        std = STDS[config.layout]
        steps = convolutional_steps(config.network.channels, config.widths)
        layers = [
            WeightNorm(step.after, step.before, step.kernel, step.kernel, std=std) for step in steps
        ]
        last = WeightNorm(classes, config.widths[-1], std=std, learnt=True)
        super().__init__([*layers, last], config.bf16)
        self._steps = steps

    def features(
        self, images: Tensor, acting: Acting, random: torch.Generator | None = None
    ) -> Tensor:
        x = images.to(self._type)
        for level, (weight, bias) in enumerate(acting[:-1]):
            x = self._convolved(x, level, weight, bias)
            x = functional.leaky_relu(x, LEAKY_SLOPE)
            if self._steps[level].stride > 1:
                x = _dropped(x, random)
        return x.float().mean((2, 3))

    def classify(
        self, features: Tensor, acting: Acting, random: torch.Generator | None = None
    ) -> Tensor:
        return functional.linear(features.to(self._type), *acting[-1]).float()

    @torch.no_grad()
    def start(self, images: Tensor, random: torch.Generator) -> None:
        x = images
        for level, layer in enumerate(self.layers):
            assert isinstance(layer, WeightNorm)
            if level + 1 == len(self.layers):
                layer.fit(functional.linear(x.mean((2, 3)), layer.weight), LAST_STD)
                return
            layer.fit(self._convolved(x, level, layer.weight))
            x = self._convolved(x, level, layer.weight, layer.bias)
            x = functional.leaky_relu(x, LEAKY_SLOPE)
            x = _dropped(x, random) if self._steps[level].stride > 1 else x

    def _convolved(
        self, x: Tensor, level: int, weight: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        step = self._steps[level]
        return functional.conv2d(x, weight, bias, step.stride, step.padding)

    def served(self) -> dict[str, NDArray[np.float32]]:
        tensors = {}
        for level, layer in enumerate(self.layers):
            assert isinstance(layer, WeightNorm)
            for name, value in (("weight", layer.weight), ("bias", layer.bias)):
                tensors[f"layers.{level}.{name}"] = value.detach().float().cpu().numpy()
        return tensors


def _dropped(x: Tensor, random: torch.Generator | None) -> Tensor:
    """Sets a share of the values to 0, and enlarges the others."""
    if random is None:
        return x
    kept = torch.empty(x.shape, device=x.device).uniform_(generator=random) >= DROPOUT
    return x * kept / (1 - DROPOUT)


DISCRIMINATORS = {"mlp": DenseDiscriminator, "convolutional": ConvolutionalDiscriminator}


def new_discriminator(config: ClassifyConfig, classes: int) -> Discriminator:
    """Makes the classifier of a configuration before its first step."""
    return DISCRIMINATORS[config.layout](config, classes)
