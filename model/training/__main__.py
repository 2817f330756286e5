"""The commands: `python -m model.training train|evaluate|export|report|classifier|video --help`."""

import argparse
import errno
import json
import os
import shlex
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from PIL import Image

from model import images
from model.devices import DeviceError
from model.files import OutputError
from model.generator_file import (
    COMPUTED,
    ONNX,
    SAMPLES,
    GeneratorFileError,
    read_generator_file,
    write_generator_file,
)
from model.latents import PRIORS
from model.networks.config import DCGANConfig
from model.onnx_file import write_onnx
from model.pictures import FITS, Fit
from model.recipes import RecipeError
from model.sampler import load_sampler
from model.sampler_onnx import OnnxSampler
from model.sampler_torch import resolve_device
from model.training import evaluate, generate, interpolate, loop, project, report, run_folder, share
from model.training.album import broken_notes, check_broken, write_broken
from model.training.arguments import Number as _Number
from model.training.card import model_card
from model.training.checkpoint import CheckpointError
from model.training.data import DataError, Dataset, Split, load, own_form
from model.training.downloads import OFFICIAL, fetch
from model.training.evaluate import FeatureNetwork, Figures
from model.training.feature_networks import AUTO, KINDS, find_network, thinned, train_features
from model.training.features import (
    ExtractorError,
    sensible_epochs,
    train_extractor,
    train_selfsup,
)
from model.training.journal import seconds_spent
from model.training.peers import Peers, PeersError, joined
from model.training.prepare import prepare
from model.training.presets import PRESETS, Schedule, TrainConfig
from model.training.video import write_video

MISTAKES = (
    CheckpointError,
    DataError,
    DeviceError,
    ExtractorError,
    GeneratorFileError,
    OutputError,
    PeersError,
    RecipeError,
    loop.TrainingError,
    run_folder.RunError,
)  # what the person at the keyboard can mend: one line, no traceback
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CARD_SEEDS = 64


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status: 0 done, 1 stopped early, 2 a mistake in what was
    asked.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments, argparse.Namespace(typed=shlex.join(arguments)))
    try:
        status: int = options.command(options)
    except MISTAKES as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in FULL:
            raise
        place = error.filename or "the disk"
        print(f"error: {place}: {error.strerror}; what was saved is whole", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1
    return status


# --- train ---


def _train(options: argparse.Namespace) -> int:
    with joined() as peers:
        return _train_with(peers, options)


def _train_with(peers: Peers, options: argparse.Namespace) -> int:
    device = resolve_device(peers.device(options.device))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    config = _resolved(options)
    peers.share(config.batch)
    if not (options.data or config.data):
        raise DataError(f"preset {config.preset} has no set of its own; say --data FOLDER or ZIP")
    with peers.one_before_the_others():
        path = _data_path(options.data or config.data, options)
    config = _suited(config, path)
    data = _part(path, config.split, config)
    if not isinstance(config.network, DCGANConfig) and not options.unconditional:
        network = replace(config.network, classes=len(data.classes))
        config = replace(config, network=network)
    sha256 = data.fingerprint
    fingerprint = config.fingerprint(sha256)
    schedule = _schedule(options, config, len(data))
    record = {
        "command": f"python -m model.training {options.typed}",
        "fingerprint": fingerprint,
        "config": config.record(),
        "schedule": asdict(schedule),
        "data": {"path": str(path), "name": data.name, "images": len(data), "sha256": sha256},
        "device": str(device),
        "torch": str(torch.__version__),
    }
    if options.dry_run:
        if peers.first:
            print(json.dumps(record, indent=2))
        return 0
    run = loop.Run(
        config=config,
        schedule=schedule,
        data=data,
        data_sha256=sha256,
        real=None,
        folder=options.outdir,  # the first process's own is found or made below
        device=device,
        peers=peers,
    )
    if not peers.first:  # it writes nothing and measures nothing
        return 0 if loop.train(run, _Stop()) else 1

    fresh = options.fresh and not peers.restarted
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
        eyes = _network(options, options.outdir, train_part, test, device)
        seen_through = [f"quality is measured through {eyes.name}"] if eyes else []
        if eyes is None:
            print("warning: no feature network, so no quality figure and no `best`; see the grids")
        run = replace(
            run,
            notes=(*data.notes, *broken_notes(broken), *seen_through),
            real=evaluate.reference(eyes, test, train_part) if eyes else None,
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


def _resolved(options: argparse.Namespace) -> TrainConfig:
    config = PRESETS[options.preset].config
    modern = {
        "learning_rate": options.learning_rate,
        "gamma": options.gamma,
        "final_gamma": None if options.gamma is None else options.gamma / 10,
        "penalty_interval": options.penalty_interval,
        "augmentation": options.augment,
        "burn_in": None if options.burn_in_kimg is None else options.burn_in_kimg * 1000,
        "mirror": options.mirror or None,
    }
    asked = {
        "prior": options.prior,
        "split": options.split,
        "seed": options.seed,
        "batch": options.batch,
        "fit": options.fit,
        **modern,
    }
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    widths = {"width": options.width, "discriminator_width": options.discriminator_width}
    widths = {name: value for name, value in widths.items() if value is not None}
    parts = {
        "article": (),
        "hinge": ("learning_rate", "mirror", *widths),
    }.get(config.game, (*modern, *widths))
    wrong = [name for name in (*modern, *widths) if name in {**changes, **widths}]
    wrong = [name for name in wrong if name not in parts]
    if wrong:
        option = wrong[0].replace("_", "-")
        raise loop.TrainingError(
            f"{option} is no part of preset {config.preset}, whose game is {config.game}"
        )
    if config.discriminator_learning_rate and options.learning_rate:
        ratio = config.discriminator_learning_rate / config.learning_rate
        changes["discriminator_learning_rate"] = options.learning_rate * ratio
    if options.precision:
        changes["bf16"] = options.precision == "bf16"
    try:
        return replace(config, **changes, network=replace(config.network, **widths))
    except ValueError as error:
        raise loop.TrainingError(str(error)) from None


def _suited(config: TrainConfig, path: Path) -> TrainConfig:
    """Presets without a set of their own draw grey pictures where all are grey, and official sets
    in their own size where that is little less than theirs.
    """
    if config.data:
        return config
    side, channels = own_form(path)
    resolution = config.network.resolution
    if side is not None and resolution // 2 < side < resolution:
        config = replace(config, picture_side=side)
    return replace(config, network=replace(config.network, channels=channels))


def _schedule(options: argparse.Namespace, config: TrainConfig, pictures: int) -> Schedule:
    preset = PRESETS[options.preset]
    if pictures < config.batch:
        raise DataError(
            f"{pictures} pictures are fewer than one batch of {config.batch}; lower --batch"
        )
    kimg = options.kimg or (None if options.epochs else preset.kimg)
    if kimg is not None:
        steps = max(1, round(kimg * 1000 / config.batch))
    else:
        steps = (options.epochs or preset.epochs or 1) * (pictures // config.batch)
    between = None if options.snapshot_kimg is None else round(options.snapshot_kimg * 1000)
    return Schedule(
        images=steps * config.batch,
        grid_steps=options.grid_steps,
        checkpoint_seconds=options.checkpoint_seconds,
        keep=options.keep,
        figure_images=options.figure_images,
        snapshot_images=between or preset.snapshot_images,
    )


# --- evaluate, export ---


def _evaluate(options: argparse.Namespace) -> int:
    metrics = _figures(options.generator, options.data, options.fit, options)
    print(json.dumps(metrics, indent=2))
    return 0


def _export(options: argparse.Namespace) -> int:
    source = options.run / options.which
    if options.which == "best" and not source.exists() and (options.run / "last").exists():
        raise run_folder.RunError(
            f"{options.run}: it has no `best`, for want of a quality figure; "
            "look at its grids, then say --which last"
        )
    file = read_generator_file(source)
    record = json.loads((options.run / run_folder.OPTIONS).read_text())
    fit: Fit = record["config"].get("fit", "crop")
    metrics = _figures(source, options.data or record["data"]["path"], fit, options)
    fields = file.config.model_dump(exclude={"format", "metrics", "name", *COMPUTED})
    official = OFFICIAL.get(file.config.data.name)
    fields |= {
        "licence": options.licence or (official.licence if official else "Not stated."),
        "metrics": metrics,
        "name": options.name or file.config.name,
        "network": file.config.network,
    }
    config = write_generator_file(options.output, dict(file.weights), "", OnnxSampler, **fields)
    sampler = load_sampler(file, options.device)
    pixels = sampler(config.rows(range(CARD_SEEDS)))
    Image.fromarray(images.tile(pixels, 16).squeeze()).save(options.output / SAMPLES)
    hours = seconds_spent(options.run, config.images_seen) / 3600
    cost = f"{hours:.1f} hours of training on {record['device']}, PyTorch {record['torch']}."
    samples = f"Seeds 0 to {CARD_SEEDS - 1}, row by row."
    card = model_card(config, record["command"], cost, samples)
    (options.output / "README.md").write_text(card)
    if options.onnx:
        write_onnx(read_generator_file(options.output), options.output / ONNX)
    print(f"{options.output}: {config.name}, {config.images_seen:,} images seen")
    return 0


def _figures(generator: Path, data: str, fit: Fit, options: argparse.Namespace) -> Figures:
    device = resolve_device(options.device)
    file = read_generator_file(generator)
    train, test = _parts(
        _data_path(data, options), file.config.crop, file.config.network.channels, fit
    )
    network = _network(options, Path("runs"), train, test, device)
    if network is None:
        raise ExtractorError(f"{data}: without a feature network there is no measuring")
    return evaluate.evaluate(
        load_sampler(file, options.device),
        file.config.rows,
        evaluate.reference(network, test, train, options.against),
        options.images,
        train=train_features(network, thinned(train), file.config.data.split),
        classes=file.config.classes,
    )


def _report(options: argparse.Namespace) -> int:
    file = read_generator_file(report.best_or_last(options.run))
    record = json.loads((options.run / run_folder.OPTIONS).read_text())
    path = _data_path(options.data or record["data"]["path"], options)
    fit: Fit = record["config"].get("fit", "crop")
    train, test = _parts(path, file.config.crop, file.config.network.channels, fit)
    device = resolve_device(options.device)
    network = _network(options, options.run.parent, train, test, device)
    real = evaluate.reference(network, test, train) if network else None
    print(report.report_run(options.run, real, train, options.images, options.device))
    return 0


# --- data, classifier, video ---


def _prepare(options: argparse.Namespace) -> int:
    lines = prepare(
        _data_path(options.source, options),
        options.output,
        side=options.side,
        channels=options.channels,
        fit=options.fit,
        count=options.count,
        seed=options.seed,
    )
    print("\n".join(lines))
    return 0


def _classifier(options: argparse.Namespace) -> int:
    device = resolve_device(options.device)
    path = _data_path(options.data, options)
    train, test = _parts(path, options.side, options.channels, options.fit)
    learn = train_selfsup if options.without_labels else train_extractor
    extractor = learn(
        train,
        test,
        epochs=options.epochs or sensible_epochs(len(train), not options.without_labels),
        seed=options.seed,
        device=device,
        say=lambda text: print(text, flush=True),
    )
    extractor.save(options.output)
    print(f"{options.output}: {extractor.name}, test accuracy {extractor.config.test_accuracy:.2%}")
    return 0


def _video(options: argparse.Namespace) -> int:
    output = options.output or options.run / "training.webp"
    frames = write_video(options.run, output, options.fps)
    print(f"{output}: {frames} grids")
    return 0


# --- what the commands share ---


def _data_path(data: str, options: argparse.Namespace) -> Path:
    """A path as it is, or the folder of an official set by its name, downloaded where it is
    missing.
    """
    if data in OFFICIAL and not Path(data).exists():
        return fetch(data, base_url=options.base_url)
    return Path(data)


def _part(path: Path, part: Split, config: TrainConfig) -> Dataset:
    side, channels = config.picture_side, config.network.channels
    return load(path, part, side=side, channels=channels, fit=config.fit)


def _parts(path: Path, side: int, channels: int, fit: Fit) -> list[Dataset]:
    """The training and the test part; says on stderr what of them is broken."""
    names: tuple[Split, ...] = ("train", "test")
    parts = [load(path, part, side=side, channels=channels, fit=fit) for part in names]
    broken = sorted({one for part in parts for one in part.broken})
    check_broken(path, broken, parts[0].files)
    for line in broken_notes(broken):
        print(line, file=sys.stderr)
    return parts


def _network(
    options: argparse.Namespace, outdir: Path, train: Dataset, test: Dataset, device: torch.device
) -> FeatureNetwork | None:
    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    return find_network(options.features, outdir, train, test, device, say)


# --- the command line ---


def _name(text: str) -> str:
    if run_folder.slug(text) != text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name; allowed: up to 64 of a-z, 0-9, - and _"
        )
    return text


def _feature_network(text: str) -> str:
    if text not in KINDS and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no feature network; allowed: {', '.join(KINDS)}, or the folder of one"
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model.training", description="Train and measure generators."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a generator; the same command again resumes")
    presets = "; ".join(f"{name}: {preset.about}" for name, preset in PRESETS.items())
    train.add_argument("--preset", required=True, choices=PRESETS, help=presets)
    train.add_argument(
        "--data", help="folder, zip, or official set by name; default: the preset's own set"
    )
    train.add_argument(
        "--outdir", type=Path, default=Path("runs"), help="run folders go here (default: runs)"
    )
    train.add_argument("--dry-run", action="store_true", help="print the resolved options and stop")
    train.add_argument(
        "--seed", type=_Number(int, 0, 2**32 - 1), help="of weights, order and latents (default: 0)"
    )
    which = train.add_mutually_exclusive_group()
    which.add_argument("--resume", type=Path, metavar="RUN", help="continue this run folder")
    which.add_argument("--fresh", action="store_true", help="start anew even if such a run exists")
    length = train.add_mutually_exclusive_group()
    length.add_argument(
        "--epochs",
        type=_Number(int, 1, 100_000),
        help="passes over the data (default: the preset's)",
    )
    length.add_argument(
        "--kimg", type=_Number(float, 0.001, 1e7), help="length in thousands of images instead"
    )
    train.add_argument(
        "--batch", type=_Number(int, 2, 65536), help="images per step (default: the preset's)"
    )
    train.add_argument(
        "--split", choices=("train", "test", "all"), help="all: the notebook's way (default: train)"
    )
    train.add_argument("--prior", choices=PRIORS, help="of the latents (default: the preset's)")
    train.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        help="of the convolutions (default: bf16 for the modern presets, fp32 for the others)",
    )
    train.add_argument(
        "--grid-steps", type=_Number(int, 1, 10**9), default=100, help="steps between sample grids"
    )
    train.add_argument(
        "--snapshot-kimg",
        type=_Number(float, 0.001, 1e6),
        help="thousands of images between snapshots (default: the preset's, or an epoch)",
    )
    train.add_argument("--checkpoint-seconds", type=_Number(float, 0, 86400), default=120.0)
    train.add_argument(
        "--keep",
        type=_Number(int, 1, 10**6),
        default=2,
        help="newest checkpoints to keep, beside that of the best snapshot (default: 2)",
    )
    train.add_argument(
        "--figure-images",
        type=_Number(int, 200, 100_000),
        default=5000,
        help="in each snapshot's quality figure",
    )
    modern = train.add_argument_group("of the modern presets")
    modern.add_argument(
        "--unconditional", action="store_true", help="leave the classes of the pictures out"
    )
    modern.add_argument("--mirror", action="store_true", help="show half of the pictures mirrored")
    modern.add_argument(
        "--augment",
        type=_Number(float, 0, 0.8),
        help="probability of moving and of cutting, at the end of the burn-in",
    )
    modern.add_argument(
        "--gamma",
        type=_Number(float, 0, 10_000),
        help="weight of the penalties at the start; falls to a tenth. Larger: less variety lost, "
        "more blur",
    )
    modern.add_argument(
        "--penalty-interval", type=_Number(int, 1, 64), help="steps between penalties"
    )
    for option, network in (("--width", "generator"), ("--discriminator-width", "discriminator")):
        modern.add_argument(
            option,
            type=_Number(int, 4, 4096),
            help=f"channels of the {network} at 4x4 (default: the preset's)",
        )
    modern.add_argument(
        "--learning-rate",
        type=_Number(float, 1e-7, 1),
        help="at the start; of the generator, where the two differ",
    )
    modern.add_argument(
        "--burn-in-kimg",
        type=_Number(float, 0, 1e6),
        help="thousands of images after which rates, gamma and augmentation stay",
    )
    _fit(train)
    _common(train)
    train.set_defaults(command=_train)

    measure = commands.add_parser("evaluate", help="measure a generator file, as JSON")
    measure.add_argument("generator", type=Path, help="folder of a generator file")
    measure.add_argument(
        "--data", required=True, help="real pictures: folder, zip or official set by name"
    )
    measure.add_argument(
        "--images", type=_Number(int, 200, 100_000), default=10_000, help="generated pictures"
    )
    _against(measure)
    _fit(measure)
    _common(measure)
    measure.set_defaults(command=_evaluate)

    export = commands.add_parser("export", help="a run's generator, measured, with its model card")
    export.add_argument("run", type=Path, help="run folder")
    export.add_argument(
        "--output", type=Path, required=True, help="folder of the new generator file"
    )
    export.add_argument("--which", choices=("best", "last"), default="best")
    export.add_argument("--name", type=_name, help="of the generator (default: its data's)")
    export.add_argument(
        "--licence", help="of the data, for the card (default: what is known of an official set)"
    )
    export.add_argument("--data", help="real pictures (default: those of the run)")
    export.add_argument(
        "--images", type=_Number(int, 200, 100_000), default=10_000, help="generated pictures"
    )
    export.add_argument("--onnx", action="store_true", help="and model.onnx, checked")
    _against(export)
    _common(export)
    export.set_defaults(command=_export)

    page = commands.add_parser("report", help="one page on a run: samples, neighbours, figures")
    page.add_argument("run", type=Path, help="run folder; the page is its report.html")
    page.add_argument("--data", help="real pictures (default: those of the run)")
    page.add_argument(
        "--images", type=_Number(int, 200, 100_000), default=5000, help="generated pictures"
    )
    _common(page)
    page.set_defaults(command=_report)

    data = commands.add_parser("data", help="describe a set of pictures; --output prepares it")
    data.add_argument("source", help="folder, zip, official set by name, or zip of layers")
    data.add_argument("--output", type=Path, help="zip file to write; the rest lies beside it")
    data.add_argument("--side", type=_Number(int, 8, 1024), help="pixels per side, with --output")
    data.add_argument(
        "--channels", type=int, choices=(1, 3), help="default: 1 where every picture is grey"
    )
    _fit(data)
    layers = data.add_argument_group("of layers")
    layers.add_argument(
        "--count", type=_Number(int, 1, 10**6), default=2000, help="a class (default: 2000)"
    )
    layers.add_argument("--seed", type=_Number(int, 0, 2**32 - 1), default=0)
    data.add_argument("--base-url", help="download official files from here instead")
    data.set_defaults(command=_prepare)

    classifier = commands.add_parser(
        "classifier", help="train the classifier whose features measure quality"
    )
    classifier.add_argument(
        "--data", required=True, help="labelled pictures: folder, zip or official set by name"
    )
    classifier.add_argument("--output", type=Path, required=True, help="folder for it")
    classifier.add_argument(
        "--epochs", type=_Number(int, 1, 1000), help="(default: by the number of pictures)"
    )
    classifier.add_argument(
        "--without-labels", action="store_true", help="learn from the pictures alone"
    )
    classifier.add_argument("--seed", type=_Number(int, 0, 2**32 - 1), default=0)
    classifier.add_argument(
        "--side", type=_Number(int, 8, 256), default=28, help="pixels per side (default: 28)"
    )
    classifier.add_argument("--channels", type=int, choices=(1, 3), default=1)
    _fit(classifier)
    _common(classifier, measures=False)
    classifier.set_defaults(command=_classifier)

    video = commands.add_parser("video", help="the grids of a run as an animation")
    video.add_argument("run", type=Path, help="run folder")
    video.add_argument(
        "--output", type=Path, help=".webp, .gif or .png (default: RUN/training.webp)"
    )
    video.add_argument(
        "--fps", type=_Number(float, 0.1, 60), default=8.0, help="grids per second (default: 8)"
    )
    video.set_defaults(command=_video)

    for tool in (generate, interpolate, project, share):
        tool.add_command(commands)
    return parser


def _against(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--against",
        choices=("train", "test", "all"),
        help="real pictures to compare with (default: test; all where those are few)",
    )


def _fit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fit",
        choices=FITS,
        default="crop",
        help="pictures that are not square: their centre, or all of them beside white "
        "(default: crop)",
    )


def _common(parser: argparse.ArgumentParser, measures: bool = True) -> None:
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)"
    )
    parser.add_argument("--base-url", help="download official files from here instead")
    if measures:
        parser.add_argument(
            "--features",
            "--classifier",
            dest="features",
            metavar="NETWORK",
            type=_feature_network,
            default=AUTO,
            help="that measures quality: classifier, selfsup (learns without labels), inception "
            "(the public one; needs ganserve[fidelity] and its weights), the folder of one, or "
            "none. Default: classifier where pictures have labels, else selfsup; shipped, or "
            "trained here once",
        )


if __name__ == "__main__":
    sys.exit(main())
