"""The generator as an ONNX model, written out node by node: weights in, the file's bytes out.

Needs no exporter: the article's network is a Gemm, then BatchNormalization, Relu and ConvTranspose
per doubling, then Tanh.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model.networks.config import FIRST_SIDE
from model.networks.families.dcgan import DCGANConfig

OPSET = 17
EPSILON = 1e-5  # batch norm's, as in PyTorch


def onnx_bytes(network: DCGANConfig, weights: dict[str, NDArray[np.float32]]) -> bytes:
    """Returns the model: input `z` (N, z_dim) -> output `images` (N, C, side, side) in [-1, 1]."""
    shape = np.array([-1, network.width, FIRST_SIDE, FIRST_SIDE], np.int64)
    nodes = [
        helper.make_node("Gemm", ["z", "dense.weight", "dense.bias"], ["flat"], transB=1),
        helper.make_node("Reshape", ["flat", "shape"], ["x0"]),
    ]
    doublings = len(network.generator_widths) - 1
    for index in range(doublings):
        norm, upsample = f"norms.{index}", f"upsamples.{index}"
        statistics = [
            f"{norm}.{name}" for name in ("weight", "bias", "running_mean", "running_var")
        ]
        nodes += [
            helper.make_node(
                "BatchNormalization", [f"x{index}", *statistics], [f"n{index}"], epsilon=EPSILON
            ),
            helper.make_node("Relu", [f"n{index}"], [f"r{index}"]),
            helper.make_node(
                "ConvTranspose",
                [f"r{index}", f"{upsample}.weight", f"{upsample}.bias"],
                [f"x{index + 1}"],
                strides=[2, 2],
                pads=[2, 2, 2, 2],
                output_padding=[1, 1],
            ),
        ]
    nodes.append(helper.make_node("Tanh", [f"x{doublings}"], ["images"]))
    tensors = {"shape": shape} | {
        name: np.ascontiguousarray(value, np.float32)
        for name, value in weights.items()
        if not name.endswith("num_batches_tracked")
    }
    side = network.resolution
    graph = helper.make_graph(
        nodes,
        "generator",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", network.z_dim])],
        [
            helper.make_tensor_value_info(
                "images", TensorProto.FLOAT, ["N", network.channels, side, side]
            )
        ],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
