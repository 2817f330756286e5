"""Servers offered more than they can do: a curve of rates from half the limit to three times it.

kinds, seconds -> Curve (the limit in closed loop, one Point per offered rate)
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import LoadFailed, closed_loop
from benchmarks.open_loop import Point, open_loop
from benchmarks.servers import Kind, ServerFailed, running

LIMIT_CLIENTS = 64
FACTORS = (0.5, 0.8, 0.95, 1.1, 1.5, 2.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One server, with the network."""

    server: str
    limit: float  # requests/s in closed loop
    points: list[Point]


def measure_all(
    kinds: Sequence[Kind], factors: Sequence[float], seconds: float, logs: Path
) -> tuple[list[Curve], list[str]]:
    """Measures a curve for each installed server; says what was skipped and why."""
    curves, skipped = [], []
    for kind in kinds:
        if not kind.installed:
            skipped.append(f"{kind.name}: {kind.package} not installed")
            continue
        print(f"{kind.name} past its limit ...", file=sys.stderr, flush=True)
        log = logs / f"{kind.name.replace(':', '-')}-overload.log"
        try:
            with running(kind, noop=False, log=log) as server:
                limit = closed_loop(server, LIMIT_CLIENTS, max(2.0, seconds)).requests_per_second
                points = [open_loop(server, factor * limit, seconds) for factor in factors]
        except (ServerFailed, LoadFailed, OSError) as error:
            skipped.append(f"{kind.name}: {error}")
            continue
        curves.append(Curve(server=kind.name, limit=limit, points=points))
    return curves, skipped
