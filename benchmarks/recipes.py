"""Recipes beside each other: `python -m benchmarks.recipes --data avatars.zip`.

    recipe -> steps, by the CPU's clock -> Frechet distances at marks of images and of seconds
           -> a table, curves, and for each recipe a grid of seeds 0 to 35

Only training counts as time, on one thread; the networks that measure have no part in any loss.
A recipe that cools down does so before the later of both ends.
The same command again goes on, and runs nothing twice.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from benchmarks.learners import CPU, AbsentError, Learner, dcgan, lightweight_gan, ours
from benchmarks.results import this_machine
from benchmarks.tables import table
from model.command_parser import Parser
from model.images import tile
from model.metrics import frechet_distance
from model.mistakes import Mistake, told
from model.networks.families.modulated import ModulatedConfig
from model.networks.families.residual import ResidualConfig
from model.training.commands.arguments import Number, source
from model.training.commands.evaluate import read_parts
from model.training.datasets.dataset import Dataset
from model.training.discriminators.frozen_features import FrozenError
from model.training.evaluation.feature_networks import AUTO, find_network
from model.training.evaluation.features import load_extractor
from model.training.evaluation.measure import FIRST_SEED, reference
from model.training.presets import PRESETS
from model.training.run.checkpoint import (
    Checkpoint,
    newest_content,
    parse_checkpoint,
    write_atomically,
    write_checkpoint,
)

Point = dict[str, Any]  # images, seconds, and a Frechet distance a network


def preset(name: str, **changes: Any) -> Callable[[Dataset], Learner]:
    """Returns a preset of ours, with changes, for the pictures at hand."""

    def made(data: Dataset) -> Learner:
        config, (side, channels) = replace(PRESETS[name].config, **changes), data.images.shape[2:]
        network: Any = config.network  # its family has classes
        try:
            network = replace(network, channels=channels, classes=len(data.classes))
            config = replace(config, network=network, picture_side=side)
            return ours(config, data)
        except ValueError as error:
            raise Mistake(f"--side {side}: {error}") from None

    return made


NARROW = ModulatedConfig(resolution=64, discriminator_width=64)
OLD = ResidualConfig(resolution=64, discriminator_width=128)
RECIPES: dict[str, Callable[[Dataset], Learner]] = {  # ratios are over the first
    "modern-64-v1": preset("modern-64-v1", batch=16, gamma=4.0, final_gamma=0.4),
    "modern-64": preset("modern-64"),
    "modern-64-old-rate": preset("modern-64", learning_rate=2e-4),
    "modern-64-old-generator": preset("modern-64", network=OLD, learning_rate=2e-4),
    "modern-64-unprojected": preset("modern-64", frozen_features=False),
    "modern-64-light": preset("modern-64", frozen_features=False, network=NARROW),
    "dcgan": dcgan,
    "lightweight-gan": lightweight_gan,
}
MARKS = 5  # on the way to the number of images; beyond it as often
PATIENCE = 3  # budgets of seconds; whose pace is too slow for the images by then ends at the first
SAVE_SECONDS = 60.0


def trained(
    learner: Learner,
    folder: Path,
    seconds: float,
    images: int,
    measure: Callable[[Learner, Path], Point],
    clock: Callable[[], float] = time.process_time,
    parts: int = MARKS,
) -> list[Point]:
    """Trains to both ends, from the newest checkpoint, and measures after each of the `parts` on
    the way to the images; 0 seconds are no end. Returns what was measured.
    """
    state: dict[str, Any] = {"images_seen": 0, "seconds": 0.0, "points": []}
    warnings: list[str] = []
    if content := newest_content(folder, warnings):
        found = parse_checkpoint(content)
        learner.networks.load(found.tensors)
        state |= found.state
    for line in warnings:
        print(line, file=sys.stderr)

    def marks() -> tuple[int, bool]:
        return state["images_seen"] * parts // images, state["seconds"] >= seconds

    def hopeless() -> bool:
        return 0 < state["images_seen"] * PATIENCE * seconds < images * state["seconds"]

    saved = time.monotonic()
    while not marks()[1] or (marks()[0] < parts and not hopeless()):
        before, start = marks(), clock()
        progress = state["images_seen"] / images
        progress = min(progress, state["seconds"] / seconds) if seconds else progress
        learner.step(state["images_seen"] // learner.batch, progress)
        state["seconds"] += clock() - start
        state["images_seen"] += learner.batch
        if measured := marks() != before:
            grid = folder / f"grid-{state['images_seen']:09d}.png"
            point = {"images": state["images_seen"], "seconds": state["seconds"]}
            state["points"].append(point | measure(learner, grid))
            print(folder.name, json.dumps(state["points"][-1]), file=sys.stderr, flush=True)
        if measured or time.monotonic() - saved > SAVE_SECONDS:
            write_checkpoint(folder, Checkpoint(learner.networks.tensors(), state), keep=1)
            saved = time.monotonic()
    return state["points"]


def main(arguments: list[str] | None = None) -> int:
    """Trains what is not trained yet, and writes the table and the curves; returns the exit
    status.
    """
    return told(lambda: _run(_parser().parse_args(arguments)), "train")


def _run(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    train, test = read_parts(Path(options.data), options.side, options.channels, "crop")
    networks = [find_network(options.features, options.output, train, test, CPU, print)]
    networks += [load_extractor(options.parts, CPU)] if options.parts else []
    if not any(networks):
        raise Mistake("--features none measures nothing; leave it out, or name --parts")
    real = {net.name: reference(net, test, train) for net in networks if net}

    def distances(pixels: NDArray[np.uint8]) -> Point:
        return {
            k: frechet_distance(one.features, one.network(pixels)[0]) for k, one in real.items()
        }

    def measure(learner: Learner, grid: Path) -> Point:
        grid.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tile(learner.draw(range(36)), 6).squeeze()).save(grid)
        return distances(learner.draw(range(FIRST_SEED, FIRST_SEED + options.fakes)))

    chosen = np.random.default_rng(0).permutation(len(train))[: options.fakes]
    floor = distances(train.images[chosen])
    head = (
        f"{len(train):,} pictures of {train.name}, {options.side}x{options.side}; Frechet distance "
        f"of {options.fakes:,} generated ones to the {len(test):,} of the test part, in brackets "
        f"over the first recipe's; one thread of {this_machine().processor}, torch "
        f"{torch.__version__}\n\n"
    )
    protocol = [options.seconds, options.images, options.fakes, list(real), train.fingerprint]

    def points(name: str) -> list[Point]:
        learner = RECIPES[name](train)
        if learner.batch > len(train):
            raise Mistake(
                f"{options.data}: {len(train)} pictures to train with are fewer than one batch of "
                f"{name}, {learner.batch}"
            )
        known = json.dumps([protocol, name, learner.record], sort_keys=True)
        folder = options.output / f"{name}-{hashlib.sha256(known.encode()).hexdigest()[:8]}"
        if not (done := folder / "points.json").exists():
            found = trained(learner, folder, options.seconds, options.images, measure)
            write_atomically(done, json.dumps(found, indent=2).encode())
        return json.loads(done.read_text())

    options.output.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[Point] | str] = {}
    for name in options.recipes:
        try:
            runs[name] = points(name)
        except (AbsentError, FrozenError) as error:
            runs[name] = str(error)
        text = head + rows(runs, floor, options.seconds, options.images)
        write_atomically(options.output / "recipes.md", f"{text}\n".encode())
        curves(runs, floor).savefig(options.output / "recipes.png", dpi=120)
    print(text)
    return 0


def rows(runs: dict[str, Any], floor: Point, seconds: float, images: int) -> str:
    """Returns the table: a row a recipe, absent ones too, and real pictures below."""
    head = ["recipe", f"images in {seconds:,.0f} s", "CPU ms an image"]
    ends = [(f"{images:,} images", "images", images), (f"{seconds:,.0f} s", "seconds", seconds)]
    head += [f"{network}, {words}" for network in floor for words, _, _ in ends]
    first: dict[tuple[str, str], float] = {}
    lines = []
    for name, points in runs.items():
        if isinstance(points, str):
            lines.append([f"{name} ({points})", *["absent"] * (len(head) - 1)])
            continue
        budget = next(point for point in points if point["seconds"] >= seconds)
        share = budget["images"] / budget["seconds"]
        line = [name, f"{share * seconds:,.0f}", f"{1000 / share:.1f}"]
        for network in floor:
            for _, unit, end in ends:
                found = next((point[network] for point in points if point[unit] >= end), None)
                base = first.setdefault((network, unit), found) if found else None
                ratio = f" ({found / base:.2f})" if found and base else ""
                line.append("not reached" if found is None else f"{found:.1f}{ratio}")
        lines.append(line)
    real = [f"{distance:.1f}" for distance in floor.values() for _ in ends]
    return table(head, [*lines, ["real pictures, training part", "", "", *real]])


def curves(runs: dict[str, Any], floor: Point) -> Figure:
    """Distances over images and over seconds, a row a network."""
    figure = Figure(figsize=(11, 4 * len(floor)), layout="constrained")
    panels = figure.subplots(len(floor), 2, squeeze=False)
    for (network, real), row in zip(floor.items(), panels, strict=True):
        for axis, unit in zip(row, ("images", "seconds"), strict=True):
            for name, points in runs.items():
                if not isinstance(points, str):
                    along = [[point[key] for point in points] for key in (unit, network)]
                    axis.plot(*along, marker="o", label=name)
            axis.axhline(real, linestyle=":", color="grey", label="real pictures")
            axis.set(xlabel=f"CPU {unit}" if unit == "seconds" else unit, yscale="log")
            axis.set(ylabel=f"Frechet distance, {network}")
            axis.grid(alpha=0.3)
    panels[0][0].legend()
    return figure


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.recipes", description=__doc__, example="--data avatars.zip"
    )
    parser.add_argument("--data", type=source, required=True, help="folder or zip of pictures")
    parser.add_argument("--side", type=Number(int, 17, 128), default=64, help="pixels per side")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=3)
    parser.add_argument("--recipes", type=_known, default=",".join(RECIPES), help="with commas")
    parser.add_argument(
        "--seconds", type=Number(float, 0.01, 1e6), default=600, help="CPU time of a recipe"
    )
    parser.add_argument(
        "--images", type=Number(int, 1, 10**8), default=25_000, help="mark of equal images"
    )
    parser.add_argument("--features", default=AUTO, help="network that measures, as of `train`")
    parser.add_argument("--parts", type=Path, help="folder of a second one, of `parts`")
    parser.add_argument(
        "--fakes", type=Number(int, 2, 100_000), default=2000, help="pictures in each distance"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/recipes"))
    return parser


def _known(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in RECIPES]:
        raise argparse.ArgumentTypeError(f"no recipe {unknown[0]!r}; there are {list(RECIPES)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
