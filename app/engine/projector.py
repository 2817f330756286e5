"""Search for the latent whose picture is nearest to a given one: one search at a time, on a thread
of its own, given up when no client waits for it any more.

    picture (side, side, C) -> Projector.begin -> reports, each better than the one before
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app.responses.problems import QueueFull
from model import latent_space
from model.generator_file import GeneratorFile
from model.mistakes import install
from model.samplers.sampler import has_torch

if TYPE_CHECKING:
    from model.latent_space.projection import Progress

BUSY_SECONDS = 5  # until a retry: about as long as a short search takes


class ProjectionError(Exception):
    """No search is possible on this machine; the message says why."""


class Projector:
    """At most one search. Lives on the event loop; the search itself on its thread."""

    def __init__(self, search: Any, one_thread: Any) -> None:
        self._search = search  # model.latent_space.projection's project
        self._thread = ThreadPoolExecutor(1, "projection", initializer=one_thread)
        self._busy = False

    def take_place(self) -> None:
        """Takes the one place that there is, for `begin`.

        Raises:
            QueueFull: another search is under way.
        """
        if self._busy:
            raise QueueFull(
                "another picture is being looked for; one at a time", BUSY_SECONDS, "searching"
            )
        self._busy = True

    def give_place_up(self, _: Any = None) -> None:
        """Lets another search take the place."""
        self._busy = False

    def begin(
        self, file: GeneratorFile, picture: NDArray[np.uint8], steps: int, class_: int | None
    ) -> AsyncIterator["Progress"]:
        """Begins a search, with the place taken; returns its reports, as they are made. The place
        is free again when they end.
        """
        return self._reports(self._search(file, picture, steps=steps, class_=class_))

    async def _reports(self, found: Iterator["Progress"]) -> AsyncIterator["Progress"]:
        loop = asyncio.get_running_loop()
        try:
            while report := await loop.run_in_executor(self._thread, next, found, None):
                if report.step == report.steps:
                    break
                yield report
        finally:
            # after the step that is under way, if one is
            ended = loop.run_in_executor(self._thread, _end, found)
            ended.add_done_callback(self.give_place_up)
        await ended  # whoever has the last report finds the place free
        if report:
            yield report

    def stop(self) -> None:
        """Lets the thread end after its step."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _end(found: Any) -> None:
    found.close()


def projector() -> Projector:
    """Returns what searches for pictures.

    Raises:
        ProjectionError: PyTorch is not installed.
    """
    if not has_torch():
        reason = "GAN_PROJECTION needs PyTorch, which is not installed"
        raise ProjectionError(f"{reason}: {install('gpu')}")
    # imported by name: torch costs time and memory, and few hosts search
    found = importlib.import_module(".projection", latent_space.__name__)
    return Projector(found.project, found.one_thread)
