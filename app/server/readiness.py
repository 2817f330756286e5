"""Whether requests should come to this process: it is loaded, works, and is not about to end."""

from app.engine.batcher import Batcher
from app.engine.loaded_classifier import Classifiers
from app.engine.loaded_generator import Generators
from app.server.scoreboard import Scoreboard


class Readiness:
    """What /readyz tells, and what the server ends itself for."""

    def __init__(self, hang_seconds: float) -> None:
        self._hang_seconds = hang_seconds
        self.generators: Generators | None = None  # once they are loaded
        self.classifiers = Classifiers([])
        self.draining = False  # still serving, but not for long
        self.scoreboard = Scoreboard.alone()

    def reason(self) -> str | None:
        """Returns why no new request should come here; None if they may."""
        if self.generators is None:
            return "The generator is not loaded yet, or the service is shutting down."
        if self.draining:
            return "The service is shutting down."
        return self.failure()

    def failure(self) -> str | None:
        """Returns what is broken permanently; None if nothing is."""
        for name, batcher in self.batchers():
            if failure := batcher.failure(self._hang_seconds):
                return f"{name}: {failure}"
        return None

    def batchers(self) -> list[tuple[str, Batcher]]:
        """Lists whatever answers, by name, once the generators are loaded."""
        if self.generators is None:
            return []
        return [
            *((one.full_id, one.batcher) for one in self.generators.all),
            *((one.id, one.batcher) for one in self.classifiers.loaded),
        ]
