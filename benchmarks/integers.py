"""What an integer generator costs beside the one in floats that it was made of:
`python -m benchmarks.integers avatars avatars-int8`.

    one thread  ->  the sampler alone, one picture and 64 at once
                ->  the upscalers alone, where both have one, a picture at each scale
                ->  a service that keeps nothing: fresh seeds for 1 and for 64 clients

CPU time a picture, and for one client milliseconds until the answer, both by wrk; in turns,
medians over the rounds, and the second's ratio to the first.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median

from benchmarks.enlargement import KIND
from benchmarks.load import closed_loop
from benchmarks.servers import Server, running
from model.generator_file import read_generator_file
from model.generators import generator_folder
from model.samplers.onnx import OnnxSampler
from model.upscaling.onnx_upscaler import OnnxUpscaler

SIZES = (1, 64)
ENLARGED = 8  # pictures
CLIENTS = 64


def sampler_ms(name: str, size: int, seconds: float) -> float:
    """Returns milliseconds of CPU a picture, of the sampler alone."""
    file = read_generator_file(generator_folder(name))
    sampler = OnnxSampler(file)
    rows = file.config.rows(range(size))
    sampler(rows)
    batches, start = 0, time.process_time()
    while (taken := time.process_time() - start) < seconds:
        sampler(rows)
        batches += 1
    return 1000 * taken / (batches * size)


def upscaler_ms(name: str, scale: int, seconds: float) -> float:
    """Returns milliseconds of CPU that enlarging a picture takes."""
    file = read_generator_file(generator_folder(name))
    assert file.upscaler is not None
    pixels = OnnxSampler(file)(file.config.rows(range(ENLARGED)))
    upscale = OnnxUpscaler(file.upscaler)
    upscale(pixels, scale)
    batches, start = 0, time.process_time()
    while (taken := time.process_time() - start) < seconds:
        upscale(pixels, scale)
        batches += 1
    return 1000 * taken / (batches * ENLARGED)


def scales_of(names: Sequence[str]) -> list[int]:
    """Returns the scales that the upscalers of all generators have."""
    upscalers = [read_generator_file(generator_folder(name)).upscaler for name in names]
    return sorted(set.intersection(*(set(one.scales) if one else set() for one in upscalers)))


def served(server: Server, clients: int, seconds: float, figure: str) -> float:
    """Returns a figure of so many clients, who ask for a fresh seed each time."""
    value: float = getattr(closed_loop(server, clients, seconds), figure)
    return value


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("generators", nargs=2, help="names in model/zoo, or model folders")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each way in a round")
    options = parser.parse_args()
    ways: dict[str, list[Callable[[], float]]] = {
        f"the sampler, {size} at once, CPU ms": [
            partial(sampler_ms, name, size, options.seconds) for name in options.generators
        ]
        for size in SIZES
    }
    ways |= {
        f"the upscaler at {scale}x, CPU ms": [
            partial(upscaler_ms, name, scale, options.seconds) for name in options.generators
        ]
        for scale in scales_of(options.generators)
    }
    with ExitStack() as stack:
        servers = [
            stack.enter_context(running(KIND, generator=str(generator_folder(name).resolve())))
            for name in options.generators
        ]
        ways["served, 1 client, ms"] = [
            partial(served, server, 1, options.seconds, "p50_ms") for server in servers
        ]
        ways[f"served, {CLIENTS} clients, CPU ms"] = [
            partial(served, server, CLIENTS, options.seconds, "cpu_ms_per_request")
            for server in servers
        ]
        for way, both in ways.items():
            found = [[measure() for measure in both] for _ in range(options.rounds + 1)][1:]
            first, second = zip(*found, strict=True)
            ratio = median(b / a for a, b in found)
            print(f"{way:36} {median(first):7.2f} {median(second):7.2f} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
