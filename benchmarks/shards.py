"""Training from shards beside training from memory: images a second in turns, and the memory of
each process; and `generate --shards` beside the bare generator.

    python -m benchmarks.shards --pictures 1000000 --side 64 --folder big
    python -m benchmarks.shards --generator mnist --pictures 4096 --folder many

The pictures to train on are noise, grey; a folder that holds them already is taken as it is. In
training each side runs in a process of its own that has nothing else; in each turn both take as
many steps, or generate as many pictures, one after the other. CPU time is what other work on the
machine leaves alone. Memory is what Linux counts as resident: private, mapped from files, and the
most that both ever were together.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from model.devices import usable_cores
from model.generator_file import read_generator_file
from model.generators import generator_folder
from model.samplers.pytorch import computes_bf16
from model.training.commands.generate import Order, parts, write_shards
from model.training.datasets.batches import WEIGHTS, Batches, stream
from model.training.datasets.dataset import load
from model.training.datasets.shard_writer import Made, default_size, fill
from model.training.datasets.shards import FORMAT, Index
from model.training.presets import PRESETS
from model.training.train_step import new_networks, train_step
from model.upscaling.runtimes import UpscalingSampler

CPU = torch.device("cpu")
BATCH = 64  # pictures that are generated together, as `generate` does


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
    """Returns how much of this process is in memory, in MiB, and the most that ever was."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = dict(line.split(":") for line in lines)
    fields = {"private": "RssAnon", "mapped": "RssFile", "together at most": "VmHWM"}
    return ", ".join(f"{n} {int(found[f].split()[0]) / 1024:.0f}" for n, f in fields.items())


def side_of(connection: Connection, folder: Path, side: int, mapped: bool, config: str) -> None:
    """Takes as many steps as it is asked for; answers with the seconds and its memory."""
    torch.set_num_threads(1)
    preset = PRESETS[config].config
    data = load(folder, "train", side=side, channels=1, mapped=mapped)
    network = replace(preset.network, channels=1)
    preset = replace(preset, network=network, frozen_features=False, order="keyed")
    preset = replace(preset, bf16=preset.bf16 and computes_bf16(CPU))
    networks = new_networks(preset, CPU, int(stream(0, WEIGHTS, 0).integers(2**63)))
    batches, step = Batches(preset, data, CPU), 0
    for count in iter(connection.recv, 0):
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(count):
            train_step(networks, batches(step), preset, step)
            step += 1
        taken = time.perf_counter() - start
        connection.send((taken, time.process_time() - cpu, resident()))


def bare_and_sharded(name: str, pictures: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Returns what generates so many pictures by the generator alone, by batches of latents that
    are there, and what makes shards of them.
    """
    file = read_generator_file(generator_folder(name))
    sampler = UpscalingSampler(file, "cpu", "fp32", usable_cores())
    order = Order(file=file, seeds=range(pictures))
    batches = [order.changes.rows(file, part) for part in parts(order.seeds, BATCH)]

    def sharded() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            write_shards(order, sampler, Path(place), batch=BATCH)

    return {"bare": lambda: [sampler(rows) for rows in batches], "shards": sharded}


def generation(name: str, pictures: int, folder: Path, turns: int) -> None:
    """Prints pictures a second of `generate --shards` over those of the bare generator."""
    folder.mkdir(parents=True, exist_ok=True)
    sides = bare_and_sharded(name, pictures, folder)
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    cpu: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(turns + 1):
        for side, generate in sides.items():
            start, busy = time.perf_counter(), time.process_time()
            generate()
            taken, busy = time.perf_counter() - start, time.process_time() - busy
            if turn:  # the first one warms up
                seconds[side].append(taken)
                cpu[side].append(busy)
            rates = f"{pictures / taken:.1f} pictures/s, {pictures / busy:.1f} a second of CPU"
            print(f"{side}: {rates}", flush=True)
    ratio("shards / bare, pictures/s", seconds["bare"], seconds["shards"])
    ratio("shards / bare, pictures a second of CPU", cpu["bare"], cpu["shards"])


def ratio(what: str, wanted: list[float], found: list[float]) -> None:
    """Prints the ratio of two speeds, by the seconds of their turns."""
    median = np.median(np.array(wanted) / np.array(found))
    print(f"{what}: {sum(wanted) / sum(found):.3f}; median of the turns {median:.3f}")


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--preset", default="modern-64")
    parser.add_argument("--generator", help="generate pictures with this one, instead of training")
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--steps", type=int, default=16, help="of each side in a turn")
    options = parser.parse_args()
    if options.generator:
        generation(options.generator, options.pictures, options.folder, options.turns)
        return
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
    ratio("shards / memory, images/s", seconds["memory"], seconds["shards"])
    ratio("shards / memory, images a second of CPU", cpu["memory"], cpu["shards"])
    for end in ends.values():
        end.send(0)


if __name__ == "__main__":
    main()
