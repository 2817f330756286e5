"""Directions: those that the first layer stretches most, kept in the model folder."""

from pathlib import Path

import numpy as np
import pytest

from model.generator_file import (
    GeneratorFileError,
    read_generator_file,
)
from model.latent_space.directions import closed_form_directions, sensible_range
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
