"""The laws of batching, with a toy in place of the generator."""

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from app.engine.batcher import Batcher, Latents, Note, Pixels
from app.responses.problems import InvalidRequest, NotReady, QueueFull
from tests.services import TIMEOUT, until


class Toy:
    """Doubles each row; remembers its batches; waits for `gate` if it is closed."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.values: list[list[float]] = []
        self.started = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, z: Latents) -> Pixels:
        self.started.set()
        assert self.gate.wait(TIMEOUT)
        self.batches.append(len(z))
        self.values.append(z[:, 0].tolist())
        if (z == 13).any():
            raise RuntimeError("unlucky")
        return (2 * z).astype(np.uint8)


def encode(pixels: Pixels, notes: list[Note]) -> list[bytes]:
    return [bytes(row) + (note or "").encode() for row, note in zip(pixels, notes, strict=True)]


def rows(*values: int) -> Latents:
    return np.array(values, np.float32)[:, None]


class Bench:
    """A started batcher with its toy, and short words to use it."""

    def __init__(self, max_batch: int = 4, max_wait: float = TIMEOUT) -> None:
        self.toy = Toy()
        self.upscaled: list[tuple[int, list[float]]] = []  # each batch's scale and values
        self.batcher = Batcher(
            self.toy,
            encode,
            max_batch=max_batch,
            max_queue=8,
            max_wait=max_wait,
            upscale=self.upscale,
        )

    def upscale(self, pixels: Pixels, scale: int) -> Pixels:
        self.upscaled.append((scale, pixels[:, 0].tolist()))
        return pixels.repeat(scale, axis=1)

    def ask(self, *values: int) -> asyncio.Future[Any]:
        return self.batcher.submit(rows(*values)).reply

    def ask_larger(self, scale: int, *values: int) -> asyncio.Future[Any]:
        return self.batcher.submit(rows(*values), scale=scale).reply

    async def busy(self) -> asyncio.Future[Any]:
        """Closes the gate and fills the device, so that what comes next has to wait."""
        self.toy.gate.clear()
        first = self.ask(0)
        assert await asyncio.to_thread(self.toy.started.wait, TIMEOUT)
        return first


def run(scenario: Callable[[Bench], Coroutine[Any, Any, None]], **settings: Any) -> Toy:
    """Runs a scenario with a started batcher and stops it; nothing may be pending at the end."""

    async def main() -> Toy:
        bench = Bench(**settings)
        bench.batcher.start()
        try:
            await asyncio.wait_for(scenario(bench), TIMEOUT)
        finally:
            bench.toy.gate.set()
            await asyncio.wait_for(bench.batcher.stop(), TIMEOUT)
        assert bench.batcher.pending == 0
        return bench.toy

    return asyncio.run(main())


def test_lone_request_is_answered_alone() -> None:
    async def scenario(bench: Bench) -> None:
        assert (await bench.ask(5))[:, 0].tolist() == [10]

    assert run(scenario).batches == [1]


def test_waiting_requests_share_one_batch() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        waiting = [bench.ask(i) for i in (1, 2, 3)]
        bench.toy.gate.set()
        replies = await asyncio.gather(first, *waiting)
        assert [reply[0, 0] for reply in replies] == [0, 2, 4, 6]

    assert run(scenario).batches == [1, 3]


def test_replies_are_files_or_pixels_as_asked_in_the_same_batch() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        as_files = bench.batcher.submit(rows(1, 2), ["a", "b"]).reply
        as_pixels = bench.ask(3)
        more_files = bench.batcher.submit(rows(4), ["c"]).reply
        bench.toy.gate.set()
        await first
        assert await as_files == [b"\x02a", b"\x04b"]
        assert (await as_pixels)[:, 0].tolist() == [6]
        assert await more_files == [b"\x08c"]

    run(scenario)


def test_large_request_is_cut_and_put_together_in_order() -> None:
    async def scenario(bench: Bench) -> None:
        assert (await bench.ask(*range(8)))[:, 0].tolist() == [2 * i for i in range(8)]
        files = await bench.batcher.submit(rows(*range(8)), [None] * 8).reply
        assert files == [bytes([2 * i]) for i in range(8)]

    assert max(run(scenario).batches) <= 4


def test_small_request_does_not_wait_for_all_of_a_large_one() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        large, small = bench.ask(*range(20, 26)), bench.ask(1)
        bench.toy.gate.set()
        await asyncio.gather(first, large, small)

    batches = run(scenario, max_batch=2).values
    turn_of = {value: turn for turn, batch in enumerate(batches) for value in batch}
    assert turn_of[1] < turn_of[25]


def test_batch_is_never_larger_than_its_bound() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        replies = [bench.ask(i, i) for i in (1, 2, 3)]
        bench.toy.gate.set()
        found = [reply[:, 0].tolist() for reply in await asyncio.gather(first, *replies)]
        assert found == [[0], [2, 2], [4, 4], [6, 6]]

    assert max(run(scenario, max_batch=3).batches) <= 3


def test_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        accepted = bench.ask(*range(7))
        with pytest.raises(QueueFull, match="allowed: up to 8 pictures") as refusal:
            bench.ask(1)
        assert refusal.value.headers == {"Retry-After": "1"}
        bench.toy.gate.set()
        assert len(await accepted) == 7
        await first
        assert len(await bench.ask(1)) == 1  # and there is room again

    run(scenario)


def test_queue_that_would_take_too_long_refuses_too() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        bench.batcher._pace[1] = 3 * TIMEOUT  # seconds a picture, as a very slow device would show
        with pytest.raises(QueueFull, match=r"for about 900\.0 s") as refusal:
            bench.ask(1)
        assert refusal.value.headers == {"Retry-After": "900"}
        bench.toy.gate.set()
        await first

    run(scenario)


def test_one_halt_of_the_machine_makes_nobody_wait_for_another() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        bench.batcher._pace[1] = 0.001  # seconds a picture, so far
        await asyncio.sleep(0.3)
        bench.toy.gate.set()
        await first
        assert bench.batcher._pace[1] <= 0.0013

    run(scenario)


def test_device_that_stays_slower_is_believed_in_the_end() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.ask(0)
        bench.batcher._pace[1] = 1e-9
        for value in range(100):
            await bench.ask(value + 100)
        assert bench.batcher._pace[1] > 1e-7

    run(scenario)


def test_batch_is_of_one_scale_and_whoever_waits_longest_is_in_the_next() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        large = [bench.ask_larger(4, 1), bench.ask_larger(2, 3), bench.ask_larger(4, 5)]
        plain = [bench.ask(2), bench.ask(4)]
        assert bench.batcher.pending == 6
        bench.toy.gate.set()
        await asyncio.gather(first, *large, *plain)
        assert bench.toy.values == [[0], [1], [3], [5], [2, 4]]
        assert bench.upscaled == [(4, [2]), (2, [6]), (4, [10])]
        assert [(await one).shape for one in (*large, *plain)] == [
            *((1, 4), (1, 2), (1, 4)),
            *((1, 1), (1, 1)),
        ]
        assert (bench.batcher.pictures, bench.batcher.upscaled) == (6, 3)
        assert bench.batcher.pending == 0

    run(scenario)


def test_wait_is_reckoned_by_the_pace_of_each_scale() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        bench.batcher._pace |= {1: 0.0, 4: 3 * TIMEOUT}
        large = bench.ask_larger(4, 1)
        with pytest.raises(QueueFull, match=r"2 pictures wait already, for about 900\.0 s"):
            bench.ask(2)
        bench.toy.gate.set()
        await asyncio.gather(first, large)

    run(scenario)


def test_idle_batcher_holds_no_pixels() -> None:
    async def scenario(bench: Bench) -> None:
        arrays: list[weakref.ref[Any]] = []

        def kept(pixels: Pixels, scale: int) -> Pixels:
            large = pixels.repeat(scale, axis=1)
            arrays.append(weakref.ref(large))
            return large

        bench.batcher._upscale = kept
        for values in ((1,), (2, 3, 4)):
            await bench.ask_larger(2, *values)
        await until(lambda: all(array() is None for array in arrays))

    run(scenario)


def test_request_not_begun_by_its_deadline_is_never_computed() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        bench.batcher._max_wait = 0.05
        late = bench.ask(5)
        await asyncio.sleep(0.1)
        bench.toy.gate.set()
        await first
        with pytest.raises(QueueFull, match="Not begun within"):
            await late

    assert run(scenario).batches == [1]


def test_request_larger_than_the_queue_can_never_be_served() -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(InvalidRequest, match="allowed: up to 8"):
            bench.ask(*range(9))

    run(scenario)


def test_32_abandoned_requests_are_never_computed() -> None:
    async def scenario(bench: Bench) -> None:
        bench.batcher._max_queue = 100
        first = await bench.busy()
        gone = [bench.ask(i, i) for i in range(14, 46)]
        stays = bench.ask(3)
        for reply in gone:
            reply.cancel()
        await asyncio.sleep(0)
        assert bench.batcher.pending == 2  # the one on the device and the one that stays
        bench.toy.gate.set()
        assert (await stays)[0, 0] == 6
        await first

    assert run(scenario).batches == [1, 1]


def test_failing_picture_hurts_only_its_own_request() -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        replies = [bench.ask(i) for i in (1, 13, 2, 3)]
        bench.toy.gate.set()
        found = await asyncio.gather(first, *replies, return_exceptions=True)
        kinds = [type(reply).__name__ for reply in found]
        assert kinds == ["ndarray", "ndarray", "RuntimeError", "ndarray", "ndarray"]

    run(scenario)


def test_large_request_that_failed_is_not_worked_on_any_more() -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(RuntimeError, match="unlucky"):
            await bench.ask(13, 1, 1, 1, 2, 2, 2, 2)
        assert (await bench.ask(7))[0, 0] == 14

    assert sum(run(scenario).batches) == 2  # the first piece, and the next request


def test_failing_encoder_is_an_error_and_not_the_end() -> None:
    async def scenario(bench: Bench) -> None:
        bench.batcher._encode_pictures = lambda pixels, notes: [][1]
        with pytest.raises(IndexError):
            await bench.batcher.submit(rows(1), [None]).reply
        assert (await bench.ask(7))[0, 0] == 14

    run(scenario)


def test_failure_of_the_batcher_itself_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bench: Bench) -> None:
        first = await bench.busy()
        waiting = bench.ask(1)
        monkeypatch.setattr(bench.batcher, "_form", lambda: 1 / 0)
        bench.toy.gate.set()
        await first
        with pytest.raises(ZeroDivisionError):
            await waiting
        with pytest.raises(NotReady):
            bench.ask(1)

    run(scenario)
    assert "device thread has failed" in caplog.text


def test_stopping_answers_what_was_accepted_and_refuses_the_rest() -> None:
    async def main() -> None:
        bench = Bench()
        bench.batcher.start()
        first = await bench.busy()
        waiting = bench.ask(3)
        stopping = asyncio.create_task(bench.batcher.stop())
        await asyncio.sleep(0.01)
        with pytest.raises(NotReady):
            bench.ask(1)
        bench.toy.gate.set()
        await asyncio.wait_for(stopping, TIMEOUT)
        assert (await first)[0, 0] == 0
        assert (await waiting)[0, 0] == 6

    asyncio.run(main())


def test_batcher_that_was_never_started_refuses() -> None:
    with pytest.raises(NotReady):
        Bench().ask(1)
