"""Small requests beside a large one: `python -m benchmarks.fairness`.

One client asks for single pictures, one after another; then the same while a request for 10,000
pictures is being worked on. Without HTTP: batcher, generator and encoder as they ship.
"""

import argparse
import asyncio
import time

import numpy as np

from app.engine.batcher import Batcher
from model.encoding.png import encode_pngs
from model.generator_file import read_generator_file
from model.generators import ZOO
from model.samplers.sampler import load_sampler

GENERATOR = ZOO / "mnist"


async def measure(singles: int, large: int) -> tuple[list[float], list[float], float]:
    """Milliseconds of single requests, alone and beside the large; the large one's pictures/s."""
    file = read_generator_file(GENERATOR)
    sampler = load_sampler(file, "cpu", threads=1)
    batcher = Batcher(sampler, encode_pngs, max_batch=64, max_queue=2 * large, max_wait=600)
    batcher.start()
    seeds = iter(range(10**9))

    async def single() -> float:
        start = time.perf_counter()
        z = file.config.rows([next(seeds)])
        await batcher.submit(z, [None] * len(z)).reply
        return 1000 * (time.perf_counter() - start)

    for _ in range(50):  # until the batcher knows its pace
        await single()
    alone = [await single() for _ in range(singles)]
    z = file.config.rows(range(large))
    start = time.perf_counter()
    whole = batcher.submit(z, [None] * len(z)).reply
    beside = []
    while not whole.done():
        beside.append(await single())
        await asyncio.sleep(0.002)  # a client that thinks, so that the large request gets on
    rate = large / (time.perf_counter() - start)
    await batcher.stop()
    return alone, beside, rate


def main() -> None:
    """Prints p50 and p99 of both, and their ratio."""
    parser = argparse.ArgumentParser(description="How long do small requests wait beside a large?")
    parser.add_argument("--singles", type=int, default=1000)
    parser.add_argument("--large", type=int, default=10_000)
    options = parser.parse_args()
    alone, beside, rate = asyncio.run(measure(options.singles, options.large))
    for name, times in (("alone", alone), (f"beside {options.large} pictures", beside)):
        p50, p99 = np.percentile(times, [50, 99])
        print(f"{name}: {len(times)} single requests, p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    ratio = np.percentile(beside, 99) / np.percentile(alone, 99)
    print(f"p99 beside over alone: {ratio:.2f}; the large request got {rate:.0f} pictures/s")


if __name__ == "__main__":
    main()
