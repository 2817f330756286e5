"""The page on a run."""

import base64
import functools
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.generator_file import CONFIG, read_generator_file
from model.networks.families.residual import ResidualConfig
from model.training.commands import report
from model.training.datasets.dataset import Dataset
from model.training.evaluation.features import train_extractor, train_selfsup
from model.training.evaluation.measure import Reference, reference
from model.training.run.page import finish_report
from model.training.run.run_folder import RunError
from tests.conftest import CLASSES, write_tiny_generator, write_tiny_residual

CPU = torch.device("cpu")
RECORD = {
    "command": 'python -m model.training train --data "<b>pets</b>"',
    "config": {"preset": "modern-32", "network": {"family": "residual", "z_dim": 8}, "batch": 64},
    "schedule": {"images": 1000},
    "data": {"path": "pets", "name": "pets"},
    "device": "cpu",
}
GREY, RGB, CONDITIONAL = "grey", "RGB", "conditional"


class Page(HTMLParser):
    """Names of the elements of a page, and what they load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.sources: list[str] = []
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.sources += [str(value) for name, value in attrs if name in ("src", "href", "srcset")]

    def pictures(self) -> list[Image.Image]:
        contents = [
            base64.b64decode(source.removeprefix("data:image/png;base64,"))
            for source in self.sources
        ]
        return [Image.open(io.BytesIO(content)) for content in contents]


def pictures(side: int, channels: int, labelled: bool, count: int = 240, seed: int = 0) -> Dataset:
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % 3).astype(np.int64)
    images = random.integers(0, 60, (count, side, side, channels)).astype(np.uint8)
    images += (60 * labels).astype(np.uint8)[:, None, None, None]
    classes = CLASSES if labelled else ()
    return Dataset(name="pets", images=images, labels=labels if labelled else None, classes=classes)


@functools.cache
def data(kind: str) -> tuple[Dataset, Reference]:
    """Returns a training set and the real side of its figures."""
    channels, labelled = 1 if kind == GREY else 3, kind == CONDITIONAL
    side = 28 if kind == GREY else 32
    train, test = (pictures(side, channels, labelled, seed=seed) for seed in (0, 1))
    learn = train_extractor if labelled else train_selfsup
    extractor = learn(train, test, epochs=1, seed=0, device=CPU, say=print)
    return train, reference(extractor, test)


def make_run(folder: Path, kind: str) -> tuple[Path, Dataset, Reference]:
    """Makes a run folder with a best generator, its set, and the real side of its figures."""
    folder.mkdir()
    if kind == GREY:
        write_tiny_generator(folder / "best", crop=28)
    else:
        classes = 3 if kind == CONDITIONAL else 0
        network = ResidualConfig(
            z_dim=8, classes=classes, resolution=32, width=16, discriminator_width=16
        )
        write_tiny_residual(folder / "best", network)
    (folder / "options.json").write_text(json.dumps(RECORD))
    return folder, *data(kind)


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Page]:
    """Returns the page on a run of a kind, written once."""

    @functools.cache
    def written(kind: str) -> Page:
        run, train, real = make_run(tmp_path_factory.mktemp("runs") / "00000-pets", kind)
        return Page(report.report_run(run, real, train, 240, "cpu"))

    return written


@pytest.mark.parametrize("kind", [GREY, RGB, CONDITIONAL])
def test_page_shows_samples_real_pictures_strips_and_pairs(
    page_of: Callable[[str], Page], kind: str
) -> None:
    page, side = page_of(kind), data(kind)[0].images.shape[1]
    sizes = [picture.size for picture in page.pictures()]
    strips = [(12 * side, side)] * 4
    if kind == CONDITIONAL:
        assert sizes[:6] == [(12 * side, side)] * 6  # samples and real pictures of each class
        assert all(page.text.count(f">{name}<") == 2 for name in CLASSES)
        assert sizes[6:10] == strips
    else:
        assert sizes[:2] == [(12 * side, 8 * side)] * 2
        assert sizes[2:6] == strips
    assert sizes[-32:] == [(2 * side, side)] * 32
    modes = {picture.mode for picture in page.pictures()}
    assert modes == {"L" if kind == GREY else "RGB"}


@pytest.mark.parametrize("kind", [GREY, CONDITIONAL])
def test_page_tells_every_figure_with_its_protocol(
    page_of: Callable[[str], Page], kind: str
) -> None:
    text, name = page_of(kind).text, data(kind)[1].network.name
    wanted = ["frechet240_test240", "kid_s100x240_240_test240", "precision_k3_240_test240"]
    wanted += ["nearest_ratio_240_test240_train240"]
    wanted += ["class_right_percent240", "class_right240"] if kind == CONDITIONAL else []
    for start in wanted:
        assert f"{start}_{name}" in text
    assert ("class_right" in text) is (kind == CONDITIONAL)
    row = re.search(rf"frechet240_test240_{name}</small></td>(<td.*?</td>)(<td.*?</td>)", text)
    assert row
    of_samples, of_training = (float(re.sub("<.*?>", "", row.group(index))) for index in (1, 2))
    assert of_training < of_samples  # an untrained generator


def test_page_is_complete_in_itself_and_runs_nothing(page_of: Callable[[str], Page]) -> None:
    page = page_of(CONDITIONAL)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not {"script", "link", "iframe", "object"} & set(page.elements)
    assert "http:" not in page.text
    assert "https:" not in page.text
    assert "default-src 'none'" in page.text


def test_text_from_elsewhere_is_text_and_no_markup(page_of: Callable[[str], Page]) -> None:
    text = page_of(GREY).text
    assert "<b>" not in text
    assert "&lt;b&gt;pets&lt;/b&gt;" in text


def test_page_tells_each_warning_as_it_was_said_last(
    page_of: Callable[[str], Page], tmp_path: Path
) -> None:
    assert "<h2>Warnings" not in page_of(GREY).text
    run, train, _ = make_run(tmp_path / "00000-pets", GREY)
    said = [
        (1000, "alike", "alike"),
        (2000, "stuck", "not < better"),
        (30_000, "alike", "so alike"),
    ]
    rows = [{"images_seen": seen, "kind": kind, "text": text} for seen, kind, text in said]
    (run / "warnings.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    text = report.report_run(run, None, train, 240, "cpu").read_text()
    assert text.count("<li>") == 2
    assert "<li>After 2,000 images: not &lt; better.</li>" in text
    assert "<li>After 30,000 images: so alike.</li>" in text


def test_copies_are_shown_beside_what_they_are_copies_of(tmp_path: Path) -> None:
    run, train, real = make_run(tmp_path / "00000-pets", RGB)
    config = read_generator_file(run / "best").config
    copies = train.images[np.arange(1000) % len(train)]

    class Copying:
        input_dim = 8

        def __call__(self, rows: np.ndarray) -> np.ndarray:
            return copies[: len(rows)]

    subject = report.Subject(
        title="copies",
        config=config,
        sampler=Copying(),
        train=train,
        record=RECORD,
        metrics={},
        real_metrics={},
        network=real.network,
        train_features=real.network(train.images)[0],
    )
    for pair in Page(report.write_report(run, subject)).pictures()[-32:]:
        left, right = np.split(np.asarray(pair), 2, axis=1)
        assert np.array_equal(left, right)


def test_report_of_a_run_without_a_network_leaves_figures_and_neighbours_out(
    tmp_path: Path,
) -> None:
    run, train, _ = make_run(tmp_path / "00000-pets", GREY)
    text = report.report_run(run, None, train, 240, "cpu").read_text()
    assert "<h2>Samples" in text
    assert "<h2>Metrics" not in text
    assert "<h2>Nearest" not in text


def test_end_of_a_run_writes_the_page_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, train, real = make_run(tmp_path / "00000-pets", GREY)
    write_tiny_generator(run / "last")

    def write() -> Path:
        return report.report_run(run, real, train, 240, "cpu")

    finish_report(run, CONFIG, write)
    assert "report.html" in capsys.readouterr().out
    finish_report(run, CONFIG, write)
    assert capsys.readouterr().out == ""


def test_page_that_cannot_be_written_ends_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, train, real = make_run(tmp_path / "00000-pets", GREY)
    write_tiny_generator(run / "last")
    (run / "options.json").unlink()
    finish_report(run, CONFIG, lambda: report.report_run(run, real, train, 240, "cpu"))
    assert "warning: no report (RunError" in capsys.readouterr().out


def test_folder_without_a_generator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no generator there"):
        report.best_or_last(tmp_path)
