"""What is done to a cluster under load, and what its clients may notice of it: nothing.

Each trial takes ready replicas and their balancer, and returns an Outcome or a Cost; `losses` says
what of it breaks the promise.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.chaos.clients import SHEET, Tally, load, picture, sheet
from benchmarks.chaos.cluster import Balancer, Replica, wait_for

MOST_TRIES = 1.05  # tries of replicas for each answer to a client
SMALL_QUEUE = {"GAN_MAX_QUEUE": str(SHEET + 16), "GAN_MAX_PICTURES": str(SHEET)}
OUT_SECONDS = 2.0  # in which a frozen replica must be out of rotation
# lines of HAProxy's file, and those of one that never asks twice
NO_RETRIES = {
    "    retries 3\n": "    retries 0\n",
    "    retry-on conn-failure empty-response junk-response response-timeout 503\n": "",
    "    retry-on conn-failure empty-response junk-response 503\n": "",
    "    option redispatch 1\n": "",
}


@dataclass(kw_only=True)
class Outcome:
    """What a trial has seen."""

    tally: Tally
    blows: int = 0  # kills, restarts or freezes
    retries: int = 0  # by the balancer
    seconds: float = 0.0
    out_seconds: list[float] = field(default_factory=list)  # until a frozen replica was left alone
    statuses: list[int] = field(default_factory=list)  # that replicas ended with, where told to

    def losses(self) -> list[str]:
        """Returns what the clients have lost, and what took too long."""
        found = [f"{count} x {what}" for what, count in self.tally.failed.items()]
        found += [self.tally.example] if self.tally.example else []
        found += [f"in rotation for {s:.1f} s" for s in self.out_seconds if s > OUT_SECONDS]
        found += [f"exit status {status}" for status in self.statuses if status]
        return found

    def text(self) -> str:
        """Returns one line."""
        tally = self.tally
        rate = tally.asked / self.seconds
        parts = [
            f"{self.blows} blows, {tally.asked} requests ({rate:.0f}/s) for {len(tally.pictures)} "
            f"pictures, {tally.failed.total()} failed, {self.retries} retried",
            f"{tally.late} later than 1 s, slowest {tally.slowest:.2f} s",
        ]
        if self.out_seconds:
            parts.append(f"out of rotation after {max(self.out_seconds):.1f} s at most")
        return "; ".join(parts)


@dataclass(frozen=True)
class Cost:
    """What requests beyond the capacity have cost the replicas."""

    pictures: int  # answers with one
    refused: int  # answers that said 429
    other: int  # any other end
    tries: int  # requests that the replicas have answered

    @property
    def tries_each(self) -> float:
        """Tries of replicas for each answer to a client."""
        return self.tries / (self.pictures + self.refused + self.other)

    def losses(self) -> list[str]:
        """Returns what breaks the promise."""
        found = [f"{self.other} neither answered nor refused"] if self.other else []
        if not self.refused:
            found.append("nothing was refused, so nothing is shown")
        if self.tries_each > MOST_TRIES:
            found.append(f"{self.tries_each:.2f} tries a request")
        return found

    def text(self) -> str:
        """Returns one line."""
        return (
            f"{self.pictures} sheets, {self.refused} refused, {self.other} failed; the replicas "
            f"were asked {self.tries} times: {self.tries_each:.3f} tries each"
        )


@dataclass(frozen=True)
class Size:
    """How large a trial is."""

    clients: int = 32
    seeds: int = 20_000
    requests: int = 500  # before each blow, and after the last


def verdict(losses: Sequence[str]) -> int:
    """Prints what breaks the promise; returns the exit status."""
    for loss in losses:
        print(f"lost: {loss}")
    return 1 if losses else 0


async def kill(
    replicas: Sequence[Replica], balancer: Balancer, size: Size, blows: int, requests: int = 0
) -> Outcome:
    """Ends each in turn by kill -9, so often, and at least so many requests; each is started again
    and taken back by the balancer before the next is killed.
    """

    async def blow(place: int) -> None:
        replica = replicas[place]
        replica.send(signal.SIGKILL)
        await asyncio.to_thread(replica.wait)
        replica.start()
        await asyncio.to_thread(back, replica, balancer, place)

    return await _trial(replicas, balancer, size, blows, blow, requests)


async def roll(replicas: Sequence[Replica], balancer: Balancer, size: Size, rounds: int) -> Outcome:
    """Sends SIGTERM to each in turn, waits and starts it, in so many rounds."""
    statuses = []

    async def blow(place: int) -> None:
        replica = replicas[place]
        replica.send(signal.SIGTERM)
        statuses.append(await asyncio.to_thread(replica.wait))
        replica.start()
        await asyncio.to_thread(back, replica, balancer, place)

    outcome = await _trial(replicas, balancer, size, rounds * len(replicas), blow)
    outcome.statuses = statuses
    return outcome


async def freeze(
    replicas: Sequence[Replica], balancer: Balancer, size: Size, blows: int, seconds: float
) -> Outcome:
    """Sends SIGSTOP to each in turn for so long."""
    out = []

    async def blow(place: int) -> None:
        replica = replicas[place]
        replica.send(signal.SIGSTOP)
        left = asyncio.create_task(asyncio.to_thread(_left_alone, balancer, place))
        await asyncio.sleep(seconds)
        replica.send(signal.SIGCONT)
        out.append(await left)
        await asyncio.to_thread(back, replica, balancer, place)

    outcome = await _trial(replicas, balancer, size, blows, blow)
    outcome.out_seconds = out
    return outcome


async def refuse(
    replicas: Sequence[Replica], balancer: Balancer, size: Size, requests: int
) -> Cost:
    """Sheets for more clients than the replicas' SMALL_QUEUE has room for."""
    series = 'ganserve_requests_total{route="/generate"'
    before = sum(replica.metric(series) for replica in replicas)
    async with load(balancer.port, clients=size.clients, seeds=size.seeds, ask=sheet) as running:
        await running.until(requests)
    tally = running.tally
    refused = tally.failed["429"]
    return Cost(
        pictures=tally.answered,
        refused=refused,
        other=tally.failed.total() - refused,
        tries=round(sum(replica.metric(series) for replica in replicas) - before),
    )


def back(replica: Replica, balancer: Balancer, place: int) -> None:
    """Waits until a replica is ready and the balancer has seen it."""
    replica.wait_until_ready()
    wait_for(lambda: balancer.up(place), "the balancer to take a replica back")


def _left_alone(balancer: Balancer, place: int) -> float:
    return wait_for(lambda: not balancer.up(place), "the balancer to leave a replica alone")


async def _trial(
    replicas: Sequence[Replica],
    balancer: Balancer,
    size: Size,
    blows: int,
    blow: Callable[[int], Awaitable[None]],
    requests: int = 0,
) -> Outcome:
    """Deals so many blows under load, in turn, with requests between them."""
    start, before = time.monotonic(), balancer.retries()
    async with load(balancer.port, clients=size.clients, seeds=size.seeds, ask=picture) as running:
        for number in range(blows):
            await running.until(running.tally.asked + size.requests)
            await blow(number % len(replicas))
        await running.until(max(requests, running.tally.asked + size.requests))
    return Outcome(
        tally=running.tally,
        blows=blows,
        retries=balancer.retries() - before,
        seconds=time.monotonic() - start,
    )
