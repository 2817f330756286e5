"""The classifier's folder: what training writes and measures with, and what the service serves.

    model.safetensors   its tensors, float32 or float16; of batch norms also whole numbers
    config.json         shape, origin and accuracy; SHA-256 of the weights and of itself, and the
                        logits of a few pictures
    README.md           card, for people

Reading checks all of it before anything is used. No torch here: what comes out is NumPy.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors.numpy import load, save

from model.classification.card import classifier_card
from model.classification.config import ClassifierConfig, Kind
from model.classification.layouts import COUNTED, LAYOUTS
from model.files import (
    HASH,
    Fields,
    GeneratorFileError,
    OutputError,
    Sha256,
    check_seal,
    read_tensors,
    sealed,
    validated,
    write_whole,
)
from model.generator_file import CARD, CONFIG, WEIGHTS, read_fields

GOLDEN_SHADES = 40, 215  # levels of the pictures whose logits a file remembers
GOLDEN_DECIMALS = 3

Tensors = dict[str, NDArray[Any]]
# pictures (N, side, side, C) uint8 to logits (N, classes)
Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Golden = tuple[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], ...]


class _Added(Fields):
    """What config.json says beside the configuration."""

    kind: Kind
    sha256: Sha256  # over the weights' file
    golden: Golden = ()  # logits of `golden_pictures`
    config_sha256: Sha256 | None = None  # over the other fields


@dataclass(frozen=True)
class ClassifierFile:
    """A checked folder; weights are float32, but for the counts of batch norms."""

    name: str
    config: ClassifierConfig
    weights: Tensors
    sha256: str  # over the weights' file
    golden: Golden = ()  # none in old files, and without classes

    @property
    def hash(self) -> str:
        """What names the weights, short."""
        return self.sha256[:HASH]

    @property
    def id(self) -> str:
        """name@hash: this classifier and no other."""
        return f"{self.name}@{self.hash}"


def write_classifier(
    folder: Path,
    config: ClassifierConfig,
    tensors: Tensors,
    card: str | None = None,
    load_classifier: Callable[[ClassifierFile], Classify] | None = None,
) -> ClassifierFile:
    """Writes the folder, config.json last: where that is new, all is complete. It remembers the
    logits that what `load_classifier` makes of it gives, and has a card of its own where none is
    given.

    Raises:
        OutputError: it cannot be written there.
    """
    content = content_of(tensors)
    sha256 = hashlib.sha256(content).hexdigest()
    golden: Golden = ()
    if load_classifier and config.classes:
        file = ClassifierFile("", config, _as_float32(tensors), sha256)
        found = load_classifier(file)(golden_pictures(config)).astype(np.float64)
        golden = tuple(tuple(row) for row in found.round(GOLDEN_DECIMALS).tolist())
    added = _Added(kind=config.kind, sha256=sha256, golden=golden)
    fields = {
        "kind": config.kind,
        **config.model_dump(mode="json", exclude_defaults=True),
        **added.model_dump(mode="json", exclude={"kind", "config_sha256"}),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from None
    write_whole(folder / WEIGHTS, content)
    write_whole(folder / CARD, (card or classifier_card(config, sha256[:HASH])).encode())
    write_whole(folder / CONFIG, sealed(fields).encode())
    return read_classifier(folder)


def read_classifier(folder: Path) -> ClassifierFile:
    """Reads and checks a folder.

    Raises:
        GeneratorFileError: a file is missing, too large or damaged; the config is not valid; the
        weights do not match their hash, or are not those of the layout, or not finite.
    """
    path, fields = folder / CONFIG, read_fields(folder, "classifier")
    apart = {name: fields[name] for name in _Added.model_fields if name in fields}
    added = validated(path, _Added, json.dumps(apart))
    rest = {name: value for name, value in fields.items() if name not in apart}
    config = validated(path, ClassifierConfig, json.dumps(rest))
    if added.kind != config.kind:
        raise GeneratorFileError(f"{path}: not a {added.kind}; by its fields it is a {config.kind}")
    if any(len(row) != len(config.classes) for row in added.golden):
        raise GeneratorFileError(f"{path}: golden: a number for each class is wanted")
    check_seal(path, fields)
    weights = _read_weights(folder / WEIGHTS, config, added.sha256)
    name = config.name or folder.resolve().name
    return ClassifierFile(name, config, weights, added.sha256, added.golden)


def content_of(tensors: Tensors) -> bytes:
    """Returns the content of the weights' file; its SHA-256 names them."""
    content: bytes = save(tensors)
    return content


def golden_pictures(config: ClassifierConfig) -> NDArray[np.uint8]:
    """Draws the pictures whose logits a file remembers, (4, side, side, C): halves, a slope, a
    square and a disc.
    """
    side, (dark, light) = config.side, GOLDEN_SHADES
    y, x = np.mgrid[:side, :side] * 2 + 1 - side  # twice the distance from the centre
    shapes = [x > 0, x + y > 0, np.maximum(abs(x), abs(y)) < side / 2, x**2 + y**2 < side**2 / 2]
    levels = np.where(np.stack(shapes), light, dark)[..., None] + 8 * np.arange(config.channels)
    return levels.astype(np.uint8)


def _as_float32(tensors: Tensors) -> Tensors:
    return {
        name: value if value.dtype == np.int64 else value.astype(np.float32)
        for name, value in tensors.items()
    }


def _read_weights(path: Path, config: ClassifierConfig, sha256: str) -> Tensors:
    tensors = read_tensors(path, sha256, load)
    wanted = LAYOUTS[config.layout].shapes(config)
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors or name not in wanted:
            reason = "is missing" if name in wanted else f"is no part of layout {config.layout}"
            raise GeneratorFileError(f"{path}: tensor {name} {reason}")
        value = tensors[name]
        kinds = ("int64",) if name.endswith(COUNTED) else ("float32", "float16")
        if value.dtype not in kinds or value.shape != wanted[name]:
            raise GeneratorFileError(
                f"{path}: tensor {name} is {value.shape} {value.dtype}; {wanted[name]} "
                f"{kinds[0]} is wanted"
            )
        if not np.isfinite(value).all():
            raise GeneratorFileError(f"{path}: tensor {name} holds values that are not finite")
    return _as_float32(tensors)
