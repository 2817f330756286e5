"""Reloads model folders while the service serves: new ones are loaded next to the old, checked,
and take their place between two requests.

    settings -> files that have changed -> loaded, warm -> swap -> old ones answer to name@hash
                                                        -> those beyond `keep_reloaded` end

What is refused changes nothing. Whoever asks while the files are being read may mean one that has
been passed already: they are read once more afterwards, for all who asked meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from app.engine.loaded_generator import Generation, Generators
from app.responses.problems import ReloadRefused
from app.server.loading import START_ERRORS, load_all
from app.server.process import give_memory_back
from app.settings import Settings

log = logging.getLogger("ganserve")

SETTLE_SECONDS = 1.0  # for requests that have found a generator and not yet asked it


class Reloader:
    """One application's generators, and their replacement. Lives on the event loop."""

    def __init__(self, settings: Settings, swapped: Callable[[Generators], None]) -> None:
        """Calls `swapped` when there are generators, and when they have changed."""
        self._settings, self._swapped = settings, swapped
        self.generators: Generators | None = None
        self._working = asyncio.Lock()
        self._next: asyncio.Task[list[Generation]] | None = None  # not begun yet
        self._dropping: dict[Generation, asyncio.Task[None]] = {}
        self.outcomes = dict.fromkeys(("loaded", "restored", "unchanged", "refused"), 0)

    def start(self) -> Generators:
        """Loads all, and lets them accept.

        Raises:
            one of START_ERRORS: something cannot be served.
        """
        self.generators = load_all(self._settings)
        for one in self.generators.all:
            one.batcher.start()
        self._swapped(self.generators)
        return self.generators

    async def stop(self) -> None:
        """Answers what was accepted, then ends all generators."""
        assert self.generators
        for task in self._dropping.values():
            task.cancel()
        for one in (*self.generators.all, *self._dropping):
            await one.batcher.stop()

    async def reload(self) -> list[Generation]:
        """Reads the model folders again, from the first to the last; returns what is new.

        Raises:
            ReloadRefused: something cannot be served.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._reload())
        return await asyncio.shield(self._next)  # others may wait for it too

    async def _reload(self) -> list[Generation]:
        assert self.generators
        async with self._working:
            self._next = None  # whoever asks from here on wants another
            start = time.monotonic()
            try:
                new = await asyncio.to_thread(load_all, self._settings, self.generators.all)
            except START_ERRORS as error:
                self.outcomes["refused"] += 1
                log.error("reload refused, nothing has changed: %s", error)
                raise ReloadRefused(str(error)) from None
            before = self.generators.loaded
            fresh = [one for one in new.all if one not in self.generators.all]
            again = [one for one in new.loaded if one not in (*before, *fresh)]
            ids = {one.full_id for one in new.loaded}
            gone = [one for one in before if one.full_id not in ids]
            moved = new.loaded != before
            self.outcomes["loaded" if fresh else "restored" if moved else "unchanged"] += 1
            self._swap(new)
        told = [f"{one.full_id} on {one.sampler}" for one in fresh]
        told += [f"{one.full_id} again" for one in again]
        told += [f"{one.full_id} no longer" for one in gone]
        if new.default.full_id != before[0].full_id:
            told.append(f"the default is {new.default.full_id}")
        seconds = time.monotonic() - start
        log.info("reloaded in %.1f s: %s", seconds, ", ".join(told) or "nothing has changed")
        return fresh

    def _swap(self, new: Generators) -> None:
        assert self.generators
        known = {name for one in new.all for name in (one.id, one.full_id)}
        old = [one for one in self.generators.all if one not in new.all]
        kept = [one for one in old if one.full_id not in known][: self._settings.keep_reloaded]
        for one in new.all:
            if one not in self.generators.all:
                one.batcher.start()
        self.generators.loaded = new.loaded
        self.generators.previous = [*new.previous, *kept]
        self._swapped(self.generators)
        for one in old:
            if one not in kept:
                self._dropping[one] = asyncio.create_task(self._drop(one))

    async def _drop(self, one: Generation) -> None:
        """Ends a generator that no request can name any more, once none waits for it."""
        await asyncio.sleep(SETTLE_SECONDS)
        while one.batcher.in_use:
            await asyncio.sleep(0.1)
        await one.batcher.stop()
        del self._dropping[one]
        await asyncio.to_thread(give_memory_back)
        log.info("dropped %s", one.full_id)
