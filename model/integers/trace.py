"""From a family's `build` to the steps of its integer generator.

    build(trace) -> operations -> steps, and what each layer is before it is rounded

No family is written twice: a network whose operations are not known here is refused.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.integers.steps import (
    MIDDLE,
    Add,
    Bilinear,
    Center,
    Convolution,
    Dense,
    Leaky,
    Look,
    Modulate,
    Part,
    Quantize,
    Step,
)
from model.mistakes import Mistake
from model.networks.config import NetworkConfig
from model.networks.graph import BILINEAR, NEAREST, Graph
from model.networks.layers import Layer, Weights


class NoIntegersError(Mistake):
    """A network cannot be made of integers; the message says why."""


@dataclass(frozen=True)
class Operation:
    """What a family asked for, with its layer as it is in floats."""

    kind: str
    sources: tuple[str, ...]
    layer: Layer | None = None
    side: int | None = None


class Trace(Graph):
    """Records what a family builds in place of building it."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.operations: dict[str, Operation] = {}

    def record(self, kind: str, *sources: str, layer: Layer | None = None, side: Any = None) -> str:
        """Records an operation; returns its output's name."""
        target = f"{kind.lower()}{len(self.operations)}"
        self.operations[target] = Operation(kind, sources, layer, side)
        return target

    def add(self, operation: str, source: str, *arrays: NDArray[Any], **attributes: Any) -> str:
        if operation == "ConvTranspose":
            weight, bias = arrays
            return self.record(operation, source, layer=of_transposed(Layer(weight, bias)))
        if operation != "Relu":
            raise NoIntegersError(f"no integers for its operation {operation}")
        return self.record(operation, source)

    def join(self, operation: str, one: str, other: str) -> str:
        if operation != "Add":
            raise NoIntegersError(f"no integers for its operation {operation}")
        return self.record(operation, one, other)

    def dense(self, layer: Layer | str, side: int | None = None, source: str = "rows") -> str:
        return self.record("Dense", source, layer=self.layer(layer), side=side)

    def convolution(self, source: str, layer: Layer | str) -> str:
        return self.record("Conv", source, layer=self.layer(layer))

    def leaky(self, source: str) -> str:
        return self.record("Leaky", source)

    def each(self, operation: str, x: str, source: str, *arrays: NDArray[Any]) -> str:
        return self.record(operation, x, self.dense(Layer(*arrays), source=source))

    def doubled(self, source: str, modes: dict[str, str]) -> str:
        known = {id(BILINEAR): "Bilinear", id(NEAREST): "Nearest"}
        return self.record(known[id(modes)], source)


@dataclass
class Program:
    """Steps, each layer in floats by its step's name, and which values must have equal units."""

    steps: list[Step] = field(default_factory=list)
    layers: dict[str, Layer] = field(default_factory=dict)
    alike: list[tuple[str, str]] = field(default_factory=list)


def program(config: NetworkConfig, weights: Weights) -> Program:
    """Finds the steps of a network's integer form; the last one's output is its pixels.

    Raises:
        NoIntegersError: it has operations that have none.
    """
    trace = Trace(weights)
    try:
        last = config.build(trace)
        return _Lowering(trace.operations, last, config.ends_in_tanh).lowered()
    except NoIntegersError as error:
        raise NoIntegersError(f"a network of the family {config.family}: {error}") from None


def steps_of(config: NetworkConfig) -> list[Step]:
    """Finds the steps alone, which depend on the network's shape and not on its weights."""
    shapes = config.generator_shapes()
    return program(
        config, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    ).steps


class _Lowering:
    """Puts the roundings in: bytes before each convolution and behind it."""

    def __init__(self, operations: dict[str, Operation], last: str, tanh: bool) -> None:
        self._operations, self._last, self._tanh = operations, last, tanh
        self._program = Program()
        self._places: dict[str, str] = {}  # which bytes are made already, and by which step
        self._users: dict[str, list[str]] = {}
        for name, operation in operations.items():
            for source in operation.sources:
                self._users.setdefault(source, []).append(name)

    def lowered(self) -> Program:
        for name, operation in self._operations.items():
            self._lower(name, operation)
        return self._program

    def _lower(self, name: str, operation: Operation) -> None:
        steps, source = self._program.steps, operation.sources[0]
        match operation.kind:
            case "Dense":
                if self._together(source)[0] == name:
                    self._dense(source)
            case "Conv" | "ConvTranspose":
                self._convolution(name, operation)
            case "Leaky":
                steps.append(Leaky(source, name))
                self._program.alike.append((source, name))
            case "Add" if self._is_modulation(operation):
                product = self._operations[source]
                if product.kind != "Mul":
                    raise NoIntegersError("no integers for an addition to each map alone")
                steps.append(
                    Modulate(product.sources[0], product.sources[1], operation.sources[1], name)
                )
            case "Add":
                other = operation.sources[1]
                steps.append(Add(source, other, name))
                self._program.alike += [(source, name), (other, name)]
            case "Bilinear":
                if not self._is_whole(source):
                    raise NoIntegersError("no integers for a second enlargement of one map")
                steps.append(Bilinear(source, name))
                self._program.alike.append((source, name))

    def _is_modulation(self, operation: Operation) -> bool:
        other = self._operations[operation.sources[1]]
        return other.kind == "Dense" and other.side is None

    def _is_whole(self, source: str) -> bool:
        return self._operations[source].kind in ("Dense", "Conv")

    def _together(self, source: str) -> list[str]:
        return [name for name in self._users[source] if self._operations[name].kind == "Dense"]

    def _dense(self, source: str) -> None:
        """Adds all dense layers of a value as one."""
        names = self._together(source)
        found = [self._operations[name] for name in names]
        layers = [operation.layer for operation in found if operation.layer]
        parts = [
            Part(name, len(layer.bias), operation.side)
            for name, operation, layer in zip(names, found, layers, strict=True)
        ]
        weight = np.concatenate([layer.weight for layer in layers])
        step = Dense(f"dense.{self._count(Dense)}", source, weight.shape[1], tuple(parts))
        self._program.steps.append(step)
        self._program.layers[step.name] = Layer(
            weight, np.concatenate([one.bias for one in layers])
        )

    def _convolution(self, name: str, operation: Operation) -> None:
        steps, source = self._program.steps, operation.sources[0]
        layer = operation.layer
        assert layer is not None
        doubles = operation.kind == "ConvTranspose"
        if self._operations[source].kind == "Nearest":
            layer, doubles = of_doubled(layer), True
            source = self._operations[source].sources[0]
        kept, inputs, kernel, _ = layer.weight.shape
        channels = kept // 4 if doubles else kept
        last = name == self._last
        users = [self._operations[user].kind for user in self._users.get(name, [])]
        cuts = users == ["Relu"]
        zero = 0 if cuts or (last and not self._tanh) else MIDDLE
        bytes_ = f"{name}.bytes"
        number = self._count(Convolution)
        step = Convolution(
            f"convolutions.{number}",
            self._bytes(source, inputs),
            bytes_,
            channels,
            inputs,
            kernel,
            2 if doubles else 1,
            zero,
        )
        steps.append(step)
        self._program.layers[step.name] = layer
        if last:
            if self._tanh:
                steps.append(Look("table", bytes_, f"{name}.levels"))
        elif not cuts:
            steps.append(Center(bytes_, name, zero))

    def _bytes(self, source: str, channels: int) -> str:
        """Returns the name of a value's bytes, which are made where there are none."""
        operation, cut = self._operations[source], False
        if operation.kind == "Relu":
            source, cut = operation.sources[0], True
            if self._operations[source].kind in ("Conv", "ConvTranspose"):
                return f"{source}.bytes"
        target = f"{source}.quantized"
        if target not in self._places:
            name = f"bytes.{self._count(Quantize)}"
            scaled = not (cut or self._is_free(source))
            self._program.steps.append(Quantize(name, source, target, channels, cut, scaled))
            self._places[target] = name
        return target

    def _is_free(self, name: str) -> bool:
        """Tells whether nothing but its bytes asks for a value's unit."""
        operation = self._operations[name]
        if len(self._users[name]) > 1:
            return False
        if operation.kind == "Leaky":
            return self._is_free(operation.sources[0])
        return operation.kind == "Dense" or (
            operation.kind == "Add" and self._is_modulation(operation)
        )

    def _count(self, kind: type[Step]) -> int:
        return sum(isinstance(step, kind) for step in self._program.steps)


def of_doubled(layer: Layer) -> Layer:
    """Makes of a convolution of a map whose side was doubled, each pixel four times, one of 2 x 2
    of the map itself, with four outputs a channel: weights that meet one pixel are added up.
    """
    along = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], np.float64)
    weight = np.einsum("pak,qbl,oikl->pqoiab", along, along, layer.weight.astype(np.float64))
    bias = np.tile(layer.bias, 4)
    return Layer(weight.reshape(-1, *weight.shape[3:]).astype(np.float32), bias)


def of_transposed(layer: Layer) -> Layer:
    """Makes of a transposed convolution (in, out, 5, 5) of stride 2 one of 3 x 3 with four outputs
    a channel.
    """
    along = np.zeros((2, 3, 5))
    for phase, taps in enumerate(((4, 2, 0), (None, 3, 1))):
        for place, tap in enumerate(taps):
            if tap is not None:
                along[phase, place, tap] = 1
    weight = np.einsum("pak,qbl,iokl->pqoiab", along, along, layer.weight.astype(np.float64))
    return Layer(weight.reshape(-1, *weight.shape[3:]).astype(np.float32), np.tile(layer.bias, 4))
