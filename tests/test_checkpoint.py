"""Checkpoints: whole or not at all, and damage is noticed."""

from pathlib import Path

import pytest
import torch

from model.training.checkpoint import (
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


def test_as_many_are_kept_as_asked_for_and_the_best(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint-000000064.safetensors.tmp").touch()  # of a process that was killed
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
