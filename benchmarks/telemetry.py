"""What telling the operator costs: `python -m benchmarks.telemetry`.

All that metrics and request ids do for one picture, timed alone, over the CPU time of a request.
"""

import timeit
from collections.abc import Callable

from app.engine.histogram import PICTURES, Tally
from app.engine.memory import MemoryBudget
from app.monitoring.request_context import current, facts_of
from app.monitoring.telemetry import Telemetry
from app.server.readiness import Readiness
from app.server.reloading import Reloader
from app.settings import Settings
from benchmarks.load import closed_loop
from benchmarks.servers import OURS, running

CLIENTS = 64
SECONDS = 5.0
ROUNDS = 100_000
HEADERS = [  # a browser's
    (name, b"a value of some length")
    for name in (b"host", b"user-agent", b"accept", b"accept-language", b"accept-encoding")
] + [(name, b"x") for name in (b"connection", b"sec-fetch-dest", b"sec-fetch-mode", b"referer")]


def ids() -> Callable[[], None]:
    """Makes the id of one request: from its headers, in the context and on the answer."""

    def one() -> None:
        facts = facts_of({"headers": HEADERS})
        token = current.set(facts)
        [(b"x-request-id", facts.id.encode()), *HEADERS]
        current.reset(token)

    return one


def metrics() -> Callable[[], None]:
    """Counts one request, in a batch of its own: the dearest case."""
    telemetry = Telemetry(Readiness(60), Reloader(Settings(), lambda _: None), MemoryBudget(2**30))
    histograms = [Tally(), Tally(), Tally(), Tally(PICTURES)]

    def one() -> None:
        telemetry.in_flight += 1
        for tally in histograms:
            tally.add(0.003)
        telemetry.answered("/generate", 200, 0.004)
        telemetry.in_flight -= 1

    return one


def main() -> None:
    """Prints microseconds of each, and their share."""
    with running(OURS) as server:
        closed_loop(server, CLIENTS, 2.0)
        cell = closed_loop(server, CLIENTS, SECONDS)
    request = 1000 * cell.cpu_ms_per_request
    print(f"a request at {CLIENTS} clients: {request:.0f} microseconds of CPU")
    for name, one in (("ids", ids()), ("metrics", metrics())):
        each = 1e6 * min(timeit.repeat(one, number=ROUNDS, repeat=5)) / ROUNDS
        print(f"{name}: {each:.2f} microseconds, {100 * each / request:.2f} %")


if __name__ == "__main__":
    main()
