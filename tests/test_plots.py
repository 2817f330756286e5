"""The curves of a run as pictures."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.training.run.plots import curves, draw_plots

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)


def write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_run(folder: Path, count: int = 300) -> Path:
    stats: list[dict[str, object]] = [
        {"images_seen": 64 * i, "loss_d": 1.0, "loss_g": i / 9, "d_real": 0.5} for i in range(count)
    ]
    # as where penalties are taken now and then
    stats[-1]["penalty"] = 3.0
    write_rows(folder / "stats.jsonl", stats)
    metrics: list[dict[str, object]] = [
        {"images_seen": 640 * i, "frechet5k_x": 500 / (i + 1), "precision_k3_x": 0.5}
        for i in range(5)
    ]
    write_rows(folder / "metrics.jsonl", metrics)
    return folder


@needs_matplotlib
@pytest.mark.usefixtures("real_plots")
def test_losses_and_metrics_are_drawn(tmp_path: Path) -> None:
    said: list[str] = []
    draw_plots(write_run(tmp_path), said.append)
    assert said == []
    for name in ("losses.png", "metrics.png"):
        with Image.open(tmp_path / name) as plot:
            assert plot.size[0] >= 500
            assert np.asarray(plot.convert("L")).std() > 5  # not an empty sheet
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("damage", ["[", "{}", '{"images_seen": 1, "loss_d": NaN}'])
def test_nothing_that_goes_wrong_stops_the_run(tmp_path: Path, damage: str) -> None:
    (tmp_path / "stats.jsonl").write_text(damage)
    said: list[str] = []
    draw_plots(tmp_path, said.append)
    assert all(text.startswith("warning: no plots") for text in said)


def test_curve_is_thinned_to_means_between_extremes() -> None:
    rows = [{"images_seen": i, "loss": float(i % 10)} for i in range(1000)]
    (curve,) = curves(rows, points=100)
    assert len(curve.mean) == 100
    assert np.allclose(curve.mean, 4.5)
    assert (curve.least.min(), curve.greatest.max()) == (0, 9)
    assert np.allclose(np.diff(curve.images_seen), 10)


def test_figures_that_are_lists_or_missing_are_left_out() -> None:
    rows: list[dict[str, Any]] = [
        {"images_seen": 1, "histogram": [1, 2], "a": 1.0},
        {"images_seen": 2, "b": 2.0},
    ]
    assert [(curve.name, curve.mean.tolist()) for curve in curves(rows)] == [
        ("a", [1.0]),
        ("b", [2.0]),
    ]
