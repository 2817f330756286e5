"""The time of a run, and when snapshots are due by it."""

from model.training.presets import Schedule
from model.training.run.clock import Clock


def test_slow_snapshots_take_a_tenth_of_the_time() -> None:
    now, taken = 0.0, []
    schedule = Schedule(images=None, hours=10.0, snapshot_seconds=60.0)
    clock = Clock(schedule, lambda: now, 0.0)
    while not clock.is_over():
        now += 10.0
        if clock.is_snapshot_due():
            taken.append(now)
            with clock.snapshot():
                now += 40.0
    assert taken[:3] == [60.0, 460.0, 860.0]
    assert 40.0 * len(taken) <= 0.1 * now + 40.0


def test_hours_of_earlier_starts_are_gone() -> None:
    now = 1000.0
    clock = Clock(Schedule(images=None, hours=1.0), lambda: now, 3000.0)
    now += 500.0
    assert (clock.here(), clock.spent(), clock.left()) == (500.0, 3500.0, 100.0)
    assert not clock.is_over()
    now += 100.0
    assert clock.is_over()
    assert not clock.is_snapshot_due()  # none by the clock


def test_run_by_images_is_never_over_by_the_clock() -> None:
    assert not Clock(Schedule(images=1000), lambda: 0.0, 1e9).is_over()
