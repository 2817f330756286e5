"""`train`: a preset and pictures in, a run folder out; the same command again goes on.

options -> Job (what is trained, on what, for how long) -> loop, in all processes
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from model.latent_space.latents import PRIORS
from model.samplers.pytorch import resolve_device
from model.training import loop
from model.training.auto import AUTO, HOURS
from model.training.classification.config import ALL, CLASSIFY_PRESETS
from model.training.classification.job import classifier_job
from model.training.commands.arguments import GENERATOR_HELP, Number, add_fit, refuse, source
from model.training.commands.evaluate import add_measuring
from model.training.commands.generator_job import generator_job
from model.training.commands.job import Job
from model.training.datasets.downloads import OFFICIAL
from model.training.distributed import Ranks, joined
from model.training.presets import PRESETS, Schedule
from model.training.run import run_folder
from model.training.run.progress import to_stderr
from model.training.run.watch import PORT, Control, Watch, go_back
from model.training.task import Run, TrainingError
from model.training.techniques.catalogue import described, techniques
from model.training.upscaling.config import UPSCALE_PRESETS
from model.training.upscaling.job import upscaler_job


def add_command(commands: Any) -> None:
    """Adds `train` to the commands."""
    train = commands.add_parser(
        "train",
        description="Trains a GAN on a folder or zip of pictures, or on an official set. Writes a "
        "run folder\nwith log, sample grids, checkpoints and model folders. The same command again "
        "resumes.",
        example="--data my-pictures --hours 1",
    )
    abouts = {name: preset.about for name, preset in PRESETS.items()}
    abouts |= {name: preset.about for name, preset in UPSCALE_PRESETS.items()}
    abouts |= {name: preset.about for name, preset in CLASSIFY_PRESETS.items()}
    presets = "; ".join(f"{name}: {about}" for name, about in abouts.items())
    train.add_argument(
        "--preset",
        choices=(AUTO, *abouts),
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
        "--preset, with its preset. For an upscaler: a run or folder of one",
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
        help=f"steps between sample grids (default: {Schedule.grid_steps})",
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
        help="pictures with which each snapshot is measured: generated ones, or held-out ones "
        "that an upscaler enlarges (default: 5000, or 200)",
    )
    train.add_argument(
        "--techniques",
        type=techniques,
        metavar="NAMES",
        help="changes of the article's game (presets dcgan-*), names with commas between. "
        f"{described()} (default: none)",
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
        "--ema-kimg",
        type=Number(float, 0.001, 1e6),
        help="half-life of the average in thousands of images, from the first step on; suits a run "
        "that goes on from a generator of the same pictures (default: a tenth of the images seen, "
        "up to the preset's)",
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
    upscaling = train.add_argument_group("options of the preset upscale-4x-gan")
    upscaling.add_argument(
        "--generator",
        help=f"learn from the pictures of a generator too ({GENERATOR_HELP}), which is to be "
        "enlarged (default: none)",
    )
    classifying = train.add_argument_group("options of the presets ssgan-mnist and ssgan-32")
    classifying.add_argument(
        "--labels",
        type=_labels,
        metavar="N",
        help="labelled pictures that the classifier sees, as many of each class, or all (default: "
        "the preset's); the others are taken without label",
    )
    classifying.add_argument(
        "--label-seed",
        type=Number(int, 0, 2**32 - 1),
        help="seed by which the labelled ones are drawn (default: 0)",
    )
    classifying.add_argument(
        "--supervised",
        action="store_true",
        help="learn from the labelled pictures alone, without a generator, to compare with",
    )
    classifying.add_argument(
        "--generator-learning-rate",
        type=Number(float, 1e-7, 1),
        help="learning rate of the generator (default: the preset's; with --learning-rate, in its "
        "ratio to the classifier's)",
    )
    train.add_argument(
        "--watch",
        type=Number(int, 0, 65535),
        nargs="?",
        const=PORT,
        metavar="PORT",
        help="show the run in a browser on this machine, with pause, single steps and ways back to "
        f"its checkpoints (without a number: port {PORT}; 0: any that is free)",
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
    job = _new_job(ranks, options, device)
    fingerprint = job.fingerprint
    if options.dry_run:
        if options.resume:
            if fingerprint is None:
                raise TrainingError(
                    f"--resume: {job.name} is not here, and a dry run downloads nothing"
                )
            run_folder.open_run(options.resume, fingerprint)
        if ranks.first:
            _describe(job)
        return 0
    if ranks.first and "auto" in job.known:
        print(job.known["auto"], flush=True)
    record = job.record()
    assert fingerprint is not None
    job.fit_processor()
    if not ranks.first:  # it writes nothing and measures nothing
        return 0 if loop.train(job.run(options.outdir), _Stop()) else 1

    fresh = options.fresh and not ranks.restarted
    folder = None if fresh else run_folder.find_run(options.outdir, fingerprint)
    if options.resume:
        folder = run_folder.open_run(options.resume, fingerprint)
    if folder is None:
        description = f"{job.name}-{job.config.preset}-batch{job.config.batch}"
        folder = run_folder.create_run(options.outdir, description, record)
    with run_folder.locked(folder):
        run_folder.write_options(folder, record)
        run = job.measured(job.run(folder))
        stop, port = _Stop(), options.watch
        if not (loop.train(run, stop) if port is None else _watched(run, port, stop)):
            return 1
        stop.end()
        job.finish(run)
        return 0


def _watched(run: Run, port: int, stop: "_Stop") -> bool:
    """Trains while a browser on this machine may look on, and go back to a checkpoint."""
    control = Control(stop)
    with Watch(run.folder, port, control) as watch:
        print(f"{watch.address} shows the run", flush=True)
        while not loop.train(run, control):
            if control.back is None or stop():
                return False
            go_back(run.folder, control.back)
            control.back = None
    return True


def _new_job(ranks: Ranks, options: argparse.Namespace, device: torch.device) -> Job:
    if options.preset in CLASSIFY_PRESETS:
        return classifier_job(ranks, options, device)
    few_labels = ("labels", "label_seed", "supervised", "generator_learning_rate")
    refuse(options, few_labels, f"is for {' and '.join(CLASSIFY_PRESETS)}", TrainingError)
    if options.preset in UPSCALE_PRESETS:
        return upscaler_job(ranks, options, device)
    return generator_job(ranks, options, device)


def _labels(text: str) -> int:
    return ALL if text == "all" else int(Number(int, 1, 10**7)(text))


def _describe(job: Job) -> None:
    for line in job.described():
        print(line, file=sys.stderr)
    print(json.dumps(job.record(), indent=2))
    if job.sha256 is None:
        to_stderr(f"{job.name} is not here yet; a run downloads it to {job.path}")


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

    def end(self) -> None:
        """Lets Ctrl-C and SIGTERM end the process from here on, since no step is left to end.

        Raises:
            KeyboardInterrupt: one of them came already.
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        if self._asked:
            raise KeyboardInterrupt

    def __call__(self) -> bool:
        return self._asked or (self._agent is not None and os.getppid() != self._agent)
