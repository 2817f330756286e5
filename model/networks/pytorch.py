"""Networks by their configuration, in PyTorch."""

import importlib
from typing import Any

from torch import Tensor, nn

from model.networks.config import NetworkConfig


class Generator(nn.Module):
    """What each family's generator is: a network that knows its shape."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config

    def folded(self) -> nn.Module:
        """Returns what generates the same, without batch norms where other layers can hold them."""
        return self

    def prepare(self, examples: Tensor) -> None:
        """Starts a new generator nearer to real images (N, C, H, W), where it knows how."""


def new_generator(config: NetworkConfig) -> Generator:
    """Makes a generator before its first step."""
    generator: Generator = _networks(config).Generator(config)
    return generator


def new_discriminator(config: NetworkConfig, **options: int) -> nn.Module:
    """Makes a discriminator before its first step; `options` are those of its family."""
    discriminator: nn.Module = _networks(config).Discriminator(config, **options)
    return discriminator


def _networks(config: NetworkConfig) -> Any:
    package = type(config).__module__.rpartition(".")[0]
    return importlib.import_module(config.networks, package)
