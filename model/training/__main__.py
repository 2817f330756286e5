"""The commands: `ganserve --help` lists them, as `python -m model.training --help` does.

Only the module of the command that is asked for is imported: most need more than others do.
"""

import argparse
import importlib
import shlex
import sys

from model.command_parser import Parser
from model.mistakes import check_system, told

COMMANDS = {  # name: the module that adds it, and what it does
    "train": (".commands.train", "train a generator; the same command again resumes"),
    "evaluate": (".commands.evaluate", "measure a generator; prints the metrics as JSON"),
    "classifier": (
        ".commands.evaluate",
        "train a feature network that measures quality",
    ),
    "parts": (
        ".evaluation.parts",
        "train a feature network that names the layers of composited pictures",
    ),
    "export": (".commands.export", "export a run's generator as a model folder to serve and share"),
    "quantize": (
        ".quantization.command",
        "make an integer generator of one: half the cost, the same bytes on every machine",
    ),
    "report": (
        ".commands.report",
        "one page on a run: samples, nearest training pictures, curves, metrics",
    ),
    "data": (".commands.prepare", "describe a set of pictures, and prepare it with --output"),
    "watch": (".run.watch", "show a run in a browser on this machine, while it trains"),
    "video": (".commands.video", "an animation of a run's sample grids"),
    "generate": (".commands.generate", "generate pictures of seeds: a folder, a zip or a sheet"),
    "interpolate": (".commands.interpolate", "an animation of the interpolation from seed to seed"),
    "project": (
        ".commands.project",
        "find the latent whose picture is nearest to a given one (GAN inversion)",
    ),
    "directions": (".commands.share", "list a generator's directions, and name them"),
    "onnx": (".commands.share", "write a generator as one ONNX file"),
    "push": (".commands.share", "upload a model folder to the Hugging Face Hub"),
}
LEAN = ("data", "video", "generate", "interpolate", "project", "directions", "onnx", "push")
PROGRAM = f"python -m {__package__}"


def main(arguments: list[str] | None = None, program: str = PROGRAM) -> int:
    """Runs one command; returns its exit status: 0 done, 1 stopped early, 2 a mistake of
    the user or a full disk.
    """
    check_system(2)
    given = sys.argv[1:] if arguments is None else arguments
    lean = bool(given) and given[0] in LEAN
    return told(lambda: _run(given, program), "" if lean else "train")


def _run(arguments: list[str], program: str) -> int:
    options = parser(program, *arguments[:1]).parse_args(
        arguments, argparse.Namespace(typed=shlex.join(arguments), program=program)
    )
    status: int = options.command(options)
    return status


def parser(program: str = PROGRAM, chosen: str = "") -> argparse.ArgumentParser:
    """Makes the parser of one command, or of them all by their names."""
    parser = Parser(
        prog=program,
        description="Train GANs on your pictures, measure them, and generate pictures with them.",
        example="train --data my-pictures --hours 1",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    if chosen in COMMANDS:
        importlib.import_module(COMMANDS[chosen][0], __package__).add_command(commands)
        return parser
    for name, (_, about) in COMMANDS.items():
        commands.add_parser(name, help=about)
    return parser


if __name__ == "__main__":
    sys.exit(main())
