"""The page on a run, as far as it does not depend on what the run has learnt: parts of HTML.

The page runs no script and loads nothing from elsewhere.
"""

import base64
import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.files import write_whole
from model.training.run.plots import LOSSES_PLOT, METRICS_PLOT
from model.training.run.run_log import WARNINGS, read_rows

REPORT = "report.html"
SHOWN_SIDE = 64  # pixels on the page, at least; small pictures are shown larger

Pixels = NDArray[np.uint8]

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
img { image-rendering: pixelated; max-width: 100%; vertical-align: middle; }
img.plot { image-rendering: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #8884; }
td { vertical-align: top; overflow-wrap: anywhere; } td.number { text-align: right; }
pre { overflow-x: auto; background: #8881; padding: .6rem; }
figure { display: inline-block; margin: 0 .4rem .5rem 0; text-align: center; }
figcaption, small, .name { font-size: .8rem; opacity: .75; }
.row { display: flex; align-items: center; gap: .6rem; }
.row .name { width: 6rem; overflow-wrap: anywhere; }
"""


def write_page(run_dir: Path, parts: Sequence[str]) -> Path:
    """Writes report.html of its parts, the head first; returns its path."""
    path = run_dir / REPORT
    write_whole(path, "\n".join([*parts, "</body></html>", ""]).encode())
    return path


def finish_report(run_dir: Path, product: str, write: Callable[[], Path]) -> None:
    """Writes the page at the end of a run by `write`, which returns its path, if there is none or
    it is older than the last product, a file of `last`. Errors are only reported: the run has done
    its work.
    """
    page, last = run_dir / REPORT, run_dir / "last" / product
    if page.exists() and page.stat().st_mtime >= last.stat().st_mtime:
        return
    try:
        print(f"report: {write()}", flush=True)
    except Exception as error:
        print(f"warning: no report ({type(error).__name__}: {error})", flush=True)


def page_head(title: str, facts: str) -> str:
    """Returns the start of a page."""
    title = html.escape(title)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>{STYLE}</style></head><body>
<h1>{title}</h1>
<p>{html.escape(facts)}.</p>"""


def warnings_of(run_dir: Path) -> str:
    """Returns a list with each kind of warning once, as it was given last."""
    rows = read_rows(run_dir / WARNINGS)
    if not rows:
        return ""
    items = "".join(
        f"<li>After {row['images_seen']:,} images: {html.escape(row['text'])}.</li>"
        for row in {row["kind"]: row for row in rows}.values()
    )
    return f"<h2>Warnings</h2>\n<ul>{items}</ul>"


def plots_of(run_dir: Path) -> str:
    """Returns the curves of a run."""
    found = [run_dir / name for name in (LOSSES_PLOT, METRICS_PLOT) if (run_dir / name).exists()]
    if not found:
        return ""
    images = [
        f'<img class="plot" alt="{path.stem}" src="{_data_uri(path.read_bytes())}">'
        for path in found
    ]
    return "<h2>Curves</h2>\n" + "\n".join(images)


def options_of(record: dict[str, Any], weights: str) -> str:
    """Returns how a run was made, and the SHA-256 of its weights."""
    flat = {
        **record.get("config", {}),
        **record.get("schedule", {}),
        **{f"data {name}": value for name, value in record.get("data", {}).items()},
        **{name: record[name] for name in ("device", "torch") if name in record},
    }
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(_plain(value))}</td></tr>"
        for name, value in flat.items()
    )
    return f"""<h2>How it was made</h2>
<pre>{html.escape(str(record.get("command", "")))}</pre>
<table>{rows}<tr><td>SHA-256 of the weights</td><td>{weights}</td></tr></table>"""


def image_element(pixels: Pixels, side: int, shown: int = SHOWN_SIDE) -> str:
    """Returns an element with a picture (H, W, C), in which pictures of `side` are shown at least
    `shown` pixels large.
    """
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels).save(stream, "PNG")
    width = pixels.shape[1] * max(1, -(-shown // side))
    return f'<img alt="" width="{width}" src="{_data_uri(stream.getvalue())}">'


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
