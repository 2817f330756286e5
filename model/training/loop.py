"""The training loop: a run and what it learns in, checkpoints and model folders out.

    Task.step -> EMA -> log, grid, snapshot, checkpoint

Everything random is a function of (seed, step): a resumed run draws what the unbroken one would
have drawn.
"""

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

import torch

from model.metrics import is_better
from model.training import ema
from model.training.distributed import GradientAverage, Ranks, share_batch_norms
from model.training.run import checkpoint, forecast, health
from model.training.run.clock import Clock
from model.training.run.plots import draw_plots
from model.training.run.run_log import METRICS, NullLog, Row, RunLog, read_rows, seconds_spent
from model.training.schedules import cooled
from model.training.task import Run, Stats, Task, TrainingError

PLOT_SECONDS = 60.0  # at least, between curves drawn anew; the report draws the last ones
MAX_ATTEMPTS = 3  # times that a diverged run goes back to its last checkpoint

__all__ = ("Run", "TrainingError", "train")


class DivergedError(Exception):
    """A loss or a weight is no longer finite."""


def train(run: Run, stop: Callable[[], bool]) -> bool:
    """Trains, from the newest sound checkpoint in the folder, until the schedule's end or until
    `stop()`. A run that diverges goes back to its last checkpoint and gets other batches.

    Returns whether the end was reached.

    Raises:
        TrainingError: there is too little to learn from, or it diverged too often.
        DistributedError: the batch does not divide among the processes, or one of them has ended.
    """
    while True:
        try:
            return _Training(run).go_on(stop)
        except DivergedError as error:
            _try_again(run, error)


def _try_again(run: Run, error: DivergedError) -> None:
    """Makes the last checkpoint the start of another attempt."""
    last = _newest(run, [])
    attempt = (last.state["attempt"] if last else 0) + 1
    if last is None or attempt > MAX_ATTEMPTS:
        raise TrainingError(f"{error}; the run has diverged") from None
    if not run.ranks.first:
        return
    last.state["attempt"] = attempt
    checkpoint.write_checkpoint(run.folder / "checkpoints", last, run.schedule.keep)
    with RunLog(run.folder, run.schedule.images, last.images_seen) as run_log:
        run_log.say(
            f"warning: {error}; back to {last.images_seen:,} images, with other batches from there "
            f"(attempt {attempt} of {MAX_ATTEMPTS})"
        )


class _Training:
    """A run from a checkpoint on."""

    def __init__(self, run: Run) -> None:
        self._run, self._config, self._schedule = run, run.config, run.schedule
        self._task: Task = run.task()
        self._networks = self._task.networks
        self._state: dict[str, Any] = {"images_seen": 0, "best": None, "attempt": 0}
        self._warnings: list[str] = []
        self._beginning: list[str] = []
        if found := _newest(run, self._warnings):
            self._networks.load(found.tensors)
            self._state |= found.state
        else:
            self._beginning = self._task.begin()
        self._task.deal(self._state["attempt"])
        if run.ranks.size > 1:
            self._synchronise(run.ranks)
        self._recent: list[Stats] = []
        self._drawn_at = time.monotonic()
        self._watched: deque[Row] = deque(maxlen=health.WINDOW)
        self._clock = Clock(run.schedule, run.clock, 0.0)
        self._first, self._foretold = self._state["images_seen"], False

    def _synchronise(self, ranks: Ranks) -> None:
        for network in self._networks.learners:
            share_batch_norms(network)
        for optimizer in self._networks.optimizers().values():
            GradientAverage(ranks, optimizer)

    def go_on(self, stop: Callable[[], bool]) -> bool:
        """Trains to the schedule's end (returns true) or until `stop()` (false).

        Raises:
            DivergedError: a loss or a weight is no longer finite.
        """
        run, config, schedule, state = self._run, self._config, self._schedule, self._state
        first = run.ranks.first
        step, snapshot_steps = state["images_seen"] // config.batch, self._snapshot_steps()
        with self._new_log() as run_log:
            clock = self._clock = self._new_clock()
            last = self._is_end(*run.ranks.any(first and clock.is_over()))
            self._plan_cooldown(*run.ranks.any(first and clock.has_passed(1.0 - config.cooldown)))
            for warning in self._warnings:
                run_log.say(warning)
            verb = "resuming" if step else "starting"
            company = f", {run.ranks.size} processes" if run.ranks.size > 1 else ""
            run_log.say(f"{run.folder}: {verb} at {state['images_seen']:,} images{company}")
            if step == 0 and first:
                for note in (*self._beginning, *run.notes):
                    run_log.say(note)
                self._grid(run_log)
                self._task.draw_real()
                self._save()
            saved_at = time.monotonic()

            while not last:
                self._recent.append(self._task.step(step, self._rate_share()))
                step += 1
                images_seen = state["images_seen"] = step * config.batch
                keep = ema.decay(config.batch, images_seen, config.ema_half_life, config.ema_ramp)
                ema.update(self._networks.generator_ema, self._networks.generator, keep)
                run_log.progress(images_seen)

                # logging
                if step % schedule.log_steps == 0:
                    means = self._means()
                    run_log.stats(means)
                    if first:
                        self._watch(means, run_log)
                if step % schedule.grid_steps == 0 and first:
                    self._grid(run_log)
                # what one process is asked or finds by its clock, all do
                interrupted, due, over, snapshot, late = run.ranks.any(
                    not self._is_end(False) and stop(),
                    time.monotonic() - saved_at >= schedule.checkpoint_seconds,
                    first and clock.is_over(),
                    first and clock.is_snapshot_due(),
                    first and clock.has_passed(1.0 - config.cooldown),
                )
                self._plan_cooldown(late)
                last = self._is_end(over)
                if last and step < schedule.log_steps:
                    run_log.stats(self._means())
                snapshot |= last or (snapshot_steps > 0 and step % snapshot_steps == 0)
                if snapshot:
                    self._check_finite()
                    if first:
                        with clock.snapshot():
                            self._snapshot(run_log)
                if due or interrupted or snapshot:
                    self._check_finite()
                    self._save()
                    saved_at = time.monotonic()
                if interrupted and not last:
                    run_log.say(
                        f"stopped at {images_seen:,} images; the same command again goes on from "
                        "here"
                    )
                    return False
            if first:
                run_log.say(f"done: {state['images_seen']:,} images; {_written(run)}")
        return True

    def _grid(self, run_log: RunLog) -> None:
        """Draws a grid, and writes what the discriminator makes of it."""
        if verdicts := self._task.grid(self._state["images_seen"]):
            run_log.verdicts(verdicts)

    def _new_clock(self) -> Clock:
        run, state = self._run, self._state
        before = state.get("seconds")
        if before is None:
            before = seconds_spent(run.folder, state["images_seen"]) if run.ranks.first else 0.0
        return Clock(run.schedule, run.clock, before)

    def _left(self) -> float:
        return self._clock.left()

    def _is_end(self, over: bool) -> bool:
        total = self._schedule.images
        return over or (total is not None and self._state["images_seen"] >= total)

    def _plan_cooldown(self, late: bool) -> None:
        """Sets in the state from which to which count of images the rates fall. Where hours end the
        run, its pace tells when, once it is `late`; a longer run that has cooled down warms up
        again.
        """
        state, total, share = self._state, self._schedule.images, self._config.cooldown
        if not share:
            return
        if total is not None:
            state["cooldown"] = [total * (1.0 - share), total]
        elif not late:
            state["cooldown"] = None
        elif state.get("cooldown") is None:
            state["cooldown"] = [state["images_seen"], state["images_seen"] / (1.0 - share)]

    def _rate_share(self) -> float:
        fall = self._state.get("cooldown")
        return cooled(self._state["images_seen"], *fall) if fall else 1.0

    def _snapshot_steps(self) -> int:
        """Returns the steps between snapshots; 0: the clock says when."""
        schedule = self._schedule
        if schedule.snapshot_images is not None:
            return max(1, round(schedule.snapshot_images / self._config.batch))
        return self._task.epoch_steps if schedule.snapshot_seconds is None else 0

    def _watch(self, means: Row, run_log: RunLog) -> None:
        """Logs once how far the run will come, and warns whenever something is wrong."""
        config, clock, seen = self._config, self._clock, self._state["images_seen"]
        if clock.here() >= forecast.SECONDS and not self._foretold:
            self._foretold = True
            rate = (seen - self._first) / clock.here()
            before = self._first / clock.before if clock.before >= forecast.SECONDS else 0.0
            if forecast.differ(rate, before):
                total = self._schedule.images
                left = clock.left() if total is None else (total - seen) / rate
                for line in forecast.forecast(seen, rate, left, datetime.now(), config.objective):
                    run_log.say(line)
        self._watched.append(means)
        self._warn(self._task.of_stats(self._watched), run_log)

    def _warn(self, faults: health.Faults, run_log: RunLog) -> None:
        for kind, text in faults.items():
            run_log.warn(kind, text)

    def _means(self) -> dict[str, float | int]:
        """Returns the mean statistics of the last few steps, which are then dropped."""
        self._check_losses()
        names = dict.fromkeys(name for stats in self._recent for name in stats)
        means = [torch.stack([s[name] for s in self._recent if name in s]).mean() for name in names]
        self._recent.clear()
        return dict(zip(names, self._run.ranks.mean(torch.stack(means)).tolist(), strict=True))

    def _check_losses(self) -> None:
        values = [value for stats in self._recent for value in stats.values()]
        if values and not self._run.ranks.mean(torch.stack(values).sum()).isfinite():
            raise DivergedError(f"a loss is not finite after {self._state['images_seen']:,} images")

    def _check_finite(self) -> None:
        """Checks, before anything is kept, the losses and what the last step has left."""
        self._check_losses()
        sound = all(bool(value.isfinite().all()) for value in self._networks.tensors().values())
        if self._run.ranks.any(not sound) == [True]:
            seen = self._state["images_seen"]
            raise DivergedError(f"a weight is not finite after {seen:,} images")

    def _new_log(self) -> RunLog:
        run = self._run
        if not run.ranks.first:
            return NullLog()
        return RunLog(run.folder, run.schedule.images, self._state["images_seen"], self._left)

    def _save(self) -> None:
        if not self._run.ranks.first:
            return
        # where hours do not count, how long it took is no part of a run
        if self._schedule.hours is not None or "seconds" in self._state:
            self._state["seconds"] = self._clock.spent()
        checkpoint.write_checkpoint(
            self._run.folder / "checkpoints",
            checkpoint.Checkpoint(self._networks.tensors(), self._state),
            self._schedule.keep,
        )

    def _snapshot(self, run_log: RunLog) -> None:
        """Writes the EMA as a model folder: always `last`, and `best` where its first metric says
        so.
        """
        run, state = self._run, self._state
        images_seen = state["images_seen"]
        taken = self._task.snapshot(images_seen)
        self._warn(taken.faults, run_log)
        start = time.monotonic()
        metrics = taken.measure(run_log.say)
        better = False
        if metrics:
            name, value = next(iter(metrics.items()))
            run_log.metrics(metrics)
            best = state["best"]
            # one of another protocol is no measure for this one; old checkpoints do not name theirs
            other = best is None or best.get("name", name) != name
            better = run.chooses and (other or is_better(name, value, best["figure"]))
            run_log.say(
                f"{images_seen:,} images: {name} {value:.3f}{', best so far' if better else ''} "
                f"(measured in {time.monotonic() - start:.1f} s)"
            )
            rows = read_rows(run.folder / METRICS)
            self._warn(self._task.of_metrics(rows, name), run_log)
        taken.write(run.folder / "last", metrics)
        if better:
            taken.write(run.folder / "best", metrics)
            state["best"] = {"name": name, "figure": value, "images_seen": images_seen}
        if time.monotonic() - self._drawn_at >= PLOT_SECONDS:
            draw_plots(run.folder, run_log.say)
            self._drawn_at = time.monotonic()


def _written(run: Run) -> str:
    """Says which model folders a run has, and which command uses them."""
    there = [name for name in ("best", "last") if (run.folder / name / run.product).is_file()]
    names = " and ".join(f"`{name}`" for name in there)
    why = "no snapshot was measured" if run.chooses else "the length of the run alone decides"
    only = "" if "best" in there else f"; no `best`, since {why}"
    return f"model folders in {run.folder}: {names}{only}"


def _newest(run: Run, warnings: list[str]) -> checkpoint.Checkpoint | None:
    """Reads the first process's newest sound checkpoint; adds to `warnings` what went wrong."""
    folder = run.folder / "checkpoints"
    first = run.ranks.first
    content = run.ranks.broadcast(checkpoint.newest_content(folder, warnings) if first else None)
    return None if content is None else checkpoint.parse_checkpoint(content)
