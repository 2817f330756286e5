"""Describes a set of pictures, and prepares one: whatever training reads, and layers, in; a zip of
pictures of one size out, with a montage and a description next to it.

    source -> Material (labels, parts, pictures in order) -> Description, zip, montage

The zip file is what StyleGAN's tools take too: PNG files, not compressed again, and a dataset.json,
which here names classes and test part as well. It loads to the pixels, labels and parts of its
source, and the same source makes the same bytes.
"""

import argparse
import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from model.image_decoding import Fit, Found, square, what_was_done
from model.images import tile
from model.training.commands.arguments import (
    ALONE,
    SHARD_SIZE,
    SHARD_SIZE_HELP,
    Number,
    ProcessRank,
    add_fit,
    read_ranks,
    refuse,
    shards_folder,
    source,
)
from model.training.datasets.description import Description, check_shards, describe_shards
from model.training.datasets.downloads import data_path
from model.training.datasets.file_listing import INDEX, DataError, number, printable
from model.training.datasets.image_folder import (
    Broken,
    check_broken,
    write_broken,
)
from model.training.datasets.layers import has_layers
from model.training.datasets.material import Form, Item, Material, open_material
from model.training.datasets.shard_writer import (
    Made,
    Source,
    default_size,
    fill,
    missing_shards,
    read_index,
)
from model.training.datasets.shards import (
    FORMAT,
    Index,
    has_shards,
)

MONTAGE = 64  # pictures
THUMBNAIL = 128  # pixels per side, at most, in a montage
COLUMNS = 8  # in a montage
COUNT = 2000  # stacks of layers a class
STAMP = (1980, 1, 1, 0, 0, 0)  # time of every file in a zip, so that equal sets are equal bytes

K = TypeVar("K")


def prepare(
    source: Path,
    output: Path | None,
    *,
    side: int | None = None,
    channels: int | None = None,
    fit: Fit = "crop",
    count: int = COUNT,
    seed: int = 0,
    bits: int = 0,
    shards: Path | None = None,
    shard_size: int | None = None,
    ranks: ProcessRank = ALONE,
) -> list[str]:
    """Describes a source, in lines, and what `train` will do with it; with an `output` makes the
    zip, and next to it the montage (.png), the description (.txt) and, if there are any, the names
    of broken files (.broken.txt). With `shards` makes this process's share of those.

    Channels: by default 1 where every picture is grey, else 3. `count` a class and `seed` choose
    among stacks of layers. `bits` of 16-bit values count, by default as many as the set uses.

    Raises:
        DataError: the source cannot be used, or the output cannot be written.
    """
    if has_shards(source):
        if output or shards:
            raise DataError(f"{source}: is prepared already, in shards")
        return check_shards(source)
    with open_material(source, count, seed) as material:
        if not len(material.held_out):
            raise DataError(f"{source}: holds no pictures")
        if shards is not None:
            side = _checked_side(shards, source, side)
            return _write_shards(shards, material, side, channels, fit, bits, shard_size, ranks)
        description = Description(material)
        if output is None:
            for place, item in _shown(material, None):
                description.add(place, item)
            return [*description.lines(bits), *description.plan()]
        form = Form(
            side=_checked(output, source, side),
            channels=channels or material.channels(),
            fit=fit,
            bits=bits or material.bits()[0],
        )
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            return _write(output, material, form, description)
        except OSError as error:
            raise DataError(f"{output}: cannot be written ({error.strerror})") from None


def _checked(output: Path, source: Path, side: int | None) -> int:
    if output.suffix != ".zip":
        raise DataError(f"{output}: a name that ends in .zip is wanted")
    return _checked_side(output, source, side)


def _checked_side(output: Path, source: Path, side: int | None) -> int:
    if side is None:
        raise DataError(f"{output}: say --side, the pixels per side of its pictures")
    if output.resolve().is_relative_to(source.resolve()):
        raise DataError(f"{output}: is the source, or lies in it; write it elsewhere")
    return side


def _shown(material: Material, form: Form | None) -> Iterable[tuple[int, Item | Broken]]:
    """Returns the pictures, with a progress bar on a terminal."""
    total = len(material.held_out)
    return tqdm(
        material.items(form, range(total)), total=total, unit="img", disable=None, leave=False
    )


# --- what is written ---


def _write(output: Path, material: Material, form: Form, description: Description) -> list[str]:
    """Writes the zip, whole or not at all, and what lies next to it; returns the description."""
    temporary = output.with_name(f".{output.name}.tmp")
    try:
        rows = _spread(material)
        shown = _write_zip(temporary, material, form, description, [p for row in rows for p in row])
        write_broken(output.with_suffix(".broken.txt"), description.broken)
        check_broken(material.path, description.broken, len(material.held_out))
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
    _montage(shown, len(rows)).save(output.with_suffix(".png"))
    kind = "grey" if form.channels == 1 else "RGB"
    done = what_was_done(description.found, form.side, form.fit)
    lines = [
        *description.lines(form.bits if form.bits != material.bits()[0] else 0),
        f"{output}: {form.side}x{form.side} {kind}{f'; {done}' if done else ''}",
        *description.plan(output, form),
    ]
    output.with_suffix(".txt").write_text("\n".join(lines) + "\n")
    return lines


def _write_zip(
    path: Path, material: Material, form: Form, description: Description, wanted: list[int]
) -> list[NDArray[np.uint8]]:
    """Writes the zip; returns the pictures at `wanted` that are not broken, in its order."""
    labels: list[tuple[str, int]] = []
    test: list[str] = []
    written = 0
    shown: dict[int, NDArray[np.uint8] | None] = dict.fromkeys(wanted)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for place, item in _shown(material, form):
            description.add(place, item)
            if isinstance(item, Broken):
                continue
            file = f"{written // 1000:05d}/img{written:08d}.png"
            written += 1
            _add(archive, file, item.png)
            if material.labels is not None:
                labels.append((file, int(material.labels[place])))
            if material.held_out[place]:
                test.append(file)
            if place in shown:
                shown[place] = item.pixels
        index: dict[str, object] = {"labels": labels or None, "test": test}
        if material.labels is not None:
            index["classes"] = material.classes
        _add(archive, INDEX, json.dumps(index).encode())
    return [pixels for pixels in shown.values() if pixels is not None]


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name, STAMP)
    member.create_system, member.external_attr = 3, 0o644 << 16  # the same on every system
    archive.writestr(member, content)


def _spread(material: Material) -> list[list[int]]:
    """Chooses places for the montage: as many of each class, from its first to its last."""
    groups = [np.arange(len(material.held_out))]
    if material.labels is not None:
        groups = [np.flatnonzero(material.labels == label) for label in np.unique(material.labels)]
    groups = groups[:MONTAGE]
    each = MONTAGE // len(groups)
    return [
        [int(group[round(at)]) for at in np.linspace(0, len(group) - 1, min(each, len(group)))]
        for group in groups
    ]


def _montage(pictures: list[NDArray[np.uint8]], classes: int) -> Image.Image:
    """Draws a sheet of them, smaller where they are large; a row a class, if a row can hold it."""
    each = MONTAGE // classes
    columns = each if 1 < each < COLUMNS else COLUMNS
    sheet = tile(np.stack([_thumbnail(picture) for picture in pictures]), columns)
    return Image.fromarray(sheet.squeeze())


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    side, _, channels = pixels.shape
    if side <= THUMBNAIL:
        return pixels
    return square(Image.fromarray(pixels.squeeze()), THUMBNAIL, channels, "crop")


def _write_shards(
    folder: Path,
    material: Material,
    side: int,
    channels: int | None,
    fit: Fit,
    bits: int,
    size: int | None,
    ranks: ProcessRank,
) -> list[str]:
    """Makes this process's share of the shards; says what was done."""
    for name in material.classes:
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise DataError(f"class {name!a}: its name is not UTF-8; rename the folder")
    known = read_index(folder)
    if known and known.shards:  # nothing is looked for in all files again
        channels = channels or known.channels
        bits = bits or known.made_by.get("bits", 0)
    form = Form(
        side=side,
        channels=channels or material.channels(),
        fit=fit,
        bits=bits or material.bits()[0],
        png=False,
    )
    labels, found = material.labels, Counter[Found]()
    sorted_in = hashlib.sha256(material.held_out.tobytes())
    if labels is not None:
        sorted_in.update(labels.tobytes())
    index = Index(
        format=FORMAT,
        name=printable(material.path.name if material.fixed else material.path.stem),
        side=form.side,
        channels=1 if form.channels == 1 else 3,
        classes=material.classes,
        source=len(material.held_out),
        shard_size=size or default_size(form.side, form.channels),
        made_by={"fit": form.fit, "bits": form.bits, "sorted_in": sorted_in.hexdigest()},
        notes=material.remarks,
    )

    def make(places: range) -> Made:
        pixels = np.empty((len(places), form.side, form.side, form.channels), np.uint8)
        kept: list[int] = []
        broken: list[Broken] = []
        for place, item in material.items(form, places):
            if isinstance(item, Broken):
                broken.append(replace(item, name=printable(item.name)))
                continue
            assert item.pixels is not None
            pixels[len(kept)] = item.pixels
            found[item.found] += 1
            kept.append(place)
        return Made(
            pixels=pixels[: len(kept)],
            labels=None if labels is None else labels[kept],
            held_out=material.held_out[kept],
            broken=tuple(broken),
        )

    numbers = range(ranks.rank, index.count, ranks.world)
    shown = tqdm(numbers, unit="shard", disable=None if ranks.rank == 0 else True, leave=False)
    source = Source(partial(_digest, material), partial(_any_mended, material))
    count = fill(folder, index, shown, make, source)
    done = what_was_done(found, form.side, form.fit)
    share = f" by process {ranks.rank} of {ranks.world}" if ranks.world > 1 else ""
    lines = [f"{folder}: {count:,} of {number(index.count, 'shard')} made now{share}"]
    lines += [done] if done else []
    known = read_index(folder)
    if not known or not known.shards:
        return lines
    if missing := missing_shards(folder, known):
        return [*lines, f"{number(missing, 'shard')} missing: left to the other processes"]
    return lines + describe_shards(folder, known)


def _any_mended(material: Material, places: range, broken: tuple[Broken, ...]) -> bool:
    """Returns whether a picture that could not be read can be read now."""
    names = {one.name for one in broken}
    some = [
        place
        for place, (name, _) in zip(places, material.origins(places), strict=True)
        if printable(name) in names
    ]
    return any(isinstance(item, Item) for _, item in material.items(None, some))


def _digest(material: Material, places: range) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for origin in material.origins(places):
        digest.update(repr(origin).encode())
    return digest.hexdigest()


# --- the command ---


def add_command(commands: Any) -> None:
    """Adds `data` to the commands."""
    data = commands.add_parser(
        "data",
        description="Describes a set of pictures: what is taken, what is left out, and what "
        "training\nwill do with it. With --output it writes the set as it is trained on.",
        example="my-pictures --output my-set.zip --side 64",
    )
    data.add_argument(
        "source", type=source, help="a folder, a zip, an official set, or a zip of layers"
    )
    which = data.add_mutually_exclusive_group()
    which.add_argument(
        "--output", type=Path, help="zip file to write, with a list of what was found"
    )
    which.add_argument(
        "--shards",
        type=shards_folder,
        metavar="FOLDER",
        help="folder to write instead, for sets that do not fit into memory: training reads them "
        "where they lie. Under torchrun by several processes; the same command again goes on",
    )
    data.add_argument("--shard-size", type=SHARD_SIZE, help=SHARD_SIZE_HELP)
    data.add_argument(
        "--side", type=Number(int, 8, 1024), help="pixels per side of what is written"
    )
    data.add_argument(
        "--channels",
        type=int,
        choices=(1, 3),
        help="1 for grey, 3 for RGB (default: 1 where every picture is grey)",
    )
    add_fit(data)
    layers = data.add_argument_group("of layers")
    layers.add_argument(
        "--count",
        type=Number(int, 1, 10**6),
        help=f"pictures a class (default: {COUNT})",
    )
    layers.add_argument(
        "--seed", type=Number(int, 0, 2**32 - 1), help="seed of the choice (default: 0)"
    )
    data.add_argument("--base-url", help="address to download official sets from instead")
    # None where nothing is said: what is said and cannot count is refused
    data.set_defaults(command=_prepare, fit=None, bits=None, count=None, seed=None)


def _prepare(options: argparse.Namespace) -> int:
    path = data_path(options.source, options.base_url)
    _check_options(options, path)
    lines = prepare(
        path,
        options.output,
        side=options.side,
        channels=options.channels,
        fit=options.fit or "crop",
        count=COUNT if options.count is None else options.count,
        seed=options.seed or 0,
        bits=options.bits or 0,
        shards=options.shards,
        shard_size=options.shard_size,
        ranks=read_ranks() if options.shards else ALONE,
    )
    print("\n".join(lines))
    return 0


def _check_options(options: argparse.Namespace, path: Path) -> None:
    form = ("side", "channels", "fit")
    if has_shards(path):
        why = f"comes too late: {path} is in shards"
        refuse(options, (*form, "bits"), why, DataError)
    elif not options.output and not options.shards:
        refuse(options, form, "goes with --output or --shards", DataError)
    if not options.shards:
        refuse(options, ["shard_size"], "goes with --shards", DataError)
    if not has_layers(path):
        refuse(options, ("count", "seed"), f"is of layers, and {path} has none", DataError)
