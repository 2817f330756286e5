"""A generator on a device: rows in, pictures out, whichever runtime is behind it.

    rows (N, input_dim) float32  ->  runtime  ->  (N, side, side, C) uint8

A row is a latent, followed by a weight for each class where the generator has classes.

The CPU in float32 is served by ONNX Runtime, and torch is then never imported: a quick start and a
small process. CUDA, and bfloat16 anywhere, are served by PyTorch. A picture depends on its row
alone, not on what shares its batch: `check_bytes` sees to it before anything is served. An integer
generator's is the same on every machine: `check_rounding` and `check_golden` see to that.
"""

import importlib
import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.devices import DeviceError, Precision, may_have_cuda
from model.generator_file import INTEGER_GOLDEN, Generate, GeneratorFile, golden, remembered
from model.integers import probe, reference
from model.integers.trace import steps_of
from model.latent_space.latents import sample_latents
from model.mistakes import Mistake, install
from model.samplers.onnx import OnnxSampler

log = logging.getLogger("ganserve")

GOLDEN_LEVELS = {"fp32": 2, "bf16": 16}  # levels of 255 that a sixteenth of a picture may be off
ALONE = 16  # latents that `check_bytes` also generates one by one


class UnequalBytesError(Exception):
    """The runtime generates a latent differently alone and in a batch: it must not serve."""


class WrongPictureError(Mistake):
    """A seed's picture is another than it was when the model folder was written."""


class Sampler(Protocol):
    """What the service asks of a generator."""

    input_dim: int

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Generates pictures (N, side, side, C) of rows (N, input_dim); N is any number from 0."""


def load_sampler(
    file: GeneratorFile, device: str = "auto", precision: Precision = "fp32", threads: int = 1
) -> Sampler:
    """Loads the sampler of a checked model folder; one of integers must round as is defined.

    `device` is auto (CUDA where there is one, else the CPU), cpu, cuda or cuda:N; `threads` are
    those of one batch on the CPU. An integer generator has its own precision.

    Raises:
        DeviceError: the device is unknown or not on this machine, or wants PyTorch, which is not
        installed.
        WrongPictureError: as `check_rounding`.
    """
    load = partial(_load, device=device, precision=precision, threads=threads)
    check_rounding(load, file)
    return load(file)


def _load(file: GeneratorFile, device: str, precision: Precision, threads: int) -> Sampler:
    if device == "auto" and may_have_cuda() and not has_torch():
        log.warning("there is an NVIDIA GPU, but no PyTorch to use it: %s", install("gpu"))
        device = "cpu"
    if device == "cpu" or (device == "auto" and not may_have_cuda()):
        if precision == "fp32" or file.config.is_integer:
            return OnnxSampler(file, threads)
        device = "cpu"
    if not has_torch():
        raise DeviceError(
            f"device {device} in {precision} needs PyTorch, which is not installed: "
            f"{install('gpu')}"
        )
    # imported by name: a service on the CPU must not pay for torch
    pytorch = importlib.import_module(".pytorch", __package__)
    sampler: Sampler = pytorch.load_torch_sampler(file, device, precision, threads)
    return sampler


def has_torch() -> bool:
    """Tells whether PyTorch is installed, without importing it."""
    return importlib.util.find_spec("torch") is not None


def cuda_devices() -> int:
    """Counts the GPUs that PyTorch can use; imports it only where there may be some."""
    if not (may_have_cuda() and has_torch()):
        return 0
    count: int = importlib.import_module("torch").cuda.device_count()
    return count


def defined(file: GeneratorFile) -> Generate:
    """Returns what docs/integers.md makes of rows, of an integer generator."""
    steps = steps_of(file.config.network)
    return lambda rows: reference.draw(steps, file.tensors, rows, file.config.crop)


def check_golden(sampler: Sampler, file: GeneratorFile, precision: Precision) -> bool:
    """Generates the pictures that the file remembers; returns whether it remembers any.

    Raises:
        WrongPictureError: they are others.
    """
    config = file.config
    if not config.golden:
        return False
    if config.is_integer:
        if remembered(sampler, config).hex() != config.golden:
            rows = config.rows(range(INTEGER_GOLDEN))
            raise WrongPictureError(
                f"{config.id}: the pictures of its first seeds are not, byte for byte, those that "
                f"it was written with; {unlike(sampler(rows), defined(file)(rows))}"
            )
        return True
    allowed = GOLDEN_LEVELS[precision]
    off = levels_off(config.id, golden(sampler, config), config.golden)
    if off > allowed:
        raise WrongPictureError(
            f"{config.id}: the pictures of its first seeds are not those that it was written with "
            f"(up to {off} of 255 levels off; allowed: {allowed})"
        )
    return True


def check_rounding(load: Callable[[GeneratorFile], Sampler], file: GeneratorFile) -> None:
    """Draws, by what `load` makes of it, a network whose values lie where roundings part, and
    compares with the definition. Does nothing for a generator that is none of integers.

    Raises:
        WrongPictureError: a value is another.
    """
    if not file.config.is_integer:
        return
    network, rows = probe.NETWORK, probe.rows()
    config = file.config.model_copy(update={"network": network, "crop": network.resolution})
    asked = replace(file, config=config, tensors=probe.tensors())
    found, wanted = load(asked)(rows), defined(asked)(rows)
    if not np.array_equal(found, wanted):
        raise WrongPictureError(
            f"integers are not rounded as they must be; {unlike(found, wanted)}"
        )


def unlike(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> str:
    """Says where a runtime's pictures (N, H, W, C) are not those of docs/integers.md."""
    places = np.argwhere(found != wanted)
    if not len(places):
        return "this runtime draws what is defined, the one that wrote the file did not"
    first = tuple(places[0])
    picture, row, column, channel = first
    return (
        f"integers have the same everywhere, so this runtime is wrong: {len(places):,} of "
        f"{found.size:,} values, the first in picture {picture} at row {row}, column {column}, "
        f"channel {channel}, which is {found[first]} and must be {wanted[first]}"
    )


def levels_off(name: str, found: NDArray[np.uint8], remembered: str) -> int:
    """Returns how far values lie from those that a file remembers in hexadecimal, at most.

    Raises:
        WrongPictureError: they are not as many.
    """
    wanted = np.frombuffer(bytes.fromhex(remembered), np.uint8)
    if wanted.size != found.size:
        raise WrongPictureError(f"{name}: its golden pictures are of another size")
    return int(np.abs(found.ravel().astype(int) - wanted).max())


def check_bytes(sampler: Sampler, batches: Sequence[int]) -> None:
    """Generates some latents alone and in batches of each of these sizes, and compares.

    Raises:
        UnequalBytesError: a picture's bytes depend on its batch.
    """
    count = max(batches)
    z = sample_latents(range(count), sampler.input_dim, "normal")
    alone = [sampler(z[index : index + 1])[0] for index in range(min(count, ALONE))]
    for size in batches:
        for start in range(0, ALONE, size):
            part = sampler(z[start : start + size])
            if any(
                not np.array_equal(picture, wanted)
                for picture, wanted in zip(part, alone[start : start + size], strict=False)
            ):
                raise UnequalBytesError(
                    f"a picture generated in a batch of {size} differs from the same one generated "
                    "alone; this runtime cannot keep the promise of a seed"
                )
