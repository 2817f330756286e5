"""Forecasts a run: images a second and the time left in, what it will have reached at its end out.

Pure functions, for people: they measure nothing.
"""

import math
from datetime import datetime, timedelta

from model.training.presets import Objective

SECONDS = 120.0  # seconds of training after which a forecast is useful
DIFFERENT = 1.5  # times a rate, from which another forecast is made

# images seen, up to which the modern presets generate so
STAGES = {
    5_000: "patches of colour",
    15_000: "shapes and colours",
    40_000: "things can be told apart, edges rough",
    150_000: "clean outlines, parts wrong here and there",
    math.inf: "more and more details",
}


def forecast(seen: int, rate: float, left: float, now: datetime, objective: Objective) -> list[str]:
    """Tells how far a run will come that has seen so many images, sees `rate` a second and has so
    many seconds left, and what pictures look like then.
    """
    total = seen + rate * left
    end = now + timedelta(seconds=left)
    when = f"{end:%H:%M}" if left < 12 * 3600 else f"{end:%a %d %b %H:%M}"
    minutes = round(left / 60)
    lines = [
        f"forecast: {_round(rate * 3600)} images an hour on this machine; at its end, in "
        f"{minutes // 60}:{minutes % 60:02d} hours (about {when}), this run will have seen about "
        f"{_round(total)}"
    ]
    if objective != "modern":
        return lines
    lines.append(
        "what this recipe generates by then; photographs take several times as many images:"
    )
    before = 0.0
    for most, what in STAGES.items():
        bounds = f"up to {most:,}" if most < math.inf else f"beyond {before:,}"
        mark = "   <- this run's end" if before < total <= most else ""
        lines.append(f"  {bounds:<16}{what}{mark}")
        before = most
    if total < list(STAGES)[2]:
        lines.append("for better ones: longer --hours, a smaller preset, another core or a GPU")
    return lines


def differ(rate: float, before: float) -> bool:
    """Returns whether a rate differs enough from an earlier one (0: none) to be reported."""
    return not before or not 1 / DIFFERENT < rate / before < DIFFERENT


def _round(count: float) -> str:
    """Formats a count, rounded to two digits."""
    return f"{float(f'{count:.2g}'):,.0f}"
