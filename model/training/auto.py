"""Chooses the preset and batch of a run where none are given: by the size and number of the
pictures, the hours and the device.

No speed is measured and no picture is decoded: the same command chooses the same, and so finds its
run again.
"""

from dataclasses import dataclass

from model.training.datasets.file_listing import DataError
from model.training.presets import PRESETS

AUTO = "auto"
HOURS = 1.0  # where none are given
# pixels per side, and the hours from which training on a CPU is worthwhile
NEEDED = {32: 0.0, 64: 0.15, 128: 8.0}
LONG = 8.0  # hours from which a CPU takes twice the batch
ENLARGED = 1.5  # times a preset's side, from which the next one is chosen


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen, and why."""

    preset: str
    batch: int
    steady_kimg: float  # thousands of images for which the rates stay
    why: str

    def __str__(self) -> str:
        steady = repr(self.steady_kimg).removesuffix(".0")
        return (
            f"auto: {self.preset}, batch {self.batch}, because {self.why}; the same as --preset "
            f"{self.preset} --batch {self.batch} --steady-kimg {steady}"
        )


def choose(
    *,
    side: int,
    count: int,
    hours: float,
    cuda: bool,
    fixed: bool = False,
    batch: int | None = None,
    steady_kimg: float | None = None,
) -> Choice:
    """Chooses a modern preset and its batch for `count` pictures, of which the median one has
    `side` pixels on its smaller side; `fixed`: all have it, and are not converted to another. A
    batch that is given stays, and so do thousands of images with steady rates; without these, the
    rates stay for as many steps as the preset's.

    Raises:
        DataError: no preset takes pictures of that fixed side.
    """
    if fixed:
        wanted = resolution = _fitting(side)
    else:
        wanted = next((known for known in NEEDED if side < known * ENLARGED), max(NEEDED))
        within = [known for known, needed in NEEDED.items() if cuda or hours >= needed]
        resolution = min(wanted, max(within))
    preset = f"modern-{resolution}"
    config = PRESETS[preset].config
    if batch is None:
        batch = config.batch * (4 if cuda else 2 if hours >= LONG else 1)
        while batch > max(count, 2):
            batch //= 2
    if steady_kimg is None:
        steady_kimg = config.steady * batch / config.batch / 1000
    why = f"the smaller side of the pictures is {side} pixels"
    if resolution < wanted:
        why += (
            f" and {hours:g} hour{'s are' if hours != 1 else ' is'} too little on a CPU for "
            f"{wanted}x{wanted} (from --hours {NEEDED[wanted]:g}, with a GPU, or by --preset "
            f"modern-{wanted})"
        )
    elif cuda:
        why += " and there is a GPU"
    return Choice(preset=preset, batch=batch, steady_kimg=steady_kimg, why=why)


def _fitting(side: int) -> int:
    """Returns the resolution of the preset that takes pictures of a fixed side."""
    for resolution in NEEDED:
        if resolution // 2 < side <= resolution:
            return resolution
    raise DataError(
        f"its pictures are {side}x{side}, all of them; trained are {min(NEEDED) // 2 + 1} to "
        f"{max(NEEDED)} pixels per side: prepare the set anew with such a --side"
    )
