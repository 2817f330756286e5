"""`export`: the generator of a run, measured, with its samples and its model card.

run folder -> best or last generator -> figures -> generator file to serve and share
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from model import images
from model.generator_file import (
    COMPUTED,
    ONNX,
    SAMPLES,
    read_generator_file,
    write_generator_file,
)
from model.image_decoding import Fit
from model.samplers.onnx import OnnxSampler
from model.samplers.onnx_file import write_onnx
from model.samplers.sampler import load_sampler
from model.training.commands.arguments import Number
from model.training.commands.evaluate import (
    NothingHeldOutError,
    add_against,
    add_measuring,
    measured,
)
from model.training.datasets.downloads import OFFICIAL
from model.training.discriminators.discriminator_file import write_discriminator
from model.training.evaluation.figures import Figures
from model.training.run.card import model_card
from model.training.run.run_folder import OPTIONS, RunError, slug
from model.training.run.run_log import seconds_spent

CARD_SEEDS = 64


def add_command(commands: Any) -> None:
    """Adds `export` to the commands."""
    export = commands.add_parser("export")
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
        "--images", type=Number(int, 200, 100_000), default=10_000, help="generated pictures"
    )
    export.add_argument("--onnx", action="store_true", help="and model.onnx, checked")
    add_against(export)
    add_measuring(export)
    export.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> int:
    source = options.run / options.which
    if options.which == "best" and not source.exists() and (options.run / "last").exists():
        raise RunError(
            f"{options.run}: it has no `best`, for want of a quality figure; "
            "look at its grids, then say --which last"
        )
    file = read_generator_file(source)
    record = json.loads((options.run / OPTIONS).read_text())
    fit: Fit = record["config"].get("fit", "crop")
    bits: int = record["config"].get("bits", 0)
    metrics: Figures = {}
    try:
        metrics = measured(source, options.data or record["data"]["path"], fit, options, bits)
    except NothingHeldOutError as error:
        print(error, file=sys.stderr)
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
    began = f"Started from `{record['start']}`. " if "start" in record else ""
    cost = f"{began}{hours:.1f} hours of training on {record['device']}, PyTorch {record['torch']}."
    samples = f"Seeds 0 to {CARD_SEEDS - 1}, row by row."
    card = model_card(config, record["command"], cost, samples)
    (options.output / "README.md").write_text(card)
    if options.onnx:
        write_onnx(read_generator_file(options.output), options.output / ONNX)
    file = read_generator_file(options.output)
    kept = write_discriminator(options.run, record["config"]["game"], file, options.output)
    print(f"{options.output}: {config.name}, {config.images_seen:,} images seen; {kept}")
    return 0


def _name(text: str) -> str:
    if slug(text) != text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name; allowed: up to 64 of a-z, 0-9, - and _"
        )
    return text
