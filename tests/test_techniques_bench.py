"""The benchmark of techniques: its table, with tiny networks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import techniques
from benchmarks.stacked_mnist import write_set
from benchmarks.techniques import main, shown
from benchmarks.upscalers import main as upscalers
from model.training.evaluation.features import Extractor
from model.training.techniques.catalogue import TECHNIQUES
from tests.statuses import status_of


def test_best_of_a_column_is_bold_and_ratios_are_over_the_first() -> None:
    plain = {"modes": 200, "kl": 3.0, "frechet": 50.0, "ms": 8.0}
    other = {"modes": 300, "kl": 2.0, "frechet": 60.0, "ms": 10.0}
    real = {"modes": 1000, "kl": 0.02, "frechet": 5.0}
    *_, first, second, last = shown({"plain": plain, "packing": other}, real).splitlines()
    assert first == "| plain | 8.0 (1.00) | 200 (1.00) | 3.00 (1.00) | **50** (1.00) |"
    assert second == "| packing | 10.0 (1.25) | **300** (1.50) | **2.00** (0.67) | 60 (1.20) |"
    assert last == "| real pictures |  | 1000 | 0.02 | 5 |"


@pytest.mark.slow
def test_every_technique_has_a_row_and_nothing_is_trained_twice(
    digits: Path,
    classifier: Extractor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(techniques, "load_extractor", lambda folder, device: classifier)
    arguments = ["--data", str(digits), "--output", str(tmp_path), "--threads", "1"]
    arguments += ["--images", "256", "--pictures", "256", "--samples", "140", "--fakes", "140"]
    arguments += ["--width", "16", "--discriminator-width", "4"]
    main(arguments)
    first = capsys.readouterr().out
    monkeypatch.setattr(techniques, "trained", None)
    main(arguments)
    assert capsys.readouterr().out == first == (tmp_path / "techniques.md").read_text()
    rows = [line.split(" | ")[0] for line in first.splitlines() if line.startswith("| ")]
    names = ["plain", *TECHNIQUES, "real pictures"]
    assert rows == ["| techniques", "| ---", *(f"| {name}" for name in names)]
    assert len(list(tmp_path.glob("*/grid-000000256.png"))) == 2 * (len(names) - 1)


@pytest.mark.parametrize(
    ("run", "arguments", "said"),
    [
        (main, ["--data", "nowhere"], "nowhere: no such file or folder"),
        (main, ["--digit-classifier", "nowhere"], "nowhere"),
        (main, ["--images", "0"], "out of range; allowed: 1 to"),
        (main, ["--pictures", "127"], "out of range; allowed: 128 to"),
        (main, ["--threads", "nan"], "not a whole number"),
        (main, ["--recipes", "nothing"], "nothing"),
        (upscalers, ["--data", "nowhere"], "nowhere: no such file or folder"),
        (upscalers, ["--data", "SMALL"], "SMALL"),
        (upscalers, ["--data", "SMALL", "--images", "0"], "out of range; allowed: 1 to"),
    ],
)
def test_mistakes_are_one_line(
    run: Callable[[list[str]], int],
    arguments: list[str],
    said: str,
    digits: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_set(tmp_path / "SMALL.zip", np.zeros((30, 32, 32, 3), np.uint8))
    given = [str(tmp_path / "SMALL.zip") if one == "SMALL" else one for one in arguments]
    given += ["--output", str(tmp_path / "out")] if run is main else []
    given += [] if "--data" in given else ["--data", str(digits)]
    assert status_of(run, given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
