"""Networks by their configuration."""

from model.networks import dcgan, residual, sngan
from model.networks.config import DCGANConfig, NetworkConfig, SNGANConfig

Generator = dcgan.Generator | residual.Generator | sngan.Generator
Discriminator = dcgan.Discriminator | residual.Discriminator | sngan.Discriminator


def new_generator(config: NetworkConfig) -> Generator:
    """A generator before its first step."""
    if isinstance(config, DCGANConfig):
        return dcgan.Generator(config)
    if isinstance(config, SNGANConfig):
        return sngan.Generator(config)
    return residual.Generator(config)


def new_discriminator(config: NetworkConfig) -> Discriminator:
    """A discriminator before its first step."""
    if isinstance(config, DCGANConfig):
        return dcgan.Discriminator(config)
    if isinstance(config, SNGANConfig):
        return sngan.Discriminator(config)
    return residual.Discriminator(config)
