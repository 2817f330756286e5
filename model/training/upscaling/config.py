"""What the run of an upscaler is made of, and its presets.

Phase 1 learns from the pixels' differences alone; phase 2 starts from it and adds a discriminator.
"""

from dataclasses import dataclass, field

from model.training.presets import Objective, RunConfig
from model.upscaling.config import UpscalerConfig, upscaler_to_dict

LARGEST_SIDE = 256  # pixels per side of the pictures that pairs are made of, at most
SMALLEST_SIDE = 64  # the same, at least


@dataclass(frozen=True, kw_only=True)
class UpscaleConfig(RunConfig):
    """Everything that decides what the run of an upscaler computes."""

    network: UpscalerConfig = field(default_factory=UpscalerConfig)
    side: int = LARGEST_SIDE  # pixels per side of the large pictures
    objective: Objective = "super-resolution"
    batch: int = 16
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    warm_up: float = 8_000.0  # images over which the rates rise: at once, most ReLUs would die
    crop: int = 32  # pixels per side of the network's input, cut from a small picture
    candidates: int = 2  # places in a picture, of which the one with more content is cut
    degraded: float = 1 / 3  # share of the inputs that are blurred a little, with noise
    cooldown: float = 0.5
    ema_half_life: float = 16_000.0
    bf16: bool = True
    channels_last: bool = True
    # what follows is for phase 2
    adversarial: float = 0.0  # weight of both discriminators, from 0; 0: there are none
    burn_in: float = 0.0  # images over which that weight rises
    discriminator_weight: float = 1.0  # weight of the patches' one; that of each head is 1
    discriminator_width: int = 32  # channels
    discriminator_learning_rate: float = 0.0
    gamma: float = 0.0  # weight of R1
    penalty_interval: int = 1  # steps
    heads_learning_rate: float = 0.0
    heads_gamma: float = 0.0  # weight of R1 and R2 at the maps
    heads_penalty_interval: int = 1  # steps
    consistency: float = 0.0  # weight of the difference between inputs and outputs reduced again
    generator: str = ""  # id of a generator whose pictures are inputs without truth; "": none

    def record(self) -> dict[str, object]:
        """Returns all of it as JSON has it."""
        return {**super().record(), "network": upscaler_to_dict(self.network)}

    @property
    def small_side(self) -> int:
        """Pixels per side of the network's input: a crop, or as many as the pictures have."""
        return min(self.crop, self.side // max(self.network.scales))

    @property
    def large_side(self) -> int:
        """Pixels per side of what it is enlarged to at the largest scale."""
        return self.small_side * max(self.network.scales)

    @property
    def heads_betas(self) -> tuple[float, float]:
        """Betas of the heads' Adam."""
        return self.betas

    @property
    def rates(self) -> dict[str, float]:
        """The learning rate of each optimiser at the start, by its name in `Networks`."""
        return {
            "generator_optimizer": self.learning_rate,
            "discriminator_optimizer": self.discriminator_learning_rate,
            "heads_optimizer": self.heads_learning_rate,
        }


@dataclass(frozen=True, kw_only=True)
class UpscalePreset:
    """A configuration and the length of its run."""

    config: UpscaleConfig
    kimg: int  # thousands of pairs
    snapshot_images: int
    about: str


UPSCALE_PRESETS = {
    "upscale-4x": UpscalePreset(
        config=UpscaleConfig(preset="upscale-4x"),
        kimg=500,
        snapshot_images=25_000,
        about="a network that enlarges pictures 2 and 4 times, learnt from your large ones",
    ),
    "upscale-4x-gan": UpscalePreset(
        config=UpscaleConfig(
            preset="upscale-4x-gan",
            batch=8,
            learning_rate=2e-4,
            betas=(0.0, 0.99),
            candidates=4,
            ema_half_life=2_000.0,
            warm_up=800.0,
            adversarial=0.006,
            burn_in=800,
            discriminator_weight=20.0,
            discriminator_learning_rate=4e-4,
            gamma=0.002,
            penalty_interval=16,
            heads_learning_rate=4e-4,
            heads_gamma=1.0,
            heads_penalty_interval=4,
            consistency=1.0,
        ),
        kimg=12,
        snapshot_images=4_000,
        about="the same made crisp by discriminators, --from an upscaler of the first",
    ),
}
