"""What a training run is made of. A preset is a complete configuration with a name."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from model.image_decoding import Fit
from model.latent_space.latents import Prior
from model.networks.config import NetworkConfig
from model.networks.families.dcgan import DCGANConfig
from model.networks.families.modulated import ModulatedConfig
from model.networks.families.residual import ResidualConfig
from model.networks.families.sngan import SNGANConfig
from model.networks.registry import network_to_dict
from model.training.datasets.dataset import Split

Objective = Literal[
    "article",
    "relativistic",
    "modern",
    "hinge",
    "super-resolution",
    "semi-supervised",
    "supervised",
]
FIRST_VERSION = "-v1"  # ends the names of presets whose plain names mean another recipe now
# fields that came later, with what held before: older runs can go on
LATER: dict[str, object] = {
    "fit": "crop",
    "generator_betas": None,
    "steady": 0.0,
    "frozen_features": False,
    "discriminator_weight": 1.0,
    "heads_learning_rate": 0.0,
    "heads_gamma": 0.0,
    "heads_interval": 1,
    "heads_penalty_interval": 1,
    "start": "",
    "cooldown": 0.0,
    "bits": 0,
    "techniques": (),
    "candidates": 2,
    "order": "table",
}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every run has, whatever it learns; the same config and data compute the same weights, up
    to a cool-down, whose start depends on the schedule.
    """

    preset: str
    split: Split = "train"
    fit: Fit = "crop"  # for pictures that are not square
    bits: int = 0  # that count of 16-bit values; 0: as many as the set's values fill
    objective: Objective  # what the networks learn by
    batch: int
    learning_rate: float
    betas: tuple[float, float]
    mirror: bool = False  # half of the real pictures, left to right
    cooldown: float = 0.0  # last share of a run, over which the rates fall to a tenth
    start: str = ""  # SHA-256 of what training starts from; "": from scratch
    ema_half_life: float = 10_000.0  # images
    # share of the images seen, upper bound of the half-life early on; 0: none
    ema_ramp: float = 0.05
    seed: int = 0
    # autocast convolutions to bfloat16; weights, losses, penalties and optimisers stay float32
    bf16: bool = False
    channels_last: bool = False  # memory order of pictures and kernels: quicker for residual ones

    def record(self) -> dict[str, object]:
        """Returns all of it as JSON has it, where the objective has its first name, `game`."""
        fields = asdict(self)
        return {"game" if name == "objective" else name: value for name, value in fields.items()}

    def fingerprint(self, data_sha256: str) -> str:
        """Returns the SHA-256 of the config and the data: runs with equal ones are the same run."""
        fields = {k: v for k, v in self.record().items() if k not in LATER or v != LATER[k]}
        fields["preset"] = self.preset.removesuffix(FIRST_VERSION)
        return hashlib.sha256(
            json.dumps([fields, data_sha256], sort_keys=True).encode()
        ).hexdigest()


@dataclass(frozen=True, kw_only=True)
class TrainConfig(RunConfig):
    """Everything that decides what the run of a generator computes."""

    network: NetworkConfig
    data: str  # official set that is fetched where no --data is given; "": none
    picture_side: int  # pixels per side; padded to the network's resolution, cropped when served
    # how a pass over the pictures is shuffled: by a permutation that NumPy makes, or place by place
    order: Literal["table", "keyed"] = "table"
    prior: Prior = "uniform"  # the article says normal, its notebook draws uniform(-1, 1)
    objective: Objective = "article"  # what both networks learn by, see `train_step`
    batch: int = 128
    learning_rate: float = 2e-4
    discriminator_learning_rate: float | None = None  # None: the generator's
    betas: tuple[float, float] = (0.5, 0.999)
    # what follows is not for the objective `article`
    burn_in: float = 0.0  # images after which all that changes has come to its end
    final_rate_share: float = 1.0  # factor of both learning rates at the end of the burn-in
    final_beta2: float = 0.999
    gamma: float = 0.0  # weight of R1 and R2
    final_gamma: float = 0.0
    penalty_interval: int = 1  # steps
    augmentation: float = 0.0  # probability at the end of the burn-in, from 0
    # these are for the objective `modern` alone, as the cool-down is
    generator_betas: tuple[float, float] | None = None  # None: as the discriminator's
    steady: float = 0.0  # images for which the rates stay, to fall with the root of those seen
    frozen_features: bool = False  # a projected discriminator next to the other
    discriminator_weight: float = 1.0  # weight of the other one's loss; that of each head is 1
    heads_learning_rate: float = 0.0
    heads_gamma: float = 0.0  # weight of R1 and R2 at the maps
    heads_interval: int = 1  # steps from one look through the frozen features to the next
    heads_penalty_interval: int = 1  # steps, a multiple of `heads_interval`
    # these are for the objective `article` alone
    label_smoothing: float = 0.1  # real images are labelled 1 - label_smoothing
    generator_updates: int = 2  # per discriminator update, on the same z
    techniques: tuple[str, ...] = ()  # in the order of the catalogue

    def record(self) -> dict[str, object]:
        """Returns all of it as JSON has it."""
        return {**super().record(), "network": network_to_dict(self.network)}

    @property
    def heads_betas(self) -> tuple[float, float]:
        """Betas of the heads' Adam."""
        return self.generator_betas or self.betas

    @property
    def rates(self) -> dict[str, float]:
        """The learning rate of each optimiser at the start, by its name in `Networks`."""
        return {
            "generator_optimizer": self.learning_rate,
            "discriminator_optimizer": self.discriminator_learning_rate or self.learning_rate,
            "heads_optimizer": self.heads_learning_rate,
        }


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long a run lasts, and so when it cools down, and how often it logs and saves."""

    images: int | None  # total, the clock of training; None: `hours` end the run
    hours: float | None = None  # or the hours, measuring and saving included, all starts together
    log_steps: int = 10
    grid_steps: int = 100
    checkpoint_seconds: float = 120.0
    keep: int = 2  # newest checkpoints
    figure_images: int = 5000  # generated pictures in the quality figure of each snapshot
    snapshot_images: int | None = None  # between snapshots; None: an epoch
    snapshot_seconds: float | None = None  # or so much of the same time, instead of an epoch


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A configuration and the length of its run."""

    config: TrainConfig
    epochs: int | None = None  # or `kimg`
    kimg: int | None = None  # thousands of images
    snapshot_images: int | None = None  # between snapshots; None: an epoch
    about: str = field(default="")


def _article(
    name: str, *, channels: int, picture_side: int, data: str, epochs: int, about: str
) -> tuple[str, Preset]:
    network = DCGANConfig(channels=channels)
    config = TrainConfig(preset=name, network=network, data=data, picture_side=picture_side)
    return name, Preset(config=config, epochs=epochs, about=about)


def _modern(resolution: int, *, gamma: float) -> tuple[str, Preset]:
    """Makes the preset that learns most in an hour of a CPU: batch norm in the generator, three
    times the learning rate that networks without it bear, one batch of generated images a step,
    rare penalties, and a projected discriminator next to the other (`benchmarks.recipes` has what
    each brings).
    """
    name = f"modern-{resolution}"
    config = TrainConfig(
        preset=name,
        network=ModulatedConfig(resolution=resolution, discriminator_width=128),
        data="",
        picture_side=resolution,
        prior="normal",
        objective="modern",
        batch=16,
        learning_rate=6e-4,
        discriminator_learning_rate=4e-4,
        betas=(0.0, 0.9),
        generator_betas=(0.0, 0.99),
        steady=30_000,
        cooldown=0.3,
        gamma=gamma,
        penalty_interval=8,
        frozen_features=True,
        discriminator_weight=12.0,
        heads_learning_rate=4e-4,
        heads_gamma=1.0,
        heads_interval=2,
        heads_penalty_interval=4,
        ema_half_life=100_000,
        ema_ramp=0.1,
        bf16=True,
        channels_last=True,
    )
    about = f"the recipe that learns fastest, your pictures at {resolution}x{resolution}"
    return name, Preset(config=config, kimg=1000, snapshot_images=20_000, about=about)


def _modern_first(resolution: int, *, gamma: float) -> tuple[str, Preset]:
    """Makes the preset of R3GAN's recipe (Huang et al., 2024, appendix) for a budget of millions of
    images, not hundreds of millions: batch and discriminator are small, for CPUs too.
    """
    name = f"modern-{resolution}{FIRST_VERSION}"
    config = TrainConfig(
        preset=name,
        network=ResidualConfig(resolution=resolution, discriminator_width=128),
        data="",
        picture_side=resolution,
        prior="normal",
        objective="relativistic",
        batch=32,
        betas=(0.0, 0.9),
        final_beta2=0.99,
        final_rate_share=0.25,
        burn_in=500_000,
        gamma=gamma,
        final_gamma=gamma / 10,
        penalty_interval=4,
        augmentation=0.3,
        ema_half_life=500_000,
        bf16=True,
        channels_last=True,
    )
    about = f"what modern-{resolution} was before, for runs that began with it"
    return name, Preset(config=config, kimg=2000, snapshot_images=20_000, about=about)


def _sequel(name: str, network: SNGANConfig, *, about: str) -> tuple[str, Preset]:
    """Makes the preset of what the DCGAN article's author did next: hinge loss, spectral norm, two
    speeds (Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017), one update each;
    100,000 steps.
    """
    config = TrainConfig(
        preset=name,
        network=network,
        data="",
        picture_side=network.resolution,
        prior="normal",
        objective="hinge",
        batch=64,
        learning_rate=1e-4,
        discriminator_learning_rate=4e-4,
        betas=(0.0, 0.9),
        final_beta2=0.9,
        ema_half_life=44_339,  # a step keeps 0.999
        channels_last=True,
    )
    return name, Preset(config=config, kimg=6400, snapshot_images=50_000, about=about)


PRESETS: dict[str, Preset] = dict(
    [
        _article(
            "dcgan-svhn",
            channels=3,
            picture_side=32,
            data="svhn",
            epochs=25,
            about="the article's DCGAN on Street View house numbers, 32x32 RGB",
        ),
        _article(
            "dcgan-mnist",
            channels=1,
            picture_side=28,
            data="mnist",
            epochs=25,
            about="the article's DCGAN on handwritten digits, 28x28 grey",
        ),
        _modern(32, gamma=2.0),
        _modern(64, gamma=4.0),
        _modern(128, gamma=8.0),
        _modern_first(32, gamma=0.5),
        _modern_first(64, gamma=2.0),
        _modern_first(128, gamma=8.0),
        _sequel(
            "sngan-32",
            SNGANConfig(),
            about="SNGAN: spectral norm and hinge loss, your pictures at 32x32",
        ),
        _sequel(
            "sagan-64",
            SNGANConfig(
                resolution=64,
                width=512,
                discriminator_width=256,
                halved=1,
                attention=32,
                generator_spectral=1,
            ),
            about="SAGAN: the same with self-attention, your pictures at 64x64",
        ),
    ]
)
