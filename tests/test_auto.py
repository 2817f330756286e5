"""What a run is made of where nobody says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.training.__main__ import main
from model.training.auto import NEEDED, choose
from model.training.datasets.dataset import DataError, extent
from model.training.presets import PRESETS


@pytest.mark.parametrize(
    ("side", "hours", "cuda", "preset", "batch"),
    [
        pytest.param(28, 1, False, "modern-32", 16, id="digits"),
        pytest.param(28, 100, True, "modern-32", 64, id="never-larger-than-the-pictures"),
        pytest.param(47, 1, False, "modern-32", 16, id="reduced"),
        pytest.param(48, 1, False, "modern-64", 16, id="enlarged"),
        pytest.param(64, 1, False, "modern-64", 16, id="avatars"),
        pytest.param(64, 0.1, False, "modern-32", 16, id="six-minutes"),
        pytest.param(3000, 1, False, "modern-64", 16, id="photographs"),
        pytest.param(3000, 8, False, "modern-128", 32, id="a-night"),
        pytest.param(3000, 0.25, True, "modern-128", 64, id="gpu"),
    ],
)
def test_size_and_batch_follow_pictures_hours_and_device(
    side: int, hours: float, cuda: bool, preset: str, batch: int
) -> None:
    choice = choose(side=side, count=20_000, hours=hours, cuda=cuda)
    assert (choice.preset, choice.batch) == (preset, batch)
    config = PRESETS[preset].config
    assert 1000 * choice.steady_kimg / batch == config.steady / config.batch  # as many steps
    assert f"--preset {preset} --batch {batch} --steady-kimg " in str(choice)
    assert f"{side} pixels" in str(choice)


@pytest.mark.parametrize(("count", "batch"), [(15, 8), (16, 16), (7, 4), (2, 2), (1, 2)])
def test_batch_is_never_larger_than_the_set(count: int, batch: int) -> None:
    assert choose(side=64, count=count, hours=1, cuda=False).batch == batch


def test_choice_of_few_hours_says_what_more_would_bring() -> None:
    line = str(choose(side=500, count=900, hours=1, cuda=False))
    assert "1 hour is too little on a CPU for 128x128 (from --hours 8, with a GPU, or by" in line
    assert "by --preset modern-128)" in line


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--batch", "2"],
        ["--batch", "7"],
        ["--steady-kimg", "0.3"],
        ["--batch", "12", "--steady-kimg", "1000.001"],
    ],
    ids=" ".join,
)
def test_options_that_auto_prints_mean_the_same_run(
    given: list[str], digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["train", "--data", str(digits), "--device", "cpu", "--kimg", "1", "--dry-run"]
    assert main([*train, *given]) == 0
    record = json.loads(capsys.readouterr().out)
    (printed,) = re.findall("the same as (.*)", record["auto"])
    assert main([*train, *printed.split()]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["fingerprint"] == record["fingerprint"]
    if "--steady-kimg" not in given:
        own = PRESETS[record["config"]["preset"]].config
        config = record["config"]
        assert config["steady"] / config["batch"] == own.steady / own.batch  # as many steps


def test_one_to_seven_hours_choose_the_same_and_so_go_on_with_the_same_run() -> None:
    choices = [choose(side=200, count=9000, hours=hours, cuda=False) for hours in (1, 2, 4, 7.9)]
    assert len({(choice.preset, choice.batch, choice.steady_kimg) for choice in choices}) == 1


def test_every_choice_is_a_preset() -> None:
    assert {f"modern-{side}" for side in NEEDED} <= PRESETS.keys()


def test_extent_is_the_count_of_a_part_and_the_median_smaller_side(tmp_path: Path) -> None:
    for number, (width, height) in enumerate([(30, 90), (50, 40), (70, 60)] * 10):
        picture = np.zeros((height, width, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{number:02d}.png")
    assert extent(tmp_path, "train") == (27, 40, False)
    assert extent(tmp_path, "all") == (30, 40, False)
    (tmp_path / "00.png").write_bytes(b"no picture")
    assert extent(tmp_path, "all") == (30, 40, False)


def test_extent_of_an_official_set_is_its_own(digits: Path) -> None:
    assert extent(digits, "train") == (320, 28, True)


@pytest.mark.parametrize(
    ("side", "preset"),
    [
        (17, "modern-32"),
        (32, "modern-32"),
        (33, "modern-64"),
        (65, "modern-128"),
        (128, "modern-128"),
    ],
)
def test_set_of_one_size_is_trained_in_it(side: int, preset: str) -> None:
    assert choose(side=side, count=900, hours=0.1, cuda=False, fixed=True).preset == preset


@pytest.mark.parametrize("side", [8, 16, 129, 1024])
def test_set_of_one_size_that_no_preset_takes_is_refused(side: int) -> None:
    with pytest.raises(DataError, match=f"{side}x{side}, all of them; trained are 17 to 128"):
        choose(side=side, count=900, hours=1, cuda=False, fixed=True)


def test_extent_of_a_set_without_a_sound_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="no picture in the all part can be read"):
        extent(tmp_path, "all")
