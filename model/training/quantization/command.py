"""`quantize`: an integer generator made of a trained one, in a model folder of its own.

model folder -> units -> training with the roundings in place -> model folder, both measured
             -> or its upscaler alone, into the folder of the integer generator
"""

import argparse
from pathlib import Path
from typing import Any

from model.files import OutputError
from model.generator_file import check_channels, read_generator_file
from model.generators import generator_folder
from model.image_decoding import Fit
from model.training.commands.arguments import (
    GENERATOR_HELP,
    Number,
    add_fit,
    add_force,
    check_output_folder,
    generator_name,
    refuse,
    source,
)
from model.training.commands.evaluate import add_against, add_measuring, measured
from model.training.commands.export import replaced
from model.training.evaluation.measure import Metrics
from model.training.quantization.writing import STEPS, write_integer_upscaler, write_integers
from model.training.run.run_folder import slug
from model.training.upscaling.export import measured as measured_upscaler
from model.upscaling.upscaler_file import UPSCALER, UpscalerFile

MOST = 100_000
# options that say nothing without --data
MEASURING = ("images", "against", "fit", "bits", "features", "device", "base_url")
NEW = ("force", "name", "against")  # options that say nothing with --into


def add_command(commands: Any) -> None:
    """Adds `quantize` to the commands."""
    parser = commands.add_parser(
        "quantize",
        description="Makes an integer generator of a trained one, in a new model folder: half "
        "the cost of its pictures, and the same bytes on every machine.",
        example="mnist --output mnist-int8",
    )
    parser.add_argument("generator", help=GENERATOR_HELP)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--output", type=Path, help="the new model folder")
    place.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help="model folder of an integer generator that gets the generator's upscaler in integers, "
        "and nothing else",
    )
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
        help="real pictures to measure both generators with: a folder, a zip, or an official set; "
        "with --into larger ones, to measure the upscaler (default: nothing but nearness is "
        "measured)",
    )
    parser.add_argument(
        "--images",
        type=Number(int, 200, 100_000),
        help="number of generated pictures to measure with (default: that of the generator's card)",
    )
    add_against(parser)
    add_fit(parser)
    add_measuring(parser)
    defaults = {name: parser.get_default(name) for name in MEASURING}
    parser.set_defaults(command=_quantize, defaults=defaults)


def _quantize(options: argparse.Namespace) -> int:
    folder, output = generator_folder(options.generator), options.output
    typed = f"{options.program} {options.typed}"
    if not options.data:
        why = "is for measuring with real pictures; say --data too"
        refuse(options, MEASURING, why, OutputError, options.defaults)
    if options.into is not None:
        print(f"{options.into}: {_upscaler(folder, options, typed)}")
        return 0
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
            command=typed,
            measure=measure,
        )
    print(f"{output}: {made}")
    return 0


def _upscaler(folder: Path, options: argparse.Namespace, typed: str) -> str:
    """Writes the upscaler of a generator in integers into the folder of another.

    Raises:
        OutputError: there is none, or an option or the other folder is not for it.
        GeneratorFileError: it is for pictures of other channels.
    """
    why = "is for a new model folder; --into writes an upscaler alone"
    refuse(options, NEW, why, OutputError)
    floats, into = read_generator_file(folder).upscaler, options.into
    if floats is None:
        raise OutputError(f"{folder}: it has no upscaler to make integers of")
    config = read_generator_file(into).config
    if not config.is_integer:
        raise OutputError(
            f"{into}: no integer generator; its own pictures differ between machines already"
        )
    check_channels(folder / UPSCALER, floats, config)

    def measure(file: UpscalerFile) -> dict[str, float]:
        if not options.data:
            return {}
        reading = options.data, options.fit, options.bits, str(into), Path("runs")
        return measured_upscaler(file, options, *reading)

    return write_integer_upscaler(
        floats, into, command=typed, steps=options.steps, seed=options.seed, measure=measure
    )
