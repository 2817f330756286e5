"""The commands: `ganserve --help` lists them, as `python -m model.training --help` does.

Only the module of the command that is asked for is imported: most need more than others do.
"""

import argparse
import importlib
import shlex
import sys

from model.mistakes import told

COMMANDS = {  # name: the module that adds it, and what it does
    "train": (".commands.train", "train a generator; the same command again resumes"),
    "evaluate": (".commands.evaluate", "measure a generator file, as JSON"),
    "classifier": (
        ".commands.evaluate",
        "train the classifier whose features measure quality",
    ),
    "parts": (
        ".evaluation.parts",
        "train a network that names the layers of stacked pictures, to measure with",
    ),
    "export": (".commands.export", "a run's generator, measured, with its model card"),
    "report": (".commands.report", "write a run's page again"),
    "data": (".commands.prepare", "describe a set of pictures; --output prepares it"),
    "video": (".commands.video", "the grids of a run as an animation"),
    "generate": (".commands.generate", "pictures of seeds: a folder, a zip or a sheet"),
    "interpolate": (".commands.interpolate", "the way from seed to seed, as an animation"),
    "project": (".commands.project", "the latent that comes nearest to a picture"),
    "onnx": (".commands.share", "a generator file as one ONNX file"),
    "push": (".commands.share", "upload a generator file to the Hugging Face Hub"),
}
LEAN = ("data", "video", "generate", "interpolate", "project", "onnx", "push")
PROGRAM = f"python -m {__package__}"


def main(arguments: list[str] | None = None, program: str = PROGRAM) -> int:
    """Runs one command; returns its exit status: 0 done, 1 stopped early, 2 a mistake of
    the user or a full disk.
    """
    given = sys.argv[1:] if arguments is None else arguments
    lean = bool(given) and given[0] in LEAN
    return told(lambda: _run(given, program), "" if lean else "train")


def _run(arguments: list[str], program: str) -> int:
    name = arguments[0] if arguments else ""
    options = _parser(name, program).parse_args(
        arguments, argparse.Namespace(typed=shlex.join(arguments), program=program)
    )
    status: int = options.command(options)
    return status


def _parser(chosen: str, program: str) -> argparse.ArgumentParser:
    """Returns the parser of one command, or of them all by their names."""
    parser = argparse.ArgumentParser(prog=program, description="Train, measure and use generators.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    if chosen in COMMANDS:
        importlib.import_module(COMMANDS[chosen][0], __package__).add_command(commands)
        return parser
    for name, (_, about) in COMMANDS.items():
        commands.add_parser(name, help=about)
    return parser


if __name__ == "__main__":
    sys.exit(main())
