"""One page on a run of an upscaler: held-out pictures as they were and enlarged, curves, metrics.

run folder, large pictures, a generator's pictures  ->  report.html, with every picture inside
"""

import html
from pathlib import Path

import numpy as np

from model.devices import usable_cores
from model.training.evaluation.measure import explain
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
from model.training.upscaling.pictures import Pixels, reduced
from model.training.upscaling.quality import enlarged_by
from model.upscaling.onnx_upscaler import OnnxUpscaler
from model.upscaling.upscaler_file import UPSCALER, UpscalerFile, read_upscaler

SHOWN = 6  # pictures of each kind


def best_or_last_upscaler(run_dir: Path) -> UpscalerFile:
    """Reads the upscaler that a page is about.

    Raises:
        RunError: the run has none yet.
    """
    for which in ("best", "last"):
        if (run_dir / which / UPSCALER).is_file():
            return read_upscaler(run_dir / which / UPSCALER)
    raise RunError(f"{run_dir}: no upscaler there yet; is it a run folder?")


def report_upscaler(run_dir: Path, held_out: Pixels, generated: Pixels | None) -> Path:
    """Draws the curves of a run, and writes the page on its best upscaler; returns its path."""
    draw_plots(run_dir, print)
    file = best_or_last_upscaler(run_dir)
    header, upscale = file.header, OnnxUpscaler(file, usable_cores())
    most = max(header.network.scales)
    colour = "grey" if header.network.channels == 1 else "RGB"
    facts = (
        f"An upscaler of {colour} pictures by preset {header.preset} after {header.images_seen:,} "
        f"pairs seen, trained on {header.data.name}, {header.data.images:,} pictures"
    )
    rows = []
    for real in held_out[:SHOWN]:
        small = reduced(real, len(real) // most)
        ways = [enlarged_by(method, small, most) for method in ("nearest", "lanczos")]
        rows.append(_row([*ways, upscale(small[None], most)[0], real]))
    parts = [page_head(run_dir.name, facts), warnings_of(run_dir)]
    if rows:
        about = "Reduced and enlarged again: nearest, Lanczos, this upscaler; and as they were."
        parts.append(f"<h2>Held-out pictures at {most}x</h2>\n<p>{about}</p>\n" + "\n".join(rows))
    if generated is not None:
        rows = [
            _row(
                [
                    *(enlarged_by(method, small, most) for method in ("nearest", "lanczos")),
                    upscale(small[None], most)[0],
                ]
            )
            for small in generated[:SHOWN]
        ]
        about = "Nearest, Lanczos, this upscaler."
        parts.append(f"<h2>Generated pictures at {most}x</h2>\n<p>{about}</p>\n" + "\n".join(rows))
    parts += [
        plots_of(run_dir),
        _metrics(header.metrics),
        options_of(read_options(run_dir), file.sha256),
    ]
    return write_page(run_dir, parts)


def _row(pictures: list[Pixels]) -> str:
    pixels = np.concatenate(pictures, axis=1)
    return f"<p>{image_element(pixels, pixels.shape[0])}</p>"


def _metrics(metrics: dict[str, float]) -> str:
    if not metrics:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(explain(name))}<br><small>{html.escape(name)}</small></td>"
        f'<td class="number">{value:g}</td></tr>'
        for name, value in metrics.items()
    )
    return f"""<h2>Metrics</h2>
<p>Each name holds its protocol: scale, what enlarged (nothing: this upscaler), how many held-out
pictures.</p>
<table><tr><th>metric</th><th>value</th></tr>{rows}</table>"""
