"""`project`: GAN inversion, from a picture to the latent whose picture is nearest to it."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.encoding.formats import LARGEST_SCALE, enlarge
from model.encoding.png import encode_png
from model.files import OutputError, write_whole
from model.generator_file import GeneratorFile
from model.image_decoding import BrokenPictureError, decode, square
from model.images import tile
from model.latent_space.projection import (
    MOST_STARTS,
    MOST_STEPS,
    STARTS,
    STEPS,
    Progress,
    one_thread,
    project,
)
from model.recipes import Words, class_place, vector_words
from model.samplers.pytorch import resolve_device
from model.samplers.sampler import load_sampler
from model.training.commands.arguments import Number, add_generator, read_generator
from model.training.datasets.dataset import DataError
from model.training.run.progress import counting


def read_picture(path: Path, side: int, channels: int) -> NDArray[np.uint8]:
    """Reads the centre square of a picture file, (side, side, C).

    Raises:
        DataError: it is not there, or is no picture.
    """
    try:
        image, _ = decode(path.read_bytes())
    except (OSError, BrokenPictureError) as error:
        raise DataError(f"{path}: not a readable picture ({error})") from None
    return square(image, side, channels, "crop")


def row_words(file: GeneratorFile, row: NDArray[np.float32]) -> Words:
    """Returns a row as a recipe: with it, POST /generate makes the picture again."""
    z_dim, classes = file.config.network.z_dim, file.config.classes
    words: Words = {"z": vector_words(row[:z_dim])}
    return words | ({"class": classes[row[z_dim:].argmax()]} if classes else {})


def add_command(commands: Any) -> None:
    """Adds `project` to the commands."""
    parser = commands.add_parser(
        "project",
        description="Projects a picture into latent space by gradient descent from several starts.",
        example="mnist seven.png --output both.png",
    )
    add_generator(parser)
    parser.add_argument("picture", type=Path, help="a picture file; its centre square counts")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="a .png: the given picture and the projected one, side by side",
    )
    parser.add_argument(
        "--steps",
        type=Number(int, 1, MOST_STEPS),
        default=STEPS,
        help=f"steps of gradient descent (default: {STEPS})",
    )
    parser.add_argument(
        "--starts",
        type=Number(int, 1, MOST_STARTS),
        default=STARTS,
        help=f"latents to start from (default: {STARTS})",
    )
    parser.add_argument(
        "--seed",
        type=Number(int, 0, 2**32 - 1),
        default=0,
        help="seed of the starts (default: 0)",
    )
    parser.add_argument(
        "--class",
        dest="class_",
        metavar="NAME",
        help="name or number of a class (default: the nearest)",
    )
    parser.add_argument(
        "--scale",
        type=Number(int, 1, LARGEST_SCALE),
        default=1,
        help="factor by which both are enlarged (default: 1)",
    )
    parser.add_argument("--json", action="store_true", help="print z, class and errors as JSON")
    parser.set_defaults(command=_project)


def _project(options: argparse.Namespace) -> int:
    if options.output.suffix.lower() != ".png":
        raise OutputError(f"{options.output}: a file whose name ends in .png is wanted")
    file = read_generator(options)
    config, device = file.config, resolve_device(options.device)
    place = None if options.class_ is None else class_place(config, options.class_)
    picture = read_picture(options.picture, config.crop, config.network.channels)
    reports = project(
        file,
        picture,
        steps=options.steps,
        starts=options.starts,
        seed=options.seed,
        class_=place,
        device=device,
    )
    with _one_thread():
        before = last = next(iter(reports))
        with counting("projecting", options.steps, "steps") as count:
            for report in reports:
                count(report.step - last.step)
                last = report
    found = load_sampler(file, options.device)(last.row[None])
    both = enlarge(np.concatenate([picture[None], found]), options.scale)
    write_whole(options.output, encode_png(tile(both, 2)))
    _say(file, before, last, options)
    return 0


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    one_thread()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _say(
    file: GeneratorFile, before: Progress, found: Progress, options: argparse.Namespace
) -> None:
    if options.json:
        errors = {"error_before": round(before.error, 3), "error": round(found.error, 3)}
        print(json.dumps({"model": file.config.id, **row_words(file, found.row), **errors}))
        return
    words = row_words(file, found.row)
    named = f", class {words['class']}" if "class" in words else ""
    print(
        f"{options.output}: {found.error:.2f} levels of 255 apart (root mean square), "
        f"{before.error:.2f} before gradient descent{named}"
    )
