"""The generator in one runtime and precision: a name in, a callable z -> images out.

Each runtime needs its own package only when it is asked for. All but `ours` answer floats
(N, 1, 32, 32) in [-1, 1]; `ours` is the service's own sampler and answers the final pixels
(N, 28, 28, 1) uint8, so its figures include the conversion and the crop.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
import torch
from numpy.typing import NDArray

from benchmarks.noop import ZOO_MNIST
from benchmarks.onnx_model import onnx_bytes
from model.devices import Precision
from model.generator_file import GeneratorFile, read_generator_file
from model.networks.config import FIRST_SIDE
from model.networks.dcgan import Generator
from model.networks.families.dcgan import DCGANConfig
from model.samplers.sampler import load_sampler

Latents = NDArray[np.float32]
Run = Callable[[Latents], NDArray[Any]]

KERNEL_TAPS = 25


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """One way to run the generator; `make` takes the file and the number of threads."""

    name: str
    precision: str
    make: Callable[[GeneratorFile, int], Run]
    package: str = "torch"  # what must be installed


def shipped() -> GeneratorFile:
    """Returns the generator that is measured."""
    return read_generator_file(ZOO_MNIST)


def dcgan(file: GeneratorFile) -> DCGANConfig:
    """Returns the shape of a file's network, which is of the family that is measured here."""
    network = file.config.network
    assert isinstance(network, DCGANConfig)
    return network


def multiply_adds(network: DCGANConfig) -> int:
    """Counts those of one picture, with every tap of every transposed convolution."""
    widths, side = network.generator_widths, FIRST_SIDE
    total = network.z_dim * network.width * side**2
    for wide, narrow in itertools.pairwise(widths):
        total += side**2 * wide * narrow * KERNEL_TAPS
        side *= 2
    return total


def torch_generator(file: GeneratorFile) -> Generator:
    """Returns the network of the repository with the file's weights, ready for inference."""
    generator = Generator(dcgan(file))
    state = {name: torch.from_numpy(value.copy()) for name, value in file.weights.items()}
    generator.load_state_dict(state, strict=False)  # the file leaves out batch norm's counters
    return generator.eval().requires_grad_(False)


def _eager(dtype: torch.dtype) -> Callable[[GeneratorFile, int], Run]:
    def make(file: GeneratorFile, threads: int) -> Run:
        torch.set_num_threads(threads)
        generator = torch_generator(file).to(dtype)

        def run(z: Latents) -> NDArray[Any]:
            with torch.inference_mode():
                return _array(generator(torch.from_numpy(z).to(dtype)))

        return run

    return make


def _compiled(dtype: torch.dtype) -> Callable[[GeneratorFile, int], Run]:
    def make(file: GeneratorFile, threads: int) -> Run:
        import torch._inductor.config as inductor

        torch.set_num_threads(threads)
        inductor.freezing = True
        generator = torch.compile(torch_generator(file).to(dtype), dynamic=False)

        def run(z: Latents) -> NDArray[Any]:
            with torch.no_grad():
                return _array(generator(torch.from_numpy(z).to(dtype)))

        return run

    return make


def _array(images: torch.Tensor) -> NDArray[np.float32]:
    floats: NDArray[np.float32] = images.float().numpy()
    return floats


def _onnxruntime(file: GeneratorFile, threads: int) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    content = onnx_bytes(dcgan(file), file.weights)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda z: session.run(["images"], {"z": z})[0]


def _openvino(precision: str) -> Callable[[GeneratorFile, int], Run]:
    def make(file: GeneratorFile, threads: int) -> Run:
        import openvino

        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise RuntimeError("this processor has no bf16 arithmetic that OpenVINO would use")
        model = core.read_model(onnx_bytes(dcgan(file), file.weights))
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": precision,
        }
        request = core.compile_model(model, "CPU", options).create_infer_request()
        return lambda z: request.infer({"z": z})["images"]

    return make


def _ours(precision: Precision) -> Callable[[GeneratorFile, int], Run]:
    return lambda file, threads: load_sampler(file, "cpu", precision, threads)


RUNTIMES = (
    Runtime(name="torch eager", precision="fp32", make=_eager(torch.float32)),
    Runtime(name="torch eager", precision="bf16", make=_eager(torch.bfloat16)),
    Runtime(name="torch.compile frozen", precision="fp32", make=_compiled(torch.float32)),
    Runtime(name="torch.compile frozen", precision="bf16", make=_compiled(torch.bfloat16)),
    Runtime(name="ONNX Runtime", precision="fp32", make=_onnxruntime),
    Runtime(name="OpenVINO", precision="fp32", make=_openvino("f32"), package="openvino"),
    Runtime(name="OpenVINO", precision="bf16", make=_openvino("bf16"), package="openvino"),
    Runtime(name="ours", precision="fp32", make=_ours("fp32")),
    Runtime(name="ours", precision="bf16", make=_ours("bf16")),
)
