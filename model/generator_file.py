"""The model folder: a folder that is the only bridge between training and serving.

    model.safetensors   the generator's tensors and its directions, float16 or float32
    config.json         network, prior, crop, data, images seen, metrics; SHA-256 of the weights and
                        of itself, and what the first pictures look like
    README.md           model card, for people
    samples.png, model.onnx, discriminator.safetensors
                        optional, next to the others; nothing here reads them

Reading checks all of it before anything is used. No torch here: what comes out is NumPy.
"""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)
from safetensors import SafetensorError
from safetensors.numpy import load, save

from model.latent_space.directions import (
    DIRECTIONS,
    closed_form_directions,
    sensible_range,
)
from model.latent_space.latents import Prior, sample_rows
from model.mistakes import Mistake
from model.networks.config import MAX_CLASSES, NetworkConfig
from model.networks.registry import network_from_dict, network_to_dict

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"
SAMPLES = "samples.png"
ONNX = "model.onnx"
DISCRIMINATOR = "discriminator.safetensors"
FILES = (CONFIG, WEIGHTS, CARD, SAMPLES, ONNX, DISCRIMINATOR)  # what belongs to a model folder
DIRECTIONS_TENSOR = "directions"
MAX_WEIGHT_BYTES = 2**30
MAX_CONFIG_BYTES = 2**20  # half of it holds the names of as many classes as there may be
MAX_CLASS_NAME = 128  # characters
GOLDEN_SEEDS = 4  # the first, whose pictures a file remembers
HASH = 12  # hexadecimal digits of the weights' SHA-256 that name them
# fields that writing fills in
COMPUTED = ("weights_sha256", "directions", "direction_range", "golden", "config_sha256")

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class GeneratorFileError(Mistake):
    """A model folder cannot be used; the message says which file, what is wrong and what is
    expected.
    """


def _parse_network(value: Any) -> NetworkConfig:
    if isinstance(value, NetworkConfig):
        return value
    if not isinstance(value, dict):
        raise ValueError("an object with the network's fields is wanted")
    return network_from_dict(value)


Network = Annotated[
    NetworkConfig, BeforeValidator(_parse_network), PlainSerializer(network_to_dict)
]
ClassName = Annotated[str, Field(pattern=rf"^[^\x00-\x1f\x7f]{{1,{MAX_CLASS_NAME}}}$")]

_CLASS_NAME = TypeAdapter[str](ClassName)


def check_classes(names: Sequence[str]) -> None:
    """Checks that a model folder can hold these classes.

    Raises:
        ValueError: there are too many, or two of a name, or a name is too long, empty or has
        control characters; the message says which, and what is allowed.
    """
    if len(names) > MAX_CLASSES:
        raise ValueError(f"{len(names):,} classes; allowed: up to {MAX_CLASSES:,}")
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValueError(f"two classes are called {name!a}")
        try:
            _CLASS_NAME.validate_python(name, strict=True)
        except ValidationError:
            raise ValueError(
                f"class {name[:MAX_CLASS_NAME]!a} has {len(name)} characters; allowed: 1 to "
                f"{MAX_CLASS_NAME}, no control characters"
            ) from None


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TrainingData(_Fields):
    """Which pictures a generator has learnt from."""

    name: str
    split: Literal["train", "test", "all"]
    images: Annotated[int, Field(ge=1)]
    sha256: Sha256  # over the pictures and labels, see Dataset.fingerprint


class GeneratorConfig(_Fields):
    """config.json: everything that serving needs to know, and where the weights come from."""

    format: Literal[1] = 1
    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]
    preset: str
    network: Network
    prior: Prior
    value_range: tuple[Literal[-1], Literal[1]] = (-1, 1)  # the network's output
    crop: Annotated[
        int, Field(ge=1)
    ]  # pixels per side of the served picture: the centre of the network's output
    classes: tuple[ClassName, ...] = ()  # names, in the order of the network's inputs
    data: TrainingData
    directions: Annotated[int, Field(ge=0, le=DIRECTIONS)] = 0
    direction_range: Annotated[float, Field(ge=0, le=100)] = 0.0  # an edit's strength, either way
    licence: Annotated[str, Field(max_length=2000)] = "Not stated."  # the data's
    images_seen: Annotated[int, Field(ge=0)]
    weights_dtype: Literal["float16", "float32"] = "float16"
    weights_sha256: Sha256
    metrics: dict[str, float | int | list[int]] = {}  # by name; each name holds its protocol
    golden: Annotated[str, Field(pattern="^([0-9a-f]{2}){0,1024}$")] = ""  # see `golden`
    config_sha256: Sha256 | None = None  # over the other fields

    @property
    def hash(self) -> str:
        """What names the weights, short."""
        return self.weights_sha256[:HASH]

    @cached_property
    def id(self) -> str:
        """name@hash: this generator and no other."""
        return f"{self.name}@{self.hash}"

    def rows(self, seeds: Sequence[int], class_: int | None = None) -> NDArray[np.float32]:
        """Makes the network's input for seeds, see `sample_rows`."""
        network = self.network
        return sample_rows(seeds, network.z_dim, self.prior, network.classes, class_)


@dataclass(frozen=True)
class GeneratorFile:
    """A checked model folder."""

    config: GeneratorConfig
    weights: dict[str, NDArray[np.float32]]
    directions: NDArray[np.float32]  # (D, z_dim), unit vectors


Generate = Callable[[NDArray[np.float32]], NDArray[np.uint8]]  # rows to pictures (N, side, side, C)


def write_generator_file(
    folder: Path,
    weights: dict[str, NDArray[np.float32]],
    card: str,
    load: Callable[[GeneratorFile], Generate] | None = None,
    **fields: Any,
) -> GeneratorConfig:
    """Writes the folder next to its place and moves it there, with the directions of the weights
    and the golden pictures that what `load` makes of it generates; `fields` are those of
    GeneratorConfig, less the COMPUTED.
    """
    network, dtype = fields["network"], fields.get("weights_dtype", "float16")
    # from the weights as they will be read, so that a file that is written again stays the same
    rounded = {name: value.astype(dtype).astype(np.float32) for name, value in weights.items()}
    weight = network.first_layer(rounded)
    directions = closed_form_directions(weight, DIRECTIONS)
    tensors = weights | ({DIRECTIONS_TENSOR: directions} if len(directions) else {})
    content = save(
        {name: np.ascontiguousarray(value.astype(dtype)) for name, value in tensors.items()}
    )
    config = GeneratorConfig(
        **fields,
        directions=len(directions),
        direction_range=sensible_range(fields["prior"], network.z_dim),
        weights_sha256=hashlib.sha256(content).hexdigest(),
    )
    if load:
        generate = load(GeneratorFile(config, rounded, directions))
        config = config.model_copy(update={"golden": golden(generate, config).tobytes().hex()})
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    (temporary / WEIGHTS).write_bytes(content)
    (temporary / CONFIG).write_text(_text(config), encoding="utf-8")
    (temporary / CARD).write_text(card)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return config


def read_generator_file(folder: Path) -> GeneratorFile:
    """Reads and checks a model folder; the weights come back as float32.

    Raises:
        GeneratorFileError: a file is missing, too large or damaged; the config is not valid; the
        weights do not match their hash, the network's names and shapes, or are not finite.
    """
    config = _read_config(folder)
    content = read_bytes(folder / WEIGHTS, MAX_WEIGHT_BYTES)
    found = hashlib.sha256(content).hexdigest()
    if found != config.weights_sha256:
        raise GeneratorFileError(
            f"{folder / WEIGHTS}: damaged or of another config: its SHA-256 is {found[:12]}..., "
            f"{CONFIG} says {config.weights_sha256[:12]}..."
        )
    try:
        weights = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise GeneratorFileError(f"{folder / WEIGHTS}: not a safetensors file ({error})") from None
    _check_tensors(folder / WEIGHTS, weights, config)
    tensors = {name: value.astype(np.float32) for name, value in weights.items()}
    none = np.empty((0, config.network.z_dim), np.float32)
    directions = tensors.pop(DIRECTIONS_TENSOR, none)
    return GeneratorFile(config, tensors, directions)


def golden(generate: Generate, config: GeneratorConfig) -> NDArray[np.uint8]:
    """Reduces the pictures of the first seeds to 4 x 4 pixels each, (GOLDEN_SEEDS, 4, 4, C): what
    survives a change in the last bits of arithmetic, and little else.
    """
    sums = generate(config.rows(range(GOLDEN_SEEDS))).astype(np.float64)
    edges = np.linspace(0, config.crop, 5).astype(int)
    for axis in (1, 2):
        sums = np.add.reduceat(sums, edges[:-1], axis)
    sides = np.maximum(1, np.diff(edges))
    means: NDArray[np.uint8] = (sums / np.outer(sides, sides)[..., None]).round().astype(np.uint8)
    return means


def _text(config: GeneratorConfig) -> str:
    """Returns the text of config.json."""
    fields = config.model_dump(mode="json", exclude={"config_sha256"})
    whole = {**fields, "config_sha256": _digest(fields)}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _digest(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _read_config(folder: Path) -> GeneratorConfig:
    if not folder.is_dir():
        raise GeneratorFileError(
            f"{folder}: no such folder; one is a folder with {CONFIG} and {WEIGHTS}"
        )
    path = folder / CONFIG
    content = read_bytes(path, MAX_CONFIG_BYTES)
    try:
        config = GeneratorConfig.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise GeneratorFileError(f"{path}: {where}: {first['msg']}") from None
    if len(set(config.classes)) != config.network.classes:
        raise GeneratorFileError(
            f"{path}: {len(set(config.classes))} different classes are named, the network has "
            f"{config.network.classes}"
        )
    if config.crop > config.network.resolution or (config.network.resolution - config.crop) % 2:
        raise GeneratorFileError(
            f"{path}: crop is {config.crop}; allowed: up to {config.network.resolution}, "
            "with an even margin"
        )
    if config.config_sha256:
        fields = json.loads(content)
        if fields.pop("config_sha256") != _digest(fields):
            raise GeneratorFileError(
                f"{path}: damaged: not what was written; if it was changed on purpose, take the "
                "field config_sha256 out"
            )
    return config


def read_bytes(path: Path, limit: int) -> bytes:
    """Reads the content of a regular file.

    Raises:
        GeneratorFileError: it is missing, something else, too large or cannot be read.
    """
    try:
        # a pipe in its place would be waited for
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise GeneratorFileError(f"{path}: not a regular file")
            content = stream.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise GeneratorFileError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise GeneratorFileError(f"{path}: not a regular file") from None
    except OSError as error:
        raise GeneratorFileError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > limit:
        raise GeneratorFileError(f"{path}: more than the {limit:,} bytes allowed")
    return content


def _check_tensors(path: Path, weights: dict[str, NDArray[Any]], config: GeneratorConfig) -> None:
    wanted = config.network.generator_shapes()
    if config.directions:
        wanted[DIRECTIONS_TENSOR] = (config.directions, config.network.z_dim)
    for name, shape in wanted.items():
        if name not in weights:
            raise GeneratorFileError(f"{path}: tensor {name} is missing")
        if weights[name].shape != shape:
            raise GeneratorFileError(
                f"{path}: tensor {name} is {weights[name].shape}, the network wants {shape}"
            )
        if weights[name].dtype != config.weights_dtype:
            raise GeneratorFileError(
                f"{path}: tensor {name} is {weights[name].dtype}; "
                f"{CONFIG} says {config.weights_dtype}"
            )
        if not np.isfinite(weights[name]).all():
            raise GeneratorFileError(f"{path}: tensor {name} holds values that are not finite")
    unknown = weights.keys() - wanted.keys()
    if unknown:
        raise GeneratorFileError(f"{path}: tensor {min(unknown)} is not part of the network")
