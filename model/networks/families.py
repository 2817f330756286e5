"""Networks by their configuration."""

from model.networks import dcgan, residual
from model.networks.config import DCGANConfig, NetworkConfig

Generator = dcgan.Generator | residual.Generator
Discriminator = dcgan.Discriminator | residual.Discriminator


def new_generator(config: NetworkConfig) -> Generator:
    """A generator before its first step."""
    if isinstance(config, DCGANConfig):
        return dcgan.Generator(config)
    return residual.Generator(config)


def new_discriminator(config: NetworkConfig) -> Discriminator:
    """A discriminator before its first step."""
    if isinstance(config, DCGANConfig):
        return dcgan.Discriminator(config)
    return residual.Discriminator(config)
