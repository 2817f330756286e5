"""Which picture is asked for: the one owner of that question, for service, commands and Python.

    source + changes -> rows (N, z_dim + classes) -> sampler (-> upscaler) -> pixels (N, H, W, C)
                     -> words: the recipe in files, manifests, ETags and URLs      -> finish

A new field of `Changes` or `Output` needs a line in their methods, and no caller has to be told of
it: its value is part of every recipe, and no picture that has one is plain.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from model.encoding.formats import LARGEST_SCALE, Interpolation, enlarge
from model.generator_file import GeneratorConfig, GeneratorFile
from model.images import tile
from model.integers.steps import LARGEST_LATENT
from model.latent_space.paths import Ease, Mode, default_mode, interpolate_rows, plane_rows
from model.recipes import (
    RecipeError,
    Words,
    check_edits,
    class_place,
    plain,
    read_edits,
    vector_words,
)

Rows = NDArray[np.float32]  # (N, z_dim + classes)
Pixels = NDArray[np.uint8]
Resample = Literal["nearest", "lanczos", "learned"]

LEAST_SHARE = 1e-3  # least sum of the weights of a mix's classes, of either sign


@dataclass(frozen=True)
class Changes:
    """Alters latents before they are generated; the defaults leave them as they are."""

    class_: str | None = None  # its name; none: each seed has its own
    truncation: float = 1.0
    edits: Mapping[int, float] = field(default_factory=dict)  # steps, by the direction's number

    @classmethod
    def read(
        cls, config: GeneratorConfig, class_: str | None, truncation: float, edit: str | None
    ) -> "Changes":
        """Reads changes as a person writes them, and holds them against what a generator has.

        Raises:
            RecipeError: it has no such class or direction, or a step is too long for it.
        """
        return cls(class_, truncation, {} if edit is None else read_edits(edit)).checked(config)

    def checked(self, config: GeneratorConfig) -> "Changes":
        """Holds them against what a generator has; a class that is given by number gets its name.

        Raises:
            RecipeError: it has no such class or direction, or a step is too long for it.
        """
        if self.edits:
            check_edits(config, self.edits)
        if self.class_ is None:
            return self
        name = config.classes[class_place(config, self.class_)]
        return self if name == self.class_ else dataclasses.replace(self, class_=name)

    @property
    def is_plain(self) -> bool:
        """Whether latents stay as they are; a class may be chosen."""
        return self == (DEFAULT_CHANGES if self.class_ is None else Changes(self.class_))

    def place(self, config: GeneratorConfig) -> int | None:
        """Returns the class's place among the generator's, if one is chosen."""
        return None if self.class_ is None else config.classes.index(self.class_)

    def rows(self, file: GeneratorFile, seeds: Sequence[int]) -> Rows:
        """Makes the rows (N, z_dim + classes) of seeds."""
        return self.apply(file, file.config.rows(seeds, self.place(file.config)))

    def apply(self, file: GeneratorFile, rows: Rows) -> Rows:
        """Truncates and then edits the latents of rows (N, z_dim + classes), in a copy.

        Raises:
            RecipeError: a value is beyond what an integer generator takes.
        """
        rows = rows.copy()
        z = rows[:, : file.config.network.z_dim]
        if self.truncation != 1:
            z *= np.float32(self.truncation)
        for number, step in sorted(self.edits.items()):
            z += np.float32(step) * file.directions[number]
        if file.config.is_integer and (largest := np.abs(rows).max(initial=0)) > LARGEST_LATENT:
            raise RecipeError(
                f"a value of the latent or a class's weight is {largest:.0f}; {file.config.name} "
                f"takes up to {LARGEST_LATENT:,} either way"
            )
        return rows

    def words(self) -> Words:
        """Returns words for what differs from the defaults."""
        words: Words = {}
        if self.class_ is not None:
            words["class"] = self.class_
        if self.truncation != 1:
            words["truncation"] = plain(self.truncation)
        if self.edits:
            steps = sorted(self.edits.items())
            words["edit"] = ",".join(f"d{number}:{plain(step)}" for number, step in steps)
        return words


@dataclass(frozen=True)
class Output:
    """Finishes generated pixels; the defaults leave them as they are."""

    scale: int = 1
    resample: Resample = "nearest"

    def checked(self, file: GeneratorFile) -> "Output":
        """Holds it against what a generator has.

        Raises:
            RecipeError: it has no upscaler, or none for this scale.
        """
        if self.resample != "learned":
            return self
        others, name = ", ".join(RESAMPLES_OF_ALL), file.config.name
        if file.upscaler is None:
            raise RecipeError(f"resample: {name} has no upscaler; allowed: {others}")
        if self.scale not in (1, *file.upscaler.scales):
            allowed = " and ".join(map(str, file.upscaler.scales))
            raise RecipeError(
                f"scale: the upscaler of {name} has {allowed}; {others} have 1 to {LARGEST_SCALE}"
            )
        return self

    @property
    def is_plain(self) -> bool:
        """Whether pixels stay as they are."""
        return not self.words()

    @property
    def is_generated(self) -> bool:
        """Whether `finish` has nothing to do: pixels leave as sampler or upscaler make them."""
        return self == Output(self.scale, "learned") or not self.words()

    @property
    def upscale(self) -> int:
        """How many times as long the upscaler makes each side, before `finish`; 1: it has no part
        in it.
        """
        return self.scale if self.resample == "learned" else 1

    def model(self, config: GeneratorConfig) -> str:
        """Returns what names the maker of the pixels: the generator, perhaps with its upscaler."""
        upscaled = self.resample == "learned" and self.scale > 1
        return (upscaled and config.upscaled_id) or config.id

    def words(self) -> Words:
        """Returns words for what differs from the defaults and has an effect."""
        words: Words = {}
        for name, default in OUTPUT_DEFAULTS.items():
            if (value := getattr(self, name)) != default:
                words[name] = value
        if self.scale == 1:
            words.pop("resample", None)
        return words

    def finish(self, pixels: Pixels) -> Pixels:
        """Finishes pictures (N, H, W, C), upscaled already if they are to be, as they leave."""
        if self.resample != "learned":
            pixels = enlarge(pixels, self.scale, self.resample)
        return pixels


RESAMPLES_OF_ALL = get_args(Interpolation)  # whether a generator has an upscaler or not
OUTPUT_DEFAULTS: dict[str, Any] = {one.name: one.default for one in dataclasses.fields(Output)}
DEFAULT_CHANGES, DEFAULT_OUTPUT = Changes(), Output()


class Source(ABC):
    """Says where latents come from: of one picture, unless `len` says of more."""

    def __len__(self) -> int:
        return 1

    @property
    def seed(self) -> int | None:
        """The first picture's, where it is of a seed."""
        return None

    @property
    def columns(self) -> int:
        """Pictures in a row of the sheet."""
        return 1

    @property
    @abstractmethod
    def name(self) -> str:
        """Part of a file's name."""

    @abstractmethod
    def rows(self, file: GeneratorFile, changes: Changes) -> Rows:
        """Makes the generator's input (N, z_dim + classes), changed.

        Raises:
            RecipeError: the generator has no such latent, or the class is left open.
        """

    def check(self, file: GeneratorFile, changes: Changes) -> None:  # noqa: B027 most always can
        """Finds out, before anything is generated, whether `rows` would raise.

        Raises:
            RecipeError: the generator has no such latent, or the class is left open.
        """

    @abstractmethod
    def words(self, config: GeneratorConfig) -> Words:
        """Returns its words in a recipe."""


@dataclass(frozen=True)
class Seeds(Source):
    """Consecutive seeds: one picture, or a sheet."""

    seeds: range
    wanted_columns: int | None = None

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def seed(self) -> int:
        return self.seeds[0]

    @property
    def columns(self) -> int:
        return self.wanted_columns or square_columns(len(self.seeds))

    @property
    def name(self) -> str:
        return str(self.seed) if len(self) == 1 else f"{self.seed}-{len(self)}"

    def rows(self, file: GeneratorFile, changes: Changes) -> Rows:
        return changes.rows(file, self.seeds)

    def words(self, config: GeneratorConfig) -> Words:
        if len(self.seeds) == 1:
            return {"seed": self.seed}
        return {"seed": self.seed, "n": len(self.seeds), "columns": self.columns}


@dataclass(frozen=True)
class Vector(Source):
    """An explicit latent."""

    z: Sequence[float]

    @property
    def name(self) -> str:
        return "z"

    def rows(self, file: GeneratorFile, changes: Changes) -> Rows:
        self.check(file, changes)
        network, place = file.config.network, changes.place(file.config)
        row = np.zeros((1, network.input_dim), np.float32)
        row[0, : network.z_dim] = self.z
        if place is not None:
            row[0, network.z_dim + place] = 1.0
        return changes.apply(file, row)

    def check(self, file: GeneratorFile, changes: Changes) -> None:
        network, config = file.config.network, file.config
        if len(self.z) != network.z_dim:
            raise RecipeError(
                f"z has {len(self.z)} values; generator {config.name} wants {network.z_dim}"
            )
        if network.classes and changes.class_ is None:
            raise _open_class("z", config)

    def words(self, config: GeneratorConfig) -> Words:
        return {"z": vector_words(np.array(self.z, np.float32))}


@dataclass(frozen=True)
class Mix(Source):
    """Seeds whose latents are added up, each times its weight. The class is the one chosen, or the
    seeds' own by their share of all weights.
    """

    parts: Sequence[tuple[int, float]]  # seed, weight

    @property
    def name(self) -> str:
        return "mix"

    def rows(self, file: GeneratorFile, changes: Changes) -> Rows:
        config = file.config
        rows = config.rows([seed for seed, _ in self.parts], changes.place(config))
        shares = np.array([weight for _, weight in self.parts], np.float32)
        total: Rows = (shares[:, None] * rows).sum(axis=0, dtype=np.float32)[None]
        own = slice(config.network.z_dim, None)
        if changes.class_ is not None:
            total[:, own] = rows[:1, own]
        elif config.network.classes:
            self.check(file, changes)
            total[:, own] /= total[:, own].sum()
        return changes.apply(file, total)

    def check(self, file: GeneratorFile, changes: Changes) -> None:
        whole = sum(weight for _, weight in self.parts)
        if file.config.network.classes and changes.class_ is None and abs(whole) < LEAST_SHARE:
            raise _open_class("mix", file.config)

    def words(self, config: GeneratorConfig) -> Words:
        """Returns its words in a recipe, such as 3:1,8:-1."""
        return {"mix": ",".join(f"{seed}:{plain(weight)}" for seed, weight in self.parts)}


@dataclass(frozen=True)
class Place(Source):
    """A place on the plane between four seeds."""

    corners: Sequence[int]  # top left, top right, bottom left, bottom right
    x: float  # from 0 to 1
    y: float
    mode: Mode | None = None  # none: what suits the prior

    @property
    def name(self) -> str:
        return "plane"

    def rows(self, file: GeneratorFile, changes: Changes) -> Rows:
        return _blend(
            file, changes, self.corners, np.array([self.x]), np.array([self.y]), self.mode
        )

    def words(self, config: GeneratorConfig) -> Words:
        place: Words = {"seeds": list(self.corners), "x": plain(self.x), "y": plain(self.y)}
        return {"plane": place | ({"mode": self.mode} if self.mode else {})}


@dataclass(frozen=True, kw_only=True)
class Plane(Source):
    """A sheet of the blend between four seeds, or of a square part of it."""

    corners: Sequence[int]
    across: int  # pictures in a row
    down: int
    x: float = 0.0
    y: float = 0.0
    size: float = 1.0
    mode: Mode | None = None

    def __len__(self) -> int:
        return self.across * self.down

    @property
    def seed(self) -> int:
        return self.corners[0]

    @property
    def columns(self) -> int:
        return self.across

    @property
    def name(self) -> str:
        return "-".join(["plane", *map(str, self.corners)])

    def rows(self, file: GeneratorFile, changes: Changes) -> Rows:
        across = np.linspace(self.x, self.x + self.size, self.across)
        down = np.linspace(self.y, self.y + self.size, self.down)
        return _blend(file, changes, self.corners, across, down, self.mode)

    def words(self, config: GeneratorConfig) -> Words:
        words: Words = {"seeds": list(self.corners), "columns": self.across, "rows": self.down}
        words["mode"] = self.mode or default_mode(config.prior)
        return words | {name: plain(getattr(self, name)) for name in ("x", "y", "size")}


@dataclass(frozen=True)
class Strip(Source):
    """One seed's pictures from one end of a direction to the other."""

    of: int  # seed
    direction: int
    steps: int

    def __len__(self) -> int:
        return self.steps

    @property
    def seed(self) -> int:
        return self.of

    @property
    def columns(self) -> int:
        return self.steps

    @property
    def name(self) -> str:
        return f"{self.of}-d{self.direction}"

    def rows(self, file: GeneratorFile, changes: Changes) -> Rows:
        reach = file.config.direction_range
        rows = np.repeat(
            file.config.rows([self.of], changes.place(file.config)), self.steps, axis=0
        )
        steps = np.linspace(-reach, reach, self.steps).astype(np.float32)
        rows[:, : file.config.network.z_dim] += steps[:, None] * file.directions[self.direction]
        return changes.apply(file, rows)

    def words(self, config: GeneratorConfig) -> Words:
        return {"seed": self.of, "direction": f"d{self.direction}", "steps": self.steps}


@dataclass(frozen=True, kw_only=True)
class Path(Source):
    """Frames along a path through latent space, which meets each of its stops bit for bit."""

    stops: "Sequence[int] | Sequence[PictureRequest]"  # seeds, or pictures by themselves
    frames: int
    mode: Mode | None = None  # none: what suits the prior
    loop: bool = False
    ease: Ease = "linear"
    fps: int = 20

    def __len__(self) -> int:
        return self.frames

    @property
    def seed(self) -> int | None:
        first = self.stops[0]
        return first if isinstance(first, int) else first.source.seed

    @property
    def name(self) -> str:
        return "-".join(
            str(stop) if isinstance(stop, int) else stop.source.name for stop in self.stops
        )

    def rows(self, file: GeneratorFile, changes: Changes) -> Rows:
        config = file.config
        return interpolate_rows(
            self._stops(file, changes),
            config.network.z_dim,
            self.frames,
            self.mode or default_mode(config.prior),
            loop=self.loop,
            ease=self.ease,
        )

    def _stops(self, file: GeneratorFile, changes: Changes) -> Rows:
        seeds = [stop for stop in self.stops if isinstance(stop, int)]
        if seeds:
            return changes.rows(file, seeds)
        return rows_of(file, [stop for stop in self.stops if not isinstance(stop, int)])

    def words(self, config: GeneratorConfig) -> Words:
        stops = [stop if isinstance(stop, int) else stop.own_words(config) for stop in self.stops]
        words: Words = {"seeds" if isinstance(self.stops[0], int) else "recipes": stops}
        words |= {"frames": self.frames, "mode": self.mode or default_mode(config.prior)}
        return words | {"loop": self.loop, "ease": self.ease, "fps": self.fps}


@dataclass(frozen=True)
class Several(Source):
    """A sheet of pictures, each by itself."""

    pictures: "Sequence[PictureRequest]"
    wanted_columns: int | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def columns(self) -> int:
        return self.wanted_columns or square_columns(len(self.pictures))

    @property
    def name(self) -> str:
        return str(len(self.pictures))

    def rows(self, file: GeneratorFile, changes: Changes) -> Rows:
        return rows_of(file, self.pictures)

    def words(self, config: GeneratorConfig) -> Words:
        return {"pictures": [picture.words(config) for picture in self.pictures]}


@dataclass(frozen=True)
class PictureRequest:
    """One picture, or several on one sheet: where they come from, and what is done to them."""

    source: Source
    changes: Changes = DEFAULT_CHANGES
    output: Output = DEFAULT_OUTPUT

    @property
    def is_plain(self) -> bool:
        """Whether it is one seed's picture as it is, perhaps of a class that is chosen: what
        every endpoint may take from the cache.
        """
        return self.is_kept and self.output.is_plain

    @property
    def is_kept(self) -> bool:
        """Whether it is one seed's picture as it is, perhaps of a class that is chosen, perhaps
        upscaled: what the service keeps.
        """
        one = isinstance(self.source, Seeds) and len(self.source.seeds) == 1
        return one and self.changes.is_plain and self.output.is_generated

    def checked(self, file: GeneratorFile) -> "PictureRequest":
        """Holds it against what a generator has, before anything is generated; a class that is
        given by number gets its name.

        Raises:
            RecipeError: it has no such class, direction or latent, a step is too long for it, or
            the class is left open.
        """
        changes = self.changes.checked(file.config)
        self.source.check(file, changes)
        return self if changes is self.changes else dataclasses.replace(self, changes=changes)

    def rows(self, file: GeneratorFile) -> Rows | range:
        """Makes the generator's input (N, z_dim + classes); seeds that nothing changes stay seeds,
        whose rows are made where they are needed.

        Raises:
            RecipeError: the generator has no such latent, or the class is left open.
        """
        if isinstance(self.source, Seeds) and self.changes.class_ is None and self.changes.is_plain:
            return self.source.seeds
        return self.source.rows(file, self.changes)

    def own_words(self, config: GeneratorConfig) -> Words:
        """Returns words for its latent, whatever becomes of the pixels."""
        return self.source.words(config) | self.changes.words()

    def words(self, config: GeneratorConfig) -> Words:
        """Makes the recipe."""
        words: Words = {"model": self.output.model(config), **self.own_words(config)}
        if isinstance(self.source, Several):
            return words  # each of its pictures says what becomes of it
        return words | self.output.words()

    def finish(self, pixels: Pixels) -> Pixels:
        """Makes one picture (H, W, C) of what was generated (N, H, W, C), perhaps upscaled:
        finished, on a sheet.
        """
        return tile(self.output.finish(pixels), self.source.columns)


def rows_of(file: GeneratorFile, requests: Sequence[PictureRequest]) -> Rows:
    """Makes the rows (N, z_dim + classes) of pictures, each by itself.

    Raises:
        RecipeError: one of them cannot be generated.
    """
    changes = requests[0].changes
    seeds = [
        one.source.seed
        for one in requests
        if isinstance(one.source, Seeds) and len(one.source) == 1 and one.changes is changes
    ]
    if len(seeds) == len(requests):
        return changes.rows(file, seeds)  # at once, the same rows
    return np.concatenate([one.source.rows(file, one.changes) for one in requests])


def one_seed(seed: int) -> Seeds:
    """Makes the source of a seed's own picture."""
    return Seeds(range(seed, seed + 1))


def square_columns(pictures: int) -> int:
    """Counts the pictures in a row of a sheet as square as can be."""
    return math.isqrt(pictures - 1) + 1


def _blend(
    file: GeneratorFile,
    changes: Changes,
    corners: Sequence[int],
    across: NDArray[np.float64],
    down: NDArray[np.float64],
    mode: Mode | None,
) -> Rows:
    mode = mode or default_mode(file.config.prior)
    rows = changes.rows(file, corners)
    return plane_rows(rows, file.config.network.z_dim, across, down, mode)


def _open_class(source: str, config: GeneratorConfig) -> RecipeError:
    return RecipeError(
        f"{source}: {config.name} has classes, so say which, such as {config.classes[0]!a}"
    )
