"""Clients that go away before their answer is ready.

Our protocol has a bell for it, which costs nothing to listen to; behind any other server a task
listens to `receive`.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from starlette.types import Receive, Scope

Watch = Callable[[Callable[[], None]], AbstractContextManager[None]]
BELL = "ganserve.disconnect"  # among the scope's extensions: a set of calls to make

_tasks: set[asyncio.Task[None]] = set()


def watching(scope: Scope, receive: Receive) -> Watch:
    """Returns a `watch`: `with watch(leave): ...` calls `leave` if this request's client goes away
    meanwhile.
    """
    bell = scope.get("extensions", {}).get(BELL)
    return partial(_Listening, bell) if bell is not None else partial(_by_task, receive)


class _Listening:  # no generator: this is the hot path
    __slots__ = ("_bell", "_leave")

    def __init__(self, bell: set[Callable[[], None]], leave: Callable[[], None]) -> None:
        self._bell, self._leave = bell, leave

    def __enter__(self) -> None:
        self._bell.add(self._leave)

    def __exit__(self, *_: object) -> None:
        self._bell.discard(self._leave)


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
