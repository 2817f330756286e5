"""A generator as a serialised ONNX model, from rows of its input to the pixels that are served.

rows (N, input_dim) float32 -> network -> centre crop -> uint8 -> pixels (N, side, side, C)
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model.generator_file import GeneratorFile
from model.images import HALF_RANGE
from model.networks.config import FIRST_SIDE, DCGANConfig, ResidualConfig, input_dim
from model.networks.folding import fold

OPSET, IR_VERSION = 17, 9
LEAKY_SLOPE = 0.2

Weights = dict[str, NDArray[np.float32]]


class _Graph:
    """Nodes in the order of their making, each fed by the one that is named."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def add(self, operation: str, source: str, *arrays: NDArray[Any], **attributes: Any) -> str:
        """One more node: its output's name."""
        target = f"{operation}{len(self.nodes)}"
        names = [f"{target}.{index}" for index in range(len(arrays))]
        self.constants.update(zip(names, arrays, strict=True))
        self.nodes.append(helper.make_node(operation, [source, *names], [target], **attributes))
        return target

    def sum(self, one: str, other: str) -> str:
        """The sum of two outputs."""
        target = f"Add{len(self.nodes)}"
        self.nodes.append(helper.make_node("Add", [one, other], [target]))
        return target


def onnx_graph(file: GeneratorFile) -> bytes:
    """The serialised model of a checked generator file."""
    config, side = file.config.network, file.config.crop
    graph = _Graph()
    if isinstance(config, ResidualConfig):
        x = _residual(graph, config, file.weights)
    else:
        x = _dcgan(graph, config, file.weights)
    margin = (config.resolution - side) // 2
    if margin:
        first, last = np.full(2, margin, np.int64), np.full(2, margin + side, np.int64)
        x = graph.add("Slice", x, first, last, np.array([2, 3], np.int64))
    if isinstance(config, DCGANConfig):
        x = graph.add("Tanh", x)
    # as images.to_pixels: the cast cuts what the half pixel has lifted
    x = graph.add("Mul", x, np.array(HALF_RANGE, np.float32))
    x = graph.add("Add", x, np.array(HALF_RANGE + 0.5, np.float32))
    if isinstance(config, ResidualConfig):
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


def _dense(graph: _Graph, width: int, weight: NDArray[Any], bias: NDArray[Any]) -> str:
    x = graph.add("Gemm", "rows", weight, bias, transB=1)
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
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        side = weight.shape[2]
        pads = [side // 2] * 4
        return graph.add("Conv", source, weight, bias, kernel_shape=[side, side], pads=pads)

    def leaky(source: str) -> str:
        return graph.add("LeakyRelu", source, alpha=LEAKY_SLOPE)

    x = _dense(graph, config.width, weights["dense.weight"], weights["dense.bias"])
    for stage in range(config.stages):
        if stage > 0:
            x = convolution(x, f"stages.{stage}.widen")
            x = _doubled(graph, x)
        for block in range(config.blocks):
            name = f"stages.{stage}.blocks.{block}"
            inner = convolution(leaky(x), f"{name}.first")
            x = graph.sum(x, convolution(leaky(inner), f"{name}.second"))
    x = convolution(leaky(x), "picture")
    return graph.add("DepthToSpace", x, blocksize=2, mode="CRD")


def _doubled(graph: _Graph, source: str) -> str:
    """Bilinear, twice the side."""
    target = f"Resize{len(graph.nodes)}"
    graph.constants[f"{target}.scales"] = np.array([1, 1, 2, 2], np.float32)
    graph.nodes.append(
        helper.make_node(
            "Resize",
            [source, "", f"{target}.scales"],
            [target],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )
    )
    return target
