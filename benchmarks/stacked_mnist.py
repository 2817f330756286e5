"""Stacked-MNIST: does a generator draw all of 1,000 kinds of pictures, or only some?

    three digits at random  ->  red, green and blue of one picture, 32x32: 1,000 modes
    26,000 samples  ->  the digit classifier on each channel  ->  modes found, KL from uniform

`python -m benchmarks.stacked_mnist --preset modern-32 --kimg 200` makes the set, trains through
the ordinary command (every option of `train` may follow), and counts; the same command again goes
on. With `--generator FOLDER` it only counts. Source: Metz et al., "Unrolled Generative Adversarial
Networks" (2017), section 3.3.1.
"""

import argparse
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.classification.classifiers import SHIPPED_CLASSIFIERS
from model.command_parser import Parser
from model.generator_file import read_generator_file
from model.images import crop_center, pad_to
from model.metrics import modes
from model.mistakes import Mistake, told
from model.samplers.pytorch import resolve_device
from model.samplers.sampler import load_sampler
from model.training.__main__ import main as training
from model.training.__main__ import parser as training_parser
from model.training.commands.arguments import Number
from model.training.commands.report import best_or_last
from model.training.datasets.dataset import Dataset, load
from model.training.evaluation.features import Extractor, load_extractor
from model.training.evaluation.measure import generate

DIGIT_SIDE, SIDE, DIGITS = 28, 32, 10
SAMPLES = 26_000
PICTURES = 100_000  # in the set; every tenth of them is held out
RESULTS = "modes.json"
PROGRAM = "python -m benchmarks.stacked_mnist"

Pixels = NDArray[np.uint8]


def main(arguments: list[str] | None = None) -> int:
    """Trains unless a generator is given, counts, and prints JSON; returns the exit status."""
    return told(lambda: _run(*_parser().parse_known_args(arguments)), "train")


def _run(options: argparse.Namespace, for_training: list[str]) -> int:
    folder: Path | None = options.generator
    if folder is None:
        checked = training_parser(PROGRAM, "train").parse_args(["train", *for_training])
        if checked.dry_run or checked.data or checked.resume:
            raise Mistake("--dry-run, --data and --resume are not passed on to `train` from here")
        digits = load(options.data, "train", side=DIGIT_SIDE, channels=1)
        name = f"stacked-mnist-{options.pictures}-{digits.fingerprint[:8]}"
        path = options.outdir / f"{name}.zip"
        if not path.exists():
            write_set(path, stacked(digits, options.pictures, seed=0))
        where = ["--data", str(path), "--outdir", str(options.outdir), "--device", options.device]
        if status := training(["train", *where, *for_training]):
            return status
        folder = best_or_last(newest_run(options.outdir))
    elif for_training:
        _parser().error(f"unrecognized arguments: {' '.join(for_training)}")
    classifier = load_extractor(options.digit_classifier, resolve_device(options.device))
    test = load(options.data, "test", side=DIGIT_SIDE, channels=1)
    figures = {
        **counted(classifier, sampled(folder, options.samples, options.device)),
        "of_real_pictures": counted(classifier, stacked(test, options.samples, seed=1)),
        "generator": str(folder),
        "images_seen": read_generator_file(folder).config.images_seen,
    }
    text = json.dumps(figures, indent=2)
    if options.generator is None:
        (folder.parent / RESULTS).write_text(text + "\n")
    print(text)
    return 0


def stacked(digits: Dataset, count: int, seed: int) -> Pixels:
    """Draws pictures (count, 32, 32, 3): three digits each, with replacement."""
    chosen = np.random.default_rng(seed).integers(0, len(digits), (count, 3))
    return pad_to(np.stack([digits.images[place, ..., 0] for place in chosen.T], axis=-1), SIDE)


def write_set(path: Path, pixels: Pixels) -> None:
    """Writes a zip of PNG files, without labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for number, picture in enumerate(pixels):
            stream = io.BytesIO()
            Image.fromarray(picture).save(stream, "PNG", compress_level=1)
            archive.writestr(f"{number:07d}.png", stream.getvalue())
    temporary.replace(path)


def newest_run(outdir: Path) -> Path:
    """Returns the run that was started or went on last: its options were written then."""
    return max(outdir.glob("*/options.json"), key=lambda file: file.stat().st_mtime).parent


def sampled(folder: Path, count: int, device: str) -> Pixels:
    """Returns pictures of a generator file, which must be 32x32 RGB."""
    file = read_generator_file(folder)
    if (file.config.crop, file.config.network.channels) != (SIDE, 3):
        raise Mistake(f"{folder}: it does not draw {SIDE}x{SIDE} RGB pictures")
    return generate(load_sampler(file, device), file.config.rows, count)


def counted(classifier: Extractor, pixels: Pixels) -> dict[str, float | int]:
    """Counts the 1,000 modes that are there, and how evenly, under names with their protocol."""
    digits = crop_center(pixels, DIGIT_SIDE)
    called = [classifier(digits[..., channel, None])[1].argmax(1) for channel in range(3)]
    found = modes((called[0] * DIGITS + called[1]) * DIGITS + called[2], DIGITS**3)
    protocol = f"{len(pixels)}_{classifier.name}"
    return {
        f"modes_of_1000_{protocol}": found.found,
        f"modes_kl_{protocol}": round(found.divergence, 4),
    }


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__, example="--preset modern-32 --kimg 200")
    parser.add_argument("--generator", type=Path, help="count the modes of this generator file")
    parser.add_argument("--data", type=Path, default=Path("data/mnist"), help="MNIST's idx files")
    parser.add_argument("--outdir", type=Path, default=Path("runs/stacked-mnist"))
    parser.add_argument("--digit-classifier", type=Path, default=SHIPPED_CLASSIFIERS / "mnist")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--pictures", type=Number(int, 20, 10**6), default=PICTURES, help="in the set"
    )
    parser.add_argument("--samples", type=Number(int, 1, 10**6), default=SAMPLES)
    return parser


if __name__ == "__main__":
    sys.exit(main())
