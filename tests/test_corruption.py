"""Corrupted model folders, by the hundred: the start refuses each of them with one line."""

import hashlib
import json
import pickle
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from app.main import create_app
from app.settings import Settings
from tests.services import start_of

WEIGHTS, CONFIG = "model.safetensors", "config.json"
Damage = Callable[[Path, random.Random], None]


def flip(file: Path, random: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(random.choice((1, 1, 1, 2, 50))):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    file.write_bytes(content)


def cut(file: Path, random: random.Random) -> None:
    file.write_bytes(file.read_bytes()[: random.randrange(file.stat().st_size)])


def lengthen(file: Path, random: random.Random) -> None:
    more = random.choice((b"\0", b"}", random.randbytes(100)))
    file.write_bytes(file.read_bytes() + more)


def scramble(file: Path, random: random.Random) -> None:
    content = bytearray(file.read_bytes())
    start = random.randrange(len(content))
    end = min(len(content), start + random.choice((8, 100, 4096)))
    content[start:end] = random.choice((bytes(end - start), random.randbytes(end - start)))
    file.write_bytes(content)


# --- what comes with the right hashes: only the content is wrong ---


def seal(folder: Path, content: bytes | None = None, **changes: Any) -> None:
    """Changes a file as one would who knows how it is checked."""
    fields = json.loads((folder / CONFIG).read_text()) | changes
    if content is not None:
        (folder / WEIGHTS).write_bytes(content)
        fields["weights_sha256"] = hashlib.sha256(content).hexdigest()
    fields.pop("config_sha256")
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    (folder / CONFIG).write_text(json.dumps(fields | {"config_sha256": digest}))


def tensors_of(folder: Path) -> dict[str, np.ndarray]:
    return {name: value.copy() for name, value in load((folder / WEIGHTS).read_bytes()).items()}


def one(tensors: dict[str, np.ndarray], random: random.Random) -> str:
    return random.choice(sorted(tensors))


def not_finite(folder: Path, random: random.Random) -> None:
    tensors = tensors_of(folder)
    value = tensors[one(tensors, random)]
    value.flat[random.randrange(value.size)] = random.choice((np.nan, np.inf, -np.inf))
    seal(folder, save(tensors))


def reshaped(folder: Path, random: random.Random) -> None:
    tensors = tensors_of(folder)
    name = one(tensors, random)
    value = tensors[name]
    tensors[name] = random.choice((value[None], value.reshape(-1, 1, 1), value[:-1], value[:0]))
    seal(folder, save(tensors))


def retyped(folder: Path, random: random.Random) -> None:
    tensors = tensors_of(folder)
    name = one(tensors, random)
    kind = random.choice(("float32", "float64", "int8", "int32", "bool"))
    tensors[name] = tensors[name].astype(kind)
    seal(folder, save(tensors))


def renamed(folder: Path, random: random.Random) -> None:
    tensors = tensors_of(folder)
    name = one(tensors, random)
    if random.random() < 0.5:
        tensors[name + random.choice(("x", "\0", "/../x"))] = tensors[name]
    if random.random() < 0.5 or len(tensors) == len(tensors_of(folder)):
        del tensors[name]
    seal(folder, save(tensors))


def header(folder: Path, random: random.Random) -> None:
    """Crafts a head of the safetensors file."""
    content = (folder / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    head, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    name = random.choice([name for name in head if name != "__metadata__"])
    start, end = head[name]["data_offsets"]
    kind = random.randrange(8)
    if kind == 0:
        head[name]["data_offsets"] = [start, end + random.choice((1, 2, 10**6, 2**63))]
    elif kind == 1:
        head[name]["data_offsets"] = [end, start] if end > start else [1, 0]
    elif kind == 2:
        head[name]["shape"] = random.choice(([2**62, 4], [-1], [], [0], "x", [1.5]))
    elif kind == 3:
        head[name]["dtype"] = random.choice(("F64", "I8", "O", "", None))
    elif kind == 4:
        del head[name]
    elif kind == 5:
        head[name] = random.choice(([], None, 1, {}))
    text = json.dumps(head).encode()
    if kind == 6:
        text = random.choice((b"", b"[]", b"null", b"{" * 1000, b"\xff" * 8, text[:-1]))
    size = random.choice((0, 2**63, 2**64 - 1, len(text) + 10**9)) if kind == 7 else len(text)
    seal(folder, struct.pack("<Q", size) + text + data)


class Hostile:
    """Would leave a file behind if it was ever unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return (Path.touch, (self.place,))


def pickled(folder: Path, random: random.Random) -> None:
    content = pickle.dumps(Hostile(folder.parent / "run"), random.randrange(6))
    if random.random() < 0.5:
        seal(folder, content)
    else:
        (folder / CONFIG).write_bytes(content)


def other_pictures(folder: Path, random: random.Random) -> None:
    """Writes weights in which every check but that of the golden pictures finds nothing."""
    tensors = tensors_of(folder)
    largest = max((name for name in tensors if name != "directions"), key=lambda n: tensors[n].size)
    value = tensors[largest]
    change = random.choice((lambda v: v * 0, lambda v: -v, lambda v: np.roll(v, v.size // 2)))
    tensors[largest] = np.ascontiguousarray(change(value))
    seal(folder, save(tensors))


def other_config(folder: Path, random: random.Random) -> None:
    network = json.loads((folder / CONFIG).read_text())["network"]
    seal(
        folder,
        **random.choice(
            (
                {"prior": "normal"},
                {"crop": 20},
                {"crop": 2},
                {"crop": 10**9},
                {"network": network | {"width": 32}},
                {"network": network | {"z_dim": 9}},
                {"network": network | {"channels": 3}},
                {"network": network | {"resolution": 2**31}},
                {"classes": ["a"]},
                {"format": 2},
                {"weights_dtype": "float32"},
                {"golden": "00" * 64},
                {"golden": "00"},
            )
        ),
    )


def of_file(damage: Damage, name: str) -> Damage:
    return lambda folder, random: damage(folder / name, random)


DAMAGES: dict[str, Damage] = (
    {
        f"{damage.__name__}-{name}": of_file(damage, name)
        for damage in (flip, cut, lengthen, scramble)
        for name in (WEIGHTS, CONFIG)
    }
    | {damage.__name__: damage for damage in (not_finite, reshaped, retyped, renamed, header)}
    | {damage.__name__: damage for damage in (pickled, other_pictures, other_config)}
)


def same(folder: Path, originals: dict[str, bytes]) -> bool:
    """Returns whether the damage was none: zeros for zeros, or a line's end after the JSON."""
    files = {name: (folder / name).read_bytes().rstrip(b"\n") for name in originals}
    return files == {name: content.rstrip(b"\n") for name, content in originals.items()}


def check_corrupted(generator_folder: Path, place: Path, count: int) -> None:
    folder = place / "generator"
    shutil.copytree(generator_folder, folder)
    originals = {name: (folder / name).read_bytes() for name in (WEIGHTS, CONFIG)}
    app = create_app(Settings(generator=str(folder), device="cpu", max_batch=2))
    accepted, different = [], 0
    for index in range(count):
        for name, content in originals.items():
            (folder / name).write_bytes(content)
        kind, damage = list(DAMAGES.items())[index % len(DAMAGES)]
        damage(folder, random.Random(index))
        if same(folder, originals):
            continue
        different += 1
        reason = start_of(app)
        if reason is None:
            accepted.append((index, kind))
            continue
        assert reason.startswith("cannot start: ")
        assert "\n" not in reason
        assert len(reason) < 1000
    assert accepted == []
    assert different > 0.95 * count
    assert not (place / "run").exists()  # no code of a pickle was run
    for name, content in originals.items():
        (folder / name).write_bytes(content)
    assert start_of(app) is None  # what was not corrupted starts: the check can tell


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_corrupted_generator_files_are_refused(generator_folder: Path, tmp_path: Path) -> None:
    check_corrupted(generator_folder, tmp_path, 20 * len(DAMAGES))


@pytest.mark.slow
def test_3200_corrupted_generator_files_are_refused(generator_folder: Path, tmp_path: Path) -> None:
    check_corrupted(generator_folder, tmp_path, 200 * len(DAMAGES))


def test_corruption_that_is_not_noticed_fails_the_test(
    generator_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.server.loading.check_golden", lambda *_: True)
    with pytest.raises(AssertionError, match="other_pictures"):
        check_corrupted(generator_folder, tmp_path, 2 * len(DAMAGES))
