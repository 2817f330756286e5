"""Directions: those that the first layer stretches most, kept in the model folder."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from model.generator_file import (
    GeneratorFileError,
    name_directions,
    read_generator_file,
)
from model.latent_space.directions import closed_form_directions, sensible_range
from model.training.__main__ import main
from tests.conftest import edit_json, write_tiny_generator


def test_directions_of_a_diagonal_layer_are_its_axes_from_the_strongest_down() -> None:
    weight = np.diag([1.0, -5.0, 3.0]).astype(np.float32)
    assert np.allclose(closed_form_directions(weight, 2), [[0, 1, 0], [0, 0, 1]])


def test_directions_are_orthonormal_and_no_other_unit_vector_is_stretched_more() -> None:
    random = np.random.default_rng(1)
    weight = random.normal(size=(64, 12)).astype(np.float32)
    directions = closed_form_directions(weight, 8)
    assert np.allclose(directions @ directions.T, np.eye(8), atol=1e-5)
    stretched = np.linalg.norm(weight @ directions.T, axis=0)
    assert (np.diff(stretched) < 0).all()
    others = random.normal(size=(500, 12))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert np.linalg.norm(weight @ others.T, axis=0).max() <= stretched[0]


def test_a_small_latent_has_no_more_directions_than_values() -> None:
    assert closed_form_directions(np.eye(3, dtype=np.float32), 8).shape == (3, 3)


def test_range_follows_the_usual_length_of_a_latent() -> None:
    assert sensible_range("normal", 100) == 5.0
    assert sensible_range("uniform", 100) == pytest.approx(2.9)


def test_generator_file_holds_its_directions(tmp_path: Path) -> None:
    file = read_generator_file(write_tiny_generator(tmp_path / "tiny"))
    assert file.directions.shape == (8, 8) == (file.config.directions, 8)
    assert np.allclose(np.linalg.norm(file.directions, axis=1), 1, atol=1e-3)
    assert "directions" not in file.weights


def test_directions_that_the_config_does_not_name_are_refused(tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "tiny")
    edit_json(folder / "config.json", directions=3)
    with pytest.raises(GeneratorFileError, match="directions"):
        read_generator_file(folder)


def test_a_file_without_directions_can_still_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.generator_file.DIRECTIONS", 0)
    file = read_generator_file(write_tiny_generator(tmp_path / "tiny"))
    assert file.directions.shape == (0, 8)


def test_named_directions_stay_in_the_file_and_change_no_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_generator(tmp_path / "tiny")
    before = (folder / "config.json").read_bytes(), read_generator_file(folder).config.id
    command = ["directions", str(folder)]
    assert main([*command, "--name", "d0=Slant", "--name", "d3=Thin to bold"]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == ["d0 Slant", "d1", "d2", "d3 Thin to bold"]
    config = read_generator_file(folder).config
    assert config.direction_names == ("Slant", "", "", "Thin to bold", "", "", "", "")
    assert config.id == before[1]
    assert main([*command, "--name", "d0=", "--name", "d3="]) == 0
    assert (folder / "config.json").read_bytes() == before[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("d8=Slant", "no direction d8; there are 8, from d0"),
        ("d1=Slant", "direction_names: 8 different ones are wanted"),
        (f"d1={'x' * 41}", "direction_names.1"),
        ("d1=a\tb", "direction_names.1"),
        ("1=Slant", "such as d0=Slant is wanted"),
        ("Slant", "such as d0=Slant is wanted"),
    ],
)
def test_name_that_no_direction_can_have_is_refused(
    name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_generator(tmp_path / "tiny")
    name_directions(folder, {0: "Slant"})
    before = (folder / "config.json").read_bytes()
    with pytest.raises(SystemExit) if "such as" in reason else nullcontext():
        assert main(["directions", str(folder), "--name", name]) == 2
    assert reason in capsys.readouterr().err
    assert (folder / "config.json").read_bytes() == before


def test_file_with_names_for_other_directions_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "tiny")
    edit_json(folder / "config.json", direction_names=["Slant"])
    with pytest.raises(GeneratorFileError, match="8 different ones are wanted"):
        read_generator_file(folder)
