"""What the run of a classifier is made of, and its presets: a GAN whose discriminator is the
classifier.
"""

from dataclasses import dataclass
from typing import Literal

from model.latent_space.latents import Prior
from model.networks.config import NetworkConfig
from model.networks.families.dcgan import DCGANConfig
from model.networks.families.mlp import MLPConfig
from model.networks.registry import network_to_dict
from model.training.presets import Objective, RunConfig

ALL = 0  # labels: every picture that has one
SUPERVISED: Objective = "supervised"  # the classifier alone
HALF_LIFE = 693_113.0  # images; with batches of 100, a step keeps 0.9999 of the average


@dataclass(frozen=True, kw_only=True)
class ClassifyConfig(RunConfig):
    """Everything that decides what the run of a classifier computes."""

    layout: Literal["mlp", "convolutional"]
    widths: tuple[int, ...]  # values or channels of the classifier's hidden layers
    network: NetworkConfig  # the generator's
    side: int  # pixels per side of the pictures
    prior: Prior = "uniform"
    objective: Objective = "semi-supervised"
    labels: int = ALL  # labelled pictures, as many of each class
    label_seed: int = 0
    batch: int = 100  # labelled pictures a step, as many without label, and as many generated ones
    learning_rate: float = 3e-3  # the classifier's
    generator_learning_rate: float = 1e-3  # the reference has 3e-3
    generator_updates: int = 3  # a step; with the reference's one it fell behind here
    betas: tuple[float, float] = (0.5, 0.999)
    epsilon: float = 1e-4  # Adam's; the reference adds 1e-8 below the root
    matching: Literal["square", "absolute"] = "square"  # differences of mean features
    ema_half_life: float = HALF_LIFE
    ema_ramp: float = 0.7  # early on, the mean of all weights so far
    bf16: bool = True
    techniques: tuple[str, ...] = ()  # in the order of the catalogue

    @property
    def supervised(self) -> bool:
        """Whether the classifier learns from labels alone, without a generator."""
        return self.objective == SUPERVISED

    @property
    def rates(self) -> dict[str, float]:
        """The learning rate of each optimiser at the start, by its name in `ClassifyNetworks`."""
        return {
            "classifier_optimizer": self.learning_rate,
            "generator_optimizer": self.generator_learning_rate,
        }

    def record(self) -> dict[str, object]:
        """Returns all of it as JSON has it."""
        return {**super().record(), "network": network_to_dict(self.network)}


@dataclass(frozen=True, kw_only=True)
class ClassifyPreset:
    """A configuration and the length of its run."""

    config: ClassifyConfig
    epochs: int
    about: str


CLASSIFY_PRESETS = {
    "ssgan-mnist": ClassifyPreset(
        config=ClassifyConfig(
            preset="ssgan-mnist",
            layout="mlp",
            widths=(1000, 500, 250, 250, 250),
            network=MLPConfig(),
            side=28,
            labels=100,
        ),
        epochs=100,
        about="a classifier of 28x28 grey pictures of which few have labels, and a generator",
    ),
    "ssgan-32": ClassifyPreset(
        config=ClassifyConfig(
            preset="ssgan-32",
            layout="convolutional",
            widths=(32, 64),
            network=DCGANConfig(width=256),
            side=32,
            learning_rate=3e-4,
            generator_learning_rate=3e-4,
            generator_updates=1,
            epsilon=1e-8,
            matching="absolute",
            cooldown=0.33,
        ),
        epochs=100,
        about="the same with convolutions, your pictures at 32x32, labelled ones in folders of "
        "classes and those without in a folder `unlabelled`",
    ),
}
