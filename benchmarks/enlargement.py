"""What a fresh enlarged picture costs beside a plain one: `python -m benchmarks.enlargement`.

A service on one thread that keeps nothing, some clients, each seed asked for once; CPU time of the
whole service a picture, rounds in turn. A generator that has no upscaler gets an untrained one of
the usual shape: what it costs does not depend on what it has learnt.
"""

import argparse
import dataclasses
import http.client
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks.servers import HOST, OURS, Server, running
from model.generator_file import add_upscaler, read_generator_file
from model.generators import generator_folder
from model.upscaling.config import UpscalerConfig
from model.upscaling.onnx_upscaler import OnnxUpscaler
from model.upscaling.pytorch import Upscaler, upscaler_weights
from model.upscaling.upscaler_file import UPSCALER, write_upscaler

PLAIN = "1x"
WAYS = {
    PLAIN: "",
    "2x nearest": "&scale=2",
    "4x nearest": "&scale=4",
    "4x lanczos": "&scale=4&resample=lanczos",
    "2x learned": "&scale=2&resample=learned",
    "4x learned": "&scale=4&resample=learned",
}
KIND = dataclasses.replace(
    OURS,
    name="ours:1",
    threads=1,
    environment={"GAN_CACHE_MIB": "0", "GAN_MAX_WAIT": "600", "GAN_DEVICE": "cpu"},
)


@contextmanager
def upscaled(name: str) -> Iterator[str]:
    """Yields the path of a model folder that has an upscaler."""
    folder = generator_folder(name)
    file = read_generator_file(folder)
    if file.upscaler is not None:
        yield str(folder.resolve())
        return
    with tempfile.TemporaryDirectory() as place:
        target, alone = Path(place) / folder.name, Path(place) / "upscaler"
        shutil.copytree(folder, target)
        alone.mkdir()
        network = UpscalerConfig(channels=file.config.network.channels)
        write_upscaler(
            alone,
            upscaler_weights(Upscaler(network)),
            OnnxUpscaler,
            network=network,
            preset="none",
            data=file.config.data.model_dump(),
            images_seen=0,
        )
        add_upscaler(target, alone / UPSCALER)
        print(
            f"{file.config.id} has no upscaler; an untrained one of the usual shape stands for it"
        )
        yield str(target)


def ask(server: Server, more: str, seeds: Iterator[int], pictures: int) -> None:
    """Asks as one client for so many fresh pictures, one after another."""
    with closing(http.client.HTTPConnection(HOST, server.port, timeout=600)) as connection:
        for _ in range(pictures):
            connection.request("GET", f"/generate?seed={next(seeds)}{more}")
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise SystemExit(f"{answer.status}: {content[:200]!r}")


def cpu_ms(server: Server, clients: int, pictures: int, one: Callable[[int], None]) -> float:
    """Milliseconds of CPU a picture, of the whole service."""
    processes = server.processes()
    before = server.usage(processes)
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, [pictures // clients] * clients))
    return 1000 * server.usage(processes).cpu_since(before) / (pictures // clients * clients)


def main() -> None:
    """Prints what each way costs, and its ratio to a plain picture: medians over the rounds."""
    parser = argparse.ArgumentParser(description="What does a fresh enlarged picture cost?")
    parser.add_argument("--generator", default="avatars")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=200, help="of each way in a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    seeds = count(1_000_000)
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    with upscaled(options.generator) as folder, running(KIND, generator=folder) as server:
        for number in range(options.rounds + 1):
            for name, more in WAYS.items():
                one = partial(ask, server, more, seeds)
                cost = cpu_ms(server, options.clients, options.pictures, one)
                if number:  # the first warms up
                    found[name].append(cost)
    print(f"{options.clients} clients; milliseconds of CPU a picture, and times that of {PLAIN}")
    for name, costs in found.items():
        ratio = median(cost / plain for cost, plain in zip(costs, found[PLAIN], strict=True))
        print(f"{name:>12} {median(costs):6.2f} {ratio:6.2f}")


if __name__ == "__main__":
    main()
