"""What a run writes while it works."""

import json
from pathlib import Path

import pytest

from model.training.run.run_log import QUIET, STATS, WARNINGS, RunLog, read_rows, seconds_spent


def test_seconds_spent_are_those_of_the_images_that_count(tmp_path: Path) -> None:
    """Of 400 images the first 200 came at 100 a second, the others, after a new start, at 50."""
    rows = [(100, 100.0), (200, 100.0), (300, 50.0), (400, 50.0)]
    lines = [json.dumps({"images_seen": seen, "images_per_second": rate}) for seen, rate in rows]
    (tmp_path / STATS).write_text("\n".join(lines) + "\n")
    assert seconds_spent(tmp_path, 400) == pytest.approx(6.0)
    assert seconds_spent(tmp_path, 300) == pytest.approx(4.0)
    assert seconds_spent(tmp_path / "nowhere", 300) == 0.0


def test_warning_of_a_kind_is_said_once_in_many_images_over_all_starts(tmp_path: Path) -> None:
    with RunLog(tmp_path, 100_000, 0) as run_log:
        for seen in (1000, 2000, 1000 + QUIET):
            run_log.progress(seen)
            run_log.warn("alike", "the pictures are alike")
    with RunLog(tmp_path, 100_000, 1500) as run_log:  # what came later did not happen
        run_log.warn("alike", "the pictures are alike")
        run_log.warn("stuck", "not better")
    rows = read_rows(tmp_path / WARNINGS)
    assert [(row["kind"], row["images_seen"]) for row in rows] == [("alike", 1000), ("stuck", 1500)]
    assert (tmp_path / "log.txt").read_text().count("warning: the pictures are alike") == 2


def test_progress_by_hours_says_what_is_left_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunLog(tmp_path, None, 0, lambda: 3725.0) as run_log:
        run_log.progress(640)
        run_log.stats({"loss_d": 0.5})
    assert "images 640  " in (said := capsys.readouterr().out)
    assert "1:02:05 left  loss_d 0.500" in said
