"""The model folder: a folder that is the only bridge between training and serving.

    model.safetensors   the generator's tensors and its directions, float16 or float32; of an
                        integer generator those that docs/integers.md names
    config.json         network, prior, crop, data, images seen, metrics; SHA-256 of the weights and
                        of itself, and what the first pictures look like
    README.md           model card, for people
    upscaler.safetensors  optional: what enlarges its pictures; config.json has its SHA-256
    samples.png, model.onnx, discriminator.safetensors
                        optional, next to the others; nothing here reads them

Reading checks all of it before anything is used. No torch here: what comes out is NumPy.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)
from safetensors.numpy import load, save

from model.files import HASH as HASH
from model.files import MAX_WEIGHT_BYTES as MAX_WEIGHT_BYTES
from model.files import (
    SEAL,
    Fields,
    TrainingData,
    check_seal,
    read_tensors,
    sealed,
    validated,
    write_whole,
)
from model.files import GeneratorFileError as GeneratorFileError
from model.files import Sha256 as Sha256
from model.files import read_bytes as read_bytes
from model.integers.checks import check_integers
from model.integers.steps import Tensors, tensors_of
from model.integers.trace import NoIntegersError, steps_of
from model.latent_space.directions import (
    DIRECTIONS,
    closed_form_directions,
    sensible_range,
)
from model.latent_space.latents import Prior, sample_rows
from model.networks.config import MAX_CLASSES, NetworkConfig
from model.networks.registry import network_from_dict, network_to_dict
from model.upscaling.upscaler_file import UPSCALER, UpscalerFile, read_upscaler

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"
SAMPLES = "samples.png"
ONNX = "model.onnx"
DISCRIMINATOR = "discriminator.safetensors"
HISTORY, HISTORY_SHEET = "history.json", "history.webp"  # how it came to be, for the page
FILES = (
    CONFIG,
    WEIGHTS,
    CARD,
    SAMPLES,
    ONNX,
    DISCRIMINATOR,
    UPSCALER,
    HISTORY,
    HISTORY_SHEET,
)  # that belong to a model folder
DIRECTIONS_TENSOR = "directions"
MAX_CONFIG_BYTES = 2**20  # half of it holds the names of as many classes as there may be
MAX_HISTORY = 2**20  # bytes of each of its files
MAX_CLASS_NAME = 128  # characters
GOLDEN_SEEDS = 4  # the first, whose pictures a file remembers
INTEGER_GOLDEN = 16  # the same of an integer generator
# folders of runs and exports in which a model's folder lies
Model = Literal["generator", "classifier"]
PLACES: dict[Model, tuple[str, ...]] = {
    "generator": ("best", "last", "last/generator", "generator"),
    "classifier": ("last/classifier", "classifier"),
}
# fields that writing fills in
COMPUTED = ("weights_sha256", "directions", "direction_range", "golden", "config_sha256")


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

DirectionName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{0,40}$")]
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
            if any("\ud800" <= character <= "\udfff" for character in name):
                raise ValueError(
                    f"class {name[:MAX_CLASS_NAME]!a}: its name is not UTF-8; rename the folder"
                ) from None
            raise ValueError(
                f"class {name[:MAX_CLASS_NAME]!a} has {len(name)} characters; allowed: 1 to "
                f"{MAX_CLASS_NAME}, no control characters"
            ) from None


class GeneratorConfig(Fields):
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
    # what is seen to change along each, "" where nobody has said; none: of no direction
    direction_names: tuple[DirectionName, ...] = ()
    licence: Annotated[str, Field(max_length=2000)] = "Not stated."  # the data's
    images_seen: Annotated[int, Field(ge=0)]
    weights_dtype: Literal["float16", "float32", "int8"] = "float16"
    weights_sha256: Sha256
    metrics: dict[str, float | int | list[int]] = Field(
        default_factory=dict
    )  # by name; each name holds its protocol
    golden: Annotated[str, Field(pattern="^([0-9a-f]{2}){0,1024}$")] = ""  # see `golden`
    upscaler: Sha256 | None = None  # names the file that enlarges the pictures
    config_sha256: Sha256 | None = None  # over the other fields

    @property
    def is_integer(self) -> bool:
        """Whether it is an integer generator, which draws the same bytes everywhere."""
        return self.weights_dtype == "int8"

    def served_in(self, precision: str) -> str:
        """Returns the precision in which pictures are computed where this one is asked for."""
        return "int8" if self.is_integer else precision

    @property
    def hash(self) -> str:
        """What names the weights, short."""
        return self.weights_sha256[:HASH]

    @cached_property
    def id(self) -> str:
        """name@hash: this generator and no other."""
        return f"{self.name}@{self.hash}"

    @cached_property
    def upscaled_id(self) -> str | None:
        """name@hash-hash: this generator with its upscaler and no other; None without one."""
        return self.upscaler and f"{self.id}-{self.upscaler[:HASH]}"

    def rows(self, seeds: Sequence[int], class_: int | None = None) -> NDArray[np.float32]:
        """Makes the network's input for seeds, see `sample_rows`."""
        network = self.network
        return sample_rows(seeds, network.z_dim, self.prior, network.classes, class_)


@dataclass(frozen=True)
class GeneratorFile:
    """A checked model folder."""

    config: GeneratorConfig
    tensors: Tensors  # float32, but of an integer generator
    directions: NDArray[np.float32]  # (D, z_dim), unit vectors
    upscaler: UpscalerFile | None = None

    @property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The network's tensors.

        Raises:
            GeneratorFileError: it is an integer generator, which has none.
        """
        if self.config.is_integer:
            raise GeneratorFileError(
                f"{self.config.id} is an integer generator: nothing is trained from it; take the "
                "generator that it was made of"
            )
        return self.tensors


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
    return _write(folder, content, card, load, rounded, directions, fields)


def write_integer_file(
    folder: Path,
    tensors: Tensors,
    directions: NDArray[np.float32],
    card: str,
    load: Callable[[GeneratorFile], Generate],
    **fields: Any,
) -> GeneratorConfig:
    """Writes an integer generator, as `write_generator_file` does, once its tensors are checked.

    Raises:
        GeneratorFileError: they are none of an integer generator's.
    """
    fields["weights_dtype"] = "int8"
    named = tensors | ({DIRECTIONS_TENSOR: directions} if len(directions) else {})
    _check_integers(folder / WEIGHTS, named, fields["network"], len(directions))
    return _write(folder, save(named), card, load, tensors, directions, fields)


def _write(
    folder: Path,
    content: bytes,
    card: str,
    load: Callable[[GeneratorFile], Generate] | None,
    tensors: Tensors,
    directions: NDArray[np.float32],
    fields: dict[str, Any],
) -> GeneratorConfig:
    config = GeneratorConfig(
        **fields,
        directions=len(directions),
        direction_range=sensible_range(fields["prior"], fields["network"].z_dim),
        weights_sha256=hashlib.sha256(content).hexdigest(),
    )
    if load:
        generate = load(GeneratorFile(config, tensors, directions))
        config = config.model_copy(update={"golden": remembered(generate, config).hex()})
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    (temporary / WEIGHTS).write_bytes(content)
    (temporary / CONFIG).write_text(_text(config), encoding="utf-8")
    (temporary / CARD).write_text(card)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return config


def read_fields(folder: Path, wanted: Model) -> dict[str, Any]:
    """Reads the fields of config.json in the folder of a model of the kind that is `wanted`.

    Raises:
        GeneratorFileError: it is missing, too large, no JSON object, or of the other kind.
    """
    path = folder / CONFIG
    with suppress(OSError):  # reading says what a folder is that may not be looked into
        if not folder.is_dir():
            raise GeneratorFileError(
                f"{folder}: no such folder; one is a folder with {CONFIG} and {WEIGHTS}"
            )
        if not path.exists():
            for inside in (folder / place for place in PLACES[wanted]):
                if (inside / CONFIG).is_file():
                    raise GeneratorFileError(
                        f"{path}: no such file; {inside} is a {wanted}'s folder"
                    )
    content = read_bytes(path, MAX_CONFIG_BYTES)
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise GeneratorFileError(f"{path}: not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise GeneratorFileError(f"{path}: an object is wanted")
    found = "classifier" if "kind" in fields else "generator" if "format" in fields else wanted
    if found != wanted:
        raise GeneratorFileError(f"{path}: of a {found}; the folder of a {wanted} is wanted")
    return fields


def read_generator_file(folder: Path) -> GeneratorFile:
    """Reads and checks a model folder; the weights come back as float32.

    Raises:
        GeneratorFileError: a file is missing, too large or damaged; the config is not valid; the
        weights do not match their hash, the network's names and shapes, or are not finite.
    """
    config = _read_config(folder)
    weights = read_tensors(folder / WEIGHTS, config.weights_sha256, load)
    if config.is_integer:
        tensors = dict(weights)
        _check_integers(folder / WEIGHTS, tensors, config.network, config.directions)
    else:
        _check_tensors(folder / WEIGHTS, weights, config)
        tensors = {name: value.astype(np.float32) for name, value in weights.items()}
    none = np.empty((0, config.network.z_dim), np.float32)
    directions = tensors.pop(DIRECTIONS_TENSOR, none)
    return GeneratorFile(config, tensors, directions, _read_upscaler(folder, config))


def add_upscaler(folder: Path, source: Path) -> GeneratorConfig:
    """Adds the upscaler of the file `source` to a model folder, or puts it in the place of another;
    what names the generator and its pictures stays. Between its two writes the folder is not
    readable.

    Raises:
        GeneratorFileError: one of them cannot be used, or they are of different channels.
        OutputError: the folder cannot be written to.
    """
    file, config = read_upscaler(source), _read_config(folder)
    check_channels(source, file, config)
    config = config.model_copy(update={"upscaler": file.sha256})
    write_whole(folder / UPSCALER, source.read_bytes())
    write_whole(folder / CONFIG, _text(config).encode())
    return read_generator_file(folder).config


def name_directions(folder: Path, names: Mapping[int, str]) -> GeneratorConfig:
    """Writes names for some directions into a model folder, "" for none: what is seen to change
    along them. What names the generator and its pictures stays.

    Raises:
        GeneratorFileError: the folder cannot be used, has no such direction, or a name is too long,
            has a control character, or is another's.
        OutputError: the folder cannot be written to.
    """
    path, config = folder / CONFIG, _read_config(folder)
    if unknown := [number for number in names if number >= config.directions]:
        raise GeneratorFileError(
            f"{folder}: no direction d{unknown[0]}; there are {config.directions}, from d0"
        )
    known = config.direction_names or ("",) * config.directions
    named = tuple(names.get(place, name) for place, name in enumerate(known))
    named = named if any(named) else ()
    text = _text(config.model_copy(update={"direction_names": named}))
    _check_direction_names(path, validated(path, GeneratorConfig, text.encode()))
    write_whole(path, text.encode())
    return read_generator_file(folder).config


def remembered(generate: Generate, config: GeneratorConfig) -> bytes:
    """Returns what a file remembers of its first pictures: of an integer generator the SHA-256 of
    the first INTEGER_GOLDEN, of another `golden`.
    """
    if config.is_integer:
        return hashlib.sha256(generate(config.rows(range(INTEGER_GOLDEN))).tobytes()).digest()
    return golden(generate, config).tobytes()


def read_history(folder: Path) -> dict[str, bytes]:
    """Reads how a generator came to be, "json" and "webp"; empty where its folder does not say, or
    where either is no such small file.
    """
    paths = {"json": folder / HISTORY, "webp": folder / HISTORY_SHEET}
    if any(not path.is_file() or path.stat().st_size > MAX_HISTORY for path in paths.values()):
        return {}
    return {name: path.read_bytes() for name, path in paths.items()}


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
    # without an upscaler or names the text is that of before there were any
    later = {name for name in ("upscaler", "direction_names") if not getattr(config, name)}
    fields = config.model_dump(mode="json", exclude={SEAL, *later})
    return sealed(fields)


def _read_config(folder: Path) -> GeneratorConfig:
    path, fields = folder / CONFIG, read_fields(folder, "generator")
    config = validated(path, GeneratorConfig, json.dumps(fields))
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
    _check_direction_names(path, config)
    check_seal(path, fields)
    return config


def _check_direction_names(path: Path, config: GeneratorConfig) -> None:
    names = [name for name in config.direction_names if name]
    if len(config.direction_names) not in (0, config.directions) or len(set(names)) < len(names):
        raise GeneratorFileError(
            f"{path}: direction_names: {config.directions} different ones are wanted, or none"
        )


def _read_upscaler(folder: Path, config: GeneratorConfig) -> UpscalerFile | None:
    path = folder / UPSCALER
    if config.upscaler is None:
        if path.exists():
            raise GeneratorFileError(
                f"{path}: {CONFIG} does not name it; take it away, or let `export --into` add it"
            )
        return None
    file = read_upscaler(path)
    if file.sha256 != config.upscaler:
        raise GeneratorFileError(
            f"{path}: damaged or another one: its SHA-256 is {file.hash}..., {CONFIG} says "
            f"{config.upscaler[:HASH]}..."
        )
    check_channels(path, file, config)
    return file


def check_channels(path: Path, file: UpscalerFile, config: GeneratorConfig) -> None:
    """Checks that an upscaler, of the file `path`, is for a generator's pictures.

    Raises:
        GeneratorFileError: they have another number of channels.
    """
    channels = file.header.network.channels
    if channels != config.network.channels:
        raise GeneratorFileError(
            f"{path}: for pictures of {channels} channels; those of {config.name} have "
            f"{config.network.channels}"
        )


def _check_integers(path: Path, tensors: Tensors, network: NetworkConfig, directions: int) -> None:
    """Checks the tensors of an integer generator.

    Raises:
        GeneratorFileError: one is missing, not known, of another type or shape, or holds values
        that not every runtime computes alike.
    """
    try:
        steps = steps_of(network)
    except NoIntegersError as error:
        raise GeneratorFileError(f"{path}: {error}") from None
    wanted = tensors_of(steps)
    if directions:
        wanted[DIRECTIONS_TENSOR] = "float32", (directions, network.z_dim)
    for name, (dtype, shape) in wanted.items():
        if name not in tensors:
            raise GeneratorFileError(f"{path}: tensor {name} is missing")
        found = tensors[name]
        if found.dtype != dtype or found.shape != shape:
            raise GeneratorFileError(
                f"{path}: tensor {name} is {found.dtype} {found.shape}, the network wants "
                f"{dtype} {shape}"
            )
    if unknown := tensors.keys() - wanted.keys():
        raise GeneratorFileError(f"{path}: tensor {min(unknown)} is not part of the network")
    if directions and not np.isfinite(tensors[DIRECTIONS_TENSOR]).all():
        raise GeneratorFileError(f"{path}: tensor {DIRECTIONS_TENSOR} holds values not finite")
    try:
        check_integers(steps, tensors)
    except ValueError as error:
        raise GeneratorFileError(f"{path}: {error}") from None


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
