"""The log: one line an event on stderr, as text for people or as JSON for machines.

Paths are logged without their query strings, which may hold signatures; headers never are, nor is
what somebody has sent and we could not read.
"""

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi.exceptions import ValidationException
from pydantic import ValidationError

from app.monitoring.request_context import TIMES, Facts, WithFacts

log = logging.getLogger("ganserve")

LogFormat = Literal["text", "json"]
CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")
HIDDEN = "its input is not logged"
TEXT = "%(levelname)s:     %(message)s"
# what a line may have besides time, level and message
MORE = (
    "request_id",
    "trace_id",
    "parent_id",
    "method",
    "path",
    "status",
    "reason",
    "seconds",
    *TIMES,
)


class DiscreetFormatter(logging.Formatter):
    """Writes tracebacks without the input that a validation error repeats."""

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Returns the traceback, with that of each cause."""
        error = ei[1] if ei else sys.exc_info()[1]
        if error is None:
            return super().formatException(ei)
        found = traceback.TracebackException.from_exception(error)
        _hide_input(error, found)
        return "".join(found.format()).removesuffix("\n")


def _hide_input(error: BaseException, found: traceback.TracebackException) -> None:
    """Takes the message from each validation error of a chain or group."""
    if isinstance(error, (ValidationError, ValidationException)):
        found._str = HIDDEN  # type: ignore[attr-defined]  # all that it keeps of the error
    pairs = [(error.__cause__, found.__cause__), (error.__context__, found.__context__)]
    if isinstance(error, BaseExceptionGroup):
        pairs += zip(error.exceptions, found.exceptions or (), strict=False)
    for one, of_it in pairs:
        if one is not None and of_it is not None:
            _hide_input(one, of_it)


class TextFormatter(DiscreetFormatter):
    """A level and a message; what a client has sent cannot begin a line of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Returns the line, without a traceback, its control characters escaped."""
        record.message = CONTROL.sub(lambda found: ascii(found[0])[1:-1], record.message)
        return super().formatMessage(record)


class JsonFormatter(DiscreetFormatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
            "process": record.process,
        }
        line |= {name: getattr(record, name) for name in MORE if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_answer(method: str, path: str, status: int, facts: Facts, seconds: float) -> None:
    """Logs one line for one answer."""
    more: dict[str, Any] = {"method": method, "path": path, "status": status}
    more["seconds"] = round(seconds, 6)
    more |= {"reason": facts.reason} if facts.reason else {}
    for name in TIMES:
        if value := getattr(facts, name):
            more[name] = round(value, 6)
    log.info("%s %s %d in %.1f ms", method, path, status, 1000 * seconds, extra=more)


def configure(format: LogFormat) -> None:
    """Sends every log of this process to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter(TEXT))
    handler.addFilter(WithFacts())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
