"""One page on a run of a classifier: how often it is wrong, its mistakes, generated pictures,
curves.

run folder, held-out pictures  ->  report.html, with every picture inside
"""

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.classification.classifier_file import ClassifierFile, read_classifier
from model.classification.onnx_classifier import OnnxClassifier
from model.devices import usable_cores
from model.generator_file import CONFIG, read_generator_file
from model.images import tile
from model.samplers.onnx import OnnxSampler
from model.training.classification.card import title_of
from model.training.classification.task import CLASSIFIER, GENERATOR
from model.training.datasets.dataset import Dataset
from model.training.run.page import (
    image_element,
    options_of,
    page_head,
    plots_of,
    warnings_of,
    write_page,
)
from model.training.run.plots import draw_plots
from model.training.run.run_folder import RunError, read_options

SAMPLES, COLUMNS = 96, 12  # generated pictures, and in a row
MISTAKES = 48  # shown
MOST_CLASSES = 20  # in a table


def last_classifier(run_dir: Path) -> ClassifierFile:
    """Reads the classifier that a page is about.

    Raises:
        RunError: the run has none yet.
    """
    folder = run_dir / "last" / CLASSIFIER
    if not (folder / CONFIG).is_file():
        raise RunError(f"{run_dir}: no classifier there yet; is it a run folder?")
    return read_classifier(folder)


def report_classifier(run_dir: Path, test: Dataset | None) -> Path:
    """Draws the curves of a run, and writes the page on its last classifier; returns its path."""
    draw_plots(run_dir, print)
    file = last_classifier(run_dir)
    config = file.config
    facts = (
        f"{title_of(config).capitalize()}, of {len(config.classes)} classes, by preset "
        f"{config.preset}, trained on {config.data}, {config.epochs} epochs"
    )
    parts = [page_head(run_dir.name, facts), warnings_of(run_dir)]
    if test is not None:
        named = _named(OnnxClassifier(file, usable_cores()), test.images)
        parts += [_wrong(named, test), _table(named, test)]
    if (run_dir / "last" / GENERATOR / CONFIG).is_file():
        generator = read_generator_file(run_dir / "last" / GENERATOR)
        pixels = OnnxSampler(generator)(generator.config.rows(range(SAMPLES)))
        about = f"Seeds 0 to {SAMPLES - 1}. They are to help the classifier, not to be looked at."
        parts.append(f"<h2>Generated pictures</h2>\n<p>{about}</p>\n{_sheet(pixels)}")
    parts += [plots_of(run_dir), options_of(read_options(run_dir), file.sha256)]
    return write_page(run_dir, parts)


def _named(classify: OnnxClassifier, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    step = 512
    parts = [classify(pixels[at : at + step]).argmax(1) for at in range(0, len(pixels), step)]
    found: NDArray[np.int64] = np.concatenate(parts)
    return found


def _wrong(named: NDArray[np.int64], test: Dataset) -> str:
    assert test.labels is not None
    places = np.flatnonzero(named != test.labels)
    share = len(places) / len(test)
    text = (
        f"<h2>Mistakes</h2>\n<p>{len(places):,} of {len(test):,} held-out pictures are named "
        f"wrong, {share:.2%}. Nothing was selected by them.</p>"
    )
    if not len(places):
        return text
    shown = places[:MISTAKES]
    told = ", ".join(
        f"{test.classes[test.labels[place]]} as {test.classes[named[place]]}" for place in shown
    )
    return f"{text}\n{_sheet(test.images[shown])}\n<p>Row by row: {html.escape(told)}.</p>"


def _table(named: NDArray[np.int64], test: Dataset) -> str:
    """Returns how many pictures of each class get each name."""
    count = len(test.classes)
    if count > MOST_CLASSES:
        return ""
    assert test.labels is not None
    counts = np.zeros((count, count), np.int64)
    np.add.at(counts, (test.labels, named), 1)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in test.classes)
    rows = "".join(_row(test.classes[at], counts[at].tolist()) for at in range(count))
    return (
        "<p>Rows: what a picture is; columns: what it is named.</p>\n"
        f"<table><tr><th></th>{head}</tr>{rows}</table>"
    )


def _row(name: str, counts: Sequence[int]) -> str:
    cells = "".join(f'<td class="number">{count}</td>' for count in counts)
    return f"<tr><th>{html.escape(name)}</th>{cells}</tr>"


def _sheet(pixels: NDArray[np.uint8]) -> str:
    return image_element(tile(pixels, min(COLUMNS, len(pixels))), pixels.shape[1])
