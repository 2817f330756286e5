"""The shape of the DCGAN article's networks, and its generator without batch norm."""

import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.networks.config import FIRST_SIDE, NetworkConfig
from model.networks.graph import Graph
from model.networks.layers import Layer, Shapes, Weights, rounded, scale_and_shift, shapes_of

UPSAMPLE = {"kernel_shape": [5, 5], "strides": [2, 2], "pads": [2] * 4, "output_padding": [1, 1]}


@dataclass(frozen=True, kw_only=True)
class DCGANConfig(NetworkConfig):
    """Shape of the generator and discriminator of the DCGAN article."""

    z_dim: int = 100
    classes: int = field(default=0, init=False)  # none, and not in files
    resolution: int = 32
    width: int = 512  # generator channels at 4x4; halved at each doubling of the side
    discriminator_width: int = 64  # its channels at half the side; doubled at each halving

    family = "dcgan"
    networks = "..dcgan"
    takes_classes = False
    ends_in_tanh = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("width", 4096, 2 ** (self.doublings - 1))
        self.check("discriminator_width", 4096)

    @property
    def generator_widths(self) -> list[int]:
        """Channels of the generator's feature maps, the picture's own last."""
        return [self.width >> level for level in range(self.doublings)] + [self.channels]

    @property
    def discriminator_widths(self) -> list[int]:
        """Channels of the discriminator's feature maps, the picture's own first."""
        widths = [self.discriminator_width << level for level in range(self.doublings)]
        return [self.channels, *widths]

    def generator_shapes(self) -> Shapes:
        shapes = shapes_of("dense", self.width * FIRST_SIDE**2, self.z_dim)
        for level, (wide, narrow) in enumerate(itertools.pairwise(self.generator_widths)):
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"norms.{level}.{part}"] = (wide,)
            shapes[f"upsamples.{level}.weight"] = (wide, narrow, 5, 5)
            shapes[f"upsamples.{level}.bias"] = (narrow,)
        return shapes

    def build(self, graph: Graph) -> str:
        dense, *upsamples = self.fold(graph.weights)
        x = graph.dense(dense, FIRST_SIDE)
        for layer in upsamples:
            x = graph.add("Relu", x)
            x = graph.add("ConvTranspose", x, layer.weight, layer.bias, **UPSAMPLE)
        return x

    def first_layer(self, weights: Weights) -> NDArray[np.float32]:
        return self.fold(weights)[0].weight

    def fold(self, weights: Weights) -> list[Layer]:
        """Returns the dense layer (weight (out, z_dim)) and each transposed convolution (weight
        (in, out, 5, 5)).

        What followed a layer, y * scale + shift per channel, is folded into it: between two layers
        only a ReLU is left, after the last one the tanh. Computed in float64, rounded once.
        """
        norms = [
            scale_and_shift(weights, f"norms.{level}", ("weight", "bias"), f"norms.{level}")
            for level in range(self.doublings)
        ]
        scale, shift = (np.repeat(values, FIRST_SIDE**2) for values in norms[0])
        dense = weights["dense.weight"].astype(np.float64) * scale[:, None]
        layers = [rounded(dense, weights["dense.bias"] * scale + shift)]
        for level in range(self.doublings):
            weight = weights[f"upsamples.{level}.weight"].astype(np.float64)
            bias = weights[f"upsamples.{level}.bias"].astype(np.float64)
            if level + 1 < self.doublings:
                scale, shift = norms[level + 1]
                weight, bias = weight * scale[None, :, None, None], bias * scale + shift
            layers.append(rounded(weight, bias))
        return layers


FAMILY = DCGANConfig
