"""What a set of pictures holds, in lines for people, and what `train` will do with it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from model.devices import may_have_cuda
from model.image_decoding import GREY_MODES, Found
from model.training.advice import Extent, blank, dark, plan, untrained
from model.training.datasets.file_listing import DataError, number, printable
from model.training.datasets.image_folder import Broken, allowed_broken, broken_notes, counted
from model.training.datasets.layers import has_layers
from model.training.datasets.material import Form, Item, Material
from model.training.datasets.shards import (
    HELD_OUT,
    LABELS,
    Index,
    address_of,
    check_shard,
    read_fingerprint,
    read_shards,
)

K = TypeVar("K")


class Description:
    """Gathers what a set holds, picture by picture."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self.found: Counter[Found] = Counter()
        self.broken: list[Broken] = []
        self._labels: Counter[int] = Counter()
        self._trained: Counter[int] = Counter()
        self._held_out = 0
        self._digests: set[bytes] = set()
        self._values = 255, 0

    def add(self, place: int, item: Item | Broken) -> None:
        """Adds the next picture."""
        if isinstance(item, Broken):
            self.broken.append(item)
            return
        self.found[item.found] += 1
        self._digests.add(item.digest)
        lowest, highest = self._values
        self._values = min(lowest, item.values[0]), max(highest, item.values[1])
        self._held_out += int(self._material.held_out[place])
        if self._material.labels is not None:
            label = int(self._material.labels[place])
            self._labels[label] += 1
            self._trained[label] += int(not self._material.held_out[place])

    def lines(self, bits: int = 0) -> list[str]:
        """Returns the description, for people; with `bits` of 16-bit values if they are asked for,
        else those that the set uses.
        """
        total = self.found.total()
        lines = [
            f"{self._material.path}: {number(total, 'picture')}, "
            f"{total - self._held_out:,} to train with and {self._held_out:,} held out"
        ]
        if total:
            lines += [self._sizes(), f"modes: {counted(self._counted(lambda f: f.mode))}"]
            lines += self._range(bits)
        turned = sum(count for found, count in self.found.items() if found.turned)
        transparent = sum(count for found, count in self.found.items() if found.transparent)
        frames = sum(count for found, count in self.found.items() if found.frames)
        facts = {
            "turned by their EXIF": turned,
            "transparent": transparent,
            "of several frames, of which the first is taken": frames,
            "copies of another": total - len(self._digests),
        }
        lines += [f"{name}: {count:,}" for name, count in facts.items() if count]
        lines += self._material.remarks
        if self.broken:
            files = len(self._material.held_out)
            allowed = allowed_broken(files)
            verdict = "" if len(self.broken) <= allowed else ": training refuses this set"
            lines += broken_notes(self.broken)
            lines += [f"  ({allowed:,} of {files:,} files may be broken{verdict})"]
        if self._material.labels is not None:
            lines += [f"classes: {len(self._material.classes):,}"]
            lines += [
                f"  {printable(name)}: {self._labels[label]:,}"
                for label, name in enumerate(self._material.classes)
            ]
            counts = [self._trained[label] for label in range(len(self._material.classes))]
            lines += untrained(self._material.classes, counts)
        return lines

    def plan(self, output: Path | None = None, form: Form | None = None) -> list[str]:
        """Says what `train` will do with the set, or with what was made of it."""
        material = self._material
        total = self.found.total()
        if total == 0 or len(self.broken) > allowed_broken(len(material.held_out)):
            return []
        if output is None and has_layers(material.path):
            return [
                "training takes layers with --preset upscale-4x alone: --output makes pictures of "
                "them, for a generator"
            ]
        grey = all(found.mode in GREY_MODES for found in self.found)
        extent = Extent(
            path=output or material.path,
            side=form.side if form else material.side(),
            fixed=material.fixed and output is None,
            channels=form.channels if form else 1 if grey else 3,
            train=total - self._held_out,
            held_out=self._held_out,
            classes=material.classes,
        )
        return plan(extent, may_have_cuda())

    def _range(self, bits: int) -> list[str]:
        """Says which values there are, of 16 bits and of the 8 that are kept of them."""
        if not any(found.deep for found in self.found):
            warned = blank(*self._values) or dark(self._values[1])
            return ["values: {} to {}".format(*self._values), *warned]
        note = (
            f"16-bit values are read as {bits} bits, as asked" if bits else self._material.bits()[1]
        )
        return [note or "values: of 16 bits, the upper 8 are kept"]

    def _sizes(self) -> str:
        sizes = self._counted(lambda found: (found.width, found.height))
        smallest, largest = (
            "{}x{}".format(*end(sizes, key=lambda size: (size[0] * size[1], size)))
            for end in (min, max)
        )
        width, height = max(sizes, key=lambda size: (sizes[size], size))
        often = f"{width}x{height} ({sizes[width, height]:,})"
        if len(sizes) == 1:
            return f"size: {often}"
        return f"sizes: smallest {smallest}, largest {largest}, most frequent {often}"

    def _counted(self, what: Callable[[Found], K]) -> Counter[K]:
        counts: Counter[K] = Counter()
        for found, count in self.found.items():
            counts[what(found)] += count
        return counts


def describe_shards(path: Path, index: Index) -> list[str]:
    """Describes a set of shards."""
    train, test = (len(read_shards(path, part, index).images) for part in ("train", "test"))
    kind = "grey" if index.channels == 1 else "RGB"
    lines = [
        f"{path}: {number(train + test, 'picture')}, {train:,} to train with and {test:,} held out",
        f"{index.side}x{index.side} {kind}, in {number(len(index.shards), 'shard')}; classes: "
        f"{len(index.classes) or 'none'}",
        *index.notes,
        *broken_notes([one for shard in index.shards for one in shard.broken]),
    ]
    extent = Extent(
        path=path,
        side=index.side,
        fixed=True,
        channels=index.channels,
        train=train,
        held_out=test,
        classes=index.classes,
    )
    return [*lines, *plan(extent, may_have_cuda())]


def check_shards(path: Path) -> list[str]:
    """Describes a set of shards, and reads all of it to hold it against its hashes.

    Raises:
        DataError: a shard, or a list of labels or parts, is not what it was.
    """
    index = read_shards(path, "all").index
    for place, shard in enumerate(tqdm(index.shards, unit="shard", disable=None, leave=False)):
        check_shard(path, place, shard)
    for part, digest in index.fingerprints.items():
        if read_fingerprint(path, part, index) != digest:
            raise DataError(f"{address_of(path)}: damaged: {HELD_OUT} or {LABELS} is another")
    return [*describe_shards(path, index), "every shard has its SHA-256, and every part its own"]
