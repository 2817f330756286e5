"""The network that names the layers of stacked pictures, on layers of a few coloured bars."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.training.__main__ import main
from model.training.datasets.dataset import Dataset
from model.training.datasets.held_out import every_tenth
from model.training.datasets.layers import Layers
from model.training.evaluation import parts as parts_module
from model.training.evaluation.feature_networks import find_network
from model.training.evaluation.features import Extractor, load_extractor
from model.training.evaluation.measure import FeatureNetwork, evaluate, reference
from model.training.evaluation.parts import ABSENT, accuracy, drawn, slots, train_parts
from tests.data_files import write_layers

CPU = torch.device("cpu")
SIDE = 16  # pixels
HUES = {"red": (200, 0, 0), "blue": (0, 0, 200)}


def bar(box: tuple[int, int, int, int], colour: tuple[int, int, int]) -> Image.Image:
    layer = Image.new("RGBA", (SIDE, SIDE))
    layer.paste((*colour, 255), box)
    return layer


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Towers, in red or in blue, of three tops and three feet on a ground; and fields of four."""
    files: dict[str, Image.Image] = {}
    classes: dict[str, dict[str, list[dict[str, list[str]]]]] = {"tower": {}, "field": {}}
    for hue, colour in HUES.items():
        tops = {f"tower/{hue}/top{n}.png": bar((5 * n, 1, 5 * n + 4, 6), colour) for n in range(3)}
        feet = {
            f"tower/{hue}/foot{n}.png": bar((5 * n, 9, 5 * n + 4, 14), colour) for n in range(3)
        }
        ground = {"tower/ground.png": bar((0, 14, 16, 16), (0, 0, 0))}
        files |= ground | tops | feet
        stack = [{"files": sorted(slot)} for slot in (ground, tops, feet)]
        classes["tower"][hue] = stack
    fields = {f"field/{n}.png": bar((0, 4 * n, 16, 4 * n + 4), (0, 160, 0)) for n in range(4)}
    files |= fields
    classes["field"]["all"] = [{"files": sorted(fields)}]
    return write_layers(tmp_path_factory.mktemp("layers") / "toy.zip", files, classes)


@pytest.fixture(scope="module")
def pictures(toy: Path) -> tuple[Dataset, np.ndarray]:
    """Returns all twenty times, so that the tenth that is held out has been seen."""
    data, parts = drawn(Layers(toy), "toy", 100, 1, SIDE)
    assert data.labels is not None
    many = replace(
        data, images=np.tile(data.images, (20, 1, 1, 1)), labels=np.tile(data.labels, 20)
    )
    return many, np.tile(parts, (20, 1))


@pytest.fixture(scope="module")
def trained(toy: Path, pictures: tuple[Dataset, np.ndarray]) -> Extractor:
    sizes = {slot: len(files) for slot, files in slots(Layers(toy)).items()}
    return train_parts(*pictures, sizes, epochs=12, seed=0, device=CPU, say=print)


def test_slots_join_variants_and_leave_out_what_has_no_choice(toy: Path) -> None:
    found = slots(Layers(toy))
    assert {slot: len(files) for slot, files in found.items()} == {
        "tower/1": 6, "tower/2": 6, "field/0": 4,
    }  # fmt: skip
    assert found["field/0"] == [f"field/{n}.png" for n in range(4)]


def test_labels_are_the_layers_of_the_picture(toy: Path) -> None:
    layers = Layers(toy)
    data, parts = drawn(layers, "toy", 100, 1, SIDE)
    assert data.labels is not None
    assert len(data) == 2 * 9 + 4
    for image, label, row in zip(data.images, data.labels, parts, strict=True):
        files = [
            slots(layers)[slot][n] for slot, n in zip(slots(layers), row, strict=True) if n >= 0
        ]
        if data.classes[label] == "tower":
            assert row[2] == ABSENT
            files = ["tower/ground.png", *files]
        else:
            assert (row[:2] == ABSENT).all()
        assert np.array_equal(image, np.asarray(layers.picture(tuple(files))))


def test_network_learns_and_states_its_accuracy(
    trained: Extractor, pictures: tuple[Dataset, np.ndarray]
) -> None:
    data, parts = pictures
    held_out = every_tenth(len(data))
    stated = trained.config.part_accuracy
    assert stated == accuracy(trained, data.images[held_out], parts[held_out])
    assert list(stated) == ["tower/1", "tower/2", "field/0"]
    assert min(stated.values()) > 0.95
    assert trained.test_accuracy > 0.95


def test_saved_network_sees_the_same_and_is_found_by_its_folder(
    trained: Extractor, pictures: tuple[Dataset, np.ndarray], tmp_path: Path
) -> None:
    trained.save(tmp_path / "parts")
    again = find_network(str(tmp_path / "parts"), tmp_path, pictures[0], pictures[0], CPU, print)
    assert isinstance(again, Extractor)
    assert again.config == trained.config
    assert again.name == trained.name
    images = pictures[0].images[:50]
    assert np.array_equal(again(images)[0], trained(images)[0])
    assert np.array_equal(again.parts(images), trained.parts(images))


def test_figures_are_named_after_it(
    trained: Extractor, pictures: tuple[Dataset, np.ndarray]
) -> None:
    network: FeatureNetwork = trained
    data = pictures[0]
    calls = iter([data.images[:256], data.images[256:300]])
    sampler: Callable[[np.ndarray], np.ndarray] = lambda rows: next(calls)  # noqa: E731
    figures = evaluate(
        sampler,  # type: ignore[arg-type]
        lambda seeds: np.zeros((len(seeds), 4), np.float32),
        reference(network, data),
        300,
    )
    assert trained.name.startswith("toy-parts-")
    assert f"frechet300_test440_{trained.name}" in figures
    assert all(trained.name in name for name in figures)


def test_command_trains_saves_and_says_how_well(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "BATCH", 8)
    arguments = ["--side", "16", "--pictures", "100", "--epochs", "2", "--device", "cpu"]
    assert main(["parts", str(toy), "--output", str(tmp_path), "--name", "bars", *arguments]) == 0
    made = load_extractor(tmp_path, CPU)
    assert made.name.startswith("bars-parts-")
    assert made.config.parts == {"tower/1": 6, "tower/2": 6, "field/0": 4}
    said = capsys.readouterr().out
    assert made.name in said
    assert "of 6 layers named" in said
    assert main(["parts", str(tmp_path / "none.zip"), "--output", str(tmp_path)]) == 2
