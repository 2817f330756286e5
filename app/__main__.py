"""`python -m app`: settings from the environment, then the workers; --help tells them all."""

import argparse
import sys
import textwrap
from typing import NoReturn

from app.settings import SettingsError, described, read_settings
from app.workers import START_FAILED, serve

HELP_WIDTH = 100  # characters


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status: 3 a wrong setting, one line per mistake. A wrong
    argument exits with 2.
    """
    _parser().parse_args(arguments)
    try:
        return serve(read_settings())
    except SettingsError as error:
        for mistake in error.mistakes:
            print(f"error: {mistake}", file=sys.stderr)
        return START_FAILED


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; --help tells what is known\n")


def _parser() -> argparse.ArgumentParser:
    return _Parser(
        prog="python -m app",
        description="Serves pictures until it is told to stop.",
        epilog=f"settings, from the environment:\n\n{_settings_table()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _settings_table() -> str:
    rows = [("variable", "default", "allowed", "meaning"), *described()]
    widths = [max(map(len, column)) + 2 for column in list(zip(*rows, strict=True))[:3]]
    lines = []
    for *cells, meaning in rows:
        start = "  " + "".join(map(str.ljust, cells, widths))
        room = HELP_WIDTH - len(start)
        for line in textwrap.wrap(meaning, room):
            lines.append(start + line)
            start = " " * len(start)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
