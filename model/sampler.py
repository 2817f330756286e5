"""A generator on a device: latents in, pictures out.

    z (N, z_dim) float32  ->  fixed batches on the device  ->  (N, side, side, C) uint8

The network always runs on batches of one size, short ones filled up with zeros: a library may
choose another kernel for another size, and with it other last bits. So a picture does not depend on
who shares its batch.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from model import images
from model.generator_file import GeneratorFile
from model.networks.dcgan import Generator

FIXED_BATCH = 8


class DeviceError(Exception):
    """The device asked for is not there; the message says which are."""


def resolve_device(name: str) -> torch.device:
    """The device of `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceError: the name is none of these, or the machine has no such device.
    """
    count = torch.cuda.device_count()
    known = ["cpu", *(["cuda"] if count else []), *(f"cuda:{index}" for index in range(count))]
    if name == "auto":
        return torch.device("cuda" if count else "cpu")
    if name not in known:
        raise DeviceError(
            f"device {name!r} is not on this machine; allowed: auto, {', '.join(known)}"
        )
    return torch.device(name)


class Sampler(Protocol):
    """What the service asks of a generator, whichever runtime is behind it."""

    z_dim: int

    def __call__(self, z: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Pictures (N, side, side, C) of latents (N, z_dim)."""


class TorchSampler:
    """A PyTorch generator in inference mode."""

    def __init__(self, generator: Generator, picture_side: int, device: torch.device) -> None:
        self.z_dim = generator.config.z_dim
        self._generator = generator.to(device).eval().requires_grad_(False)
        self._side = picture_side
        self._device = device

    def __call__(self, z: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Pictures (N, side, side, C) of latents (N, z_dim); N may be any number from 0."""
        shape = (self._side, self._side, self._generator.config.channels)
        pixels = np.empty((len(z), *shape), np.uint8)
        for start in range(0, len(z), FIXED_BATCH):
            part = z[start : start + FIXED_BATCH]
            pixels[start : start + len(part)] = self._run(part)[: len(part)]
        return pixels

    def _run(self, part: NDArray[np.float32]) -> NDArray[np.uint8]:
        batch = np.zeros((FIXED_BATCH, self.z_dim), np.float32)
        batch[: len(part)] = part
        with torch.inference_mode():
            floats = self._generator(torch.from_numpy(batch).to(self._device)).float().cpu().numpy()
        return images.crop_center(images.to_pixels(floats), self._side)


def load_sampler(file: GeneratorFile, device: torch.device) -> TorchSampler:
    """The sampler of a checked generator file, its weights in float32 on the device."""
    generator = Generator(file.config.network)
    state = {name: torch.from_numpy(value) for name, value in file.weights.items()}
    # the counters of batch norm are no part of the file: inference does not read them
    generator.load_state_dict(state, strict=False)
    return TorchSampler(generator, file.config.crop, device)


def generator_weights(generator: Generator) -> dict[str, NDArray[np.float32]]:
    """The tensors that a generator file holds, by name."""
    return {
        name: value.detach().float().cpu().numpy()
        for name, value in generator.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
