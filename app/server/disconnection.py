"""Clients that go away before their answer is ready.

Our protocol has a bell for it, which costs nothing to listen to, and which whoever comes later
hears too; behind any other server a task listens to `receive`.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from starlette.types import Receive, Scope

Watch = Callable[[Callable[[], None]], AbstractContextManager[None]]
BELL = "ganserve.disconnect"  # among the scope's extensions: a Bell

_tasks: set[asyncio.Task[None]] = set()


def watching(scope: Scope, receive: Receive) -> Watch:
    """Returns a `watch`: `with watch(leave): ...` calls `leave` if this request's client goes away
    meanwhile.
    """
    bell = scope.get("extensions", {}).get(BELL)
    return partial(_Listening, bell) if bell is not None else partial(_by_task, receive)


class Bell:
    """Rings once, when a connection is lost: calls all who listen then, and at once whoever comes
    later, for between two watches of a request its client can go too.
    """

    __slots__ = ("_calls", "_rung")

    def __init__(self) -> None:
        self._calls: set[Callable[[], None]] = set()
        self._rung = False

    def listen(self, leave: Callable[[], None]) -> None:
        """Calls `leave` when it rings."""
        self._calls.add(leave)
        if self._rung:
            leave()

    def forget(self, leave: Callable[[], None]) -> None:
        """Calls it no more."""
        self._calls.discard(leave)

    def ring(self) -> None:
        """Calls all who listen."""
        self._rung = True
        for leave in tuple(self._calls):
            leave()


class _Listening:  # no generator: this is the hot path
    __slots__ = ("_bell", "_leave")

    def __init__(self, bell: Bell, leave: Callable[[], None]) -> None:
        self._bell, self._leave = bell, leave

    def __enter__(self) -> None:
        self._bell.listen(self._leave)

    def __exit__(self, *_: object) -> None:
        self._bell.forget(self._leave)


@contextmanager
def _by_task(receive: Receive, leave: Callable[[], None]) -> Iterator[None]:
    task = asyncio.get_running_loop().create_task(_until_gone(receive, leave))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    try:
        yield
    finally:
        task.cancel()


async def _until_gone(receive: Receive, leave: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    leave()
