"""The laws of batching, with a toy in place of the generator."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from app.batcher import Batcher, Latents, Pixels
from app.problems import InvalidRequest, NotReady, QueueFull


class Toy:
    """Doubles each row; remembers its batches; waits for `gate` if it is closed."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.started = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, z: Latents) -> Pixels:
        self.started.set()
        assert self.gate.wait(10)
        self.batches.append(len(z))
        if (z == 13).any():
            raise RuntimeError("unlucky")
        return (2 * z).astype(np.uint8)


def rows(*values: int) -> Latents:
    return np.array(values, np.float32)[:, None]


def run(scenario: Callable[[Batcher, Toy], Coroutine[Any, Any, None]], max_batch: int = 4) -> Toy:
    """Runs a scenario with a started batcher and stops it."""
    toy = Toy()

    async def main() -> None:
        batcher = Batcher(toy, max_batch=max_batch, max_queue=8)
        batcher.start()
        try:
            await asyncio.wait_for(scenario(batcher, toy), 10)
        finally:
            toy.gate.set()
            await batcher.stop()

    asyncio.run(main())
    return toy


async def busy(batcher: Batcher, toy: Toy) -> asyncio.Task[Pixels]:
    """Closes the gate and fills the device, so that what comes next has to wait."""
    toy.gate.clear()
    task = asyncio.create_task(batcher.submit(rows(0)))
    assert await asyncio.to_thread(toy.started.wait, 10)
    return task


def test_lone_request_is_answered_alone() -> None:
    async def scenario(batcher: Batcher, toy: Toy) -> None:
        assert (await batcher.submit(rows(5)))[:, 0].tolist() == [10]

    assert run(scenario).batches == [1]


def test_waiting_requests_share_one_batch() -> None:
    async def scenario(batcher: Batcher, toy: Toy) -> None:
        first = await busy(batcher, toy)
        waiting = [asyncio.create_task(batcher.submit(rows(i))) for i in (1, 2, 3)]
        await asyncio.sleep(0.01)
        toy.gate.set()
        replies = await asyncio.gather(first, *waiting)
        assert [reply[0, 0] for reply in replies] == [0, 2, 4, 6]

    assert run(scenario).batches == [1, 3]


def test_large_request_is_cut_and_put_together_in_order() -> None:
    async def scenario(batcher: Batcher, toy: Toy) -> None:
        reply = await batcher.submit(rows(*range(8)))
        assert reply[:, 0].tolist() == [2 * i for i in range(8)]

    assert run(scenario).batches == [4, 4]


def test_batch_is_never_larger_than_its_bound() -> None:
    async def scenario(batcher: Batcher, toy: Toy) -> None:
        first = await busy(batcher, toy)
        tasks = [asyncio.create_task(batcher.submit(rows(i, i))) for i in (1, 2, 3)]
        await asyncio.sleep(0.01)
        toy.gate.set()
        replies = await asyncio.gather(first, *tasks)
        assert [reply[:, 0].tolist() for reply in replies] == [[0], [2, 2], [4, 4], [6, 6]]

    assert max(run(scenario, max_batch=3).batches) == 3


def test_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    async def scenario(batcher: Batcher, toy: Toy) -> None:
        first = await busy(batcher, toy)
        accepted = asyncio.create_task(batcher.submit(rows(*range(8))))
        await asyncio.sleep(0.01)
        with pytest.raises(QueueFull) as refusal:
            await batcher.submit(rows(1))
        assert refusal.value.headers["Retry-After"] == "1"
        toy.gate.set()
        assert len(await accepted) == 8
        await first

    run(scenario)


def test_request_larger_than_the_queue_can_never_be_served() -> None:
    async def scenario(batcher: Batcher, toy: Toy) -> None:
        with pytest.raises(InvalidRequest, match="allowed: up to 8"):
            await batcher.submit(rows(*range(9)))

    run(scenario)


def test_request_of_a_client_that_left_is_never_computed() -> None:
    async def scenario(batcher: Batcher, toy: Toy) -> None:
        first = await busy(batcher, toy)
        gone = asyncio.create_task(batcher.submit(rows(1, 2)))
        stays = asyncio.create_task(batcher.submit(rows(3)))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0)
        assert batcher.waiting == 1
        toy.gate.set()
        assert (await stays)[0, 0] == 6
        await first

    assert run(scenario).batches == [1, 1]


def test_failed_batch_answers_everyone_in_it_and_no_one_else() -> None:
    async def scenario(batcher: Batcher, toy: Toy) -> None:
        first = await busy(batcher, toy)
        tasks = [asyncio.create_task(batcher.submit(rows(i))) for i in (1, 13, 2, 3, 4)]
        await asyncio.sleep(0.01)
        toy.gate.set()
        replies = await asyncio.gather(first, *tasks, return_exceptions=True)
        kinds = [type(reply).__name__ for reply in replies]
        assert kinds == ["ndarray", *["RuntimeError"] * 4, "ndarray"]

    run(scenario)


def test_large_request_that_failed_is_not_worked_on_any_more() -> None:
    async def scenario(batcher: Batcher, toy: Toy) -> None:
        with pytest.raises(RuntimeError, match="unlucky"):
            await batcher.submit(rows(13, 1, 1, 1, 2, 2, 2, 2))
        assert (await batcher.submit(rows(7)))[0, 0] == 14

    assert run(scenario).batches == [4, 1]


def test_stopping_answers_what_was_accepted_and_refuses_the_rest() -> None:
    async def main() -> None:
        toy = Toy()
        batcher = Batcher(toy, max_batch=4, max_queue=8)
        batcher.start()
        first = await busy(batcher, toy)
        waiting = asyncio.create_task(batcher.submit(rows(3)))
        await asyncio.sleep(0.01)
        stopping = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0.01)
        with pytest.raises(NotReady):
            await batcher.submit(rows(1))
        toy.gate.set()
        await asyncio.wait_for(stopping, 10)
        assert (await first)[0, 0] == 0
        assert (await waiting)[0, 0] == 6

    asyncio.run(main())


def test_batcher_that_was_never_started_refuses() -> None:
    async def main() -> None:
        with pytest.raises(NotReady):
            await Batcher(Toy(), max_batch=4, max_queue=8).submit(rows(1))

    asyncio.run(main())
