"""`parts`: the network that names the layer in each slot of composited pictures; a metric then says
whether generated ones are made of such parts. It measures; no loss uses it.

    zip of layers -> stacks -> pictures, and the layer in each slot -> Extractor

A slot's choices are its files in all variants of its class: who names a file has named its colour.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from model.classification.config import ClassifierConfig
from model.classification.pytorch import Classifier
from model.image_decoding import square
from model.samplers.pytorch import resolve_device
from model.training.commands.arguments import (
    DEVICE_HELP,
    Number,
    add_force,
    check_output_folder,
)
from model.training.datasets.dataset import Dataset
from model.training.datasets.file_listing import DataError
from model.training.datasets.held_out import every_tenth
from model.training.datasets.layers import Layers
from model.training.evaluation.features import (
    BATCH,
    SHIFT,
    Extractor,
    to_input,
)

ABSENT = -1  # the label of a slot that a picture's class does not have
LEARNING_RATE = 2e-3
DROPOUT = 0.1  # share of the features that is left out

Parts = NDArray[np.int64]  # (N, slots)


def slots(layers: Layers) -> dict[str, list[str]]:
    """Returns the files of each slot, under its class and place from the bottom, such as "robot/3";
    slots without a choice are left out.
    """
    files: dict[str, set[str]] = {}
    for name, variants in layers.classes.items():
        for stack in variants.values():
            for place, slot in enumerate(stack):
                files.setdefault(f"{name}/{place}", set()).update(slot)
    return {slot: sorted(found) for slot, found in files.items() if len(found) > 1}


def drawn(layers: Layers, name: str, count: int, seed: int, side: int) -> tuple[Dataset, Parts]:
    """Draws pictures of `count` stacks a class, (side, side, 3), resized as `data` does; returns
    them with the layers that they are made of.

    Raises:
        DataError: a layer is no picture, or no slot has a choice.
    """
    choices = slots(layers)
    if not choices:
        raise DataError(f"{name}: every slot has one layer, and there is nothing to name")
    classes, columns = tuple(layers.classes), {slot: at for at, slot in enumerate(choices)}
    stacks = [(class_, one) for class_ in classes for one in layers.stacks(class_, count, seed)]
    images = np.empty((len(stacks), side, side, 3), np.uint8)
    parts = np.full((len(stacks), len(choices)), ABSENT, np.int64)
    for row, (class_, stack) in enumerate(tqdm(stacks, unit="img", disable=None, leave=False)):
        images[row] = square(layers.picture(stack), side, 3, "crop")
        for place, file in enumerate(stack):
            if (slot := f"{class_}/{place}") in choices:
                parts[row, columns[slot]] = choices[slot].index(file)
    labels = np.array([classes.index(class_) for class_, _ in stacks], np.int64)
    return Dataset(name=name, images=images, labels=labels, classes=classes), parts


def train_parts(
    data: Dataset,
    parts: Parts,
    choices: dict[str, int],
    *,
    epochs: int,
    seed: int,
    device: torch.device,
    say: Callable[[str], None],
) -> Extractor:
    """Trains a network to name the layers, and the class, of all but every tenth of these pictures;
    its config states how often it is right about the others.

    Adam with a learning rate that falls along a half cosine; pictures shift by up to two pixels.
    Weights are rounded to half precision in the end, as they are kept.
    """
    assert data.labels is not None
    held_out, random = every_tenth(len(data)), np.random.default_rng(seed)
    learnt, targets = np.flatnonzero(~held_out), np.column_stack([parts, data.labels])
    config = ClassifierConfig(
        side=data.images.shape[1],
        channels=3,
        classes=data.classes,
        data=data.name,
        data_sha256=data.fingerprint,
        epochs=epochs,
        seed=seed,
        layout="folded",
        parts=choices,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(config).to(device)
        optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, fused=True)
        steps = epochs * -(-len(learnt) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for epoch in range(epochs):
            network.train()
            losses, order = [], random.permutation(learnt)
            for start in range(0, len(order), BATCH):
                chosen = order[start : start + BATCH]
                shift = tuple(random.integers(-SHIFT, SHIFT + 1, 2))
                pixels = np.roll(data.images[chosen], shift, axis=(1, 2))
                features = network.embed(to_input(torch.from_numpy(pixels).to(device)))
                features = functional.dropout(features, DROPOUT)
                loss = _loss(network, features, torch.from_numpy(targets[chosen]).to(device))
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
                losses.append(loss.detach())
            say(f"parts epoch {epoch + 1} of {epochs}: loss {torch.stack(losses).mean():.3f}")
    network.half().float()
    extractor = Extractor(config, network, device)
    test = replace(data, images=data.images[held_out], labels=data.labels[held_out])
    named = accuracy(extractor, test.images, parts[held_out])
    found = {"test_accuracy": extractor.accuracy(test), "part_accuracy": named}
    stated = config.model_copy(update=found)
    return Extractor(stated, network, device)


def accuracy(extractor: Extractor, images: NDArray[np.uint8], parts: Parts) -> dict[str, float]:
    """Returns the share of the layers that it names, a slot, over the pictures that have it."""
    right, there = extractor.parts(images) == parts, parts != ABSENT
    return {
        slot: round(float(right[there[:, column], column].mean()), 4)
        for column, slot in enumerate(extractor.config.parts)
    }


def _loss(network: Classifier, features: Tensor, targets: Tensor) -> Tensor:
    """Computes the mean cross-entropy over all slots that are there, the class among them."""
    assert network.parts is not None
    assert network.logits is not None
    sizes = list(network.config.parts.values())
    heads = [*network.parts(features).split(sizes, 1), network.logits(features)]
    losses = [
        functional.cross_entropy(head, target, ignore_index=ABSENT, reduction="sum")
        for head, target in zip(heads, targets.unbind(1), strict=True)
    ]
    return torch.stack(losses).sum() / (targets != ABSENT).sum()


# --- the command ---


def add_command(commands: Any) -> None:
    """Adds `parts` to the commands."""
    parser = commands.add_parser(
        "parts",
        description="Trains a feature network that names the layers of which pictures are "
        "composited.",
        example="layers.zip --output parts-network",
    )
    parser.add_argument("layers", type=Path, help="zip of layers")
    parser.add_argument("--output", type=Path, required=True, help="folder for the network")
    add_force(parser)
    parser.add_argument("--name", help="name of the data, as metrics state it (default: the zip's)")
    for option, low, high, default, words in (
        ("--side", 8, 256, 64, "pixels per side"),
        ("--pictures", 100, 10**6, 48_000, "stacks drawn, of all classes together"),
        ("--epochs", 1, 1000, 10, "passes over them"),
        (
            "--seed",
            0,
            2**32 - 1,
            1,
            "seed of stacks and weights; another than the set's",
        ),
    ):
        kind, words = Number(int, low, high), f"{words} (default: {default})"
        parser.add_argument(option, type=kind, default=default, help=words)
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)
    parser.set_defaults(command=_parts)


def _parts(options: argparse.Namespace) -> int:
    check_output_folder(options.output, options.force)
    layers = Layers(options.layers)
    count = -(-options.pictures // len(layers.classes))
    name = options.name or options.layers.stem
    data, parts = drawn(layers, name, count, options.seed, options.side)
    extractor = train_parts(
        data,
        parts,
        {slot: len(files) for slot, files in slots(layers).items()},
        epochs=options.epochs,
        seed=options.seed,
        device=resolve_device(options.device),
        say=lambda text: print(text, flush=True),
    )
    extractor.save(options.output)
    named = extractor.config.part_accuracy
    for slot, share in named.items():
        print(f"{slot}: {share:.2%} of {extractor.config.parts[slot]} layers named")
    print(
        f"{options.output}: {extractor.name}, {sum(named.values()) / len(named):.2%} of the slots"
    )
    return 0
