"""What a `train` command is about to do, whatever it trains: resolved, and nothing written yet."""

import argparse
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from model.samplers.pytorch import computes_bf16
from model.training.datasets.dataset import DataError
from model.training.distributed import Ranks
from model.training.presets import RunConfig, Schedule
from model.training.task import Run

WITHOUT_BF16 = "in float32, for this processor has no fast bfloat16"
SNAPSHOTS = 15  # in a run by hours
LEAST_PAUSE = 60.0  # seconds between them


@dataclass(kw_only=True)
class Job(ABC):
    """A run before it has a folder."""

    options: argparse.Namespace
    ranks: Ranks
    device: torch.device
    config: RunConfig
    schedule: Schedule
    path: Path  # where the pictures are
    name: str  # what the pictures are called
    images: int  # in the part to train with
    sha256: str | None  # says which they are; None: they are not here yet
    known: dict[str, Any] = field(default_factory=dict)  # more for the run's options
    shown: list[str] = field(default_factory=list)  # notes for the log

    @property
    def fingerprint(self) -> str | None:
        """Equal for equal runs; None where the pictures are not here."""
        return None if self.sha256 is None else self.config.fingerprint(self.sha256)

    def record(self) -> dict[str, Any]:
        """Returns the options of the run, as its folder keeps them."""
        options = self.options
        return {
            "command": f"{options.program} {options.typed}",
            "fingerprint": self.fingerprint,
            "config": self.config.record(),
            "schedule": asdict(self.schedule),
            "data": {
                "path": str(self.path),
                "name": self.name,
                "images": self.images,
                "sha256": self.sha256,
            },
            "features": options.features,
            "device": str(self.device),
            "torch": str(torch.__version__),
            **self.known,
        }

    def fit_processor(self) -> None:
        """Leaves bfloat16 out where it would be slow and nobody has asked for it; that is no part
        of the fingerprint: the run may move to another machine.
        """
        if self.config.bf16 and not self.options.precision and not computes_bf16(self.device):
            self.config = replace(self.config, bf16=False)
            self.shown.append(WITHOUT_BF16)

    @abstractmethod
    def described(self) -> list[str]:
        """Describes the pictures, for a dry run."""

    @abstractmethod
    def run(self, folder: Path) -> Run:
        """Returns the run of a process that writes nothing and measures nothing."""

    @abstractmethod
    def measured(self, run: Run) -> Run:
        """Returns the run of the first process, once it has its folder: with notes and what
        measures it.
        """

    @abstractmethod
    def finish(self, run: Run) -> None:
        """Writes what a finished run has."""


def new_schedule(
    options: argparse.Namespace,
    *,
    batch: int,
    images: int,
    snapshot_images: int | None,
    figure_images: int,
) -> Schedule:
    """Makes the schedule that the options ask for; where they do not say how long, a run sees so
    many images.
    """
    between = None if options.snapshot_kimg is None else round(options.snapshot_kimg * 1000)
    pause, total = None, images
    if options.hours and between is None:
        pause = max(LEAST_PAUSE, options.hours * 3600 / SNAPSHOTS)
    if options.kimg is not None:
        total = max(1, round(options.kimg * 1000 / batch)) * batch
    return Schedule(
        images=None if options.hours else total,
        hours=options.hours,
        grid_steps=options.grid_steps or Schedule.grid_steps,
        checkpoint_seconds=options.checkpoint_seconds,
        keep=options.keep,
        figure_images=options.figure_images or figure_images,
        snapshot_images=between if options.hours else between or snapshot_images,
        snapshot_seconds=pause,
    )


def check_count(pictures: int, batch: int) -> None:
    """Checks that there are as many pictures as a batch has.

    Raises:
        DataError: there are fewer.
    """
    if pictures < batch:
        raise DataError(f"{pictures} pictures are fewer than one batch of {batch}; lower --batch")
