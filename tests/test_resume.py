"""Runs that stop, die or diverge: what comes after is what would have come without."""

import json
import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from model.samplers.pytorch import computes_bf16
from model.training import generator_task, loop
from model.training.datasets.dataset import Dataset, load
from model.training.evaluation import measure
from model.training.generator_task import GeneratorRun
from model.training.presets import Schedule, TrainConfig
from model.training.run import checkpoint
from model.training.task import Stats
from model.training.techniques.catalogue import TECHNIQUES
from model.training.train_step import Batch, Networks
from model.training.train_step import train_step as play
from tests.conftest import SHA
from tests.tiny_training import TINY_MODERN, TINY_PRESET, TINY_SEQUEL, tiny_process

CPU = torch.device("cpu")
STEPS = 24
SCHEDULE = Schedule(images=STEPS * 32, log_steps=3, grid_steps=10**6, snapshot_images=320)
ARTICLE = replace(TINY_PRESET.config, batch=32)
MODERN, SEQUEL = TINY_MODERN.config, TINY_SEQUEL.config
CONFIGS = {
    "modern": MODERN,
    "modern-bf16": replace(MODERN, bf16=True, mirror=True),
    "modern-unordered": replace(MODERN, channels_last=False, penalty_interval=1),
    "hinge": SEQUEL,
    "hinge-bf16": replace(SEQUEL, bf16=True, channels_last=False),
}


def marks(name: str, config: TrainConfig) -> list[pytest.MarkDecorator]:
    """Leaves the longest to the long run, and out what takes minutes where bfloat16 is emulated."""
    if name == "modern":
        return []
    slow = config.bf16 and not computes_bf16(CPU)
    skipped = pytest.mark.skipif(slow, reason="this processor has no fast bfloat16")
    return [
        pytest.mark.slow,
        skipped,
        *([pytest.mark.long] if name in ("hinge", "modern-unordered") else []),
    ]


@pytest.fixture(scope="module")
def data(digits: Path) -> Dataset:
    return load(digits, "train", side=28, channels=1)


def run_in(folder: Path, data: Dataset, config: TrainConfig, **schedule: Any) -> GeneratorRun:
    folder.mkdir()
    return GeneratorRun(
        config=config,
        schedule=replace(SCHEDULE, **schedule),
        data=data,
        data_sha256=SHA,
        real=None,
        folder=folder,
        device=CPU,
    )


def newest(run: GeneratorRun) -> Path:
    return checkpoint.newest_first(run.folder / "checkpoints")[0]


def never() -> bool:
    return False


def after(*counts: int) -> Callable[[], bool]:
    """Ends after so many steps, then after so many more."""
    asked = (answer for count in counts for answer in [False] * (count - 1) + [True])
    return lambda: next(asked, False)


# --- stopped ---


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=marks(name, config)) for name, config in CONFIGS.items()],
)
def test_resumed_run_equals_unbroken_run_in_every_game(
    data: Dataset, tmp_path: Path, name: str
) -> None:
    """Schedules move, penalties come every fourth step: the stops lie between them."""
    config, seldom = CONFIGS[name], {"snapshot_images": 10**6}  # snapshots of many parts are slow
    plain = run_in(tmp_path / "plain", data, config, **seldom)
    assert loop.train(plain, never)
    run = run_in(tmp_path / "run", data, config, **seldom)
    stop = after(1, 6, 3, 8)
    while not loop.train(run, stop):
        pass
    assert newest(run).name == newest(plain).name
    assert newest(run).read_bytes() == newest(plain).read_bytes()
    log = (run.folder / "log.txt").read_text()
    assert log.count("resuming at") == 4


# --- diverged ---


class Poison:
    """Plays as it should, but at certain steps, so many times each, something is not a number."""

    def __init__(self, steps: dict[int, int], kind: str) -> None:
        self._left, self._kind, self._step = dict(steps), kind, play
        self.seen: list[tuple[int, bytes]] = []  # step, its real pictures

    def __call__(self, networks: Networks, batch: Batch, config: TrainConfig, step: int) -> Stats:
        self.seen.append((step, batch.real.numpy().tobytes()))
        stats = self._step(networks, batch, config, step)
        if self._left.get(step, 0) > 0:
            self._left[step] -= 1
            if self._kind == "loss":
                return stats | {"loss_d": torch.tensor(float("nan"))}
            next(networks.generator.parameters()).data[0] = float(self._kind)
        return stats


@pytest.mark.parametrize("kind", ["loss", "nan", "inf"])
@pytest.mark.parametrize("step", [13, pytest.param(19, marks=pytest.mark.slow)])
def test_diverged_run_goes_back_once_and_on_with_other_batches(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, step: int
) -> None:
    poison = Poison({step: 1}, kind)
    monkeypatch.setattr(generator_task, "train_step", poison)
    run = run_in(tmp_path / "run", data, ARTICLE)
    assert loop.train(run, never)
    end = checkpoint.read_checkpoint(newest(run))
    assert (end.images_seen, end.state["attempt"]) == (SCHEDULE.images, 1)
    assert all(bool(value.isfinite().all()) for value in end.tensors.values())
    assert (
        "back to 320 images, with other batches from there (attempt 1 of 3)"
        in (run.folder / "log.txt").read_text()
    )
    steps = [seen for seen, _ in poison.seen]
    again = steps.index(10, 11)  # after the snapshot of 320 images
    assert steps[again:] == list(range(10, STEPS))
    first, second = dict(poison.seen[:again]), dict(poison.seen[again:])
    assert all(first[seen] != second[seen] for seen in range(10, step))


@pytest.mark.slow
def test_other_batches_are_the_same_for_everyone_who_goes_back(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt is in the checkpoint: a stop after it changes nothing."""
    ends = []
    for name, stop in (("plain", never), ("stopped", after(20, 5))):
        with monkeypatch.context() as patch:
            patch.setattr(generator_task, "train_step", Poison({13: 1}, "nan"))
            run = run_in(tmp_path / name, data, ARTICLE)
            while not loop.train(run, stop):
                pass
        ends.append(newest(run).read_bytes())
    assert ends[0] == ends[1]


def test_run_that_diverges_a_fourth_time_ends_with_a_reason(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator_task, "train_step", Poison({5: 1, 12: 2, 22: 1}, "loss"))
    run = run_in(tmp_path / "run", data, ARTICLE)
    with pytest.raises(loop.TrainingError, match=r"not finite after .*; the run has diverged"):
        loop.train(run, never)
    log = (run.folder / "log.txt").read_text()
    assert [f"(attempt {count} of 3)" in log for count in (1, 2, 3, 4)] == [True, True, True, False]


# --- kept ---


def test_newest_checkpoints_and_that_of_the_best_snapshot_are_kept(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([3.0, 1.0, 2.0, 2.5])
    monkeypatch.setattr(measure, "quality", lambda *_: {"figure": next(figures)})
    run = run_in(tmp_path / "run", data, ARTICLE, snapshot_images=192, keep=1)
    assert loop.train(replace(run, real=object()), never)  # type: ignore[arg-type]
    names = [path.name for path in checkpoint.newest_first(run.folder / "checkpoints")]
    assert names == ["checkpoint-000000768.safetensors", "checkpoint-000000384.safetensors"]
    kept = checkpoint.read_checkpoint(run.folder / "checkpoints" / names[1])
    assert kept.state["best"] == {"name": "figure", "figure": 1.0, "images_seen": 384}


# --- killed ---


def log_of(outdir: Path) -> str:
    return "".join(path.read_text() for path in outdir.glob("[0-9]*/log.txt"))


def rows_of(outdir: Path) -> int:
    return sum(path.read_text().count("\n") for path in outdir.glob("[0-9]*/stats.jsonl"))


def check_killed_run(digits: Path, folder: Path, kills: int, steps: int, *preset: str) -> None:
    """Kills it at random moments, some while it starts, the others spread over its length.

    The processes are forked from one that has imported everything, which saves seconds for each.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.tiny_training"])
    plain = ["train", "--preset", *(preset or ("modern-32",)), "--data", str(digits)]
    plain += ["--device", "cpu", "--features", "none"]
    plain += ["--checkpoint-seconds", "0.1", "--batch", "32"]
    plain += ["--kimg", str(steps * 32 / 1000), "--snapshot-kimg", "0.96"]

    def started(name: str) -> BaseProcess:
        arguments = [*plain, "--outdir", str(folder / name)]
        process = context.Process(target=tiny_process, args=(arguments,))
        process.start()
        return process

    moments = random.Random(5)
    for kill in range(kills):
        process = started("killed")
        if moments.random() < 0.8:
            furthest = steps // 10 * (kill + moments.random()) / (kills + 1)
            while rows_of(folder / "killed") < furthest:
                time.sleep(0.002)
            time.sleep(moments.uniform(0.0, 0.1))
        else:
            time.sleep(moments.uniform(0.0, 1.0))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    ends = []
    for name in ("killed", "plain"):
        process = started(name)
        process.join()
        assert process.exitcode == 0
        (run,) = (folder / name).glob("[0-9]*")  # one run, not one a kill
        ends.append(checkpoint.newest_first(run / "checkpoints")[0])
    assert log_of(folder / "killed").count("resuming at ") >= kills // 2
    assert ends[0].name == ends[1].name == f"checkpoint-{steps * 32:09d}.safetensors"
    assert ends[0].read_bytes() == ends[1].read_bytes()


@pytest.mark.slow
def test_killed_run_ends_with_the_bytes_of_an_unbroken_one(digits: Path, tmp_path: Path) -> None:
    check_killed_run(digits, tmp_path, kills=3, steps=60)


@pytest.mark.long
def test_run_killed_many_times_ends_with_the_bytes_of_an_unbroken_one(
    digits: Path, tmp_path: Path
) -> None:
    check_killed_run(digits, tmp_path, kills=8, steps=100)


@pytest.mark.long
@pytest.mark.parametrize("technique", TECHNIQUES)
def test_killed_run_with_a_technique_ends_with_the_bytes_of_an_unbroken_one(
    digits: Path, tmp_path: Path, technique: str
) -> None:
    check_killed_run(digits, tmp_path, 4, 60, "dcgan-mnist", "--techniques", technique)


# --- by hours ---


class Minutes:
    """A clock that goes on by a minute with each step."""

    def __init__(self) -> None:
        self.now, self._step = 0.0, play

    def train_step(self, networks: Networks, batch: Batch, config: TrainConfig, step: int) -> Stats:
        self.now += 60.0
        return self._step(networks, batch, config, step)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def minutes(monkeypatch: pytest.MonkeyPatch) -> Minutes:
    clock = Minutes()
    monkeypatch.setattr(generator_task, "train_step", clock.train_step)
    return clock


def by_hours(folder: Path, data: Dataset, minutes: Minutes, hours: float) -> GeneratorRun:
    """Returns a schedule by hours: twelve steps are 0.2 of them."""
    length = {"images": None, "snapshot_images": None, "snapshot_seconds": 240.0}
    run = run_in(folder, data, ARTICLE, hours=hours, **length)
    return replace(run, clock=minutes)


def test_run_by_hours_ends_with_them(data: Dataset, tmp_path: Path, minutes: Minutes) -> None:
    run = by_hours(tmp_path / "run", data, minutes, 0.2)
    assert loop.train(run, never)
    end = checkpoint.read_checkpoint(newest(run))
    assert (end.images_seen, end.state["seconds"]) == (12 * 32, 720.0)
    grids = sorted(path.name for path in (run.folder / "grids").glob("average-*"))
    assert grids == [f"average-{steps * 32:09d}.png" for steps in (4, 8, 12)]
    log = (run.folder / "log.txt").read_text()
    assert "done: 384 images" in log
    assert log.count("forecast: ") == 1
    content = newest(run).read_bytes()
    assert loop.train(run, never)  # it has had its hours
    assert newest(run).read_bytes() == content
    assert minutes.now == 720.0


@pytest.mark.slow
def test_hours_count_over_all_starts(data: Dataset, tmp_path: Path, minutes: Minutes) -> None:
    plain = by_hours(tmp_path / "plain", data, minutes, 0.2)
    assert loop.train(plain, never)
    run = by_hours(tmp_path / "run", data, minutes, 0.2)
    stop = after(5, 3)
    while not loop.train(run, stop):
        minutes.now += 1e6  # a pause does not count
    ends = [checkpoint.read_checkpoint(newest(one)) for one in (plain, run)]
    assert [end.state["seconds"] for end in ends] == [720.0, 720.0]
    assert newest(run).read_bytes() == newest(plain).read_bytes()
    assert (run.folder / "log.txt").read_text().count("forecast: ") == 1  # at the same rate


@pytest.mark.slow
def test_more_hours_go_on_with_a_finished_run(
    data: Dataset, tmp_path: Path, minutes: Minutes
) -> None:
    run = by_hours(tmp_path / "run", data, minutes, 0.2)
    assert loop.train(run, never)
    assert loop.train(replace(run, schedule=replace(run.schedule, hours=0.3)), never)
    assert checkpoint.read_checkpoint(newest(run)).images_seen == 18 * 32


def test_a_run_by_images_can_go_on_by_hours(
    data: Dataset, tmp_path: Path, minutes: Minutes
) -> None:
    """What it took until then is in its statistics."""
    run = run_in(tmp_path / "run", data, ARTICLE, images=6 * 32)
    assert loop.train(run, never)
    assert "seconds" not in checkpoint.read_checkpoint(newest(run)).state
    rows = [{"images_seen": steps * 32, "images_per_second": 32 / 60} for steps in (3, 6)]
    (run.folder / "stats.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    schedule = replace(run.schedule, images=None, hours=0.2)
    assert loop.train(replace(run, schedule=schedule, clock=minutes), never)
    assert checkpoint.read_checkpoint(newest(run)).images_seen == 12 * 32


# --- cool-down ---

COOLING = replace(MODERN, cooldown=0.5)


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Returns the shares of the rates, of each step that is played from here on."""
    found: list[float] = []
    real = vars(generator_task)["train_step"]  # that of `minutes`, where it is there

    def train_step(networks: Networks, batch: Batch, config: TrainConfig, step: int) -> Stats:
        found.append(batch.rate_share)
        return real(networks, batch, config, step)

    monkeypatch.setattr(generator_task, "train_step", train_step)
    return found


def falling(steps: int) -> list[float]:
    return [10 ** (-step / steps) for step in range(steps)]


@pytest.mark.slow
def test_rates_fall_over_the_last_share_of_the_images(
    data: Dataset, tmp_path: Path, shares: list[float]
) -> None:
    run = run_in(tmp_path / "run", data, COOLING, images=12 * 32)
    assert loop.train(run, never)
    assert shares == pytest.approx([1.0] * 6 + falling(6))
    shares.clear()
    longer = replace(run, schedule=replace(run.schedule, images=24 * 32))
    assert loop.train(longer, never)
    assert shares == pytest.approx(falling(12))


@pytest.mark.slow
def test_rates_fall_over_the_last_share_of_the_hours(
    data: Dataset, tmp_path: Path, minutes: Minutes, shares: list[float]
) -> None:
    """And over the same images when that last share is interrupted, or the hours are prolonged."""
    length = {"images": None, "snapshot_images": None, "snapshot_seconds": 240.0}
    run = replace(run_in(tmp_path / "run", data, COOLING, hours=0.2, **length), clock=minutes)
    stop = after(8, 1)
    while not loop.train(run, stop):
        minutes.now += 1e6
    assert shares == pytest.approx([1.0] * 6 + falling(6))
    shares.clear()
    assert loop.train(replace(run, schedule=replace(run.schedule, hours=0.8)), never)
    assert shares == pytest.approx([1.0] * 12 + falling(24))
