"""The shape of a generator of dense layers, for small pictures, and its graph without batch norm.

Source: Salimans et al., "Improved Techniques for Training GANs" (2016), section 6.1; its code.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.networks.config import NetworkConfig
from model.networks.graph import Graph
from model.networks.layers import Layer, Shapes, Weights, rounded, scale_and_shift, shapes_of

LARGEST = 64  # pixels per side


@dataclass(frozen=True, kw_only=True)
class MLPConfig(NetworkConfig):
    """Shape of a generator: two hidden layers with batch norm and softplus, pixels by a sigmoid."""

    z_dim: int = 100
    classes: int = field(default=0, init=False)  # none, and not in files
    resolution: int = 28  # any side up to LARGEST
    channels: int = 1
    width: int = 500  # values of a hidden layer
    discriminator_width: int = 500  # the same of a discriminator of two hidden layers

    family = "mlp"
    networks = "..mlp"
    takes_classes = False
    ends_in_tanh = True

    def __post_init__(self) -> None:
        self.check("width", 4096)
        self.check("discriminator_width", 4096)
        super().__post_init__()

    def check_resolution(self) -> None:
        self.check("resolution", LARGEST)

    @property
    def values(self) -> int:
        """Values of a picture."""
        return self.channels * self.resolution**2

    def generator_shapes(self) -> Shapes:
        shapes = shapes_of("dense", self.width, self.z_dim, bias=False)
        shapes |= shapes_of("hidden", self.width, self.width, bias=False)
        for level in range(2):
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"norms.{level}.{part}"] = (self.width,)
        return shapes | shapes_of("pixels", self.values, self.width)

    def build(self, graph: Graph) -> str:
        first, second, pixels = self.fold(graph.weights)
        x = graph.add("Softplus", graph.dense(first))
        x = graph.add("Softplus", graph.dense(second, source=x))
        x = graph.dense(pixels, self.resolution, source=x)
        return graph.add("Mul", x, np.array(0.5, np.float32))  # tanh of the half is a sigmoid

    def first_layer(self, weights: Weights) -> NDArray[np.float32]:
        return self.fold(weights)[0].weight

    def fold(self, weights: Weights) -> list[Layer]:
        """Returns the three dense layers, of which the first two hold the batch norms behind them;
        computed in float64, rounded once.
        """
        layers = []
        for level, name in enumerate(("dense", "hidden")):
            scale, shift = scale_and_shift(
                weights, f"norms.{level}", ("weight", "bias"), f"norms.{level}"
            )
            weight = weights[f"{name}.weight"].astype(np.float64) * scale[:, None]
            layers.append(rounded(weight, shift))
        return [*layers, Layer(weights["pixels.weight"], weights["pixels.bias"])]


FAMILY = MLPConfig
