"""The upscaler of a model folder, in a file of its own next to the generator; or in a folder alone.

    upscaler.safetensors   its tensors, float16 or integers; in the header, as JSON, what they are

What names it is the SHA-256 of the whole file, which the generator's config.json holds. Reading
checks all of it before anything is used. No torch here: what comes out is NumPy.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainSerializer
from safetensors.numpy import load, save

from model.files import (
    HASH,
    MAX_WEIGHT_BYTES,
    Fields,
    GeneratorFileError,
    Sha256,
    TrainingData,
    parse_tensors,
    read_bytes,
    write_whole,
)
from model.integers.checks import check_integers
from model.integers.steps import Tensors, tensors_of
from model.networks.layers import Weights
from model.upscaling.config import UpscalerConfig, upscaler_from_dict, upscaler_to_dict

UPSCALER = "upscaler.safetensors"
FIELD = "upscaler"  # in the file's metadata
GOLDEN_SIDE = 8  # pixels per side of the picture whose enlargements a file remembers
NOISE_SIDE = 16  # the same of that of an integer upscaler

# pictures (N, H, W, C) and a scale to pictures (N, scale H, scale W, C)
Upscale = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]


def _parse_network(value: Any) -> UpscalerConfig:
    if isinstance(value, UpscalerConfig):
        return value
    if not isinstance(value, dict):
        raise ValueError("an object with the network's fields is wanted")
    return upscaler_from_dict(value)


class UpscalerHeader(Fields):
    """What the tensors are, and where they come from."""

    format: Literal[1] = 1
    network: Annotated[
        UpscalerConfig, BeforeValidator(_parse_network), PlainSerializer(upscaler_to_dict)
    ]
    preset: str
    data: TrainingData
    images_seen: Annotated[int, Field(ge=0)]
    licence: Annotated[str, Field(max_length=2000)] = "Not stated."  # the data's
    metrics: dict[str, float] = Field(default_factory=dict)  # by name, which holds its protocol
    weights_dtype: Literal["float16", "int8"] = "float16"
    tensors_sha256: Sha256
    golden: Annotated[str, Field(pattern="^([0-9a-f]{2}){0,1024}$")] = ""  # see `remembered`

    @property
    def is_integer(self) -> bool:
        """Whether it is an integer upscaler, which enlarges to the same bytes everywhere."""
        return self.weights_dtype == "int8"


@dataclass(frozen=True)
class UpscalerFile:
    """A checked file."""

    header: UpscalerHeader
    tensors: Tensors  # float32, but of an integer upscaler
    sha256: str  # over the whole file

    @property
    def weights(self) -> Weights:
        """The network's tensors.

        Raises:
            GeneratorFileError: it is an integer upscaler, which has none.
        """
        if self.header.is_integer:
            raise GeneratorFileError(
                f"upscaler {self.hash} is one of integers: nothing is made of it; take the one "
                "that it was made of"
            )
        return self.tensors

    @property
    def hash(self) -> str:
        """What names it, short."""
        return self.sha256[:HASH]

    @property
    def scales(self) -> tuple[int, ...]:
        """Scales that it enlarges by."""
        return self.header.network.scales


def write_upscaler(
    folder: Path,
    weights: Tensors,
    load_upscaler: Callable[[UpscalerFile], Upscale] | None = None,
    **fields: Any,
) -> UpscalerFile:
    """Writes the file into a folder that is there, with the golden pictures that what
    `load_upscaler` makes of it gives; `fields` are those of UpscalerHeader that are not computed.

    Raises:
        OutputError: it cannot be written there.
        GeneratorFileError: the tensors are none of an upscaler's.
    """
    tensors = weights
    if fields.get("weights_dtype") != "int8":
        tensors = {name: np.ascontiguousarray(value, np.float16) for name, value in weights.items()}
    header = UpscalerHeader(**fields, tensors_sha256=_digest(tensors))
    _check_tensors(folder / UPSCALER, tensors, header)
    if load_upscaler:
        upscale = load_upscaler(UpscalerFile(header, _as_used(tensors, header), ""))
        header = header.model_copy(update={"golden": remembered(upscale, header).hex()})
    # an upscaler in floats has the text of before there were others
    unsaid = None if header.is_integer else {"weights_dtype"}
    write_whole(folder / UPSCALER, save(tensors, {FIELD: header.model_dump_json(exclude=unsaid)}))
    return read_upscaler(folder / UPSCALER)


def read_upscaler(path: Path) -> UpscalerFile:
    """Reads and checks an upscaler's file; weights in floats come back as float32.

    Raises:
        GeneratorFileError: it is missing, too large or damaged, or its tensors are not those of its
        network, not finite, or integers that not every runtime computes alike.
    """
    content = read_bytes(path, MAX_WEIGHT_BYTES)
    tensors, header = parse_tensors(path, content, load, FIELD, UpscalerHeader)
    _check_tensors(path, tensors, header)
    return UpscalerFile(header, _as_used(tensors, header), hashlib.sha256(content).hexdigest())


def remembered(upscale: Upscale, header: UpscalerHeader) -> bytes:
    """Returns what a file remembers of its enlargements: of an integer upscaler the SHA-256 of
    those of a picture of noise, at all its scales; of another `golden`.
    """
    if not header.is_integer:
        return golden(upscale, header.network).tobytes()
    pixels = noise(header.network.channels)
    large = [upscale(pixels, scale) for scale in header.network.scales]
    return hashlib.sha256(b"".join(found.tobytes() for found in large)).digest()


def noise(channels: int) -> NDArray[np.uint8]:
    """Returns the picture whose enlargements an integer upscaler's file remembers, (1, NOISE_SIDE,
    NOISE_SIDE, C).
    """
    row, column, channel = np.ogrid[:NOISE_SIDE, :NOISE_SIDE, :channels]
    values = 37 * row**2 + 101 * column + 53 * row * column**2 + 85 * channel
    pixels: NDArray[np.uint8] = values.astype(np.uint8)[None]
    return pixels


def golden(upscale: Upscale, network: UpscalerConfig) -> NDArray[np.uint8]:
    """Reduces the enlargements of a picture of edges to 4 x 4 pixels each, (scales, 4, 4, C): what
    survives a change in the last bits of arithmetic, and little else.
    """
    places = np.arange(GOLDEN_SIDE)
    picture = np.where(places[:, None] > places, 230, 20)[None, ..., None]
    picture = (picture + 8 * np.arange(network.channels)).astype(np.uint8)
    found = []
    for scale in network.scales:
        large = upscale(picture, scale)[0].astype(np.float64)
        side = GOLDEN_SIDE * scale // 4
        means = large.reshape(4, side, 4, side, network.channels).mean((1, 3))
        found.append(means.round().astype(np.uint8))
    return np.stack(found)


def _digest(tensors: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.shape} {value.dtype}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _check_tensors(path: Path, tensors: dict[str, NDArray[Any]], header: UpscalerHeader) -> None:
    network = header.network
    steps = network.steps(*network.scales)
    wanted = {name: ("float16", shape) for name, shape in network.shapes().items()}
    if header.is_integer:
        wanted = tensors_of(steps)
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise GeneratorFileError(f"{path}: tensor {name} is missing")
        if name not in wanted:
            raise GeneratorFileError(f"{path}: tensor {name} is not part of the network")
        found, (dtype, shape) = tensors[name], wanted[name]
        if found.dtype != dtype or found.shape != shape:
            raise GeneratorFileError(
                f"{path}: tensor {name} is {found.shape} {found.dtype}; {shape} {dtype} is wanted"
            )
        if not np.isfinite(found).all():
            raise GeneratorFileError(f"{path}: tensor {name} holds values that are not finite")
    if _digest(tensors) != header.tensors_sha256:
        raise GeneratorFileError(f"{path}: damaged: its tensors do not match their hash")
    if header.is_integer:
        try:
            check_integers(steps, tensors)
        except ValueError as error:
            raise GeneratorFileError(f"{path}: {error}") from None


def _as_used(tensors: Tensors, header: UpscalerHeader) -> Tensors:
    if header.is_integer:
        return tensors
    return {name: value.astype(np.float32) for name, value in tensors.items()}
