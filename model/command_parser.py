"""The parser of a command line: each command's help has an example, each mistake is one line."""

import argparse
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Parses arguments; a mistake ends the process with one line and exit status 2."""

    def __init__(self, *, example: str = "", **options: Any) -> None:
        """Makes a parser; `example` are arguments that its help shows behind the command's name."""
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        if example:
            self.epilog = f"example:\n  {self.prog} {example}"

    def error(self, message: str) -> NoReturn:
        """Prints what is wrong, and where the options are explained."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")
