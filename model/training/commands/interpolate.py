"""`interpolate`: an animation through latent space from seed to seed.

seeds -> rows of every frame -> sampler -> frames, side by side in a grid -> one file
"""

import argparse
import pathlib
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.encoding.animations import LARGEST_FPS, VideoNotInstalled, encode_animation
from model.encoding.formats import PictureTooLarge
from model.files import OutputError, write_whole
from model.generator_file import GeneratorFile
from model.images import tile
from model.latent_space.paths import EASES, MODES
from model.mistakes import install
from model.picture_request import (
    DEFAULT_CHANGES,
    DEFAULT_OUTPUT,
    Changes,
    Output,
    Path,
    PictureRequest,
)
from model.recipes import RecipeError, Words, read_seeds, recipe_text
from model.training.commands.arguments import (
    Number,
    add_changes,
    add_generator,
    read_changes,
    read_generator,
    read_output,
    read_sampler,
)
from model.training.run.progress import counting
from model.upscaling.runtimes import UpscalingSampler

FORMATS = {".webp": "webp", ".gif": "gif", ".png": "apng", ".apng": "apng", ".mp4": "mp4"}
FRAMES_A_KEY = 20  # frames from each seed to the next, by default
MOST_SEEDS = 1024
MOST_PIXELS = 2**29  # in all frames together, which are held in memory
GRID = re.compile(r"([1-9][0-9]?)x([1-9][0-9]?)")


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """Which animation is to be generated. A grid of W x H has as many cells, each with an
    interpolation of its own: `path` has the seeds of the first, then those of the second, ...
    """

    file: GeneratorFile
    path: Path  # through the seeds of all cells
    grid: tuple[int, int] = (1, 1)  # columns, rows
    changes: Changes = DEFAULT_CHANGES
    output: Output = DEFAULT_OUTPUT

    def words(self) -> Words:
        """Returns the recipe, as a service writes it."""
        words = PictureRequest(self.path, self.changes, self.output).words(self.file.config)
        return words | ({} if self.grid == (1, 1) else {"grid": "{}x{}".format(*self.grid)})

    def rows(self) -> NDArray[np.float32]:
        """Returns the generator's input for every place of the first frame, then the second, ..."""
        cells, stops = self.grid[0] * self.grid[1], self.path.stops
        keys = len(stops) // cells
        parts = [
            replace(self.path, stops=stops[keys * cell : keys * (cell + 1)])
            for cell in range(cells)
        ]
        rows = np.stack([part.rows(self.file, self.changes) for part in parts], axis=1)
        return rows.reshape(-1, rows.shape[-1])

    def generate(self, sampler: UpscalingSampler, batch: int = 64) -> NDArray[np.uint8]:
        """Generates all frames (frames, H, W, C)."""
        columns, lines = self.grid
        rows = self.rows()
        parts = []
        with counting("generating frames", len(rows), "pictures") as count:
            for start in range(0, len(rows), batch):
                parts.append(sampler(rows[start : start + batch], self.output.upscale))
                count(len(parts[-1]))
        pixels = np.concatenate(parts)
        cells = pixels.reshape(len(self.path), columns * lines, *pixels.shape[1:])
        return self.output.finish(np.stack([tile(frame, columns) for frame in cells]))


def write_interpolation(
    interpolation: Interpolation, sampler: UpscalingSampler, output: pathlib.Path, batch: int = 64
) -> None:
    """Writes the animation in the format that the file's ending names.

    Raises:
        OutputError: it cannot be written, its ending is unknown, it is too large, or MP4 is asked
        for without the extra for it.
    """
    format = FORMATS.get(output.suffix.lower())
    if format is None:
        raise OutputError(f"{output}: unknown ending; allowed: {', '.join(FORMATS)}")
    side = interpolation.file.config.crop * interpolation.output.scale
    pixels = len(interpolation.path) * interpolation.grid[0] * interpolation.grid[1] * side * side
    if pixels > MOST_PIXELS:
        raise OutputError(f"{output}: {pixels:,} pixels; allowed: up to {MOST_PIXELS:,}")
    frames = interpolation.generate(sampler, batch)
    recipe = recipe_text(interpolation.words())
    try:
        content = encode_animation(
            frames, format, fps=interpolation.path.fps, loop=interpolation.path.loop, recipe=recipe
        )
    except PictureTooLarge as error:
        raise OutputError(f"{output}: {error}") from None
    except VideoNotInstalled as error:
        raise OutputError(f"{output}: {error}: {install('video')}") from None
    write_whole(output, content)


# --- the command ---


def add_command(commands: Any) -> None:
    """Adds `interpolate` to the commands."""
    parser = commands.add_parser(
        "interpolate",
        description="Interpolates between the latents of seeds; writes the frames as an animation.",
        example="avatars --seeds 3,8,5 --loop --scale 4 --output loop.webp",
    )
    add_generator(parser)
    parser.add_argument("--seeds", required=True, help="two seeds or more, such as 1,2,3")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        required=True,
        help=f"animation file: {', '.join(FORMATS)} (.mp4 needs the extra `video`)",
    )
    parser.add_argument(
        "--frames",
        type=Number(int, 2, 100_000),
        help=f"frames in all (default: {FRAMES_A_KEY} from each seed to the next)",
    )
    parser.add_argument(
        "--mode", choices=MODES, help="interpolation (default: slerp for a normal prior, else lerp)"
    )
    parser.add_argument(
        "--loop", action="store_true", help="end at the first seed and repeat for ever"
    )
    parser.add_argument(
        "--ease", choices=EASES, default="linear", help="speed between seeds (default: linear)"
    )
    parser.add_argument(
        "--fps",
        type=Number(int, 1, LARGEST_FPS),
        default=20,
        help="frames per second (default: 20)",
    )
    parser.add_argument(
        "--grid",
        default="1x1",
        help="interpolations side by side, such as 4x2, among which the seeds are divided",
    )
    add_changes(parser)
    parser.set_defaults(command=_interpolate)


def _interpolate(options: argparse.Namespace) -> int:
    file = read_generator(options)
    seeds = read_seeds(options.seeds)
    match = GRID.fullmatch(options.grid)
    if match is None:
        raise RecipeError(f"grid: {options.grid[:40]!a}; 4x2 or the like is wanted, up to 99x99")
    grid = int(match[1]), int(match[2])
    keys, rest = divmod(len(seeds), grid[0] * grid[1])
    if keys < 2 or rest or len(seeds) > MOST_SEEDS:
        raise RecipeError(
            f"seeds: {len(seeds)} of them; allowed: two or more for each of {grid[0] * grid[1]} "
            f"interpolations, as many for each, up to {MOST_SEEDS} in all"
        )
    frames = options.frames or FRAMES_A_KEY * (keys - (not options.loop)) + (not options.loop)
    if frames < keys:
        raise RecipeError(f"frames: {frames}; allowed: one a seed or more, here {keys}")
    path = Path(
        stops=seeds,
        frames=frames,
        mode=options.mode,
        loop=options.loop,
        ease=options.ease,
        fps=options.fps,
    )
    changes, output = read_changes(file, options), read_output(file, options)
    interpolation = Interpolation(file=file, path=path, grid=grid, changes=changes, output=output)
    write_interpolation(interpolation, read_sampler(file, options), options.output, options.batch)
    print(f"{options.output}: {frames} frames")
    return 0
