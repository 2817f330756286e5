"""`python -m app`: see `commands`."""

import importlib
import os
import signal
import sys
from types import FrameType

from app import START_FAILED
from app.probe import ready
from model.mistakes import check_system, told

COMMANDS = {
    "serve": "serve pictures until it is told to stop",
    "health": "ask whether the service is ready: status 0, or 1 if not",
    "sign": "print a URL with its signature",
    "new-key": "print a random API key, and its hash",
}
PROGRAM = f"python -m {__package__}"


def main(arguments: list[str] | None = None, program: str = PROGRAM) -> int:
    """Runs one command; returns its exit status."""
    check_system(START_FAILED)
    # process 1 of a container is ended by no signal that it has no handler for, and what comes now
    # takes seconds
    signal.signal(signal.SIGTERM, _end)
    # nor may SIGHUP end it before it can reload: until then it waits
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    given = sys.argv[1:] if arguments is None else arguments
    if given == ["health"]:  # without the imports: see `probe`
        return 0 if ready() else 1
    return told(lambda: _run(given, program))


def _run(arguments: list[str], program: str) -> int:
    status: int = importlib.import_module(".commands", __package__).main(arguments, program)
    return status


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(0)  # nothing has begun that would have to be finished


if __name__ == "__main__":
    sys.exit(main())
