"""The tiny training of a process that may come and go, slowed down, which writes down which
pictures it takes: `RECORD/<process>.jsonl`, a line a step.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from model.training.datasets.batches import Batches
from tests.tiny_training import tiny_main

STEP = 0.05  # seconds: there is time to kill somebody


def record(folder: Path) -> None:
    """Lets every batch be written down, with the step and this process's place among the others."""
    chosen = Batches._chosen
    place = [int(os.environ[name]) for name in ("RANK", "WORLD_SIZE")]

    def chosen_and_recorded(self: Batches, step: int) -> Any:
        found = chosen(self, step)
        with (folder / f"{os.getpid()}.jsonl").open("a") as stream:
            stream.write(json.dumps([step, *place, found.tolist()]) + "\n")
        time.sleep(STEP)
        return found

    Batches._chosen = chosen_and_recorded  # type: ignore[method-assign]


if __name__ == "__main__":
    record(Path(sys.argv[1]))
    sys.exit(tiny_main(sys.argv[2:]))
