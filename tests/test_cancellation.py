"""Clients that go away at each stage: their places are free while the stage is still held."""

import asyncio

import pytest

from benchmarks import cancellation
from benchmarks.cancellation import STAGES, measure
from tests.services import TIMEOUT


def test_gone_client_leaves_nothing_behind_at_any_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "PATIENCE", TIMEOUT)
    found = asyncio.run(measure(3))
    assert {stage: len(found[stage].milliseconds) for stage in STAGES} == dict.fromkeys(STAGES, 3)
    drawn = {stage: found[stage].drawn for stage in STAGES}
    # what was on the device is drawn to its end, but no file is made of it
    assert drawn.pop("writing") <= 3 * 64  # each request asked for 10,000
    assert drawn == {"queued": 0, "batched": 0, "computing": 3, "encoding": 0}
    assert [found[stage].encoded for stage in ("queued", "batched", "computing")] == [0, 0, 0]


def test_place_that_is_not_given_up_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "PATIENCE", 0.5)
    monkeypatch.setattr(
        "app.engine.loaded_generator.Shared.waiting", property(lambda _: 1, lambda *_: None)
    )
    started = []
    real = cancellation.Host.ask

    async def ask(host: cancellation.Host) -> asyncio.StreamWriter:
        started.append(host)
        return await real(host)

    monkeypatch.setattr(cancellation.Host, "ask", ask)
    with pytest.raises((TimeoutError, AssertionError)):
        asyncio.run(measure(1))
    assert started  # it is not the start that fails
