"""Arguments that several commands share, and how they are read."""

import argparse
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from model.devices import DeviceError, usable_cores
from model.encoding.formats import LARGEST_SCALE
from model.files import OutputError
from model.generator_file import GeneratorFile, read_generator_file
from model.generators import generator_folder
from model.image_decoding import FITS
from model.mistakes import Mistake
from model.picture_request import OUTPUT_DEFAULTS, Changes, Output, Resample
from model.samplers.sampler import cuda_devices
from model.training.datasets.shards import is_store
from model.training.run.run_folder import slug
from model.upscaling.runtimes import UpscalingSampler

GENERATOR_HELP = "a model folder, a name in model/zoo, or hf:owner/name@revision"

SPELLED = {  # what is not called as its option is
    "start": "from",
    "augmentation": "augment",
    "burn_in": "burn_in_kimg",
    "steady": "steady_kimg",
    "ema_half_life": "ema_kimg",
}

ADDRESS = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")  # a single letter is a drive of Windows
DEVICE_HELP = "auto, cpu, cuda or cuda:N (default: auto)"


@dataclass(frozen=True)
class Number:
    """An argument type: a number within bounds, with a clear error outside them."""

    kind: type[int] | type[float]
    low: float
    high: float

    def __call__(self, text: str) -> int | float:
        allowed = "allowed: {} to {}".format(*map(_shown, (self.low, self.high)))
        try:
            value = self.kind(text)
        except ValueError:
            word = "a whole number" if self.kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {word}; {allowed}") from None
        if not self.low <= value <= self.high:
            raise argparse.ArgumentTypeError(f"{text} is out of range; {allowed}")
        return value


def _shown(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


SHARD_SIZE = Number(int, 1, 10**7)
SHARD_SIZE_HELP = "pictures in a shard (default: as many as 64 MiB hold)"


@dataclass(frozen=True)
class ProcessRank:
    """This process's place among those that work together, as torchrun sets it."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1


ALONE = ProcessRank()


def read_ranks() -> ProcessRank:
    """Reads the ranks that torchrun has set; without them, one process alone.

    Raises:
        DeviceError: they are set to values that torchrun would not set.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    texts = [os.environ.get(name, default) for name, default in zip(names, "0101", strict=True)]
    if all(text.isascii() and text.isdecimal() for text in texts):
        ranks = ProcessRank(*map(int, texts))
        if ranks.rank < ranks.world and ranks.local_rank < ranks.local_world:
            return ranks
    shown = ", ".join(f"{name} {text!a}" for name, text in zip(names, texts, strict=True))
    raise DeviceError(f"{shown}: these are not a process's place among others; see torchrun")


def source(text: str) -> str:
    """Checks the name of a set of pictures, as far as nobody can mean it.

    Raises:
        argparse.ArgumentTypeError: it is empty, or an address of something that is elsewhere.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty; a folder or a .zip file is wanted")
    if ADDRESS.match(text) and not is_store(Path(text)):
        raise argparse.ArgumentTypeError(
            f"{text!a} is an address; download it, and name the folder or .zip file that is here"
        )
    return text


def shards_folder(text: str) -> Path:
    """Parses where shards are written.

    Raises:
        argparse.ArgumentTypeError: it is an address, of a store or elsewhere.
    """
    if ADDRESS.match(text):
        raise argparse.ArgumentTypeError(
            f"{text!a} is an address; name a folder, and copy it to the store when it is there"
        )
    return Path(text)


def refuse(
    options: argparse.Namespace,
    names: Iterable[str],
    why: str,
    error: type[Mistake],
    defaults: Mapping[str, object] | None = None,
) -> None:
    """Refuses options that were said where they cannot count. `names` are those in `options`; one
    was said if it is not its default, which is None or False where `defaults` has none.

    Raises:
        error: the first that was said, and why it does not count.
    """
    for name in names:
        value = getattr(options, name, None)
        if value is None or value is False or (defaults and value == defaults.get(name)):
            continue
        raise error(f"{spelled(name)} {why}")


def spelled(name: str) -> str:
    """Returns the option of a name in `options` or of a run's configuration."""
    return f"--{SPELLED.get(name, name).replace('_', '-')}"


def generator_name(text: str) -> str:
    """Checks the name of a generator in URLs.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if slug(text) != text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name; allowed: up to 64 of a-z, 0-9, - and _"
        )
    return text


def add_generator(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Adds the options for the generator and the device that it runs on."""
    if default is None:
        parser.add_argument("generator", help=GENERATOR_HELP)
    else:
        shown = f"{GENERATOR_HELP} (default: {default})"
        parser.add_argument("generator", nargs="?", default=default, help=shown)
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)


def add_fit(parser: argparse.ArgumentParser) -> None:
    """Adds the options for how pictures are read: what becomes of those that are not square, and
    of 16 bits a value.
    """
    parser.add_argument(
        "--fit",
        choices=FITS,
        default="crop",
        help="what becomes of pictures that are not square: crop to the centre, or pad with white "
        "(default: crop)",
    )
    parser.add_argument(
        "--bits",
        type=Number(int, 1, 16),
        default=0,
        help="how many bits of 16-bit values count: 12 of many scans, 16 for all (default: as many "
        "as the set's values fill)",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the device, and for where official sets come from."""
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)
    parser.add_argument("--base-url", help="address to download official sets from instead")


def add_changes(parser: argparse.ArgumentParser) -> None:
    """Adds the options for latents and pictures: those that a service has as parameters."""
    parser.add_argument(
        "--class",
        dest="class_",
        metavar="NAME",
        help="name or number of a class (default: each seed has a class of its own)",
    )
    parser.add_argument(
        "--truncation",
        type=Number(float, 0, 1),
        default=1.0,
        help="factor of the latents, 0 to 1: smaller is more typical and less varied (default: 1)",
    )
    parser.add_argument("--edit", help="moves along latent directions, such as d0:1.5,d3:-2")
    parser.add_argument(
        "--scale",
        type=Number(int, 1, LARGEST_SCALE),
        default=1,
        help="factor by which the pictures are enlarged (default: 1)",
    )
    parser.add_argument(
        "--resample",
        choices=get_args(Resample),
        default="nearest",
        help="how --scale enlarges; learned: by the generator's upscaler, where it has one for "
        "this scale (default: nearest)",
    )
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        default="fp32",
        help="data type of the computation (default: fp32)",
    )
    parser.add_argument(
        "--batch",
        type=Number(int, 1, 4096),
        default=64,
        help="pictures per forward pass (default: 64)",
    )


def add_force(parser: argparse.ArgumentParser) -> None:
    """Adds the option to write into a folder that is there."""
    parser.add_argument("--force", action="store_true", help="replace what is in the output folder")


def check_output_folder(folder: Path, force: bool) -> None:
    """Checks that a folder can be written without the loss of another's files.

    Raises:
        OutputError: it is a file, or holds files and is not to be replaced.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; a folder is wanted")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder}: holds files; say another --output, or --force to replace it")


def read_generator(options: argparse.Namespace) -> GeneratorFile:
    """Reads the model folder that the options name."""
    return read_generator_file(generator_folder(options.generator))


def read_changes(file: GeneratorFile, options: argparse.Namespace) -> Changes:
    """Reads what is done to seeds, checked against what the generator has."""
    return Changes.read(file.config, options.class_, options.truncation, options.edit)


def read_output(file: GeneratorFile, options: argparse.Namespace) -> Output:
    """Reads what is done to pixels, as far as a command has options for it, checked against what
    the generator has.
    """
    found = vars(options)
    output = Output(**{name: found[name] for name in OUTPUT_DEFAULTS if name in found})
    return output.checked(file)


def read_sampler(
    file: GeneratorFile, options: argparse.Namespace, ranks: ProcessRank = ALONE
) -> UpscalingSampler:
    """Loads the generator on its device: of processes that work together each takes its own GPU, or
    its share of the cores.
    """
    device = options.device
    if device == "auto" and 1 < ranks.local_world <= cuda_devices():
        device = f"cuda:{ranks.local_rank}"
    threads = max(1, usable_cores() // ranks.local_world)
    return UpscalingSampler(file, device, options.precision, threads)
