"""Makes a set ready once: pictures of one size in a zip file, class by class, with a montage beside
it.

The zip file is what StyleGAN's tools take too: PNG files, not compressed again, and a dataset.json.
"""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from model.images import tile
from model.training.layers import Layers

MONTAGE = 64  # pictures
FOLDER = 10_000  # pictures in one


def stacked(layers: Layers, count: int, side: int, seed: int) -> Iterator[tuple[str, Image.Image]]:
    """Class and picture, `count` a class, each another combination of layers."""
    for name, stack in layers.stacks(count, seed):
        yield name, layers.picture(stack, side)


def write_set(path: Path, pictures: Iterable[tuple[str, Image.Image]]) -> dict[str, int]:
    """The zip file at `path` and a montage at its name with .png; how many pictures a class has."""
    counts: dict[str, int] = {}
    shown: dict[str, list[Image.Image]] = {}
    labels: list[tuple[str, int]] = []
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, picture in pictures:
            number = counts.get(name, 0)
            counts[name] = number + 1
            stream = io.BytesIO()
            picture.save(stream, "PNG")
            file = f"{name}/{number // FOLDER:03d}/{number:07d}.png"
            archive.writestr(file, stream.getvalue())
            labels.append((file, list(counts).index(name)))
            if number < MONTAGE:
                shown.setdefault(name, []).append(picture)
        index = {"labels": labels, "classes": list(counts)}
        archive.writestr("dataset.json", json.dumps(index))
    temporary.replace(path)
    first = [picture for some in shown.values() for picture in some[: MONTAGE // len(shown)]]
    sheet = tile(np.stack([np.asarray(picture) for picture in first]), int(MONTAGE**0.5))
    Image.fromarray(sheet.squeeze()).save(path.with_suffix(".png"))
    return counts
