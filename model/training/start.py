"""A run that starts from a generator: its networks are the file's before their first step.

    folder or name in the zoo -> checked files -> does the run agree? -> classes by name -> networks

Optimisers and the count of images begin anew; a run that resumes does not look here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn

from model.generator_file import DISCRIMINATOR, GeneratorFile, GeneratorFileError
from model.generator_file import read_generator_file as read_file
from model.generators import generator_folder
from model.networks.registry import FAMILIES
from model.training.class_columns import Tensors, with_comparisons, with_inputs
from model.training.discriminators.discriminator_file import DiscriminatorFile, read_discriminator
from model.training.presets import FIRST_VERSION, PRESETS, TrainConfig
from model.training.run import checkpoint
from model.training.train_step import Networks

# what helps where a field of the run's network is not the file's; only an option that sets it can
HELP = {
    "width": "say --width {}",
    "discriminator_width": "say --discriminator-width {}",
    "channels": "take grey pictures",
}


@dataclass(frozen=True)
class Start:
    """What a run starts from."""

    name: str  # as it was asked for
    file: GeneratorFile
    discriminator: DiscriminatorFile | None

    @property
    def sha256(self) -> str:
        """The hash of the generator's weights, and of the discriminator's where there is one."""
        own = self.file.config.weights_sha256
        return f"{own}+{self.discriminator.header.tensors_sha256}" if self.discriminator else own

    @property
    def preset(self) -> str:
        """The preset that the generator was trained with, by the name that it has today.

        Raises:
            GeneratorFileError: there is none of that name with such a network.
        """
        config = self.file.config
        for name in (config.preset, config.preset + FIRST_VERSION):
            if name in PRESETS and PRESETS[name].config.network.family == config.network.family:
                return name
        raise GeneratorFileError(
            f"--from {self.name}: its preset {config.preset} is not known here; say --preset, one "
            f"whose network is of family {config.network.family}"
        )


def read_start(name: str) -> Start:
    """Reads and checks a generator, by model folder, name in the zoo or hf:owner/name@revision, and
    the discriminator next to it.

    Raises:
        GeneratorFileError: one of them is missing, damaged or of no family that training starts
        from.
    """
    folder = generator_folder(name, DISCRIMINATOR)
    file = read_file(folder)
    if file.config.is_integer:
        raise GeneratorFileError(
            f"--from {name}: is an integer generator: nothing is trained from it; say the one that "
            "it was made of"
        )
    if not file.config.network.trains_further:
        families = ", ".join(sorted(k for k, one in FAMILIES.items() if one.trains_further))
        raise GeneratorFileError(
            f"--from {name}: family is {file.config.network.family}; allowed: {families}"
        )
    return Start(name, file, read_discriminator(folder, file.config))


def suited(config: TrainConfig, start: Start, *, own: bool) -> TrainConfig:
    """Returns the configuration of a run with this start: pictures in the file's size, and where
    `own` the file's own network, without its classes, and prior.
    """
    file = start.file.config
    network = replace(file.network, classes=0) if own else config.network
    config = replace(config, network=network, picture_side=file.crop, start=start.sha256)
    return replace(config, prior=file.prior) if own else config


def check_agrees(config: TrainConfig, start: Start) -> None:
    """Checks the run's network and prior against the file's; classes may differ.

    Raises:
        GeneratorFileError: they differ in a field; the message says in which, and what helps.
    """
    file = start.file.config
    ours = {"family": config.network.family, **asdict(config.network), "prior": config.prior}
    theirs = {"family": file.network.family, **asdict(file.network), "prior": file.prior}
    for field, value in theirs.items():
        anew = field.startswith("discriminator") and start.discriminator is None
        if field == "classes" or anew or ours.get(field) == value:
            continue
        mend = HELP.get(field, f"say --preset {start.preset}, or none").format(value)
        raise GeneratorFileError(
            f"--from {start.name}: its {field} is {value}, this run's is {ours.get(field)}; {mend}"
        )


def begin(networks: Networks, start: Start, classes: Sequence[str]) -> list[str]:
    """Gives the networks the file's weights, for a run on pictures of these classes, none where it
    leaves them out. Returns what happened, for the log.
    """
    file, found = start.file.config, start.discriminator
    weights = {name: torch.from_numpy(value) for name, value in start.file.weights.items()}
    weights = with_inputs(weights, file.network.z_dim, file.classes, classes)
    for network in (networks.generator, networks.generator_ema):
        _put(network, weights)
    notes = [f"starting from {file.id}, which has seen {file.images_seen:,} images"]
    if found is None:
        notes.append(f"it has no {DISCRIMINATOR}: the discriminator starts anew")
    else:
        _judge(networks.discriminator, "discriminator", found, file.classes, classes)
    if found is not None and networks.projected is not None:
        heads = networks.projected.heads
        if found.header.frozen_features:
            _judge(heads, "heads", found, file.classes, classes)
        else:
            notes.append("it was trained without frozen features: their heads start anew")
    if new := [name for name in classes if name not in file.classes and file.classes]:
        notes.append(f"classes that start as the mean of its own: {', '.join(new)}")
    return notes


def _put(network: nn.Module, tensors: Tensors) -> None:
    network.load_state_dict(network.state_dict() | tensors)


def _judge(
    network: nn.Module,
    name: str,
    found: DiscriminatorFile,
    names: Sequence[str],
    classes: Sequence[str],
) -> None:
    """Puts a discriminator's tensors into a network, each comparison with the class adapted."""
    tensors = checkpoint.unpack(name, found.tensors)
    fresh = {key: value.detach().cpu() for key, value in network.state_dict().items()}
    _put(network, with_comparisons(tensors, fresh, names, classes))
