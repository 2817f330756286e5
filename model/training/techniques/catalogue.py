"""The techniques by name, as `train --techniques` takes them and a configuration holds them.

names, in any order -> checked, in the order of the catalogue
"""

import argparse
from collections.abc import Collection

from model.mistakes import Mistake

FEATURE_MATCHING = "feature-matching"
MINIBATCH_DISCRIMINATION = "minibatch-discrimination"
HISTORICAL_AVERAGING = "historical-averaging"
VIRTUAL_BATCH_NORM = "virtual-batch-norm"
MINIBATCH_STDDEV = "minibatch-stddev"
PACKING = "packing"

TECHNIQUES = {  # what each does; the paper stands where it is done
    FEATURE_MATCHING: "the generator learns to match the mean features of real pictures",
    MINIBATCH_DISCRIMINATION: "the discriminator compares the pictures of a batch with each other",
    HISTORICAL_AVERAGING: "weights are drawn towards their mean over the whole run",
    VIRTUAL_BATCH_NORM: "the generator's batch norms look at a fixed batch and the picture itself",
    MINIBATCH_STDDEV: "the discriminator sees how much the features of a batch vary",
    PACKING: "the discriminator sees pictures two at a time",
}
PACKED = 2  # pictures in a pack


class TechniqueError(Mistake):
    """A technique cannot be had as asked; the message says why."""


def described() -> str:
    """Describes all, for a help text."""
    return "; ".join(f"{name}: {about}" for name, about in TECHNIQUES.items())


def techniques(text: str) -> tuple[str, ...]:
    """Reads names with commas between them; order means nothing.

    Raises:
        argparse.ArgumentTypeError: a name is unknown, or there twice.
    """
    names = text.split(",")
    for name in names:
        if name not in TECHNIQUES:
            known = ", ".join(TECHNIQUES)
            raise argparse.ArgumentTypeError(f"{name!a} is no technique; known: {known}")
        if names.count(name) > 1:
            raise argparse.ArgumentTypeError(f"{name} is there twice")
    return tuple(name for name in TECHNIQUES if name in names)


def check_batch(names: Collection[str], share: int, batch: int) -> None:
    """Checks that a process can do with its share of a batch what the techniques need.

    Raises:
        TechniqueError: it cannot.
    """
    if PACKING in names and share % PACKED:
        raise TechniqueError(
            f"{PACKING} takes pictures {PACKED} at a time; of a batch of {batch} each process has "
            f"{share}: say --batch with a multiple of {PACKED} for each"
        )
