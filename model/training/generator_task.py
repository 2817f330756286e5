"""The task of a generator: real pictures and a configuration in, model folders out.

Dataset -> Batches -> one step of both networks -> grids, snapshots with quality metrics
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model import images
from model.generator_file import CONFIG, write_generator_file
from model.latent_space.latents import sample_rows
from model.samplers.onnx import OnnxSampler
from model.samplers.pytorch import generator_weights, plain_sampler
from model.samplers.sampler import Sampler
from model.training import ema
from model.training.datasets.batches import WEIGHTS, Batches, example_places, examples, stream
from model.training.datasets.dataset import Dataset
from model.training.evaluation import measure
from model.training.evaluation.features import to_input
from model.training.presets import TrainConfig
from model.training.run import health
from model.training.run.card import snapshot_card
from model.training.run.progress import Say
from model.training.run.run_folder import slug
from model.training.run.run_log import Verdicts
from model.training.start import Start, begin
from model.training.task import GRID_SIDE, Metrics, Run, Stats, TrainingError, save_grid
from model.training.techniques.discriminator import SEEING_MORE
from model.training.train_step import Networks, new_networks, train_step


@dataclass(frozen=True, kw_only=True)
class GeneratorRun(Run):
    """A run that trains a generator."""

    config: TrainConfig
    data: Dataset
    data_sha256: str
    real: measure.Reference | None  # None: no feature network and so no quality metric
    start: Start | None = None  # None: from scratch
    product: ClassVar[str] = CONFIG

    def task(self) -> "GeneratorTask":
        """Makes the networks.

        Raises:
            TrainingError: fewer pictures than a batch has.
        """
        if len(self.data) < self.config.batch:
            raise TrainingError(
                f"{len(self.data)} pictures are fewer than one batch of {self.config.batch}"
            )
        return GeneratorTask(self)


class GeneratorTask:
    """What a generator and its discriminator learn."""

    def __init__(self, run: GeneratorRun) -> None:
        self._run, self._config = run, run.config
        seed = int(stream(run.config.seed, WEIGHTS, 0).integers(2**63))
        self.networks: Networks = new_networks(
            run.config,
            run.device,
            seed,
            examples(run.data, run.config.network.resolution).to(run.device),
        )
        self._spread = self._real_spread()

    def _real_spread(self) -> float:
        data, places = self._run.data, example_places(len(self._run.data))
        labels = data.labels if self._config.network.classes else None
        return health.spread(data.images[places], None if labels is None else labels[places])

    def spread_of(self, generated: NDArray[np.uint8]) -> float:
        """Returns the spread of the grid's pictures, as a share of that of real ones."""
        network = self._config.network
        rows = self.rows(range(len(generated)))[:, network.z_dim :]
        spread = health.spread(generated, rows.argmax(1) if network.classes else None)
        return spread / max(self._spread, 1e-9)

    def begin(self) -> list[str]:
        """Gives the networks the weights of what the run starts from."""
        run = self._run
        if run.start is None:
            return []
        classes = run.data.classes if run.config.network.classes else ()
        return begin(self.networks, run.start, classes)

    def deal(self, attempt: int) -> None:
        """Chooses the batches of an attempt."""
        run = self._run
        share = run.ranks.share(run.config.batch)
        self._batches = Batches(run.config, run.data, run.device, attempt, share)

    @property
    def epoch_steps(self) -> int:
        """Steps of a pass over the pictures."""
        return self._batches.epoch_steps

    def step(self, step: int, rate_share: float) -> Stats:
        """Runs one step of both networks."""
        batch = replace(self._batches(step), rate_share=rate_share)
        return train_step(self.networks, batch, self._config, step)

    def draw_real(self) -> None:
        """Draws some real pictures."""
        save_grid(self._run.folder / "reals.png", self._run.data.images[self._real_places()])

    def _real_places(self) -> NDArray[np.int64]:
        return example_places(len(self._run.data), GRID_SIDE**2)

    def grid(self, images_seen: int) -> Verdicts | None:
        """Draws seeds 0 to 35 by the generator as it is, without its EMA, in inference mode;
        returns what the discriminator makes of them and of as many real pictures.
        """
        generator = copy.deepcopy(self.networks.generator)
        sampler = plain_sampler(generator, self._config.picture_side, self._run.device)
        return self._verdicts(self.draw(sampler, images_seen))

    def _verdicts(self, pixels: NDArray[np.uint8]) -> Verdicts | None:
        """Returns the logits of some real pictures and of generated ones; None where the
        discriminator does not look at each by itself, or not in one process. A copy looks, as it
        does while it learns.
        """
        if SEEING_MORE.intersection(self._config.techniques):
            return None
        layers = self.networks.discriminator.modules()
        if self._run.ranks.size > 1 and any(isinstance(one, nn.BatchNorm2d) for one in layers):
            return None  # its norms ask all processes, and this one is alone here
        data, network = self._run.data, self._config.network
        places = self._real_places()
        real, classes = data.images[places], np.zeros((len(places), network.classes), np.float32)
        if network.classes and data.labels is not None:
            classes = np.eye(network.classes, dtype=np.float32)[data.labels[places]]
        seen = {"real": (real, classes), "fake": (pixels, self._classes(len(pixels)))}
        discriminator = copy.deepcopy(self.networks.discriminator)
        return {name: self._logits(discriminator, *words) for name, words in seen.items()}

    def _classes(self, count: int) -> NDArray[np.float32]:
        return self.rows(range(count))[:, self._config.network.z_dim :]

    def _logits(
        self, discriminator: nn.Module, pixels: NDArray[np.uint8], classes: NDArray[np.float32]
    ) -> list[float]:
        resolution, device = self._config.network.resolution, self._run.device
        inputs = [to_input(torch.from_numpy(images.pad_to(pixels, resolution)))]
        if self._config.objective != "article":
            inputs.append(torch.from_numpy(classes))
        devices = [device] if device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            logits = discriminator(*(one.to(device) for one in inputs))
        return [round(value, 3) for value in logits.flatten().tolist()]

    def draw(self, sampler: Sampler, images_seen: int, prefix: str = "") -> NDArray[np.uint8]:
        """Draws seeds 0 to 35 into the folder of grids; returns their pictures."""
        pixels = sampler(self.rows(range(GRID_SIDE**2)))
        save_grid(self._run.folder / "grids" / f"{prefix}{images_seen:09d}.png", pixels)
        return pixels

    def rows(self, seeds: range) -> NDArray[np.float32]:
        """Makes the generator's input for seeds."""
        network = self._config.network
        return sample_rows(seeds, network.z_dim, self._config.prior, network.classes)

    def snapshot(self, images_seen: int) -> "GeneratorSnapshot":
        """Takes the EMA of the generator."""
        return GeneratorSnapshot(self, self._run, images_seen)

    def of_stats(self, rows: Sequence[Mapping[str, float]]) -> health.Faults:
        """Judges the losses of the last steps."""
        return health.of_stats(rows, self._config, len(self._run.data))

    def of_metrics(self, rows: Sequence[Mapping[str, float]], name: str) -> health.Faults:
        """Judges the quality metric over all snapshots."""
        return health.of_metrics(rows, name, self._config, len(self._run.data))


class GeneratorSnapshot:
    """The EMA of a generator, with statistics of its own."""

    def __init__(self, task: GeneratorTask, run: GeneratorRun, images_seen: int) -> None:
        self._task, self._run, self._images_seen = task, run, images_seen
        config = run.config
        generator = ema.with_own_statistics(task.networks.generator_ema, config.prior)
        self._weights = generator_weights(generator)
        self._sampler = plain_sampler(generator, config.picture_side, run.device)
        generated = task.draw(self._sampler, images_seen, prefix="average-")
        self.faults = health.of_pictures(task.spread_of(generated), images_seen, config)

    def measure(self, say: Say) -> dict[str, float]:
        """Measures it against real pictures, where there is a feature network."""
        run = self._run
        if run.real is None:
            return {}
        count = run.schedule.figure_images
        return measure.quality(self._sampler, self._task.rows, run.real, count, say)

    def write(self, folder: Path, metrics: Metrics) -> None:
        """Writes it as a model folder that serving reads."""
        run, config = self._run, self._run.config
        write_generator_file(
            folder,
            self._weights,
            snapshot_card(config.preset, self._images_seen, metrics, config.techniques),
            OnnxSampler,
            name=slug(run.data.name),
            preset=config.preset,
            network=config.network,
            prior=config.prior,
            crop=config.picture_side,
            classes=run.data.classes if config.network.classes else (),
            data={
                "name": run.data.name,
                "split": config.split,
                "images": len(run.data),
                "sha256": run.data_sha256,
            },
            images_seen=self._images_seen,
            metrics=dict(metrics),
        )
