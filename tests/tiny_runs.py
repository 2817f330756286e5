"""Runs of a tiny generator in this process, and what they end with."""

from pathlib import Path

import torch

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
