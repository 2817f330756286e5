"""Networks by their configuration."""

from model.networks import dcgan, modulated, residual, sngan
from model.networks.config import DCGANConfig, ModulatedConfig, NetworkConfig, SNGANConfig

Generator = dcgan.Generator | residual.Generator | modulated.Generator | sngan.Generator
Discriminator = dcgan.Discriminator | residual.Discriminator | sngan.Discriminator


def new_generator(config: NetworkConfig) -> Generator:
    """Makes a generator before its first step."""
    if isinstance(config, DCGANConfig):
        return dcgan.Generator(config)
    if isinstance(config, SNGANConfig):
        return sngan.Generator(config)
    if isinstance(config, ModulatedConfig):
        return modulated.Generator(config)
    return residual.Generator(config)


def new_discriminator(config: NetworkConfig) -> Discriminator:
    """Makes a discriminator before its first step."""
    if isinstance(config, DCGANConfig):
        return dcgan.Discriminator(config)
    if isinstance(config, SNGANConfig):
        return sngan.Discriminator(config)
    return residual.Discriminator(config)
