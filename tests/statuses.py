"""How a command ends, when it is called in this process."""

from collections.abc import Callable


def status_of(command: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Runs a command; returns its exit status, also where its parser ends it."""
    try:
        return command(arguments)
    except SystemExit as ending:
        return int(ending.code or 0)
