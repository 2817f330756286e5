"""The shape of the residual networks whose generator has batch norms modulated by the latent."""

import itertools
from dataclasses import dataclass

import numpy as np

from model.networks.config import FIRST_SIDE
from model.networks.families.residual import StagedConfig
from model.networks.graph import BILINEAR, NEAREST, Graph
from model.networks.layers import EPSILON, Layer, Shapes, Weights, rounded, shapes_of


@dataclass(frozen=True, kw_only=True)
class ModulatedConfig(StagedConfig):
    """Shape of the residual generator whose batch norms are modulated by the latent and the class,
    one block a doubling, and of the same discriminator.
    """

    code_dim: int = 128  # values by which the latent and the class set gain and offset of all norms

    family = "modulated"
    networks = "..modulated"
    trains_further = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("code_dim", 4096)

    def generator_shapes(self) -> Shapes:
        def norm(name: str, width: int) -> Shapes:
            statistics = f"{name}.statistics"
            shapes: Shapes = {f"{statistics}.running_{part}": (width,) for part in ("mean", "var")}
            return shapes | shapes_of(f"{name}.modulation", 2 * width, self.code_dim)

        shapes = shapes_of("code", self.code_dim, self.input_dim)
        shapes |= shapes_of("dense", self.width * FIRST_SIDE**2, self.input_dim)
        for stage, (before, width) in enumerate(itertools.pairwise(self.generator_widths)):
            name = f"stages.{stage}"
            shapes |= norm(f"{name}.first_norm", before)
            shapes |= shapes_of(f"{name}.first", width, before, 3, 3, bias=False)
            shapes |= norm(f"{name}.second_norm", width)
            shapes |= shapes_of(f"{name}.second", width, width, 3, 3)
            if before != width:
                shapes |= shapes_of(f"{name}.shortcut", width, before, 1, 1, bias=False)
        return shapes | shapes_of("picture", self.channels, self.generator_widths[-1], 3, 3)

    def build(self, graph: Graph) -> str:
        code = graph.leaky(graph.dense("code"))

        def norm(source: str, name: str) -> str:
            scale, shift = fold_modulation(graph.weights, name)
            source = graph.each("Mul", source, code, scale.weight, scale.bias)
            return graph.each("Add", source, code, shift.weight, shift.bias)

        x = graph.dense("dense", FIRST_SIDE)
        for stage, (before, width) in enumerate(itertools.pairwise(self.generator_widths)):
            name = f"stages.{stage}"
            inner = graph.convolution(graph.leaky(norm(x, f"{name}.first_norm")), f"{name}.first")
            inner = graph.doubled(graph.leaky(norm(inner, f"{name}.second_norm")), NEAREST)
            straight = x if before == width else graph.convolution(x, f"{name}.shortcut")
            straight = graph.doubled(straight, BILINEAR)
            x = graph.join("Add", graph.convolution(inner, f"{name}.second"), straight)
        return graph.convolution(graph.leaky(x), "picture")


def fold_modulation(weights: Weights, name: str) -> tuple[Layer, Layer]:
    """Returns what a norm does after training: x * scale + shift per channel, both of them dense
    layers (weight (C, code_dim)) of a picture's code.
    """
    (gain, offset), (gain_bias, offset_bias) = (
        np.split(weights[f"{name}.modulation.{part}"].astype(np.float64), 2)
        for part in ("weight", "bias")
    )
    mean, variance = (
        weights[f"{name}.statistics.running_{part}"].astype(np.float64) for part in ("mean", "var")
    )
    inverse = 1.0 / np.sqrt(variance + EPSILON)
    scale, scale_bias = gain * inverse[:, None], (1.0 + gain_bias) * inverse
    shift, shift_bias = offset - scale * mean[:, None], offset_bias - scale_bias * mean
    return rounded(scale, scale_bias), rounded(shift, shift_bias)


FAMILY = ModulatedConfig
