"""The generator that ships in PyTorch's eager mode, float32."""

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.noop import ZOO_MNIST
from benchmarks.peers.generator import Draw, Pixels
from model.generator_file import read_generator_file
from model.images import crop_center, to_pixels
from model.networks.dcgan import Generator
from model.networks.families.dcgan import DCGANConfig


def load(threads: int) -> Draw:
    """Returns the generator, with so many threads a batch."""
    torch.set_num_threads(threads)
    file = read_generator_file(ZOO_MNIST)
    assert isinstance(file.config.network, DCGANConfig)
    generator = Generator(file.config.network)
    state = {name: torch.from_numpy(value) for name, value in file.weights.items()}
    generator.load_state_dict(state, strict=False)  # the file leaves out batch norm's counters
    generator.eval().requires_grad_(False)

    def pictures(z: NDArray[np.float32]) -> Pixels:
        with torch.inference_mode():
            return crop_center(to_pixels(generator(torch.from_numpy(z)).numpy()), file.config.crop)

    return pictures
