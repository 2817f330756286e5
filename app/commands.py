"""The commands of the service: settings from the environment, then the workers."""

import argparse
import sys
import textwrap
from typing import Any

from app import START_FAILED
from app.__main__ import COMMANDS, PROGRAM
from app.access.keys import key_hash, new_key
from app.access.signing import SignedUrls
from app.probe import ready
from app.server.workers import serve
from app.settings import SettingsError, described, read_settings
from ganserve import __version__
from model.command_parser import Parser

HELP_WIDTH = 100  # characters
MAX_SECONDS = 10**9  # 31 years, of a signed URL's life


def main(arguments: list[str] | None = None, program: str = PROGRAM) -> int:
    """Runs one command; returns its exit status: 3 a wrong setting, one line per mistake. A wrong
    argument exits with 2.
    """
    options = _parser(program).parse_args(arguments)
    try:
        status: int = options.command(options)
    except SettingsError as error:
        for mistake in error.mistakes:
            print(f"error: {mistake}", file=sys.stderr)
        return START_FAILED
    return status


def _serve(options: argparse.Namespace) -> int:
    return serve(read_settings())


def _health(options: argparse.Namespace) -> int:
    return 0 if ready() else 1


def _new_key(options: argparse.Namespace) -> int:
    key = new_key()
    print(f"key, for the client alone: {key}")
    print(f"hash, for GAN_API_KEY_HASHES: {key_hash(key)}")
    return 0


def _sign(options: argparse.Namespace) -> int:
    secrets = [secret.get_secret_value() for secret in read_settings().url_secrets]
    if not secrets:
        raise SettingsError(["setting GAN_URL_SECRETS: not set, and nothing else can sign"])
    try:
        print(SignedUrls(secrets).sign(options.url, options.expires_in))
    except ValueError as error:
        options.refuse(str(error))
    return 0


def _seconds(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) <= MAX_SECONDS):
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MAX_SECONDS} is wanted")
    return int(text)


def _parser(program: str) -> argparse.ArgumentParser:
    settings: dict[str, Any] = {
        "epilog": f"settings, from the environment:\n\n{_settings_table()}",
        "allow_abbrev": False,
    }
    parser = Parser(
        prog=program,
        description="Without a command: serves pictures until it is told to stop.",
        **settings,
    )
    parser.add_argument("--version", action="version", version=f"ganserve {__version__}")
    parser.set_defaults(command=_serve)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    commands.add_parser(
        "serve",
        help=COMMANDS["serve"],
        description="Serves until told to stop.",
        **settings,
    )
    signed = commands.add_parser("sign", help=COMMANDS["sign"])
    signed.add_argument("url", metavar="URL", help="https://host/path?query, or /path?query")
    signed.add_argument("--expires-in", metavar="SECONDS", type=_seconds, help="of its life")
    signed.set_defaults(command=_sign, refuse=signed.error)
    health = commands.add_parser("health", help=COMMANDS["health"])
    health.set_defaults(command=_health)
    made = commands.add_parser("new-key", help=COMMANDS["new-key"])
    made.set_defaults(command=_new_key)
    return parser


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
