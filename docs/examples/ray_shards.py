"""Generates shards by Ray Data, on all machines of a cluster, which share the folder.

    python docs/examples/ray_shards.py avatars 3000000 /shared/many --processes 16

They are the files of `generate --shards`: which seeds a shard holds depends on its number alone,
and what is there already is left as it is.
"""

import argparse
from pathlib import Path
from typing import Any

import ray

from model.generator_file import read_generator_file
from model.generators import generator_folder
from model.training.commands.generate import Order, write_shards
from model.upscaling.runtimes import UpscalingSampler


class Shards:
    """Makes shards by their numbers, in one process that keeps its generator."""

    def __init__(self, generator: str, count: int, size: int | None, folder: str) -> None:
        file = read_generator_file(generator_folder(generator))
        precision = file.config.served_in("fp32")
        self.order = Order(file=file, seeds=range(count), precision=precision)
        self.size, self.folder = size, folder
        self.sampler = UpscalingSampler(file, "cpu", "fp32", threads=1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        numbers, folder = batch["id"].tolist(), Path(self.folder)
        made, _ = write_shards(self.order, self.sampler, folder, size=self.size, numbers=numbers)
        return {"made": [made]}


def main() -> None:
    """Makes all shards that are missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("generator")
    parser.add_argument("count", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shard-size", type=int)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    file = read_generator_file(generator_folder(options.generator))
    shards = Order(file=file, seeds=range(options.count)).shards(options.shard_size).count
    made = ray.data.range(shards, override_num_blocks=shards).map_batches(
        Shards,
        fn_constructor_args=(
            options.generator,
            options.count,
            options.shard_size,
            str(options.folder.resolve()),
        ),
        batch_size=1,
        num_cpus=1,  # beside one that deals the numbers
        compute=ray.data.ActorPoolStrategy(size=options.processes),
    )
    count = sum(row["made"] for row in made.take_all())
    print(f"{options.folder}: {count} of {shards} shards generated now")


if __name__ == "__main__":
    main()
