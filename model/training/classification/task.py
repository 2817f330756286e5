"""The task of a classifier: pictures of which a few have labels in, a classifier's folder and a
generator's out.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from model.classification.classifier_file import ClassifierFile, write_classifier
from model.classification.config import ClassifierConfig, Labelled
from model.classification.onnx_classifier import OnnxClassifier
from model.devices import usable_cores
from model.generator_file import CONFIG, write_generator_file
from model.latent_space.latents import sample_rows
from model.networks.pytorch import Generator
from model.samplers.onnx import OnnxSampler
from model.samplers.pytorch import generator_weights, plain_sampler
from model.training.classification.card import About, classifier_card, method_of
from model.training.classification.config import ALL, ClassifyConfig
from model.training.classification.networks import (
    ClassifyNetworks,
    new_classify_networks,
    served_generator,
)
from model.training.classification.pictures import ClassifyBatches, Pictures, start_examples
from model.training.classification.steps import semi_supervised_step, supervised_step
from model.training.datasets.batches import WEIGHTS, stream
from model.training.datasets.dataset import Dataset
from model.training.distributed import DistributedError
from model.training.run import health
from model.training.run.card import snapshot_card
from model.training.run.progress import Say
from model.training.run.run_folder import slug
from model.training.task import GRID_SIDE, Metrics, Run, Stats, save_grid

CLASSIFIER, GENERATOR = "classifier", "generator"  # folders in `last`
TESTED = 512  # pictures at a time


@dataclass(frozen=True, kw_only=True)
class ClassifierRun(Run):
    """A run that trains a classifier."""

    config: ClassifyConfig
    pictures: Pictures
    data_sha256: str
    test: Dataset | None  # held-out pictures with labels; None: nothing is measured
    licence: str = "Not stated."  # the data's
    product: ClassVar[str] = f"{CLASSIFIER}/{CONFIG}"
    chooses: ClassVar[bool] = False

    def task(self) -> "ClassifierTask":
        """Makes the networks.

        Raises:
            DistributedError: there are several processes.
        """
        if self.ranks.size > 1:
            raise DistributedError(f"preset {self.config.preset} trains in one process")
        return ClassifierTask(self)


class ClassifierTask:
    """What a classifier learns, and the generator that it learns against."""

    def __init__(self, run: ClassifierRun) -> None:
        self._run, self._config = run, run.config
        seed = int(stream(run.config.seed, WEIGHTS, 0).integers(2**63))
        self.networks: ClassifyNetworks = new_classify_networks(
            run.config,
            len(run.pictures.data.classes),
            run.device,
            seed,
            start_examples(run.pictures, run.config, run.device),
        )

    @property
    def epoch_steps(self) -> int:
        """Steps of a pass over all pictures."""
        return max(1, len(self._run.pictures.data) // self._config.batch)

    def begin(self) -> list[str]:
        """Starts from nothing."""
        return []

    def deal(self, attempt: int) -> None:
        """Chooses the batches of an attempt."""
        run = self._run
        self._batches = ClassifyBatches(run.config, run.pictures, run.device, attempt)

    def step(self, step: int, rate_share: float) -> Stats:
        """Runs one step of every network."""
        run_step = supervised_step if self._config.supervised else semi_supervised_step
        return run_step(self.networks, self._batches(step), self._config, rate_share)

    def draw_real(self) -> None:
        """Draws the first labelled pictures."""
        pictures = self._run.pictures
        shown = pictures.data.images[pictures.labelled[: GRID_SIDE**2]]
        save_grid(self._run.folder / "reals.png", shown)

    def grid(self, images_seen: int) -> None:
        """Draws seeds 0 to 35 by the generator as it is, in inference mode."""
        generator = self.networks.generator.generator
        if generator is not None:
            self.draw(copy.deepcopy(generator), images_seen)

    def draw(self, generator: Generator, images_seen: int, prefix: str = "") -> None:
        """Draws seeds 0 to 35 into the folder of grids."""
        sampler = plain_sampler(generator, self._config.side, self._run.device)
        z_dim = self._config.network.z_dim
        pixels = sampler(sample_rows(range(GRID_SIDE**2), z_dim, self._config.prior))
        save_grid(self._run.folder / "grids" / f"{prefix}{images_seen:09d}.png", pixels)

    def snapshot(self, images_seen: int) -> "ClassifierSnapshot":
        """Takes the averages of both networks."""
        return ClassifierSnapshot(self, self._run, images_seen)

    def of_stats(self, rows: Sequence[Mapping[str, float]]) -> health.Faults:
        """Judges nothing: no losses of such runs are known to be bad."""
        return {}

    def of_metrics(self, rows: Sequence[Mapping[str, float]], name: str) -> health.Faults:
        """Judges nothing: the held-out pictures choose nothing."""
        return {}


class ClassifierSnapshot:
    """The averages of a classifier and of its generator."""

    def __init__(self, task: ClassifierTask, run: ClassifierRun, images_seen: int) -> None:
        self._run, self._images_seen = run, images_seen
        average = task.networks.generator_ema
        self._weights = average.classifier.served()
        self._generator = None
        self.faults: health.Faults = {}
        if average.generator is not None:
            self._generator = served_generator(average.generator, run.config.prior)
            task.draw(copy.deepcopy(self._generator), images_seen, prefix="average-")

    def measure(self, say: Say) -> dict[str, float]:
        """Counts the mistakes that it makes in the held-out pictures."""
        test = self._run.test
        if test is None:
            return {}
        classify = OnnxClassifier(self._file(), usable_cores())
        wrong = mistakes(classify, test)
        return {error_name(test): wrong / len(test)}

    def _file(self, accuracy: float = 0.0) -> ClassifierFile:
        config = self._config(accuracy, {})
        return ClassifierFile(config.name, config, dict(self._weights), "0" * 64)

    def _config(self, accuracy: float, metrics: Mapping[str, float]) -> ClassifierConfig:
        run, config, data = self._run, self._run.config, self._run.pictures.data
        return ClassifierConfig(
            name=slug(data.name),
            side=config.side,
            channels=3 if config.network.channels == 3 else 1,
            classes=data.classes,
            data=data.name,
            data_sha256=run.data_sha256,
            epochs=self._images_seen // max(1, len(data)),
            seed=config.seed,
            test_accuracy=accuracy,
            layout=config.layout,
            widths=config.widths,
            preset=config.preset,
            labels=None
            if config.labels == ALL
            else Labelled(pictures=config.labels, seed=config.label_seed),
            real=not config.supervised,
            metrics=dict(metrics),
            licence=run.licence,
        )

    def write(self, folder: Path, metrics: Metrics) -> None:
        """Writes the folder of the classifier, and that of the generator."""
        run, config, data = self._run, self._run.config, self._run.pictures.data
        folder.mkdir(exist_ok=True)
        found = {k: v for k, v in metrics.items() if not isinstance(v, list)}
        error = next(iter(found.values()), None)
        shape = self._config(0.0 if error is None else 1.0 - error, found)
        write_classifier(
            folder / CLASSIFIER,
            shape,
            dict(self._weights),
            classifier_card(shape, About(method_of(config.objective, len(data)))),
            OnnxClassifier,
        )
        if self._generator is None:
            return
        write_generator_file(
            folder / GENERATOR,
            generator_weights(self._generator),
            snapshot_card(config.preset, self._images_seen, {}),
            OnnxSampler,
            name=slug(data.name),
            preset=config.preset,
            network=config.network,
            prior=config.prior,
            crop=config.side,
            licence=run.licence,
            data={
                "name": data.name,
                "split": config.split,
                "images": len(data),
                "sha256": run.data_sha256,
            },
            images_seen=self._images_seen,
        )


def mistakes(classify: OnnxClassifier, test: Dataset) -> int:
    """Counts the pictures (N, side, side, C) whose class a classifier does not name."""
    wrong = 0
    for start in range(0, len(test), TESTED):
        named: NDArray[np.int64] = classify(test.images[start : start + TESTED]).argmax(1)
        assert test.labels is not None
        wrong += int((named != test.labels[start : start + TESTED]).sum())
    return wrong


def error_name(test: Dataset) -> str:
    """Returns the name of the share of wrong answers, which holds its protocol."""
    return f"error_{len(test)}_test_{test.name}"
