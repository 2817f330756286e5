"""Which feature network a measurement looks through: the one asked for, the shipped one, one that
was trained here before, or one that is trained now and kept.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from model.metrics import Features
from model.training.data import Dataset, Split
from model.training.evaluate import FeatureNetwork
from model.training.features import (
    Extractor,
    load_extractor,
    sensible_epochs,
    train_extractor,
    train_selfsup,
)
from model.training.inception import load_inception

TRAIN_IMAGES = 60_000  # among which the nearest is looked for
SHIPPED_CLASSIFIERS = Path(__file__).parent / "classifiers"

FeatureKind = Literal["auto", "classifier", "selfsup", "inception"]
FEATURE_KINDS: tuple[FeatureKind, ...] = get_args(FeatureKind)


def find_network(
    kind: FeatureKind,
    asked: str,
    outdir: Path,
    train: Dataset,
    test: Dataset,
    device: torch.device,
    say: Callable[[str], None] = print,
) -> FeatureNetwork | None:
    """The network in the folder `asked`, none where that is "none", or, where it is "auto", the one
    of this kind: auto is the classifier where the pictures have labels, else selfsup.

    Raises:
        ExtractorError: it cannot be read or is not on this machine, or it is the classifier of
        pictures without labels.
    """
    if asked == "none":
        return None
    if asked != "auto":
        return load_extractor(Path(asked), device)
    if kind == "inception":
        return load_inception(device)
    labelled = train.labels is not None and len(train.classes) > 1
    if kind == "classifier" or (kind == "auto" and labelled):
        return _classifier(outdir, train, test, device, say)
    folder = outdir / "classifiers" / f"{train.fingerprint[:12]}-selfsup"
    if folder.exists():
        return load_extractor(folder, device)
    say(f"training the network that measures quality, kept in {folder}")
    epochs = sensible_epochs(len(train), labelled=False)
    network = train_selfsup(train, test, epochs=epochs, seed=0, device=device, say=say)
    network.save(folder)
    return network


def _classifier(
    outdir: Path,
    train: Dataset,
    test: Dataset,
    device: torch.device,
    say: Callable[[str], None],
) -> Extractor:
    sha256 = train.fingerprint
    for folder in sorted(SHIPPED_CLASSIFIERS.glob("*/")):
        extractor = load_extractor(folder, device)
        if extractor.config.data_sha256 == sha256:
            return extractor
    folder = outdir / "classifiers" / sha256[:12]
    if folder.exists():
        return load_extractor(folder, device)
    say(f"training the classifier that measures quality, kept in {folder}")
    epochs = sensible_epochs(len(train), labelled=True)
    extractor = train_extractor(train, test, epochs=epochs, seed=0, device=device, say=say)
    extractor.save(folder)
    return extractor


def thinned(train: Dataset) -> Dataset:
    """The training pictures among which nearest ones are looked for: all, or evenly chosen ones
    where there are very many.
    """
    chosen = np.linspace(0, len(train) - 1, min(len(train), TRAIN_IMAGES)).astype(np.int64)
    labels = None if train.labels is None else train.labels[chosen]
    return replace(train, images=train.images[chosen], labels=labels)


def train_features(
    network: FeatureNetwork | None, train: Dataset, learnt: Split
) -> Features | None:
    """Features of thinned training pictures, for a generator that has learnt from this part. None
    where they are not to be had: through Inception, which would take hours without a GPU, or where
    the generator has learnt from the test pictures too, so that nothing is held out.
    """
    if not isinstance(network, Extractor) or learnt != "train":
        return None
    return network(train.images)[0]
