"""How a generator came to be, for those who learn: history.json and history.webp beside it.

grids, stats.jsonl, verdicts.jsonl -> some forty moments of the same seeds on one sheet, the curves,
and what the discriminator made of the pictures of each moment
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.files import write_whole
from model.generator_file import HISTORY, HISTORY_SHEET
from model.training.run.run_log import STATS, VERDICTS, Row, read_rows
from model.training.task import GRID_SIDE

MOMENTS = 40
POINTS = 160  # a curve has
ACROSS = 8  # moments side by side on the sheet
LARGEST_SIDE = 32  # pixels of one picture; larger ones are made smaller
LARGEST_SHEET = 340_000  # bytes; with the curves and verdicts less than 400 kB
QUALITIES = (90, 80, 70, 60, 50, 40, 30, 20, 10)
QUICK = (80,)  # while somebody looks
QUICK_ROWS = 8 * POINTS  # and a run trains, which waits for who parses
CURVES = ("loss_d", "loss_g", "d_real", "d_fake")


def write_history(
    run: Path,
    folder: Path,
    images_seen: int,
    *,
    reals: bool,
    qualities: Sequence[int] = QUALITIES,
) -> str:
    """Writes both files into a model folder, up to a count of images; the real pictures of the run
    are on the sheet too, after the moments, if `reals` may be shown. Returns what was done.
    """
    grids = {int(path.stem): path for path in (run / "grids").glob("[0-9]*.png")}
    seen = _moments(sorted(count for count in grids if count <= images_seen))
    if len(seen) < 2:
        return "no history, as it has fewer than two grids"
    real = [run / "reals.png"] if reals and (run / "reals.png").is_file() else []
    blocks = [_block(path) for path in [*(grids[count] for count in seen), *real]]
    blocks = [block for block in blocks if block.shape == blocks[0].shape]
    sheet = _packed(_sheet(blocks), qualities)
    starts = tuple(f'{{"images_seen": {count},' for count in seen)  # few lines are wanted
    verdicts = {row["images_seen"]: row for row in read_rows(run / VERDICTS, starts=starts)}
    rows = read_rows(run / STATS, most=QUICK_ROWS if len(qualities) == 1 else None)
    history = {
        "format": 1,
        "moments": seen,
        "side": blocks[0].shape[0] // GRID_SIDE,
        "grid": GRID_SIDE,
        "across": ACROSS,
        "reals": len(blocks) > len(seen),
        "curves": _curves(rows, images_seen),
        "verdicts": [_short(verdicts.get(count)) for count in seen],
    }
    write_whole(folder / HISTORY_SHEET, sheet)
    write_whole(folder / HISTORY, json.dumps(history, separators=(",", ":")).encode())
    return f"its history in {len(seen)} moments"


def _moments(counts: Sequence[int]) -> list[int]:
    """Chooses moments, closer to each other at the beginning, where most changes."""
    if len(counts) <= MOMENTS:
        return list(counts)
    shares = np.linspace(0, 1, MOMENTS) ** 1.5
    places = np.maximum(np.round(shares * (len(counts) - 1)).astype(int), np.arange(MOMENTS))
    return [counts[place] for place in places]


def _block(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        side = min(image.width // GRID_SIDE, LARGEST_SIDE)
        size = (GRID_SIDE * side, GRID_SIDE * side)
        small = image if image.size == size else image.resize(size, Image.Resampling.BOX)
        return np.asarray(small)


def _sheet(blocks: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    side = blocks[0].shape[0]
    rows = -(-len(blocks) // ACROSS)
    sheet = np.zeros((rows * side, ACROSS * side, *blocks[0].shape[2:]), np.uint8)
    for place, block in enumerate(blocks):
        row, column = divmod(place, ACROSS)
        sheet[row * side : (row + 1) * side, column * side : (column + 1) * side] = block
    return sheet


def _packed(sheet: NDArray[np.uint8], qualities: Sequence[int]) -> bytes:
    """Encodes it as well as the bytes allow; one quality alone is made quickly, of any size."""
    content, method = b"", 6 if len(qualities) > 1 else 0
    for quality in qualities:
        file = io.BytesIO()
        Image.fromarray(sheet).convert("RGB").save(file, "webp", quality=quality, method=method)
        content = file.getvalue()
        if len(content) <= LARGEST_SHEET:
            break
    return content


def _curves(rows: Sequence[Row], images_seen: int) -> dict[str, list[float]]:
    """Returns each curve with few points, the means of what lies between them."""
    kept = [row for row in rows if row["images_seen"] <= images_seen]
    parts = [part for part in np.array_split(np.arange(len(kept)), POINTS) if len(part)]
    curves = {"images_seen": [float(kept[part[-1]]["images_seen"]) for part in parts]}
    for name in CURVES:
        if kept and all(name in row for row in kept):
            means = [np.mean([kept[place][name] for place in part]) for part in parts]
            curves[name] = [round(float(mean), 4) for mean in means]
    return curves


def _short(row: dict[str, Any] | None) -> dict[str, list[float]] | None:
    return row and {name: [round(one, 2) for one in row[name]] for name in ("real", "fake")}
