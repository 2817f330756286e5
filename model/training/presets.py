"""What a training run is made of. A preset is a complete configuration with a name."""

import hashlib
import json
from dataclasses import asdict, dataclass, field

from model.latents import Prior
from model.networks.config import DCGANConfig
from model.training.data import Split


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides what a run computes; the same config and data compute the same
    weights.
    """

    preset: str
    network: DCGANConfig
    data: str  # official set that is fetched where no --data is given
    picture_side: int  # pixels per side; padded to the network's resolution, cropped when served
    prior: Prior = "uniform"  # the article says normal, its notebook draws uniform(-1, 1)
    split: Split = "train"
    batch: int = 128
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    label_smoothing: float = 0.1  # real images are labelled 1 - label_smoothing
    generator_updates: int = 2  # per discriminator update, on the same z
    ema_half_life: float = 10_000.0  # images
    ema_ramp: float = 0.05  # of the images seen: upper bound of the half-life early on
    seed: int = 0
    bf16: bool = (
        False  # autocast convolutions to bfloat16; weights, losses and optimisers stay float32
    )

    def fingerprint(self, data_sha256: str) -> str:
        """SHA-256 of the config and the data: runs with equal ones are the same run."""
        return hashlib.sha256(
            json.dumps([asdict(self), data_sha256], sort_keys=True).encode()
        ).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long a run lasts and how often it looks up; does not change what is computed."""

    images: int  # total, the clock of training
    log_steps: int = 10
    grid_steps: int = 100
    checkpoint_seconds: float = 120.0
    figure_images: int = 5000  # generated pictures in the quality figure of each epoch


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A configuration and the length of its run."""

    config: TrainConfig
    epochs: int
    about: str = field(default="")


def _preset(
    name: str, *, channels: int, picture_side: int, data: str, epochs: int, about: str
) -> tuple[str, Preset]:
    network = DCGANConfig(channels=channels)
    config = TrainConfig(preset=name, network=network, data=data, picture_side=picture_side)
    return name, Preset(config=config, epochs=epochs, about=about)


PRESETS: dict[str, Preset] = dict(
    [
        _preset(
            "dcgan-svhn",
            channels=3,
            picture_side=32,
            data="svhn",
            epochs=25,
            about="the article's DCGAN on Street View house numbers, 32x32 RGB",
        ),
        _preset(
            "dcgan-mnist",
            channels=1,
            picture_side=28,
            data="mnist",
            epochs=25,
            about="the article's DCGAN on handwritten digits, 28x28 grey",
        ),
    ]
)
