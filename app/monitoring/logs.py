"""The log: one line an event on stderr, as text for people or as JSON for machines.

Paths are logged without their query strings, which may hold signatures; headers never are.
"""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any, Literal

from app.monitoring.request_context import Facts, WithFacts

log = logging.getLogger("ganserve")

LogFormat = Literal["text", "json"]
CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")
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
    "queue",
    "generate",
    "encode",
)


class TextFormatter(logging.Formatter):
    """A level and a message; what a client has sent cannot begin a line of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Returns the line, without a traceback, its control characters escaped."""
        record.message = CONTROL.sub(lambda found: ascii(found[0])[1:-1], record.message)
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
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
    for name in ("queue", "generate", "encode"):
        if value := getattr(facts, name):
            more[name] = round(value, 6)
    log.info("%s %s %d in %.1f ms", method, path, status, 1000 * seconds, extra=more)


def configure(format: LogFormat) -> None:
    """Sends every log of this process to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter(TEXT))
    handler.addFilter(WithFacts())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
