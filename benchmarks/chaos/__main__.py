"""`python -m benchmarks.chaos TRIAL`: two replicas behind a balancer under load, killed, frozen or
restarted. Ends with status 1 where a client has lost anything.
"""

import argparse
import asyncio
import shlex
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.chaos import trials
from benchmarks.chaos.cluster import (
    Balancer,
    ClusterFailed,
    Container,
    Process,
    Replica,
    end_in_order,
    haproxy,
    nginx,
    started,
)
from benchmarks.chaos.trials import NO_RETRIES, SMALL_QUEUE, Cost, Outcome, Size

TRIALS = ("kill", "roll", "freeze", "refuse")


def main() -> int:
    """Runs one trial and prints its outcome; returns the exit status."""
    arguments = _parser().parse_args()
    end_in_order()
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            replicas = stack.enter_context(started([_replica(arguments, folder) for _ in "ab"]))
            balancer: Balancer
            if arguments.nginx:
                balancer = stack.enter_context(nginx(replicas, folder))
            else:
                changes = NO_RETRIES if arguments.no_retries else {}
                balancer = stack.enter_context(haproxy(replicas, folder, changes))
            outcome = asyncio.run(_trial(arguments, replicas, balancer))
    except ClusterFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.trial}: {outcome.text()}")
    return trials.verdict(outcome.losses())


async def _trial(
    arguments: argparse.Namespace, replicas: Sequence[Replica], balancer: Balancer
) -> Outcome | Cost:
    size = Size(arguments.clients, arguments.seeds, arguments.between)
    match arguments.trial:
        case "kill":
            return await trials.kill(replicas, balancer, size, arguments.blows, arguments.requests)
        case "roll":
            return await trials.roll(replicas, balancer, size, arguments.rounds)
        case "freeze":
            return await trials.freeze(replicas, balancer, size, arguments.blows, arguments.seconds)
        case _:
            return await trials.refuse(replicas, balancer, size, max(1, arguments.requests))


def _replica(arguments: argparse.Namespace, folder: Path) -> Replica:
    settings = {"GAN_THREADS": "1"} | (SMALL_QUEUE if arguments.trial == "refuse" else {})
    if arguments.image:
        return Container(settings, shlex.split(arguments.engine), arguments.image)
    return Process(settings, folder / "replicas.log")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=20_000, help="that are asked for")
    parser.add_argument("--between", type=int, default=500, help="requests before each blow")
    parser.add_argument("--blows", type=int, default=2, help="kills or freezes")
    parser.add_argument("--rounds", type=int, default=3, help="of rolling restarts")
    parser.add_argument("--requests", type=int, default=0, help="in all, at least")
    parser.add_argument("--seconds", type=float, default=9.0, help="of a freeze")
    before = parser.add_mutually_exclusive_group()
    before.add_argument("--no-retries", action="store_true", help="of HAProxy, at all")
    before.add_argument("--nginx", action="store_true", help="in HAProxy's place")
    parser.add_argument("--image", help="replicas are containers of it, not processes")
    parser.add_argument("--engine", default="docker", help="that runs them, such as podman")
    return parser


if __name__ == "__main__":
    sys.exit(main())
