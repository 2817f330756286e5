"""The batch of each step: a function of the configuration, the data and the step's number alone,
so that a resumed run gets the same batches as the unbroken one.
"""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import images
from model.training.datasets.augment import Augmentation, draw_augmentation
from model.training.datasets.dataset import Dataset
from model.training.datasets.order import permuted
from model.training.datasets.shards import Pictures
from model.training.evaluation.features import to_input
from model.training.presets import TrainConfig
from model.training.schedules import cosine
from model.training.train_step import Batch

# streams of random numbers
LATENTS, ORDER, WEIGHTS, GENERATOR_LATENTS, AUGMENTATION, GENERATOR_AUGMENTATION, MIRROR = range(7)

SHARING = ("article", "modern")  # objectives whose updates share one batch of latents
EXAMPLES = 256  # real images that the networks are fitted to before their first step


def example_places(count: int, wanted: int = EXAMPLES) -> NDArray[np.int64]:
    """Chooses evenly spaced places among `count` pictures, the same whenever a run starts: sets are
    often sorted by class.
    """
    return np.linspace(0, count - 1, min(wanted, count)).astype(np.int64)


def examples(data: Dataset, resolution: int) -> Tensor:
    """Returns the pictures at `example_places`, (N, C, resolution, resolution) in [-1, 1]."""
    padded = images.pad_to(data.images[example_places(len(data))], resolution)
    return to_input(torch.from_numpy(padded))


def stream(seed: int, name: int, index: int, attempt: int = 0) -> np.random.Generator:
    """Returns the random numbers of one stream at one index; another attempt has others."""
    return np.random.default_rng([seed, name, index] + ([attempt] if attempt else []))


class Batches:
    """Deals the batches of a run, or one share of each; the pictures lie on the device as bytes, or
    are read from shards, a batch ahead.

    A share is cut from the whole batch's random numbers: together the shares are that batch.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Dataset,
        device: torch.device,
        attempt: int = 0,
        share: slice = slice(None),
    ) -> None:
        self._config, self._device, self._attempt = config, device, attempt
        self._share = np.arange(config.batch)[share]
        self._data, self._labels = data, data.labels
        self._count = len(data)
        self.epoch_steps = len(data) // config.batch  # the last, partial batch is dropped
        self._epoch, self._order = -1, np.empty(0, np.int64)
        self._ahead: dict[int, Future[tuple[NDArray[np.int64], Tensor]]] = {}
        self._reader: ThreadPoolExecutor | None = None
        if isinstance(data.images, Pictures):
            self._reader = ThreadPoolExecutor(1, "shards")
        else:
            self._pixels = self._padded(data.images).to(device)

    def __call__(self, step: int) -> Batch:
        """Returns the batch of a step."""
        config, device = self._config, self._device
        chosen, pixels = self._real(step)
        real = to_input(pixels)
        if config.mirror:
            turned = self._stream(MIRROR, step).random(config.batch)[self._share] < 0.5
            where = torch.from_numpy(turned).to(device)[:, None, None, None]
            real = torch.where(where, real.flip(3), real)
        classes = np.zeros((len(chosen), config.network.classes), np.float32)
        if config.network.classes:
            assert self._labels is not None
            classes[np.arange(len(chosen)), self._labels[chosen]] = 1.0
        rows = self._rows(LATENTS, step, classes)
        shared = config.objective in SHARING
        return Batch(
            real=real,
            classes=torch.from_numpy(classes).to(device),
            rows=rows,
            generator_rows=rows if shared else self._rows(GENERATOR_LATENTS, step, classes),
            augmentation=self._augmentation(AUGMENTATION, step),
            generator_augmentation=None
            if shared
            else self._augmentation(GENERATOR_AUGMENTATION, step),
        )

    def _real(self, step: int) -> tuple[NDArray[np.int64], Tensor]:
        """Returns the places of this share's pictures, and the pictures on the device."""
        if self._reader is None:
            chosen = self._chosen(step)
            return chosen, self._pixels[torch.from_numpy(chosen).to(self._device)]
        now = self._ahead.pop(step, None) or self._reader.submit(self._read, step)
        self._ahead = {step + 1: self._reader.submit(self._read, step + 1)}
        chosen, pixels = now.result()
        return chosen, pixels.to(self._device)

    def _read(self, step: int) -> tuple[NDArray[np.int64], Tensor]:
        chosen = self._chosen(step)
        return chosen, self._padded(self._data.images[chosen])

    def _padded(self, pixels: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(images.pad_to(pixels, self._config.network.resolution))

    def _augmentation(self, name: int, step: int) -> Augmentation | None:
        config = self._config
        if not config.augmentation:
            return None
        return draw_augmentation(
            self._stream(name, step),
            2 * config.batch,
            config.network.resolution,
            cosine(0.0, config.augmentation, step * config.batch, config.burn_in),
            self._device,
            np.concatenate([self._share, self._share + config.batch]),
        )

    def _chosen(self, step: int) -> NDArray[np.int64]:
        """Returns the places of this share's pictures in the set."""
        epoch, position = divmod(step, self.epoch_steps)
        places = position * self._config.batch + self._share
        if self._config.order == "keyed":
            return permuted(places, self._count, self._stream(ORDER, epoch))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = self._stream(ORDER, epoch).permutation(self._count)
        return self._order[places]

    def _rows(self, name: int, step: int, classes: NDArray[np.float32]) -> Tensor:
        config = self._config
        random, shape = self._stream(name, step), (config.batch, config.network.z_dim)
        if config.prior == "uniform":
            z = random.random(shape, np.float32) * 2 - 1
        else:
            z = random.standard_normal(shape, np.float32)
        return torch.from_numpy(np.concatenate([z[self._share], classes], axis=1)).to(self._device)

    def _stream(self, name: int, index: int) -> np.random.Generator:
        return stream(self._config.seed, name, index, self._attempt)
