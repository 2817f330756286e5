"""`onnx`: a generator file in a form that others use."""

import argparse
from pathlib import Path
from typing import Any

from model.files import OutputError
from model.onnx_file import write_onnx
from model.training.arguments import read_generator


def add_command(commands: Any) -> None:
    """`onnx`, among the commands."""
    onnx = commands.add_parser("onnx", help="a generator file as one ONNX file")
    onnx.add_argument(
        "generator", help="folder of a generator file, name in the zoo, or hf:owner/name@revision"
    )
    onnx.add_argument("--output", type=Path, required=True, help="a .onnx file")
    onnx.set_defaults(command=_onnx)


def _onnx(options: argparse.Namespace) -> int:
    if options.output.suffix.lower() != ".onnx":
        raise OutputError(f"{options.output}: a file whose name ends in .onnx is wanted")
    write_onnx(read_generator(options), options.output)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes, checked")
    return 0
