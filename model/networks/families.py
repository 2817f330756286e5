"""Networks by their configuration."""

from collections.abc import Callable
from typing import Any

from model.networks import dcgan, modulated, residual, sngan
from model.networks.config import NetworkConfig

Generator = dcgan.Generator | residual.Generator | modulated.Generator | sngan.Generator
Discriminator = dcgan.Discriminator | residual.Discriminator | sngan.Discriminator

NETWORKS: dict[str, tuple[Callable[[Any], Generator], Callable[[Any], Discriminator]]] = {
    "dcgan": (dcgan.Generator, dcgan.Discriminator),
    "residual": (residual.Generator, residual.Discriminator),
    "modulated": (modulated.Generator, residual.Discriminator),
    "sngan": (sngan.Generator, sngan.Discriminator),
}


def new_generator(config: NetworkConfig) -> Generator:
    """Makes a generator before its first step."""
    return NETWORKS[config.family][0](config)


def new_discriminator(config: NetworkConfig) -> Discriminator:
    """Makes a discriminator before its first step."""
    return NETWORKS[config.family][1](config)
