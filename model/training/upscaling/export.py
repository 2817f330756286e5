"""An upscaler measured, and written where people and generators find it.

run -> best or last file -> metrics -> a folder of its own, or a generator's folder
"""

import argparse
import json
import re
import shutil
from pathlib import Path

from model.devices import usable_cores
from model.files import OutputError, write_whole
from model.generator_file import CARD, CONFIG, add_upscaler, read_generator_file
from model.generators import generator_folder
from model.image_decoding import Fit
from model.samplers.pytorch import resolve_device
from model.training.commands.arguments import check_output_folder, refuse
from model.training.datasets.dataset import DataError
from model.training.datasets.downloads import data_path
from model.training.evaluation.feature_networks import AUTO, NONE, WITHOUT
from model.training.run.progress import to_stderr
from model.training.run.run_folder import RunError, outdir_of, read_options
from model.training.run.run_log import seconds_spent
from model.training.upscaling.card import SECTION, section, upscaler_card
from model.training.upscaling.pictures import open_pictures
from model.training.upscaling.quality import Measure, generated_pictures, patch_judge
from model.upscaling.onnx_upscaler import OnnxUpscaler
from model.upscaling.upscaler_file import UPSCALER, UpscalerFile, read_upscaler, write_upscaler

MEASURED = 1000  # pictures, where nothing else is said
FOREIGN = ("name", "onnx", "against")  # options of `export` and `evaluate` that say nothing here


def is_upscaler(path: Path) -> bool:
    """Returns whether a path is an upscaler's file, or a folder that has one and no generator."""
    if path.is_dir():
        return (path / UPSCALER).is_file() and not (path / CONFIG).is_file()
    return path.is_file() and path.suffix == Path(UPSCALER).suffix


def is_upscaler_run(run: Path) -> bool:
    """Returns whether a run trains an upscaler.

    Raises:
        RunError: it is no run.
    """
    config = read_options(run).get("config", {})
    return isinstance(config, dict) and config.get("game") == "super-resolution"


def evaluate_upscaler(options: argparse.Namespace) -> int:
    """Measures an upscaler; prints the metrics as JSON."""
    _check_options(options)
    path = Path(options.generator)
    file = read_upscaler(path / UPSCALER if path.is_dir() else path)
    fit: Fit = options.fit
    found = measured(
        file,
        options,
        options.data,
        fit,
        options.bits,
        options.pictures_of,
        options.outdir or Path("runs"),
    )
    print(json.dumps(found, indent=2))
    return 0


def measured(
    file: UpscalerFile,
    options: argparse.Namespace,
    data: str,
    fit: Fit,
    bits: int,
    generator: str | None,
    outdir: Path,
) -> dict[str, float]:
    """Measures an upscaler on the CPU, as it is served, with held-out pictures and those of a
    generator. The network whose features the Frechet distance is taken in is kept in `outdir`.

    Raises:
        DataError: there are none, or of other channels.
    """
    pictures = open_pictures(data_path(data, options.base_url), fit=fit, bits=bits)
    network, count = file.header.network, options.images or MEASURED
    if pictures.channels != network.channels:
        raise DataError(
            f"{data}: pictures of {pictures.channels} channels; the upscaler is for "
            f"{network.channels}"
        )
    held_out = pictures.held_out(count)
    if not len(held_out):
        raise DataError(f"{data}: no picture is held out to measure with")
    device = resolve_device(options.device)
    judge = None
    if options.features != NONE:
        judge = patch_judge(pictures, outdir, device, to_stderr, WITHOUT)
    generated, name = None, ""
    if generator is not None:
        name = read_generator_file(generator_folder(generator)).config.name
        generated = generated_pictures(generator, options.device, len(held_out))
    measure = Measure(held_out, network.scales, judge, generated, name)
    return measure(OnnxUpscaler(file, usable_cores()), to_stderr)


def export_upscaler(options: argparse.Namespace) -> int:
    """Writes the upscaler of a run, measured, with a card, into a folder of its own or into that of
    a generator.

    Raises:
        RunError: the run has no such upscaler.
        OutputError: it cannot be written there.
        GeneratorFileError: the generator is of other channels.
    """
    _check_options(options)
    run, which = options.run, options.which
    source = run / which / UPSCALER
    if which == "best" and not source.exists() and (run / "last" / UPSCALER).exists():
        raise RunError(
            f"{run}: it has no `best`, since no snapshot was measured; look at its grids, then say "
            "--which last"
        )
    file, record = read_upscaler(source), read_options(run)
    header = file.header
    if options.into is not None:
        into = read_generator_file(options.into).config
        if into.network.channels != header.network.channels:
            raise OutputError(
                f"{options.into}: its pictures have {into.network.channels} channels; the upscaler "
                f"is for {header.network.channels}"
            )
    else:
        _check_output(options.output, options.force)
    metrics = dict(header.metrics)
    if (options.features or record.get("features", AUTO)) != NONE:
        config = record["config"]
        data = options.data or record["data"]["path"]
        generator = options.into or record.get("generator")
        to_stderr("metrics for the model card; --features none exports without measuring")
        metrics = measured(
            file,
            options,
            data,
            config["fit"],
            config["bits"],
            generator and str(generator),
            outdir_of(run),
        )
    fields = header.model_dump(exclude={"format", "tensors_sha256", "golden"})
    fields |= {
        "network": header.network,
        "metrics": metrics,
        "licence": options.licence or header.licence,
    }
    hours = seconds_spent(run, header.images_seen) / 3600
    cost = f"{hours:.1f} hours of training on {record['device']}, PyTorch {record['torch']}."
    if "start" in record:
        cost = f"Started from upscaler `{record['start']}`. {cost}"
    folder = (options.into or options.output).resolve()
    temporary = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        new = write_upscaler(temporary, file.weights, OnnxUpscaler, **fields)
        if options.into is not None:
            generator_id = add_upscaler(folder, temporary / UPSCALER).id
            write_section(folder, section(new, record["command"], cost))
            print(f"{options.into}: {generator_id} has upscaler {new.hash} now")
            return 0
        folder.mkdir(exist_ok=True)
        (temporary / UPSCALER).replace(folder / UPSCALER)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    card = upscaler_card(new, record["command"], cost, options.description or "")
    write_whole(folder / CARD, card.encode())
    print(f"{options.output}: upscaler {new.hash}, {header.images_seen:,} pairs seen")
    return 0


def _check_output(folder: Path, force: bool) -> None:
    """Checks that a folder can be written, or that what is replaced there is an upscaler."""
    check_output_folder(folder, force)
    if (folder / CONFIG).is_file():
        raise OutputError(f"{folder}: is a generator's folder; --into adds the upscaler to it")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / UPSCALER).is_file():
        raise OutputError(f"{folder}: holds files, but no upscaler; say another --output")


def write_section(folder: Path, text: str) -> None:
    """Puts the section on the upscaler into a generator's card, in the place of an earlier one."""
    path = folder / CARD
    card = path.read_text() if path.is_file() else ""
    without = re.sub(rf"^{SECTION}\s*$.*?(?=^## |\Z)", "", card, flags=re.MULTILINE | re.DOTALL)
    write_whole(path, f"{without.rstrip()}\n\n{text}".lstrip().encode())


def section_of(folder: Path) -> str:
    """Returns the section on the upscaler of a generator's card; "" where there is none."""
    path = folder / CARD
    card = path.read_text() if path.is_file() else ""
    found = re.search(rf"^{SECTION}\s*$.*?(?=^## |\Z)", card, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def _check_options(options: argparse.Namespace) -> None:
    refuse(options, FOREIGN, "is for generators; this is an upscaler", OutputError)
    if options.features not in (None, AUTO, NONE):
        raise OutputError(f"--features is {options.features}; allowed for an upscaler: auto, none")
