"""Checkpoints: everything needed to resume, in one safetensors file, written whole or not at all.

checkpoint-000128000.safetensors: networks, EMA, both optimisers; images seen and the run's
fingerprint in the header. Written to a temporary name, flushed to the disk, renamed; the newest few
and that of the best snapshot are kept.
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from model.mistakes import Mistake

PATTERN = "checkpoint-*.safetensors"
KEEP = 2  # newest checkpoints


class CheckpointError(Mistake):
    """A checkpoint cannot be read; the message says which and why."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and what is not a tensor."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]  # JSON: images_seen, fingerprint, best metric

    @property
    def images_seen(self) -> int:
        return int(self.state["images_seen"])


def write_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int = KEEP) -> Path:
    """Writes the checkpoint; removes all but the newest `keep` and the best. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()
    }
    state = {**checkpoint.state, "sha256": digest(tensors)}
    path = path_of(folder, checkpoint.images_seen)
    for unfinished in folder.glob(f".{PATTERN}.tmp"):
        unfinished.unlink()
    write_atomically(path, save(tensors, {"state": json.dumps(state)}))
    best = (state.get("best") or {}).get("images_seen")
    for old in newest_first(folder)[keep:]:
        if best is None or old != path_of(folder, best):
            old.unlink()
    return path


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads and checks one checkpoint.

    Raises:
        CheckpointError: the file is missing, truncated, or its content does not match its hash.
    """
    try:
        return parse_checkpoint(path.read_bytes())
    except (OSError, CheckpointError) as error:
        raise CheckpointError(f"{path}: damaged or not a checkpoint ({error})") from None


def parse_checkpoint(content: bytes) -> Checkpoint:
    """Checks the content of a checkpoint's file.

    Raises:
        CheckpointError: it is truncated, or does not match its hash.
    """
    try:
        tensors = load(content)
        (header_bytes,) = struct.unpack("<Q", content[:8])
        state = json.loads(json.loads(content[8 : 8 + header_bytes])["__metadata__"]["state"])
        if state.pop("sha256") != digest(tensors):
            raise CheckpointError("its tensors do not match its hash")
    except (SafetensorError, ValueError, KeyError, TypeError, struct.error) as error:
        raise CheckpointError(str(error)) from None
    return Checkpoint(tensors, state)


def newest_content(folder: Path, warnings: list[str]) -> bytes | None:
    """Returns the content of a run's newest sound checkpoint; adds to `warnings` what is wrong with
    newer ones.
    """
    for path in newest_first(folder):
        try:
            read_checkpoint(path)
            return path.read_bytes()
        except CheckpointError as error:
            warnings.append(f"warning: {error}; trying the one before")
    return None


def newest_first(folder: Path) -> list[Path]:
    """Lists the checkpoints of a run, newest first."""
    return sorted(folder.glob(PATTERN), key=by_number, reverse=True)


def by_number(path: Path) -> tuple[int, str]:
    """Returns what files are sorted by whose names differ in one number, with leading zeros or
    without.
    """
    return len(path.name), path.name


def path_of(folder: Path, images_seen: int) -> Path:
    """Returns where the checkpoint after so many images is, if it is kept."""
    return folder / f"checkpoint-{images_seen:09d}.safetensors"


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file that holds the old content or the new one, whenever the machine stops."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk, every byte counts
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def pack(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of a network, named for the checkpoint."""
    return {f"{prefix}.{name}": value for name, value in state.items()}


def unpack(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of a network under their own names: the inverse of `pack`."""
    start = f"{prefix}."
    return {
        name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)
    }


def pack_optimizer(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Returns an optimiser's moments and step counts: tensors, one per parameter and name."""
    return {
        f"{prefix}.{index}.{name}": value
        for index, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
    }


def unpack_optimizer(
    prefix: str, tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
) -> None:
    """Puts the moments back into a fresh optimiser of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in unpack(prefix, tensors).items():
        index, moment = name.split(".", 1)
        state.setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:
                # the fused step walks memory, whatever the order of its dimensions
                moments[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Computes the SHA-256 of tensors on the CPU with their names."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        found.update(tensors[name].numpy().data)
    return found.hexdigest()
