"""`evaluate` and `classifier`: generators measured, and the networks that measure them;
and what every command shares that looks at real pictures.

    pictures -> training and test part -> feature network -> Reference -> figures of a generator
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from model.generator_file import read_generator_file
from model.image_decoding import Fit
from model.samplers.pytorch import resolve_device
from model.samplers.sampler import load_sampler
from model.training.commands.arguments import Number, add_device, add_fit
from model.training.datasets.dataset import DataError, Dataset, load
from model.training.datasets.downloads import data_path
from model.training.datasets.image_folder import broken_notes, check_broken
from model.training.evaluation import figures as evaluate
from model.training.evaluation.feature_networks import (
    AUTO,
    KINDS,
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
from model.training.evaluation.figures import FeatureNetwork, Figures


class NothingHeldOutError(ExtractorError):
    """A set has no held-out pictures, so nothing can be measured with it."""


def add_command(commands: Any) -> None:
    """Adds `evaluate` and `classifier` to the commands."""
    measure = commands.add_parser("evaluate")
    measure.add_argument("generator", type=Path, help="folder of a generator file")
    measure.add_argument(
        "--data", required=True, help="real pictures: folder, zip or official set by name"
    )
    measure.add_argument(
        "--images", type=Number(int, 200, 100_000), default=10_000, help="generated pictures"
    )
    add_against(measure)
    add_fit(measure)
    add_measuring(measure)
    measure.set_defaults(command=_evaluate)

    classifier = commands.add_parser("classifier")
    classifier.add_argument(
        "--data", required=True, help="labelled pictures: folder, zip or official set by name"
    )
    classifier.add_argument("--output", type=Path, required=True, help="folder for it")
    classifier.add_argument(
        "--epochs", type=Number(int, 1, 1000), help="(default: by the number of pictures)"
    )
    classifier.add_argument(
        "--without-labels", action="store_true", help="learn from the pictures alone"
    )
    classifier.add_argument("--seed", type=Number(int, 0, 2**32 - 1), default=0)
    classifier.add_argument(
        "--side", type=Number(int, 8, 256), default=28, help="pixels per side (default: 28)"
    )
    classifier.add_argument("--channels", type=int, choices=(1, 3), default=1)
    add_fit(classifier)
    add_device(classifier)
    classifier.set_defaults(command=_classifier)


def _evaluate(options: argparse.Namespace) -> int:
    metrics = measured(options.generator, options.data, options.fit, options, options.bits)
    print(json.dumps(metrics, indent=2))
    return 0


def _classifier(options: argparse.Namespace) -> int:
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
    generator: Path, data: str, fit: Fit, options: argparse.Namespace, bits: int = 0
) -> Figures:
    """Measures a generator file against real pictures, as the options say.

    Raises:
        ExtractorError: there is no feature network to measure with.
        NothingHeldOutError: there are no pictures to measure with.
        DataError: the pictures cannot be read.
        GeneratorFileError: the generator file cannot be served.
    """
    device = resolve_device(options.device)
    file = read_generator_file(generator)
    train, test = read_parts(
        data_path(data, options.base_url), file.config.crop, file.config.network.channels, fit, bits
    )
    if not len(test):
        raise NothingHeldOutError(f"{data}: no picture is held out, so nothing is measured")
    network = read_network(options, Path("runs"), train, test, device)
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


def read_parts(path: Path, side: int, channels: int, fit: Fit, bits: int = 0) -> list[Dataset]:
    """Reads the training and the test part, in which there may be none; prints on stderr which
    files of them are broken.
    """
    train = load(path, "train", side=side, channels=channels, fit=fit, bits=bits)
    test = load(path, "test", side=side, channels=channels, fit=fit, bits=bits, may_be_empty=True)
    broken = sorted({*train.broken, *test.broken})
    check_broken(path, broken, train.files)
    for line in broken_notes(broken):
        print(line, file=sys.stderr)
    return [train, test]


def read_network(
    options: argparse.Namespace, outdir: Path, train: Dataset, test: Dataset, device: torch.device
) -> FeatureNetwork | None:
    """Finds the feature network that the options name; None for none, and where no picture is held
    out. See `find_network`.
    """
    if not len(test):
        return None

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    return find_network(options.features, outdir, train, test, device, say)


def add_against(parser: argparse.ArgumentParser) -> None:
    """Adds the option for which real pictures count."""
    parser.add_argument(
        "--against",
        choices=("train", "test", "all"),
        help="real pictures to compare with (default: test; all where those are few)",
    )


def add_measuring(parser: argparse.ArgumentParser) -> None:
    """Adds the same as `add_device`, and the option for the network that measures."""
    add_device(parser)
    parser.add_argument(
        "--features",
        "--classifier",
        dest="features",
        metavar="NETWORK",
        type=_feature_network,
        default=AUTO,
        help="that measures quality: classifier, selfsup (learns without labels), inception "
        "(the public one; needs the extra `fidelity` and its weights), the folder of one, or "
        "none. Default: classifier where pictures have labels, else selfsup; shipped, or "
        "trained here once",
    )


def _feature_network(text: str) -> str:
    if text not in KINDS and not Path(text).is_dir():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no feature network; allowed: {', '.join(KINDS)}, or the folder of one"
        )
    return text
