"""Work that would hold the event loop, done on threads for as long as its client waits.

    value -> step -> step -> result, each begun only while somebody waits for it

The loop gets the interpreter back within a few milliseconds where one thread wants it too, and not
where many do. So what computes in Python alone, such as the checking of bodies, has one thread.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.engine.loaded_generator import ClientGoneError
from app.server.disconnection import Watch

_one_thread = ThreadPoolExecutor(1, "bodies")


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
        for step in steps:
            if gone.is_set():
                raise ClientGoneError
            result = step(result)
        return result

    loop = asyncio.get_running_loop()
    with watch(gone.set):
        return await loop.run_in_executor(pool, contextvars.copy_context().run, work)
