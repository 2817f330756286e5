"""An upscaler on a device, whichever runtime is behind it: pictures in, larger ones out.

pixels (N, H, W, C) uint8, scale -> runtime -> (N, scale H, scale W, C) uint8

The CPU is served by ONNX Runtime, without torch, CUDA by PyTorch; in float32, or in integers,
which give the same bytes on both. A picture
depends on nothing that shares its batch: `check_upscaler` sees to it before anything is served.
"""

import importlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.devices import Precision, may_have_cuda
from model.generator_file import GeneratorFile
from model.integers import reference
from model.samplers.sampler import (
    GOLDEN_LEVELS,
    UnequalBytesError,
    WrongPictureError,
    has_torch,
    levels_off,
    load_sampler,
    unlike,
)
from model.upscaling.onnx_upscaler import OnnxUpscaler
from model.upscaling.upscaler_file import Upscale, UpscalerFile, noise, remembered

CHECKED_SIDE = 8  # pixels per side of the pictures that `check_upscaler` compares


def load_upscale(file: UpscalerFile, device: str = "auto", threads: int = 1) -> Upscale:
    """Loads an upscaler where `load_sampler` loads the generator.

    Raises:
        DeviceError: the device is unknown or not on this machine.
    """
    if device != "cpu" and has_torch() and may_have_cuda():
        # imported by name: a service on the CPU must not pay for torch
        cuda = importlib.import_module(".cuda", __package__)
        if upscale := cuda.load_on_cuda(file, device):
            found: Upscale = upscale
            return found
    return OnnxUpscaler(file, threads)


def check_upscaler(upscale: Upscale, file: UpscalerFile, batches: Sequence[int]) -> None:
    """Enlarges some pictures alone and in batches of each of these sizes, and what the file
    remembers.

    Raises:
        UnequalBytesError: a picture's bytes depend on its batch.
        WrongPictureError: the pictures that the file remembers are others.
    """
    _check_golden(upscale, file)
    network = file.header.network
    shape = (max(batches), CHECKED_SIDE, CHECKED_SIDE, network.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    for scale in file.scales:
        alone = np.concatenate([upscale(pixels[i : i + 1], scale) for i in range(len(pixels))])
        for size in batches:
            if not np.array_equal(upscale(pixels[:size], scale), alone[:size]):
                raise UnequalBytesError(
                    f"a picture enlarged in a batch of {size} differs from the same one enlarged "
                    "alone; this runtime cannot keep the promise of a seed"
                )


def _check_golden(upscale: Upscale, file: UpscalerFile) -> None:
    name, header = f"upscaler {file.hash}", file.header
    if not header.golden:
        return
    found = remembered(upscale, header)
    if header.is_integer:
        if found.hex() != header.golden:
            raise WrongPictureError(
                f"{name}: a picture is not enlarged as when it was written, byte for byte; "
                f"{_unlike(upscale, file)}"
            )
        return
    off, allowed = (
        levels_off(name, np.frombuffer(found, np.uint8), header.golden),
        GOLDEN_LEVELS["fp32"],
    )
    if off > allowed:
        raise WrongPictureError(
            f"{name}: a picture is not enlarged as when it was written (up to "
            f"{off} of 255 levels off; allowed: {allowed})"
        )


def _unlike(upscale: Upscale, file: UpscalerFile) -> str:
    """Says where enlargements are not those of docs/integers.md, at the first scale where."""
    network, told = file.header.network, ""
    pixels = noise(network.channels)
    for scale in file.scales:
        found = upscale(pixels, scale)
        wanted = reference.enlarge(network.steps(scale), file.tensors, pixels)
        told = f"{scale}x: {unlike(found, wanted)}"
        if not np.array_equal(found, wanted):
            break
    return told


class UpscalingSampler:
    """A generator on a device, with its upscaler, which is loaded when it is first wanted."""

    def __init__(
        self, file: GeneratorFile, device: str, precision: Precision = "fp32", threads: int = 1
    ) -> None:
        """Loads the generator.

        Raises:
            DeviceError, WrongPictureError: as `load_sampler`.
        """
        self._file, self._device, self._threads = file, device, threads
        self._sampler = load_sampler(file, device, precision, threads)

    def __call__(self, rows: NDArray[np.float32], scale: int = 1) -> NDArray[np.uint8]:
        """Generates pictures (N, scale side, scale side, C) of rows (N, input_dim)."""
        pixels = self._sampler(rows)
        return pixels if scale == 1 else self.upscale(pixels, scale)

    @cached_property
    def upscale(self) -> Upscale:
        """The upscaler, of a generator that has one."""
        assert self._file.upscaler is not None
        return load_upscale(self._file.upscaler, self._device, self._threads)
