"""PyTorch's runtimes: bfloat16 on the CPU, CUDA devices (see `sampler_cuda`), and the plain network
that every other runtime is held against.

Where a library chooses another kernel for another batch size, and with it other last bits, the
network always runs on batches of one size, short ones filled up with zeros.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import images
from model.devices import NO_MPS, DeviceError, Precision
from model.generator_file import GeneratorFile
from model.integers.pytorch import IntegerNetwork
from model.networks.pytorch import Generator, new_generator
from model.samplers.cuda import CudaSampler

CPU_BATCH, CUDA_BATCH = 8, 64  # fixed sizes of the plain network


class TorchSampler:
    """A sampler around any function from rows to images in [-1, 1], on a device."""

    def __init__(
        self,
        generate: Callable[[Tensor], Tensor],
        *,
        input_dim: int,
        shape: tuple[int, int, int],
        device: torch.device,
        fixed_batch: int | None,
    ) -> None:
        self.input_dim = input_dim
        self._generate = generate
        self._shape = shape
        self._device = device
        self._fixed_batch = fixed_batch

    def __str__(self) -> str:
        return f"{self._device} (PyTorch)"

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Generates pictures (N, side, side, C) of rows (N, input_dim); N is any number from 0."""
        pixels = np.empty((len(rows), *self._shape), np.uint8)
        size = self._fixed_batch or max(1, len(rows))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            pixels[start : start + len(part)] = self._run(part, size)[: len(part)]
        return pixels

    def _run(self, part: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
        batch = np.zeros((size, self.input_dim), np.float32)
        batch[: len(part)] = part
        with torch.inference_mode():
            floats = self._generate(torch.from_numpy(batch).to(self._device)).float().cpu().numpy()
        return images.crop_center(images.to_pixels(floats), self._shape[0])


def plain_sampler(generator: Generator, crop: int, device: torch.device) -> TorchSampler:
    """Makes a sampler of the network as it is, in inference mode: the reference, and what training
    looks at. Takes the module over.
    """
    network = generator.to(device).eval().requires_grad_(False)
    return TorchSampler(
        network,
        input_dim=generator.config.input_dim,
        shape=(crop, crop, generator.config.channels),
        device=device,
        fixed_batch=CPU_BATCH if device.type == "cpu" else CUDA_BATCH,
    )


def load_torch_sampler(
    file: GeneratorFile, device: str, precision: Precision, threads: int
) -> TorchSampler | CudaSampler:
    """Loads a model folder in this precision.

    Raises:
        DeviceError: the device is unknown or not on this machine.
    """
    place = resolve_device(device)
    if place.type == "cpu":
        torch.set_num_threads(threads)
    config = file.config.network
    shape = (file.config.crop, file.config.crop, config.channels)
    if file.config.is_integer:
        network = load_generator(file).to(place)
        if place.type == "cuda":
            return CudaSampler(network, input_dim=config.input_dim, shape=shape, device=place)
        return TorchSampler(
            network, input_dim=config.input_dim, shape=shape, device=place, fixed_batch=None
        )
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    generator = load_generator(file).folded().to(place, dtype).eval().requires_grad_(False)

    def generate(rows: Tensor) -> Tensor:
        images: Tensor = generator(rows.to(dtype)).float()
        return images

    if place.type == "cuda":
        return CudaSampler(generate, input_dim=config.input_dim, shape=shape, device=place)
    # on the CPU, bfloat16 generates the same bits in any batch
    fixed = CPU_BATCH if precision == "fp32" else None
    return TorchSampler(
        generate, input_dim=config.input_dim, shape=shape, device=place, fixed_batch=fixed
    )


def load_generator(file: GeneratorFile) -> Generator:
    """Makes the network of a checked model folder, with its weights."""
    config = file.config.network
    if file.config.is_integer:
        return IntegerNetwork(config, file.tensors)
    generator = new_generator(config.served())
    tensors = {name: torch.from_numpy(value) for name, value in file.weights.items()}
    generator.load_state_dict(tensors, strict=False)  # batch norms count batches, files do not
    return generator


def resolve_device(name: str) -> torch.device:
    """Returns the device of auto (CUDA where there is one, else the CPU), cpu, cuda or cuda:N.

    Raises:
        DeviceError: the name is none of these, or the machine has no such device.
    """
    count = torch.cuda.device_count()
    known = ["cpu", *(["cuda"] if count else []), *(f"cuda:{index}" for index in range(count))]
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    if name not in known:
        allowed = ", ".join(known)
        wrong = NO_MPS if name.startswith("mps") else f"device {name!r} is not on this machine"
        raise DeviceError(f"{wrong}; allowed: auto, {allowed}")
    return torch.device(name)


def computes_bf16(device: torch.device) -> bool:
    """Returns whether a device computes bfloat16 at least as fast as float32: every GPU does, a CPU
    only with AMX. With AVX-512 alone training takes 1.5 times as long, without it ten times.
    """
    return device.type != "cpu" or torch.cpu._is_amx_tile_supported()


def generator_weights(generator: Generator) -> dict[str, NDArray[np.float32]]:
    """Returns the tensors that a model folder holds, by name."""
    return {
        name: value.detach().float().cpu().numpy()
        for name, value in generator.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
