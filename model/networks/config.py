"""The shape of each network family, without the network: serving reads it where torch is not
installed.
"""

import itertools
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from dataclasses import fields as dataclass_fields
from typing import Any, ClassVar

FIRST_SIDE = 4  # pixels per side of the first feature map
MAX_CLASSES = 1000
MAX_ATTENTION = 64  # pixels per side: 64 MiB of weights a picture and 1024 there


@dataclass(frozen=True, kw_only=True)
class DCGANConfig:
    """Shape of the generator and discriminator of the DCGAN article."""

    z_dim: int = 100
    resolution: int = 32  # pixels per side that the generator draws: 4 times a power of two
    channels: int = 3  # 3: RGB, 1: grey
    width: int = 512  # generator channels at 4x4; halved at each doubling of the side
    discriminator_width: int = 64  # its channels at half the side; doubled at each halving

    family: ClassVar[str] = "dcgan"
    classes: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _check_common(self)
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
        """Returns name and shape of each tensor of the generator, in the order of its layers."""
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


@dataclass(frozen=True, kw_only=True)
class _Staged:
    """What both residual families share: a stage for each side, and their discriminator."""

    z_dim: int = 64
    classes: int = 0  # 0: unconditional
    resolution: int = 64  # pixels per side that the generator draws: 4 times a power of two
    channels: int = 3  # 3: RGB, 1: grey
    width: int = 256  # generator channels at 4x4 and 8x8; halved at each further doubling
    discriminator_width: int = 256
    discriminator_blocks: int = 1  # per stage, each of two convolutions

    family: ClassVar[str]

    def __post_init__(self) -> None:
        _check_common(self)
        if not 0 <= self.classes <= MAX_CLASSES:
            raise ValueError(f"classes is {self.classes}; allowed: 0 to {MAX_CLASSES}")
        for name, halvings in (
            ("width", self.stages - 1),
            ("discriminator_width", self.stages - 2),
        ):
            step = 2 ** max(0, halvings)
            if not 1 <= (width := getattr(self, name)) <= 4096 or width % step:
                raise ValueError(f"{name} is {width}; allowed: 1 to 4096, a multiple of {step}")
        for name, most in (("blocks", 16), ("discriminator_blocks", 16), ("code_dim", 4096)):
            if not 1 <= (value := getattr(self, name, 1)) <= most:
                raise ValueError(f"{name} is {value}; allowed: 1 to {most}")

    @property
    def stages(self) -> int:
        """How often the side doubles on the way from 4x4 to `resolution`."""
        return (self.resolution // FIRST_SIDE).bit_length() - 1

    @property
    def generator_widths(self) -> list[int]:
        """Channels of the generator's maps at each side, from 4x4 up to the resolution."""
        return [self.width >> max(0, stage - 1) for stage in range(self.stages + 1)]

    @property
    def discriminator_widths(self) -> list[int]:
        """Channels of each of the discriminator's stages, from half the resolution down to 4x4."""
        widths = [self.discriminator_width >> max(0, stage - 1) for stage in range(self.stages)]
        return widths[::-1]


@dataclass(frozen=True, kw_only=True)
class ResidualConfig(_Staged):
    """Shape of the residual generator without normalisation and its discriminator: one stage a
    side, those from 4x4 to half the resolution with blocks; at the full resolution blocks cost too
    much.
    """

    blocks: int = 1  # per stage, each of two convolutions

    family: ClassVar[str] = "residual"

    def generator_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns name and shape of each tensor of the generator, in the order of its layers."""
        first = self.width * FIRST_SIDE**2
        shapes: dict[str, tuple[int, ...]] = {
            "dense.weight": (first, self.z_dim + self.classes),
            "dense.bias": (first,),
        }

        def convolution(name: str, out: int, into: int, side: int) -> None:
            shapes[f"{name}.weight"] = (out, into, side, side)
            shapes[f"{name}.bias"] = (out,)

        widths = self.generator_widths
        for stage, width in enumerate(widths):
            if stage > 0:
                convolution(f"stages.{stage}.widen", width, widths[stage - 1], 1)
            for block in range(self.blocks if stage < self.stages else 0):
                for part in ("first", "second"):
                    convolution(f"stages.{stage}.blocks.{block}.{part}", width, width, 3)
        convolution("picture", self.channels, widths[-1], 3)
        return shapes


@dataclass(frozen=True, kw_only=True)
class ModulatedConfig(_Staged):
    """Shape of the residual generator whose batch norms are modulated by the latent and the class,
    one block a doubling, and of the same discriminator.
    """

    code_dim: int = 128  # values by which the latent and the class set gain and offset of all norms

    family: ClassVar[str] = "modulated"

    def generator_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns name and shape of each tensor of the generator, in the order of its layers."""
        first, row = self.width * FIRST_SIDE**2, self.z_dim + self.classes
        shapes: dict[str, tuple[int, ...]] = {
            "code.weight": (self.code_dim, row),
            "code.bias": (self.code_dim,),
            "dense.weight": (first, row),
            "dense.bias": (first,),
        }

        def norm(name: str, width: int) -> None:
            for part in ("running_mean", "running_var"):
                shapes[f"{name}.statistics.{part}"] = (width,)
            shapes[f"{name}.modulation.weight"] = (2 * width, self.code_dim)
            shapes[f"{name}.modulation.bias"] = (2 * width,)

        for stage, (before, width) in enumerate(itertools.pairwise(self.generator_widths)):
            name = f"stages.{stage}"
            norm(f"{name}.first_norm", before)
            shapes[f"{name}.first.weight"] = (width, before, 3, 3)
            norm(f"{name}.second_norm", width)
            shapes[f"{name}.second.weight"] = (width, width, 3, 3)
            shapes[f"{name}.second.bias"] = (width,)
            if before != width:
                shapes[f"{name}.shortcut.weight"] = (width, before, 1, 1)
        shapes["picture.weight"] = (self.channels, self.generator_widths[-1], 3, 3)
        shapes["picture.bias"] = (self.channels,)
        return shapes


@dataclass(frozen=True, kw_only=True)
class SNGANConfig:
    """Shape of the residual generator and discriminator of SNGAN and SAGAN: a block a doubling from
    4x4 up, a block a halving down to 8x8 and two more there.
    """

    z_dim: int = 128
    classes: int = 0  # 0: unconditional
    resolution: int = 32  # pixels per side that the generator draws: 4 times a power of two
    channels: int = 3  # 3: RGB, 1: grey
    width: int = 256  # generator channels at 4x4
    discriminator_width: int = 128  # its channels at 8x8
    halved: int = 0  # 1: at each doubling of the side half the channels (SAGAN), 0: as many (SNGAN)
    attention: int = 0  # pixels per side of the maps that attend to themselves; 0: none do
    generator_spectral: int = 0  # 1: spectral norm while the generator learns (SAGAN), 0: none

    family: ClassVar[str] = "sngan"

    def __post_init__(self) -> None:
        _check_common(self)
        if self.resolution < 16:
            raise ValueError(f"resolution is {self.resolution}; allowed: 16, 32, 64, 128, 256")
        if not 0 <= self.classes <= MAX_CLASSES:
            raise ValueError(f"classes is {self.classes}; allowed: 0 to {MAX_CLASSES}")
        for name in ("halved", "generator_spectral"):
            if getattr(self, name) not in (0, 1):
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 0, 1")
        step = 2**self.doublings if self.halved else 1
        for name in ("width", "discriminator_width"):
            if not 1 <= (width := getattr(self, name)) <= 4096 or width % step:
                raise ValueError(f"{name} is {width}; allowed: 1 to 4096, a multiple of {step}")
        sides = [side for side in self.sides[:-1] if side <= MAX_ATTENTION]
        if self.attention not in (0, *sides):
            allowed = ", ".join(map(str, (0, *sides)))
            raise ValueError(f"attention is {self.attention}; allowed: {allowed}")
        if self.attention:
            place = self.sides.index(self.attention)
            found = self.generator_widths[place], self.discriminator_widths[::-1][place]
            if any(width % 8 for width in found):
                raise ValueError(f"channels that attend are {found}; allowed: multiples of 8")

    @property
    def doublings(self) -> int:
        """How often the side doubles on the way from 4x4 to `resolution`."""
        return (self.resolution // FIRST_SIDE).bit_length() - 1

    @property
    def sides(self) -> list[int]:
        """Pixels per side after each of the generator's stages."""
        return [FIRST_SIDE << (stage + 1) for stage in range(self.doublings)]

    @property
    def generator_widths(self) -> list[int]:
        """Channels after each of the generator's stages, from 8x8 up."""
        return [self.width >> self.halved * (stage + 1) for stage in range(self.doublings)]

    @property
    def discriminator_widths(self) -> list[int]:
        """Channels after each of the discriminator's halvings, from half the resolution to 8x8."""
        stages = range(self.doublings - 1)
        return [self.discriminator_width >> self.halved * stage for stage in stages][::-1]

    def generator_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns name and shape of each tensor of the generator, in the order of its layers."""
        first = self.width * FIRST_SIDE**2
        shapes: dict[str, tuple[int, ...]] = {
            "dense.weight": (first, self.z_dim),
            "dense.bias": (first,),
        }

        def norm(name: str, width: int, classes: int) -> None:
            for part in ("gain", "offset"):
                shapes[f"{name}.{part}"] = (width, classes) if classes else (width,)
            for part in ("running_mean", "running_var"):
                shapes[f"{name}.statistics.{part}"] = (width,)

        def convolution(name: str, out: int, into: int, side: int) -> None:
            shapes[f"{name}.weight"] = (out, into, side, side)
            shapes[f"{name}.bias"] = (out,)

        widths = [self.width, *self.generator_widths]
        for stage, (before, width) in enumerate(itertools.pairwise(widths)):
            name = f"stages.{stage}"
            norm(f"{name}.first_norm", before, self.classes)
            convolution(f"{name}.first", width, before, 3)
            norm(f"{name}.second_norm", width, self.classes)
            convolution(f"{name}.second", width, width, 3)
            convolution(f"{name}.shortcut", width, before, 1)
            if self.sides[stage] == self.attention:
                shapes["attention.gate"] = (1,)
                convolution("attention.query", width // 8, width, 1)
                convolution("attention.key", width // 8, width, 1)
                convolution("attention.value", width // 2, width, 1)
                convolution("attention.out", width, width // 2, 1)
        norm("norm", widths[-1], 0)
        convolution("picture", self.channels, widths[-1], 3)
        return shapes


NetworkConfig = DCGANConfig | ResidualConfig | ModulatedConfig | SNGANConfig


@dataclass(frozen=True, kw_only=True)
class Family:
    """States what the code may ask of a family of networks. Its networks are registered in
    `families`, its ONNX graph in `onnx_graph`.
    """

    config: type[NetworkConfig]
    takes_classes: bool = True
    ends_in_tanh: bool = False  # else pixels are cut to their range
    has_batch_norm: bool = True
    folds: bool = False  # every batch norm into the layer after it
    trains_further: bool = False  # its discriminator travels with it
    served: Callable[[Any], Any] = lambda config: config  # the config of weights as they act


FAMILIES = {
    DCGANConfig.family: Family(
        config=DCGANConfig, takes_classes=False, ends_in_tanh=True, folds=True
    ),
    ResidualConfig.family: Family(config=ResidualConfig, has_batch_norm=False, trains_further=True),
    ModulatedConfig.family: Family(config=ModulatedConfig, trains_further=True),
    SNGANConfig.family: Family(
        config=SNGANConfig,
        ends_in_tanh=True,
        served=lambda config: replace(config, generator_spectral=0),
    ),
}


def family_of(config: NetworkConfig) -> Family:
    """Returns the record of a configuration's family."""
    return FAMILIES[config.family]


def input_dim(config: NetworkConfig) -> int:
    """Counts the values in a row of the generator's input: the latent, then a weight per class."""
    return config.z_dim + config.classes


def network_to_dict(config: NetworkConfig) -> dict[str, Any]:
    """Returns the form that travels in files: the fields and the family's name."""
    return {"family": config.family, **asdict(config)}


def network_from_dict(fields: dict[str, Any]) -> NetworkConfig:
    """Inverts `network_to_dict`.

    Raises:
        ValueError: an unknown family, an unknown or missing field, or a value out of its range.
    """
    fields = dict(fields)
    family = fields.pop("family", None)
    if not isinstance(family, str) or family not in FAMILIES:
        raise ValueError(f"family is {family!r}; known: {', '.join(map(repr, FAMILIES))}")
    config = FAMILIES[family].config
    known = [field.name for field in dataclass_fields(config)]
    for name, value in fields.items():
        if name not in known:
            raise ValueError(f"unknown field {name!r}; known: {', '.join(known)}")
        if type(value) is not int:
            raise ValueError(f"{name} is {value!r}; a whole number is wanted")
    missing = set(known) - fields.keys()
    if missing:
        raise ValueError(f"missing field {min(missing)!r}")
    return config(**fields)


def _check_common(config: DCGANConfig | _Staged | SNGANConfig) -> None:
    if not 1 <= config.z_dim <= 4096:
        raise ValueError(f"z_dim is {config.z_dim}; allowed: 1 to 4096")
    if config.resolution not in (8, 16, 32, 64, 128, 256):
        raise ValueError(f"resolution is {config.resolution}; allowed: 8, 16, 32, 64, 128, 256")
    if config.channels not in (1, 3):
        raise ValueError(f"channels is {config.channels}; allowed: 1 (grey) or 3 (RGB)")
