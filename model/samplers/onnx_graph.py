"""A generator as a serialised ONNX model, from rows of its input to the pixels that are served.

rows (N, input_dim) float32 -> network -> centre crop -> uint8 -> pixels (N, side, side, C)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from model.generator_file import GeneratorFile
from model.images import HALF_RANGE
from model.integers.onnx_graph import integer_graph
from model.integers.trace import steps_of
from model.networks.graph import Graph

OPSET, IR_VERSION = 17, 9


def onnx_graph(file: GeneratorFile) -> bytes:
    """Serialises the model of a checked model folder."""
    config, side = file.config.network, file.config.crop
    if file.config.is_integer:
        return integer_graph(steps_of(config), file.tensors, config.input_dim, side)
    graph = Graph(file.weights)
    x = config.build(graph)
    margin = (config.resolution - side) // 2
    if margin:
        first, last = np.full(2, margin, np.int64), np.full(2, margin + side, np.int64)
        x = graph.add("Slice", x, first, last, np.array([2, 3], np.int64))
    if config.ends_in_tanh:
        x = graph.add("Tanh", x)
    # as images.to_pixels: the cast cuts what the half pixel has lifted
    x = graph.add("Mul", x, np.array(HALF_RANGE, np.float32))
    x = graph.add("Add", x, np.array(HALF_RANGE + 0.5, np.float32))
    if not config.ends_in_tanh:
        x = graph.add("Clip", x, np.array(0, np.float32), np.array(255, np.float32))
    x = graph.add("Cast", x, to=TensorProto.UINT8)
    graph.add("Transpose", x, perm=[0, 2, 3, 1])
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["N", config.input_dim])
    return serialised(
        graph, "generator", rows, picture_batch("pixels", side, side, config.channels)
    )


def picture_batch(name: str, *sides: str | int | None) -> Any:
    """Describes pictures (N, H, W, C) uint8 by height, width and channels."""
    shape: Sequence[str | int | None] = ["N", *sides]
    return helper.make_tensor_value_info(name, TensorProto.UINT8, shape)


def serialised(graph: Graph, name: str, source: Any, target: Any) -> bytes:
    """Serialises a model whose last node gives what `target` describes."""
    graph.nodes[-1].output[0] = target.name
    tensors = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    made = helper.make_graph(graph.nodes, name, [source], [target], tensors)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opset, ir_version=IR_VERSION)
    content: bytes = model.SerializeToString()
    return content
