"""What a run writes while it works."""

import json
from pathlib import Path

import pytest

from model.training.journal import STATS, seconds_spent


def test_seconds_spent_are_those_of_the_images_that_count(tmp_path: Path) -> None:
    """Of 400 images the first 200 came at 100 a second, the others, after a new start, at 50."""
    rows = [(100, 100.0), (200, 100.0), (300, 50.0), (400, 50.0)]
    lines = [json.dumps({"images_seen": seen, "images_per_second": rate}) for seen, rate in rows]
    (tmp_path / STATS).write_text("\n".join(lines) + "\n")
    assert seconds_spent(tmp_path, 400) == pytest.approx(6.0)
    assert seconds_spent(tmp_path, 300) == pytest.approx(4.0)
    assert seconds_spent(tmp_path / "nowhere", 300) == 0.0
