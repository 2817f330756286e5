"""What a classifier learns from: pictures of which a few have labels, and the batches of each step.

Dataset, how many labels, a seed -> Pictures -> batches, a function of (seed, step) alone
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.training.classification.config import ALL, ClassifyConfig
from model.training.classification.steps import ClassifyBatch
from model.training.datasets.batches import stream
from model.training.datasets.dataset import DataError, Dataset
from model.training.datasets.file_listing import number
from model.training.evaluation.features import to_input

WITHOUT = ("unlabelled", "unlabeled")  # folders of pictures without label, beside those of classes
SHOWN = 10  # names of classes in a message
START = 500  # pictures to which the classifier is fitted before its first step
# streams of random numbers
CHOSEN, LABELLED, UNLABELLED, MATCHED, LATENTS, GENERATOR_LATENTS, NOISE, STARTED = range(20, 28)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures to train with, and which of them have labels that the run may see."""

    data: Dataset  # all pictures; labels are positions in its classes, -1 where there is none
    labelled: NDArray[np.int64]  # places of the labelled ones
    notes: tuple[str, ...] = ()  # for the log

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels of the labelled ones."""
        assert self.data.labels is not None
        return self.data.labels[self.labelled]


def without_labels(data: Dataset) -> Dataset:
    """Takes the labels from pictures of a folder `unlabelled`, which is no class.

    Raises:
        DataError: there are fewer than two classes then.
    """
    found = [name for name in data.classes if name.split("/")[0].casefold() in WITHOUT]
    classes = tuple(name for name in data.classes if name not in found)
    if data.labels is None or len(classes) < 2:
        raise DataError(
            f"{data.name}: {number(len(classes), 'class', 'classes')}; a classifier needs pictures "
            f"in folders of two or more, and those without label in a folder {WITHOUT[0]}"
        )
    places = np.array([classes.index(name) if name in classes else -1 for name in data.classes])
    return replace(data, labels=places[data.labels], classes=classes)


def held_out(data: Dataset, classes: tuple[str, ...]) -> Dataset:
    """Returns the pictures of a held-out part that have labels.

    Raises:
        DataError: its classes are not those that are learnt.
    """
    if not len(data):
        return data
    found = without_labels(data)
    if found.classes != classes:
        raise DataError(
            f"{data.name}: its held-out pictures have other classes than those that are learnt: "
            f"{', '.join(found.classes[:SHOWN])} and {', '.join(classes[:SHOWN])}"
        )
    assert found.labels is not None
    known = found.labels >= 0
    return replace(found, images=found.images[known], labels=found.labels[known])


def choose(data: Dataset, count: int, seed: int) -> Pictures:
    """Chooses as many labelled pictures of each class by a seed, `count` in all; ALL: all there
    are. The others are taken as pictures without label.

    Raises:
        DataError: so many do not divide among the classes, or a class has fewer.
    """
    data = without_labels(data)
    labels, classes = data.labels, data.classes
    assert labels is not None
    sizes = np.bincount(labels[labels >= 0], minlength=len(classes))
    if count == ALL:
        if not sizes.all():
            raise DataError(f"{data.name}: no picture of class {classes[sizes.argmin()]}")
        places = np.flatnonzero(labels >= 0)
    else:
        each, rest = divmod(count, len(classes))
        most = int(sizes.min()) * len(classes)
        allowed = f"allowed: multiples of {len(classes)} up to {most}, or all"
        if rest or not each:
            raise DataError(
                f"--labels {count} does not divide among {len(classes)} classes; {allowed}"
            )
        if sizes.min() < each:
            raise DataError(
                f"--labels {count}: {each} pictures of each class; {classes[sizes.argmin()]} has "
                f"{sizes.min()}; {allowed}"
            )
        order = stream(seed, CHOSEN, 0).permutation(len(labels))
        places = np.concatenate(
            [order[labels[order] == class_][:each] for class_ in range(len(classes))]
        )
    return Pictures(data=data, labelled=np.sort(places))


class ClassifyBatches:
    """Deals the batches of a run; the pictures lie on the device as bytes."""

    def __init__(
        self, config: ClassifyConfig, pictures: Pictures, device: torch.device, attempt: int = 0
    ) -> None:
        self._config, self._device, self._attempt = config, device, attempt
        self._pixels = torch.from_numpy(pictures.data.images).to(device)
        self._labelled, self._labels = pictures.labelled, pictures.labels
        self._count = len(pictures.data)
        self._orders: dict[tuple[int, int], NDArray[np.int64]] = {}

    def __call__(self, step: int) -> ClassifyBatch:
        """Returns the batch of a step."""
        config, device = self._config, self._device
        chosen = self._dealt(LABELLED, step, len(self._labelled))
        images = self._images(self._labelled[chosen])
        without = images[:0]
        if config.supervised:
            rows = generator_rows = torch.empty(0)
            unlabelled = matched = without
        else:
            matches = config.batch * config.generator_updates
            unlabelled = self._images(self._dealt(UNLABELLED, step, self._count))
            matched = self._images(self._dealt(MATCHED, step, self._count, matches))
            rows = self._rows(LATENTS, step, config.batch)
            generator_rows = self._rows(GENERATOR_LATENTS, step, matches)
        seed = int(self._stream(NOISE, step).integers(2**63))
        return ClassifyBatch(
            labelled=images,
            labels=torch.from_numpy(self._labels[chosen]).to(device),
            unlabelled=unlabelled,
            matched=matched,
            rows=rows,
            generator_rows=generator_rows,
            random=torch.Generator(device).manual_seed(seed),
        )

    def _images(self, places: NDArray[np.int64]) -> Tensor:
        return to_input(self._pixels[torch.from_numpy(places).to(self._device)])

    def _dealt(self, name: int, step: int, count: int, batch: int = 0) -> NDArray[np.int64]:
        """Returns the places of a step in one shuffled pass over so many after another."""
        batch = batch or self._config.batch
        return np.concatenate(list(self._parts(name, step * batch, (step + 1) * batch, count)))

    def _parts(self, name: int, first: int, last: int, count: int) -> Iterator[NDArray[np.int64]]:
        for turn in range(first // count, -(-last // count)):
            order = self._order(name, turn, count)
            yield order[max(first - turn * count, 0) : last - turn * count]

    def _order(self, name: int, turn: int, count: int) -> NDArray[np.int64]:
        if (name, turn) not in self._orders:
            self._orders = {k: v for k, v in self._orders.items() if k[0] != name}
            self._orders[name, turn] = self._stream(name, turn).permutation(count)
        return self._orders[name, turn]

    def _rows(self, name: int, step: int, count: int) -> Tensor:
        random, shape = self._stream(name, step), (count, self._config.network.z_dim)
        if self._config.prior == "uniform":
            z = random.random(shape, np.float32) * 2 - 1
        else:
            z = random.standard_normal(shape, np.float32)
        return torch.from_numpy(z).to(self._device)

    def _stream(self, name: int, index: int) -> np.random.Generator:
        return stream(self._config.seed, name, index, self._attempt)


def start_examples(pictures: Pictures, config: ClassifyConfig, device: torch.device) -> Tensor:
    """Returns pictures (N, C, H, W) to fit the classifier to: some of those that it sees."""
    places = pictures.labelled if config.supervised else np.arange(len(pictures.data))
    chosen = places[stream(config.seed, STARTED, 0).permutation(len(places))[:START]]
    return to_input(torch.from_numpy(pictures.data.images[chosen]).to(device))
