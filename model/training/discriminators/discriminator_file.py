"""The discriminator of a model folder, in a file of its own next to it: training that starts from
the generator reads it, serving never does.

    checkpoint of the generator's moment -> discriminator.safetensors -> checked tensors

The tensors of the discriminator (`discriminator.*`) and, where there was one, of the projected
discriminator's heads (`heads.*`), float16; in the header, as JSON, which generator they belong to.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load, save
from torch import Tensor, nn

from model.files import parse_tensors, write_whole
from model.generator_file import (
    DISCRIMINATOR,
    MAX_WEIGHT_BYTES,
    GeneratorConfig,
    GeneratorFile,
    GeneratorFileError,
    Network,
    Sha256,
    read_bytes,
)
from model.networks.config import NetworkConfig
from model.networks.pytorch import new_discriminator
from model.training.discriminators.projected import Heads
from model.training.run import checkpoint
from model.training.run.checkpoint import CheckpointError

NETWORKS = ("discriminator", "heads")
HEADER = "discriminator"  # field of the file's metadata


class Header(BaseModel):
    """The header: which generator the tensors belong to."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    format: Literal[1] = 1
    network: Network
    objective: str = Field(alias="game")  # its first name, which the files keep
    frozen_features: bool  # whether there are heads, which look through them
    images_seen: int = Field(ge=0)
    generator_sha256: Sha256  # hash of the generator's weights of the same moment
    tensors_sha256: Sha256


@dataclass(frozen=True)
class DiscriminatorFile:
    """A checked file."""

    header: Header
    tensors: dict[str, Tensor]  # float32


def write_discriminator(run: Path, objective: str, file: GeneratorFile, folder: Path) -> str:
    """Writes the discriminator of the moment at which the run had the generator `file` into the
    folder of that generator. Returns a phrase that says what was done.
    """
    config = file.config
    if not config.network.trains_further:
        return f"without a discriminator: of family {config.network.family} no training starts"
    path = checkpoint.path_of(run / "checkpoints", config.images_seen)
    if not path.exists():
        return f"without its discriminator: the checkpoint {path.name} is not kept any more"
    try:
        found = checkpoint.read_checkpoint(path).tensors
    except CheckpointError as error:
        return f"without its discriminator: {error}"
    if not _of_the_same_moment(file, found):
        return f"without its discriminator: {path.name} holds another generator"
    tensors = {
        name: value.half().contiguous()
        for name, value in found.items()
        if name.partition(".")[0] in NETWORKS
    }
    header = Header(
        network=config.network,
        objective=objective,
        frozen_features=any(name.startswith("heads.") for name in tensors),
        images_seen=config.images_seen,
        generator_sha256=config.weights_sha256,
        tensors_sha256=checkpoint.digest(tensors),
    )
    write_whole(
        folder / DISCRIMINATOR, save(tensors, {HEADER: header.model_dump_json(by_alias=True)})
    )
    return f"with its discriminator, {DISCRIMINATOR}"


def read_discriminator(folder: Path, generator: GeneratorConfig) -> DiscriminatorFile | None:
    """Reads and checks the discriminator next to a generator; returns None where there is none.

    Raises:
        GeneratorFileError: it is damaged, of another generator, or not of its network's shapes, or
        holds values that are not finite.
    """
    path = folder / DISCRIMINATOR
    if not path.exists():
        return None
    content = read_bytes(path, MAX_WEIGHT_BYTES)
    tensors, header = parse_tensors(path, content, load, HEADER, Header)
    if header.generator_sha256 != generator.weights_sha256 or header.network != generator.network:
        raise GeneratorFileError(
            f"{path}: of another generator, {header.generator_sha256[:12]}..., not of "
            f"{generator.id}; without this file the discriminator starts anew"
        )
    _check(path, tensors, header)
    return DiscriminatorFile(header, {name: value.float() for name, value in tensors.items()})


def _of_the_same_moment(file: GeneratorFile, tensors: dict[str, Tensor]) -> bool:
    """Returns whether the average is the generator, apart from the statistics of its norms, which
    were estimated anew.
    """
    weights = {
        f"average.{name}": torch.from_numpy(value)
        for name, value in file.weights.items()
        if ".statistics." not in name
    }
    return all(
        name in tensors and torch.equal(tensors[name].half().float(), value)
        for name, value in weights.items()
    )


def _check(path: Path, tensors: dict[str, Tensor], header: Header) -> None:
    wanted = _shapes(header.network, header.frozen_features)
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise GeneratorFileError(f"{path}: tensor {name} is missing")
        if name not in wanted:
            raise GeneratorFileError(f"{path}: tensor {name} is not part of the network")
        found = tensors[name]
        if found.dtype != torch.float16 or found.shape != wanted[name]:
            raise GeneratorFileError(
                f"{path}: tensor {name} is {tuple(found.shape)} {found.dtype}; "
                f"{wanted[name]} float16 is wanted"
            )
        if not found.isfinite().all():
            raise GeneratorFileError(f"{path}: tensor {name} holds values that are not finite")
    if checkpoint.digest(tensors) != header.tensors_sha256:
        raise GeneratorFileError(f"{path}: damaged: its tensors do not match their hash")


def _shapes(network: NetworkConfig, heads: bool) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):  # shapes alone
        networks: dict[str, nn.Module] = {"discriminator": new_discriminator(network)}
        if heads:
            networks["heads"] = Heads(network.resolution, network.classes)
    return {
        name: tuple(value.shape)
        for prefix, module in networks.items()
        for name, value in checkpoint.pack(prefix, module.state_dict()).items()
    }
