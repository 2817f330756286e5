"""Techniques beside each other: `python -m benchmarks.techniques --data data/mnist`.

    plain and each technique -> as many pictures -> Stacked-MNIST: modes of 1,000, KL from uniform
                                                 -> MNIST: Frechet distance to the test digits

The article's objective on its networks at half their widths; Stacked-MNIST as in
`benchmarks.stacked_mnist`. The network that measures has no part in any loss. The same command
again goes on, and runs nothing twice; the table so far is in the output's `techniques.md`.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.learners import CPU, Learner, ours
from benchmarks.recipes import Point, trained
from benchmarks.results import this_machine
from benchmarks.stacked_mnist import DIGIT_SIDE, SIDE, counted, stacked
from benchmarks.tables import table
from model.classification.classifiers import SHIPPED_CLASSIFIERS
from model.command_parser import Parser
from model.images import tile
from model.metrics import frechet_distance
from model.mistakes import Mistake, told
from model.networks.families.dcgan import DCGANConfig
from model.training.commands.arguments import Number
from model.training.datasets.dataset import Dataset, load
from model.training.evaluation.features import load_extractor
from model.training.evaluation.measure import FIRST_SEED, reference
from model.training.presets import PRESETS, TrainConfig
from model.training.run.checkpoint import write_atomically
from model.training.techniques.catalogue import TECHNIQUES, techniques

WIDTH, DISCRIMINATOR_WIDTH = 256, 32  # half of the article's
FIGURES = {"modes": "modes of 1,000", "kl": "KL", "frechet": "Frechet distance"}
BETTER = {"modes": max, "kl": min, "frechet": min}


def config_of(channels: int, names: Sequence[str], options: argparse.Namespace) -> TrainConfig:
    """Returns the article's configuration with techniques, grey at 28x28 or RGB at 32x32."""
    network = DCGANConfig(
        channels=channels, width=options.width, discriminator_width=options.discriminator_width
    )
    plain = PRESETS["dcgan-mnist"].config
    side = DIGIT_SIDE if channels == 1 else SIDE
    try:
        return replace(
            plain, network=network, picture_side=side, techniques=tuple(names), seed=options.seed
        )
    except ValueError as error:
        raise Mistake(str(error)) from None


def main(arguments: list[str] | None = None) -> int:
    """Trains what is not trained yet, and writes the table; returns the exit status."""
    return told(lambda: _run(_parser().parse_args(arguments)), "train")


def _run(options: argparse.Namespace) -> int:
    torch.set_num_threads(options.threads)
    digits, test = (load(options.data, part, side=28, channels=1) for part in ("train", "test"))
    triples = Dataset(
        name="stacked-mnist", images=stacked(digits, options.pictures, seed=0), labels=None
    )
    classifier = load_extractor(options.digit_classifier, CPU)
    real = reference(classifier, test, digits)

    def modes_of(pixels: np.ndarray) -> Point:
        found, divergence = counted(classifier, pixels).values()
        return {"modes": found, "kl": divergence}

    def frechet_of(pixels: np.ndarray) -> Point:
        return {"frechet": frechet_distance(real.features, classifier(pixels)[0])}

    def measured(data: Dataset, names: Sequence[str]) -> Point:
        """Returns the figures of one run at its end, from its file where there is one."""
        of, count = (modes_of, options.samples) if data is triples else (frechet_of, options.fakes)
        learner = ours(config_of(data.images.shape[3], names, options), data)
        known = json.dumps([learner.record, options.images, count, data.fingerprint])
        mark = hashlib.sha256(known.encode()).hexdigest()[:8]
        folder = options.output / f"{data.name}-{'-'.join(names) or 'plain'}-{mark}"
        if not (done := folder / "points.json").exists():
            measure = _measure(of, count)
            found = trained(learner, folder, 0.0, options.images, measure, parts=1)
            write_atomically(done, json.dumps(found, indent=2).encode())
        return json.loads(done.read_text())[-1]

    options.output.mkdir(parents=True, exist_ok=True)
    chosen = np.random.default_rng(0).permutation(len(digits))[: options.fakes]
    floor = modes_of(stacked(test, options.samples, seed=1)) | frechet_of(digits.images[chosen])
    head = (
        f"{options.images:,} pictures seen by each, batches of 128; generator "
        f"{options.width} wide, discriminator {options.discriminator_width}; modes in "
        f"{options.samples:,} samples, after {options.pictures:,} triples of digits; Frechet "
        f"distance of {options.fakes:,} digits through {classifier.name}; seed {options.seed}; in "
        f"brackets over plain; {options.threads} thread(s) of {this_machine().processor}, torch "
        f"{torch.__version__}\n\n"
    )
    rows: dict[str, Point] = {}
    for names in options.recipes:
        points = [measured(data, names) for data in (triples, digits)]
        seconds = sum(point["seconds"] for point in points)
        images = sum(point["images"] for point in points)
        rows[", ".join(names) or "plain"] = points[0] | points[1] | {"ms": 1000 * seconds / images}
        text = head + shown(rows, floor)
        write_atomically(options.output / "techniques.md", f"{text}\n".encode())
    print(text)
    return 0


def _measure(of: Callable[[np.ndarray], Point], count: int) -> Callable[[Learner, Path], Point]:
    def measure(learner: Learner, grid: Path) -> Point:
        grid.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tile(learner.draw(range(36)), 6).squeeze()).save(grid)
        return of(learner.draw(range(FIRST_SEED, FIRST_SEED + count)))

    return measure


def shown(rows: dict[str, Point], floor: Point) -> str:
    """Returns the table: a row a recipe, real pictures below; ratios are over the first row, the
    best of each column is bold.
    """
    first = next(iter(rows.values()))
    best = {name: better(row[name] for row in rows.values()) for name, better in BETTER.items()}
    lines = []
    for recipe, row in rows.items():
        line = [recipe, f"{row['ms']:.1f} ({row['ms'] / first['ms']:.2f})"]
        for name in FIGURES:
            text = f"{row[name]:{'.2f' if name == 'kl' else '.0f'}}"
            text = f"**{text}**" if row[name] == best[name] else text
            line.append(f"{text} ({row[name] / first[name]:.2f})" if first[name] else text)
        lines.append(line)
    real = [f"{floor[name]:{'.2f' if name == 'kl' else '.0f'}}" for name in FIGURES]
    head = ["techniques", "CPU ms an image", *FIGURES.values()]
    return table(head, [*lines, ["real pictures", "", *real]])


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.techniques", description=__doc__, example="--data data/mnist"
    )
    parser.add_argument("--data", type=Path, default=Path("data/mnist"), help="MNIST's idx files")
    parser.add_argument("--output", type=Path, default=Path("runs/techniques"))
    parser.add_argument(
        "--recipes",
        nargs="+",
        type=_names,
        default=[(), *((name,) for name in TECHNIQUES)],
        metavar="NAMES",
        help="plain, or techniques with commas between (default: plain, and each alone)",
    )
    parser.add_argument(
        "--images", type=Number(int, 1, 10**8), default=64_000, help="seen by each run"
    )
    parser.add_argument(
        "--pictures", type=Number(int, 128, 10**6), default=64_000, help="triples of digits"
    )
    parser.add_argument(
        "--samples", type=Number(int, 1, 10**6), default=26_000, help="in which modes are counted"
    )
    parser.add_argument(
        "--fakes", type=Number(int, 2, 100_000), default=10_000, help="of the Frechet distance"
    )
    width = Number(int, 4, 4096)
    parser.add_argument("--width", type=width, default=WIDTH)
    parser.add_argument("--discriminator-width", type=width, default=DISCRIMINATOR_WIDTH)
    parser.add_argument("--digit-classifier", type=Path, default=SHIPPED_CLASSIFIERS / "mnist")
    parser.add_argument("--seed", type=Number(int, 0, 2**32 - 1), default=0)
    parser.add_argument("--threads", type=Number(int, 1, 1024), default=2)
    return parser


def _names(text: str) -> tuple[str, ...]:
    return () if text == "plain" else techniques(text)


if __name__ == "__main__":
    sys.exit(main())
