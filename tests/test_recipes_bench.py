"""The benchmark of recipes: its clock, its marks and its table, with tiny networks."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import recipes
from benchmarks.learners import AbsentError, Learner, dcgan
from benchmarks.recipes import main, preset, trained
from benchmarks.stacked_mnist import write_set
from model.training.datasets.dataset import Dataset
from model.training.evaluation import features
from model.training.presets import PRESETS
from model.training.run.checkpoint import newest_first, read_checkpoint
from tests.statuses import status_of
from tests.tiny_training import TINY_MODERN

SIDE = 32


def scenes(count: int) -> np.ndarray:
    """Squares of any colour, anywhere."""
    random = np.random.default_rng(0)
    images = np.full((count, SIDE, SIDE, 3), 255, np.uint8)
    for image in images:
        top, left = random.integers(0, SIDE - 8, 2)
        image[top : top + 8, left : left + 8] = random.integers(0, 256, 3)
    return images


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRESETS, "modern-32", TINY_MODERN)
    monkeypatch.setattr(features, "MOST_PASSES", 1)


def tick() -> Callable[[], float]:
    """Returns a clock that goes on by a second whenever it is looked at: a second a step."""
    seconds = itertools.count()
    return lambda: float(next(seconds))


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(preset("modern-32", batch=8, gamma=1.0), id="ours"),
        pytest.param(dcgan, id="peer"),
    ],
)
def test_resumed_recipe_equals_unbroken_one(
    recipe: Callable[[Dataset], Learner], tmp_path: Path
) -> None:
    data = Dataset(name="scenes", images=scenes(80), labels=None)

    def measure(learner: Learner, grid: Path) -> recipes.Point:
        return {"mean": float(learner.draw(range(4)).mean())}

    def stopping(learner: Learner, grid: Path) -> recipes.Point:
        if (tmp_path / "broken").exists():
            raise KeyboardInterrupt
        return measure(learner, grid)

    batch = recipe(data).batch
    ends = {"seconds": 2, "images": 4 * batch}
    with torch.random.fork_rng(devices=[]):
        points = trained(recipe(data), tmp_path / "whole", **ends, measure=measure, clock=tick())
        with pytest.raises(KeyboardInterrupt):
            trained(recipe(data), tmp_path / "broken", **ends, measure=stopping, clock=tick())
        again = trained(recipe(data), tmp_path / "broken", **ends, measure=measure, clock=tick())
    assert [point["images"] for point in points] == [batch * n for n in (1, 2, 3, 4)]
    assert [point["seconds"] for point in points] == [1, 2, 3, 4]
    assert again == points
    whole, broken = (
        read_checkpoint(newest_first(tmp_path / name)[0]).tensors for name in ("whole", "broken")
    )
    assert whole.keys() == broken.keys()
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


@pytest.mark.slow
def test_table_has_a_row_a_recipe_and_nothing_is_trained_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(data: Dataset) -> Learner:
        raise AbsentError("not installed: nowhere")

    monkeypatch.setattr(
        recipes,
        "RECIPES",
        {
            "first": preset("modern-32", batch=8),
            "other": preset("modern-32", batch=16),
            "peer": absent,
        },
    )
    write_set(tmp_path / "scenes.zip", scenes(300))
    arguments = ["--data", str(tmp_path / "scenes.zip"), "--side", str(SIDE)]
    arguments += ["--output", str(tmp_path / "out"), "--fakes", "140", "--recipes"]
    budget = ["--seconds", "0.01", "--images", "32"]
    with torch.random.fork_rng(devices=[]):
        main([*arguments, "first,other,peer", *budget])
        table = (tmp_path / "out" / "recipes.md").read_text()
        rows = {line.split(" | ")[0]: line for line in table.splitlines() if line.startswith("| ")}
        assert [*rows][2:] == [
            "| first", "| other", "| peer (not installed: nowhere)",
            "| real pictures, training part",
        ]  # fmt: skip
        assert "scenes-selfsup-" in rows["| recipe"]
        assert rows["| peer (not installed: nowhere)"].count("absent") == 4
        assert "(1.00)" in rows["| first"]
        assert (tmp_path / "out" / "recipes.png").stat().st_size > 1000
        assert len(list((tmp_path / "out").glob("first-*/grid-*.png"))) >= 1
        monkeypatch.setattr(recipes, "trained", None)
        main([*arguments, "first,other,peer", *budget])
    assert (tmp_path / "out" / "recipes.md").read_text() == table
    with pytest.raises(SystemExit):
        main([*arguments, "nothing", *budget])
    assert "no recipe 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "nowhere"], "nowhere: no such file or folder"),
        (["--data", ""], "the name is empty"),
        (["--data", "SET", "--features", "none"], "--features none measures nothing"),
        (["--data", "SET", "--seconds", "nan"], "out of range; allowed: 0.01 to"),
        (["--data", "SET", "--seconds", "inf"], "out of range; allowed: 0.01 to"),
        (["--data", "SET", "--images", "0"], "out of range; allowed: 1 to"),
        (["--data", "SET", "--fakes", "1"], "out of range; allowed: 2 to"),
        (["--data", "SET", "--side", "0"], "out of range; allowed: 17 to 128"),
        (["--data", "SET", "--side", "33", "--recipes", "modern-64"], "--side 33: "),
        (["--data", "FEW", "--recipes", "modern-64"], "fewer than one batch of modern-64, 16"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, count in (("SET", 60), ("FEW", 12)):
        write_set(tmp_path / f"{name}.zip", scenes(count))
    given = [str(tmp_path / f"{one}.zip") if one in ("SET", "FEW") else one for one in arguments]
    assert status_of(main, ["--output", str(tmp_path / "out"), *given]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last


def test_damaged_checkpoint_begins_the_recipe_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Dataset(name="s", images=scenes(40), labels=None)
    (tmp_path / "checkpoint-000000016.safetensors").write_bytes(b"no checkpoint")
    points = trained(
        preset("modern-32", batch=8)(data), tmp_path, 1, 8, lambda *_: {"net": 9.0}, tick()
    )
    assert points[0]["images"] == 8
    assert "damaged or not a checkpoint" in capsys.readouterr().err


def test_pace_too_slow_for_the_images_ends_at_the_budget(tmp_path: Path) -> None:
    learner = preset("modern-32", batch=8)(Dataset(name="s", images=scenes(40), labels=None))
    points = trained(
        learner, tmp_path, seconds=2, images=1000, measure=lambda *_: {"net": 9.0}, clock=tick()
    )
    assert [point["seconds"] for point in points] == [2]
    table = recipes.rows({"slow": points}, {"net": 1.0}, 2, 1000)
    assert "| slow | 16 | 125.0 | not reached | 9.0 (1.00) |" in table
