"""Several processes that train one run: the same run as one alone."""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from model.generator_file import read_generator_file
from model.networks.pytorch import new_generator
from model.samplers.onnx import OnnxSampler
from model.training import generator_task, loop
from model.training.datasets.batches import Batches
from model.training.datasets.dataset import Dataset, load
from model.training.distributed import (
    DistributedError,
    GradientAverage,
    Ranks,
    joined,
    share_batch_norms,
)
from model.training.generator_task import GeneratorRun
from model.training.presets import Schedule
from model.training.run.checkpoint import Checkpoint, newest_first, read_checkpoint
from model.training.techniques.minibatch import MinibatchDiscrimination, minibatch_stddev
from model.training.train_step import new_networks, train_step
from tests.conftest import SHA
from tests.tiny_training import (
    TINY_MODERN,
    TINY_PRESET,
    arguments_of,
    only_run,
    tiny_process,
)

CPU = torch.device("cpu")
ARTICLE = replace(TINY_PRESET.config, batch=32)


def together(target: Callable[..., None], *arguments: Any, size: int = 2) -> None:
    """Runs target(*arguments) in so many processes, joined on the loopback interface."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.tiny_training"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    members = []
    for rank in range(size):
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "GLOO_SOCKET_IFNAME": "lo",
        }
        members.append(context.Process(target=_member, args=(environment, target, *arguments)))
    for member in members:
        member.start()
    for member in members:
        member.join()
    assert [member.exitcode for member in members] == [0] * size


def _member(environment: dict[str, str], target: Callable[..., None], *arguments: Any) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    target(*arguments)


@pytest.fixture(scope="module")
def data(digits: Path) -> Dataset:
    return load(digits, "train", side=28, channels=1)


# --- what they say to each other ---


def test_one_process_is_its_own_company() -> None:
    ranks, values = Ranks(), torch.tensor([1.0, 2.0])
    assert ranks.first
    assert ranks.share(7) == slice(0, 7)
    assert ranks.mean(values) is values
    assert ranks.any(True, False) == [True, False]
    assert (ranks.broadcast(b"word"), ranks.broadcast(None)) == (b"word", None)
    with joined() as alone:
        assert alone == ranks


def test_shares_are_equal_and_make_up_the_batch() -> None:
    parts = [list(range(12))[Ranks(rank=rank, size=3).share(12)] for rank in range(3)]
    assert [len(part) for part in parts] == [4, 4, 4]
    assert [place for part in parts for place in part] == list(range(12))
    with pytest.raises(DistributedError, match="a batch of 32 does not divide among 3 processes"):
        Ranks(size=3).share(32)


def test_what_was_exchanged_last_is_held_until_the_group_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exchanged: list[weakref.ref[torch.Tensor]] = []

    def exchange(values: torch.Tensor, *_: Any) -> None:
        exchanged.append(weakref.ref(values))

    monkeypatch.setattr(torch.distributed, "all_reduce", exchange)
    monkeypatch.setattr(torch.distributed, "broadcast", exchange)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    ranks, norm = Ranks(size=2), nn.BatchNorm2d(3)
    share_batch_norms(norm)
    batch = torch.ones(2, 3, 4, 4, requires_grad=True)
    for act in (
        lambda: ranks.mean(torch.ones(3)),
        lambda: ranks.any(True, False),
        lambda: ranks.broadcast(b"word"),
        lambda: norm(batch).sum().backward(),
    ):
        exchanged.clear()
        act()
        assert len(exchanged) > 0
        assert all(tensor() is not None for tensor in exchanged[-2:]), "gloo has two threads"


@pytest.mark.parametrize("config", [ARTICLE, replace(TINY_MODERN.config, mirror=True)])
def test_shares_of_a_batch_are_that_batch(config: Any, data: Dataset) -> None:
    config = replace(config, burn_in=0.0)  # all the augmentation there will be
    whole = Batches(config, data, CPU)(3)
    parts = [
        Batches(config, data, CPU, share=Ranks(rank=rank, size=2).share(32))(3) for rank in range(2)
    ]
    for name in ("real", "classes", "rows", "generator_rows"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    if whole.augmentation is not None:
        assert not whole.augmentation.kept.all()
        for name in ("rows", "columns", "kept"):
            found = [getattr(part.augmentation, name).chunk(2) for part in parts]
            real, fake = (torch.cat(halves) for halves in zip(*found, strict=True))
            assert torch.equal(torch.cat([real, fake]), getattr(whole.augmentation, name))


def _talk(folder: Path) -> None:
    with joined() as ranks:
        rank = ranks.rank
        assert ranks.mean(torch.tensor([rank, 4.0])).tolist() == [0.5, 4.0]
        assert ranks.any(rank == 1, False, True) == [True, False, True]
        assert ranks.broadcast(b"first" if rank == 0 else b"second") == b"first"
        assert ranks.broadcast(None) is None
        with ranks.one_before_the_others():
            existed = (folder / "fetched").exists()
            (folder / "fetched").touch()
        assert existed == (rank == 1)
        weight = nn.Parameter(torch.ones(2, 3))
        unused = nn.Parameter(torch.ones(1))
        optimizer = torch.optim.SGD([weight, unused], 1.0)
        GradientAverage(ranks, optimizer)
        (weight * (rank + 1)).sum().backward()
        optimizer.step()
        assert torch.equal(weight, torch.full((2, 3), 1 - 1.5))


@pytest.mark.slow
def test_processes_agree(tmp_path: Path) -> None:
    together(_talk, tmp_path)


def present(gradient: torch.Tensor | None) -> torch.Tensor:
    assert gradient is not None
    return gradient


def _normalise_and_differentiate() -> None:
    torch.manual_seed(0)
    whole = torch.randn(8, 3, 5, 5, dtype=torch.float64) * 3 + 100
    direction = torch.randn_like(whole)
    plain = nn.BatchNorm2d(3).double()
    shared = nn.BatchNorm2d(3).double()
    share_batch_norms(shared)
    with joined() as ranks:
        mine = ranks.share(8)
        x, part = whole.clone().requires_grad_(), whole[mine].clone().requires_grad_()
        wanted, found = plain(x), shared(part)
        assert torch.allclose(found, wanted[mine], atol=1e-9)
        (wanted * direction).mean().backward()
        (found * direction[mine]).mean().backward()
        # each process holds half of the gradient of the mean
        gradients = part.grad, x.grad, shared.weight.grad, plain.weight.grad
        of_part, of_x, of_shared, of_plain = (present(one) for one in gradients)
        assert torch.allclose(of_part / 2, of_x[mine], atol=1e-9)
        assert torch.allclose(ranks.mean(of_shared), of_plain, atol=1e-9)
        for name, value in plain.state_dict().items():
            assert torch.allclose(shared.state_dict()[name], value, atol=1e-9)
        shared.eval()
        plain.eval()
        assert torch.allclose(shared(part), plain(part))


def test_shared_batch_norm_is_batch_norm_of_the_whole_batch() -> None:
    together(_normalise_and_differentiate)


def _compare_and_differentiate() -> None:
    torch.manual_seed(0)
    whole, weights = torch.randn(8, 6, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    layer = MinibatchDiscrimination(6, kernels=3, dim=2).double()

    def told(features: torch.Tensor) -> torch.Tensor:
        return torch.cat([layer(features), minibatch_stddev(features)], 1).sum(1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.distributed, "is_initialized", lambda: False)
        x = whole.clone().requires_grad_()
        wanted = told(x)
        (wanted * weights).mean().backward()
        of_weight = present(layer.weight.grad).clone()
    layer.zero_grad()
    with joined() as ranks:
        mine = ranks.share(8)
        part = whole[mine].clone().requires_grad_()
        found = told(part)
        assert torch.allclose(found, wanted[mine], atol=1e-12)
        (found * weights[mine]).mean().backward()
        # each process holds half of the gradient of the mean
        assert torch.allclose(present(part.grad) / 2, present(x.grad)[mine], atol=1e-12)
        assert torch.allclose(ranks.mean(present(layer.weight.grad)), of_weight, atol=1e-12)


def test_what_compares_a_batch_compares_that_of_all_processes() -> None:
    together(_compare_and_differentiate)


# --- the same run ---


def _play_in_double(config: Any, data: Dataset, folder: Path) -> None:
    with joined() as ranks:
        networks = new_networks(config, CPU, 0)
        for network in networks.modules().values():
            network.double()
        for network in networks.learners:
            if ranks.size > 1:
                share_batch_norms(network)
        if ranks.size > 1:
            for optimizer in (networks.generator_optimizer, networks.discriminator_optimizer):
                GradientAverage(ranks, optimizer)
        batches = Batches(config, data, CPU, share=ranks.share(config.batch))
        for step in range(20):
            batch = batches(step)
            rows = batch.rows.double()
            batch = replace(batch, real=batch.real.double(), rows=rows, generator_rows=rows)
            train_step(networks, batch, config, step)
        if ranks.first:
            save_file(networks.generator.state_dict(), folder / f"{ranks.size}.safetensors")


@pytest.mark.slow
def test_two_processes_play_the_articles_game_as_one_does(data: Dataset, tmp_path: Path) -> None:
    """In float64. In float32 Adam makes whole steps of the rounding errors in biases that batch
    norm takes out again.
    """
    together(_play_in_double, ARTICLE, data, tmp_path, size=1)
    together(_play_in_double, ARTICLE, data, tmp_path)
    one, two = (load_file(tmp_path / f"{size}.safetensors") for size in (1, 2))
    start = new_networks(ARTICLE, CPU, 0).generator.state_dict()
    assert (one["dense.weight"] - start["dense.weight"]).abs().max() > 1e-3
    for name in one:
        assert torch.allclose(one[name], two[name], rtol=0, atol=1e-6), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("feature-matching", "historical-averaging", "virtual-batch-norm"), id="loss"),
        pytest.param(("minibatch-discrimination", "minibatch-stddev", "packing"), id="batch"),
    ],
)
def test_two_processes_play_with_techniques_as_one_does(
    data: Dataset, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """By their pictures in training mode: of biases that batch norm takes out again, historical
    averaging lets rounding errors grow.
    """
    config = replace(ARTICLE, techniques=names)
    z = torch.rand(8, config.network.z_dim, dtype=torch.float64)
    pictures = []
    for size in (1, 2):
        together(_play_in_double, config, data, tmp_path, size=size)
        generator = new_generator(config.network).double()
        start = generator(z)
        generator.load_state_dict(load_file(tmp_path / f"{size}.safetensors"))
        pictures.append(generator(z))
    one, two = pictures
    assert (one - start).abs().max() > 1e-2
    assert torch.allclose(one, two, rtol=0, atol=1e-6)


def end_of(outdir: Path) -> Checkpoint:
    return read_checkpoint(newest_first(only_run(outdir) / "checkpoints")[0])


def largest_difference(one: Checkpoint, other: Checkpoint) -> float:
    assert one.tensors.keys() == other.tensors.keys()
    return max(
        float((one.tensors[name] - other.tensors[name]).abs().max())
        for name in one.tensors
        if not name.startswith(("generator_optimizer", "discriminator_optimizer"))
    )


def train_in_both_ways(preset: str, digits: Path, folder: Path, *more: str) -> None:
    """Trains with one process into `one`, with two into `two`."""
    for name, size in (("one", 1), ("two", 2)):
        arguments = arguments_of(preset, digits, folder / name, *more)
        together(_train, arguments, size=size)


def _train(arguments: list[str]) -> None:
    tiny_process(arguments)


def test_two_processes_train_what_one_trains(digits: Path, tmp_path: Path) -> None:
    """Measured after 20 steps: 1.2e-7."""
    train_in_both_ways("modern-32", digits, tmp_path, "--kimg", "0.64")
    one, two = (end_of(tmp_path / name) for name in ("one", "two"))
    assert one.state == two.state
    assert largest_difference(one, two) < 1e-5
    names = [
        {
            str(path.relative_to(only_run(tmp_path / name)))
            for path in only_run(tmp_path / name).rglob("*")
        }
        for name in ("one", "two")
    ]
    assert {n for n in names[0] if "events" not in n} == {n for n in names[1] if "events" not in n}
    options = [
        json.loads((only_run(tmp_path / n) / "options.json").read_text()) for n in ("one", "two")
    ]
    assert options[0]["fingerprint"] == options[1]["fingerprint"]
    stats = [
        (only_run(tmp_path / n) / "stats.jsonl").read_text().splitlines() for n in ("one", "two")
    ]
    for mine, theirs in zip(*stats, strict=True):
        assert json.loads(mine)["loss_d"] == pytest.approx(json.loads(theirs)["loss_d"], abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "precision", "most"),
    [
        pytest.param("dcgan-mnist", "fp32", 0.02, id="article"),  # measured: 0.005
        # 0.006: PyTorch's batch norm rounds to bfloat16 where that of several processes does not
        pytest.param("modern-32", "bf16", 0.02, id="modern-bf16"),
        pytest.param("sagan-64", "fp32", 0.01, id="hinge", marks=pytest.mark.long),  # 0.002
    ],
)
def test_two_processes_draw_what_one_draws_in_every_game(
    preset: str, precision: str, most: float, digits: Path, tmp_path: Path
) -> None:
    """Mean difference of the pictures after 20 steps, in their standard deviations."""
    train_in_both_ways(preset, digits, tmp_path, "--kimg", "0.64", "--precision", precision)
    files = [read_generator_file(only_run(tmp_path / name) / "last") for name in ("one", "two")]
    pixels = [OnnxSampler(file)(file.config.rows(range(64))).astype(int) for file in files]
    assert np.abs(pixels[0] - pixels[1]).mean() < most * pixels[0].std()


@pytest.mark.slow
def test_run_of_two_processes_goes_on_with_one_and_with_two(digits: Path, tmp_path: Path) -> None:
    """The number of processes is no part of the run."""
    steady = ("--cooldown", "0")  # each length would cool down by itself
    for kimg, size in (("0.32", 2), ("0.48", 1), ("0.64", 2)):
        arguments = arguments_of("modern-32", digits, tmp_path / "mixed", *steady, "--kimg", kimg)
        together(_train, arguments, size=size)
    whole = arguments_of("modern-32", digits, tmp_path / "one", *steady, "--kimg", "0.64")
    together(_train, whole, size=1)
    assert largest_difference(end_of(tmp_path / "mixed"), end_of(tmp_path / "one")) < 1e-5
    log = (only_run(tmp_path / "mixed") / "log.txt").read_text()
    assert "resuming at 480 images, 2 processes" in log


def _train_with_one_poisoned(data: Dataset, folder: Path) -> None:
    poisoned: list[int] = []

    def step_badly(*arguments: Any) -> Any:
        stats = train_step(*arguments)
        if arguments[-1] == 7 and os.environ["RANK"] == "1" and not poisoned:
            poisoned.append(7)
            return stats | {"loss_g": torch.tensor(float("inf"))}
        return stats

    vars(generator_task)["train_step"] = step_badly
    with joined() as ranks:
        run = GeneratorRun(
            config=TINY_MODERN.config,
            schedule=Schedule(images=12 * 32, snapshot_images=160),
            data=data,
            data_sha256=SHA,
            real=None,
            folder=folder,
            device=CPU,
            ranks=ranks,
        )
        assert loop.train(run, lambda: False)
        assert bool(poisoned) == (ranks.rank == 1)


@pytest.mark.slow
def test_all_go_back_where_one_diverges(data: Dataset, tmp_path: Path) -> None:
    together(_train_with_one_poisoned, data, tmp_path)
    end = read_checkpoint(newest_first(tmp_path / "checkpoints")[0])
    assert (end.images_seen, end.state["attempt"]) == (384, 1)
    assert "back to 160 images" in (tmp_path / "log.txt").read_text()


def _train_by_hours(data: Dataset, folder: Path) -> None:
    rank, now = int(os.environ["RANK"]), [0.0]

    def step_slowly(*arguments: Any) -> Any:
        now[0] += (60.0, 500.0)[rank]  # the second one's clock is wrong
        return train_step(*arguments)

    vars(generator_task)["train_step"] = step_slowly
    with joined() as ranks:
        run = GeneratorRun(
            config=TINY_MODERN.config,
            schedule=Schedule(images=None, hours=0.1, snapshot_seconds=120.0),
            data=data,
            data_sha256=SHA,
            real=None,
            folder=folder,
            device=CPU,
            ranks=ranks,
            clock=lambda: now[0],
        )
        assert loop.train(run, lambda: False)
        assert now[0] == 6 * (60.0, 500.0)[rank]
        assert loop.train(run, lambda: False)
        assert now[0] == 6 * (60.0, 500.0)[rank]


@pytest.mark.slow
def test_hours_of_the_first_end_the_run_of_all_at_one_step(data: Dataset, tmp_path: Path) -> None:
    together(_train_by_hours, data, tmp_path)
    assert read_checkpoint(newest_first(tmp_path / "checkpoints")[0]).images_seen == 6 * 32


# --- torchrun ---


def torchrun(arguments: list[str], *options: str) -> subprocess.Popen[str]:
    """Returns two processes of the tiny command, started as a person would."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["--local-addr=127.0.0.1", *options, "-m", "tests.tiny_training", *arguments]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_rows(outdir: Path, count: int, process: subprocess.Popen[str]) -> None:
    while sum(path.read_text().count("\n") for path in outdir.glob("*/stats.jsonl")) < count:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


@pytest.mark.slow
def test_torchrun_stops_all_at_the_same_step_and_one_goes_on(digits: Path, tmp_path: Path) -> None:
    steady = ("--cooldown", "0", "--kimg")
    endless = arguments_of("modern-32", digits, tmp_path / "runs", *steady, "1000")
    with torchrun(endless) as process:
        wait_for_rows(tmp_path / "runs", 2, process)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
    assert process.returncode != 0
    assert output.count("the same command again goes on from here") == 1
    stopped = end_of(tmp_path / "runs").images_seen
    kimg = str((stopped + 64) / 1000)
    together(_train, arguments_of("modern-32", digits, tmp_path / "runs", *steady, kimg), size=1)
    together(_train, arguments_of("modern-32", digits, tmp_path / "one", *steady, kimg), size=1)
    assert largest_difference(end_of(tmp_path / "runs"), end_of(tmp_path / "one")) < 1e-4


@pytest.mark.slow
def test_processes_whose_torchrun_is_killed_save_and_end(digits: Path, tmp_path: Path) -> None:
    """They would train on, and keep the folder from the next start."""
    endless = arguments_of("modern-32", digits, tmp_path / "runs", "--kimg", "1000")
    with torchrun(endless) as process:
        wait_for_rows(tmp_path / "runs", 2, process)
        process.kill()
        output, _ = process.communicate()  # until the last of them has closed it
    assert output.count("the same command again goes on from here") == 1
    images_seen = end_of(tmp_path / "runs").images_seen
    assert f"stopped at {images_seen:,} images" in output


@pytest.mark.slow
def test_torchrun_starts_all_again_where_one_is_killed(digits: Path, tmp_path: Path) -> None:
    """--fresh means the first start alone."""
    more = ("--kimg", "1.6", "--checkpoint-seconds", "0", "--fresh")
    with torchrun(
        arguments_of("modern-32", digits, tmp_path / "runs", *more), "--max-restarts=3"
    ) as process:
        wait_for_rows(tmp_path / "runs", 3, process)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[-2:]
        os.kill(int(workers[1]), signal.SIGKILL)
        output, _ = process.communicate()
    assert process.returncode == 0, output
    log = (only_run(tmp_path / "runs") / "log.txt").read_text()
    assert "resuming at" in log
    together(_train, arguments_of("modern-32", digits, tmp_path / "one", "--kimg", "1.6"), size=1)
    assert largest_difference(end_of(tmp_path / "runs"), end_of(tmp_path / "one")) < 1e-3
