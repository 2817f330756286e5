"""Families of networks: each has all its parts, found by its configuration, and nothing guesses."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from model.generator_file import read_generator_file
from model.networks.config import NetworkConfig
from model.networks.pytorch import new_discriminator
from model.networks.registry import FAMILIES, find_families, network_to_dict
from model.samplers.onnx import OnnxSampler
from model.samplers.pytorch import load_generator, plain_sampler
from tests.conftest import write_tiny_residual

ROOT = Path(__file__).parent.parent
CPU = torch.device("cpu")
SMALL = {"z_dim": 8, "classes": 3, "resolution": 16, "width": 16, "discriminator_width": 16}
CONFIG = """
from dataclasses import dataclass
from model.networks.config import NetworkConfig
from model.networks.layers import shapes_of

@dataclass(frozen=True, kw_only=True)
class LinearConfig(NetworkConfig):
    family = "linear"
    networks = "linear_networks"

    def generator_shapes(self):
        return shapes_of("dense", self.channels * self.resolution**2, self.input_dim)

    def build(self, graph):
        return graph.dense("dense", self.resolution)

FAMILY = LinearConfig
"""
NETWORKS = """
from torch import nn
from model.networks import pytorch

class Generator(pytorch.Generator):
    def __init__(self, config):
        super().__init__(config)
        self.dense = nn.Linear(config.input_dim, config.channels * config.resolution**2)

    def forward(self, rows):
        side = self.config.resolution
        return self.dense(rows).view(-1, self.config.channels, side, side)

class Discriminator(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.logit = nn.Linear(config.channels * config.resolution**2, 1)

    def forward(self, images, classes):
        return self.logit(images.flatten(1)).squeeze(1)
"""

Plant = Callable[[str, str], type[NetworkConfig]]


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """Makes a family of two files, its configuration in a package of such and its networks."""

    def plant(config: str, networks: str) -> type[NetworkConfig]:
        (tmp_path / "planted").mkdir()
        (tmp_path / "planted" / "__init__.py").touch()
        (tmp_path / "planted" / "linear.py").write_text(config)
        (tmp_path / "linear_networks.py").write_text(networks)
        monkeypatch.syspath_prepend(tmp_path)
        found = find_families(importlib.import_module("planted"))
        monkeypatch.setitem(FAMILIES, "linear", found["linear"])
        return found["linear"]

    yield plant
    for name in ("planted", "planted.linear", "linear_networks"):
        sys.modules.pop(name, None)


def check(family: type[NetworkConfig], folder: Path) -> None:
    """Holds a family to its law: its file is read, and the networks and the graph draw alike."""
    fields = network_to_dict(family(z_dim=8, resolution=16)).keys()
    config = family(**{name: value for name, value in SMALL.items() if name in fields})
    assert family.takes_classes == ("classes" in fields)
    assert isinstance(new_discriminator(config), torch.nn.Module)
    file = read_generator_file(write_tiny_residual(folder, config, crop=16))
    rows = file.config.rows(range(6))
    wanted = plain_sampler(load_generator(file), 16, CPU)(rows)
    assert len(np.unique(wanted)) > 10
    assert np.abs(OnnxSampler(file)(rows).astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_its_networks_and_its_graph(name: str, tmp_path: Path) -> None:
    assert FAMILIES[name].family == name
    check(FAMILIES[name], tmp_path / "made")


def test_two_files_make_a_family(plant: Plant, tmp_path: Path) -> None:
    check(plant(CONFIG, NETWORKS), tmp_path / "made")


@pytest.mark.parametrize(
    ("part", "instead", "error"),
    [
        pytest.param("FAMILY =", "OTHER =", AttributeError, id="configuration"),
        pytest.param("def build", "def draw", TypeError, id="graph"),
        pytest.param('networks = "linear_networks"', "", AttributeError, id="networks"),
        pytest.param("linear_networks", "no_networks", ModuleNotFoundError, id="networks-file"),
        pytest.param("def generator_shapes", "def shapes", TypeError, id="shapes"),
        pytest.param("class Generator", "class Other", AttributeError, id="generator"),
        pytest.param("class Discriminator", "class Other", AttributeError, id="discriminator"),
    ],
)
def test_family_without_one_of_its_parts_breaks_the_law(
    plant: Plant, tmp_path: Path, part: str, instead: str, error: type[Exception]
) -> None:
    assert part in CONFIG + NETWORKS
    config, networks = CONFIG.replace(part, instead), NETWORKS.replace(part, instead)
    with pytest.raises(error):
        check(plant(config, networks), tmp_path / "made")


def test_families_are_told_apart_by_what_they_say_alone() -> None:
    """A question that asks for a class has a default for all others, and so for new ones."""
    classes = "|".join(family.__name__ for family in FAMILIES.values())
    modules = "|".join(FAMILIES)
    question = re.compile(rf"isinstance\([^()]*(?:{classes}|(?:{modules})\.\w+)")
    asked = {
        str(path.relative_to(ROOT))
        for folder in ("app", "model")
        for path in (ROOT / folder).rglob("*.py")
        if question.search(path.read_text())
    }
    assert asked == set()
