"""`generate`: the pictures of many seeds as files: a folder, a zip, or one sheet.

    seeds -> this process's share -> sampler -> PNG files, the same bytes that a service sends
                                             -> manifest.json: which file is which seed
                                             -> or shards of pixels, for as many as one likes
    names -> a folder for a static host, see site.py

A folder is filled by as many processes as torchrun starts, and shards are made by as many; the
same command again continues either.
"""

import argparse
import itertools
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.encoding.png import encode_png, encode_pngs
from model.files import OutputError, open_folder, whole, write_whole
from model.generator_file import GeneratorFile
from model.generators import DEFAULT
from model.images import tile
from model.latent_space.latents import SEED_LIMIT
from model.picture_request import (
    DEFAULT_CHANGES,
    DEFAULT_OUTPUT,
    Changes,
    Output,
    PictureRequest,
    Seeds,
    Several,
    Source,
    one_seed,
)
from model.recipes import MOST_SEEDS, RecipeError, Words, read_seeds, recipe_text
from model.training.commands import site
from model.training.commands.arguments import (
    ALONE,
    SHARD_SIZE,
    SHARD_SIZE_HELP,
    Number,
    ProcessRank,
    add_changes,
    add_generator,
    read_changes,
    read_generator,
    read_output,
    read_ranks,
    read_sampler,
    shards_folder,
)
from model.training.datasets.shard_writer import Made, default_size, fill
from model.training.datasets.shards import FORMAT, Index
from model.training.run.progress import counting
from model.upscaling.runtimes import UpscalingSampler

MANIFEST = "manifest.json"
LARGEST_SHEET = 2**28  # pixels
OTHER_ENDINGS = (".jpg", ".jpeg", ".webp", ".gif", ".avif", ".npy", ".mp4", ".tar", ".gz")
EPOCH = (1980, 1, 1, 0, 0, 0)  # time of every file in a zip: the same order gives the same bytes
LISTED_AT_ONCE = 4096
MOST_SHARDED = 10**12  # pictures
TASK, UNIT = "generating", "pictures"


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which pictures are to be generated."""

    file: GeneratorFile
    seeds: Sequence[int]
    changes: Changes = DEFAULT_CHANGES
    output: Output = DEFAULT_OUTPUT
    precision: str = "fp32"

    @property
    def changed(self) -> Words:
        """What is done to all of them."""
        return self.changes.words() | self.output.words()

    @property
    def head(self) -> Words:
        """What decides about the pixels, and is the same for all of them."""
        config = self.file.config
        return {
            "model": self.output.model(config),
            "weights_sha256": config.weights_sha256,
            "precision": self.precision,
            **self.changed,
        }

    def picture(self, seed: int) -> PictureRequest:
        """Returns the request for one seed's picture."""
        return PictureRequest(one_seed(seed), self.changes, self.output)

    def generate(self, sampler: UpscalingSampler, seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Generates the pictures (N, H, W, C) of some of the seeds."""
        rows = self.changes.rows(self.file, seeds)
        return self.output.finish(sampler(rows, self.output.upscale))

    def files(self, sampler: UpscalingSampler, seeds: Sequence[int]) -> list[bytes]:
        """Generates the same as PNG files, each with its recipe."""
        recipes = [recipe_text(self.picture(seed).words(self.file.config)) for seed in seeds]
        return encode_pngs(self.generate(sampler, seeds), recipes)

    def sheet(self, columns: int | None) -> PictureRequest:
        """Returns the request for all of them on one sheet."""
        first, count = self.seeds[0], len(self.seeds)
        if all(after == before + 1 for before, after in itertools.pairwise(self.seeds)):
            source: Source = Seeds(range(first, first + count), columns)
        else:
            source = Several([self.picture(seed) for seed in self.seeds], columns)
        return PictureRequest(source, self.changes, self.output)

    def shards(self, size: int | None = None) -> Index:
        """Returns what the set of all of them as shards is, with `size` pictures in each."""
        config = self.file.config
        side, channels = config.crop * self.output.scale, config.network.channels
        return Index(
            format=FORMAT,
            name=config.name,
            side=side,
            channels=1 if channels == 1 else 3,
            classes=config.classes,
            source=len(self.seeds),
            shard_size=size or default_size(side, channels),
            made_by={**self.head, "first_seed": self.seeds[0]},
        )

    def manifest(self) -> str:
        """Returns JSON: the generator, what is done to all pictures, each file's seed and class."""
        head = self.head | {"pictures": len(self.seeds)}
        entries = map(json.dumps, self._entries())
        return json.dumps(head)[:-1] + ', "files": [\n' + ",\n".join(entries) + "\n]}\n"

    def _entries(self) -> Iterator[Words]:
        config = self.file.config
        for part in parts(self.seeds, LISTED_AT_ONCE):
            if not config.classes:
                yield from ({"file": file_name(seed), "seed": seed} for seed in part)
                continue
            places = self.changes.rows(self.file, part)[:, config.network.z_dim :].argmax(axis=1)
            for seed, place in zip(part, places, strict=True):
                yield {"file": file_name(seed), "seed": seed, "class": config.classes[place]}


def file_name(seed: int) -> str:
    """Returns the file name of a seed's picture: sorted as the seeds are, below a million."""
    return f"seed{seed:06d}.png"


def parts(seeds: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Returns the seeds, `size` at a time."""
    return (seeds[start : start + size] for start in range(0, len(seeds), size))


def write_folder(
    order: Order,
    sampler: UpscalingSampler,
    folder: Path,
    batch: int = 64,
    ranks: ProcessRank = ALONE,
) -> int:
    """Writes those pictures of this process's share that are missing; returns how many that were.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
    """
    _check_distinct(order)
    there = _prepare(folder, order.manifest())
    mine = order.seeds[ranks.rank :: ranks.world]
    missing = [seed for seed in mine if file_name(seed) not in there]
    there_already = len(mine) - len(missing)
    with counting(TASK, len(mine), UNIT, done=there_already, hidden=ranks.rank > 0) as count:
        for part in parts(missing, batch):
            for seed, content in zip(part, order.files(sampler, part), strict=True):
                write_whole(folder / file_name(seed), content)
            count(len(part))
    return len(missing)


def write_shards(
    order: Order,
    sampler: UpscalingSampler,
    folder: Path,
    *,
    size: int | None = None,
    batch: int = 64,
    numbers: Iterable[int] | None = None,
) -> tuple[int, Index]:
    """Writes those of the shards that are missing, all or those of some `numbers`: of consecutive
    seeds, `size` in each; returns how many that were, and what the set is.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
    """
    index = order.shards(size)
    config = order.file.config

    def make(places: range) -> Made:
        pixels = np.empty((len(places), index.side, index.side, index.channels), np.uint8)
        labels = np.zeros(len(places), np.int64)
        for start in range(0, len(places), batch):
            some = places[start : start + batch]
            rows = order.changes.rows(order.file, order.seeds[some.start : some.stop])
            pixels[start : start + batch] = order.output.finish(sampler(rows, order.output.upscale))
            if config.classes:
                labels[start : start + batch] = rows[:, config.network.z_dim :].argmax(1)
        return Made(pixels=pixels, labels=labels if config.classes else None)

    return fill(folder, index, range(index.count) if numbers is None else numbers, make), index


def write_zip(order: Order, sampler: UpscalingSampler, path: Path, batch: int = 64) -> None:
    """Writes a zip file of all pictures, in their order.

    Raises:
        OutputError: it is there already, or cannot be written.
    """
    _check_distinct(order)
    _check_absent(path)
    with (
        whole(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
        counting(TASK, len(order.seeds), UNIT) as count,
    ):
        for part in parts(order.seeds, batch):
            for seed, content in zip(part, order.files(sampler, part), strict=True):
                archive.writestr(zipfile.ZipInfo(file_name(seed), EPOCH), content)
            count(len(part))
        manifest = zipfile.ZipInfo(MANIFEST, EPOCH)
        manifest.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(manifest, order.manifest())


def write_sheet(
    order: Order, sampler: UpscalingSampler, path: Path, columns: int | None = None, batch: int = 64
) -> None:
    """Writes one PNG of all pictures, row by row; by default as square as possible.

    Raises:
        OutputError: it is there already, it would be too large, or cannot be written.
    """
    _check_absent(path)
    count = len(order.seeds)
    request = order.sheet(columns and min(columns, count))
    columns, side = request.source.columns, order.file.config.crop * order.output.scale
    pixels = -(-count // columns) * columns * side * side
    if pixels > LARGEST_SHEET:
        raise OutputError(
            f"{path}: a sheet of {pixels:,} pixels; allowed: up to {LARGEST_SHEET:,}. "
            "A folder or a .zip takes any number of pictures"
        )
    with counting(TASK, count, UNIT) as done:
        generated = []
        for part in parts(order.seeds, batch):
            generated.append(order.generate(sampler, part))
            done(len(part))
    sheet = tile(np.concatenate(generated), columns)
    write_whole(path, encode_png(sheet, recipe_text(request.words(order.file.config))))


def _prepare(folder: Path, manifest: str) -> set[str]:
    """Makes the folder, with its manifest first; returns the names of what was there already."""
    there, found = open_folder(folder, MANIFEST)
    if found is None:
        write_whole(folder / MANIFEST, manifest.encode())
    elif found != manifest:
        raise OutputError(
            f"{folder}: its {MANIFEST} tells of another generator, other seeds or other options; "
            "say another --output"
        )
    return there


def _check_distinct(order: Order) -> None:
    if len(set(order.seeds)) < len(order.seeds):
        raise RecipeError("seeds: each once is wanted, for files are named by their seeds")


def _check_absent(path: Path) -> None:
    if path.exists():
        raise OutputError(f"{path}: it is there already; remove it, or say another --output")


# --- the command ---


def add_command(commands: Any) -> None:
    """Adds `generate` to the commands."""
    parser = commands.add_parser(
        "generate",
        description="Generates the pictures of seeds, byte for byte as a service answers them.",
        example="avatars --seeds 0-35 --output sheet.png",
    )
    add_generator(parser, DEFAULT)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seeds", help="seeds and ranges of them, such as 0-35,77")
    # torchrun takes --n for one of its own
    which.add_argument(
        "--n",
        "--count",
        type=Number(int, 1, MOST_SHARDED),
        help="number of pictures, of consecutive seeds from --first-seed on; under torchrun say "
        "--count, as it has an option --n of its own",
    )
    which.add_argument(
        "--site",
        type=Path,
        metavar="NAMES",
        help="a file of names, one a line: a picture of each, for hosts that only serve files",
    )
    parser.add_argument(
        "--first-seed",
        type=Number(int, 0, SEED_LIMIT - 1),
        help="first seed of --n (default: 0)",
    )
    parser.add_argument(
        "--shards",
        type=shards_folder,
        metavar="FOLDER",
        help="folder of shards to write instead: pixels, thousands of pictures in a file, of --n "
        "seeds, up to all there are. Training reads them, as those of data --shards",
    )
    parser.add_argument("--shard-size", type=SHARD_SIZE, help=SHARD_SIZE_HELP)
    parser.add_argument(
        "--output",
        type=Path,
        help="a folder, a .zip, or a .png for one sheet of all (default with --site: site)",
    )
    parser.add_argument(
        "--columns",
        type=Number(int, 1, 10_000),
        help="columns of a sheet (default: nearly square)",
    )
    add_changes(parser)
    parser.set_defaults(command=_generate)


def _generate(options: argparse.Namespace) -> int:
    if options.shards is not None:
        return _generate_shards(options)
    if options.shard_size is not None:
        raise OutputError("--shard-size goes with --shards")
    if options.output is None and options.site is None:
        raise OutputError("say --output: a folder, a .zip, or a .png for one sheet")
    output, ranks, batch = options.output or Path("site"), read_ranks(), options.batch
    ending = output.suffix.lower()
    if ending in OTHER_ENDINGS:
        raise OutputError(f"{output}: a .png (one sheet), a .zip or a folder is wanted")
    if options.columns and ending != ".png":
        raise OutputError(f"{output}: --columns is for a sheet, whose name ends in .png")
    if ending in (".png", ".zip") and ranks.world > 1:
        raise OutputError(f"{output}: {ranks.world} processes cannot share it; say a folder")
    if options.site is not None:
        return _generate_site(options, output, ranks)
    order = _order(options, _seeds(options))
    sampler = read_sampler(order.file, options, ranks)
    if ending == ".zip":
        write_zip(order, sampler, output, batch)
    elif ending == ".png":
        write_sheet(order, sampler, output, options.columns, batch)
    else:
        generated = write_folder(order, sampler, output, batch, ranks)
        share = f" by process {ranks.rank} of {ranks.world}" if ranks.world > 1 else ""
        print(f"{output}: {generated:,} of {len(order.seeds):,} pictures generated now{share}")
        return 0
    print(f"{output}: {len(order.seeds):,} pictures")
    return 0


def _generate_shards(options: argparse.Namespace) -> int:
    if options.n is None or options.output is not None or options.columns is not None:
        raise OutputError(
            f"{options.shards}: --shards takes consecutive seeds, by --n and --first-seed, and "
            "neither --output nor --columns"
        )
    ranks = read_ranks()
    order = _order(options, _seeds(options))
    sampler = read_sampler(order.file, options, ranks)
    mine = range(ranks.rank, order.shards(options.shard_size).count, ranks.world)
    with counting(TASK, len(mine), "shards", hidden=ranks.rank > 0) as count:
        generated, index = write_shards(
            order,
            sampler,
            options.shards,
            size=options.shard_size,
            batch=options.batch,
            numbers=_counted(mine, count),
        )
    share = f" by process {ranks.rank} of {ranks.world}" if ranks.world > 1 else ""
    print(f"{options.shards}: {generated:,} of {index.count:,} shards generated now{share}")
    return 0


def _counted(numbers: Iterable[int], count: Callable[[int], object]) -> Iterator[int]:
    for number in numbers:
        yield number
        count(1)


def _generate_site(options: argparse.Namespace, output: Path, ranks: ProcessRank) -> int:
    if output.suffix.lower() in (".png", ".zip") or ranks.world > 1:
        raise OutputError(f"{output}: --site takes a folder, and one process")
    if options.first_seed is not None:
        raise RecipeError("seeds: --first-seed goes with --n, not with --site")
    entries = site.read_names(options.site)
    order = _order(options, [entry.seed for entry in entries])
    generate = partial(order.files, read_sampler(order.file, options))
    generated, unlisted = site.write_site(entries, order.head, generate, output, options.batch)
    print(f"{output}: {generated:,} of {len(entries):,} pictures generated now")
    if unlisted:
        print(f"{output}: {unlisted:,} pictures of names that are no longer listed stay there")
    return 0


def _order(options: argparse.Namespace, seeds: Sequence[int]) -> Order:
    file = read_generator(options)
    return Order(
        file=file,
        seeds=seeds,
        changes=read_changes(file, options),
        output=read_output(file, options),
        precision=file.config.served_in(options.precision),
    )


def _seeds(options: argparse.Namespace) -> Sequence[int]:
    if options.seeds is not None:
        if options.first_seed is not None:
            raise RecipeError("seeds: --first-seed goes with --n, not with --seeds")
        return read_seeds(options.seeds)
    if options.n > MOST_SEEDS and options.shards is None:
        raise RecipeError(
            f"--n {options.n}: allowed: 1 to {MOST_SEEDS}, a file each; --shards takes more"
        )
    first = options.first_seed or 0
    last = first + options.n - 1
    if last >= SEED_LIMIT:
        raise RecipeError(f"seeds: {last} is out of bounds; allowed: 0 to {SEED_LIMIT - 1}")
    return range(first, last + 1)
