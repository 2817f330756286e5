"""The grids of a run as one animation: how the generator came to draw."""

from pathlib import Path

from PIL import Image

from model.training.run_folder import RunError

FORMATS = {".webp": "WEBP", ".gif": "GIF", ".png": "PNG"}


def write_video(run_dir: Path, output: Path, fps: float) -> int:
    """Writes the grids in the order of images seen, the last held for two seconds; returns their
    number.

    Raises:
        RunError: the run has no grids, or the file's ending is not one of .webp, .gif, .png
        (animated PNG).
    """
    grids = sorted((run_dir / "grids").glob("[0-9]*.png"))
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
