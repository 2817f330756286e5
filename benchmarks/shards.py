"""Training from shards beside training from memory: images a second in turns, and the memory of
each process.

    python -m benchmarks.shards --pictures 1000000 --side 64 --folder big

The pictures are noise, grey; a folder that holds them already is taken as it is. Each side runs in
a process of its own that has nothing else; in each turn both take as many steps, one after the
other. CPU time is what other work on the machine leaves alone. Memory is what Linux counts as
resident: private, and mapped from files.
"""

import argparse
import multiprocessing
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from model.training.datasets.batches import WEIGHTS, Batches, stream
from model.training.datasets.dataset import load
from model.training.datasets.shard_writer import Made, default_size, fill
from model.training.datasets.shards import FORMAT, Index
from model.training.presets import PRESETS
from model.training.train_step import new_networks, train_step


def write_noise(folder: Path, pictures: int, side: int) -> None:
    """Writes so many pictures, where they are not there yet."""

    def make(places: range) -> Made:
        random = np.random.default_rng(places.start)
        pixels = random.integers(0, 256, (len(places), side, side, 1), np.uint8)
        return Made(pixels=pixels, held_out=np.array(places) % 10 == 9)

    size = default_size(side, 1)
    index = Index(
        format=FORMAT, name="noise", side=side, channels=1, source=pictures, shard_size=size,
        made_by={},
    )  # fmt: skip
    fill(folder, index, range(index.count), make)


def resident() -> str:
    """Returns how much of this process is in memory, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = dict(line.split(":") for line in lines if line.startswith("Rss"))
    return ", ".join(
        f"{name} {int(found[field].split()[0]) / 1024:.0f}"
        for name, field in (("private", "RssAnon"), ("mapped", "RssFile"))
    )


def side_of(connection: Connection, folder: Path, side: int, mapped: bool, config: str) -> None:
    """Takes as many steps as it is asked for; answers with the seconds and its memory."""
    torch.set_num_threads(1)
    preset = PRESETS[config].config
    data = load(folder, "train", side=side, channels=1, mapped=mapped)
    network = replace(preset.network, channels=1)
    preset = replace(preset, network=network, frozen_features=False, order="keyed")
    networks = new_networks(preset, torch.device("cpu"), int(stream(0, WEIGHTS, 0).integers(2**63)))
    batches, step = Batches(preset, data, torch.device("cpu")), 0
    for count in iter(connection.recv, 0):
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(count):
            train_step(networks, batches(step), preset, step)
            step += 1
        taken = time.perf_counter() - start
        connection.send((taken, time.process_time() - cpu, resident()))


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--preset", default="modern-64")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--steps", type=int, default=16, help="of each side in a turn")
    options = parser.parse_args()
    write_noise(options.folder, options.pictures, options.side)
    context = multiprocessing.get_context("spawn")
    ends: dict[str, Connection] = {}
    for name in ("memory", "shards"):
        ends[name], other = context.Pipe()
        arguments = (other, options.folder, options.side, name == "shards", options.preset)
        context.Process(target=side_of, args=arguments, daemon=True).start()
    images = PRESETS[options.preset].config.batch * options.steps
    seconds: dict[str, list[float]] = {name: [] for name in ends}
    cpu: dict[str, list[float]] = {name: [] for name in ends}
    for turn in range(options.turns + 1):
        for name, end in ends.items():
            end.send(options.steps)
            taken, busy, memory = end.recv()
            if turn:  # the first one warms up
                seconds[name].append(taken)
                cpu[name].append(busy)
            rates = f"{images / taken:.1f} images/s, {images / busy:.1f} a second of CPU"
            print(f"{name}: {rates}, MiB: {memory}", flush=True)
    for what, found in (("images/s", seconds), ("images a second of CPU", cpu)):
        ratios = np.array(found["memory"]) / np.array(found["shards"])
        whole = sum(found["memory"]) / sum(found["shards"])
        print(f"shards / memory, {what}: {whole:.3f}; median of the turns {np.median(ratios):.3f}")
    for end in ends.values():
        end.send(0)


if __name__ == "__main__":
    main()
