"""How fast this machine multiplies matrices: precision and threads in, multiply-adds/s out.

Libraries differ by two on the same processor, so several are asked and the fastest counts.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Matrix = NDArray[np.float32]

SIDE = 2048  # rows and columns of a matrix
REPEATS = 4  # at least


def peak(precision: str, threads: int, seconds: float) -> float:
    """Returns the best speed of any library's product of two square matrices."""
    torch.set_num_threads(threads)
    products = _torch_products(torch.bfloat16) if precision == "bf16" else _float_products(threads)
    return max(_speed(product, seconds) for product in products)


def _speed(product: Callable[[], object], seconds: float) -> float:
    walls: list[float] = []
    end = time.perf_counter() + seconds
    while len(walls) < REPEATS or time.perf_counter() < end:
        start = time.perf_counter()
        product()
        walls.append(time.perf_counter() - start)
    return SIDE**3 / min(walls)


def _torch_products(dtype: torch.dtype) -> Iterator[Callable[[], object]]:
    a, b = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    out = torch.empty(SIDE, SIDE, dtype=dtype)
    yield lambda: torch.mm(a, b, out=out)


def _float_products(threads: int) -> Iterator[Callable[[], object]]:
    yield from _torch_products(torch.float32)
    a, b = np.random.default_rng(0).random((2, SIDE, SIDE), np.float32)
    yield lambda: np.matmul(a, b)  # OPENBLAS_NUM_THREADS holds it to the threads
    yield _onnxruntime_product(a, b, threads)


def _onnxruntime_product(a: Matrix, b: Matrix, threads: int) -> Callable[[], object]:
    shape = [SIDE, SIDE]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(b, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(["c"], {"a": a})
