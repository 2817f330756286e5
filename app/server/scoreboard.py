"""Which of a host's workers serve, in memory that they share with their supervisor: any of them can
tell of all.
"""

from collections.abc import MutableSequence
from dataclasses import dataclass
from multiprocessing.context import BaseContext


@dataclass(frozen=True)
class Scoreboard:
    """A place for each worker. It is told by its worker that it serves, by the supervisor that it
    has ended.
    """

    serving: MutableSequence[int]  # 1 where one does
    ended: MutableSequence[int]  # how often one has, without having been told to

    @classmethod
    def alone(cls) -> "Scoreboard":
        """Returns that of a process without a supervisor."""
        return cls([1], [0])

    @classmethod
    def shared(cls, count: int, context: BaseContext) -> "Scoreboard":
        """Returns one for so many workers, none of which serves yet."""
        return cls(context.RawArray("i", count), context.RawArray("i", count))

    @property
    def missing(self) -> str:
        """How many of how many serve; nothing where all do."""
        serving, wanted = sum(self.serving), len(self.serving)
        return "" if serving == wanted else f"{serving} of {wanted}"
