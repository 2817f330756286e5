"""Work that would hold the event loop, done on threads: while its client waits, or in turn.

The loop gets the interpreter back within a few milliseconds where one thread wants it too, and not
where many do. So what computes in Python alone, such as the checking of bodies, has one thread.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from app.engine.loaded_generator import ClientGoneError
from app.server.disconnection import Watch

Result = TypeVar("Result")
_one_thread = ThreadPoolExecutor(1, "bodies")


async def in_turn(work: Callable[[], Result]) -> Result:
    """Does what computes in Python for long on a thread, one piece of work after another."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_one_thread, contextvars.copy_context().run, work)


async def while_waited_for(watch: Watch, value: Any, *steps: Callable[[Any], Any]) -> Any:
    """Takes a value through steps on a thread, each fed by the one before; returns what the last
    one makes of it. None is begun once the client has gone.

    Raises:
        ClientGoneError: the client went away first.
    """
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
        return await loop.run_in_executor(None, contextvars.copy_context().run, work)
