"""Runs of a tiny generator in this process, and what they end with."""

import json
from pathlib import Path

import torch
from PIL import Image

from model.training.datasets.dataset import Dataset
from model.training.generator_task import GeneratorRun
from model.training.presets import Schedule, TrainConfig
from model.training.run import checkpoint
from tests.conftest import SHA, TINY

CPU = torch.device("cpu")
CONFIG = TrainConfig(preset="dcgan-mnist", network=TINY, data="mnist", picture_side=28, batch=32)
EPOCH = 320 // 32  # steps
IMAGES = 2 * EPOCH * 32
SCHEDULE = Schedule(images=IMAGES, log_steps=2, grid_steps=5, figure_images=200)
LEVELS = (0, 60, 120, 180, 220)  # what the pictures of each moment of a flat run are filled with


def make_run(folder: Path, data: Dataset, **changes: object) -> GeneratorRun:
    folder.mkdir(exist_ok=True)
    fields = {
        "config": CONFIG,
        "schedule": SCHEDULE,
        "data": data,
        "data_sha256": SHA,
        "real": None,
        "folder": folder,
        "device": CPU,
    }
    return GeneratorRun(**(fields | changes))  # type: ignore[arg-type]


def final_bytes(folder: Path) -> bytes:
    return checkpoint.newest_first(folder / "checkpoints")[0].read_bytes()


def write_flat_run(run: Path) -> None:
    """Writes what a run leaves for its history: pictures that are flat, and a discriminator that is
    never wrong.
    """
    (run / "grids").mkdir(parents=True)
    rows, verdicts = [], []
    for number, level in enumerate(LEVELS):
        grid = Image.new("L", (6 * 28, 6 * 28), level)
        grid.save(run / "grids" / f"{1000 * number:09d}.png")
        seen = {"images_seen": 1000 * number}
        rows.append(seen | {"loss_d": 1.0, "loss_g": 2.0, "d_real": 0.7, "d_fake": 0.2})
        verdicts.append(seen | {"real": [2.0] * 36, "fake": [-2.0] * 36})
    Image.new("L", (6 * 28, 6 * 28), 255).save(run / "reals.png")
    for name, lines in (("stats", rows), ("verdicts", verdicts)):
        (run / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
