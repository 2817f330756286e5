"""A generator as a serialised ONNX model, from rows of its input to the pixels that are served.

rows (N, input_dim) float32 -> network -> centre crop -> uint8 -> pixels (N, side, side, C)
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model.generator_file import GeneratorFile
from model.images import HALF_RANGE
from model.networks.config import (
    FIRST_SIDE,
    DCGANConfig,
    ModulatedConfig,
    ResidualConfig,
    SNGANConfig,
    family_of,
    input_dim,
)
from model.networks.folding import fold, fold_class_norm, fold_convolution, fold_modulation

OPSET, IR_VERSION = 17, 9
LEAKY_SLOPE = 0.2
# ways of doubling a side
BILINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
NEAREST = {
    "mode": "nearest",
    "coordinate_transformation_mode": "asymmetric",
    "nearest_mode": "floor",
}

Weights = dict[str, NDArray[np.float32]]


class _Graph:
    """Nodes in the order of their creation, each fed by the one that is named."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def add(self, operation: str, source: str, *arrays: NDArray[Any], **attributes: Any) -> str:
        """Adds a node; returns its output's name."""
        target = f"{operation}{len(self.nodes)}"
        names = [f"{target}.{index}" for index in range(len(arrays))]
        self.constants.update(zip(names, arrays, strict=True))
        self.nodes.append(helper.make_node(operation, [source, *names], [target], **attributes))
        return target

    def join(self, operation: str, one: str, other: str) -> str:
        """Adds a node fed by two outputs; returns its own output's name."""
        target = f"{operation}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, [one, other], [target]))
        return target


def onnx_graph(file: GeneratorFile) -> bytes:
    """Serialises the model of a checked generator file."""
    config, side = file.config.network, file.config.crop
    graph = _Graph()
    x = BUILDERS[config.family](graph, config, file.weights)
    saturates = family_of(config).ends_in_tanh
    margin = (config.resolution - side) // 2
    if margin:
        first, last = np.full(2, margin, np.int64), np.full(2, margin + side, np.int64)
        x = graph.add("Slice", x, first, last, np.array([2, 3], np.int64))
    if saturates:
        x = graph.add("Tanh", x)
    # as images.to_pixels: the cast cuts what the half pixel has lifted
    x = graph.add("Mul", x, np.array(HALF_RANGE, np.float32))
    x = graph.add("Add", x, np.array(HALF_RANGE + 0.5, np.float32))
    if not saturates:
        x = graph.add("Clip", x, np.array(0, np.float32), np.array(255, np.float32))
    x = graph.add("Cast", x, to=TensorProto.UINT8)
    graph.add("Transpose", x, perm=[0, 2, 3, 1])
    graph.nodes[-1].output[0] = "pixels"

    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["N", input_dim(config)])
    shape: list[str | int | None] = ["N", side, side, config.channels]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape)
    tensors = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    made = helper.make_graph(graph.nodes, "generator", [rows], [pixels], tensors)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opset, ir_version=IR_VERSION)
    content: bytes = model.SerializeToString()
    return content


def _dense(
    graph: _Graph, width: int, weight: NDArray[Any], bias: NDArray[Any], source: str = "rows"
) -> str:
    x = graph.add("Gemm", source, weight, bias, transB=1)
    return graph.add("Reshape", x, np.array([-1, width, FIRST_SIDE, FIRST_SIDE], np.int64))


def _dcgan(graph: _Graph, config: DCGANConfig, weights: Weights) -> str:
    dense, *upsamples = fold(config, weights)
    x = _dense(graph, config.width, dense.weight, dense.bias)
    for layer in upsamples:
        x = graph.add("Relu", x)
        x = graph.add(
            "ConvTranspose",
            x,
            layer.weight,
            layer.bias,
            kernel_shape=[5, 5],
            strides=[2, 2],
            pads=[2, 2, 2, 2],
            output_padding=[1, 1],
        )
    return x


def _residual(graph: _Graph, config: ResidualConfig, weights: Weights) -> str:
    def convolution(source: str, name: str) -> str:
        return _convolution(graph, source, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def leaky(source: str) -> str:
        return graph.add("LeakyRelu", source, alpha=LEAKY_SLOPE)

    x = _dense(graph, config.width, weights["dense.weight"], weights["dense.bias"])
    for stage in range(config.stages + 1):
        if stage > 0:
            x = convolution(x, f"stages.{stage}.widen")
            x = _doubled(graph, x, **BILINEAR)
        for block in range(config.blocks if stage < config.stages else 0):
            name = f"stages.{stage}.blocks.{block}"
            inner = convolution(leaky(x), f"{name}.first")
            x = graph.join("Add", x, convolution(leaky(inner), f"{name}.second"))
    return convolution(leaky(x), "picture")


def _modulated(graph: _Graph, config: ModulatedConfig, weights: Weights) -> str:
    def convolution(source: str, name: str) -> str:
        weight = weights[f"{name}.weight"]
        bias = weights.get(f"{name}.bias", np.zeros(len(weight), np.float32))
        return _convolution(graph, source, weight, bias)

    def leaky(source: str) -> str:
        return graph.add("LeakyRelu", source, alpha=LEAKY_SLOPE)

    code = leaky(graph.add("Gemm", "rows", weights["code.weight"], weights["code.bias"], transB=1))

    def norm(source: str, name: str) -> str:
        for operation, layer in zip(("Mul", "Add"), fold_modulation(weights, name), strict=True):
            own = graph.add("Gemm", code, layer.weight, layer.bias, transB=1)
            own = graph.add("Reshape", own, np.array([-1, len(layer.bias), 1, 1], np.int64))
            source = graph.join(operation, source, own)
        return source

    x = _dense(graph, config.width, weights["dense.weight"], weights["dense.bias"])
    for stage, (before, width) in enumerate(itertools.pairwise(config.generator_widths)):
        name = f"stages.{stage}"
        inner = convolution(leaky(norm(x, f"{name}.first_norm")), f"{name}.first")
        inner = _doubled(graph, leaky(norm(inner, f"{name}.second_norm")), **NEAREST)
        straight = x if before == width else convolution(x, f"{name}.shortcut")
        straight = _doubled(graph, straight, **BILINEAR)
        x = graph.join("Add", convolution(inner, f"{name}.second"), straight)
    return convolution(leaky(x), "picture")


def _sngan(graph: _Graph, config: SNGANConfig, weights: Weights) -> str:
    def columns(first: int, last: int) -> str:
        return graph.add("Slice", "rows", *(np.array([at], np.int64) for at in (first, last, 1)))

    z = classes = "rows"
    if config.classes:
        z, classes = columns(0, config.z_dim), columns(config.z_dim, input_dim(config))

    def convolution(source: str, name: str) -> str:
        return _convolution(graph, source, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(source: str, name: str) -> str:
        layer = fold_class_norm(weights, name)
        for operation, values in (("Mul", layer.weight), ("Add", layer.bias)):
            if values.ndim == 1:
                source = graph.add(operation, source, values[:, None, None])
            else:
                own = graph.add("Gemm", classes, values, transB=1)
                own = graph.add("Reshape", own, np.array([-1, len(values), 1, 1], np.int64))
                source = graph.join(operation, source, own)
        return source

    def doubled(source: str) -> str:
        return _doubled(graph, source, **NEAREST)

    x = _dense(graph, config.width, weights["dense.weight"], weights["dense.bias"], z)
    for stage, side in enumerate(config.sides):
        name = f"stages.{stage}"
        inner = doubled(graph.add("Relu", norm(x, f"{name}.first_norm")))
        if config.classes:
            inner = norm(convolution(inner, f"{name}.first"), f"{name}.second_norm")
        else:
            layer = fold_convolution(weights, f"{name}.first", f"{name}.second_norm")
            inner = _convolution(graph, inner, layer.weight, layer.bias)
        inner = convolution(graph.add("Relu", inner), f"{name}.second")
        x = graph.join("Add", inner, doubled(convolution(x, f"{name}.shortcut")))
        if side == config.attention:
            x = _attention(graph, x, side, weights)
    return convolution(graph.add("Relu", norm(x, "norm")), "picture")


def _attention(graph: _Graph, x: str, side: int, weights: Weights) -> str:
    """Adds self-attention, its gate folded into the last convolution."""

    def looked_at(part: str, pooled: bool) -> str:
        weight, bias = (weights[f"attention.{part}.{kind}"] for kind in ("weight", "bias"))
        found, places = _convolution(graph, x, weight, bias), side**2
        if pooled:
            found = graph.add("MaxPool", found, kernel_shape=[2, 2], strides=[2, 2])
            places //= 4
        return graph.add("Reshape", found, np.array([0, len(weight), places], np.int64))

    query = graph.add("Transpose", looked_at("query", False), perm=[0, 2, 1])
    value = graph.add("Transpose", looked_at("value", True), perm=[0, 2, 1])
    likeness = graph.add("Softmax", graph.join("MatMul", query, looked_at("key", True)), axis=2)
    found = graph.add("Transpose", graph.join("MatMul", likeness, value), perm=[0, 2, 1])
    weight, bias = (weights[f"attention.out.{part}"] for part in ("weight", "bias"))
    gate = weights["attention.gate"]
    found = graph.add("Reshape", found, np.array([0, weight.shape[1], side, side], np.int64))
    return graph.join("Add", x, _convolution(graph, found, weight * gate, bias * gate))


def _convolution(graph: _Graph, source: str, weight: NDArray[Any], bias: NDArray[Any]) -> str:
    side = weight.shape[2]
    pads = [side // 2] * 4
    return graph.add("Conv", source, weight, bias, kernel_shape=[side, side], pads=pads)


def _doubled(graph: _Graph, source: str, **modes: str) -> str:
    """Doubles the side."""
    target = f"Resize{len(graph.nodes)}"
    graph.constants[f"{target}.scales"] = np.array([1, 1, 2, 2], np.float32)
    graph.nodes.append(
        helper.make_node("Resize", [source, "", f"{target}.scales"], [target], **modes)
    )
    return target


BUILDERS: dict[str, Callable[[_Graph, Any, Weights], str]] = {  # up to the last convolution
    "dcgan": _dcgan,
    "residual": _residual,
    "modulated": _modulated,
    "sngan": _sngan,
}
