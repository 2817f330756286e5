"""One page on a run, for people: samples of its generator, its training pictures, its quality.

    run folder, generator, real pictures  ->  report.html, with every picture inside

The page runs no script and loads nothing from elsewhere.
"""

import argparse
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.generator_file import CONFIG, GeneratorConfig, read_generator_file
from model.image_decoding import Fit
from model.images import tile
from model.latent_space.paths import default_mode, interpolate_rows
from model.metrics import nearest
from model.samplers.pytorch import resolve_device
from model.samplers.sampler import Sampler, load_sampler
from model.training.classification.export import is_classifier_run, report_classifier_run
from model.training.commands.arguments import Number, source
from model.training.commands.evaluate import (
    add_measuring,
    read_network,
    read_parts,
    run_features,
)
from model.training.datasets.dataset import Dataset
from model.training.datasets.downloads import data_path
from model.training.evaluation.feature_networks import thinned, train_features
from model.training.evaluation.measure import (
    FeatureNetwork,
    Metrics,
    Reference,
    compare,
    evaluate,
    explain,
    reference,
)
from model.training.run.measurements import Measured, keep, recall
from model.training.run.page import (
    image_element,
    options_of,
    page_head,
    plots_of,
    warnings_of,
    write_page,
)
from model.training.run.plots import draw_plots
from model.training.run.progress import Say, silent, to_stderr
from model.training.run.run_folder import RunError, outdir_of, read_options
from model.training.upscaling.export import is_upscaler_run
from model.training.upscaling.pictures import open_pictures
from model.training.upscaling.quality import generated_pictures
from model.training.upscaling.report import SHOWN, report_upscaler

MEASURED = 5000  # generated pictures, where nothing else is said
COLUMNS, ROWS = 12, 8  # in a sheet; with classes a row is a class
MOST_CLASSES = 20  # shown
STRIPS = 4  # interpolations, of COLUMNS frames each
PAIRS = 16
SEARCHED = 1000  # samples that are searched for those nearest to a training picture
PAIR_SIDE = 40  # the same of a picture in a pair; eight pairs have room side by side

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a page is about."""

    title: str
    config: GeneratorConfig
    sampler: Sampler
    train: Dataset
    record: dict[str, Any]  # options.json of the run
    metrics: Metrics  # the generator's, by name
    real_metrics: Metrics  # the same of training pictures in its place
    network: FeatureNetwork | None  # None: no nearest neighbours
    train_features: NDArray[np.float32] | None


def best_or_last(run_dir: Path) -> Path:
    """Returns the model folder that a page is about.

    Raises:
        RunError: the run has neither.
    """
    for which in ("best", "last"):
        if (run_dir / which / CONFIG).is_file():
            return run_dir / which
    raise RunError(f"{run_dir}: no generator there yet; is it a run folder?")


def report_run(
    run_dir: Path,
    real: Reference | None,
    train: Dataset,
    count: int,
    device: str,
    say: Say = silent,
) -> Path:
    """Draws the curves of a run, measures its best generator with `count` pictures, where that has
    not been done, and writes the page on it.
    """
    draw_plots(run_dir, print)
    file = read_generator_file(best_or_last(run_dir))
    config, sampler = file.config, load_sampler(file, device)
    network = real.network if real else None
    train = thinned(train)
    features = train_features(network, train, config.data.split, say)
    metrics: Metrics = {}
    real_metrics: Metrics = {}
    if real is not None:
        protocol = Measured(
            weights_sha256=config.weights_sha256,
            network=real.network.name,
            part=real.part,
            data_sha256=real.data_sha256,
        )
        if known := recall(run_dir, protocol, count):
            metrics = known[1]
        else:
            metrics = evaluate(
                sampler, config.rows, real, count, train=features, classes=config.classes, say=say
            )
            keep(run_dir, protocol, count, metrics)
    if real is not None and features is not None and real.part == "test":
        some = np.random.default_rng(0).permutation(len(features))[:count]
        real_metrics = {**compare(real, features[some], say=say)}
    return write_report(
        run_dir,
        Subject(
            title=run_dir.name,
            config=config,
            sampler=sampler,
            train=train,
            record=read_options(run_dir),
            metrics=metrics,
            real_metrics=real_metrics,
            network=network,
            train_features=features,
        ),
    )


def write_report(run_dir: Path, subject: Subject) -> Path:
    """Writes report.html into the run's folder, whole or not at all; returns its path."""
    parts = [
        page_head(subject.title, _about(subject.config)),
        warnings_of(run_dir),
        _samples(subject),
        _real(subject),
        _interpolations(subject),
        _neighbours(subject),
        plots_of(run_dir),
        _metrics(subject),
        options_of(subject.record, subject.config.weights_sha256),
    ]
    return write_page(run_dir, parts)


def _about(config: GeneratorConfig) -> str:
    colour = "grey" if config.network.channels == 1 else "RGB"
    return (
        f"{config.crop}x{config.crop} {colour} pictures by preset {config.preset} after "
        f"{config.images_seen:,} images seen ({config.images_seen / config.data.images:.1f} "
        f"epochs), trained on {config.data.name}, {config.data.images:,} pictures"
    )


def _samples(subject: Subject) -> str:
    config, sampler = subject.config, subject.sampler
    if not config.classes:
        pixels = sampler(config.rows(range(COLUMNS * ROWS)))
        return f"<h2>Samples</h2>\n<p>Seeds 0 to {len(pixels) - 1}.</p>\n{_sheet(pixels)}"
    rows = [
        (config.classes[class_], sampler(config.rows(range(COLUMNS), class_)))
        for class_ in _shown(len(config.classes))
    ]
    return f"<h2>Samples</h2>\n<p>Seeds 0 to {COLUMNS - 1} of each class.</p>\n{_named(rows)}"


def _real(subject: Subject) -> str:
    train, classes = subject.train, subject.config.classes
    head = "<h2>Real pictures</h2>\n<p>Of the training part, chosen at random.</p>\n"
    order = np.random.default_rng(0).permutation(len(train))
    if not classes or train.labels is None:
        return head + _sheet(train.images[order[: COLUMNS * ROWS]])
    labels = train.labels[order]
    rows = [
        (classes[class_], train.images[order[labels == class_][:COLUMNS]])
        for class_ in _shown(len(classes))
    ]
    return head + _named(rows)


def _interpolations(subject: Subject) -> str:
    config = subject.config
    keys = config.rows(range(2 * STRIPS)).reshape(STRIPS, 2, -1)
    mode = default_mode(config.prior)
    strips = [
        (
            f"seed {2 * index} to {2 * index + 1}",
            subject.sampler(interpolate_rows(ends, config.network.z_dim, COLUMNS, mode)),
        )
        for index, ends in enumerate(keys)
    ]
    about = "Where every step is a sound picture, the generator has not just memorised pictures."
    return f"<h2>From one seed to another</h2>\n<p>{about}</p>\n{_named(strips)}"


def _neighbours(subject: Subject) -> str:
    if subject.network is None or subject.train_features is None:
        return ""
    pixels = subject.sampler(subject.config.rows(range(SEARCHED)))
    features, _ = subject.network(pixels)
    distances, index = nearest(subject.train_features, features)
    median = float(np.median(distances)) or 1.0

    def pairs(seeds: Iterable[int]) -> str:
        found = []
        for seed in seeds:
            pair = np.concatenate([pixels[seed], subject.train.images[index[seed]]], axis=1)
            image = image_element(pair, subject.config.crop, PAIR_SIDE)
            found.append(_figure(image, f"seed {seed}: {distances[seed] / median:.2f}"))
        return "".join(found)

    return f"""<h2>Nearest training pictures</h2>
<p>Left a sample, right the training picture nearest to it in the features of
{html.escape(subject.network.name)}; the number is their distance, over the median of {SEARCHED:,}
samples.</p>
<h3>Seeds 0 to {PAIRS - 1}</h3>
{pairs(range(PAIRS))}
<h3>The nearest of {SEARCHED:,} samples: if any is a copy, it is here</h3>
{pairs(np.argsort(distances)[:PAIRS].tolist())}"""


def _metrics(subject: Subject) -> str:
    if not subject.metrics:
        return ""
    rows = [
        f"<tr><td>{html.escape(explain(name))}<br><small>{html.escape(name)}</small></td>"
        f'<td class="number">{_value(value)}</td>'
        f'<td class="number">{_value(subject.real_metrics.get(name))}</td></tr>'
        for name, value in subject.metrics.items()
    ]
    return f"""<h2>Metrics</h2>
<p>Each name holds its protocol: the metric, the number of samples, the real pictures that they are
compared with, and the network whose features are used, with the first digits of its hash. Metrics
of another protocol are not to be compared with them; only those through inception are FID and
KID as they are published. Beside them: what training pictures score in the samples' place.</p>
<table><tr><th>metric</th><th>samples</th><th>training pictures</th></tr>
{"".join(rows)}</table>"""


def _shown(count: int) -> list[int]:
    """Returns all classes, or evenly chosen ones."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, MOST_CLASSES))]


def _named(rows: Sequence[tuple[str, Pixels]]) -> str:
    return "\n".join(
        f'<div class="row"><span class="name">{html.escape(name)}</span>{_sheet(pixels)}</div>'
        for name, pixels in rows
    )


def _sheet(pixels: Pixels) -> str:
    return (
        image_element(tile(pixels, min(COLUMNS, len(pixels))), pixels.shape[1])
        if len(pixels)
        else ""
    )


def _figure(image: str, caption: str) -> str:
    return f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _value(value: float | int | list[int] | None) -> str:
    if value is None:
        return ""
    return " ".join(map(str, value)) if isinstance(value, list) else f"{value:g}"


# --- the command ---


def add_command(commands: Any) -> None:
    """Adds `report` to the commands."""
    page = commands.add_parser(
        "report",
        description="Writes report.html into a run folder: samples, interpolations, nearest "
        "training pictures,\ncurves and metrics.",
        example="runs/00000-mnist-dcgan-mnist-batch128",
    )
    page.add_argument("run", type=Path, help="run folder")
    page.add_argument("--data", type=source, help="real pictures (default: those of the run)")
    page.add_argument(
        "--images",
        type=Number(int, 200, 100_000),
        help=f"number of generated pictures to measure with (default: {MEASURED})",
    )
    add_measuring(page, of_run=True)
    page.set_defaults(command=_report)


def of_upscaler(options: argparse.Namespace) -> Path:
    """Writes the page on a run of an upscaler; returns its path."""
    record = read_options(options.run)
    config = record["config"]
    path = data_path(options.data or record["data"]["path"], options.base_url)
    pictures = open_pictures(path, fit=config["fit"], bits=config["bits"])
    generated = generated_pictures(record.get("generator"), options.device, SHOWN)
    return report_upscaler(options.run, pictures.held_out(SHOWN), generated)


def _report(options: argparse.Namespace) -> int:
    if is_upscaler_run(options.run):
        print(of_upscaler(options))
        return 0
    if is_classifier_run(options.run):
        print(report_classifier_run(options))
        return 0
    file = read_generator_file(best_or_last(options.run))
    record = read_options(options.run)
    path = data_path(options.data or record["data"]["path"], options.base_url)
    fit: Fit = record["config"].get("fit", "crop")
    bits: int = record["config"].get("bits", 0)
    train, test = read_parts(path, file.config.crop, file.config.network.channels, fit, bits)
    device, outdir = resolve_device(options.device), outdir_of(options.run)
    network = read_network(run_features(options, options.run), outdir, train, test, device)
    real = reference(network, test, train, say=to_stderr) if network else None
    count = options.images or MEASURED
    print(report_run(options.run, real, train, count, options.device, to_stderr))
    return 0
