"""The steps of an integer generator or upscaler, in their order; docs/integers.md says what each
computes.

A value is a vector or a map in float32, each of its operations rounded once, or a map of bytes. A
step's tensors are named after it; what is not a tensor is the network's, never the file's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

MIDDLE = 128  # the byte that stands for 0 where a convolution's output has both signs
LARGEST_WEIGHT = 64  # a pair of weights times 255 stays below 2**15, where old kernels saturate
LATENT_STEP = 2.0**-10  # the unit of a dense layer's whole numbers
LATENT_LIMIT = 2**23 - 1  # the largest of them
EXACT = 2**24  # sums below it are exact in float32, in any order
LARGEST_LATENT = int(LATENT_LIMIT * LATENT_STEP)  # that a row may hold, either way
LARGEST_WHOLE = 2**15 - 1  # in a dense layer's map: its enlargement is exact
# what scales, multipliers and biases that are not 0 may be: products stay finite and normal
LEAST_FACTOR, LARGEST_FACTOR, LEAST_BIAS = 2.0**-40, 2.0**20, 2.0**-60
TABLE = 256  # bytes


@dataclass(frozen=True)
class Part:
    """What becomes of some of a dense layer's outputs: a vector, or a map of `side` pixels a side,
    of whole numbers.
    """

    target: str
    size: int
    side: int | None = None


@dataclass(frozen=True)
class Dense:
    """A dense layer of a vector, whose outputs are several values."""

    name: str
    source: str
    inputs: int
    parts: tuple[Part, ...]

    @property
    def outputs(self) -> int:
        """Outputs of all parts together."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True)
class Pixels:
    """Takes pictures as bytes."""

    source: str
    target: str
    channels: int
    zero: int  # the byte that stands for 0


@dataclass(frozen=True)
class Join:
    """Lays the channels of two maps of bytes behind one another; 0 stands for 0."""

    source: str
    other: str
    target: str
    channels: int


@dataclass(frozen=True)
class Quantize:
    """Makes bytes of a map, of one in larger or smaller units if it is `scaled`; if it `cuts`, the
    smallest byte stands for 0.
    """

    name: str
    source: str
    target: str
    channels: int
    cuts: bool
    scaled: bool


@dataclass(frozen=True)
class Convolution:
    """A convolution of bytes to bytes. One that makes the side `factor` times as long has so many
    outputs squared a channel: the pixels of a square.
    """

    name: str
    source: str
    target: str
    channels: int
    inputs: int
    kernel: int
    factor: int
    zero: int  # the byte that stands for 0 in its output

    @property
    def outputs(self) -> int:
        """Outputs at each place."""
        return self.channels * self.factor**2

    @property
    def padding(self) -> int:
        """Pixels that are added on each side."""
        return self.kernel // 2


@dataclass(frozen=True)
class Center:
    """Makes numbers of bytes, less their zero."""

    source: str
    target: str
    zero: int


@dataclass(frozen=True)
class Modulate:
    """Multiplies each channel of a map by a value of a vector, and adds one of another."""

    source: str
    scale: str
    shift: str
    target: str


@dataclass(frozen=True)
class Leaky:
    """Multiplies negative values by the slope."""

    source: str
    target: str


@dataclass(frozen=True)
class Add:
    """Adds two maps."""

    source: str
    other: str
    target: str


@dataclass(frozen=True)
class Bilinear:
    """Doubles the side of a map of whole numbers, bilinearly."""

    source: str
    target: str


@dataclass(frozen=True)
class Look:
    """Looks pixels up in a table of all bytes."""

    name: str
    source: str
    target: str


Step = (
    Dense
    | Pixels
    | Join
    | Quantize
    | Convolution
    | Center
    | Modulate
    | Leaky
    | Add
    | Bilinear
    | Look
)

Tensors = dict[str, NDArray[Any]]


def tensors_of(steps: Sequence[Step]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Returns type and shape of each tensor by its name."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for step in steps:
        match step:
            case Dense():
                found[f"{step.name}.weight"] = "int8", (step.outputs, step.inputs)
                found[f"{step.name}.scale"] = "float32", (step.outputs,)
                found[f"{step.name}.bias"] = "float32", (step.outputs,)
            case Quantize():
                if step.scaled:
                    found[f"{step.name}.unit"] = "float32", (1,)
                if not step.cuts:
                    found[f"{step.name}.zero"] = "uint8", (1,)
            case Convolution():
                shape = (step.outputs, step.inputs, step.kernel, step.kernel)
                found[f"{step.name}.weight"] = "int8", shape
                found[f"{step.name}.bias"] = "int32", (step.outputs,)
                found[f"{step.name}.multiplier"] = "float32", (step.outputs,)
            case Look():
                found[f"{step.name}.table"] = "uint8", (TABLE,)
    return found


def last_target(steps: Sequence[Step]) -> str:
    """Returns the name of the pixels."""
    last = steps[-1]
    assert not isinstance(last, Dense)
    return last.target


def zeros_of(steps: Sequence[Step], tensors: Tensors) -> dict[str, int]:
    """Returns the byte that stands for 0 in each map of bytes."""
    zeros = {}
    for step in steps:
        if isinstance(step, Convolution | Pixels):
            zeros[step.target] = step.zero
        elif isinstance(step, Join):
            zeros[step.target] = 0
        elif isinstance(step, Quantize):
            zeros[step.target] = 0 if step.cuts else int(tensors[f"{step.name}.zero"][0])
    return zeros
