"""The shape of each network family, without the network: serving reads it where torch is not
installed.
"""

import itertools
from dataclasses import asdict, dataclass
from typing import Any

FIRST_SIDE = 4  # pixels per side of the first feature map


@dataclass(frozen=True, kw_only=True)
class DCGANConfig:
    """Shape of the article's generator and discriminator."""

    z_dim: int = 100
    resolution: int = 32  # pixels per side that the generator draws: 4 times a power of two
    channels: int = 3  # 3: RGB, 1: grey
    width: int = 512  # generator channels at 4x4; halved at each doubling of the side
    discriminator_width: int = 64  # its channels at half the side; doubled at each halving

    family = "dcgan"

    def __post_init__(self) -> None:
        if not 1 <= self.z_dim <= 4096:
            raise ValueError(f"z_dim is {self.z_dim}; allowed: 1 to 4096")
        if self.resolution not in (8, 16, 32, 64, 128, 256):
            raise ValueError(f"resolution is {self.resolution}; allowed: 8, 16, 32, 64, 128, 256")
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}; allowed: 1 (grey) or 3 (RGB)")
        if not 1 <= self.width <= 4096 or self.width % 2 ** (self.doublings - 1):
            step = 2 ** (self.doublings - 1)
            raise ValueError(f"width is {self.width}; allowed: 1 to 4096, a multiple of {step}")
        if not 1 <= self.discriminator_width <= 4096:
            raise ValueError(
                f"discriminator_width is {self.discriminator_width}; allowed: 1 to 4096"
            )

    @property
    def doublings(self) -> int:
        """How often the side doubles on the way from 4x4 to `resolution`."""
        return (self.resolution // FIRST_SIDE).bit_length() - 1

    @property
    def generator_widths(self) -> list[int]:
        """Channels of the generator's feature maps, the picture's own last."""
        return [self.width >> level for level in range(self.doublings)] + [self.channels]

    @property
    def discriminator_widths(self) -> list[int]:
        """Channels of the discriminator's feature maps, the picture's own first."""
        return [self.channels] + [
            self.discriminator_width << level for level in range(self.doublings)
        ]

    def generator_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each tensor of the generator, in the order of its layers."""
        first = self.width * FIRST_SIDE**2
        shapes: dict[str, tuple[int, ...]] = {
            "dense.weight": (first, self.z_dim),
            "dense.bias": (first,),
        }
        widths = self.generator_widths
        for level, (wide, narrow) in enumerate(itertools.pairwise(widths)):
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"norms.{level}.{part}"] = (wide,)
            shapes[f"upsamples.{level}.weight"] = (wide, narrow, 5, 5)
            shapes[f"upsamples.{level}.bias"] = (narrow,)
        return shapes


def network_to_dict(config: DCGANConfig) -> dict[str, Any]:
    """The form that travels in files: the fields and the family's name."""
    return {"family": config.family, **asdict(config)}


def network_from_dict(fields: dict[str, Any]) -> DCGANConfig:
    """The inverse of `network_to_dict`.

    Raises:
        ValueError: an unknown family, an unknown or missing field, or a value out of its range.
    """
    fields = dict(fields)
    family = fields.pop("family", None)
    if family != DCGANConfig.family:
        raise ValueError(f"family is {family!r}; known: '{DCGANConfig.family}'")
    known = DCGANConfig.__dataclass_fields__
    for name, value in fields.items():
        if name not in known:
            raise ValueError(f"unknown field {name!r}; known: {', '.join(known)}")
        if type(value) is not int:
            raise ValueError(f"{name} is {value!r}; a whole number is wanted")
    missing = known.keys() - fields.keys()
    if missing:
        raise ValueError(f"missing field {min(missing)!r}")
    return DCGANConfig(**fields)
