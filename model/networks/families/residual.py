"""The shape of the residual networks without normalisation."""

from dataclasses import dataclass

from model.networks.config import FIRST_SIDE, NetworkConfig
from model.networks.graph import BILINEAR, Graph
from model.networks.layers import Shapes, shapes_of


@dataclass(frozen=True, kw_only=True)
class StagedConfig(NetworkConfig):
    """What `residual` and `modulated` share: a stage for each side, and their discriminator."""

    z_dim: int = 64
    resolution: int = 64
    width: int = 256  # generator channels at 4x4 and 8x8; halved at each further doubling
    discriminator_width: int = 256
    discriminator_blocks: int = 1  # per stage, each of two convolutions

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("width", 4096, 2 ** (self.doublings - 1))
        self.check("discriminator_width", 4096, 2 ** max(0, self.doublings - 2))
        self.check("discriminator_blocks", 16)

    @property
    def generator_widths(self) -> list[int]:
        """Channels of the generator's maps at each side, from 4x4 up to the resolution."""
        return [self.width >> max(0, stage - 1) for stage in range(self.doublings + 1)]

    @property
    def discriminator_widths(self) -> list[int]:
        """Channels of each of the discriminator's stages, from half the resolution down to 4x4."""
        widths = [self.discriminator_width >> max(0, stage - 1) for stage in range(self.doublings)]
        return widths[::-1]


@dataclass(frozen=True, kw_only=True)
class ResidualConfig(StagedConfig):
    """Shape of the residual generator without normalisation and its discriminator: one stage a
    side, those from 4x4 to half the resolution with blocks; at the full resolution blocks cost too
    much.
    """

    blocks: int = 1  # per stage, each of two convolutions

    family = "residual"
    networks = "..residual"
    has_batch_norm = False
    trains_further = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check("blocks", 16)

    def generator_shapes(self) -> Shapes:
        shapes = shapes_of("dense", self.width * FIRST_SIDE**2, self.input_dim)
        widths = self.generator_widths
        for stage, width in enumerate(widths):
            if stage > 0:
                shapes |= shapes_of(f"stages.{stage}.widen", width, widths[stage - 1], 1, 1)
            for block in range(self.blocks if stage < self.doublings else 0):
                for part in ("first", "second"):
                    name = f"stages.{stage}.blocks.{block}.{part}"
                    shapes |= shapes_of(name, width, width, 3, 3)
        return shapes | shapes_of("picture", self.channels, widths[-1], 3, 3)

    def build(self, graph: Graph) -> str:
        x = graph.dense("dense", FIRST_SIDE)
        for stage in range(self.doublings + 1):
            if stage > 0:
                x = graph.doubled(graph.convolution(x, f"stages.{stage}.widen"), BILINEAR)
            for block in range(self.blocks if stage < self.doublings else 0):
                name = f"stages.{stage}.blocks.{block}"
                inner = graph.convolution(graph.leaky(x), f"{name}.first")
                x = graph.join("Add", x, graph.convolution(graph.leaky(inner), f"{name}.second"))
        return graph.convolution(graph.leaky(x), "picture")


FAMILY = ResidualConfig
