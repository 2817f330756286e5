"""What a run says while it works: progress on the terminal, log.txt, stats.jsonl, metrics.jsonl,
warnings.jsonl, verdicts.jsonl, TensorBoard.

Every row carries `images_seen`. A resumed run drops the rows after its checkpoint: it will write
them again.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from model.files import write_whole

STATS, METRICS, WARNINGS = "stats.jsonl", "metrics.jsonl", "warnings.jsonl"
VERDICTS = "verdicts.jsonl"
LINE_SECONDS = 30.0  # between plain progress lines, where there is no terminal
LONGEST_ROW = 2**14  # bytes
QUIET = 20_000  # images for which a warning is not repeated

Row = dict[str, float | int]
Verdicts = dict[str, list[float]]  # the discriminator's logits of pictures, "real" and "fake"


class RunLog:
    """The log of a run; a context manager, since it owns open files. A run ends after so many
    `images`; where its hours end it, these are None, and `left` returns the seconds that remain.
    """

    def __init__(
        self,
        run_dir: Path,
        images: int | None,
        images_seen: int,
        left: Callable[[], float] | None = None,
    ) -> None:
        self._images, self._seen = images, images_seen
        self._left = left
        self._first, self._start, self._spoken = images_seen, time.monotonic(), 0.0
        for name in (STATS, METRICS, WARNINGS):
            _drop_rows_after(run_dir / name, images_seen)
        # a run that begins judges its first grid, again where it has been taken back to it
        _drop_rows_after(run_dir / VERDICTS, images_seen or -1)
        self._warned = {row["kind"]: row["images_seen"] for row in read_rows(run_dir / WARNINGS)}
        self._warnings = (run_dir / WARNINGS).open("a")
        self._log = (run_dir / "log.txt").open("a")
        self._stats = (run_dir / STATS).open("a")
        self._metrics = (run_dir / METRICS).open("a")
        self._verdicts = (run_dir / VERDICTS).open("a")
        self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=images_seen)
        self._bar = tqdm(
            total=images,
            initial=images_seen,
            unit="img",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        self._board.close()
        for stream in (self._log, self._stats, self._metrics, self._warnings, self._verdicts):
            stream.close()

    def say(self, text: str) -> None:
        """Writes one line to the terminal and the log."""
        self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")
        self._log.flush()
        self._bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def warn(self, kind: str, text: str) -> None:
        """Writes a warning for terminal, log and report; one of a kind once in QUIET images."""
        if kind in self._warned and self._seen - self._warned[kind] < QUIET:
            return
        self._warned[kind] = self._seen
        self.say(f"warning: {text}")
        row = {"images_seen": self._seen, "kind": kind, "text": text}
        self._warnings.write(json.dumps(row) + "\n")
        self._warnings.flush()

    def progress(self, images_seen: int) -> None:
        """Moves the bar; where there is none and steps take long, says how far the run is."""
        self._bar.update(images_seen - self._seen)
        self._seen = images_seen
        if self._bar.disable and time.monotonic() - max(self._start, self._spoken) >= LINE_SECONDS:
            self._speak({})

    def stats(self, row: Row) -> None:
        """Writes losses and discriminator outputs of the last few steps."""
        rate = round(self._rate(), 1)
        self._write(self._stats, {"images_seen": self._seen, **row, "images_per_second": rate})
        values = {name: f"{value:.3f}" for name, value in row.items()}
        # the bar itself says when a run of so many images ends
        by_hours = {"left": self._time_left()} if self._images is None else {}
        self._bar.set_postfix(by_hours | values)
        if self._bar.disable and time.monotonic() - self._spoken >= LINE_SECONDS:
            self._speak(values)

    def _speak(self, values: dict[str, str]) -> None:
        self._spoken, rate = time.monotonic(), self._rate()
        of = "" if self._images is None else f" of {self._images:,}"
        speed = f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"
        facts = [f"images {self._seen:,}{of}", f"{speed} images/s"]
        facts += [f"{self._time_left()} left", *map(" ".join, values.items())]
        self.say("  ".join(facts))

    def _rate(self) -> float:
        """Returns the images per second of this start."""
        return (self._seen - self._first) / max(time.monotonic() - self._start, 1e-9)

    def _time_left(self) -> str:
        seconds = 0.0 if self._left is None else self._left()
        if self._images is not None:
            seconds = (self._images - self._seen) / max(self._rate(), 1e-9)
        left = max(0, int(seconds))
        return f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"

    def metrics(self, row: Mapping[str, float | int]) -> None:
        """Writes quality metrics."""
        self._write(self._metrics, {"images_seen": self._seen, **row})

    def verdicts(self, verdicts: Verdicts) -> None:
        """Writes what the discriminator makes of the first real pictures and of those of a grid."""
        self._verdicts.write(json.dumps({"images_seen": self._seen, **verdicts}) + "\n")
        self._verdicts.flush()

    def _write(self, stream: TextIO, row: Mapping[str, float | int]) -> None:
        stream.write(json.dumps(row) + "\n")
        stream.flush()
        for name, value in row.items():
            if name != "images_seen":
                self._board.add_scalar(name, value, self._seen)


class NullLog(RunLog):
    """The run_log of a process that leaves the writing to another."""

    def __init__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def _nothing(self, *_: Any, **__: Any) -> None:
        """Writes nothing."""

    say = warn = progress = stats = metrics = verdicts = _nothing


def seconds_spent(run_dir: Path, images_seen: int) -> float:
    """Returns the seconds that so many images took, by the rates in stats.jsonl: training alone,
    pauses between starts left out.
    """
    path, seconds, before = run_dir / STATS, 0.0, 0
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        if row["images_seen"] > images_seen:
            break
        seconds += (row["images_seen"] - before) / max(row["images_per_second"], 0.05)
        before = row["images_seen"]
    return seconds


def read_rows(
    path: Path, most: int | None = None, starts: tuple[str, ...] = ("",)
) -> list[dict[str, Any]]:
    """Reads the rows of a JSON-lines file, or those whose lines start so; none where it is not
    there. Of more than `most` the last and others evenly spaced before it, fewer than that. A last
    line that has no end is still being written.
    """
    if not path.exists():
        return []
    whole = path.read_text().splitlines(keepends=True)
    lines = [line for line in whole if line.endswith("\n") and line.startswith(starts)]
    apart = -(-len(lines) // most) if most and lines else 1
    return [json.loads(line) for line in lines[(len(lines) - 1) % apart :: apart]]


def last_row(path: Path) -> dict[str, Any] | None:
    """Reads the last row alone, however many there are before it; None where there is none."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_ROW))
        lines = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
    return json.loads(lines[-1]) if lines else None


def _drop_rows_after(path: Path, images_seen: int) -> None:
    """Keeps whole rows up to `images_seen`; a half-written last row goes too."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines(keepends=True):
        try:
            row = json.loads(line)
        except ValueError:
            break
        if row["images_seen"] <= images_seen and line.endswith("\n"):
            kept.append(line)
    write_whole(path, "".join(kept).encode())
