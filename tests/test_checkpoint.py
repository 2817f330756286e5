"""Checkpoints: whole or not at all, and damage is noticed."""

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from model.training.__main__ import main
from model.training.run.checkpoint import (
    KEEP,
    Checkpoint,
    CheckpointError,
    newest_first,
    pack_optimizer,
    read_checkpoint,
    unpack_optimizer,
    write_atomically,
    write_checkpoint,
)
from tests.services import TIMEOUT


def checkpoint(images_seen: int) -> Checkpoint:
    tensors = {"a": torch.randn(3, 4), "step": torch.tensor(7.0)}
    return Checkpoint(tensors, {"images_seen": images_seen, "best": {"figure": 1.5}})


def test_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    wrote = checkpoint(128)
    read = read_checkpoint(write_checkpoint(tmp_path, wrote))
    assert read.state == wrote.state
    assert all(torch.equal(read.tensors[name], wrote.tensors[name]) for name in wrote.tensors)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for images_seen in (128, 256, 384, 512):
        write_checkpoint(tmp_path, checkpoint(images_seen))
    names = [path.name for path in newest_first(tmp_path)]
    assert names == ["checkpoint-000000512.safetensors", "checkpoint-000000384.safetensors"]
    assert len(names) == KEEP


def test_newest_has_most_images_also_where_their_number_has_a_digit_more(tmp_path: Path) -> None:
    for images_seen in (999_999_936, 999_999_968, 1_000_000_000, 1_000_000_032):
        path = write_checkpoint(tmp_path, checkpoint(images_seen))
        assert newest_first(tmp_path)[0] == path
    assert [path.stem[11:] for path in newest_first(tmp_path)] == ["1000000032", "1000000000"]


def test_as_many_are_kept_as_asked_for_and_the_best(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint-000000064.safetensors.tmp").touch()  # a killed process left it
    for images_seen in (128, 256, 384, 512, 640):
        one = checkpoint(images_seen)
        one.state["best"]["images_seen"] = 256
        write_checkpoint(tmp_path, one, keep=1 if images_seen < 640 else 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"checkpoint-{images_seen:09d}.safetensors" for images_seen in (256, 512, 640)
    ]


@pytest.mark.parametrize("position", [0, 5, 100, -10, -1])
def test_one_flipped_bit_is_noticed(tmp_path: Path, position: int) -> None:
    path = write_checkpoint(tmp_path, checkpoint(128))
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("length", [0, 4, 50, -1])
def test_truncated_file_is_noticed(tmp_path: Path, length: int) -> None:
    path = write_checkpoint(tmp_path, checkpoint(128))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(path)


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_optimiser_continues_as_if_never_saved() -> None:
    def step(weight: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()

    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = torch.optim.Adam([weight], 0.1, (0.5, 0.999))
    step(weight, optimizer)
    packed = {k: v.clone() for k, v in pack_optimizer("o", optimizer).items()}
    copy = torch.nn.Parameter(weight.detach().clone())
    other = torch.optim.Adam([copy], 0.1, (0.5, 0.999))
    unpack_optimizer("o", packed, other)
    for _ in range(3):
        step(weight, optimizer)
        step(copy, other)
    assert torch.equal(weight, copy)


# --- killed, and without room ---


def chaos(place: Path, ways: Sequence[str], *before: str) -> dict[str, dict[str, Any]]:
    """Returns what was found by each way."""
    command = [*before, sys.executable, "-m", "tests.checkpoint_chaos", str(place), *ways]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, cwd=root)
    assert done.returncode == 0, done.stderr
    result: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    ways = ("kill", "fill", "kill-planted", "fill-planted")
    return chaos(tmp_path_factory.mktemp("chaos"), ways)


def test_process_killed_at_any_call_of_a_write_leaves_a_checkpoint(
    found: dict[str, dict[str, Any]],
) -> None:
    assert "lost" not in found["kill"], found["kill"]["lost"]
    newest = found["kill"]["newest"]
    assert len(newest) > 30  # so many moments
    assert newest == sorted(newest)  # the old one up to some moment, from then on the new one
    assert set(newest) == {128, 192}


def test_disk_that_is_full_at_any_byte_leaves_the_checkpoints_as_they_were(
    found: dict[str, dict[str, Any]],
) -> None:
    assert "lost" not in found["fill"], found["fill"]["lost"]
    assert found["fill"]["refused"] > 30
    assert found["fill"]["written"]  # where there is just room


@pytest.mark.parametrize("way", ["kill-planted", "fill-planted"])
def test_write_in_place_fails_the_check(found: dict[str, dict[str, Any]], way: str) -> None:
    assert "damaged" in found[way]["lost"]


MOUNT = 'mount -t tmpfs -o size=40k tmpfs "$0" && exec "$@"'
MOUNTED = ("unshare", "--mount", "sh", "-c", MOUNT)


def may_mount(place: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*MOUNTED, str(place), "true"], check=False).returncode == 0


def test_file_system_that_runs_full_leaves_a_checkpoint(tmp_path: Path) -> None:
    if not may_mount(tmp_path):
        pytest.skip("may not mount a small file system")
    result = chaos(tmp_path, ["disk"], *MOUNTED, str(tmp_path))["disk"]
    assert result["written"] > 2
    assert result["error"] == "No space left on device"


def test_training_on_a_full_disk_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "file"))

    monkeypatch.setattr("model.training.commands.train._train", full)
    assert main(["train", "--preset", "dcgan-mnist"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: {tmp_path / 'file'}: No space left on device; what was saved is whole"
