"""The benchmark of techniques: its table, with tiny networks."""

from pathlib import Path

import pytest

from benchmarks import techniques
from benchmarks.techniques import main, shown
from model.training.evaluation.features import Extractor
from model.training.techniques.catalogue import TECHNIQUES


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
