"""What every peer shares: seeds in, pixels out, and one picture to PNG. Knows no server.

Settings come from the environment: PORT to listen on, THREADS of one batch, RUNTIME=ours for the
service's own sampler in place of PyTorch in eager mode, NOOP=1 to leave the network out.
"""

import io
import os
from collections.abc import Callable, Sequence
from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.noop import ZOO_MNIST, NoopGenerator
from model.generator_file import GeneratorFile, read_generator_file
from model.images import crop_center, to_pixels
from model.latent_space.latents import sample_latents
from model.networks.dcgan import Generator
from model.networks.families.dcgan import DCGANConfig

HOST = "127.0.0.1"
MAX_BATCH = 64

Pixels = NDArray[np.uint8]
Draw = Callable[[NDArray[np.float32]], Pixels]  # z (N, 100) -> pictures (N, 28, 28, 1)


def port() -> int:
    """Where to listen."""
    return int(os.environ.get("PORT", "8100"))


def wait_ms(default: int) -> int:
    """How long a batch may wait to fill, where a system knows such a window."""
    return int(os.environ.get("WAIT_MS", default))


class SeedGenerator:
    """Seeds -> pictures (N, 28, 28, 1) uint8; warm when made."""

    def __init__(self) -> None:
        self._pictures = _pictures(int(os.environ.get("THREADS", "1")))
        for count in (1, MAX_BATCH):
            png(self(range(count))[0])

    def __call__(self, seeds: Sequence[int]) -> Pixels:
        """One picture per seed."""
        return self._pictures(sample_latents(seeds, 100, "uniform"))


def png(pixels: Pixels) -> bytes:
    """The PNG file of one picture (28, 28, 1)."""
    stream = io.BytesIO()
    Image.fromarray(pixels[:, :, 0]).save(stream, "PNG")
    return stream.getvalue()


def _pictures(threads: int) -> Draw:
    if os.environ.get("NOOP") == "1":
        return NoopGenerator()
    file = read_generator_file(ZOO_MNIST)
    if os.environ.get("RUNTIME") == "ours":
        # by name: a peer's virtual environment need not have what our runtime needs
        draw: Draw = import_module("model.samplers.sampler").load_sampler(
            file, "cpu", threads=threads
        )
        return draw
    return _eager(file, threads)


def _eager(file: GeneratorFile, threads: int) -> Draw:
    torch.set_num_threads(threads)
    assert isinstance(file.config.network, DCGANConfig)
    generator = Generator(file.config.network)
    state = {name: torch.from_numpy(value) for name, value in file.weights.items()}
    generator.load_state_dict(state, strict=False)  # the file leaves out batch norm's counters
    generator.eval().requires_grad_(False)

    def pictures(z: NDArray[np.float32]) -> Pixels:
        with torch.inference_mode():
            return crop_center(to_pixels(generator(torch.from_numpy(z)).numpy()), file.config.crop)

    return pictures
