"""The feature network behind the quality metrics: small, and trained by a command of this project.

    pixels (N, H, W, C) uint8 -> 128 features and class probabilities

With labelled pictures it is a classifier; without, it is self-supervised (see `self_supervised`);
of pictures composited from layers it may name those too (see `parts`). It is not an Inception
network: a distance in its features compares generators on one data set, and is not called FID.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from model.classification.classifier_file import (
    ClassifierFile,
    Tensors,
    content_of,
    read_classifier,
    write_classifier,
)
from model.classification.config import ClassifierConfig
from model.classification.layouts import FEATURES
from model.classification.onnx_classifier import OnnxClassifier
from model.classification.pytorch import Classifier, classifier_weights, load_classifier
from model.images import HALF_RANGE
from model.mistakes import Mistake
from model.training.datasets.dataset import Dataset
from model.training.evaluation.self_supervised import DAMAGES, clusters, damage
from model.training.run.progress import Progress, Say, duration

BATCH = 128
SHIFT = 2  # pixels; pictures move by up to so much while the network learns
WEIGHTS = {"classes": 1.0, "clusters": 0.5, "damage": 0.3}  # weights of the losses
SHOWN_PICTURES = 60_000  # seen by a network that learns, if a few passes do not need more
MOST_PASSES = 60
SAID = 5  # times, while it learns, how well it does
TIMED = 4  # steps for an estimate; the first one warms up
LEARNING_RATE = 2e-3
KNOWN = 0.995  # share of the training pictures, shifted and damaged, that it names right
SATURATED = 3  # epochs in a row after which nothing is left to learn


class ExtractorError(Mistake):
    """A classifier file cannot be used; the message says which and why."""


class Extractor:
    """A trained feature network, ready to look at pictures."""

    def __init__(self, config: ClassifierConfig, network: Classifier, device: torch.device) -> None:
        self.config = config
        self._network = network.to(device).eval()
        self._device = device

    @property
    def name(self) -> str:
        """What a metric's name says of its network: data, kind and the first digits of the
        weights' hash.
        """
        return f"{self.config.data}-{self.config.kind}-{self._digest[:8]}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it tells apart."""
        return self.config.classes

    @property
    def test_accuracy(self) -> float:
        """The accuracy that its config states."""
        return self.config.test_accuracy

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(content_of(_tensors(self._network))).hexdigest()

    def __call__(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns features (N, 128) and class probabilities (N, classes) of pictures (N, H, W, C)
        uint8.
        """
        features, probabilities = [], []
        with torch.inference_mode():
            for start in range(0, len(pixels), 512):
                images = to_input(torch.from_numpy(pixels[start : start + 512]).to(self._device))
                embedded = self._network.embed(images)
                features.append(embedded.cpu().numpy())
                probabilities.append(self._network.probabilities(embedded).cpu().numpy())
        return np.concatenate(features), np.concatenate(probabilities)

    def parts(self, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Returns the layer it sees in each slot, (N, slots), also in those of other classes."""
        assert self._network.parts is not None
        features = torch.from_numpy(self(pixels)[0]).to(self._device)
        with torch.inference_mode():
            slots = self._network.parts(features).split(list(self.config.parts.values()), 1)
        return torch.stack([logits.argmax(1) for logits in slots], 1).cpu().numpy()

    def accuracy(self, dataset: Dataset) -> float:
        """Returns the share of the pictures whose class it names."""
        _, probabilities = self(dataset.images)
        return float((probabilities.argmax(1) == dataset.labels).mean())

    def save(self, folder: Path) -> None:
        """Writes the folder, config.json last: where that exists, all is complete.

        Raises:
            OutputError: it cannot be written there.
        """
        tensors = _tensors(self._network)
        write_classifier(folder, self.config, tensors, load_classifier=OnnxClassifier)


def load_extractor(folder: Path, device: torch.device) -> Extractor:
    """Reads what `Extractor.save` wrote.

    Raises:
        GeneratorFileError: a file is missing, damaged or of another kind.
    """
    return extractor_of(read_classifier(folder), device)


def extractor_of(file: ClassifierFile, device: torch.device) -> Extractor:
    """Makes the network of a checked file ready to look at pictures."""
    return Extractor(file.config, load_classifier(file), device)


def sensible_epochs(pictures: int, labelled: bool) -> int:
    """Returns the passes over so many pictures: SHOWN_PICTURES in all, at most MOST_PASSES; three
    at least where there are classes to learn.
    """
    return int(np.clip(SHOWN_PICTURES // pictures, 3 if labelled else 1, MOST_PASSES))


def train_extractor(
    train: Dataset,
    test: Dataset,
    *,
    epochs: int,
    seed: int,
    device: torch.device,
    say: Say,
) -> Extractor:
    """Trains a classifier of the labelled pictures in `train`; its config states its accuracy on
    `test`.

    Raises:
        ExtractorError: the data has no labels or fewer than two classes.
    """
    if train.labels is None or len(train.classes) < 2:
        raise ExtractorError(
            f"{train.name}: a classifier needs labelled pictures of two classes or more"
        )
    config = _new_config(train, train.classes, epochs, seed)

    def accuracy(network: Classifier, damages: nn.Linear) -> float:
        return Extractor(config, network, device).accuracy(test)

    judge = accuracy if len(test) else None
    return _learn(config, train, judge, "test accuracy", device, say)


def train_selfsup(
    train: Dataset,
    test: Dataset,
    *,
    epochs: int,
    seed: int,
    device: torch.device,
    say: Say,
) -> Extractor:
    """Trains a feature network of pictures whose labels, if there are any, it is not shown. Its
    config states how much of the damage done to test pictures it names.
    """
    config = _new_config(train, (), epochs, seed)
    order = np.random.default_rng(seed).permutation(len(train))[:SHOWN_PICTURES]
    shown = replace(train, images=train.images[order], labels=None)

    def named(network: Classifier, damages: nn.Linear) -> float:
        network.eval()
        random, right = np.random.default_rng(seed), []
        with torch.inference_mode():
            for start in range(0, len(test), BATCH):
                pixels = torch.from_numpy(test.images[start : start + BATCH]).to(device)
                images, kinds = damage(to_input(pixels), random)
                right.append(damages(network.embed(images)).argmax(1) == kinds)
        return float(torch.cat(right).float().mean())

    judge = named if len(test) else None
    return _learn(config, shown, judge, "damage named in test pictures", device, say)


def _new_config(
    train: Dataset, classes: tuple[str, ...], epochs: int, seed: int
) -> ClassifierConfig:
    return ClassifierConfig(
        side=train.images.shape[1],
        channels=train.images.shape[3],
        classes=classes,
        data=train.name,
        data_sha256=train.fingerprint,
        epochs=epochs,
        seed=seed,
        layout="folded",
    )


class _Learner:
    """A feature network that learns, with the heads for what it learns, and its optimiser."""

    def __init__(
        self,
        config: ClassifierConfig,
        train: Dataset,
        groups: tuple[NDArray[np.int64], int],
        device: torch.device,
    ) -> None:
        labels, count = groups
        self._train, self._device = train, device
        self.network = Classifier(config).to(device)
        self.damages = nn.Linear(FEATURES, len(DAMAGES)).to(device)
        alike = nn.Linear(FEATURES, count).to(device)
        self._tasks: list[tuple[str, nn.Module, NDArray[np.int64]]] = [("clusters", alike, labels)]
        if self.network.logits is not None and train.labels is not None:
            self._tasks.append(("classes", self.network.logits, train.labels))
        learning = nn.ModuleList([self.network, self.damages, alike])
        self.optimizer = torch.optim.Adam(learning.parameters(), lr=LEARNING_RATE)

    def step(self, chosen: NDArray[np.int64], random: np.random.Generator) -> Tensor:
        """Learns from the pictures at these places; returns which ones the network names right, by
        class, or by damage where there are no classes.
        """
        shift = tuple(random.integers(-SHIFT, SHIFT + 1, 2))
        shifted = np.roll(self._train.images[chosen], shift, axis=(1, 2))
        images = to_input(torch.from_numpy(shifted).to(self._device))
        half = len(images) // 2
        damaged, kinds = damage(images[:half], random)
        features = self.network.embed(torch.cat([damaged, images[half:]]))
        features = functional.dropout(features, 0.3)
        wanted = torch.cat([kinds, kinds.new_zeros(len(images) - half)])
        logits = self.damages(features)
        loss = WEIGHTS["damage"] * functional.cross_entropy(logits, wanted)
        for task, head, target in self._tasks:
            wanted = torch.from_numpy(target[chosen]).to(self._device)
            logits = head(features)
            loss = loss + WEIGHTS[task] * functional.cross_entropy(logits, wanted)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        right: Tensor = logits.detach().argmax(1) == wanted
        return right


def _learn(
    config: ClassifierConfig,
    train: Dataset,
    judge: Callable[[Classifier, nn.Linear], float] | None,
    word: str,
    device: torch.device,
    say: Say,
) -> Extractor:
    """Learns three things from the same features: the classes if there are any, the clusters, and
    the damage done to half of the pictures. Without the last two, the features of pictures in few
    classes would say little more than the class.

    Adam with a learning rate that falls from 2e-3 to 0 along a half cosine; pictures shift by up to
    two pixels. Where nothing is left to learn, since all test pictures (if any) and nearly all
    training pictures have been named right for SATURATED epochs, the rate falls to 0 over a few
    epochs more.
    """
    say(
        f"{config.kind}: up to {config.epochs} epochs of {len(train):,} pictures, about "
        f"{duration(_seconds(config, train, device))} on this machine"
    )
    random = np.random.default_rng(config.seed)
    groups = clusters(train.images, config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        learner = _Learner(config, train, groups, device)
        epochs, steps = config.epochs, -(-len(train) // BATCH)
        schedule = CosineAnnealingLR(learner.optimizer, epochs * steps)
        progress = Progress(f"training {config.kind}", epochs * steps, say)
        done = saturated = 0
        while done < epochs:
            learner.network.train()
            order, right = random.permutation(len(train)), []
            for start in range(0, len(train), BATCH):
                right.append(learner.step(order[start : start + BATCH], random))
                schedule.step()
                progress.done()
            done += 1
            knows = float(torch.cat(right).float().mean()) >= KNOWN
            told = done % -(-config.epochs // SAID) == 0 or done == epochs
            if not (knows or told):
                saturated = 0
                continue
            accuracy = judge(learner.network, learner.damages) if judge else 0.0
            if told and judge:
                say(f"{config.kind} epoch {done} of {epochs}: {word} {accuracy:.2%}")
            saturated = saturated + 1 if knows and (accuracy == 1.0 or not judge) else 0
            if saturated == SATURATED and epochs - done > -(-done // 4):
                epochs = done + -(-done // 4)
                say(f"{config.kind}: nothing left to learn, ending with epoch {epochs}")
                schedule = CosineAnnealingLR(learner.optimizer, (epochs - done) * steps)
    stated = config.model_copy(update={"epochs": done, "test_accuracy": accuracy})
    return Extractor(stated, learner.network, device)


def _seconds(config: ClassifierConfig, train: Dataset, device: torch.device) -> float:
    """Estimates how long learning takes, by a few steps of a network that is thrown away."""
    random, some = np.random.default_rng(0), np.arange(min(BATCH, len(train)))
    with torch.random.fork_rng(devices=[]):
        learner = _Learner(config, train, (np.zeros(len(train), np.int64), 1), device)
        times = []
        for _ in range(TIMED):
            start = time.monotonic()
            float(learner.step(some, random).float().mean())
            times.append(time.monotonic() - start)
    return min(times) * config.epochs * -(-len(train) // BATCH)


def to_input(pixels: Tensor) -> Tensor:
    """Turns pictures (N, H, W, C) uint8, on any device, into input (N, C, H, W) in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).float().div(HALF_RANGE).sub(1)


def _tensors(network: Classifier) -> Tensors:
    """Returns the tensors as they are kept: in half precision where there are parts, since those
    networks were rounded to it.
    """
    tensors = classifier_weights(network)
    if network.parts is None:
        return tensors
    return {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in tensors.items()}
