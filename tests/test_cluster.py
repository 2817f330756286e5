"""Two replicas behind the balancers of deploy/: what clients notice of kills, freezes, restarts and
floods. Each promise also as it looks when it is broken, so that the checker is known to see it.

The long forms are `python -m benchmarks.chaos`, `tenfold` and `slow`.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import slow, tenfold
from benchmarks.chaos import clients, trials
from benchmarks.chaos.clients import PNG_BEGIN, PNG_END, Tally
from benchmarks.chaos.cluster import HAPROXY, NGINX, Process, Replica, haproxy, nginx, started
from benchmarks.chaos.trials import NO_RETRIES, SMALL_QUEUE, Cost, Outcome, Size
from benchmarks.slow import Beside, Slow
from benchmarks.tenfold import Overload
from tests.services import TIMEOUT

SHORT = Size(clients=8, seeds=200, requests=60)
FLOOD = Size(clients=32)  # far beyond two SMALL_QUEUEs, of seeds that no cache has seen
WHOLE = PNG_BEGIN + b"pixels" + PNG_END
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


# how soon HAProxy gives up is tried where that is meant; a slow machine is not
PATIENT = {
    f"timeout {what} {time}": f"timeout {what} {TIMEOUT:.0f}s"
    for what, time in {
        "connect": "500ms", "queue": "2s", "check": "750ms", "server": "5s",
    }.items()
}  # fmt: skip


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "PATIENCE_SECONDS", TIMEOUT)


@pytest.fixture(scope="module")
def replicas(
    generator_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sequence[Replica]]:
    folder = tmp_path_factory.mktemp("replicas")
    settings = {
        "GAN_GENERATOR": str(generator_folder),
        "GAN_DEVICE": "cpu",
        "GAN_THREADS": "1",
        "GAN_DRAIN_SECONDS": "2",
        **SMALL_QUEUE,
    }
    with started([Process(settings, folder / f"{name}.log") for name in "ab"]) as ready:
        yield ready


@pytest.mark.slow
@needs_haproxy
def test_killed_replica_costs_no_request(replicas: Sequence[Replica], tmp_path: Path) -> None:
    with haproxy(replicas, tmp_path, PATIENT) as balancer:
        outcome = asyncio.run(trials.kill(replicas, balancer, SHORT, blows=2))
    assert outcome.losses() == []
    assert outcome.tally.answered > 2 * SHORT.requests


@pytest.mark.slow
@needs_haproxy
def test_killed_replica_is_noticed_where_the_balancer_never_asks_twice(
    replicas: Sequence[Replica], tmp_path: Path
) -> None:
    with haproxy(replicas, tmp_path, NO_RETRIES) as balancer:
        outcome = asyncio.run(trials.kill(replicas, balancer, SHORT, blows=1))
    assert outcome.losses()


@pytest.mark.slow
@needs_nginx
def test_killed_replica_costs_no_request_behind_nginx(
    replicas: Sequence[Replica], tmp_path: Path
) -> None:
    with nginx(replicas, tmp_path) as balancer:
        outcome = asyncio.run(trials.kill(replicas, balancer, SHORT, blows=1))
    assert outcome.losses() == []


@pytest.mark.slow
@needs_haproxy
def test_rolling_restart_needs_no_retry(replicas: Sequence[Replica], tmp_path: Path) -> None:
    with haproxy(replicas, tmp_path, {**NO_RETRIES, **PATIENT}) as balancer:
        outcome = asyncio.run(trials.roll(replicas, balancer, SHORT, rounds=1))
    assert outcome.losses() == []
    assert outcome.statuses == [0, 0]
    assert outcome.retries == 0


@pytest.mark.slow
@needs_haproxy
def test_requests_in_a_frozen_replica_are_answered_by_the_other(
    replicas: Sequence[Replica], tmp_path: Path
) -> None:
    with haproxy(replicas, tmp_path, {"timeout server 5s": "timeout server 1s"}) as balancer:
        outcome = asyncio.run(trials.freeze(replicas, balancer, SHORT, blows=1, seconds=3))
    assert not outcome.tally.failed
    assert len(outcome.out_seconds) == 1  # it was seen


@pytest.mark.slow
@needs_haproxy
def test_frozen_replica_is_noticed_where_the_balancer_never_asks_twice(
    replicas: Sequence[Replica], tmp_path: Path
) -> None:
    changes = {**NO_RETRIES, "timeout server 5s": "timeout server 1s"}
    with haproxy(replicas, tmp_path, changes) as balancer:
        outcome = asyncio.run(trials.freeze(replicas, balancer, SHORT, blows=1, seconds=3))
    assert outcome.tally.failed["504"]


@pytest.mark.slow
@needs_haproxy
def test_refused_request_is_tried_once(replicas: Sequence[Replica], tmp_path: Path) -> None:
    with haproxy(replicas, tmp_path, PATIENT) as balancer:
        cost = asyncio.run(trials.refuse(replicas, balancer, FLOOD, requests=200))
    assert cost.losses() == []


@pytest.mark.slow
@needs_nginx
def test_refused_request_that_is_tried_elsewhere_is_noticed(
    replicas: Sequence[Replica], tmp_path: Path
) -> None:
    changes = {"http_502 http_503 non_idempotent": "http_502 http_503 http_429 non_idempotent"}
    with nginx(replicas, tmp_path, changes) as balancer:
        cost = asyncio.run(trials.refuse(replicas, balancer, FLOOD, requests=200))
    assert any("tries a request" in loss for loss in cost.losses())


@pytest.mark.parametrize(
    ("status", "body", "wrong"),
    [
        pytest.param(500, WHOLE, "500", id="planted 500"),
        pytest.param(429, b"", "429", id="refusal"),
        pytest.param(200, WHOLE[:-1], "no whole PNG", id="cut"),
        pytest.param(200, b"", "no whole PNG", id="empty"),
        pytest.param(200, PNG_BEGIN + b"others" + PNG_END, "other bytes than before", id="changed"),
    ],
)
def test_clients_notice_an_answer_that_breaks_the_law(status: int, body: bytes, wrong: str) -> None:
    tally = Tally()
    tally.take(7, 200, WHOLE, 0.01)
    tally.take(7, status, body, 0.01)
    assert (tally.answered, dict(tally.failed)) == (1, {wrong: 1})


@pytest.mark.parametrize(
    ("outcome", "loss"),
    [
        (Outcome(tally=Tally(), out_seconds=[1.9, 2.6]), "in rotation for 2.6 s"),
        (Outcome(tally=Tally(), statuses=[0, -9]), "exit status -9"),
        (Cost(pictures=1, refused=9, other=0, tries=11), "1.10 tries a request"),
        (Cost(pictures=10, refused=0, other=0, tries=10), "nothing was refused"),
        (Cost(pictures=5, refused=4, other=1, tries=10), "1 neither answered nor refused"),
    ],
)
def test_outcome_tells_what_is_lost(outcome: Outcome | Cost, loss: str) -> None:
    (found,) = outcome.losses()
    assert loss in found


@pytest.mark.slow
def test_overload_is_refused_and_what_is_accepted_is_answered(
    tmp_path: Path, generator_folder: Path
) -> None:
    told = {**tenfold.SETTINGS, "GAN_GENERATOR": str(generator_folder), "GAN_DEVICE": "cpu"}
    with started([Process(told, tmp_path / "log", "benchmarks.delayed")]) as (replica,):
        found = asyncio.run(tenfold.overload(replica, seconds=1.0, later_seconds=1))
    assert found.other == 0
    assert found.goodput > 0
    assert found.refused > found.goodput  # for it is ten times as much


FINE = Overload(
    peak=100,
    offered=1000,
    goodput=95,
    refused=900,
    other=0,
    refused_p50_ms=5,
    refused_p99_ms=50,
    accepted_p99=1.5,
    recovered=1,
    grown_mb=1,
    late_ms=1,
)


@pytest.mark.parametrize(
    "planted",
    [
        {"goodput": 89.0},
        {"refused": 0.0},
        {"other": 1},
        {"refused_p50_ms": 11.0},
        {"refused_p99_ms": 101.0},
        {"accepted_p99": 2.1},
        {"recovered": 6},
        {"recovered": None},
        {"grown_mb": 11.0},
    ],
)
def test_overload_tells_what_breaks_the_promise(planted: dict[str, Any]) -> None:
    assert FINE.losses() == []
    assert len(replace(FINE, **planted).losses()) == 1


@pytest.mark.slow
def test_slow_connections_beside_good_ones_are_408(tmp_path: Path, generator_folder: Path) -> None:
    told = {
        **slow.SETTINGS,
        "GAN_GENERATOR": str(generator_folder),
        "GAN_DEVICE": "cpu",
        "GAN_RECEIPT_SECONDS": "0.5",
    }
    with started([Process(told, tmp_path / "log")]) as (replica,):
        found = asyncio.run(slow.beside(replica, 40, pairs=1, seconds=2.0))
    assert set(found.slow.answers) == {"408"}
    assert not found.failed
    assert min(*found.alone, *found.beside) > 0


@pytest.mark.parametrize(
    "planted",
    [
        {"beside": (94.0, 94.0, 120.0)},
        {"failed": Counter({"503": 1})},
        {"slow": Slow(answers=Counter({"408": 9, "200": 1}))},
        {"slow": Slow()},
        {"grown_mb": 6.0},
    ],
)
def test_slow_connections_tell_what_breaks_the_promise(planted: dict[str, Any]) -> None:
    fine = Beside(
        alone=(100.0, 100.0, 100.0),
        beside=(96.0, 97.0, 50.0),
        failed=Counter(),
        slow=Slow(answers=Counter({"408": 9})),
        grown_mb=1,
    )
    assert fine.losses() == []
    assert len(replace(fine, **planted).losses()) == 1
