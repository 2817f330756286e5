"""`evaluate` and `classifier`: generators measured, and the networks that measure them;
and what every command shares that looks at real pictures.

    pictures -> training and test part -> feature network -> Reference -> metrics of a generator
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from model.generator_file import read_generator_file
from model.generators import generator_folder
from model.image_decoding import Fit
from model.samplers.pytorch import resolve_device
from model.samplers.sampler import load_sampler
from model.training.classification.export import evaluate_classifier, is_classifier
from model.training.commands.arguments import (
    GENERATOR_HELP,
    Number,
    add_device,
    add_fit,
    add_force,
    check_output_folder,
    source,
)
from model.training.datasets.dataset import (
    MEASURED_BYTES,
    DataError,
    Dataset,
    Split,
    in_memory,
    load,
)
from model.training.datasets.downloads import data_path
from model.training.datasets.image_folder import broken_notes, check_broken
from model.training.evaluation import measure
from model.training.evaluation.feature_networks import (
    AUTO,
    KINDS,
    NONE,
    WITHOUT,
    find_network,
    thinned,
    train_features,
)
from model.training.evaluation.features import (
    ExtractorError,
    sensible_epochs,
    train_extractor,
    train_selfsup,
)
from model.training.evaluation.measure import FeatureNetwork, Metrics
from model.training.run import measurements
from model.training.run.progress import duration, to_stderr
from model.training.run.run_folder import is_run, outdir_of, read_options
from model.training.run.run_log import METRICS, read_rows
from model.training.upscaling.export import MEASURED as UPSCALED
from model.training.upscaling.export import evaluate_upscaler, is_upscaler

MEASURED = 10_000  # generated pictures, where nothing else is said


class NothingHeldOutError(ExtractorError):
    """A set has no held-out pictures, so nothing can be measured with it."""


def add_command(commands: Any) -> None:
    """Adds `evaluate` and `classifier` to the commands."""
    parser = commands.add_parser(
        "evaluate",
        description="Measures a generator against real pictures; prints the metrics as JSON.",
        example="mnist --data mnist",
    )
    parser.add_argument(
        "generator",
        help=f"{GENERATOR_HELP}; or the folder or file of an upscaler, or the "
        "folder of a classifier",
    )
    parser.add_argument(
        "--data",
        type=source,
        required=True,
        help="real pictures: a folder, a zip, or an official set by name",
    )
    parser.add_argument(
        "--images",
        type=Number(int, 200, 100_000),
        help=f"number of generated pictures (default: {MEASURED}), or of held-out ones that an "
        f"upscaler enlarges (default: {UPSCALED})",
    )
    parser.add_argument(
        "--outdir",
        type=Path,
        help="folder in whose classifiers/ feature networks are kept (default: the one of the run "
        "that the generator lies in, else runs)",
    )
    parser.add_argument(
        "--pictures-of",
        metavar="GENERATOR",
        help=f"measure an upscaler with the pictures of a generator too ({GENERATOR_HELP})",
    )
    add_against(parser)
    add_fit(parser)
    add_measuring(parser)
    parser.set_defaults(command=_evaluate)

    classifier = commands.add_parser(
        "classifier",
        description="Trains a feature network, through which --features DIR measures quality.",
        example="--data my-pictures --output my-features --side 64 --channels 3",
    )
    classifier.add_argument(
        "--data",
        type=source,
        required=True,
        help="labelled pictures: a folder, a zip, or an official set",
    )
    classifier.add_argument("--output", type=Path, required=True, help="folder for the network")
    add_force(classifier)
    classifier.add_argument(
        "--epochs",
        type=Number(int, 1, 1000),
        help="passes over the pictures, at most (default: by their number)",
    )
    classifier.add_argument(
        "--without-labels", action="store_true", help="learn from the pictures alone"
    )
    classifier.add_argument(
        "--seed",
        type=Number(int, 0, 2**32 - 1),
        default=0,
        help="seed of weights and order (default: 0)",
    )
    classifier.add_argument(
        "--side", type=Number(int, 8, 256), default=28, help="pixels per side (default: 28)"
    )
    classifier.add_argument(
        "--channels", type=int, choices=(1, 3), default=1, help="1: grey, 3: RGB (default: 1)"
    )
    add_fit(classifier)
    add_device(classifier)
    classifier.set_defaults(command=_classifier)


def _evaluate(options: argparse.Namespace) -> int:
    if is_upscaler(Path(options.generator)):
        return evaluate_upscaler(options)
    if is_classifier(Path(options.generator)):
        return evaluate_classifier(options)
    if options.pictures_of is not None:
        raise ExtractorError("--pictures-of is for upscalers; this is a generator")
    options.images = options.images or MEASURED
    folder = generator_folder(options.generator)
    outdir = options.outdir or (outdir_of(folder.parent) if is_run(folder.parent) else Path("runs"))
    reading = options.data, options.fit, options.bits
    without = "--outdir RUNS takes the one of your runs"
    metrics = measured(folder, *reading, options, options.features, outdir, without)
    print(json.dumps(metrics, indent=2))
    return 0


def _classifier(options: argparse.Namespace) -> int:
    check_output_folder(options.output, options.force)
    device = resolve_device(options.device)
    path = data_path(options.data, options.base_url)
    train, test = read_parts(path, options.side, options.channels, options.fit, options.bits)
    if not len(test):
        raise DataError(f"{path}: no picture is held out to measure the classifier with")
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


# --- what other commands share ---


def measured(
    folder: Path,
    data: str,
    fit: Fit,
    bits: int,
    options: argparse.Namespace,
    features: str,
    outdir: Path,
    instead: str = WITHOUT,
) -> Metrics:
    """Measures the generator of a model folder against real pictures, as the options say; without
    a number of pictures, with as many as it has been measured with before. What a run's folder says
    has been measured is taken from there.

    `features` is the kind of the feature network, which is kept in `outdir`.

    Raises:
        ExtractorError: there is no feature network to measure with.
        NothingHeldOutError: there are no pictures to measure with.
        DataError: the pictures cannot be read.
        GeneratorFileError: the generator cannot be served.
    """
    device = resolve_device(options.device)
    file = read_generator_file(folder)
    train, test = read_parts(
        data_path(data, options.base_url), file.config.crop, file.config.network.channels, fit, bits
    )
    if not len(test):
        raise NothingHeldOutError(f"{data}: no picture is held out, so nothing is measured")
    network = read_network(features, outdir, train, test, device, instead)
    if network is None:
        raise ExtractorError(
            "--features none leaves nothing to measure with; allowed here: "
            f"{', '.join(kind for kind in KINDS if kind != NONE)}, or the folder of a network"
        )
    protocol = measurements.Measured(
        weights_sha256=file.config.weights_sha256,
        network=network.name,
        part=measure.part_of(test, train, options.against),
        data_sha256=measure.data_digest(test, train),
    )
    run = folder.parent if is_run(folder.parent) else None
    if run and (known := measurements.recall(run, protocol, options.images)):
        images, metrics = known
        to_stderr(
            f"measured before with {images:,} generated pictures; --images N measures with others"
        )
        return metrics
    images, sampler = options.images or MEASURED, load_sampler(file, options.device)
    seconds = measure.least_seconds(network, sampler, file.config.rows, images, len(train))
    to_stderr(f"measuring with {images:,} generated pictures takes {duration(seconds)} or more")
    metrics = measure.evaluate(
        sampler,
        file.config.rows,
        measure.reference(network, test, train, options.against, to_stderr),
        images,
        train=train_features(network, thinned(train), file.config.data.split, to_stderr),
        classes=file.config.classes,
        say=to_stderr,
    )
    if run:
        measurements.keep(run, protocol, images, metrics)
    return metrics


PARTS: tuple[Split, Split] = ("train", "test")


def read_parts(path: Path, side: int, channels: int, fit: Fit, bits: int = 0) -> list[Dataset]:
    """Reads the training and the test part, in which there may be none, of shards as much as
    measures; prints on stderr which files of them are broken.
    """
    train, test = (
        in_memory(
            load(
                path,
                part,
                side=side,
                channels=channels,
                fit=fit,
                bits=bits,
                may_be_empty=part == "test",
                mapped=True,
            ),
            MEASURED_BYTES,
        )
        for part in PARTS
    )
    broken = sorted({*train.broken, *test.broken})
    check_broken(path, broken, train.files)
    for line in broken_notes(broken):
        print(line, file=sys.stderr)
    return [train, test]


def read_network(
    features: str,
    outdir: Path,
    train: Dataset,
    test: Dataset,
    device: torch.device,
    instead: str = WITHOUT,
) -> FeatureNetwork | None:
    """Finds the feature network of this kind; None for none, and where no picture is held out. See
    `find_network`.
    """
    if not len(test):
        return None
    return find_network(features, outdir, train, test, device, to_stderr, instead)


def run_features(options: argparse.Namespace, run_dir: Path) -> str:
    """Returns the kind of feature network that the options name, by default the one of the run;
    says so where a run that was not measured is not measured now either.
    """
    if options.features is not None:
        return str(options.features)
    # runs of before kept no kind, but metrics where they were measured
    known = AUTO if read_rows(run_dir / METRICS) else NONE
    features: str = read_options(run_dir).get("features", known)
    if features == NONE:
        to_stderr("not measured, as the run was not; --features auto measures it")
    return features


def add_against(parser: argparse.ArgumentParser) -> None:
    """Adds the option for which real pictures count."""
    parser.add_argument(
        "--against",
        choices=("train", "test", "all"),
        help="part of the real pictures to compare with (default: test; all where those are few)",
    )


def add_measuring(parser: argparse.ArgumentParser, of_run: bool = False) -> None:
    """Adds the same as `add_device`, and the option for the network that measures; its default may
    be the one `of_run`.
    """
    add_device(parser)
    default = "the one of the run" if of_run else AUTO
    parser.add_argument(
        "--features",
        "--classifier",
        dest="features",
        metavar="NETWORK",
        type=_feature_network,
        default=None if of_run else AUTO,
        help="feature network that measures quality: classifier (trained on the labels), selfsup "
        "(trained without labels), inception (the public one; needs the extra `fidelity` and its "
        "weights), the folder of one, auto (classifier where pictures have labels, else selfsup), "
        f"or none (nothing is measured). Default: {default}. One that does not ship is trained "
        "once, which takes a minute or a few, and kept",
    )


def _feature_network(text: str) -> str:
    if text not in KINDS and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no feature network; allowed: {', '.join(KINDS)}, or the folder of one"
        )
    return text
