"""Large pictures to make pairs of: stacked from layers whenever one is drawn, or a set in memory.

zip of layers, or a folder or zip of pictures -> draw(random), held_out(count)
"""

import hashlib
from abc import ABC, abstractmethod
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.image_decoding import Fit, square
from model.training.datasets.dataset import DataError, Dataset, Split, common_side, load, own_form
from model.training.datasets.image_folder import Broken, broken_notes, check_broken, counted
from model.training.datasets.layers import Layers, Stack, has_layers
from model.training.upscaling.config import LARGEST_SIDE, SMALLEST_SIDE

HELD_OUT = 1000  # stacks of layers, which are never drawn
HELD_OUT_SHARE = 5  # and at most one in so many
HELD_OUT_SEED = 2**31  # another than that of any run
STEP = 16  # pixels; sides are multiples of it

Pixels = NDArray[np.uint8]


class Pictures(ABC):
    """Large pictures, all (side, side, channels) uint8."""

    name: str
    side: int
    channels: int
    sha256: str  # says which they are
    count: int  # how many may be drawn
    notes: tuple[str, ...]  # what was taken and left out, for the log
    broken: tuple[Broken, ...] = ()
    files: int = 0

    @abstractmethod
    def draw(self, random: np.random.Generator) -> Pixels:
        """Draws one to learn from."""

    @abstractmethod
    def held_out(self, count: int) -> Pixels:
        """Returns so many that are never drawn, (N, side, side, C), or all that there are."""


def open_pictures(path: Path, *, fit: Fit = "crop", bits: int = 0) -> Pictures:
    """Opens large pictures in the largest side that most of them have, up to LARGEST_SIDE.

    Raises:
        DataError: there are none, or they cannot be read, or are smaller than SMALLEST_SIDE.
    """
    if has_layers(path):
        return LayeredPictures(path)
    return PictureSet(path, fit, bits)


class LayeredPictures(Pictures):
    """Pictures stacked from layers, each class as often; the same as the `data` command makes."""

    def __init__(self, path: Path) -> None:
        self._layers = layers = Layers(path)
        self.name, self.channels = path.stem, 3
        self._classes = list(layers.classes)
        counts = layers.combinations()
        each = -(-HELD_OUT // len(counts))
        lists = [
            list(layers.stacks(name, min(each, counts[name] // HELD_OUT_SHARE), HELD_OUT_SEED))
            for name in self._classes
        ]
        alternating = chain.from_iterable(zip_longest(*lists))
        self._held_out = [stack for stack in alternating if stack is not None][:HELD_OUT]
        self._excluded = set(self._held_out)
        self.count = sum(counts.values()) - len(self._excluded)
        random = np.random.default_rng(0)
        self.side = _checked_side(path, min(layers.size(self._stack(random))))
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.notes = (
            f"pictures: stacks of layers, {counted(counts)}; {len(self._held_out):,} held out to "
            f"measure with, each drawn at {self.side}x{self.side}",
        )

    def draw(self, random: np.random.Generator) -> Pixels:
        """Draws a class, then a stack of it."""
        return self._picture(self._stack(random))

    def held_out(self, count: int) -> Pixels:
        """Returns pictures of every class in turn."""
        pictures = [self._picture(stack) for stack in self._held_out[:count]]
        return np.array(pictures, np.uint8).reshape(-1, self.side, self.side, self.channels)

    def _stack(self, random: np.random.Generator) -> Stack:
        while True:  # four in five stacks of a class, at least, are there to be drawn
            stack = self._layers.draw(self._classes[random.integers(len(self._classes))], random)
            if stack not in self._excluded:
                return stack

    def _picture(self, stack: Stack) -> Pixels:
        return square(self._layers.picture(stack), self.side, self.channels, "crop")


class PictureSet(Pictures):
    """Pictures of a folder or zip, in memory; smaller ones than most are left out."""

    def __init__(self, path: Path, fit: Fit, bits: int) -> None:
        self.side = side = _checked_side(path, common_side(path, "train"))
        self.channels = own_form(path)[1]

        def part(which: Split) -> Dataset:
            return load(
                path,
                which,
                side=side,
                channels=self.channels,
                fit=fit,
                bits=bits,
                may_be_empty=which == "test",
                least=side,
            )

        self._train, self._test = part("train"), part("test")
        self.name, self.count = self._train.name, len(self._train)
        self.broken = tuple(sorted({*self._train.broken, *self._test.broken}))
        self.files = self._train.files
        check_broken(path, self.broken, self.files)
        parts = [self._train.fingerprint, self._test.fingerprint]
        self.sha256 = hashlib.sha256("".join(parts).encode()).hexdigest()
        self.notes = (
            f"pictures: {self.count:,} to train with, {len(self._test):,} held out to measure "
            f"with, at {self.side}x{self.side}",
            *self._train.notes,
            *broken_notes(self.broken),
        )

    def draw(self, random: np.random.Generator) -> Pixels:
        """Draws one of the training part."""
        picture: Pixels = self._train.images[random.integers(self.count)]
        return picture

    def held_out(self, count: int) -> Pixels:
        """Returns evenly chosen ones of the test part."""
        total = len(self._test)
        places = np.linspace(0, total - 1, min(count, total)).astype(np.int64)
        pictures: Pixels = self._test.images[places]
        return pictures


def reduced(pixels: Pixels, side: int) -> Pixels:
    """Reduces a picture (H, W, C) by the filter of the `data` command."""
    return square(Image.fromarray(pixels.squeeze()), side, pixels.shape[2], "crop")


def _checked_side(path: Path, side: int) -> int:
    if side < SMALLEST_SIDE:
        raise DataError(
            f"{path}: its pictures have {side} pixels on the smaller side; an upscaler learns from "
            f"those of {SMALLEST_SIDE} or more"
        )
    return min(LARGEST_SIDE, side // STEP * STEP)
