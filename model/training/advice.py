"""What `train` does with a set of pictures if nothing else is said, and what is worth trying with a
small one: numbers in, lines for people out.

Every command in these lines works as it stands.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.generator_file import check_classes
from model.mistakes import is_checkout
from model.training.auto import HOURS, choose
from model.training.datasets.dataset import Dataset
from model.training.datasets.file_listing import DataError, number, printable
from model.training.presets import PRESETS

FEW = 5000  # pictures; fewer are learnt by heart
VERY_FEW = 1000
STARTED_FROM = 64  # pixels per side of the avatars
PASSES = 150  # over 200 pictures brought all that they can teach (docs/training.md)
LEAST_KIMG = 10
DARK = 64  # 0 to 255; a set whose values are all below that is hardly meant so
NAMED = 20  # classes that are named in a log
LEAST = 2  # pictures in a batch
COUNTED_AT_ONCE = 2**20  # labels


@dataclass(frozen=True, kw_only=True)
class Extent:
    """What decides how `train` takes a set."""

    path: Path
    side: int  # pixels: median of the pictures' smaller sides
    fixed: bool  # whether the form of the set fixes that side
    channels: int
    train: int  # pictures
    held_out: int
    classes: Sequence[str]


def check_names(classes: Sequence[str]) -> None:
    """Checks that a generator of these classes can be written, before it is trained.

    Raises:
        DataError: it cannot; the message says why, and how to train without classes.
    """
    try:
        check_classes(classes)
    except ValueError as error:
        raise DataError(f"{error}; --unconditional trains without classes") from None


def plan(found: Extent, cuda: bool) -> list[str]:
    """Says what `train` does with a set, and advises on a small one."""
    if found.train < LEAST:
        return [
            f"training refuses this set: {found.train} to train with; at least {LEAST} are wanted"
        ]
    try:
        check_names(found.classes)
        chosen = choose(
            side=found.side, count=found.train, hours=HOURS, cuda=cuda, fixed=found.fixed
        )
    except DataError as error:
        return [f"training refuses this set: {error}"]
    side = found.side if found.fixed else PRESETS[chosen.preset].config.network.resolution
    kind = "grey" if found.channels == 1 else "RGB"
    learnt = number(len(found.classes), "class", "classes") if found.classes else "unconditional"
    lines = [
        f"train, if nothing else is said: --preset {chosen.preset} --batch {chosen.batch} --hours "
        f"{HOURS:g}, {side}x{side} {kind}, {learnt}; {found.train:,} to train with, "
        f"{f'{found.held_out:,}' if found.held_out else 'none'} held out to measure with"
    ]
    if found.train < FEW:
        lines += _advice(found, chosen.batch)
    return lines


def _advice(found: Extent, batch: int) -> list[str]:
    program = f"python -m {__package__}" if is_checkout() else "ganserve"
    command = f"{program} train --data {shlex.quote(str(found.path))}"
    kimg = max(LEAST_KIMG, found.train * PASSES // 1000)
    lines = [
        f"advice: {found.train:,} pictures are few, and a GAN memorises few. --augment slows that, "
        f"--mirror doubles pictures that may be flipped; about {PASSES} passes are enough:",
        f"  {command} --augment 0.3 --mirror --kimg {kimg}",
    ]
    may_start = found.channels == 3 and (not found.fixed or found.side == STARTED_FROM)
    if found.train < VERY_FEW and may_start:
        smaller = f" --batch {batch}" if batch < PRESETS["modern-64"].config.batch else ""
        lines += [
            f"or start from a trained generator, at its {STARTED_FROM}x{STARTED_FROM} pixels; that "
            "saves the first minutes:",
            f"  {command} --from avatars{smaller} --augment 0.3 --kimg {kimg}",
        ]
    return lines


def dark(brightest: int) -> list[str]:
    """Warns of a set that is nearly black; `brightest` is its largest value, 0 to 255."""
    if brightest >= DARK:
        return []
    return [
        f"warning: no value is above {brightest} of 255: the pictures are nearly black; where "
        "their files have more bits than their values, as of 12-bit scans, scale the values first"
    ]


def blank(lowest: int, highest: int) -> list[str]:
    """Warns of a set of which every value is the same, 0 to 255."""
    return (
        [f"warning: every value is {lowest}: all pictures are blank"] if lowest == highest else []
    )


def untrained(classes: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Warns of classes of which no picture is trained on; `counts` has those of each."""
    none = [printable(name) for name, count in zip(classes, counts, strict=True) if not count]
    if not none:
        return []
    more = f" and {len(none) - NAMED:,} more" if len(none) > NAMED else ""
    return [f"warning: classes without a picture to train with: {', '.join(none[:NAMED])}{more}"]


def taken(data: Dataset, test: Dataset | None, classes: int, why: str) -> list[str]:
    """Says what a run is trained on and measured with, for its log; `classes` is how many the
    network has, and `why` it leaves those of the pictures out.
    """
    values = f"values {data.images.min()} to {data.images.max()}"
    held_out = "" if test is None else f", {len(test):,} held out to measure with"
    lines = [f"pictures: {len(data):,} to train with{held_out}; {values}"]
    lines += blank(int(data.images.min()), int(data.images.max())) or dark(int(data.images.max()))
    if data.labels is None:
        return [*lines, "no classes: trained unconditionally"]
    if not classes:
        return [*lines, f"{len(data.classes):,} classes are left out: {why}"]
    counts = np.zeros(len(data.classes), np.int64)
    for start in range(0, len(data), COUNTED_AT_ONCE):
        some = data.labels[start : start + COUNTED_AT_ONCE]
        counts += np.bincount(some, minlength=len(counts))
    shown = [f"{printable(name)} {counts[i]:,}" for i, name in enumerate(data.classes[:NAMED])]
    more = f" and {len(data.classes) - NAMED:,} more" if len(data.classes) > NAMED else ""
    return [*lines, f"classes: {', '.join(shown)}{more}", *untrained(data.classes, counts.tolist())]
