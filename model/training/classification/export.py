"""A classifier measured, and written where people and the service find it, with its generator.

run -> last files -> share of mistakes -> a folder with the classifier, and a model folder in it
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from PIL import Image

from model import images
from model.classification.classifier_file import ClassifierFile, read_classifier, write_classifier
from model.classification.onnx_classifier import OnnxClassifier
from model.devices import usable_cores
from model.files import OutputError
from model.generator_file import (
    CARD,
    COMPUTED,
    CONFIG,
    SAMPLES,
    read_generator_file,
    write_generator_file,
)
from model.image_decoding import Fit
from model.samplers.onnx import OnnxSampler
from model.training.classification.card import BAD_GAN, About, classifier_card, method_of
from model.training.classification.pictures import held_out
from model.training.classification.report import last_classifier, report_classifier
from model.training.classification.task import GENERATOR, error_name, mistakes
from model.training.commands.arguments import check_output_folder, refuse
from model.training.datasets.dataset import DataError, Dataset, load
from model.training.datasets.downloads import data_path
from model.training.evaluation.feature_networks import AUTO, NONE
from model.training.run.card import model_card, written_by_people
from model.training.run.run_folder import read_options, slug
from model.training.run.run_log import seconds_spent

OBJECTIVES = "semi-supervised", "supervised"
CARD_SEEDS = 64
# options of `export` and `evaluate` that say nothing here
FOREIGN = ("onnx", "against", "into", "images", "pictures_of", "device", "outdir")


def is_classifier(path: Path) -> bool:
    """Returns whether a path is the folder of a classifier."""
    try:
        fields = json.loads((path / CONFIG).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(fields, dict) and fields.get("kind") == "classifier"


def is_classifier_run(run: Path) -> bool:
    """Returns whether a run trains a classifier.

    Raises:
        RunError: it is no run.
    """
    config = read_options(run).get("config", {})
    return isinstance(config, dict) and config.get("game") in OBJECTIVES


def evaluate_classifier(options: argparse.Namespace) -> int:
    """Measures a classifier; prints the metrics as JSON."""
    _check_options(options)
    if options.features == NONE:
        raise DataError("--features none leaves nothing to measure with")
    file = read_classifier(Path(options.generator))
    fit: Fit = options.fit
    test = read_held_out(file, options.data, options.base_url, fit, options.bits)
    if not len(test):
        raise DataError(f"{options.data}: no picture with a label is held out to measure with")
    print(json.dumps(measured(file, test), indent=2))
    return 0


def read_held_out(
    file: ClassifierFile, data: str, base_url: str | None, fit: Fit, bits: int
) -> Dataset:
    """Reads the held-out pictures with labels of a set, as the classifier takes them."""
    config, path = file.config, data_path(data, base_url)
    form = {"side": config.side, "channels": config.channels, "fit": fit, "bits": bits}
    return held_out(load(path, "test", **form, may_be_empty=True), config.classes)  # type: ignore[arg-type]


def measured(file: ClassifierFile, test: Dataset) -> dict[str, float]:
    """Returns the share of the held-out pictures that a classifier names wrong, by its protocol."""
    return {error_name(test): mistakes(OnnxClassifier(file, usable_cores()), test) / len(test)}


def report_classifier_run(options: argparse.Namespace) -> Path:
    """Writes the page on a run of a classifier; returns its path."""
    _check_options(options)
    record = read_options(options.run)
    file, config = last_classifier(options.run), record["config"]
    data = options.data or record["data"]["path"]
    test = read_held_out(file, data, options.base_url, config["fit"], config["bits"])
    return report_classifier(options.run, test if len(test) else None)


def export_classifier(options: argparse.Namespace) -> int:
    """Writes the last classifier of a run, measured, with a card, into a folder of its own; and the
    generator that it learnt against as a model folder in it.

    Raises:
        RunError: the run has no classifier yet.
        OutputError: it cannot be written there.
    """
    _check_options(options)
    run, output = options.run, options.output
    file, record = last_classifier(run), read_options(run)
    check_output_folder(output, options.force)
    if output.is_dir() and any(output.iterdir()) and not is_classifier(output):
        raise OutputError(f"{output}: holds files, but no classifier; say another --output")
    config = file.config
    metrics = dict(config.metrics)
    if (options.features or record.get("features", AUTO)) != NONE:
        data = options.data or record["data"]["path"]
        fit, bits = record["config"]["fit"], record["config"]["bits"]
        test = read_held_out(file, data, options.base_url, fit, bits)
        metrics = measured(file, test) if len(test) else {}
    before = written_by_people(output)
    name = options.name or before.get("name") or slug(output.resolve().name)
    changes = {
        "name": name,
        "metrics": metrics,
        "licence": options.licence or before.get("licence") or config.licence,
        "test_accuracy": 1.0 - next(iter(metrics.values()), 1.0),
    }
    config = config.model_copy(update=changes)
    hours = seconds_spent(run, sys.maxsize) / 3600
    cost = f"{hours:.1f} hours of training on {record['device']}, PyTorch {record['torch']}."
    method = method_of(record["config"]["game"], record["data"]["images"])
    description = options.description or before.get("description", "")
    told = About(method, record["command"], cost, description)
    new = write_classifier(
        output, config, dict(file.weights), classifier_card(config, told), OnnxClassifier
    )
    source = run / "last" / GENERATOR
    beside = ""
    if (source / CONFIG).is_file():
        beside = f"; its generator is in {output / GENERATOR}"
        _export_generator(source, output / GENERATOR, config.licence, record["command"], cost)
    else:
        shutil.rmtree(output / GENERATOR, ignore_errors=True)
    found = ", ".join(f"{error:.2%} wrong" for error in metrics.values()) or "not measured"
    print(f"{output}: classifier {new.id}, {found}{beside}")
    return 0


def _export_generator(source: Path, folder: Path, licence: str, command: str, cost: str) -> None:
    """Writes the generator with samples and a card that says what it is for."""
    file = read_generator_file(source)
    fields = file.config.model_dump(exclude={"format", *COMPUTED})
    fields |= {"network": file.config.network, "licence": licence}
    config = write_generator_file(folder, dict(file.weights), "", OnnxSampler, **fields)
    pixels = OnnxSampler(file)(config.rows(range(CARD_SEEDS)))
    Image.fromarray(images.tile(pixels, 16).squeeze()).save(folder / SAMPLES)
    samples = f"Seeds 0 to {CARD_SEEDS - 1}, row by row."
    why = f"It was trained to help the classifier beside it, not to be looked at. {BAD_GAN}."
    (folder / CARD).write_text(model_card(config, command, cost, samples, why))


def _check_options(options: argparse.Namespace) -> None:
    refuse(options, FOREIGN, "says nothing to a classifier", OutputError, {"device": AUTO})
    if options.features not in (None, AUTO, NONE):
        raise OutputError(
            f"--features is {options.features}; allowed for a classifier: {AUTO}, {NONE}"
        )
