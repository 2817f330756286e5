"""ONNX Runtime on the file that `ganserve onnx` writes, and nothing else of ours: what anyone does
who takes the file elsewhere.
"""

import os

import onnxruntime  # type: ignore[import-untyped]  # it ships no types

from benchmarks.peers.generator import Draw


def load(threads: int) -> Draw:
    """Returns the file's session, with so many threads a batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # less CPU time a batch of 64, measured
    session = onnxruntime.InferenceSession(
        os.environ["ONNX_FILE"], options, providers=["CPUExecutionProvider"]
    )
    return lambda rows: session.run(["pixels"], {"rows": rows})[0]
