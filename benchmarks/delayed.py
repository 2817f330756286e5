"""`python -m benchmarks.delayed`: our service on a device that takes 10 ms a picture, whatever else
the machine does. It waits for most of them, as a GPU's host does: the load beside it can be many
times what the service can do, and not be in its way.
"""

import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

import app.server.loading
from app.commands import main
from model.samplers.sampler import load_sampler

SECONDS = 0.01  # a picture


class Delayed:
    """A sampler, slowed down."""

    def __init__(self, *arguments: Any) -> None:
        self._sampler = load_sampler(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Returns its pictures, not before their time."""
        end = time.monotonic() + SECONDS * len(rows)
        pictures = self._sampler(rows)
        time.sleep(max(0.0, end - time.monotonic()))
        return pictures


vars(app.server.loading)["load_sampler"] = Delayed

if __name__ == "__main__":
    sys.exit(main())
