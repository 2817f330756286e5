"""Classifiers: the file, its layouts, and the runtime that serves it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save

from model.classification.classifier_file import (
    ClassifierFile,
    content_of,
    golden_pictures,
    read_classifier,
    write_classifier,
)
from model.classification.classifiers import SHIPPED_CLASSIFIERS
from model.classification.config import ClassifierConfig, Labelled
from model.classification.layouts import LAYOUTS
from model.classification.onnx_classifier import (
    GOLDEN_ERROR,
    OnnxClassifier,
    check_classifier,
)
from model.classification.pytorch import NETWORKS, load_classifier
from model.classification.scores import probability_real, scores
from model.files import GeneratorFileError
from model.generator_file import read_generator_file
from model.samplers.sampler import UnequalBytesError, WrongPictureError
from model.training.evaluation.features import to_input
from tests.conftest import CLASSIFIER_OF_TESTS, edit_json, write_untrained_classifier

SHAPES = [
    pytest.param({"layout": "dense", "side": 28, "channels": 1}, id="dense"),
    pytest.param({"layout": "dense", "side": 13, "channels": 3}, id="dense-odd-colours"),
    pytest.param({"layout": "folded", "side": 28, "channels": 1}, id="folded-as-it-is"),
    pytest.param({"layout": "folded", "side": 64, "channels": 3}, id="folded-in-two"),
    pytest.param({"layout": "folded", "side": 67, "channels": 3}, id="folded-in-three-padded"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_untrained_classifier(tmp_path / "toy")
    return tmp_path / "toy"


def pictures(config: ClassifierConfig, count: int) -> NDArray[np.uint8]:
    shape = (count, config.side, config.side, config.channels)
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)


def test_every_layout_has_a_network() -> None:
    assert LAYOUTS.keys() == NETWORKS.keys()


@pytest.mark.parametrize("shape", SHAPES)
def test_onnx_runtime_gives_the_logits_of_the_network(
    tmp_path: Path, shape: dict[str, Any]
) -> None:
    config = CLASSIFIER_OF_TESTS.model_copy(update=shape)
    file = write_untrained_classifier(tmp_path, config)
    pixels = np.concatenate([golden_pictures(config), pictures(config, 3)])
    with torch.no_grad():
        wanted = load_classifier(file).eval()(to_input(torch.from_numpy(pixels))).numpy()
    found = OnnxClassifier(file)(pixels)
    assert found.shape == (7, 3)
    # close, as to how far the logits of different pictures are apart
    assert (np.abs(found - wanted).max(0) < 1e-4 * wanted.std(0)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_depend_on_neither_batch_nor_threads(tmp_path: Path, shape: dict[str, Any]) -> None:
    file = write_untrained_classifier(tmp_path, CLASSIFIER_OF_TESTS.model_copy(update=shape))
    one, two, pixels = (
        OnnxClassifier(file),
        OnnxClassifier(file, threads=2),
        pictures(file.config, 37),
    )
    alone = np.concatenate([one(pixels[i : i + 1]) for i in range(len(pixels))])
    for size in (*range(1, 17), 37):
        for classify in (one, two):
            assert classify(pixels[:size]).tobytes() == alone[:size].tobytes()
    assert one(pixels[:0]).shape == (0, 3)


def test_file_that_is_read_is_the_one_that_was_written(folder: Path) -> None:
    file = read_classifier(folder)
    assert file.config == CLASSIFIER_OF_TESTS
    assert (file.name, file.id) == ("toy", f"toy@{file.sha256[:12]}")
    before = {one.name: one.read_bytes() for one in folder.iterdir()}
    write_untrained_classifier(folder)
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == before
    assert set(before) == {"model.safetensors", "config.json", "README.md"}
    found = OnnxClassifier(file)(golden_pictures(file.config))
    assert np.allclose(found, file.golden, atol=1e-3)
    assert np.ptp(found, axis=0).min() > 10 * GOLDEN_ERROR  # one picture is not another


def test_what_the_config_says_beside_its_shape_survives(tmp_path: Path) -> None:
    config = CLASSIFIER_OF_TESTS.model_copy(
        update={
            "name": "other",
            "preset": "ssgan-mnist",
            "labels": Labelled(pictures=100, seed=2),
            "real": True,
            "metrics": {"wrong of 10,000": 93},
            "licence": "CC BY",
        }
    )
    file = write_untrained_classifier(tmp_path / "toy", config)
    assert (file.config, file.name) == (config, "other")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "avatars", "avatars-parts"])
def test_shipped_classifiers_are_read_and_keep_what_names_them(name: str) -> None:
    folder = SHIPPED_CLASSIFIERS / name
    file = read_classifier(folder)
    tensors = load((folder / "model.safetensors").read_bytes())
    assert hashlib.sha256(content_of(tensors)).hexdigest() == file.sha256
    assert file.config.name == name
    assert len(file.golden) == 4
    check_classifier(OnnxClassifier(file), file, (1, 2, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"side": 27}, r"features\.weight is \(128, 3136\)", id="other-side"),
        pytest.param({"side": 2}, "side: .*greater than or equal to 8", id="small"),
        pytest.param({"side": 10**9}, "side: .*less than or equal to 1024", id="large"),
        pytest.param({"side": 28.0}, "side: .*integer", id="no-whole-number"),
        pytest.param({"channels": 2}, "channels: ", id="channels"),
        pytest.param({"layout": "round"}, "layout: ", id="unknown-layout"),
        pytest.param({"layout": "folded"}, r"tensor \S+ is \(", id="other-layout"),
        pytest.param({"classes": ["a", "b"]}, "golden: a number for each class", id="fewer"),
        pytest.param({"classes": ["a", "b"], "golden": []}, r"tensor logits\.\w+ is", id="logits"),
        pytest.param({"classes": ["a", "a", "b"]}, "two classes are called 'a'", id="twice"),
        pytest.param({"classes": ["a", "b", "c" * 129]}, "129 characters", id="long-class"),
        pytest.param({"classes": [], "golden": []}, "not a classifier; .* a selfsup", id="none"),
        pytest.param({"parts": {"a/0": 3}}, "not a classifier; .* a parts", id="parts"),
        pytest.param({"kind": "gan"}, "kind: ", id="kind"),
        pytest.param({"golden": [[1.0, 2.0, float("nan")]]}, "golden", id="golden"),
        pytest.param({"sha256": "0" * 64}, "damaged or of another config", id="hash"),
        pytest.param({"sha256": None}, "sha256: Field required", id="no-hash"),
        pytest.param({"name": "../x"}, "name: ", id="name"),
        pytest.param({"test_accuracy": 1.5}, "test_accuracy: ", id="accuracy"),
        pytest.param({"labels": {"pictures": 0, "seed": 0}}, r"labels\.pictures", id="labels"),
        pytest.param({"extra": 1}, "extra: ", id="unknown-field"),
    ],
)
def test_config_that_is_not_of_its_tensors_is_refused(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    edit_json(folder / "config.json", **change)
    with pytest.raises(GeneratorFileError, match=message):
        read_classifier(folder)


def _without(tensors: dict[str, Any]) -> None:
    del tensors["logits.bias"]


def _infinite(tensors: dict[str, Any]) -> None:
    tensors["logits.bias"][0] = np.inf


def _double(tensors: dict[str, Any]) -> None:
    tensors["logits.bias"] = tensors["logits.bias"].astype(np.float64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(_without, r"logits\.bias is missing", id="missing"),
        pytest.param(lambda t: t.update(x=np.zeros(1)), "x is no part of layout", id="more"),
        pytest.param(_infinite, r"logits\.bias holds values that are not finite", id="infinite"),
        pytest.param(_double, r"\(3,\) float64; \(3,\) float32 is wanted", id="double"),
    ],
)
def test_tensors_that_are_not_of_the_layout_are_refused(
    folder: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    tensors = load((folder / "model.safetensors").read_bytes())
    change(tensors)
    content = save(tensors)
    (folder / "model.safetensors").write_bytes(content)
    edit_json(folder / "config.json", sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(GeneratorFileError, match=message):
        read_classifier(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_any_change_of_a_byte_is_noticed(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    places = np.linspace(3, len(content) - 3, 40).astype(int)
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1
        if name == "config.json" and _same(bytes(damaged), content):
            continue  # a space that is now another
        (folder / name).write_bytes(damaged)
        with pytest.raises(GeneratorFileError, match=r"config\.json|model\.safetensors"):
            read_classifier(folder)
    for part in (content[:-10], b"", b"[]", b"\xff"):
        (folder / name).write_bytes(part)
        with pytest.raises(GeneratorFileError, match=r"config\.json|model\.safetensors"):
            read_classifier(folder)
    (folder / name).unlink()
    with pytest.raises(GeneratorFileError, match="no such file"):
        read_classifier(folder)


def test_folder_of_another_model_is_called_what_it_is(
    folder: Path, generator_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(GeneratorFileError, match="of a classifier; the folder of a generator is"):
        read_generator_file(folder)
    with pytest.raises(GeneratorFileError, match="of a generator; the folder of a classifier is"):
        read_classifier(generator_folder)
    for read in (read_generator_file, read_classifier):
        with pytest.raises(GeneratorFileError, match=r"config\.json: cannot be read"):
            read(tmp_path / ("long" * 100))
    shutil.copytree(generator_folder, tmp_path / "run" / "last" / "generator")
    shutil.copytree(folder, tmp_path / "run" / "last" / "classifier")
    with pytest.raises(GeneratorFileError, match="run/last/generator is a generator's folder"):
        read_generator_file(tmp_path / "run")
    with pytest.raises(GeneratorFileError, match="run/last/classifier is a classifier's folder"):
        read_classifier(tmp_path / "run")


def _same(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_runtime_that_gives_other_logits_is_refused(folder: Path) -> None:
    file = read_classifier(folder)
    right = OnnxClassifier(file)
    check_classifier(right, file, (1, 2, 5))

    def shifted(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return right(pixels) + np.float32(3 * GOLDEN_ERROR * (1 + np.abs(file.golden).max()))

    with pytest.raises(WrongPictureError, match="not what they were when it was written"):
        check_classifier(shifted, file, (1, 2))

    def by_batch(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = right(pixels)
        return np.nextafter(found, np.float32(99)) if len(pixels) == 3 else found

    with pytest.raises(UnequalBytesError, match="a batch of 3"):
        check_classifier(by_batch, file, (1, 2, 3, 4))


def test_scores_are_softmax_or_sigmoid_or_logits_and_real_is_the_logistic_of_logsumexp() -> None:
    logits = np.array([[0, 0, 0], [1000, -1000, 0], [-30, -30, -30]], np.float32)
    found = torch.from_numpy(logits).double()
    assert np.allclose(scores(logits, "softmax"), found.softmax(1).numpy())
    assert np.allclose(scores(logits, "sigmoid"), found.sigmoid().numpy())
    assert np.array_equal(scores(logits, "none"), logits)
    assert np.allclose(probability_real(logits), found.logsumexp(1).sigmoid().numpy())
    assert probability_real(logits)[0] == pytest.approx(0.75)
    assert 0 < probability_real(logits)[2] < 1e-12


def test_classifier_without_classes_remembers_no_logits(tmp_path: Path) -> None:
    config = CLASSIFIER_OF_TESTS.model_copy(update={"classes": ()})
    file: ClassifierFile = write_untrained_classifier(tmp_path, config)
    assert file.golden == ()
    assert json.loads((tmp_path / "config.json").read_text())["kind"] == "selfsup"


def test_card_tells_what_it_tells_apart(folder: Path, tmp_path: Path) -> None:
    card = (folder / "README.md").read_text()
    assert "cat, dog, red panda" in card
    assert "It names one of these whatever it is shown" in card
    file = read_classifier(folder)
    write_classifier(tmp_path / "other", file.config, file.weights, card="# mine\n")
    assert (tmp_path / "other" / "README.md").read_text() == "# mine\n"
