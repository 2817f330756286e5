"""What every peer in Python shares: seeds in, PNG files out. Knows no server.

    seeds -> latents (N, 100) -> RUNTIME -> pictures (N, 28, 28, 1) -> PNG files

Settings come from the environment: PORT to listen on, THREADS of one batch, and RUNTIME: `torch`
is PyTorch in eager mode and PNG by Pillow, as one begins; `onnx` is ONNX Runtime on the file that
`ganserve onnx` writes (ONNX_FILE), `ours` the service's own sampler, both with the service's PNG
encoder, so that only the serving differs. NOOP=1 leaves the network out.
"""

import io
import os
from collections.abc import Callable, Sequence
from importlib import import_module

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.noop import Z_DIM, NoopGenerator
from model.encoding.png import encode_pngs
from model.latent_space.latents import sample_latents

HOST = "127.0.0.1"
MAX_BATCH = 64

Pixels = NDArray[np.uint8]
Draw = Callable[[NDArray[np.float32]], Pixels]  # z (N, 100) -> pictures (N, 28, 28, 1)


def port() -> int:
    """Returns where to listen."""
    return int(os.environ.get("PORT", "8100"))


def wait_ms(default: int) -> int:
    """Returns how long a batch may wait to fill, where a system knows such a window."""
    return int(os.environ.get("WAIT_MS", default))


class SeedGenerator:
    """Seeds -> pictures (N, 28, 28, 1) uint8, or their files; warm when made."""

    def __init__(self) -> None:
        self._pictures = _pictures(int(os.environ.get("THREADS", "1")))
        for count in (1, MAX_BATCH):
            self.files(range(count))

    def __call__(self, seeds: Sequence[int]) -> Pixels:
        """Returns one picture per seed."""
        return self._pictures(sample_latents(seeds, Z_DIM, "uniform"))

    def files(self, seeds: Sequence[int]) -> list[bytes]:
        """Returns one PNG file per seed."""
        return pngs(self(seeds))


def pngs(pixels: Pixels) -> list[bytes]:
    """Returns the PNG file of each picture (N, 28, 28, 1)."""
    return [_pillow(picture) for picture in pixels] if _plain() else encode_pngs(pixels)


def png(pixels: Pixels) -> bytes:
    """Returns the PNG file of one picture (28, 28, 1)."""
    return pngs(pixels[None])[0]


def _pillow(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels[:, :, 0]).save(stream, "PNG")
    return stream.getvalue()


def _plain() -> bool:
    return os.environ.get("RUNTIME", "torch") == "torch"


def _pictures(threads: int) -> Draw:
    if os.environ.get("NOOP") == "1":
        return NoopGenerator()
    # by name: a peer's virtual environment need not have what the other runtimes need
    runtime = import_module(f"benchmarks.peers.runtime_{os.environ.get('RUNTIME', 'torch')}")
    draw: Draw = runtime.load(threads)
    return draw
