"""`onnx` and `push`: a generator file in a form, or at a place, where others use it."""

import argparse
import importlib
from pathlib import Path
from typing import Any

from model.files import OutputError
from model.generators import generator_folder
from model.samplers.onnx_file import write_onnx
from model.training.commands.arguments import GENERATOR_HELP, read_generator


def add_command(commands: Any) -> None:
    """Adds `onnx` and `push` to the commands."""
    onnx = commands.add_parser("onnx")
    onnx.add_argument("generator", help=GENERATOR_HELP)
    onnx.add_argument("--output", type=Path, required=True, help="a .onnx file")
    onnx.set_defaults(command=_onnx)

    push = commands.add_parser("push")
    push.add_argument("generator", help=GENERATOR_HELP)
    push.add_argument("repository", help="owner/name; made where there is none")
    push.add_argument("--private", action="store_true", help="if it has to be made")
    push.add_argument("--message", help="of the commit")
    push.set_defaults(command=_push)


def _onnx(options: argparse.Namespace) -> int:
    if options.output.suffix.lower() != ".onnx":
        raise OutputError(f"{options.output}: a file whose name ends in .onnx is wanted")
    write_onnx(read_generator(options), options.output)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes, checked")
    return 0


def _push(options: argparse.Namespace) -> int:
    folder = generator_folder(options.generator)
    # imported by name: the Hub's library costs time and memory, and few need it
    hub = importlib.import_module("...hub", __package__)
    address = hub.push(folder, options.repository, private=options.private, message=options.message)
    print(address)
    return 0
