"""What a run says of itself: how far it will come, and what is wrong with it."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from model.training.presets import PRESETS
from model.training.run import health
from model.training.run.forecast import differ, forecast

CONFIG = PRESETS["modern-64"].config
NOON = datetime(2026, 11, 29, 12, 0)
# a run on avatars: its first rows, and where it settles
EARLY = {"loss_d": 0.28, "loss_g": 3.4, "d_real": 2.7, "d_fake": 0.9, "penalty": 0.07}
SETTLED = {"loss_d": 0.38, "loss_g": 1.9, "d_real": 1.6, "d_fake": 0.6, "penalty": 0.04}
FAULTS = {
    "overpowered": {"loss_d": 0.35, "loss_g": 5.1, "d_real": 5.1, "d_fake": 2.7},
    "unsteady": {"loss_d": 2.6, "loss_g": 2.2, "d_real": 0.2, "d_fake": 0.4},
    "blind": {"loss_d": 0.693, "loss_g": 0.693, "d_real": 0.01, "d_fake": 0.01},
}
REMEDIES = {
    "overpowered": "--gamma 16 (now 4), or with --learning-rate 0.0003 (now 0.0006)",
    "unsteady": "--learning-rate 0.0003 (now 0.0006) or --batch 32",
    "blind": "--gamma 1 (now 4) or a larger --discriminator-width",
}


@pytest.mark.parametrize("row", [EARLY, SETTLED])
def test_healthy_run_is_left_alone(row: dict[str, float]) -> None:
    assert health.of_stats([row] * health.WINDOW, CONFIG, 300) == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_remedy(fault: str) -> None:
    found = health.of_stats([FAULTS[fault]] * health.WINDOW, CONFIG, 20_000)
    assert list(found) == [fault]
    assert found[fault].endswith(REMEDIES[fault])


def test_outbursts_are_a_fault_before_they_are_the_rule() -> None:
    rows = [SETTLED] * (health.WINDOW - 3) + [{**SETTLED, "loss_d": 28_000.0}] * 3
    found = health.of_stats(rows, CONFIG, 20_000)
    assert "again and again (10% of the last steps)" in found["unsteady"]


def test_one_bad_row_is_no_fault() -> None:
    rows = [SETTLED] * (health.WINDOW - 1) + [FAULTS["overpowered"]]
    assert health.of_stats(rows, CONFIG, 20_000) == {}
    assert health.of_stats([FAULTS["overpowered"]] * (health.WINDOW - 1), CONFIG, 20_000) == {}


def test_small_set_that_is_not_augmented_should_be() -> None:
    rows = [FAULTS["overpowered"]] * health.WINDOW
    assert "--augment 0.3" in health.of_stats(rows, CONFIG, 300)["overpowered"]
    augmented = replace(CONFIG, augmentation=0.3)
    assert "--augment" not in health.of_stats(rows, augmented, 300)["overpowered"]


def test_losses_of_other_games_are_not_judged() -> None:
    article = PRESETS["dcgan-mnist"].config
    assert health.of_stats([FAULTS["overpowered"]] * health.WINDOW, article, 300) == {}


def test_spread_is_the_mean_distance_of_two_pictures() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert health.spread(np.stack([black, white])) == pytest.approx(2.0)
    assert health.spread(np.stack([black, black, white])) == pytest.approx(4 / 3)
    assert health.spread(black[None]) == 0.0
    labels = np.array([0, 0, 1])
    assert health.spread(np.stack([black, black, white]), labels) == 0.0


def test_pictures_that_are_alike_are_told_but_not_at_the_start() -> None:
    assert health.of_pictures(0.9, 20_000, CONFIG) == {}
    assert health.of_pictures(0.2, 2_000, CONFIG) == {}
    found = health.of_pictures(0.2, 20_000, CONFIG)["alike"]
    assert "alike (20% of the distance" in found
    assert found.endswith("0.0003 (now 0.0006) or --batch 32 or a larger --gamma")
    article = health.of_pictures(0.2, 20_000, PRESETS["dcgan-mnist"].config)["alike"]
    assert article.endswith("or start anew with --batch 256")  # nothing else can be turned


def snapshots(*figures: float) -> list[dict[str, float]]:
    return [{"images_seen": 1000 * at, "f": figure} for at, figure in enumerate(figures, 1)]


def test_run_that_gets_no_better_is_told_at_every_tenth_snapshot() -> None:
    better = snapshots(*range(30, 0, -1))
    assert health.of_metrics(better, "f", CONFIG, 20_000) == {}
    told = [
        len(rows) - 2
        for rows in (snapshots(9, 5, *[6] * count) for count in range(25))
        if health.of_metrics(rows, "f", CONFIG, 20_000)
    ]
    assert told == [10, 20]
    found = health.of_metrics(snapshots(9, 5, *[6] * 10), "f", CONFIG, 20_000)
    assert found == {"stuck": "not better for 10,000 images, 10 snapshots; ship `best`, or stop"}
    small = health.of_metrics(snapshots(9, 5, *[6] * 10), "f", CONFIG, 100)["stuck"]
    assert "Each of the 100 pictures has been seen 120 times" in small
    assert "--augment 0.3" in small


def test_forecast_says_how_far_the_run_comes_and_what_that_looks_like() -> None:
    lines = forecast(1800, 15.0, 3480.0, NOON, "modern")
    assert lines[0] == (
        "forecast: 54,000 images an hour on this machine; at its end, in 0:58 hours (about 12:58), "
        "this run will have seen about 54,000"
    )
    (marked,) = [line for line in lines if "<-" in line]
    assert "up to 150,000   clean outlines, parts wrong here and there   <- this" in marked
    assert "photographs take several times as many" in lines[1]
    assert "longer --hours" not in lines[-1]


def test_forecast_of_a_short_run_says_what_to_change() -> None:
    lines = forecast(240, 2.0, 3480.0, NOON, "modern")
    assert "shapes and colours   <-" in "\n".join(lines)
    assert "longer --hours, a smaller preset" in lines[-1]


def test_forecast_of_another_game_keeps_to_numbers() -> None:
    (line,) = forecast(100_000, 100.0, 90_000.0, NOON, "article")
    assert "in 25:00 hours (about Mon 30 Nov 13:00)" in line


def test_forecast_is_made_again_where_the_rate_differs_much() -> None:
    assert differ(10.0, 0.0)
    assert differ(10.0, 16.0)
    assert differ(16.0, 10.0)
    assert not differ(10.0, 12.0)
