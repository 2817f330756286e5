"""Processes that come and go: torchrun's agents are killed and others join, and the run goes on
with the pictures that it would have had.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.servers import free_port
from model.training.datasets.batches import Batches
from model.training.datasets.dataset import load
from model.training.distributed import Ranks
from tests.services import wait_until
from tests.tiny_training import TINY_MODERN, arguments_of, only_run

BATCH = 12  # divides among one to four processes


def now_and_then(holds: Callable[[], bool], what: str) -> None:
    """Waits until a condition holds that takes long to look at."""

    def looked_at() -> bool:
        time.sleep(0.5)
        return holds()

    wait_until(looked_at, what)


class Company:
    """The agents of one run on this machine, as a person would start them on several."""

    def __init__(self, data: Path, folder: Path, stack: ExitStack) -> None:
        self.folder, self.runs, self._stack = folder, folder / "runs", stack
        self._port, self._agents = free_port(), 0
        more = ["--batch", str(BATCH), "--cooldown", "0", "--checkpoint-seconds", "2"]
        self._arguments = [*arguments_of("modern-32", data, self.runs, *more)]
        (folder / "order").mkdir()

    def join(self, kimg: str = "1000") -> "subprocess.Popen[bytes]":
        """Starts another agent, with a process of its own."""
        self._agents += 1
        command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=1:4"]
        command += ["--nproc-per-node=1", "--rdzv-backend=c10d", "--rdzv-id=run"]
        command += [f"--rdzv-endpoint=127.0.0.1:{self._port}", "--local-addr=127.0.0.1"]
        command += ["--rdzv-conf=last_call_timeout=2,keep_alive_interval=3", "--max-restarts=100"]
        command += ["-m", "tests.elastic_training", str(self.folder / "order")]
        environment = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        log = (self.folder / f"agent-{self._agents}.log").open("wb")
        agent = subprocess.Popen(
            [*command, *self._arguments, "--kimg", kimg],
            env=os.environ | environment,
            stdout=self._stack.enter_context(log),
            stderr=subprocess.STDOUT,
        )
        self._stack.callback(agent.wait)
        self._stack.callback(agent.terminate)
        return agent

    def starts(self) -> list[int]:
        """Returns how many processes each start of the run had."""
        if not self.runs.exists() or not list(self.runs.glob("[0-9]*/log.txt")):
            return []
        log = (only_run(self.runs) / "log.txt").read_text()
        found = re.findall(r"(?:starting|resuming) at [\d,]+ images(?:, (\d+) processes)?", log)
        return [int(size or 1) for size in found]

    def wait_for(self, size: int, after: int) -> None:
        """Waits for a start with so many processes, and for steps of theirs, after some starts."""
        now_and_then(lambda: size in self.starts()[after:], f"{size} processes have started")
        seen = self.last_step(size)
        now_and_then(lambda: self.last_step(size) > seen + 5, f"{size} processes train")

    def last_step(self, size: int) -> int:
        """Returns the latest step that the first of so many processes has begun."""
        return max(
            (s for s, rank, world, _ in self.order() if (rank, world) == (0, size)), default=0
        )

    def order(self) -> list[tuple[int, int, int, list[int]]]:
        """Returns step, rank, number of processes and pictures of every batch that was taken."""
        lines = [
            line
            for path in (self.folder / "order").iterdir()
            for line in path.read_text().splitlines(keepends=True)
        ]
        return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.mark.parametrize(
    "blows",
    [
        pytest.param(1, marks=pytest.mark.slow),
        pytest.param(10, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_killed_and_rejoined_agents_leave_the_order_of_the_pictures(
    blows: int, digits: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        company = Company(digits, tmp_path, stack)
        first = company.join()
        company.wait_for(1, after=0)
        for _ in range(blows):
            before = len(company.starts())
            another = company.join()
            company.wait_for(2, after=before)
            before = len(company.starts())
            another.kill()
            company.wait_for(1, after=before)
        first.terminate()
        first.wait()
        seen = company.last_step(1)
        finisher = company.join(kimg=str((seen + 60) * BATCH / 1000))
        assert finisher.wait() == 0
    log = (only_run(company.runs) / "log.txt").read_text()
    assert log.count("2 processes") >= blows
    assert f"done: {(seen + 60) * BATCH:,} images" in log
    config = replace(TINY_MODERN.config, batch=BATCH)
    data = load(digits, "train", side=28, channels=1)
    device, taken = torch.device("cpu"), defaultdict(set)
    dealt: dict[tuple[int, int], Callable[[int], object]] = {}
    for step, rank, size, chosen in company.order():
        share = Ranks(rank=rank, size=size).share(BATCH)
        if (rank, size) not in dealt:
            dealt[rank, size] = Batches(config, data, device, share=share)._chosen
        assert list(dealt[rank, size](step)) == chosen  # type: ignore[call-overload]
        taken[step, size].add(rank)
    whole = {step for (step, size), ranks in taken.items() if len(ranks) == size}
    assert whole >= set(range(seen + 60))
