"""Results as pictures, one PNG file a part; needs matplotlib, and does nothing without it."""

import importlib.util
from pathlib import Path
from typing import Any

from benchmarks.results import EncodersPart, GeneratorPart, OverloadPart, Results, ServingPart


def draw(results: Results, folder: Path) -> list[Path]:
    """Returns the files that were written."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    import matplotlib as mpl

    mpl.use("Agg")
    figures = {}
    if results.serving:
        figures["serving"] = _serving(results.serving)
    if results.generator:
        figures["generator"] = _generator(results.generator)
    if results.encoders:
        figures["encoders"] = _encoders(results.encoders)
    if results.overload:
        figures["overload"] = _overload(results.overload)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


def _panels(rows: int, columns: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * columns, 4 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _doubling(axis: Any, values: list[int]) -> None:
    """Draws a logarithmic horizontal axis with a mark at each value."""
    marks = sorted(set(values))
    axis.set_xscale("log")
    axis.set_xticks(marks, labels=[str(mark) for mark in marks])
    axis.set_xticks([], minor=True)


def _serving(part: ServingPart) -> Any:
    figures = (
        ("requests_per_second", "requests/s"),
        ("p99_ms", "p99, ms"),
        ("cpu_ms_per_request", "CPU ms a request"),
    )
    figure, axes = _panels(2, 3)
    for row, (noop, title) in enumerate(((False, "with network"), (True, "without network"))):
        for axis, (name, label) in zip(axes[row], figures, strict=True):
            for measured in part.servers:
                if measured.noop == noop:
                    axis.plot(
                        [cell.clients for cell in measured.cells],
                        [getattr(cell, name) for cell in measured.cells],
                        marker="o",
                        linewidth=2.5 if measured.server == "ours" else 1.0,
                        label=measured.server,
                    )
            axis.set(yscale="log", xlabel="clients", ylabel=label, title=title)
            _doubling(axis, [cell.clients for measured in part.servers for cell in measured.cells])
            axis.grid(alpha=0.3)
    axes[0][0].legend()
    return figure


def _generator(part: GeneratorPart) -> Any:
    figure, axes = _panels(1, 2)
    names = dict.fromkeys((row.runtime, row.precision, row.threads) for row in part.rows)
    for axis, (figure_name, label) in zip(
        axes[0],
        (("pictures_per_second", "pictures/s"), ("cpu_ms_per_picture", "CPU ms a picture")),
        strict=True,
    ):
        for runtime, precision, threads in names:
            rows = [
                row
                for row in part.rows
                if (row.runtime, row.precision, row.threads) == (runtime, precision, threads)
            ]
            axis.plot(
                [row.batch for row in rows],
                [getattr(row, figure_name) for row in rows],
                marker="o",
                linestyle="-" if precision == "fp32" else "--",
                label=f"{runtime} {precision}, {threads} thread(s)",
            )
        axis.set(xlabel="batch", ylabel=label, ylim=(0, None))
        _doubling(axis, [row.batch for row in part.rows])
        axis.grid(alpha=0.3)
    axes[0][1].legend(fontsize="small")
    return figure


def _encoders(part: EncodersPart) -> Any:
    forms = list(dict.fromkeys(row.form for row in part.rows))
    figure, axes = _panels(1, len(forms))
    for axis, form in zip(axes[0], forms, strict=True):
        rows = [row for row in part.rows if row.form == form]
        axis.barh([row.encoder for row in rows], [row.microseconds for row in rows])
        axis.invert_yaxis()
        axis.set(xlabel="CPU microseconds a picture", title=form)
    return figure


def _overload(part: OverloadPart) -> Any:
    figure, axes = _panels(1, 2)
    for curve in part.curves:
        offered = [point.offered for point in curve.points]
        (line,) = axes[0][0].plot(
            offered, [point.goodput for point in curve.points], marker="o", label=curve.server
        )
        axes[0][0].plot(
            offered,
            [point.in_time for point in curve.points],
            linestyle="--",
            color=line.get_color(),
            label=f"{curve.server}, within 1 s",
        )
        axes[0][1].plot(
            offered, [point.p99_ms for point in curve.points], marker="o", label=curve.server
        )
    axes[0][0].set(xlabel="offered requests/s", ylabel="pictures/s")
    axes[0][1].set(xlabel="offered requests/s", ylabel="p99, ms", yscale="log")
    for axis in axes[0]:
        axis.grid(alpha=0.3)
        axis.legend()
    return figure
