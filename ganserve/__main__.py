"""`ganserve`: the commands of the service and those of training under one name.

    ganserve serve, sign, ...      -> app
    ganserve train, generate, ...  -> model.training

Nothing is imported but what the command that is asked for needs.
"""

import sys

from app.__main__ import COMMANDS as SERVICE
from app.__main__ import main as service
from ganserve import __version__
from model.mistakes import told
from model.training.__main__ import COMMANDS as TRAINING
from model.training.__main__ import main as training

PROGRAM = "ganserve"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; without one, serves. Returns its exit status: 2 for a wrong argument or
    for what the user can correct, 3 for a setting; else the command's own.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    name = arguments[0] if arguments else "serve"
    if name in ("--help", "-h"):
        return told(lambda: _show(_overview()))
    if name == "--version":
        return told(lambda: _show(f"{PROGRAM} {__version__}"))
    if name in TRAINING:
        return training(arguments, PROGRAM)
    if name in SERVICE:
        return service(arguments, PROGRAM)
    print(f"error: {name!a} is no command; {PROGRAM} --help lists them", file=sys.stderr)
    return 2


def train() -> int:
    """Runs `ganserve-train`: the commands of training alone."""
    return training(program=f"{PROGRAM}-train")


def _show(text: str) -> int:
    print(text)
    return 0


def _overview() -> str:
    width = max(map(len, (*SERVICE, *TRAINING))) + 2
    lines = [f"usage: {PROGRAM} [--version] [--help] [COMMAND ...]", ""]
    abouts = {name: about for name, (_, about) in TRAINING.items()}
    for title, commands in (("service:", SERVICE), ("generators:", abouts)):
        lines += [title, *(f"  {name:{width}}{about}" for name, about in commands.items()), ""]
    lines += [
        f"{PROGRAM} COMMAND --help tells the options of a command, and of `serve` the settings.",
        "Without a command it serves.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
