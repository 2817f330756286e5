"""What a run writes while it works."""

import json
from pathlib import Path

import pytest

from model.training.run.progress import Progress, duration
from model.training.run.run_log import QUIET, STATS, WARNINGS, RunLog, read_rows, seconds_spent


def test_seconds_spent_are_those_of_the_images_that_count(tmp_path: Path) -> None:
    """Counts 200 images at 100 a second and, after a new start, 200 at 50."""
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


def test_slow_steps_are_told_between_their_statistics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("model.training.run.run_log.time.monotonic", lambda: now[0])
    with RunLog(tmp_path, 64, 0) as run_log:
        for step in range(1, 5):
            now[0] += 20
            run_log.progress(8 * step)
    assert capsys.readouterr().out.splitlines() == [
        "images 16 of 64  0.4 images/s  0:02:00 left",
        "images 32 of 64  0.4 images/s  0:01:20 left",
    ]


def test_task_says_how_long_it_will_take_once_it_has_taken_two_seconds() -> None:
    now, said = [0.0], list[str]()
    progress = Progress("measuring", 100, said.append, lambda: now[0])
    for _ in range(100):
        now[0] += 0.5
        progress.done()
    assert said == [
        "measuring: 4%, 48 s left",
        "measuring: 34%, 33 s left",
        "measuring: 64%, 18 s left",
        "measuring: 94%, 3 s left",
    ]
    assert not any("\r" in line for line in said)


def test_task_of_less_than_two_seconds_says_nothing() -> None:
    now, said = [0.0], list[str]()
    progress = Progress("measuring", 10, said.append, lambda: now[0])
    for _ in range(10):
        now[0] += 0.19
        progress.done()
    assert said == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (90, "90 s"), (91, "2 min"), (3601, "1 h 01 min")]
)
def test_time_to_wait_is_rounded_up(seconds: float, text: str) -> None:
    assert duration(seconds) == text
