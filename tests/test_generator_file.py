"""The model folder: what was written comes back; whatever is wrong with it is said in one
sentence.
"""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from model.generator_file import (
    COMPUTED,
    MAX_CLASS_NAME,
    GeneratorFileError,
    check_classes,
    read_generator_file,
    write_generator_file,
)
from model.networks.dcgan import Generator
from model.samplers.sampler import WrongPictureError, check_golden, load_sampler
from tests.conftest import (
    TINY,
    TINY_RESIDUAL,
    edit_json,
    write_tiny_generator,
    write_tiny_residual,
)


@pytest.fixture
def folder(generator_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generator_folder, tmp_path / "generator"))


def reweigh(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Changes the tensors and makes the hash right again."""
    import hashlib

    tensors = load((folder / "model.safetensors").read_bytes())
    change(tensors)
    content = save(tensors)
    (folder / "model.safetensors").write_bytes(content)
    edit_json(folder / "config.json", weights_sha256=hashlib.sha256(content).hexdigest())


def test_written_generator_comes_back(folder: Path) -> None:
    file = read_generator_file(folder)
    assert file.config.network == TINY
    assert {n: v.shape for n, v in file.weights.items()} == TINY.generator_shapes()
    assert all(value.dtype == np.float32 for value in file.weights.values())


def test_loaded_generator_draws_what_the_network_draws(tmp_path: Path) -> None:
    torch.manual_seed(1)
    folder = write_tiny_generator(tmp_path / "g")
    file = read_generator_file(folder)
    network = Generator(TINY).eval()
    network.load_state_dict({n: torch.from_numpy(v) for n, v in file.weights.items()}, strict=False)
    z = np.random.default_rng(0).uniform(-1, 1, (8, 8)).astype(np.float32)
    with torch.no_grad():
        floats = network(torch.from_numpy(z)).numpy()
    pixels = np.floor(floats * 127.5 + 128).clip(0, 255)[:, 0, 2:-2, 2:-2]
    found = load_sampler(file, "cpu")(z)[..., 0]
    assert np.abs(found.astype(int) - pixels).max() <= 1


def test_as_many_classes_as_there_may_be_with_the_longest_names(tmp_path: Path) -> None:
    names = tuple(f"{number:04d}" + "\U0001f98a" * (MAX_CLASS_NAME - 4) for number in range(1000))
    check_classes(names)
    folder = write_tiny_residual(tmp_path / "many", replace(TINY_RESIDUAL, classes=len(names)))
    file = read_generator_file(folder)
    fields = file.config.model_dump(exclude={"format", "network", "classes", *COMPUTED})
    fields |= {"network": file.config.network, "classes": names}
    write_generator_file(folder, dict(file.weights), "", **fields)
    assert read_generator_file(folder).config.classes == names


def test_second_write_replaces_the_first(folder: Path) -> None:
    write_tiny_generator(folder)
    assert read_generator_file(folder).config.name == "tiny"
    assert not list(folder.parent.glob(".*"))


def flip_bit(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1000] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def pickle_instead(folder: Path) -> None:
    import hashlib

    content = pickle.dumps({"dense.weight": [1]})
    (folder / "model.safetensors").write_bytes(content)
    edit_json(folder / "config.json", weights_sha256=hashlib.sha256(content).hexdigest())


def network(folder: Path, **changes: object) -> None:
    fields = json.loads((folder / "config.json").read_text())["network"] | changes
    edit_json(folder / "config.json", network=fields)


def folder_for_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()


def fifo_for_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def flip_config(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"images": 1,', '"images": 3,'))


def fifo_for_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


def infinite(tensors: dict[str, np.ndarray]) -> None:
    tensors["dense.bias"][3] = np.inf


def rename(tensors: dict[str, np.ndarray]) -> None:
    tensors["dense.offset"] = tensors.pop("dense.bias")


def add(tensors: dict[str, np.ndarray]) -> None:
    tensors["extra"] = np.zeros(3, np.float16)


def reshape(tensors: dict[str, np.ndarray]) -> None:
    tensors["dense.weight"] = np.ascontiguousarray(tensors["dense.weight"].T)


def widen(tensors: dict[str, np.ndarray]) -> None:
    tensors["dense.bias"] = tensors["dense.bias"].astype(np.float64)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no-folder": (shutil.rmtree, "no such folder"),
    "no-config": (lambda f: (f / "config.json").unlink(), "no such file"),
    "no-weights": (lambda f: (f / "model.safetensors").unlink(), "no such file"),
    "weights-folder": (folder_for_weights, "not a regular file"),
    "weights-fifo": (fifo_for_weights, "not a regular file"),
    "config-changed": (flip_config, "take the field config_sha256 out"),
    "config-fifo": (fifo_for_config, "not a regular file"),
    "config-empty": (lambda f: (f / "config.json").write_text(""), "JSON"),
    "config-binary": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\0"), "config.json"),
    "config-list": (lambda f: (f / "config.json").write_text("[]"), "config.json"),
    "config-deep": (lambda f: (f / "config.json").write_text("[" * 100_000), "config.json"),
    "config-huge": (
        lambda f: (f / "config.json").write_text(" " * (2**20 + 1)),
        "bytes allowed",
    ),
    "config-unknown-field": (lambda f: edit_json(f / "config.json", colour=1), "colour"),
    "config-no-prior": (lambda f: edit_json(f / "config.json", prior=None), "prior"),
    "config-other-prior": (lambda f: edit_json(f / "config.json", prior="cauchy"), "prior"),
    "config-future": (lambda f: edit_json(f / "config.json", format=2), "format"),
    "config-bad-hash": (lambda f: edit_json(f / "config.json", weights_sha256="x"), "sha256"),
    "config-bad-name": (lambda f: edit_json(f / "config.json", name="../x"), "name"),
    "config-crop-33": (lambda f: edit_json(f / "config.json", crop=33), "allowed: up to 32"),
    "config-crop-odd": (lambda f: edit_json(f / "config.json", crop=27), "even margin"),
    "network-family": (lambda f: network(f, family="vae"), "known: 'dcgan'"),
    "network-width": (lambda f: network(f, width=32), "the network wants"),
    "network-huge": (lambda f: network(f, resolution=2**20), "allowed"),
    "weights-bit-flip": (flip_bit, "SHA-256"),
    "weights-cut": (lambda f: os.truncate(f / "model.safetensors", 500), "SHA-256"),
    "weights-pickle": (pickle_instead, "not a safetensors file"),
    "weights-infinite": (lambda f: reweigh(f, infinite), "not finite"),
    "weights-renamed": (lambda f: reweigh(f, rename), "dense.bias is missing"),
    "weights-extra": (lambda f: reweigh(f, add), "extra is not part"),
    "weights-reshaped": (lambda f: reweigh(f, reshape), "the network wants"),
    "weights-other-type": (lambda f: reweigh(f, widen), "float64"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_generator_file_is_refused_with_its_reason(folder: Path, kind: str) -> None:
    damage, reason = BROKEN[kind]
    damage(folder)
    with pytest.raises(GeneratorFileError, match=reason) as refusal:
        read_generator_file(folder)
    assert "\n" not in str(refusal.value)
    assert str(folder) in str(refusal.value)


def test_config_that_was_changed_on_purpose_is_read(folder: Path) -> None:
    edit_json(folder / "config.json", licence="CC0", config_sha256=None)
    assert read_generator_file(folder).config.licence == "CC0"


def test_golden_pictures_are_what_is_drawn(folder: Path) -> None:
    file = read_generator_file(folder)
    sampler = load_sampler(file, "cpu")
    pictures = sampler(file.config.rows(range(4)))
    remembered = np.frombuffer(bytes.fromhex(file.config.golden), np.uint8).reshape(4, 4, 4, 1)
    assert remembered[2, 1, 3] == round(float(pictures[2, 7:14, 21:28].mean()))
    assert check_golden(sampler, file, "fp32")
    assert check_golden(load_sampler(file, "cpu", "bf16"), file, "bf16")


def test_other_pictures_than_the_golden_ones_are_noticed(folder: Path) -> None:
    file = read_generator_file(folder)
    sampler = load_sampler(file, "cpu")

    class Mirrored:
        input_dim = sampler.input_dim

        def __call__(self, rows: np.ndarray) -> np.ndarray:
            return sampler(rows)[:, :, ::-1]

    with pytest.raises(WrongPictureError, match="not those that it was written with"):
        check_golden(Mirrored(), file, "fp32")


def test_file_that_remembers_nothing_is_not_compared(folder: Path) -> None:
    edit_json(folder / "config.json", golden=None)
    file = read_generator_file(folder)
    assert not check_golden(load_sampler(file, "cpu"), file, "fp32")
