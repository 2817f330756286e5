"""A generator or upscaler that becomes integers: its layers in floats, and the units of its values.
A unit is what 1 stands for in a channel of a value.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from model.images import HALF_RANGE
from model.integers.pytorch import Arithmetic, Straight, run
from model.integers.steps import (
    EXACT,
    LARGEST_FACTOR,
    LARGEST_WEIGHT,
    LATENT_STEP,
    LEAST_BIAS,
    LEAST_FACTOR,
    MIDDLE,
    TABLE,
    Center,
    Convolution,
    Dense,
    Join,
    Look,
    Modulate,
    Pixels,
    Quantize,
    Tensors,
    tensors_of,
)
from model.integers.trace import Program

TINY = 2.0**-30  # the least unit


class Floats(Straight):
    """Rounds nothing: what is run is the generator as it was."""

    def whole(self, x: Tensor) -> Tensor:
        return x

    def to_byte(self, x: Tensor, zero: Tensor | int) -> Tensor:
        return x + zero if zero else x.relu()

    def look(self, x: Tensor, table: Tensor) -> Tensor:
        return x


class Learning(Straight):
    """Rounds all but pixels."""

    def look(self, x: Tensor, table: Tensor) -> Tensor:
        return x


class Quantizer(nn.Module):
    """What becomes integers: its layers, and the units of its values."""

    def __init__(self, made: Program) -> None:
        super().__init__()
        self.steps = made.steps
        self._tanh = isinstance(made.steps[-1], Look)
        read = {step.source for step in made.steps if not isinstance(step, Look)}
        self.ends = [  # convolutions whose outputs are pixels
            step for step in made.steps if isinstance(step, Convolution) and step.target not in read
        ]
        self.layers = nn.ParameterDict()
        for name, layer in made.layers.items():
            self.layers[_key(f"{name}.weight")] = nn.Parameter(
                torch.from_numpy(layer.weight.copy())
            )
            self.layers[_key(f"{name}.bias")] = nn.Parameter(torch.from_numpy(layer.bias.copy()))
        self.units = nn.ParameterDict()  # to base 2, by the group of values that have them
        # how much of an output's largest weight the largest whole number stands for
        self.shares: dict[str, Tensor] = {}
        self.zeros: dict[str, int] = {}
        # scaled bytes have units 2 to this power times their value's
        self.powers: dict[str, int] = {}
        for step in self.steps:
            if isinstance(step, Convolution | Pixels):
                self.zeros[step.target] = step.zero
            elif isinstance(step, Join):
                self.zeros[step.target] = 0
            elif isinstance(step, Quantize):
                self.zeros[step.target] = 0 if step.cuts else MIDDLE
                if step.scaled:
                    self.powers[step.target] = 0
        self._sources = {getattr(step, "target", ""): step.source for step in self.steps}
        self._groups = self._find_groups(made.alike)

    def _find_groups(self, alike: Sequence[tuple[str, str]]) -> dict[str, str]:
        pairs = list(alike)
        for step in self.steps:
            if isinstance(step, Center) or (isinstance(step, Quantize) and not step.scaled):
                pairs.append((step.source, step.target))
        groups: dict[str, str] = {}
        for one, other in pairs:
            old, new = groups.get(other, other), groups.get(one, one)
            groups |= {name: new for name, group in groups.items() if group == old}
            groups |= {one: new, other: new}
        return groups

    def group(self, value: str) -> str:
        """Returns the name that a value shares with those whose units are its own."""
        return self._groups.get(value, value)

    def unit(self, value: str) -> Tensor:
        """Returns what 1 stands for in each channel of a value, (C,), or (1,) for all of them."""
        if value in self.powers:
            return self.unit(self._sources[value]) * 2.0 ** self.powers[value]
        name = _key(self.group(value))
        return torch.exp2(self.units[name]) if name in self.units else torch.ones(1)

    def set_unit(self, value: str, unit: Tensor) -> None:
        """Sets the unit of a value and of those like it."""
        self.units[_key(self.group(value))] = nn.Parameter(unit.clamp(min=TINY).log2())

    def layer(self, name: str) -> tuple[Tensor, Tensor]:
        """Returns weight and bias of a step."""
        return self.layers[_key(f"{name}.weight")], self.layers[_key(f"{name}.bias")]

    def tensors(self, arithmetic: Arithmetic) -> dict[str, Tensor]:
        """Returns the tensors of the steps in floats, weights rounded as `arithmetic` does."""
        found: dict[str, Tensor] = {}
        for step in self.steps:
            match step:
                case Dense():
                    weight, bias = self.layer(step.name)
                    factor = self._factors(step)
                    scale = self._scale(step, weight.detach())
                    found[f"{step.name}.weight"] = limited(weight / scale[:, None], arithmetic)
                    found[f"{step.name}.scale"] = scale * factor * LATENT_STEP
                    found[f"{step.name}.bias"] = bias * factor
                case Quantize() if step.scaled:
                    found[f"{step.name}.unit"] = torch.tensor([2.0 ** self.powers[step.target]])
                case Convolution():
                    parts = self._convolution(step, arithmetic)
                    for part, value in zip(("weight", "bias", "multiplier"), parts, strict=True):
                        found[f"{step.name}.{part}"] = value
                case Look():
                    levels = (torch.arange(TABLE) - MIDDLE) * self.unit(step.source)
                    pixels = levels.double().tanh() * HALF_RANGE + (HALF_RANGE + 0.5)
                    found[f"{step.name}.table"] = pixels.floor().clamp(0, 255).float()
        return found

    def _convolution(
        self, step: Convolution, arithmetic: Arithmetic
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns weight, bias and multiplier."""
        weight, bias = self.layer(step.name)
        weight = weight * self.unit(step.source)[:, None, None]
        scale = self._scale(step, weight.detach())
        unit = self.unit(step.target)
        if step in self.ends and not self._tanh:
            unit, bias = torch.tensor([1 / HALF_RANGE]), bias + 1
        unit = unit.expand(step.channels).repeat(step.factor**2)
        whole = weight / scale[:, None, None, None]
        return limited(whole, arithmetic), arithmetic.whole(bias / scale), scale / unit

    def _scale(self, step: Dense | Convolution, weight: Tensor) -> Tensor:
        """Returns the unit of each output's weights: as small as their range and the bound of exact
        sums allow.
        """
        flat = weight.flatten(1)
        scale = flat.abs().amax(1) * self.shares.get(step.name, torch.ones(1)) / LARGEST_WEIGHT
        positive, negative = flat.clamp(min=0).sum(1), (-flat).clamp(min=0).sum(1)
        below = self.zeros[step.source] if isinstance(step, Convolution) else 0
        above = 255 - below
        most = torch.maximum(
            positive * above + negative * below, negative * above + positive * below
        )
        if isinstance(step, Dense):
            most = 255 * flat.abs().sum(1)
        return torch.maximum(scale, most / (0.75 * EXACT)).clamp(min=TINY)

    def _factors(self, step: Dense) -> Tensor:
        """Returns what makes each output's number of its value."""
        found = []
        modulations = [other for other in self.steps if isinstance(other, Modulate)]
        for part in step.parts:
            factor = 1 / self.unit(part.target)
            for other in modulations:
                if part.target == other.scale:
                    factor = self.unit(other.source) / self.unit(other.target)
                elif part.target == other.shift:
                    factor = 1 / self.unit(other.target)
            pixels = part.side**2 if part.side else 1
            found.append(factor.expand(part.size // pixels).repeat_interleave(pixels))
        return torch.cat(found)

    def values(
        self, rows: Tensor, arithmetic: Arithmetic, tensors: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Computes all values of rows; the tensors, where they are known, need not be made."""
        tensors = tensors or self.tensors(arithmetic)
        return run(self.steps, tensors, self.zeros, rows, arithmetic)

    def forward(self, rows: Tensor, arithmetic: Arithmetic) -> Tensor:
        """Generates images (N, C, H, W), about [-1, 1]."""
        (last,) = self.ends
        x = self.values(rows, arithmetic)[last.target]
        if self._tanh:
            return ((x - MIDDLE) * self.unit(last.target)).tanh()
        return x / HALF_RANGE - 1


@torch.no_grad()
def integers(quantizer: Quantizer) -> Tensors:
    """Returns the tensors of the integer generator, as a model folder holds them."""
    found = quantizer.tensors(Straight())
    for step in quantizer.steps:
        if isinstance(step, Quantize) and not step.cuts:
            found[f"{step.name}.zero"] = torch.tensor([quantizer.zeros[step.target]])
    for name, value in found.items():
        if name.endswith((".scale", ".multiplier")):
            found[name] = value.clamp(LEAST_FACTOR, LARGEST_FACTOR)
        elif name.startswith("dense") and name.endswith(".bias"):
            found[name] = torch.where(value.abs() < LEAST_BIAS, 0, value)
    return {
        name: np.ascontiguousarray(found[name].numpy().astype(dtype))
        for name, (dtype, _) in tensors_of(quantizer.steps).items()
    }


def _key(name: str) -> str:
    return name.replace(".", "_")


def limited(weight: Tensor, arithmetic: Arithmetic) -> Tensor:
    return arithmetic.whole(weight.clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT))
