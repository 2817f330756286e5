"""Pictures stacked from layers, one file a slot: a set as large as one likes.

    layers.json   {"classes": {class: {variant: [{"files": [file, ...]}, ...]}}}, bottom slot first

A picture is one variant of a class and one file of each of its slots, stacked on white.
"""

import json
import zipfile
from collections.abc import Iterator
from functools import cache
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.training.datasets.file_listing import DataError
from model.training.datasets.image_folder import LAYERS

PATIENCE = 50  # draws for each stack asked for; by chance alone nothing takes so many
Stack = tuple[str, ...]  # files, bottom first


def has_layers(path: Path) -> bool:
    """Returns whether a path is a zip file with layers."""
    try:
        if not path.is_file():
            return False
        with zipfile.ZipFile(path) as archive:
            return LAYERS in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False  # it is no folder of images either; `open_image_folder` says why


class Layers:
    """The layers of a zip file.

    Raises:
        DataError: it is no such zip, or its index does not hold what it should.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._path, self._archive = path, zipfile.ZipFile(path)
            index = json.loads(self._archive.read(LAYERS))["classes"]
            self.classes: dict[str, dict[str, list[list[str]]]] = {
                name: {
                    variant: [slot["files"] for slot in slots] for variant, slots in kinds.items()
                }
                for name, kinds in index.items()
            }
            kinds = self.classes.values()
            slots = [s for c in kinds for v in c.values() for s in v]
            names = set(self._archive.namelist())
            missing = [file for slot in slots for file in slot if file not in names]
        except (
            *(OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError),
            RecursionError,
        ):
            raise DataError(f"{path}: a zip file with layers and a {LAYERS} is wanted") from None
        empty = not slots or not all(slots) or not all(v for c in kinds for v in c.values())
        if missing or empty:
            raise DataError(f"{path}: {LAYERS} names {missing[0] if missing else 'an empty slot'}")
        self._layer = cache(self._read)

    def combinations(self) -> dict[str, int]:
        """Returns how many stacks each class has, in the order of the index."""
        return {
            name: sum(prod(len(slot) for slot in slots) for slots in variants.values())
            for name, variants in self.classes.items()
        }

    def stacks(self, name: str, count: int, seed: int) -> Iterator[Stack]:
        """Draws `count` different stacks of one class; of a small class all that there are."""
        random = np.random.default_rng([seed, list(self.classes).index(name)])
        wanted = int(min(count, self._sizes(name).sum()))
        seen: set[Stack] = set()
        for _ in range(PATIENCE * (wanted + PATIENCE)):  # an index may name a file twice
            if len(seen) == wanted:
                break
            stack = self.draw(name, random)
            if stack not in seen:
                seen.add(stack)
                yield stack

    def draw(self, name: str, random: np.random.Generator) -> Stack:
        """Draws a stack of one class, each as likely as any other."""
        variants, sizes = self.classes[name], self._sizes(name)
        chosen = random.choice(len(sizes), p=sizes / sizes.sum())
        variant = variants[sorted(variants)[chosen]]
        return tuple(slot[random.integers(len(slot))] for slot in variant)

    def _sizes(self, name: str) -> NDArray[np.float64]:
        """Returns how many stacks each variant of a class has, in the order of their names."""
        variants = self.classes[name]
        return np.array([prod(len(slot) for slot in variants[v]) for v in sorted(variants)], float)

    def stamp(self, file: str) -> tuple[int, int]:
        """Returns bytes and CRC of a layer's file, unread."""
        member = self._archive.getinfo(file)
        return member.file_size, member.CRC

    def size(self, stack: Stack) -> tuple[int, int]:
        """Returns width and height of its picture, in pixels."""
        return self._layer(stack[0]).size

    def picture(self, stack: Stack) -> Image.Image:
        """Draws the layers over white, RGB.

        Raises:
            DataError: a layer is no picture, or not of the size of the others.
        """
        first = self._layer(stack[0])
        whole = Image.new("RGBA", first.size, "white")
        for file in stack:
            layer = self._layer(file)
            if layer.size != first.size:
                raise DataError(f"{self._path}: {file} and {stack[0]} differ in size")
            whole.alpha_composite(layer)
        return whole.convert("RGB")

    def _read(self, file: str) -> Image.Image:
        try:
            with self._archive.open(file) as stream, Image.open(stream) as image:
                return image.convert("RGBA")
        except Exception as error:  # a damaged file makes Pillow raise nearly anything
            raise DataError(f"{self._path}: {file} is not a readable picture ({error})") from None
