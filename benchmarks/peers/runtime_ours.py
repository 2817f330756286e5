"""The service's own sampler, for a peer to draw by."""

from benchmarks.noop import ZOO_MNIST
from benchmarks.peers.generator import Draw
from model.generator_file import read_generator_file
from model.samplers.sampler import load_sampler


def load(threads: int) -> Draw:
    """Returns the sampler, with so many threads a batch."""
    return load_sampler(read_generator_file(ZOO_MNIST), "cpu", threads=threads)
