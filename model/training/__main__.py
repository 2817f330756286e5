"""The commands: `python -m model.training --help` lists them."""

import argparse
import errno
import shlex
import sys

from model.devices import DeviceError
from model.files import OutputError
from model.generator_file import GeneratorFileError
from model.recipes import RecipeError
from model.system import check_system
from model.training.commands import evaluate as measuring
from model.training.commands import (
    export,
    generate,
    interpolate,
    prepare,
    project,
    report,
    share,
    train,
    video,
)
from model.training.commands.command_parser import Parser
from model.training.datasets.dataset import DataError
from model.training.discriminators.frozen_features import FrozenError
from model.training.distributed import DistributedError
from model.training.evaluation.features import ExtractorError
from model.training.loop import TrainingError
from model.training.run.checkpoint import CheckpointError
from model.training.run.run_folder import RunError

MISTAKES = (
    CheckpointError,
    DataError,
    DeviceError,
    ExtractorError,
    FrozenError,
    GeneratorFileError,
    OutputError,
    DistributedError,
    RecipeError,
    RunError,
    TrainingError,
)  # what the user can correct: one line, no traceback
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status: 0 done, 1 stopped early, 2 a mistake of
    the user or a full disk.
    """
    check_system(2)
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments, argparse.Namespace(typed=shlex.join(arguments)))
    try:
        status: int = options.command(options)
    except MISTAKES as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in FULL:
            raise
        place = error.filename or "the disk"
        print(f"error: {place}: {error.strerror}; what was saved is whole", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1
    return status


def parser() -> argparse.ArgumentParser:
    """Makes the parser of all commands."""
    parser = Parser(
        prog="python -m model.training",
        description="Train GANs on your pictures, measure them, and generate pictures with them.",
        example="train --data my-pictures --hours 1",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train.add_command(commands)
    measuring.add_commands(commands)
    for room in (export, report, prepare, video, generate, interpolate, project, share):
        room.add_command(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
