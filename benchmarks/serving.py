"""Every server under closed-loop load, with and without the network, one after another.

kinds, clients, seconds, rounds -> Measured (start, idle cost, memory, one Cell per client count)
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

from benchmarks.load import Cell, LoadFailed, closed_loop
from benchmarks.servers import Kind, ServerFailed, running

WARM_UP_CLIENTS, WARM_UP_SECONDS = 64, 2
IDLE_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One server in one mode."""

    server: str
    noop: bool  # without the network
    ready_seconds: float  # from the start of the process to the first picture
    idle_cores: float
    memory: int  # bytes after the load, resident, shared pages counted in each process
    processes: int
    cells: list[Cell]


def measure_all(
    kinds: Sequence[Kind], clients: Sequence[int], seconds: float, rounds: int, logs: Path
) -> tuple[list[Measured], list[str]]:
    """Measures each server in both modes, in each round; per cell the round with the median
    requests/s counts. Also says what was skipped and why.
    """
    runs: dict[tuple[str, bool], list[Measured]] = {}
    skipped = []
    present = [kind for kind in kinds if kind.installed]
    skipped += [
        f"{kind.name}: {kind.package} not installed" for kind in kinds if kind not in present
    ]
    for _ in range(rounds):
        for kind in present:
            for noop in (False, True):
                try:
                    measured = _measure(kind, noop, clients, seconds, logs)
                except (ServerFailed, LoadFailed, OSError) as error:
                    skipped.append(f"{kind.name}{' without network' * noop}: {error}")
                    continue
                runs.setdefault((kind.name, noop), []).append(measured)
    return [_middle(rounds_of_one) for rounds_of_one in runs.values()], skipped


def _measure(
    kind: Kind, noop: bool, clients: Sequence[int], seconds: float, logs: Path
) -> Measured:
    print(f"{kind.name}{' without network' * noop} ...", file=sys.stderr, flush=True)
    log = logs / f"{kind.name.replace(':', '-')}{'-noop' * noop}.log"
    with running(kind, noop=noop, log=log) as server:
        closed_loop(server, WARM_UP_CLIENTS, WARM_UP_SECONDS)
        idle = server.idle_cores(IDLE_SECONDS)
        cells = [closed_loop(server, count, seconds) for count in clients]
        return Measured(
            server=kind.name,
            noop=noop,
            ready_seconds=server.ready_seconds,
            idle_cores=idle,
            memory=server.usage().memory,
            processes=len(server.processes()),
            cells=cells,
        )


def _middle(runs: list[Measured]) -> Measured:
    """Returns one of several runs of the same: the median run of each cell, medians of the rest."""
    cells = []
    for same in zip(*(run.cells for run in runs), strict=True):
        speed = median_low(cell.requests_per_second for cell in same)
        cells.append(next(cell for cell in same if cell.requests_per_second == speed))
    return Measured(
        server=runs[0].server,
        noop=runs[0].noop,
        ready_seconds=median_low(run.ready_seconds for run in runs),
        idle_cores=median_low(run.idle_cores for run in runs),
        memory=median_low(run.memory for run in runs),
        processes=runs[-1].processes,
        cells=cells,
    )
