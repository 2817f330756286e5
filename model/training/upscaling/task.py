"""The task of an upscaler: large pictures and a configuration in, upscaler files out."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from model.generator_file import CARD
from model.training.datasets.batches import WEIGHTS, stream
from model.training.evaluation.features import to_input
from model.training.run import health
from model.training.run.progress import Say
from model.training.task import Metrics, Run, Stats, TrainingError, save_grid
from model.training.upscaling.card import snapshot_card
from model.training.upscaling.config import UpscaleConfig
from model.training.upscaling.pairs import PICTURES, PairBatches
from model.training.upscaling.pictures import Pictures, Pixels, reduced
from model.training.upscaling.quality import Measure, enlarged_by, upscale_by
from model.training.upscaling.steps import new_upscaler_networks, super_resolution_step
from model.upscaling.onnx_upscaler import OnnxUpscaler
from model.upscaling.pytorch import Upscaler, upscaler_weights
from model.upscaling.upscaler_file import UPSCALER, UpscalerFile, write_upscaler

EXAMPLES = 32  # pictures that give the scale of frozen features
GRID_ROWS = 4  # pictures of a grid, each beside how it would be without learning, and the truth


@dataclass(frozen=True, kw_only=True)
class UpscalerRun(Run):
    """A run that trains an upscaler."""

    config: UpscaleConfig
    pictures: Pictures
    measure: Measure | None = None  # None: nothing is measured
    start: UpscalerFile | None = None  # None: from scratch
    generated: Pixels | None = None  # a generator's pictures, inputs without truth
    product: ClassVar[str] = UPSCALER

    def task(self) -> "UpscalerTask":
        """Makes the networks.

        Raises:
            TrainingError: a batch does not divide among the processes where half of it are pictures
            of a generator.
        """
        size = self.ranks.size
        if self.generated is not None and self.config.batch % (2 * size):
            raise TrainingError(
                f"half a batch of {self.config.batch} does not divide among {size} processes; say "
                f"--batch with a multiple of {2 * size}"
            )
        return UpscalerTask(self)


class UpscalerTask:
    """What an upscaler learns, and in phase 2 its discriminator."""

    def __init__(self, run: UpscalerRun) -> None:
        self._run, self._config = run, run.config
        seed = int(stream(run.config.seed, WEIGHTS, 0).integers(2**63))
        examples = self._examples() if run.config.adversarial else None
        self.networks = new_upscaler_networks(run.config, run.device, seed, examples)

    def _examples(self) -> Tensor:
        """Cuts the middle of large pictures, in the size of crops."""
        config, pictures = self._config, self._run.pictures
        random = stream(config.seed, PICTURES, 0)
        drawn = np.stack([pictures.draw(random) for _ in range(EXAMPLES)])
        side = config.large_side
        start = (pictures.side - side) // 2
        cut = drawn[:, start : start + side, start : start + side]
        return to_input(torch.from_numpy(cut).to(self._run.device))

    def begin(self) -> list[str]:
        """Gives the upscaler the weights of the one that the run starts from."""
        start = self._run.start
        if start is None:
            return []
        weights = {name: torch.from_numpy(value) for name, value in start.weights.items()}
        for network in (self.networks.generator, self.networks.generator_ema):
            network.load_state_dict(weights)
        seen = start.header.images_seen
        return [f"starting from upscaler {start.hash}, which has seen {seen:,} pairs"]

    def deal(self, attempt: int) -> None:
        """Chooses the pairs of an attempt."""
        run = self._run
        share = run.ranks.share(run.config.batch)
        self._batches = PairBatches(
            run.config, run.pictures, run.device, attempt, share, run.generated
        )

    @property
    def epoch_steps(self) -> int:
        """Steps in which as many pairs are seen as there are pictures."""
        return max(1, self._run.pictures.count // self._config.batch)

    def step(self, step: int, rate_share: float) -> Stats:
        """Runs one step of every network."""
        pairs = self._batches(step)
        return super_resolution_step(self.networks, pairs, self._config, step, rate_share)

    def draw_real(self) -> None:
        """Draws the large pictures of the grids."""
        save_grid(self._run.folder / "reals.png", self._shown(), 2)

    def grid(self, images_seen: int) -> None:
        """Draws some pictures enlarged by the network as it is."""
        self.draw(copy.deepcopy(self.networks.generator), images_seen)

    def draw(self, network: Upscaler, images_seen: int, prefix: str = "") -> None:
        """Draws pictures that were reduced: by nearest neighbours, by the network, as they were."""
        upscale, scale = upscale_by(network.eval(), self._run.device), max(network.config.scales)
        rows = []
        for real in self._shown():
            small = reduced(real, len(real) // scale)
            rows += [enlarged_by("lanczos", small, scale), upscale(small[None], scale)[0], real]
        path = self._run.folder / "grids" / f"{prefix}{images_seen:09d}.png"
        save_grid(path, np.stack(rows), 3)

    def _shown(self) -> Pixels:
        held_out = self._run.pictures.held_out(GRID_ROWS)
        if len(held_out):
            return held_out
        random = stream(self._config.seed, PICTURES, 0)
        return np.stack([self._run.pictures.draw(random) for _ in range(GRID_ROWS)])

    def snapshot(self, images_seen: int) -> "UpscalerSnapshot":
        """Takes the average of the upscaler."""
        return UpscalerSnapshot(self, self._run, images_seen)

    def of_stats(self, rows: Sequence[Mapping[str, float]]) -> health.Faults:
        """Judges nothing: no losses of an upscaler are known to be bad."""
        return {}

    def of_metrics(self, rows: Sequence[Mapping[str, float]], name: str) -> health.Faults:
        """Judges whether it still becomes better."""
        return health.stuck(rows, name)


class UpscalerSnapshot:
    """The average of an upscaler."""

    def __init__(self, task: UpscalerTask, run: UpscalerRun, images_seen: int) -> None:
        self._run, self._images_seen = run, images_seen
        self._network = copy.deepcopy(task.networks.generator_ema).eval()
        self.faults: health.Faults = {}
        task.draw(self._network, images_seen, prefix="average-")

    def measure(self, say: Say) -> dict[str, float]:
        """Measures it with held-out pictures."""
        if self._run.measure is None:
            return {}
        return self._run.measure(upscale_by(self._network, self._run.device), say)

    def write(self, folder: Path, metrics: Metrics) -> None:
        """Writes its file and a card."""
        run, config = self._run, self._run.config
        folder.mkdir(exist_ok=True)
        file = write_upscaler(
            folder,
            upscaler_weights(self._network),
            OnnxUpscaler,
            network=config.network,
            preset=config.preset,
            data={
                "name": run.pictures.name,
                "split": config.split,
                "images": run.pictures.count,
                "sha256": run.pictures.sha256,
            },
            images_seen=self._images_seen,
            metrics=dict(metrics),
        )
        (folder / CARD).write_text(snapshot_card(file))
