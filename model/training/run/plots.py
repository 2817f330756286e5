"""A run's curves as pictures, drawn anew at snapshots: losses.png and metrics.png.

stats.jsonl, metrics.jsonl  ->  thinned to some hundred points  ->  one panel a kind of metric
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.files import whole
from model.training.run.run_log import METRICS, STATS, read_rows

LOSSES_PLOT, METRICS_PLOT = "losses.png", "metrics.png"
POINTS = 400  # in one curve; more rows are averaged, between their least and their greatest value
PANEL = (5.0, 2.8)  # inches
DPI = 100
WIDE = 20  # times the least value: drawn on a logarithmic axis
SHARES = ("precision", "recall", "density", "coverage")  # drawn in one panel

Rows = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Curve:
    """One metric over the images seen, thinned."""

    name: str
    images_seen: NDArray[np.float64]
    mean: NDArray[np.float64]
    least: NDArray[np.float64]
    greatest: NDArray[np.float64]


def draw_plots(run_dir: Path, say: Callable[[str], None]) -> None:
    """Writes both pictures; errors are only reported, since a run is worth more than its plots."""
    try:
        for name, rows, kind in (
            (LOSSES_PLOT, read_rows(run_dir / STATS), _kind_of_loss),
            (METRICS_PLOT, read_rows(run_dir / METRICS), _kind_of_metric),
        ):
            if rows:
                _draw(curves(rows), kind, run_dir / name)
    except Exception as error:
        say(f"warning: no plots ({type(error).__name__}: {error})")


def curves(rows: Rows, points: int = POINTS) -> list[Curve]:
    """Returns every metric of the rows, in the order in which they turn up, without lists."""
    names = dict.fromkeys(name for row in rows for name in row if name != "images_seen")
    found = []
    for name in names:
        values = [
            (row["images_seen"], row[name])
            for row in rows
            if isinstance(row.get(name), int | float)
        ]
        if values:
            parts = np.array_split(np.array(values, float), min(points, len(values)))
            found.append(
                Curve(
                    name,
                    np.array([part[:, 0].mean() for part in parts]),
                    np.array([part[:, 1].mean() for part in parts]),
                    np.array([part[:, 1].min() for part in parts]),
                    np.array([part[:, 1].max() for part in parts]),
                )
            )
    return found


def _kind_of_loss(name: str) -> str:
    if name.startswith("loss"):
        return "losses"
    return "mean output of the discriminator" if name.startswith("d_") else name.replace("_", " ")


def _kind_of_metric(name: str) -> str:
    return "precision to coverage" if name.startswith(SHARES) else name


def _draw(found: list[Curve], kind: Callable[[str], str], path: Path) -> None:
    # by name: matplotlib is slow to import, and only a run that draws should wait for it
    module: Any = importlib.import_module("matplotlib.figure")
    panels: dict[str, list[Curve]] = {}
    for curve in found:
        panels.setdefault(kind(curve.name), []).append(curve)
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = module.Figure((PANEL[0] * columns, PANEL[1] * rows), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axis, (title, part) in zip(axes, panels.items(), strict=False):
        for curve in part:
            thousands = curve.images_seen / 1000
            axis.fill_between(thousands, curve.least, curve.greatest, alpha=0.2, linewidth=0)
            axis.plot(thousands, curve.mean, linewidth=1.2, label=curve.name, marker=_mark(curve))
        if all(curve.mean.min() > 0 and _spread(curve) > WIDE for curve in part):
            axis.set_yscale("log")
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        if len(part) > 1:
            axis.legend(fontsize=7)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    figure.supxlabel("thousand images seen", fontsize=9)
    with whole(path) as temporary:
        figure.savefig(temporary, format="png")


def _spread(curve: Curve) -> float:
    return float(curve.mean.max() / curve.mean.min())


def _mark(curve: Curve) -> str:
    return "." if len(curve.mean) < 40 else ""
