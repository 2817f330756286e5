"""`python -m app`: see `commands`."""

import importlib
import os
import signal
import sys
from types import FrameType

from app.probe import ready
from model.system import check_system

START_FAILED = 3  # as app.server.server has it, whose import takes seconds


def main() -> int:
    """Runs one command; returns its exit status."""
    check_system(START_FAILED)
    # process 1 of a container is ended by no signal that it has no handler for, and what comes now
    # takes seconds
    signal.signal(signal.SIGTERM, _end)
    # nor may SIGHUP end it before it can reload: until then it waits
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    if sys.argv[1:] == ["health"]:  # without the imports: see `probe`
        return 0 if ready() else 1
    status: int = importlib.import_module("app.commands").main()
    return status


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(0)  # nothing has begun that would have to be finished


if __name__ == "__main__":
    sys.exit(main())
