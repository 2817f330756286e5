"""`quantize`: an integer generator made of a trained one, in a model folder of its own.

model folder -> units -> training with the roundings in place -> model folder, both measured
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model import images
from model.devices import usable_cores
from model.generator_file import (
    CARD,
    COMPUTED,
    SAMPLES,
    GeneratorFile,
    add_upscaler,
    read_generator_file,
    write_integer_file,
)
from model.generators import generator_folder
from model.image_decoding import Fit
from model.samplers.onnx import OnnxSampler
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
from model.training.quantization.learning import quantized
from model.training.run.card import description_of, model_card
from model.training.run.progress import to_stderr
from model.training.run.run_folder import slug
from model.training.upscaling.export import section_of, write_section
from model.upscaling.upscaler_file import UPSCALER

CARD_SEEDS = 64
STEPS = 300
COMPARED = 1000  # pictures whose nearness to those in floats is measured
FIRST_COMPARED = 4_000_000  # the first one's seed
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
    file = read_generator_file(folder)
    name = options.name or slug(output.resolve().name)
    tensors = quantized(file, options.steps, options.seed, to_stderr)
    fields = file.config.model_dump(exclude={"format", "metrics", "name", "upscaler", *COMPUTED})
    fields |= {"name": name, "network": file.config.network}
    directions = file.directions
    with replaced(output) as new:
        write_integer_file(new, tensors, directions, "", OnnxSampler, **fields)
        metrics: Metrics = {f"fidelity_psnr{COMPARED}": fidelity(file, read_generator_file(new))}
        beside: Metrics = {}
        if options.data:
            fit: Fit = options.fit
            reading = options.data, fit, options.bits, options, options.features, Path("runs")
            beside, own = (measured(place, *reading) for place in (folder, new))
            metrics = own | metrics
        fields["metrics"] = metrics
        config = write_integer_file(new, tensors, directions, "", OnnxSampler, **fields)
        pixels = OnnxSampler(read_generator_file(new))(config.rows(range(CARD_SEEDS)))
        Image.fromarray(images.tile(pixels, 16).squeeze()).save(new / SAMPLES)
        command = f"{options.program} {options.typed}"
        cost = f"Made of `{file.config.id}`, whose pictures it is to draw: {options.steps} steps."
        samples = f"Seeds 0 to {CARD_SEEDS - 1}, row by row."
        description = description_of((folder / CARD).read_text())
        (new / CARD).write_text(
            model_card(config, command, cost, samples, description, beside=beside)
        )
        if (folder / UPSCALER).is_file():
            add_upscaler(new, folder / UPSCALER)
            write_section(new, section_of(folder))
    print(f"{output}: {config.id}, {metrics[f'fidelity_psnr{COMPARED}']} dB from {file.config.id}")
    return 0


def fidelity(one: GeneratorFile, other: GeneratorFile) -> float:
    """Returns the nearness of two generators' pictures of the same seeds, in dB."""
    rows = one.config.rows(range(FIRST_COMPARED, FIRST_COMPARED + COMPARED))
    first, second = (OnnxSampler(file, usable_cores())(rows) for file in (one, other))
    error = float(np.square(first.astype(np.float64) - second).mean())
    return round(float(10 * np.log10(255**2 / max(error, 1e-9))), 2)
