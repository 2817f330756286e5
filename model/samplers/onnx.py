"""The CPU's runtime: a model folder's weights as an ONNX graph, run by ONNX Runtime. No torch.

    rows -> Gemm -> the family's layers -> centre crop -> uint8 -> (N, side, side, C)

The graph is built in memory from the same safetensors as everything else (`onnx_graph`). ONNX
Runtime generates the same bits in any batch and with any number of threads.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.generator_file import GeneratorFile
from model.integers.steps import LARGEST_LATENT
from model.samplers.onnx_graph import onnx_graph

# ONNX Runtime's Linux builds report to their maker unless told not to before they are loaded
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime  # type: ignore[import-untyped]  # it ships no types

TOGETHER = 16  # pictures of one run: more take more memory, and no less time
INTEGERS_TOGETHER = 4  # the same of an integer generator, whose time is that of its memory
MOST_WASTE = 1.25  # threads' time over useful time, where a batch does not divide

Run = Callable[[onnxruntime.InferenceSession, NDArray[Any]], NDArray[Any]]


class Runtime:
    """A graph on the CPU, run by `run` on a batch.

    A batch is cut into as many pieces as there are threads, each computed by one thread alone:
    that costs less than threads that share every layer. Where it would leave threads idle, as with
    one picture, they do share.
    """

    def __init__(self, graph: bytes, threads: int, run: Run, name: str) -> None:
        self._threads, self._run = threads, run
        self._alone = session(graph, 1)
        self._shared = session(graph, threads) if threads > 1 else self._alone
        self._helpers = ThreadPoolExecutor(max(1, threads - 1), name)

    def __call__(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Computes what the graph makes of a batch of any number from 1."""
        pieces = shares(len(batch), self._threads)
        if not pieces:
            return self._run(self._shared, batch)
        first, *others = pieces
        running = [self._helpers.submit(self._run, self._alone, batch[part]) for part in others]
        parts = [self._run(self._alone, batch[first]), *(part.result() for part in running)]
        return np.concatenate(parts) if others else parts[0]


class OnnxSampler:
    """A generator on the CPU, in float32 or in integers."""

    def __init__(self, file: GeneratorFile, threads: int = 1) -> None:
        self.input_dim = file.config.network.input_dim
        self._shape = (file.config.crop, file.config.crop, file.config.network.channels)
        self._threads, self._numbers = threads, "int8" if file.config.is_integer else "fp32"
        together = INTEGERS_TOGETHER if file.config.is_integer else TOGETHER
        run = partial(generate, together=together)
        self._runtime = Runtime(onnx_graph(file), threads, run, "generator")

    def __str__(self) -> str:
        return f"cpu (ONNX Runtime, {self._numbers}, {self._threads} threads)"

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Generates pictures (N, side, side, C) of rows (N, input_dim); N is any number from 0.

        Raises:
            ValueError: a value is beyond what an integer generator takes.
        """
        if self._numbers == "int8" and np.abs(rows).max(initial=0) > LARGEST_LATENT:
            raise ValueError(f"a value of the rows is beyond {LARGEST_LATENT:,}")
        return self._runtime(rows) if len(rows) else np.empty((0, *self._shape), np.uint8)


def shares(count: int, threads: int) -> list[slice]:
    """Cuts a batch into a piece for each thread; into none where that would leave threads idle,
    which had better share every picture.
    """
    longest = -(-count // threads)
    if longest * threads > MOST_WASTE * count or not count:
        return []
    return [slice(start, start + longest) for start in range(0, count, longest)]


def session(graph: bytes | Path, threads: int) -> onnxruntime.InferenceSession:
    """Opens ONNX Runtime with a model, or with the file of one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it keeps what the largest batch took, and saves no time
    # a thread that spins while it waits is CPU time that the encoder and the event loop need
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def generate(
    session: onnxruntime.InferenceSession, rows: NDArray[np.float32], together: int = TOGETHER
) -> NDArray[np.uint8]:
    """Generates pictures (N, side, side, C) of rows (N, input_dim), see `in_parts`."""
    return in_parts(session, "rows", rows, "pixels", together)


def in_parts(
    session: onnxruntime.InferenceSession,
    source: str,
    batch: NDArray[Any],
    target: str,
    together: int = TOGETHER,
) -> NDArray[Any]:
    """Computes the output `target` of a batch, so many at a time that the memory for feature maps,
    which ONNX Runtime keeps, stays small.
    """
    parts = [
        session.run([target], {source: batch[start : start + together]})[0]
        for start in range(0, max(1, len(batch)), together)
    ]
    found: NDArray[Any] = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return found
