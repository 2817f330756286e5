"""`onnx`, `push` and `directions`: a model folder as one ONNX file, its upscaler as another,
uploaded to the Hugging Face Hub, or with names for what changes along its directions.
"""

import argparse
import importlib
import re
from pathlib import Path
from typing import Any

from model.files import OutputError
from model.generator_file import WEIGHTS, name_directions, read_generator_file
from model.generators import generator_folder
from model.samplers.onnx_file import write_onnx
from model.training.commands.arguments import GENERATOR_HELP, read_generator
from model.upscaling.onnx_upscaler import write_upscaler_onnx

LARGER = 1.3  # times the weights of the model folder, from which the size is explained


def add_command(commands: Any) -> None:
    """Adds `onnx` and `push` to the commands."""
    onnx = commands.add_parser(
        "onnx",
        description="Writes a generator as one ONNX file, checked to generate the same bytes.",
        example="mnist --output mnist.onnx",
    )
    onnx.add_argument("generator", help=GENERATOR_HELP)
    onnx.add_argument("--output", type=Path, required=True, help="a .onnx file")
    onnx.add_argument(
        "--scale", type=int, help="what enlarges its pictures so many times, in place of itself"
    )
    onnx.set_defaults(command=_onnx)

    push = commands.add_parser(
        "push",
        description="Uploads a model folder to the Hugging Face Hub, with the token of HF_TOKEN or "
        "`hf auth login`.",
        example="my-digits owner/my-digits --private",
    )
    push.add_argument("generator", help=GENERATOR_HELP)
    push.add_argument("repository", help="owner/name; created if there is none")
    push.add_argument("--private", action="store_true", help="create it as a private one")
    push.add_argument("--message", help="message of the commit")
    push.set_defaults(command=_push)

    directions = commands.add_parser(
        "directions",
        description="Lists the directions of a generator's latent space, and names them: the page "
        "shows\nthe names at its sliders. What they are is seen there, or in the pictures at\n"
        "/models/NAME/directions/d0.png.",
        example='my-digits --name d0=Slant --name "d3=Thin to bold"',
    )
    directions.add_argument("generator", help=GENERATOR_HELP)
    directions.add_argument(
        "--name",
        action="append",
        default=[],
        type=_named,
        metavar="dN=NAME",
        help="a name to write into the folder; d0= takes one away",
    )
    directions.set_defaults(command=_directions)


def _named(text: str) -> tuple[int, str]:
    """Parses a direction and its name."""
    found = re.fullmatch(r"d(\d{1,2})=(.*)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!a}: such as d0=Slant is wanted")
    return int(found[1]), found[2].strip()


def _directions(options: argparse.Namespace) -> int:
    folder = generator_folder(options.generator)
    if options.name:
        name_directions(folder, dict(options.name))
    config = read_generator_file(folder).config
    for number in range(config.directions):
        name = config.direction_names[number] if config.direction_names else ""
        print(f"d{number} {name}".rstrip())
    return 0


def _onnx(options: argparse.Namespace) -> int:
    if options.output.suffix.lower() != ".onnx":
        raise OutputError(f"{options.output}: a file whose name ends in .onnx is wanted")
    folder, file = generator_folder(options.generator), read_generator(options)
    if options.scale is None:
        write_onnx(file, options.output)
    elif file.upscaler is None:
        raise OutputError(f"{file.config.id} has no upscaler")
    else:
        write_upscaler_onnx(file.upscaler, options.scale, options.output)
    size, weights = options.output.stat().st_size, (folder / WEIGHTS).stat().st_size
    why = ""
    if options.scale is None and size > weights * LARGER:
        why = f"; {WEIGHTS} has {weights:,}: batch norms are folded into weights in float32 here"
    print(f"{options.output}: {size:,} bytes, checked{why}")
    return 0


def _push(options: argparse.Namespace) -> int:
    folder = generator_folder(options.generator)
    # imported by name: the Hub's library costs time and memory, and few need it
    hub = importlib.import_module("...hub", __package__)
    address = hub.push(folder, options.repository, private=options.private, message=options.message)
    print(address)
    return 0
