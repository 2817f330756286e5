"""What is known of the request in progress: its id, its trace, where its time went, why it was
refused. Logs and metrics take it from a context variable.

An id that the client or the balancer gives is kept; else it is the trace's, else a random one.
"""

import logging
import re
from contextvars import ContextVar
from ipaddress import IPv6Address
from random import getrandbits

from starlette.types import Scope

LONGEST_NAME = 64  # characters: a proxy may call a client what it likes

ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,64}")
# https://www.w3.org/TR/trace-context/: version, trace, parent, flags
TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


TIMES = ("queue", "generate", "upscale", "classify", "encode")  # where time goes, seconds


class Facts:
    """What is known of one request."""

    __slots__ = ("_scope", "id", "reason", "traceparent", *TIMES)
    queue: float
    generate: float
    upscale: float
    classify: float
    encode: float

    def __init__(self, id: str, traceparent: str, scope: Scope) -> None:
        self.id, self.traceparent, self._scope = id, traceparent, scope
        self.reason = ""  # why it was refused
        self.queue = self.generate = self.upscale = self.classify = self.encode = 0.0

    @property
    def client(self) -> str | bytes:
        """The client's address, see `address`."""
        return address(self._scope)

    @property
    def path(self) -> str:
        """The request's path, without the root path."""
        path: str = self._scope["path"]
        return path


current: ContextVar[Facts | None] = ContextVar("facts", default=None)


def facts_of(scope: Scope) -> Facts:
    """Reads the facts of a request from its headers."""
    id = traceparent = ""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if ID.fullmatch(value):
                id = value.decode()
        elif name == b"traceparent" and TRACEPARENT.fullmatch(value):
            traceparent = value.decode()
    return Facts(id or traceparent[3:35] or f"{getrandbits(64):016x}", traceparent, scope)


def address(scope: Scope) -> str | bytes:
    """Returns the client's address: IPv4, or the /64 of an IPv6 one, as a household has.

    The server has put the forwarded address here, if it trusts the proxy.
    """
    host: str = (scope.get("client") or ("",))[0]
    if ":" not in host:
        return host[:LONGEST_NAME]
    try:
        ip = IPv6Address(host)
    except ValueError:
        return host[:LONGEST_NAME]
    return str(ip.ipv4_mapped) if ip.ipv4_mapped else ip.packed[:8]


def client_in_progress() -> str | bytes:
    """Returns the address of the client whose request is in progress; empty where none is."""
    facts = current.get()
    return facts.client if facts else ""


def refused(reason: str) -> None:
    """Records why the request in progress, if there is one, is refused."""
    facts = current.get()
    if facts is not None:
        facts.reason = reason


class WithFacts(logging.Filter):
    """Adds to each line of the log which request it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Adds the attributes; never leaves a line out."""
        facts = current.get()
        if facts is not None:
            record.request_id = facts.id
            if facts.traceparent:
                _, record.trace_id, record.parent_id, _ = facts.traceparent.split("-", 3)
        return True
