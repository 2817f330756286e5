"""What has been measured of a run's generators, so that nothing is measured twice: a line of
measurements.jsonl for each measurement.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MEASUREMENTS = "measurements.jsonl"

Metrics = dict[str, float | int | list[int]]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a measurement depends on, beside the number of generated pictures."""

    weights_sha256: str  # the generator's
    network: str  # name of the feature network
    part: str  # part of the real pictures
    data_sha256: str  # all real pictures


def recall(run_dir: Path, measured: Measured, images: int | None) -> tuple[int, Metrics] | None:
    """Returns the metrics of an earlier measurement with so many generated pictures, or with the
    most where `images` is None, and that number; None where there is none.
    """
    rows = [
        row
        for row in _rows(run_dir / MEASUREMENTS)
        if row["measured"] == asdict(measured) and images in (None, row["images"])
    ]
    if not rows:
        return None
    row = max(rows, key=lambda row: row["images"])
    return row["images"], row["metrics"]


def keep(run_dir: Path, measured: Measured, images: int, metrics: Metrics) -> None:
    """Keeps a measurement in the run's folder, where that can be written."""
    row = {"measured": asdict(measured), "images": images, "metrics": metrics}
    with suppress(OSError), (run_dir / MEASUREMENTS).open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        with suppress(ValueError):  # half a line, of a process that was killed
            rows.append(json.loads(line))
    return rows
