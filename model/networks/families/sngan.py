"""The shape of the networks of SNGAN and SAGAN."""

import itertools
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from model.networks.config import FIRST_SIDE, NetworkConfig
from model.networks.graph import NEAREST, Graph
from model.networks.layers import Layer, Shapes, Weights, rounded, scale_and_shift, shapes_of

MAX_ATTENTION = 64  # pixels per side: 64 MiB of weights a picture and 1024 there


@dataclass(frozen=True, kw_only=True)
class SNGANConfig(NetworkConfig):
    """Shape of the residual generator and discriminator of SNGAN and SAGAN: a block a doubling from
    4x4 up, a block a halving down to 8x8 and two more there.
    """

    z_dim: int = 128
    resolution: int = 32
    width: int = 256  # generator channels at 4x4
    discriminator_width: int = 128  # its channels at 8x8
    halved: int = 0  # 1: at each doubling of the side half the channels (SAGAN), 0: as many (SNGAN)
    attention: int = 0  # pixels per side of the maps that attend to themselves; 0: none do
    generator_spectral: int = 0  # 1: spectral norm while the generator learns (SAGAN), 0: none

    family = "sngan"
    networks = "..sngan"
    ends_in_tanh = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resolution < 16:
            raise ValueError(f"resolution is {self.resolution}; allowed: 16, 32, 64, 128, 256")
        for name in ("halved", "generator_spectral"):
            if getattr(self, name) not in (0, 1):
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 0, 1")
        for name in ("width", "discriminator_width"):
            self.check(name, 4096, 2**self.doublings if self.halved else 1)
        sides = [side for side in self.sides[:-1] if side <= MAX_ATTENTION]
        if self.attention not in (0, *sides):
            allowed = ", ".join(map(str, (0, *sides)))
            raise ValueError(f"attention is {self.attention}; allowed: {allowed}")
        if self.attention:
            place = self.sides.index(self.attention)
            found = self.generator_widths[place], self.discriminator_widths[::-1][place]
            if any(width % 8 for width in found):
                raise ValueError(f"channels that attend are {found}; allowed: multiples of 8")

    @property
    def sides(self) -> list[int]:
        """Pixels per side after each of the generator's stages."""
        return [FIRST_SIDE << (stage + 1) for stage in range(self.doublings)]

    @property
    def generator_widths(self) -> list[int]:
        """Channels after each of the generator's stages, from 8x8 up."""
        return [self.width >> self.halved * (stage + 1) for stage in range(self.doublings)]

    @property
    def discriminator_widths(self) -> list[int]:
        """Channels after each of the discriminator's halvings, from half the resolution to 8x8."""
        stages = range(self.doublings - 1)
        return [self.discriminator_width >> self.halved * stage for stage in stages][::-1]

    def generator_shapes(self) -> Shapes:
        def norm(name: str, width: int, classes: int) -> Shapes:
            own = (width, classes) if classes else (width,)
            shapes: Shapes = {f"{name}.{part}": own for part in ("gain", "offset")}
            statistics = f"{name}.statistics"
            return shapes | {f"{statistics}.running_{part}": (width,) for part in ("mean", "var")}

        shapes = shapes_of("dense", self.width * FIRST_SIDE**2, self.z_dim)
        widths = [self.width, *self.generator_widths]
        for stage, (before, width) in enumerate(itertools.pairwise(widths)):
            name = f"stages.{stage}"
            shapes |= norm(f"{name}.first_norm", before, self.classes)
            shapes |= shapes_of(f"{name}.first", width, before, 3, 3)
            shapes |= norm(f"{name}.second_norm", width, self.classes)
            shapes |= shapes_of(f"{name}.second", width, width, 3, 3)
            shapes |= shapes_of(f"{name}.shortcut", width, before, 1, 1)
            if self.sides[stage] == self.attention:
                shapes["attention.gate"] = (1,)
                shapes |= shapes_of("attention.query", width // 8, width, 1, 1)
                shapes |= shapes_of("attention.key", width // 8, width, 1, 1)
                shapes |= shapes_of("attention.value", width // 2, width, 1, 1)
                shapes |= shapes_of("attention.out", width, width // 2, 1, 1)
        shapes |= norm("norm", widths[-1], 0)
        return shapes | shapes_of("picture", self.channels, widths[-1], 3, 3)

    def served(self) -> Self:
        return replace(self, generator_spectral=0)

    def build(self, graph: Graph) -> str:
        def columns(first: int, last: int) -> str:
            bounds = (np.array([at], np.int64) for at in (first, last, 1))
            return graph.add("Slice", "rows", *bounds)

        z = classes = "rows"
        if self.classes:
            z, classes = columns(0, self.z_dim), columns(self.z_dim, self.input_dim)

        def norm(source: str, name: str) -> str:
            layer = fold_norm(graph.weights, name)
            for operation, values in (("Mul", layer.weight), ("Add", layer.bias)):
                if values.ndim == 1:
                    source = graph.add(operation, source, values[:, None, None])
                else:
                    source = graph.each(operation, source, classes, values)
            return source

        x = graph.dense("dense", FIRST_SIDE, z)
        for stage, side in enumerate(self.sides):
            name = f"stages.{stage}"
            inner = graph.doubled(graph.add("Relu", norm(x, f"{name}.first_norm")), NEAREST)
            if self.classes:
                inner = norm(graph.convolution(inner, f"{name}.first"), f"{name}.second_norm")
            else:
                layer = fold_convolution(graph.weights, f"{name}.first", f"{name}.second_norm")
                inner = graph.convolution(inner, layer)
            inner = graph.convolution(graph.add("Relu", inner), f"{name}.second")
            shortcut = graph.doubled(graph.convolution(x, f"{name}.shortcut"), NEAREST)
            x = graph.join("Add", inner, shortcut)
            if side == self.attention:
                x = _attention(graph, x, side)
        return graph.convolution(graph.add("Relu", norm(x, "norm")), "picture")


def fold_norm(weights: Weights, name: str) -> Layer:
    """Returns what a norm does after training: x * weight + bias per channel, both (C,), or (C,
    classes), a column per class.
    """
    return rounded(*scale_and_shift(weights, name, ("gain", "offset"), f"{name}.statistics"))


def fold_convolution(weights: Weights, name: str, norm: str) -> Layer:
    """Folds a convolution (weight (out, in, H, W)) and the norm without classes after it into one
    convolution.
    """
    scale, shift = scale_and_shift(weights, norm, ("gain", "offset"), f"{norm}.statistics")
    weight = weights[f"{name}.weight"] * scale[:, None, None, None]
    return rounded(weight, weights[f"{name}.bias"] * scale + shift)


def _attention(graph: Graph, x: str, side: int) -> str:
    """Adds self-attention, its gate folded into the last convolution."""

    def looked_at(part: str, pooled: bool) -> str:
        layer, places = graph.layer(f"attention.{part}"), side**2
        found = graph.convolution(x, layer)
        if pooled:
            found = graph.add("MaxPool", found, kernel_shape=[2, 2], strides=[2, 2])
            places //= 4
        return graph.add("Reshape", found, np.array([0, len(layer.weight), places], np.int64))

    query = graph.add("Transpose", looked_at("query", False), perm=[0, 2, 1])
    value = graph.add("Transpose", looked_at("value", True), perm=[0, 2, 1])
    likeness = graph.add("Softmax", graph.join("MatMul", query, looked_at("key", True)), axis=2)
    found = graph.add("Transpose", graph.join("MatMul", likeness, value), perm=[0, 2, 1])
    out, gate = graph.layer("attention.out"), graph.weights["attention.gate"]
    found = graph.add("Reshape", found, np.array([0, out.weight.shape[1], side, side], np.int64))
    return graph.join("Add", x, graph.convolution(found, Layer(out.weight * gate, out.bias * gate)))


FAMILY = SNGANConfig
