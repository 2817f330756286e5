"""Work that would hold the event loop, done on threads for as long as its client waits.

    value -> step -> step -> result, each begun only while somebody waits for it

The loop gets the interpreter back within a few milliseconds where one thread wants it too, and not
where many do. So what computes in Python alone, such as the checking of bodies, has one thread. And
while anything is done here, turns at the interpreter are short: the loop needs it anew after each
system call, and Python's 5 ms a turn are seconds for a few hundred connections. At all other times
short turns cost a request of one picture a quarter of its CPU time.
"""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.engine.loaded_generator import ClientGoneError
from app.server.disconnection import Watch

SHORT_TURN, TURN = 0.0005, 0.005  # seconds; the second is Python's own

_one_thread = ThreadPoolExecutor(1, "bodies")
_lock = threading.Lock()
_at_work = 0


async def in_turn(watch: Watch, value: Any, *steps: Callable[[Any], Any]) -> Any:
    """Takes a value through steps as `in_parallel` does, but after all others that are here: for
    what computes in Python for long.
    """
    return await _run(_one_thread, watch, value, steps)


async def in_parallel(watch: Watch, value: Any, *steps: Callable[[Any], Any]) -> Any:
    """Takes a value through steps on a thread, each fed by the one before; returns what the last
    one makes of it. None is begun once the client has gone.

    Raises:
        ClientGoneError: the client went away first.
    """
    return await _run(None, watch, value, steps)


async def _run(
    pool: ThreadPoolExecutor | None,
    watch: Watch,
    value: Any,
    steps: tuple[Callable[[Any], Any], ...],
) -> Any:
    gone = threading.Event()

    def work() -> Any:
        result = value
        _count(1)
        try:
            for step in steps:
                if gone.is_set():
                    raise ClientGoneError
                result = step(result)
        finally:
            _count(-1)
        return result

    loop = asyncio.get_running_loop()
    with watch(gone.set):
        return await loop.run_in_executor(pool, contextvars.copy_context().run, work)


def _count(change: int) -> None:
    """Counts the threads at work, and sets the length of a turn by it."""
    global _at_work
    with _lock:
        _at_work += change
        sys.setswitchinterval(SHORT_TURN if _at_work else TURN)
