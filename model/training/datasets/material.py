"""What a source of pictures holds, whatever its kind: an image folder or its zip, an official set,
a zip of layers.

    source -> Material (labels, parts, pictures in order)
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.image_decoding import DEEP, Fit, Found, decode, square
from model.training.datasets.dataset import (
    Dataset,
    channels_of,
    find_bits,
    median_side,
    read_official,
)
from model.training.datasets.held_out import deal
from model.training.datasets.image_folder import Broken, ImageFolder, counted, open_image_folder
from model.training.datasets.layers import Layers, Stack, has_layers


@dataclass(frozen=True, kw_only=True)
class Form:
    """What pictures are converted to."""

    side: int  # pixels
    channels: int
    fit: Fit
    bits: int = DEEP  # that count of 16-bit values
    png: bool = True  # whether they are wanted as files too


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of a source."""

    found: Found
    digest: bytes  # equal for equal files
    values: tuple[int, int]  # smallest and largest, 0 to 255
    pixels: NDArray[np.uint8] | None  # (side, side, C); None: no form was asked for
    png: bytes


Items = Iterator[tuple[int, Item | Broken]]  # with their places, in order


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a source holds, whatever its kind."""

    path: Path
    labels: NDArray[np.int64] | None  # (N,)
    classes: tuple[str, ...]
    held_out: NDArray[np.bool_]  # (N,)
    channels: Callable[[], int]  # 1 where everything is grey
    items: Callable[[Form | None, Iterable[int]], Items]  # at some places
    side: Callable[[], int]  # pixels: median of the smaller sides
    # a name and what else tells each picture at some places from others
    origins: Callable[[range], Iterable[tuple[str, object]]]
    fixed: bool = False  # whether it comes in that side alone
    bits: Callable[[], tuple[int, str]] = lambda: (DEEP, "")  # see `find_bits`
    remarks: tuple[str, ...] = ()


@contextmanager
def open_material(source: Path, count: int, seed: int) -> Iterator[Material]:
    train = read_official(source, "train")
    if train is not None:
        test = read_official(source, "test")
        assert test is not None
        yield _of_official(source, train, test)
    elif has_layers(source):
        yield _of_layers(source, count, seed)
    else:
        with open_image_folder(source) as image_folder:
            yield _of_image_folder(image_folder)


def _of_image_folder(image_folder: ImageFolder) -> Material:
    def items(form: Form | None, places: Iterable[int]) -> Items:
        def item(content: bytes) -> Item:
            image, found = decode(content, bits=form.bits if form else DEEP)
            return _item(lambda: image, found, content, form)

        return image_folder.each(places, item)

    return Material(
        path=image_folder.path,
        labels=image_folder.labels,
        classes=image_folder.classes,
        held_out=image_folder.held_out,
        channels=partial(channels_of, image_folder),
        items=items,
        side=lambda: median_side(image_folder, "train"),
        origins=lambda places: (
            (image_folder.names[place], image_folder.stamp(image_folder.names[place]))
            for place in places
        ),
        bits=cache(lambda: find_bits(image_folder)),
        remarks=image_folder.remarks,
    )


def _of_official(path: Path, train: Dataset, test: Dataset) -> Material:
    def items(form: Form | None, places: Iterable[int]) -> Items:
        for place in places:
            part, row = (train, place) if place < len(train) else (test, place - len(train))
            pixels = part.images[row]
            height, width, channels = pixels.shape
            found = Found(width, height, "L" if channels == 1 else "RGB")
            image = partial(Image.fromarray, pixels.squeeze())
            yield place, _item(image, found, pixels.tobytes(), form)

    assert train.labels is not None
    assert test.labels is not None
    return Material(
        path=path,
        labels=np.concatenate([train.labels, test.labels]),
        classes=train.classes,
        held_out=np.repeat([False, True], [len(train), len(test)]),
        channels=lambda: train.images.shape[3],
        items=items,
        side=lambda: min(train.images.shape[1:3]),
        origins=lambda places: (
            (str(place), item.digest)
            for place, item in items(None, places)
            if isinstance(item, Item)
        ),
        fixed=True,
    )


def _of_layers(path: Path, count: int, seed: int) -> Material:
    layers = Layers(path)
    classes = tuple(layers.classes)
    stacks: list[Stack] = []
    labels: list[int] = []
    for name in sorted(classes, key=lambda name: f"{name}/"):
        some = list(layers.stacks(name, count, seed))
        stacks += some
        labels += [classes.index(name)] * len(some)

    def items(form: Form | None, places: Iterable[int]) -> Items:
        for place in places:
            stack = stacks[place]
            found = Found(*layers.size(stack), "RGBA")
            draw = partial(layers.picture, stack)
            yield place, _item(draw, found, "\n".join(stack).encode(), form)

    return Material(
        path=path,
        labels=np.array(labels, np.int64),
        classes=classes,
        held_out=deal(len(stacks), np.array(labels, np.int64)),
        channels=lambda: 3,
        items=items,
        side=lambda: min(layers.size(stacks[0])),
        origins=lambda places: (
            (file, layers.stamp(file)) for place in places for file in stacks[place]
        ),
        remarks=(f"stacks of layers: {counted(layers.combinations())}",),
    )


def _item(
    image: Callable[[], Image.Image], found: Found, content: bytes, form: Form | None
) -> Item:
    digest = hashlib.blake2b(content, digest_size=16).digest()
    if form is None:
        return Item(found, digest, _values(image()), None, b"")
    pixels = square(image(), form.side, form.channels, form.fit)
    stream = io.BytesIO()
    if form.png:
        Image.fromarray(pixels.squeeze()).save(stream, "PNG")
    return Item(found, digest, (int(pixels.min()), int(pixels.max())), pixels, stream.getvalue())


def _values(image: Image.Image) -> tuple[int, int]:
    pixels = np.asarray(image)
    return int(pixels.min()), int(pixels.max())
