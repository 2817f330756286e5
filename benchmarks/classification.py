"""What it takes to name a picture, as its client sees it: `python -m benchmarks.classification`.

A service, one client on one connection, another of the generator's pictures each time: a PNG file
of its own, the same in JSON, its seed, and many pictures as npy, in turn.
"""

import argparse
import base64
import http.client
import io
import json
import time
from collections.abc import Callable
from contextlib import closing
from itertools import cycle
from statistics import median, quantiles

import numpy as np

from benchmarks.servers import HOST, OURS, running
from model.encoding.png import encode_pngs
from model.generator_file import read_generator_file
from model.generators import generator_folder
from model.samplers.sampler import load_sampler

MANY = 256  # pictures of one npy file
FILES = 64  # different ones
Request = tuple[str, str, bytes, dict[str, str]]  # method, path, body, headers


def requests(name: str) -> dict[str, Callable[[int], Request]]:
    """Returns what asks for the n-th picture, of each way."""
    file = read_generator_file(generator_folder(name))
    pixels = load_sampler(file, "cpu")(file.config.rows(range(MANY)))
    pngs = encode_pngs(pixels[:FILES], [None] * FILES)
    bodies = [json.dumps({"inputs": base64.b64encode(png).decode()}).encode() for png in pngs]
    stream = io.BytesIO()
    np.save(stream, pixels)
    typed = {"Content-Type": "application/json"}
    return {
        "PNG": lambda n: ("POST", "/classify", pngs[n % FILES], {}),
        "JSON": lambda n: ("POST", "/classify", bodies[n % FILES], typed),
        "seed": lambda n: ("GET", f"/classify?seed={1_000_000 + n}", b"", {}),
        f"npy of {MANY}": lambda n: ("POST", "/classify", stream.getvalue(), {}),
    }


def main() -> None:
    """Prints the median and the 99th percentile of each way, and the service's CPU."""
    parser = argparse.ArgumentParser(description="How long does it take to name a picture?")
    parser.add_argument("--generator", default="mnist", help="whose data have a classifier")
    parser.add_argument("--requests", type=int, default=2000, help="of each way, in all")
    options = parser.parse_args()
    ways = requests(options.generator)
    folder = str(generator_folder(options.generator).resolve())
    milliseconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu = dict.fromkeys(ways, 0.0)
    with running(OURS, generator=folder) as server:
        processes = server.processes()
        with closing(http.client.HTTPConnection(HOST, server.port, timeout=60)) as connection:
            rounds = 20
            for way, number in zip(cycle(ways), range(len(ways) * (rounds + 1)), strict=False):
                before = server.usage(processes)
                for _ in range(options.requests // rounds):
                    method, path, body, headers = ways[way](len(milliseconds[way]))
                    start = time.perf_counter()
                    connection.request(method, path, body, headers)
                    answer = connection.getresponse()
                    content = answer.read()
                    milliseconds[way].append(1000 * (time.perf_counter() - start))
                    if answer.status != 200:
                        raise SystemExit(f"{answer.status}: {content[:200]!r}")
                if number < len(ways):  # the first round warms up
                    milliseconds[way].clear()
                else:
                    cpu[way] += server.usage(processes).cpu_since(before)
    print(f"{options.generator}, one client: milliseconds, median and 99th percentile; of CPU")
    for way, found in milliseconds.items():
        each = 1000 * cpu[way] / len(found)
        print(f"{way:>12} {median(found):7.2f} {quantiles(found, n=100)[98]:7.2f} {each:7.2f}")


if __name__ == "__main__":
    main()
