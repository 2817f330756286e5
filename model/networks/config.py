"""What the code may ask of a family of networks, without the networks: serving asks where torch is
not installed.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from model.networks.graph import Graph
from model.networks.layers import Shapes, Weights

FIRST_SIDE = 4  # pixels per side of the first feature map
MAX_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(ABC):
    """Shape of a generator and of its discriminator; whole numbers, to which each family adds."""

    z_dim: int
    classes: int = 0  # 0: unconditional
    resolution: int  # pixels per side of the generator's output: 4 times a power of two
    channels: int = 3  # 3: RGB, 1: grey

    family: ClassVar[str]
    # module with its `Generator` and `Discriminator`, seen from that of the family: by name, for
    # serving on the CPU must not pay for torch, which it may not even have
    networks: ClassVar[str]
    takes_classes: ClassVar[bool] = True
    ends_in_tanh: ClassVar[bool] = False  # else pixels are cut to their range
    has_batch_norm: ClassVar[bool] = True
    trains_further: ClassVar[bool] = False  # its discriminator travels with it

    def __post_init__(self) -> None:
        self.check("z_dim", 4096)
        self.check_resolution()
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}; allowed: 1 (grey) or 3 (RGB)")
        if not 0 <= self.classes <= MAX_CLASSES:
            raise ValueError(f"classes is {self.classes}; allowed: 0 to {MAX_CLASSES}")

    def check_resolution(self) -> None:
        """Checks the side.

        Raises:
            ValueError: the family has no such networks.
        """
        if self.resolution not in (8, 16, 32, 64, 128, 256):
            raise ValueError(f"resolution is {self.resolution}; allowed: 8, 16, 32, 64, 128, 256")

    def check(self, name: str, most: int, step: int = 1) -> None:
        """Checks a field: from 1 to `most`, a multiple of `step`.

        Raises:
            ValueError: it is not.
        """
        if not 1 <= (value := getattr(self, name)) <= most or value % step:
            multiple = f", a multiple of {step}" if step > 1 else ""
            raise ValueError(f"{name} is {value}; allowed: 1 to {most}{multiple}")

    @property
    def input_dim(self) -> int:
        """Values in a row of the generator's input: the latent, then a weight per class."""
        return self.z_dim + self.classes

    @property
    def doublings(self) -> int:
        """How often the side doubles on the way from 4x4 to `resolution`."""
        return (self.resolution // FIRST_SIDE).bit_length() - 1

    @abstractmethod
    def generator_shapes(self) -> Shapes:
        """Returns name and shape of each tensor of the generator, in the order of its layers."""

    @abstractmethod
    def build(self, graph: Graph) -> str:
        """Adds the generator, up to its last convolution; returns its output's name."""

    def served(self) -> Self:
        """Returns the shape of the weights as they act, which a model folder holds."""
        return self

    def first_layer(self, weights: Weights) -> NDArray[np.float32]:
        """Returns the weight (out, z_dim) that a latent meets first."""
        return weights["dense.weight"][:, : self.z_dim]
