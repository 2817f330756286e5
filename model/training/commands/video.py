"""The sample grids of a run as one animation: how the generator learned."""

import argparse
from pathlib import Path
from typing import Any

from PIL import Image

from model.training.commands.arguments import Number
from model.training.run.checkpoint import by_number
from model.training.run.run_folder import RunError

FORMATS = {".webp": "WEBP", ".gif": "GIF", ".png": "PNG"}


def write_video(run_dir: Path, output: Path, fps: float) -> int:
    """Writes the grids in the order of images seen, the last held for two seconds; returns their
    number.

    Raises:
        RunError: the run has no grids, or the file's ending is not one of .webp, .gif, .png
        (animated PNG).
    """
    grids = sorted((run_dir / "grids").glob("[0-9]*.png"), key=by_number)
    if not grids:
        raise RunError(f"{run_dir}: no grids there; is it a run folder?")
    if output.suffix not in FORMATS:
        raise RunError(f"{output}: unknown ending; allowed: {', '.join(FORMATS)}")
    frames = [Image.open(grid) for grid in grids]
    durations = [round(1000 / fps)] * (len(frames) - 1) + [2000]  # ms
    options = {"quality": 80} if output.suffix == ".webp" else {}
    output.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(
        output,
        FORMATS[output.suffix],
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        **options,
    )
    return len(frames)


# --- the command ---


def add_command(commands: Any) -> None:
    """Adds `video` to the commands."""
    video = commands.add_parser(
        "video",
        description="Joins the sample grids of a run into an animation.",
        example="runs/00000-mnist-dcgan-mnist-batch128 --output training.webp",
    )
    video.add_argument("run", type=Path, help="run folder")
    video.add_argument(
        "--output", type=Path, help=".webp, .gif or .png (default: RUN/training.webp)"
    )
    video.add_argument(
        "--fps", type=Number(float, 0.1, 60), default=8.0, help="grids per second (default: 8)"
    )
    video.set_defaults(command=_video)


def _video(options: argparse.Namespace) -> int:
    output = options.output or options.run / "training.webp"
    frames = write_video(options.run, output, options.fps)
    print(f"{output}: {frames} grids")
    return 0
