"""Which feature network a measurement looks through: the one asked for, the shipped one, one that
was trained here before, or one that is trained now and kept.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from model.classification.classifiers import shipped_classifiers
from model.generator_file import CONFIG
from model.metrics import Features
from model.training.datasets.dataset import Dataset, Split
from model.training.evaluation.features import (
    Extractor,
    extractor_of,
    load_extractor,
    sensible_epochs,
    train_extractor,
    train_selfsup,
)
from model.training.evaluation.inception import load_inception
from model.training.evaluation.measure import FeatureNetwork, look
from model.training.run.progress import Say, silent

WITHOUT = "--features none does without"
TRAIN_IMAGES = 60_000  # training pictures that are searched for the nearest

KINDS = AUTO, NONE, CLASSIFIER, SELFSUP, INCEPTION = (
    "auto",
    "none",
    "classifier",
    "selfsup",
    "inception",
)


def find_network(
    asked: str,
    outdir: Path,
    train: Dataset,
    test: Dataset,
    device: torch.device,
    say: Say,
    instead: str = WITHOUT,
) -> FeatureNetwork | None:
    """Loads or trains the network of the kind `asked`, or loads it from the folder of that name:
    auto is the classifier where the pictures have labels, else selfsup. Returns None for none.
    `instead` is told where one is trained: how to do without.

    Raises:
        GeneratorFileError: its folder cannot be read.
        ExtractorError: it is not on this machine, or it is the classifier of pictures without
        labels.
    """
    if asked == NONE:
        return None
    if asked == INCEPTION:
        return load_inception(device)
    if asked not in (AUTO, CLASSIFIER, SELFSUP):
        return load_extractor(Path(asked), device)
    labelled = train.labels is not None and len(train.classes) > 1
    classifies = asked == CLASSIFIER or (asked == AUTO and labelled)
    shipped = shipped_classifiers([train.fingerprint]) if classifies else []
    folder = outdir / "classifiers" / (train.fingerprint[:12] + ("" if classifies else "-selfsup"))
    if shipped:
        return extractor_of(shipped[0], device)
    if (folder / CONFIG).exists():  # not there: killed while it was written
        return load_extractor(folder, device)
    say(f"training the feature network that measures quality, once, kept in {folder}; {instead}")
    start = time.monotonic()
    learn = train_extractor if classifies else train_selfsup
    epochs = sensible_epochs(len(train), labelled=classifies)
    network = learn(train, test, epochs=epochs, seed=0, device=device, say=say)
    network.save(folder)
    say(f"trained in {time.monotonic() - start:.0f} s")
    return network


def thinned(train: Dataset) -> Dataset:
    """Returns the training pictures that are searched for nearest ones: all, or evenly chosen ones
    where there are very many.
    """
    chosen = np.linspace(0, len(train) - 1, min(len(train), TRAIN_IMAGES)).astype(np.int64)
    labels = None if train.labels is None else train.labels[chosen]
    return replace(train, images=train.images[chosen], labels=labels)


def train_features(
    network: FeatureNetwork | None, train: Dataset, part: Split, say: Say = silent
) -> Features | None:
    """Computes features of thinned training pictures, for a generator that was trained on this
    part. Returns None where there are none: through Inception, which would take hours without a
    GPU, or where the generator was trained on the test pictures too, so that nothing is held out.
    """
    if not isinstance(network, Extractor) or part != "train":
        return None
    return look(network, train.images, "features of training pictures", say)[0]
