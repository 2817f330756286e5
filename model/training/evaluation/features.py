"""The feature network behind the quality metrics: small, and trained by a command of this project.

    pixels (N, H, W, C) uint8 -> 128 features and class probabilities

With labelled pictures it is a classifier; without, it is self-supervised (see `self_supervised`);
of pictures composited from layers it may name those too (see `parts`). It is not an Inception
network: a distance in its features compares generators on one data set, and is not called FID.
"""

import hashlib
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from model.images import HALF_RANGE
from model.mistakes import Mistake
from model.training.datasets.dataset import Dataset
from model.training.evaluation.self_supervised import DAMAGES, clusters, damage
from model.training.run.checkpoint import write_atomically
from model.training.run.progress import Progress, Say, duration

CONFIG = "config.json"
FEATURES = 128
BATCH = 128
SHIFT = 2  # pixels; pictures move by up to so much while the network learns
FOLDED_SIDE = 32  # pixels; larger pictures are folded to no more, their pixels into channels
WEIGHTS = {"classes": 1.0, "clusters": 0.5, "damage": 0.3}  # weights of the losses
SHOWN_PICTURES = 60_000  # seen by a network that learns, if a few passes do not need more
MOST_PASSES = 60
SAID = 5  # times, while it learns, how well it does
TIMED = 4  # steps for an estimate; the first one warms up
LEARNING_RATE = 2e-3
KNOWN = 0.995  # share of the training pictures, shifted and damaged, that it names right
SATURATED = 3  # epochs in a row after which nothing is left to learn

Layout = Literal["dense", "folded"]


class ExtractorError(Mistake):
    """A classifier file cannot be used; the message says which and why."""


@dataclass(frozen=True, kw_only=True)
class ExtractorConfig:
    """Shape and origin of a feature network; travels in its config.json."""

    side: int  # pixels per side
    channels: int
    classes: tuple[str, ...]  # none: it was trained without
    data: str
    data_sha256: str
    epochs: int
    seed: int
    # share of the test pictures whose class it names; without classes, whose damage
    test_accuracy: float = 0.0
    layout: Layout = "dense"  # the first one, of files that do not say
    parts: dict[str, int] = field(default_factory=dict)  # layers that it tells apart, by slot
    part_accuracy: dict[str, float] = field(default_factory=dict)  # share of each that it names

    @property
    def kind(self) -> str:
        """What a metric's name calls it."""
        if self.parts:
            return "parts"
        return "classifier" if self.classes else "selfsup"


class Classifier(nn.Module):
    """Three 3x3 convolutions with batch norm and poolings, 128 features, one logit a class.

    The dense layout pools twice; of 28x28 pictures it takes 6 M multiply-adds. The folded one pools
    three times and has more channels, after pixels of large pictures have been folded into
    channels: of 64x64 RGB pictures it takes 13 M.
    """

    def __init__(self, config: ExtractorConfig) -> None:
        super().__init__()
        folded = config.layout == "folded"
        self.config = config
        self._fold = -(-config.side // FOLDED_SIDE) if folded else 0  # 0: not at all
        self._poolings = 3 if folded else 2
        fold = max(1, self._fold)
        widths = (config.channels * fold**2, 32, 64, 128 if folded else 64)
        side = -(-config.side // fold) >> self._poolings
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.features = nn.Linear(widths[-1] * side**2, FEATURES)
        self.logits = nn.Linear(FEATURES, len(config.classes)) if config.classes else None
        layers = sum(config.parts.values())
        self.parts = nn.Linear(FEATURES, layers) if layers else None  # slot after slot

    def embed(self, images: Tensor) -> Tensor:
        """Computes features (N, 128) of images (N, C, H, W) in [-1, 1]."""
        x = self._folded(images) if self._fold else images
        for level, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            x = functional.relu(norm(convolution(x)))
            x = functional.max_pool2d(x, 2) if level < self._poolings else x
        features: Tensor = self.features(x.flatten(1))
        # behind a ReLU most of the features of the folded layout die while it learns
        return features if self._fold else functional.relu(features)

    def _folded(self, images: Tensor) -> Tensor:
        missing = -images.shape[2] % self._fold
        x = functional.pad(images, (0, missing, 0, missing), mode="replicate")
        x = functional.pixel_unshuffle(x, self._fold)
        return x.contiguous(memory_format=torch.channels_last)  # quicker

    def probabilities(self, features: Tensor) -> Tensor:
        """Computes the probability of each class, (N, classes)."""
        if self.logits is None:
            return features[:, :0]
        logits: Tensor = self.logits(features)
        return logits.softmax(1)


class Extractor:
    """A trained feature network, ready to look at pictures."""

    def __init__(self, config: ExtractorConfig, network: Classifier, device: torch.device) -> None:
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
        return hashlib.sha256(save(_tensors(self._network))).hexdigest()

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
        """Writes model.safetensors, then config.json: where that exists, both are complete."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "model.safetensors", save(_tensors(self._network)))
        fields = {"kind": self.config.kind, **asdict(self.config), "sha256": self._digest}
        write_atomically(folder / CONFIG, (json.dumps(fields, indent=2) + "\n").encode())


def load_extractor(folder: Path, device: torch.device) -> Extractor:
    """Reads what `Extractor.save` wrote.

    Raises:
        ExtractorError: a file is missing, damaged or of another kind.
    """
    try:
        fields = json.loads((folder / CONFIG).read_text())
        content = (folder / "model.safetensors").read_bytes()
        kind, sha256 = fields.pop("kind"), fields.pop("sha256")
        fields["classes"] = tuple(fields["classes"])
        config = ExtractorConfig(**fields)
        if kind != config.kind:
            raise ExtractorError(f"{folder}: not a {config.kind}")
        if sha256 != hashlib.sha256(content).hexdigest():
            raise ExtractorError(
                f"{folder}: model.safetensors does not match the hash in config.json"
            )
        network = Classifier(config)
        network.load_state_dict(load(content))
    except FileNotFoundError as error:
        raise ExtractorError(f"{folder}: {Path(error.filename).name} is missing") from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ExtractorError(f"{folder}: not a readable classifier ({error})") from None
    return Extractor(config, network, device)


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
) -> ExtractorConfig:
    return ExtractorConfig(
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
        config: ExtractorConfig,
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
    config: ExtractorConfig,
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
    stated = replace(config, epochs=done, test_accuracy=accuracy)
    return Extractor(stated, learner.network, device)


def _seconds(config: ExtractorConfig, train: Dataset, device: torch.device) -> float:
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


def _tensors(network: Classifier) -> dict[str, Tensor]:
    """Returns the tensors as they are kept: in half precision where there are parts, since those
    networks were rounded to it.
    """
    tensors = {k: value.detach().cpu().contiguous() for k, value in network.state_dict().items()}
    if network.parts is None:
        return tensors
    return {k: value.half() if value.is_floating_point() else value for k, value in tensors.items()}
