"""A connection's transport, as the event loop has it, with three things more: writing to a lost
connection does nothing; a client that takes too little of what is unsent is given up, before and
after the end of the connection alike; one that only sends no more is told from one that has gone.

uvloop raises where something is written to a connection that is lost. And both loops keep a closed
connection until all is sent, for ever where nobody reads.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

TCP_INFO = getattr(socket, "TCP_INFO", None)  # Linux has it
TCP_CLOSE = 7  # the first byte of TCP_INFO: the kernel has ended the connection
LEAST_RATE = 1024  # bytes a second that a client has to take of what is unsent
LONGEST_PAUSE = 0.5  # seconds between looks whether the client is still there


class WatchedTransport:
    """One connection's. `stalled_seconds`: how long the client may take too little."""

    __slots__ = (
        "_gone",
        "_loop",
        "_seconds",
        "_stall",
        "_transport",
        "abort",
        "get_extra_info",
        "get_write_buffer_size",
        "is_closing",
        "write",
    )

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, stalled_seconds: float
    ) -> None:
        self._transport, self._loop, self._seconds = transport, loop, stalled_seconds
        self._stall: asyncio.TimerHandle | None = None
        self._gone: asyncio.TimerHandle | None = None
        self.write: Callable[[bytes], None] = transport.write
        self.abort = transport.abort
        self.is_closing = transport.is_closing
        self.get_extra_info: Callable[..., Any] = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size

    def close(self) -> None:
        """Ends the connection when all is sent, or the client takes too little of it."""
        self._transport.close()
        self.write = _dropped
        self.watch()

    def lost(self) -> None:
        """Forgets the connection: it has ended."""
        self.write = _dropped
        self._cancel_stall()
        self.answered()

    def pause_reading(self) -> None:
        """Lets bytes of the client wait where they are."""
        if not self.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Takes bytes of the client again."""
        if not self.is_closing():
            self._transport.resume_reading()

    def watch(self) -> None:
        """Begins to look whether the client takes what is unsent, if anything is."""
        if self._stall is None and (unsent := self.get_write_buffer_size()):
            self._stall = self._loop.call_later(self._seconds, self._look, unsent)

    def unwatch(self) -> None:
        """Ends that: little is unsent, and more will be written."""
        if not self.is_closing():
            self._cancel_stall()

    def hurry(self, seconds: float) -> None:
        """Gives the client less time than it had, from now on."""
        self._seconds = min(seconds, self._seconds)
        self._cancel_stall()
        self.watch()

    def _look(self, before: int) -> None:
        self._stall = None
        if before - self.get_write_buffer_size() < LEAST_RATE * self._seconds:
            self.abort()
        else:
            self.watch()

    def _cancel_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def tells_who_has_gone(self) -> bool:
        """Returns whether `await_answer` can find it out here."""
        own = self.get_extra_info("socket")
        families = (socket.AF_INET, socket.AF_INET6)
        return TCP_INFO is not None and own is not None and own.family in families

    def await_answer(self, begun: bool) -> None:
        """Ends the connection as soon as the client is not there, while nothing of it is read.

        A client that has closed its socket and one that has only said that it sends no more look
        alike, until something is sent to them: the kernel of the first refuses it. So the first
        byte of the answer, which is the same for all, goes ahead, unless the answer has begun.
        """
        if self._gone is not None or self.is_closing():
            return  # it looks already
        if not begun:
            self._transport.write(b"H")
            self.write = self._write_but_the_first
        self._look_for_the_client(0.01)

    def answered(self) -> None:
        """Looks no more whether the client is there."""
        if self._gone is not None:
            self._gone.cancel()
            self._gone = None

    def _write_but_the_first(self, data: bytes) -> None:
        self.write = self._transport.write
        self.write(data[1:])

    def _look_for_the_client(self, pause: float) -> None:
        self._gone = None
        if self.is_closing():
            return
        own = self.get_extra_info("socket")
        if own.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 1)[0] == TCP_CLOSE:
            self.abort()
        else:
            later = min(2 * pause, LONGEST_PAUSE)
            self._gone = self._loop.call_later(pause, self._look_for_the_client, later)


def _dropped(data: bytes) -> None:
    """Takes the place of `write` where nobody listens."""
