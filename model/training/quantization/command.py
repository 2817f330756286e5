"""`quantize`: an integer generator made of a trained one, in a model folder of its own.

model folder -> units -> training with the roundings in place -> model folder, both measured
"""

import argparse
from pathlib import Path
from typing import Any

from model.generators import generator_folder
from model.image_decoding import Fit
from model.training.commands.arguments import (
    GENERATOR_HELP,
    Number,
    add_fit,
    add_force,
    check_output_folder,
    generator_name,
    source,
)
from model.training.commands.evaluate import add_against, add_measuring, measured
from model.training.commands.export import replaced
from model.training.evaluation.measure import Metrics
from model.training.quantization.writing import STEPS, write_integers
from model.training.run.run_folder import slug

MOST = 100_000


def add_command(commands: Any) -> None:
    """Adds `quantize` to the commands."""
    parser = commands.add_parser(
        "quantize",
        description="Makes an integer generator of a trained one, in a new model folder: half "
        "the cost of its pictures, and the same bytes on every machine.",
        example="mnist --output mnist-int8",
    )
    parser.add_argument("generator", help=GENERATOR_HELP)
    parser.add_argument("--output", type=Path, required=True, help="the new model folder")
    add_force(parser)
    parser.add_argument(
        "--name",
        type=generator_name,
        help="name of the generator in URLs, up to 64 of a-z, 0-9, - and _ (default: the folder's)",
    )
    parser.add_argument(
        "--steps",
        type=Number(int, 0, MOST),
        default=STEPS,
        help=f"steps of training with the roundings in place (default: {STEPS})",
    )
    parser.add_argument(
        "--seed",
        type=Number(int, 0, 2**20 - 1),
        default=0,
        help="seed of the latents to learn from (default: 0)",
    )
    parser.add_argument(
        "--data",
        type=source,
        help="real pictures to measure both generators with: a folder, a zip, or an official set "
        "(default: nothing but their nearness is measured)",
    )
    parser.add_argument(
        "--images",
        type=Number(int, 200, 100_000),
        help="number of generated pictures to measure with (default: that of the generator's card)",
    )
    add_against(parser)
    add_fit(parser)
    add_measuring(parser)
    parser.set_defaults(command=_quantize)


def _quantize(options: argparse.Namespace) -> int:
    folder, output = generator_folder(options.generator), options.output
    check_output_folder(output, options.force)
    fit: Fit = options.fit

    def measure(place: Path) -> Metrics:
        if not options.data:
            return {}
        reading = options.data, fit, options.bits, options, options.features, Path("runs")
        return measured(place, *reading)

    with replaced(output) as new:
        made = write_integers(
            folder,
            new,
            name=options.name or slug(output.resolve().name),
            steps=options.steps,
            seed=options.seed,
            command=f"{options.program} {options.typed}",
            measure=measure,
        )
    print(f"{output}: {made}")
    return 0
