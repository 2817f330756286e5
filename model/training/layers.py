"""Pictures stacked from layers, one file a slot: a set as large as one likes.

    layers.json   {"classes": {class: {variant: [{"files": [file, ...]}, ...]}}}, bottom slot first

A picture is one variant of a class and one file of each of its slots, stacked on white.
"""

import json
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from model.training.data import DataError

INDEX = "layers.json"
Stack = tuple[str, ...]  # files, bottom first


class Layers:
    """The layers of a zip file.

    Raises:
        DataError: it is no such zip, or its index does not hold what is wanted.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
            index = json.loads(self._archive.read(INDEX))["classes"]
            self.classes: dict[str, dict[str, list[list[str]]]] = {
                name: {
                    variant: [slot["files"] for slot in slots] for variant, slots in kinds.items()
                }
                for name, kinds in index.items()
            }
            slots = [s for c in self.classes.values() for v in c.values() for s in v]
            names = set(self._archive.namelist())
            missing = [file for slot in slots for file in slot if file not in names]
        except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{path}: a zip file with layers and a {INDEX} is wanted") from None
        if missing or not all(slots) or not slots:
            raise DataError(f"{path}: {INDEX} names {missing[:1] or 'an empty slot'}")
        self._layer = cache(self._read)

    def stacks(self, count: int, seed: int) -> Iterator[tuple[str, Stack]]:
        """`count` stacks of each class, each another; of small classes all that there are."""
        for place, (name, variants) in enumerate(self.classes.items()):
            random = np.random.default_rng([seed, place])
            names = sorted(variants)
            sizes = np.array([np.prod([len(slot) for slot in variants[v]]) for v in names], float)
            seen: set[Stack] = set()
            while len(seen) < min(count, sizes.sum()):
                variant = variants[names[random.choice(len(names), p=sizes / sizes.sum())]]
                stack = tuple(slot[random.integers(len(slot))] for slot in variant)
                if stack not in seen:
                    seen.add(stack)
                    yield name, stack

    def picture(self, stack: Stack, side: int) -> Image.Image:
        """The layers over white, `side` pixels a side, RGB."""
        first = self._layer(stack[0])
        whole = Image.new("RGBA", first.size, "white")
        for file in stack:
            whole.alpha_composite(self._layer(file))
        return whole.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)

    def _read(self, file: str) -> Image.Image:
        with self._archive.open(file) as stream, Image.open(stream) as image:
            return image.convert("RGBA")
