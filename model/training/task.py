"""What a run learns, as the loop sees it: networks, batches, grids, measurements, what is written.

    loop -> Task: begin, deal, step, grid, snapshot

The loop asks; it knows neither generators nor upscalers, and a task knows neither clocks nor
checkpoints.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from model import images
from model.mistakes import Mistake
from model.training.distributed import Ranks
from model.training.presets import RunConfig, Schedule
from model.training.run import checkpoint
from model.training.run.health import Faults
from model.training.run.progress import Say
from model.training.run.run_log import Verdicts

GRID_SIDE = 6  # pictures in a row of a grid, and rows

Stats = dict[str, Tensor]
Metrics = Mapping[str, float | int | list[int]]


class TrainingError(Mistake):
    """The run cannot go on; the message says why."""


def _plain(method: Any) -> Any:
    """Returns what a method of PyTorch's wraps."""
    return getattr(method, "__wrapped__", method)


class Adam(torch.optim.Adam):
    """Adam, to the bit, without PyTorch's compiler: 70 MiB that PyTorch's optimisers import only to
    say that it is not for them.
    """

    step = torch.no_grad()(_plain(torch.optim.Adam.step))
    zero_grad = _plain(torch.optim.Adam.zero_grad)
    add_param_group = _plain(torch.optim.Adam.add_param_group)
    state_dict = _plain(torch.optim.Adam.state_dict)
    load_state_dict = _plain(torch.optim.Adam.load_state_dict)


class Learning(ABC):
    """The networks of a task, with their optimisers: what a checkpoint holds."""

    generator: nn.Module  # the network that is wanted in the end
    generator_ema: nn.Module  # its average

    @property
    @abstractmethod
    def learners(self) -> tuple[nn.Module, ...]:
        """Networks whose batch norms, if any, see the whole batch."""

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """Returns every network that learns, and the average, by name."""

    @abstractmethod
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Returns every optimiser, by name."""

    def tensors(self) -> dict[str, Tensor]:
        """Returns every tensor that training goes on from, by name."""
        tensors: dict[str, Tensor] = {}
        for name, network in self.modules().items():
            tensors |= checkpoint.pack(name, network.state_dict())
        for name, optimizer in self.optimizers().items():
            tensors |= checkpoint.pack_optimizer(name, optimizer)
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Loads tensors as `tensors` returns them."""
        for name, network in self.modules().items():
            network.load_state_dict(checkpoint.unpack(name, tensors))
        for name, optimizer in self.optimizers().items():
            checkpoint.unpack_optimizer(name, tensors, optimizer)


class Snapshot(Protocol):
    """The average of a moment, to be measured and written."""

    @property
    def faults(self) -> Faults:
        """What is wrong with its pictures."""

    def measure(self, say: Say) -> dict[str, float]:
        """Measures it; the first metric chooses the best of a run that chooses. None: nothing to
        measure by.
        """

    def write(self, folder: Path, metrics: Metrics) -> None:
        """Writes it as a model folder."""


class Task(Protocol):
    """What a run learns."""

    @property
    def networks(self) -> Learning:
        """The networks; the same object all the time."""

    @property
    def epoch_steps(self) -> int:
        """Steps from one snapshot to the next where nothing else says so."""

    def begin(self) -> list[str]:
        """Gives the networks what the run starts from, if anything; returns notes for the log."""

    def deal(self, attempt: int) -> None:
        """Chooses the batches of an attempt, before its first step."""

    def step(self, step: int, rate_share: float) -> Stats:
        """Runs one step of every network, with learning rates times `rate_share` where they cool
        down; returns statistics.
        """

    def draw_real(self) -> None:
        """Draws a grid of real pictures into the run's folder."""

    def grid(self, images_seen: int) -> Verdicts | None:
        """Draws a grid by the network as it is into the run's folder; returns what its opponent
        makes of the pictures, if it has one.
        """

    def snapshot(self, images_seen: int) -> Snapshot:
        """Takes the average as it is, and draws its grid."""

    def of_stats(self, rows: Sequence[Mapping[str, float]]) -> Faults:
        """Judges the statistics of the last steps."""

    def of_metrics(self, rows: Sequence[Mapping[str, float]], name: str) -> Faults:
        """Judges the metric of that name over all snapshots."""


@dataclass(frozen=True, kw_only=True)
class Run(ABC):
    """One run: what is trained, how long, where it writes; what it learns from is the subclass's.

    Raises:
        TrainingError: what there is to learn from does not suffice.
    """

    product: ClassVar[str]  # the file of a model folder that it writes
    chooses: ClassVar[bool] = True  # a best snapshot, by its first metric
    config: RunConfig
    schedule: Schedule
    folder: Path
    device: torch.device
    notes: tuple[str, ...] = ()  # on the data, for the log
    ranks: Ranks = field(default_factory=Ranks)
    clock: Callable[[], float] = time.monotonic  # seconds

    @abstractmethod
    def task(self) -> Task:
        """Makes what is to be learnt, before its first step, the same for the same seed."""


def save_grid(path: Path, pixels: NDArray[np.uint8], columns: int = GRID_SIDE) -> None:
    """Writes a sheet of pictures (N, H, W, C)."""
    path.parent.mkdir(exist_ok=True)
    sheet = images.tile(pixels, columns)
    Image.fromarray(sheet.squeeze()).save(path)
