"""A run that is watched beside the same run alone: `python -m benchmarks.watching`.

One run trains all the time; in turns a page of `train --watch` is open in a Chromium, or neither
page nor server is there. Steps are compared by the training process's CPU time, all of its threads,
that which answers the page among them, and by the clock, on which the browser on the same cores
counts too. Opening the page counts in neither. Then the training rests, and what is left is what
answering the page costs. Wants a Chromium that is installed.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from playwright.sync_api import Browser, Page

from benchmarks.page import chromium
from benchmarks.results import this_machine
from model.training import loop
from model.training.datasets.dataset import Dataset
from model.training.generator_task import GeneratorRun
from model.training.presets import PRESETS, Schedule
from model.training.run.run_log import STATS
from model.training.run.watch import Control, Watch

PICTURES = 12_800
LOOKS = 10
GRID_STEPS = 20  # a fifth of what a run has by default: the page asks for more
ROW = {"images_seen": 0, "loss_d": 1.0, "loss_g": 1.0, "d_real": 0.5, "d_fake": 0.5}
ROW |= {"images_per_second": 100.0}

Found = tuple[list[tuple[float, float]], list[tuple[float, float]]]  # seconds a step, CPU and clock


@contextmanager
def watched(browser: Browser, run: Path) -> Iterator[Page]:
    """Looks at the run as somebody does."""
    with Watch(run, 0, Control(lambda: False)) as watch:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(watch.address)
        page.locator("canvas[data-moment]").wait_for()
        yield page
        page.close()


def turns(browser: Browser, run: Path, options: argparse.Namespace, found: Found) -> Iterator[bool]:
    """Goes on after each step: whether the run is to end. Adds to `found` what a step takes, alone
    and watched.
    """
    for _ in range(2 * GRID_STEPS):
        yield False
    with (run / STATS).open("a") as log:
        log.write((json.dumps(ROW) + "\n") * options.rows)
    for turn in range(2 * options.rounds):
        is_watched = turn % 4 in (0, 3)  # neither is always the first
        with watched(browser, run) if is_watched else nullcontext():
            cpu, clock, steps = time.process_time(), time.perf_counter(), 0
            while time.perf_counter() < clock + options.seconds:
                yield False
                steps += 1
            now = time.process_time(), time.perf_counter()
            found[is_watched].append(((now[0] - cpu) / steps, (now[1] - clock) / steps))
    yield True


def answering(browser: Browser, run: Path, *, grids: int) -> float:
    """Returns CPU seconds that a page takes, a second of ten looks and so many new grids."""
    last = max((run / "grids").glob("[0-9]*.png"))
    with watched(browser, run) as page:
        cpu, clock = time.process_time(), time.perf_counter()
        for number in range(LOOKS):
            if number < grids:
                copy = f"{int(last.stem) + number + 1:09d}.png"
                (run / "grids" / copy).write_bytes(last.read_bytes())
            with page.expect_response("**/state.json"):
                pass
        now = time.process_time(), time.perf_counter()
    return (now[0] - cpu) / (now[1] - clock)


def new_run(preset: str, batch: int, folder: Path) -> GeneratorRun:
    """Returns a run on noise, of the set's size: what the pictures show changes no time."""
    config = replace(PRESETS[preset].config, batch=batch)
    shape = (PICTURES, config.picture_side, config.picture_side, config.network.channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return GeneratorRun(
        config=config,
        schedule=Schedule(
            images=10**9, grid_steps=GRID_STEPS, checkpoint_seconds=10**9, snapshot_images=10**9
        ),
        data=Dataset(name="noise", images=pixels, labels=None),
        data_sha256="0" * 64,
        real=None,
        folder=folder,
        device=torch.device("cpu"),
    )


def main() -> None:
    """Prints what watching costs."""
    parser = argparse.ArgumentParser(description="Does a run train slower that is watched?")
    parser.add_argument("--preset", default="dcgan-mnist")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn, two a round")
    parser.add_argument("--rows", type=int, default=0, help="that the log has already")
    parser.add_argument("--threads", type=int, help="of the training (default: PyTorch's)")
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    machine = this_machine()
    print(
        f"{machine.processor}, {torch.get_num_threads()} threads, load average "
        f"{machine.load_average:.1f} before, {options.rounds} rounds of 2 x {options.seconds:g} s"
    )
    found: Found = ([], [])
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        run = new_run(options.preset, options.batch, Path(folder))
        going = turns(browser, run.folder, options, found)
        loop.train(run, lambda: next(going))
        costs = [answering(browser, run.folder, grids=grids) for grids in (0, LOOKS)]
    for place, name in enumerate(("CPU", "clock")):
        alone, watched = ([one[place] for one in turn] for turn in found)
        ratios = sorted(two / one for one, two in zip(alone, watched, strict=True))
        print(
            f"{name}: {1000 * median(alone):.1f} ms a step alone, {1000 * median(watched):.1f} "
            f"watched; {100 * (median(ratios) - 1):+.1f} % (median of the rounds, from "
            f"{100 * (ratios[0] - 1):+.1f} to {100 * (ratios[-1] - 1):+.1f} %)"
        )
    print(
        f"answering the page: {1000 * costs[0]:.1f} ms of CPU a second, {1000 * costs[1]:.1f} with "
        "a new grid at each look"
    )


if __name__ == "__main__":
    main()
