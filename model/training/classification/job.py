"""The job of training a classifier: options in, what the run computes out.

options -> ClassifyConfig, Schedule, pictures of which a few have labels, held-out ones
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.generator_file import CONFIG
from model.training.classification.config import (
    ALL,
    CLASSIFY_PRESETS,
    SUPERVISED,
    ClassifyConfig,
    ClassifyPreset,
)
from model.training.classification.pictures import Pictures, choose, held_out
from model.training.classification.report import report_classifier
from model.training.classification.task import CLASSIFIER, ClassifierRun
from model.training.commands.arguments import refuse
from model.training.commands.generator_job import OFFICIAL_SETS, is_unseen
from model.training.commands.job import Job, check_count, new_schedule
from model.training.datasets.dataset import DIGITS, DataError, Dataset, Split, load, own_form
from model.training.datasets.downloads import CACHE, OFFICIAL, data_path
from model.training.datasets.image_folder import broken_notes, check_broken, write_broken
from model.training.distributed import Ranks
from model.training.evaluation.feature_networks import AUTO, NONE
from model.training.run.page import finish_report
from model.training.task import Run, TrainingError
from model.training.techniques.catalogue import (
    FEATURE_MATCHING,
    HISTORICAL_AVERAGING,
    VIRTUAL_BATCH_NORM,
    TechniqueError,
)

# options of `train` that say nothing to a classifier
FOREIGN = (
    *("prior", "augment", "gamma", "penalty_interval", "frozen_features", "discriminator_weight"),
    *("steady_kimg", "burn_in_kimg", "ema_kimg", "unconditional", "mirror", "generator", "start"),
    *("figure_images", "width", "discriminator_width"),
)
OF_GENERATOR = ("techniques", "generator_learning_rate", "grid_steps")
FITTING = (HISTORICAL_AVERAGING, VIRTUAL_BATCH_NORM)  # techniques that leave a classifier one
LEAST_SIDE = 16  # pixels of the convolutional layout, less than its own


@dataclass(kw_only=True)
class ClassifierJob(Job):
    """A classifier to be trained."""

    config: ClassifyConfig
    pictures: Pictures

    def described(self) -> list[str]:
        """Describes the pictures, for a dry run."""
        return [_taken(self.pictures, self.config), *self.pictures.data.notes]

    def run(self, folder: Path) -> Run:
        """Returns the run without what measures it."""
        assert self.sha256 is not None
        official = OFFICIAL.get(self.name)
        return ClassifierRun(
            config=self.config,
            schedule=self.schedule,
            folder=folder,
            device=self.device,
            ranks=self.ranks,
            pictures=self.pictures,
            data_sha256=self.sha256,
            test=None,
            licence=official.licence if official else "Not stated.",
        )

    def measured(self, run: Run) -> Run:
        """Returns the run with notes on its pictures and those that measure it."""
        assert isinstance(run, ClassifierRun)
        data = self.pictures.data
        notes = [*self.shown, _taken(self.pictures, self.config), *data.notes]
        test = None
        if self.options.features == NONE:
            notes.append("nothing is measured, as asked")
        elif self.config.split != "train":
            notes.append(f"nothing is measured: part {self.config.split} is trained on")
        else:
            found = _part(self.path, "test", self.config)
            broken = sorted({*data.broken, *found.broken})
            check_broken(self.path, broken, data.files)
            write_broken(run.folder / "broken.txt", broken)
            notes += broken_notes(broken)
            test = held_out(found, data.classes)
            if not len(test):
                test = None
                notes.append("no picture with a label is held out, so nothing is measured")
            else:
                notes.append(
                    f"{len(test):,} held-out pictures tell how often it is wrong; they choose "
                    "nothing: the last average is the product"
                )
        return replace(run, notes=tuple(notes), test=test)

    def finish(self, run: Run) -> None:
        """Writes the report."""
        assert isinstance(run, ClassifierRun)
        last = f"{CLASSIFIER}/{CONFIG}"
        finish_report(run.folder, last, lambda: report_classifier(run.folder, run.test))


def classifier_job(
    ranks: Ranks, options: argparse.Namespace, device: torch.device
) -> ClassifierJob:
    """Resolves the options; reads pictures, and writes nothing.

    Raises:
        Mistake: an option or the pictures cannot be used.
    """
    preset = CLASSIFY_PRESETS[options.preset]
    _check_options(options, preset)
    if not options.data:
        raise DataError(
            f"preset {options.preset} has no set of its own; say --data with a folder, a zip or "
            "an official set"
        )
    unseen = is_unseen(options, options.data)
    with ranks.one_before_the_others():
        path = CACHE / options.data if unseen else data_path(options.data, options.base_url)
    config = _resolved(options, preset.config)
    if config.layout == "convolutional":
        known = OFFICIAL_SETS[options.data] if unseen else None
        side, channels = (known.side, known.channels) if known else own_form(path)
        config = _suited(config, side, channels)
    data = _unseen(options.data, config) if unseen else _part(path, config.split, config)
    pictures = choose(data, config.labels, config.label_seed)
    check_count(len(data), config.batch)
    epoch = len(data) // config.batch * config.batch
    images = (options.epochs or preset.epochs) * max(epoch, config.batch)
    return ClassifierJob(
        options=options,
        ranks=ranks,
        device=device,
        config=config,
        schedule=new_schedule(
            options, batch=config.batch, images=images, snapshot_images=None, figure_images=0
        ),
        path=path,
        name=data.name,
        images=len(data),
        sha256=None if unseen else data.fingerprint,
        pictures=pictures,
    )


def _check_options(options: argparse.Namespace, preset: ClassifyPreset) -> None:
    refuse(options, FOREIGN, f"is no option of preset {options.preset}", TrainingError)
    for name in options.techniques or ():
        if name not in FITTING:
            reason = "its answer would depend on the pictures beside it"
            if name == FEATURE_MATCHING:
                reason = "its generator learns so already"
            raise TechniqueError(
                f"{name} is not for a classifier: {reason}; allowed: {', '.join(FITTING)}"
            )
    if options.supervised:
        why = "is for a classifier that learns with a generator"
        refuse(options, OF_GENERATOR, why, TrainingError)
    if (preset.config.labels if options.labels is None else options.labels) == ALL:
        refuse(options, ["label_seed"], "chooses among labels; all are taken", TrainingError)
    if options.features not in (AUTO, NONE):
        raise TrainingError(
            f"--features is {options.features}; allowed for a classifier: {AUTO}, {NONE}"
        )


def _unseen(name: str, config: ClassifyConfig) -> Dataset:
    """Returns a part of an official set as far as it is known without its files: all black.

    Raises:
        DataError: its pictures are of another shape than the preset's.
    """
    known = OFFICIAL_SETS[name]
    if (known.side, known.channels) != (config.side, config.network.channels):
        raise DataError(f"{name}: preset {config.preset} is not for its pictures")
    count = known.images(config.split)
    return Dataset(
        name=name,
        images=np.broadcast_to(np.uint8(0), (count, known.side, known.side, known.channels)),
        labels=np.arange(count) % len(DIGITS),
        classes=DIGITS,
    )


def _resolved(options: argparse.Namespace, config: ClassifyConfig) -> ClassifyConfig:
    asked: dict[str, Any] = {
        "split": options.split,
        "seed": options.seed,
        "batch": options.batch,
        "fit": options.fit,
        "bits": options.bits,
        "labels": options.labels,
        "label_seed": options.label_seed,
        "learning_rate": options.learning_rate,
        "cooldown": options.cooldown,
        "objective": SUPERVISED if options.supervised else None,
        "techniques": options.techniques,
    }
    changes = {name: value for name, value in asked.items() if value is not None}
    if options.learning_rate:
        ratio = options.learning_rate / config.learning_rate
        changes["generator_learning_rate"] = config.generator_learning_rate * ratio
    if options.generator_learning_rate:
        changes["generator_learning_rate"] = options.generator_learning_rate
    if options.precision:
        changes["bf16"] = options.precision == "bf16"
    return replace(config, **changes)


def _suited(config: ClassifyConfig, side: int | None, channels: int) -> ClassifyConfig:
    """Fits a preset to the pictures: an official set in its own size, grey where all are grey."""
    if side is not None and LEAST_SIDE < side < config.side and side % 2 == 0:
        config = replace(config, side=side)
    return replace(config, network=replace(config.network, channels=channels))


def _part(path: Path, part: Split, config: ClassifyConfig) -> Dataset:
    return load(
        path,
        part,
        side=config.side,
        channels=config.network.channels,
        fit=config.fit,
        bits=config.bits,
        may_be_empty=part == "test" != config.split,
    )


def _taken(pictures: Pictures, config: ClassifyConfig) -> str:
    """Says what is learnt from."""
    count, data = len(pictures.labelled), pictures.data
    drawn = (
        ""
        if config.labels == ALL
        else f", as many of each class, drawn by seed {config.label_seed}"
    )
    if config.supervised:
        return f"{count:,} labelled pictures of {len(data.classes)} classes{drawn}; no others"
    return (
        f"{count:,} labelled pictures of {len(data.classes)} classes{drawn}; all {len(data):,} "
        "pictures, these among them, are taken without label"
    )
