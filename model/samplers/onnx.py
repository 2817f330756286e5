"""The CPU's runtime: a model folder's weights as an ONNX graph, run by ONNX Runtime. No torch.

    rows -> Gemm -> the family's layers -> centre crop -> uint8 -> (N, side, side, C)

The graph is built in memory from the same safetensors as everything else (`onnx_graph`). ONNX
Runtime draws the same bits in any batch and with any number of threads.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.generator_file import GeneratorFile
from model.samplers.onnx_graph import onnx_graph

# ONNX Runtime's Linux builds report to their maker unless told not to before they are loaded
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime  # type: ignore[import-untyped]  # it ships no types

TOGETHER = 16  # pictures of one run: more take more memory, and no less time
MOST_WASTE = 1.25  # threads' time over useful time, where a batch does not divide


class OnnxSampler:
    """A generator on the CPU, float32.

    A batch is cut into as many pieces as there are threads, each drawn by one thread alone: that
    costs less than threads that share every layer. Where it would leave threads idle, as with one
    picture, they do share.
    """

    def __init__(self, file: GeneratorFile, threads: int = 1) -> None:
        self.input_dim = file.config.network.input_dim
        self._shape = (file.config.crop, file.config.crop, file.config.network.channels)
        self._threads = threads
        graph = onnx_graph(file)
        self._alone = session(graph, 1)
        self._shared = session(graph, threads) if threads > 1 else self._alone
        self._helpers = ThreadPoolExecutor(max(1, threads - 1), "generator")

    def __str__(self) -> str:
        return f"cpu (ONNX Runtime, fp32, {self._threads} threads)"

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Draws pictures (N, side, side, C) of rows (N, input_dim); N may be any number from 0."""
        if len(rows) == 0:
            return np.empty((0, *self._shape), np.uint8)
        longest = -(-len(rows) // self._threads)
        if longest * self._threads > MOST_WASTE * len(rows):
            return draw(self._shared, rows)
        first, *others = [rows[start : start + longest] for start in range(0, len(rows), longest)]
        running = [self._helpers.submit(draw, self._alone, part) for part in others]
        parts = [draw(self._alone, first), *(part.result() for part in running)]
        return np.concatenate(parts) if others else parts[0]


def session(graph: bytes | Path, threads: int) -> onnxruntime.InferenceSession:
    """Opens ONNX Runtime with a model, or with the file of one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it keeps what the largest batch took, and saves no time
    # a thread that spins while it waits is CPU time that the encoder and the event loop need
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def draw(session: onnxruntime.InferenceSession, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draws pictures (N, side, side, C) of rows (N, input_dim), so many at a time that the memory
    for feature maps, which ONNX Runtime keeps, stays small.
    """
    parts = [
        session.run(["pixels"], {"rows": rows[start : start + TOGETHER]})[0]
        for start in range(0, max(1, len(rows)), TOGETHER)
    ]
    pixels: NDArray[np.uint8] = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return pixels
