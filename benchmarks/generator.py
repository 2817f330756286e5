"""The generator alone, without a server: each runtime in a process of its own, batch by batch.

    runtime, batch sizes, seconds -> Row (ms a batch, CPU ms a picture, pictures/s, share of peak)

`python -m benchmarks.generator INDEX THREADS SECONDS` is such a process; it prints JSON.
"""

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peak import peak
from benchmarks.runtimes import RUNTIMES, Runtime, dcgan, multiply_adds, shipped, torch_generator
from benchmarks.servers import ROOT
from model.images import crop_center, to_pixels

BATCHES = (1, 4, 16, 64)
LIMIT_SECONDS = 600


@dataclass(frozen=True)
class Row:
    """One runtime, one batch size."""

    runtime: str
    precision: str
    threads: int
    batch: int
    ms: float  # one batch, median of the repeats, wall clock
    cpu_ms_per_picture: float  # all threads of the process, mean of the repeats
    pictures_per_second: float
    share_of_peak: float  # 1 is the matrix product's speed at this precision and thread count
    pixel_error: float  # greatest difference from torch eager fp32, of 255
    wrong_pixels: float  # share of pixels that differ at all


def measure_all(seconds: float, threads: int) -> tuple[list[Row], dict[str, float], list[str]]:
    """Measures all runtimes: rows, the peak by precision (multiply-adds per second), and what was
    skipped and why.
    """
    peaks = {name: _json_of(f"peak-{name}", threads, seconds) for name in ("fp32", "bf16")}
    work = multiply_adds(dcgan(shipped()))
    rows, skipped = [], []
    for index, runtime in enumerate(RUNTIMES):
        name = f"{runtime.name} {runtime.precision}"
        if importlib.util.find_spec(runtime.package) is None:
            skipped.append(f"{name}: {runtime.package} not installed")
            continue
        try:
            answers = _json_of(str(index), threads, seconds)
        except (subprocess.SubprocessError, ValueError) as error:
            text = getattr(error, "stderr", "") or str(error)
            skipped.append(f"{name}: {text.strip().splitlines()[-1][:200]}")
            continue
        for answer in answers:
            share = answer["pictures_per_second"] * work / peaks[runtime.precision]
            rows.append(Row(**answer, share_of_peak=share))
    return rows, peaks, skipped


def best_raw(rows: list[Row], batch: int, figure: str, precision: str = "fp32") -> Row | None:
    """Returns the row with the least of a figure among the runtimes that are not ours."""
    raw = [
        row
        for row in rows
        if row.batch == batch and row.precision == precision and row.runtime != "ours"
    ]
    return min(raw, key=lambda row: getattr(row, figure), default=None)


def _json_of(what: str, threads: int, seconds: float) -> Any:
    command = [sys.executable, "-m", "benchmarks.generator", what, str(threads), str(seconds)]
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
    run = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | limits,
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_SECONDS,
    )
    return json.loads(run.stdout.splitlines()[-1])


def _measure(runtime: Runtime, threads: int, seconds: float) -> list[dict[str, Any]]:
    file = shipped()
    run = runtime.make(file, threads)
    truth = _reference()
    answers = []
    for batch in BATCHES:
        z = file.config.rows(range(batch))
        pixels = _pixels(run(z), file.config.crop)
        difference = np.abs(pixels.astype(int) - truth[:batch].astype(int))
        walls, cpu = _repeat(lambda z=z: run(z), seconds)  # type: ignore[misc]
        answers.append(
            {
                "runtime": runtime.name,
                "precision": runtime.precision,
                "threads": threads,
                "batch": batch,
                "ms": median(walls) * 1e3,
                "cpu_ms_per_picture": cpu * 1e3 / len(walls) / batch,
                "pictures_per_second": batch / median(walls),
                "pixel_error": float(difference.max()),
                "wrong_pixels": float((difference > 0).mean()),
            }
        )
    return answers


def _repeat(call: Callable[[], object], seconds: float) -> tuple[list[float], float]:
    """Returns wall seconds of each call after a warm-up, and CPU seconds of all of them."""
    for _ in range(3):
        call()
    walls: list[float] = []
    cpu = time.process_time()
    end = time.perf_counter() + seconds
    while not walls or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        walls.append(time.perf_counter() - start)
    return walls, time.process_time() - cpu


def _reference() -> NDArray[np.uint8]:
    file = shipped()
    z = file.config.rows(range(max(BATCHES)))
    with torch.inference_mode():
        floats = torch_generator(file)(torch.from_numpy(z)).numpy()
    return crop_center(to_pixels(floats), file.config.crop)


def _pixels(answer: NDArray[Any], side: int) -> NDArray[np.uint8]:
    return answer if answer.dtype == np.uint8 else crop_center(to_pixels(answer), side)


def main() -> None:
    """Takes one measurement in this process, as JSON on the last line."""
    what, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    if what.startswith("peak-"):
        answer: Any = peak(what.removeprefix("peak-"), threads, seconds)
    else:
        answer = _measure(RUNTIMES[int(what)], threads, seconds)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
