"""Loaded classifiers as the routes see them: logits of pictures, in batches that they share.

pixels (N, side, side, C) -> batcher -> logits (N, classes)
"""

import json
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from app.engine.batcher import Batcher, Pixels, Timing
from app.engine.loaded_generator import Generation, Shared, reply_of
from app.responses.problems import InvalidRequest
from app.server.disconnection import Watch
from model.classification.classifier_file import ClassifierFile

Logits = NDArray[np.float32]


@dataclass(eq=False)
class Classification:
    """A classifier that is loaded and warm. Lives on the event loop."""

    file: ClassifierFile
    batcher: Batcher

    def __post_init__(self) -> None:
        self.config = self.file.config
        self.name, self.id = self.file.name, self.file.id
        self.side, self.channels = self.config.side, self.config.channels
        self.labels = [json.dumps(name) for name in self.config.classes]

    async def logits(self, pixels: Pixels, watch: Watch) -> tuple[Logits, Timing]:
        """Classifies pictures (N, side, side, C); returns logits (N, classes) and their timing.

        Raises:
            Problem: the batcher refuses.
            ClientGoneError: the client went away first.
        """
        shared = Shared(self.batcher.submit(pixels), work="classify")
        return cast("Logits", await reply_of(shared, watch)), shared.job.timing


@dataclass
class Classifiers:
    """All classifiers that are served."""

    loaded: list[Classification]

    def of(self, generation: Generation) -> Classification | None:
        """Returns the first that has learnt from the very pictures that a generator has."""
        wanted = generation.config.data.sha256
        return next((one for one in self.loaded if one.config.data_sha256 == wanted), None)

    def chosen(self, name: str | None, generation: Generation) -> Classification:
        """Returns the one of a name or of name@hash; where none is named, that of a generator's
        data.

        Raises:
            InvalidRequest: there is none of the name, or of the generator's data.
        """
        if name is None:
            if (found := self.of(generation)) is None:
                raise self._refused(f"none here has learnt from the data of {generation.name}")
            return found
        for one in self.loaded:
            if name in (one.name, one.id):
                return one
        raise self._refused("no such classifier here")

    def of_upload(self, name: str | None, default: Generation) -> Classification:
        """Returns the one of a name or of name@hash; where none is named, that of the default
        generator's data, else the first.

        Raises:
            InvalidRequest: there is none of the name, or none at all.
        """
        if name is None and self.loaded:
            return self.of(default) or self.loaded[0]
        return self.chosen(name, default)

    def _refused(self, reason: str) -> InvalidRequest:
        if not self.loaded:
            return InvalidRequest(
                "classifier: none is served here; the operator can name some in GAN_CLASSIFIERS"
            )
        allowed = ", ".join(one.id for one in self.loaded)
        return InvalidRequest(f"classifier: {reason}; allowed: {allowed}")
