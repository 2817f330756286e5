"""The feature extractor behind every quality figure: a small picture classifier, trained by a
command of ours.

    pixels (N, H, W, C) uint8 -> 128 features and class probabilities

It is no Inception network: a distance in its features compares generators on one data set, and is
not called FID.
"""

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from model.images import HALF_RANGE
from model.training.data import Dataset

FEATURES = 128
BATCH = 128
SHIFT = 2  # pixels; pictures move by up to so much while the classifier learns


class ExtractorError(Exception):
    """A classifier file cannot be used; the message says which and why."""


@dataclass(frozen=True, kw_only=True)
class ExtractorConfig:
    """Shape and origin of a classifier; travels in its config.json."""

    side: int  # pixels per side
    channels: int
    classes: tuple[str, ...]
    data: str
    data_sha256: str
    epochs: int
    seed: int
    test_accuracy: float = 0.0


class Classifier(nn.Module):
    """Three 3x3 convolutions with batch norm, two poolings, 128 features, one logit a class. 6 M
    multiply-adds.
    """

    def __init__(self, config: ExtractorConfig) -> None:
        super().__init__()
        widths = (config.channels, 32, 64, 64)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.features = nn.Linear(widths[-1] * (config.side // 4) ** 2, FEATURES)
        self.logits = nn.Linear(FEATURES, len(config.classes))

    def embed(self, images: Tensor) -> Tensor:
        """Features (N, 128), not negative, of images (N, C, H, W) in [-1, 1]."""
        x = images
        for level, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            x = functional.relu(norm(convolution(x)))
            x = functional.max_pool2d(x, 2) if level < 2 else x
        return functional.relu(self.features(x.flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        features = functional.dropout(self.embed(images), 0.3, self.training)
        logits: Tensor = self.logits(features)
        return logits


class Extractor:
    """A trained classifier, ready to look at pictures."""

    def __init__(self, config: ExtractorConfig, network: Classifier, device: torch.device) -> None:
        self.config = config
        self._network = network.to(device).eval()
        self._device = device

    @property
    def name(self) -> str:
        """What a metric's name says of its extractor: data and the first digits of the weights'
        hash.
        """
        return f"{self.config.data}-classifier-{self._digest[:8]}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(save(_tensors(self._network))).hexdigest()

    def __call__(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (N, 128) and class probabilities (N, classes) of pictures (N, H, W, C) uint8."""
        features, probabilities = [], []
        with torch.inference_mode():
            for start in range(0, len(pixels), 512):
                images = to_input(torch.from_numpy(pixels[start : start + 512]).to(self._device))
                embedded = self._network.embed(images)
                features.append(embedded.cpu().numpy())
                probabilities.append(self._network.logits(embedded).softmax(1).cpu().numpy())
        return np.concatenate(features), np.concatenate(probabilities)

    def accuracy(self, dataset: Dataset) -> float:
        """Share of the pictures whose class it names."""
        _, probabilities = self(dataset.images)
        return float((probabilities.argmax(1) == dataset.labels).mean())

    def save(self, folder: Path) -> None:
        """Writes model.safetensors and config.json."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_bytes(save(_tensors(self._network)))
        fields = {"kind": "classifier", **asdict(self.config), "sha256": self._digest}
        (folder / "config.json").write_text(json.dumps(fields, indent=2) + "\n")


def load_extractor(folder: Path, device: torch.device) -> Extractor:
    """Reads what `Extractor.save` wrote.

    Raises:
        ExtractorError: a file is missing, damaged or of another kind.
    """
    try:
        fields = json.loads((folder / "config.json").read_text())
        content = (folder / "model.safetensors").read_bytes()
        if fields.pop("kind") != "classifier":
            raise ExtractorError(f"{folder}: not a classifier")
        if fields.pop("sha256") != hashlib.sha256(content).hexdigest():
            raise ExtractorError(
                f"{folder}: model.safetensors does not match the hash in config.json"
            )
        fields["classes"] = tuple(fields["classes"])
        config = ExtractorConfig(**fields)
        network = Classifier(config)
        network.load_state_dict(load(content))
    except FileNotFoundError as error:
        raise ExtractorError(f"{folder}: {Path(error.filename).name} is missing") from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ExtractorError(f"{folder}: not a readable classifier ({error})") from None
    return Extractor(config, network, device)


def train_extractor(
    train: Dataset,
    test: Dataset,
    *,
    epochs: int,
    seed: int,
    device: torch.device,
    say: Callable[[str], None],
) -> Extractor:
    """A classifier of the labelled pictures in `train`, its accuracy on `test` stated in its
    config.

    Adam with a learning rate that falls from 2e-3 to 0 along a half cosine; pictures shift by up to
    two pixels.

    Raises:
        ExtractorError: the data has no labels or fewer than two classes.
    """
    if train.labels is None or len(train.classes) < 2:
        raise ExtractorError(
            f"{train.name}: a classifier needs labelled pictures of two classes or more"
        )
    config = ExtractorConfig(
        side=train.images.shape[1],
        channels=train.images.shape[3],
        classes=train.classes,
        data=train.name,
        data_sha256=train.fingerprint,
        epochs=epochs,
        seed=seed,
    )
    random = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(config).to(device)
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
        steps = epochs * -(-len(train) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for epoch in range(epochs):
            network.train()
            order = random.permutation(len(train))
            for start in range(0, len(train), BATCH):
                chosen = order[start : start + BATCH]
                shift = tuple(random.integers(-SHIFT, SHIFT + 1, 2))
                shifted = np.roll(train.images[chosen], shift, axis=(1, 2))
                images = to_input(torch.from_numpy(shifted).to(device))
                labels = torch.from_numpy(train.labels[chosen]).to(device)
                loss = functional.cross_entropy(network(images), labels)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
            accuracy = Extractor(config, network, device).accuracy(test)
            say(f"classifier epoch {epoch + 1} of {epochs}: test accuracy {accuracy:.2%}")
    return Extractor(
        ExtractorConfig(**{**asdict(config), "test_accuracy": accuracy}), network, device
    )


def to_input(pixels: Tensor) -> Tensor:
    """Pictures (N, H, W, C) uint8, on any device, as network input (N, C, H, W) in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).float().div(HALF_RANGE).sub(1)


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
