"""Families of networks: each is registered wherever a family is asked for, and nothing guesses."""

import re
from pathlib import Path

import pytest

from model.networks.config import FAMILIES, family_of
from model.networks.families import NETWORKS
from model.samplers.onnx_graph import BUILDERS
from tests.conftest import TINY, TINY_RESIDUAL

ROOT = Path(__file__).parent.parent


def test_every_family_has_its_networks_and_its_graph() -> None:
    assert NETWORKS.keys() == BUILDERS.keys() == FAMILIES.keys()
    assert all(family.config.family == name for name, family in FAMILIES.items())


def test_family_that_nobody_has_registered_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FAMILIES, "dcgan")
    with pytest.raises(KeyError, match="dcgan"):
        family_of(TINY)
    assert family_of(TINY_RESIDUAL).config is type(TINY_RESIDUAL)


def test_families_are_told_apart_by_their_record_alone() -> None:
    """A question that asks for a class has a default for all others, and so for new ones."""
    question = re.compile(r"isinstance\([^()]*(?:DCGAN|Residual|Modulated|SNGAN)Config")
    asked = {
        str(path.relative_to(ROOT))
        for folder in ("app", "model")
        for path in (ROOT / folder).rglob("*.py")
        if any(not line.lstrip().startswith("assert") for line in re.findall(
            rf".*{question.pattern}.*", path.read_text()
        ))
    }  # fmt: skip
    assert asked == set()
