"""The CPU's runtime: a generator file's weights as an ONNX graph, run by ONNX Runtime. No torch.

    z -> Gemm -> (ReLU -> ConvTranspose) per doubling -> centre crop -> tanh -> uint8 -> (N, side,
    side, C)

The graph is built in memory from the same safetensors as everything else. ONNX Runtime draws the
same bits in any batch and with any number of threads.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model.generator_file import GeneratorFile
from model.images import HALF_RANGE
from model.networks.config import FIRST_SIDE
from model.networks.folding import fold

# ONNX Runtime's Linux builds report to their maker unless told not to before they are loaded
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime  # type: ignore[import-untyped]  # it ships no types

OPSET, IR_VERSION = 17, 9


class OnnxSampler:
    """A generator on the CPU, float32."""

    def __init__(self, file: GeneratorFile, threads: int = 1) -> None:
        self.z_dim = file.config.network.z_dim
        self._shape = (file.config.crop, file.config.crop, file.config.network.channels)
        self._threads = threads
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # a thread that spins while it waits is CPU time that the encoder and the event loop need
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            onnx_graph(file), options, providers=["CPUExecutionProvider"]
        )

    def __str__(self) -> str:
        return f"cpu (ONNX Runtime, fp32, {self._threads} threads)"

    def __call__(self, z: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Pictures (N, side, side, C) of latents (N, z_dim); N may be any number from 0."""
        if len(z) == 0:
            return np.empty((0, *self._shape), np.uint8)
        pixels: NDArray[np.uint8] = self._session.run(["pixels"], {"z": z})[0]
        return pixels


def onnx_graph(file: GeneratorFile) -> bytes:
    """The generator as a serialised ONNX model, from latents to the pixels that are served."""
    config, side = file.config.network, file.config.crop
    margin = (config.resolution - side) // 2
    nodes: list[Any] = []
    constants: dict[str, NDArray[Any]] = {}

    def add(operation: str, source: str, *arrays: NDArray[Any], **attributes: Any) -> str:
        target = f"{operation}{len(nodes)}"
        names = [f"{target}.{index}" for index in range(len(arrays))]
        constants.update(zip(names, arrays, strict=True))
        nodes.append(helper.make_node(operation, [source, *names], [target], **attributes))
        return target

    dense, *upsamples = fold(config, file.weights)
    x = add("Gemm", "z", dense.weight, dense.bias, transB=1)
    x = add("Reshape", x, np.array([-1, config.width, FIRST_SIDE, FIRST_SIDE], np.int64))
    for layer in upsamples:
        x = add("Relu", x)
        x = add(
            "ConvTranspose",
            x,
            layer.weight,
            layer.bias,
            kernel_shape=[5, 5],
            strides=[2, 2],
            pads=[2, 2, 2, 2],
            output_padding=[1, 1],
        )
    first, last = np.full(2, margin, np.int64), np.full(2, margin + side, np.int64)
    x = add("Slice", x, first, last, np.array([2, 3], np.int64))
    x = add("Tanh", x)
    # as images.to_pixels: the cast cuts what the half pixel has lifted
    x = add("Mul", x, np.array(HALF_RANGE, np.float32))
    x = add("Add", x, np.array(HALF_RANGE + 0.5, np.float32))
    x = add("Cast", x, to=TensorProto.UINT8)
    x = add("Transpose", x, perm=[0, 2, 3, 1])
    nodes[-1].output[0] = "pixels"

    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", config.z_dim])
    shape: list[str | int | None] = ["N", side, side, config.channels]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape)
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "generator", [z], [pixels], tensors)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    content: bytes = model.SerializeToString()
    return content
