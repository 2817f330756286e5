"""Layouts of classifiers: the tensors of each and its ONNX graph, by name. No torch.

    images (N, C, H, W) in [-1, 1] -> a layout's layers -> logits (N, classes)

Its network, in PyTorch, has the same name in `pytorch.NETWORKS`.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.classification.config import ClassifierConfig
from model.networks.graph import Graph
from model.networks.layers import Layer, Shapes, rounded, scale_and_shift, shapes_of

FEATURES = 128  # that the dense and the folded layout have
FOLDED_SIDE = 32  # pixels; larger pictures are folded to no more, their pixels into channels
COUNTED = "num_batches_tracked"  # a batch norm's whole numbers, which nothing here reads


@dataclass(frozen=True)
class Layout:
    """Tensors of a configuration, by name; and what adds its layers to a graph that has its
    weights, from the output of that name, images, to logits.
    """

    shapes: Callable[[ClassifierConfig], Shapes]
    build: Callable[[ClassifierConfig, Graph, str], str]


@dataclass(frozen=True)
class Plan:
    """The shape of the dense and of the folded layout: three 3x3 convolutions with batch norm and
    poolings, FEATURES features, one logit a class.

    The dense layout pools twice; of 28x28 pictures it takes 6 M multiply-adds. The folded one pools
    three times and has more channels, after pixels of large pictures have been folded into
    channels: of 64x64 RGB pictures it takes 13 M.
    """

    fold: int  # pixels per side that become channels of one; 0: the dense layout
    poolings: int  # after as many of the convolutions
    widths: tuple[int, ...]  # channels before, between and after the convolutions
    side: int  # pixels per side of the last maps


def plan(config: ClassifierConfig) -> Plan:
    """Plans the network of the dense and of the folded layout."""
    folded = config.layout == "folded"
    fold, poolings = (-(-config.side // FOLDED_SIDE), 3) if folded else (0, 2)
    widths = (config.channels * max(1, fold) ** 2, 32, 64, 128 if folded else 64)
    return Plan(fold, poolings, widths, -(-config.side // max(1, fold)) >> poolings)


def _shapes(config: ClassifierConfig) -> Shapes:
    planned = plan(config)
    shapes: Shapes = {}
    for level, (before, width) in enumerate(
        zip(planned.widths[:-1], planned.widths[1:], strict=True)
    ):
        shapes |= shapes_of(f"convolutions.{level}", width, before, 3, 3, bias=False)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"norms.{level}.{part}"] = (width,)
        shapes[f"norms.{level}.{COUNTED}"] = ()
    shapes |= shapes_of("features", FEATURES, planned.widths[-1] * planned.side**2)
    for head, outputs in (("logits", len(config.classes)), ("parts", sum(config.parts.values()))):
        if outputs:
            shapes |= shapes_of(head, outputs, FEATURES)
    return shapes


def _build(config: ClassifierConfig, graph: Graph, x: str) -> str:
    planned = plan(config)
    if planned.fold > 1:
        missing = -config.side % planned.fold
        pads = np.array([0, 0, 0, 0, 0, 0, missing, missing], np.int64)
        x = graph.add("Pad", x, pads, mode="edge")
        x = graph.add("SpaceToDepth", x, blocksize=planned.fold)
    for level in range(len(planned.widths) - 1):
        x = graph.add("Relu", graph.convolution(x, _convolution(config, graph, level)))
        if level < planned.poolings:
            x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = graph.add("Flatten", x)
    x = graph.dense("features", source=x)
    # behind a ReLU most of the features of the folded layout die while it learns
    x = x if planned.fold else graph.add("Relu", x)
    return graph.dense("logits", source=x)


def _convolution(config: ClassifierConfig, graph: Graph, level: int) -> Layer:
    """Returns a convolution with the batch norm behind it folded into it."""
    weight: NDArray[np.float64] = graph.weights[f"convolutions.{level}.weight"].astype(np.float64)
    scale, shift = scale_and_shift(
        graph.weights, f"norms.{level}", ("weight", "bias"), f"norms.{level}"
    )
    fold = plan(config).fold
    if level == 0 and fold > 1:
        # PyTorch lays the folded pixels of a channel one after another, ONNX the channels of a
        # pixel
        apart = weight.reshape(len(weight), config.channels, fold**2, 3, 3)
        weight = apart.swapaxes(1, 2).reshape(weight.shape)
    return rounded(weight * scale[:, None, None, None], shift)


def _mlp_shapes(config: ClassifierConfig) -> Shapes:
    widths = (config.channels * config.side**2, *config.widths, len(config.classes))
    shapes: Shapes = {}
    for level, (before, width) in enumerate(itertools.pairwise(widths)):
        shapes |= shapes_of(f"layers.{level}", width, before)
    return shapes


def _build_mlp(config: ClassifierConfig, graph: Graph, x: str) -> str:
    """Adds dense layers, with a ReLU behind all but the last."""
    x = graph.dense("layers.0", source=graph.add("Flatten", x))
    for level in range(len(config.widths)):
        x = graph.dense(f"layers.{level + 1}", source=graph.add("Relu", x))
    return x


@dataclass(frozen=True)
class Step:
    """A convolution of the convolutional layout."""

    before: int  # channels
    after: int
    kernel: int  # pixels per side
    stride: int
    padding: int


def convolutional_steps(channels: int, widths: tuple[int, ...]) -> list[Step]:
    """Plans the convolutional layout: three times three convolutions with leaky ReLUs, of which the
    third and the sixth halve the side and the last two are of 1x1; behind them, the mean over all
    places and a dense layer.

    Source: Salimans et al., "Improved Techniques for Training GANs" (2016), its code for CIFAR-10.
    """
    narrow, wide = widths
    sizes = [channels, *[narrow] * 3, *[wide] * 6]
    return [
        Step(before, after, 3 if at < 7 else 1, 2 if at in (2, 5) else 1, 1 if at < 6 else 0)
        for at, (before, after) in enumerate(itertools.pairwise(sizes))
    ]


def _convolutional_shapes(config: ClassifierConfig) -> Shapes:
    shapes: Shapes = {}
    steps = convolutional_steps(config.channels, config.widths)
    for level, step in enumerate(steps):
        shapes |= shapes_of(f"layers.{level}", step.after, step.before, step.kernel, step.kernel)
    return shapes | shapes_of(f"layers.{len(steps)}", len(config.classes), config.widths[-1])


def _build_convolutional(config: ClassifierConfig, graph: Graph, x: str) -> str:
    steps = convolutional_steps(config.channels, config.widths)
    for level, step in enumerate(steps):
        layer = graph.layer(f"layers.{level}")
        shape = {"kernel_shape": [step.kernel] * 2, "pads": [step.padding] * 4}
        strides = [step.stride] * 2
        x = graph.leaky(graph.add("Conv", x, layer.weight, layer.bias, strides=strides, **shape))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    return graph.dense(f"layers.{len(steps)}", source=x)


LAYOUTS: dict[str, Layout] = {
    "dense": Layout(_shapes, _build),
    "folded": Layout(_shapes, _build),
    "mlp": Layout(_mlp_shapes, _build_mlp),
    "convolutional": Layout(_convolutional_shapes, _build_convolutional),
}
