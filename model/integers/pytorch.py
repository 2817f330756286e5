"""PyTorch's way through an integer generator or upscaler: whole numbers in floats. Sums below 2**24
are exact in float32, in any order, and their factors in the 11 bits of a tensor core's TF32.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model.images import HALF_RANGE
from model.integers.steps import (
    LARGEST_WHOLE,
    LATENT_LIMIT,
    LATENT_STEP,
    Add,
    Bilinear,
    Center,
    Convolution,
    Dense,
    Join,
    Leaky,
    Look,
    Modulate,
    Pixels,
    Quantize,
    Step,
    Tensors,
    last_target,
    zeros_of,
)
from model.integers.trace import steps_of
from model.networks.config import NetworkConfig
from model.networks.graph import LEAKY_SLOPE
from model.networks.pytorch import Generator


class Arithmetic(Protocol):
    """How values are rounded, which differs where they are learnt."""

    def whole(self, x: Tensor) -> Tensor:
        """Rounds to whole numbers."""

    def to_byte(self, x: Tensor, zero: Tensor | int) -> Tensor:
        """Rounds to whole numbers around `zero` and cuts them to bytes."""

    def dense(self, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        """Computes a dense layer."""

    def look(self, x: Tensor, table: Tensor) -> Tensor:
        """Looks bytes up."""


class Exact:
    """Rounds as docs/integers.md says."""

    def whole(self, x: Tensor) -> Tensor:
        return x.round()

    def to_byte(self, x: Tensor, zero: Tensor | int) -> Tensor:
        return (x.round() + zero).clamp(0, 255)

    def dense(self, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        whole = (x * (1 / LATENT_STEP)).round().clamp(-LATENT_LIMIT, LATENT_LIMIT)
        high, middle = (whole * 2.0**-16).floor(), (whole * 2.0**-8).floor()
        high_sum = (high @ weight.T) * (scale * 65536)
        middle_sum = ((middle - high * 256) @ weight.T) * (scale * 256)
        return (high_sum + middle_sum) + ((whole - middle * 256) @ weight.T) * scale + bias

    def look(self, x: Tensor, table: Tensor) -> Tensor:
        return table[x.long()]


def run(
    steps: Sequence[Step],
    tensors: Mapping[str, Tensor],
    zeros: Mapping[str, Tensor | int],
    rows: Tensor,
    arithmetic: Arithmetic,
) -> dict[str, Tensor]:
    """Computes all values of rows, by their names; tensors and bytes are float32."""
    values = {steps[0].source: rows}
    for step in steps:
        x = values[step.source]
        match step:
            case Dense():
                parts = (tensors[f"{step.name}.{part}"] for part in ("weight", "scale", "bias"))
                found = torch.split(
                    arithmetic.dense(x, *parts), [part.size for part in step.parts], 1
                )
                for part, own in zip(step.parts, found, strict=True):
                    if part.side is not None:
                        own = arithmetic.whole(own).clamp(-LARGEST_WHOLE, LARGEST_WHOLE)
                        own = torch.unflatten(own, 1, (-1, part.side, part.side))
                    values[part.target] = own
            case Pixels():
                values[step.target] = x
            case Join():
                values[step.target] = torch.cat([x, values[step.other]], 1)
            case Quantize():
                if step.scaled:
                    x = x / tensors[f"{step.name}.unit"]
                values[step.target] = arithmetic.to_byte(x, zeros[step.target])
            case Convolution():
                weight, bias, multiplier = (
                    tensors[f"{step.name}.{part}"] for part in ("weight", "bias", "multiplier")
                )
                x = functional.conv2d(x - zeros[step.source], weight, padding=step.padding)
                x = (x + bias[:, None, None]) * multiplier[:, None, None]
                x = arithmetic.to_byte(x, zeros[step.target])
                values[step.target] = shuffled(x, step.kernel, step.factor)
            case Center():
                values[step.target] = x - step.zero
            case Modulate():
                product = x * values[step.scale][:, :, None, None]
                values[step.target] = product + values[step.shift][:, :, None, None]
            case Leaky():
                values[step.target] = functional.leaky_relu(x, LEAKY_SLOPE)
            case Add():
                values[step.target] = x + values[step.other]
            case Bilinear():
                values[step.target] = functional.interpolate(x, scale_factor=2, mode="bilinear")
            case Look():
                values[step.target] = arithmetic.look(x, tensors[f"{step.name}.table"])
    return values


def shuffled(x: Tensor, kernel: int, factor: int) -> Tensor:
    """Lays the outputs of a channel out, as `reference.shuffled`."""
    squares = torch.unflatten(x, 1, (factor, factor, -1)).permute(0, 3, 4, 1, 5, 2)
    found: Tensor = squares.flatten(4, 5).flatten(2, 3)
    return found if kernel % 2 else found[:, :, 1:-1, 1:-1]


def exact_convolutions() -> AbstractContextManager[None]:
    """Lets tensor cores convolve: bytes less their zero, and weights, are exact in TF32, their sums
    in float32.
    """
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=True
    )


class Straight(Exact):
    """Rounds as `Exact` does, and lets gradients through as if it did not."""

    def whole(self, x: Tensor) -> Tensor:
        return x + (x.round() - x).detach()

    def to_byte(self, x: Tensor, zero: Tensor | int) -> Tensor:
        return (self.whole(x) + zero).clamp(0, 255)

    def dense(self, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        return (self.whole(x * (1 / LATENT_STEP)) @ weight.T) * scale + bias

    def look(self, x: Tensor, table: Tensor) -> Tensor:
        place = x.detach().long()
        slope = (table[(place + 1).clamp(max=255)] - table[(place - 1).clamp(min=0)]) / 2
        return table[place] + slope * (x - x.detach())


class IntegerNetwork(Generator):
    """An integer generator as a network: rows to images (N, C, H, W) in [-1, 1], each value the
    middle of a byte's range. Its gradients are those of the values before they were rounded.
    """

    def __init__(self, config: NetworkConfig, tensors: Tensors) -> None:
        super().__init__(config)
        self._steps = steps_of(config)
        self._zeros = zeros_of(self._steps, tensors)
        self._names = list(tensors)
        for name, value in tensors.items():
            floats = torch.from_numpy(value.astype(np.float32))
            self.register_buffer(name.replace(".", "_"), floats)

    def forward(self, rows: Tensor) -> Tensor:
        """Generates images; of rows without gradients, exactly the bytes of docs/integers.md."""
        arithmetic = Straight() if rows.requires_grad else Exact()
        tensors = {name: self.get_buffer(name.replace(".", "_")) for name in self._names}
        with exact_convolutions():
            values = run(self._steps, tensors, self._zeros, rows, arithmetic)
        return (values[last_target(self._steps)] - HALF_RANGE) / HALF_RANGE
