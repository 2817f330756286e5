"""The benchmark of mode coverage, on little squares in place of digits."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import stacked_mnist
from benchmarks.stacked_mnist import counted, main, stacked
from model.networks.families.dcgan import DCGANConfig
from model.training.datasets.dataset import Dataset, load
from model.training.evaluation.features import Extractor
from model.training.presets import PRESETS
from tests.statuses import status_of


@pytest.fixture(scope="module")
def squares(digits: Path) -> Dataset:
    return load(digits, "train", side=28, channels=1)


@pytest.fixture
def tiny_preset() -> Iterator[None]:
    network = DCGANConfig(z_dim=8, channels=3, width=16, discriminator_width=4)
    preset = PRESETS["dcgan-svhn"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            PRESETS, "dcgan-svhn", replace(preset, config=replace(preset.config, network=network))
        )
        yield


def test_each_channel_is_a_digit_of_the_set_in_a_black_frame(squares: Dataset) -> None:
    pictures = stacked(squares, 20, seed=0)
    assert pictures.shape == (20, 32, 32, 3)
    known = {image.tobytes() for image in squares.images[..., 0]}
    for picture in pictures:
        for channel in range(3):
            assert np.ascontiguousarray(picture[2:-2, 2:-2, channel]).tobytes() in known
    frame = pictures.copy()
    frame[:, 2:-2, 2:-2] = 0
    assert not frame.any()


def test_set_is_the_same_for_the_same_seed(squares: Dataset) -> None:
    first, again, other = (stacked(squares, 20, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.slow
def test_modes_are_those_that_were_stacked(classifier: Extractor, squares: Dataset) -> None:
    assert squares.labels is not None
    ones, twos = (squares.images[squares.labels == digit, ..., 0] for digit in (1, 2))
    pictures = np.zeros((40, 32, 32, 3), np.uint8)
    pictures[:20, 2:-2, 2:-2] = np.stack([ones[:20], twos[:20], ones[:20]], axis=-1)
    pictures[20:, 2:-2, 2:-2] = np.stack([twos[:20], ones[:20], ones[:20]], axis=-1)
    found, divergence = counted(classifier, pictures).values()
    assert found == 2
    assert divergence == pytest.approx(np.log(500), abs=0.001)


@pytest.mark.slow
def test_real_pictures_have_all_modes_evenly(classifier: Extractor, squares: Dataset) -> None:
    figures = counted(classifier, stacked(squares, 3000, seed=0))
    name = f"3000_{classifier.name}"
    # by chance alone three pictures a mode leave out a twentieth, and diverge by a sixth
    assert figures[f"modes_of_1000_{name}"] == pytest.approx(950, abs=25)
    assert figures[f"modes_kl_{name}"] == pytest.approx(1 / 6, abs=0.05)


@pytest.mark.slow
def test_one_command_makes_the_set_trains_and_counts(
    tiny_preset: None,
    digits: Path,
    squares: Dataset,
    classifier: Extractor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    classifier.save(tmp_path / "classifier")
    common = ["--data", str(digits), "--device", "cpu", "--samples", "300"]
    common += ["--digit-classifier", str(tmp_path / "classifier")]
    making = ["--outdir", str(tmp_path / "runs"), "--pictures", "120"]
    training = ["--preset", "dcgan-svhn", "--batch", "32", "--kimg", "0.1"]
    training += ["--figure-images", "200"]
    assert main([*common, *making, *training]) == 0
    run = stacked_mnist.newest_run(tmp_path / "runs")
    mark = squares.fingerprint[:8]
    assert run.name == f"00000-stacked-mnist-120-{mark}-dcgan-svhn-batch32"
    figures = json.loads((run / "modes.json").read_text())
    name = f"300_{classifier.name}"
    assert 1 <= figures[f"modes_of_1000_{name}"] <= 300
    assert figures["of_real_pictures"][f"modes_of_1000_{name}"] > 200
    assert figures["generator"] == str(run / "best")
    capsys.readouterr()
    assert main([*common, "--generator", str(run / "best")]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == figures


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--foo", "3"], "unrecognized arguments: --foo 3"),
        (["--kimg", "0"], "out of range"),
        (["--kimg", "1", "--dry-run"], "--dry-run"),
        (["--pictures", "-4"], "out of range; allowed: 20 to"),
        (["--samples", "0"], "out of range; allowed: 1 to"),
        (["--data", "nowhere"], "nowhere: no such file or folder"),
        (["--generator", "nowhere"], "nowhere"),
        (["--generator", "nowhere", "--kimg", "1"], "unrecognized arguments: --kimg 1"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    arguments: list[str],
    said: str,
    digits: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["--data", str(digits), "--outdir", str(tmp_path / "out"), *arguments]
    assert status_of(main, given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_generator_of_another_shape_is_refused(
    digits: Path,
    generator_folder: Path,
    classifier: Extractor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    classifier.save(tmp_path / "classifier")
    arguments = ["--generator", str(generator_folder), "--data", str(digits), "--device", "cpu"]
    assert main([*arguments, "--digit-classifier", str(tmp_path / "classifier")]) == 2
    assert "32x32 RGB" in capsys.readouterr().err
