"""`export`: the generator of a run as a model folder, measured, with samples and a model card.

run folder -> best or last generator -> metrics -> model folder, whole or not at all
"""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from model import images
from model.files import OutputError
from model.generator_file import (
    CARD,
    COMPUTED,
    CONFIG,
    DISCRIMINATOR,
    FILES,
    ONNX,
    SAMPLES,
    add_upscaler,
    read_generator_file,
    write_generator_file,
)
from model.generators import ZOO
from model.image_decoding import Fit
from model.samplers.onnx import OnnxSampler
from model.samplers.onnx_file import write_onnx
from model.samplers.sampler import load_sampler
from model.training.classification.export import export_classifier, is_classifier_run
from model.training.commands.arguments import (
    Number,
    check_output_folder,
    generator_name,
    refuse,
    source,
)
from model.training.commands.evaluate import (
    MEASURED,
    NothingHeldOutError,
    add_against,
    add_measuring,
    measured,
    run_features,
)
from model.training.datasets.downloads import OFFICIAL
from model.training.discriminators.discriminator_file import write_discriminator
from model.training.evaluation.feature_networks import NONE
from model.training.evaluation.measure import Metrics
from model.training.quantization.writing import write_integers
from model.training.run.card import LONGEST_LICENCE, model_card, written_by_people
from model.training.run.history import write_history
from model.training.run.progress import to_stderr
from model.training.run.run_folder import RunError, outdir_of, read_options, slug
from model.training.run.run_log import seconds_spent
from model.training.upscaling.export import (
    export_upscaler,
    is_upscaler_run,
    section_of,
    write_section,
)
from model.upscaling.upscaler_file import UPSCALER

CARD_SEEDS = 64
PREVIOUS_CARD = "README.previous.md"


def add_command(commands: Any) -> None:
    """Adds `export` to the commands."""
    export = commands.add_parser(
        "export",
        description="Writes the generator of a run, measured, with samples and a model card, into "
        "a new folder.",
        example="runs/00000-mnist-dcgan-mnist-batch128 --output my-digits",
    )
    export.add_argument("run", type=Path, help="run folder")
    place = export.add_mutually_exclusive_group(required=True)
    place.add_argument("--output", type=Path, help="the new model folder")
    place.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help="model folder of the generator that gets the upscaler of the run",
    )
    export.add_argument(
        "--force",
        action="store_true",
        help="replace the model folder that is there; its name, licence, description and other "
        "files are kept",
    )
    export.add_argument(
        "--which",
        choices=("best", "last"),
        default="best",
        help="snapshot with the best quality metric, or the last one (default: best; a run of a "
        "classifier has the last one alone)",
    )
    export.add_argument(
        "--name",
        type=generator_name,
        help="name of the generator in URLs, up to 64 of a-z, 0-9, - and _ (default: the folder's)",
    )
    export.add_argument(
        "--licence",
        type=_licence,
        help="licence of the training pictures, for the model card (default: the one of an "
        "official set)",
    )
    export.add_argument("--description", help="text for the model card")
    export.add_argument(
        "--data", type=source, help="real pictures to measure with (default: those of the run)"
    )
    export.add_argument(
        "--images",
        type=Number(int, 200, 100_000),
        help="number of generated pictures to measure with (default: that of an earlier "
        f"measurement, whose metrics are taken, else {MEASURED})",
    )
    export.add_argument(
        "--onnx", action="store_true", help="write model.onnx too, checked to generate the same"
    )
    export.add_argument(
        "--precision",
        choices=("float", "int8"),
        default="float",
        help="int8: an integer generator, at half the cost and the same on every machine, as "
        "`quantize` makes of a model folder (default: float)",
    )
    add_against(export)
    add_measuring(export, of_run=True)
    export.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> int:
    others = is_upscaler_run(options.run) or is_classifier_run(options.run)
    if others and options.precision != "float":
        raise OutputError("--precision int8 is for generators; this run has trained none")
    if options.features == NONE:
        why = "is for measuring; --features none measures nothing"
        refuse(options, ("data", "against"), why, OutputError)
    if is_upscaler_run(options.run):
        return export_upscaler(options)
    if is_classifier_run(options.run):
        if options.into is not None:
            raise OutputError("--into is for upscalers; this run has trained a classifier")
        return export_classifier(options)
    if options.into is not None:
        raise OutputError("--into is for upscalers; this run has trained a generator: say --output")
    source = options.run / options.which
    if options.which == "best" and not source.exists() and (options.run / "last").exists():
        raise RunError(
            f"{options.run}: it has no `best`, since no snapshot was measured; look at its grids, "
            "then say --which last"
        )
    file = read_generator_file(source)
    output, before = options.output, _previous(options)
    name = options.name or before.get("name") or slug(output.resolve().name)
    record = read_options(options.run)
    features = run_features(options, options.run)

    def measure(place: Path) -> Metrics:
        if features == NONE:
            return {}
        fit: Fit = record["config"].get("fit", "crop")
        bits: int = record["config"].get("bits", 0)
        data = options.data or record["data"]["path"]
        try:
            return measured(place, data, fit, bits, options, features, outdir_of(options.run))
        except NothingHeldOutError as error:
            to_stderr(str(error))
            return {}

    if features != NONE:
        to_stderr("metrics for the model card; --features none exports without measuring")
    metrics = measure(source) or file.config.metrics  # those of the snapshot
    fields = file.config.model_dump(exclude={"format", "metrics", "name", *COMPUTED})
    official = OFFICIAL.get(file.config.data.name)
    known = official.licence if official else "Not stated."
    fields |= {
        "licence": options.licence or before.get("licence") or known,
        "metrics": metrics,
        "name": name,
        "network": file.config.network,
    }
    hours = seconds_spent(options.run, file.config.images_seen) / 3600
    began = f"Started from `{record['start']}`. " if "start" in record else ""
    cost = f"{began}{hours:.1f} hours of training on {record['device']}, PyTorch {record['torch']}."
    integers = options.precision == "int8"
    with replaced(output) as new, TemporaryDirectory() as aside:
        folder = Path(aside) / "floats" if integers else new
        config = write_generator_file(folder, dict(file.weights), "", OnnxSampler, **fields)
        pixels = load_sampler(file, options.device)(config.rows(range(CARD_SEEDS)))
        Image.fromarray(images.tile(pixels, 16).squeeze()).save(folder / SAMPLES)
        samples = f"Seeds 0 to {CARD_SEEDS - 1}, row by row."
        description = options.description or before.get("description", "")
        techniques = record["config"].get("techniques", [])
        card = model_card(config, record["command"], cost, samples, description, techniques)
        (folder / CARD).write_text(card)
        kept = write_discriminator(
            options.run, record["config"]["game"], read_generator_file(folder), folder
        )
        if before.get("weights_sha256") == config.weights_sha256:
            _keep(output / DISCRIMINATOR, folder)
        if (output / UPSCALER).is_file():  # it fits any generator of such pictures
            add_upscaler(folder, output / UPSCALER)
            write_section(folder, section_of(output))
            kept += "; its upscaler is kept"
        if integers:
            kept = write_integers(
                folder,
                new,
                name=name,
                command=f"{options.program} {options.typed}",
                measure=lambda place: metrics if place == folder else measure(place),
            )
        if options.onnx or (output / ONNX).exists():
            write_onnx(read_generator_file(new), new / ONNX)
        shown = official is not None or options.licence is not None  # as their licence is told
        told = write_history(options.run, new, config.images_seen, reals=shown)
    print(f"{output}: {config.images_seen:,} images seen; {kept}; {told}")
    ships = ", as one that ships is" if (ZOO / name).is_dir() else ""
    print(f"its name in URLs is {name}{ships}; --name gives it another")
    return 0


def _previous(options: argparse.Namespace) -> dict[str, str]:
    """Reads what people may have written into the model folder that is to be replaced.

    Raises:
        OutputError: it must not be replaced.
    """
    output = options.output
    check_output_folder(output, options.force)
    if not output.is_dir() or not any(output.iterdir()):
        return {}
    if not (output / CONFIG).is_file():
        raise OutputError(f"{output}: holds files, but is no model folder; say another --output")
    return written_by_people(output)


@contextmanager
def replaced(output: Path) -> Iterator[Path]:
    """Yields a folder to write into, which takes the place of `output` when the block ends well;
    what does not belong to a model folder, and a model card that was another, are kept.

    Raises:
        OutputError: it cannot be written there.
    """
    output = output.resolve()
    folder, old = (output.with_name(f".{output.name}.{end}") for end in ("new", "old"))
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)  # what cannot be written is told before the work, not after it
        yield folder
        if output.is_dir():
            for entry in output.iterdir():
                if entry.name not in FILES:
                    _keep(entry, folder)
            if (output / CARD).is_file() and _differ(output / CARD, folder / CARD):
                shutil.copy2(output / CARD, folder / PREVIOUS_CARD)
            shutil.rmtree(old, ignore_errors=True)
            output.rename(old)
        folder.rename(output)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(entry: Path, folder: Path) -> None:
    """Copies a file or folder into a folder that does not have it."""
    if entry.is_dir():
        shutil.copytree(entry, folder / entry.name, symlinks=True)
    elif entry.exists() and not (folder / entry.name).exists():
        shutil.copy2(entry, folder / entry.name)


def _differ(one: Path, other: Path) -> bool:
    return one.read_bytes() != other.read_bytes()


def _licence(text: str) -> str:
    if len(text) > LONGEST_LICENCE:
        raise argparse.ArgumentTypeError(
            f"{len(text):,} characters; allowed: up to {LONGEST_LICENCE:,}"
        )
    return text
