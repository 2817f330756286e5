"""The training loop: real pictures and a configuration in, checkpoints and generator files out.

    real, z -> one discriminator update -> two generator updates on the same z -> average -> log,
    grid, checkpoint

Everything random is a function of (seed, step): a resumed run draws what the unbroken one would
have drawn.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from model import images
from model.generator_file import write_generator_file
from model.latents import sample_latents
from model.networks.dcgan import Discriminator, Generator
from model.sampler import Sampler
from model.sampler_torch import generator_weights, plain_sampler
from model.training import checkpoint, ema, evaluate
from model.training.data import Dataset
from model.training.features import to_input
from model.training.journal import Journal
from model.training.losses import discriminator_loss, generator_loss
from model.training.presets import Schedule, TrainConfig
from model.training.run_folder import slug

GRID_SIDE = 6  # pictures; the grid shows seeds 0 to 35
LATENTS, ORDER, WEIGHTS = range(3)  # streams of random numbers

Stats = dict[str, Tensor]


class TrainingError(Exception):
    """The run cannot go on; the message says why."""


@dataclass
class Players:
    """Both networks, the average of one, and both optimisers: what a checkpoint holds."""

    generator: Generator
    discriminator: Discriminator
    average: Generator
    generator_optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the game, by name."""
        return {
            **checkpoint.pack("generator", self.generator.state_dict()),
            **checkpoint.pack("discriminator", self.discriminator.state_dict()),
            **checkpoint.pack("average", self.average.state_dict()),
            **checkpoint.pack_optimizer("generator_optimizer", self.generator_optimizer),
            **checkpoint.pack_optimizer("discriminator_optimizer", self.discriminator_optimizer),
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        self.generator.load_state_dict(checkpoint.unpack("generator", tensors))
        self.discriminator.load_state_dict(checkpoint.unpack("discriminator", tensors))
        self.average.load_state_dict(checkpoint.unpack("average", tensors))
        checkpoint.unpack_optimizer("generator_optimizer", tensors, self.generator_optimizer)
        checkpoint.unpack_optimizer(
            "discriminator_optimizer", tensors, self.discriminator_optimizer
        )


def new_players(config: TrainConfig, device: torch.device) -> Players:
    """The players before their first step, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(_random(config.seed, WEIGHTS, 0).integers(2**63)))
        generator = Generator(config.network).to(device)
        discriminator = Discriminator(config.network).to(device)

    def adam(network: nn.Module) -> torch.optim.Optimizer:
        rate, betas = config.learning_rate, config.betas
        return torch.optim.Adam(network.parameters(), rate, betas, eps=1e-8, fused=True)

    return Players(
        generator=generator,
        discriminator=discriminator,
        average=ema.slow_copy(generator),
        generator_optimizer=adam(generator),
        discriminator_optimizer=adam(discriminator),
    )


def train_step(players: Players, real: Tensor, z: Tensor, config: TrainConfig) -> Stats:
    """One discriminator update, then `generator_updates` of the generator on the same z.

    `real` (N, C, H, W) in [-1, 1] and `z` (N, z_dim) on the networks' device. Returns the two
    losses and the mean probabilities "real" given to real and to generated images, before the
    generator moved.
    """
    generator, discriminator = players.generator, players.discriminator
    autocast = torch.autocast(real.device.type, torch.bfloat16, enabled=config.bf16)

    discriminator.requires_grad_(True)
    with autocast:
        fake = generator(z)
        real_logits = discriminator(real).float()  # real and generated: separate batches
        fake_logits = discriminator(fake.detach()).float()
    loss_d = discriminator_loss(real_logits, fake_logits, config.label_smoothing)
    players.discriminator_optimizer.zero_grad()
    torch.autograd.backward(loss_d)
    players.discriminator_optimizer.step()

    discriminator.requires_grad_(False)
    for update in range(config.generator_updates):
        with autocast:
            if update > 0:  # before, the images drawn above still hold: the generator has not moved
                fake = generator(z)
            loss_g = generator_loss(discriminator(fake).float())
        players.generator_optimizer.zero_grad()
        torch.autograd.backward(loss_g)
        players.generator_optimizer.step()

    return {
        "loss_d": loss_d.detach(),
        "loss_g": loss_g.detach(),
        "d_real": real_logits.detach().sigmoid().mean(),
        "d_fake": fake_logits.detach().sigmoid().mean(),
    }


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: what is trained, on what, where it writes."""

    config: TrainConfig
    schedule: Schedule
    data: Dataset
    data_sha256: str
    real: evaluate.Reference | None  # None: no labels, so no extractor and no quality figure
    folder: Path
    device: torch.device


def train(run: Run, stop: Callable[[], bool]) -> bool:
    """Trains, from the newest sound checkpoint in the folder, until the schedule's end or until
    `stop()`.

    Returns whether the end was reached. Raises TrainingError where a loss is no longer finite.
    """
    config, schedule = run.config, run.schedule
    padded = images.pad_to(run.data.images, config.network.resolution)
    pixels = torch.from_numpy(padded).to(run.device)
    epoch_steps = len(run.data) // config.batch  # the last, partial batch is dropped
    if epoch_steps == 0:
        raise TrainingError(f"{len(run.data)} pictures are fewer than one batch of {config.batch}")

    players = new_players(config, run.device)
    state, warnings = _resume(run, players)
    step = state["images_seen"] // config.batch
    order_epoch, order = -1, np.empty(0, np.int64)

    with Journal(run.folder, schedule.images, state["images_seen"]) as journal:
        for warning in warnings:
            journal.say(warning)
        journal.say(
            f"{run.folder}: {'resuming' if step else 'starting'} at {state['images_seen']:,} images"
        )
        if step == 0:
            _grid(run, _fast_sampler(run, players), 0)
            _save_grid(run.folder / "reals.png", run.data.images[: GRID_SIDE**2])
            _save(run, players, state)
        saved_at = time.monotonic()
        recent: list[Stats] = []

        while step * config.batch < schedule.images:
            # data and latents of this step
            epoch, position = divmod(step, epoch_steps)
            if epoch != order_epoch:
                order_epoch = epoch
                order = _random(config.seed, ORDER, epoch).permutation(len(run.data))
            chosen = torch.from_numpy(order[position * config.batch :][: config.batch])
            real = to_input(pixels[chosen.to(run.device)])
            z = _latents(config, step).to(run.device)

            # one step of the game
            recent.append(train_step(players, real, z, config))
            step += 1
            images_seen = state["images_seen"] = step * config.batch
            keep = ema.decay(config.batch, images_seen, config.ema_half_life, config.ema_ramp)
            ema.update(players.average, players.generator, keep)
            journal.progress(images_seen)

            # looking up
            if step % schedule.log_steps == 0:
                row = _means(recent)
                recent.clear()
                if not all(math.isfinite(value) for value in row.values()):
                    raise TrainingError(
                        f"a loss is not finite after {images_seen:,} images; the run has diverged"
                    )
                journal.stats(row)
            if step % schedule.grid_steps == 0:
                _grid(run, _fast_sampler(run, players), images_seen)
            last = images_seen >= schedule.images
            if step % epoch_steps == 0 or last:
                _snapshot(run, players, state, journal)
            interrupted = not last and stop()
            due = time.monotonic() - saved_at >= schedule.checkpoint_seconds
            if due or last or interrupted or step % epoch_steps == 0:
                _save(run, players, state)
                saved_at = time.monotonic()
            if interrupted:
                journal.say(
                    f"stopped at {images_seen:,} images; the same command again goes on from here"
                )
                return False
        journal.say(
            f"done: {state['images_seen']:,} images; its generators are `best` and `last` "
            f"in {run.folder}"
        )
    return True


def _means(recent: list[Stats]) -> dict[str, float | int]:
    return {name: float(torch.stack([s[name] for s in recent]).mean()) for name in recent[0]}


def _random(seed: int, stream: int, index: int) -> np.random.Generator:
    return np.random.default_rng([seed, stream, index])


def _latents(config: TrainConfig, step: int) -> Tensor:
    """The latents of one step, (batch, z_dim)."""
    random, shape = _random(config.seed, LATENTS, step), (config.batch, config.network.z_dim)
    if config.prior == "uniform":
        return torch.from_numpy(random.random(shape, np.float32) * 2 - 1)
    return torch.from_numpy(random.standard_normal(shape, np.float32))


def _resume(run: Run, players: Players) -> tuple[dict[str, Any], list[str]]:
    """Loads the newest sound checkpoint into the players; returns its state and what went wrong on
    the way.
    """
    warnings = []
    for path in checkpoint.newest_first(run.folder / "checkpoints"):
        try:
            found = checkpoint.read_checkpoint(path)
        except checkpoint.CheckpointError as error:
            warnings.append(f"warning: {error}; trying the one before")
            continue
        players.load(found.tensors)
        return found.state, warnings
    return {"images_seen": 0, "best": None}, warnings


def _save(run: Run, players: Players, state: dict[str, Any]) -> None:
    checkpoint.write_checkpoint(
        run.folder / "checkpoints", checkpoint.Checkpoint(players.tensors(), state)
    )


def _snapshot(run: Run, players: Players, state: dict[str, Any], journal: Journal) -> None:
    """The averaged generator as a generator file: always `last`, and `best` where the quality
    figure says so.
    """
    generator = ema.with_own_statistics(players.average, run.config.prior)
    weights = generator_weights(generator)
    sampler = plain_sampler(generator, run.config.picture_side, run.device)
    images_seen = state["images_seen"]
    _grid(run, sampler, images_seen, prefix="average-")
    metrics: dict[str, float | int | list[int]] = {}
    better = False
    if run.real is not None:
        count = run.schedule.figure_images
        name, figure = evaluate.quality(sampler, run.config.prior, run.real, count)
        journal.metrics({name: figure})
        metrics[name] = figure
        better = state["best"] is None or figure < state["best"]["figure"]
        journal.say(
            f"{images_seen:,} images: {name} {figure:.3f}{' (best so far)' if better else ''}"
        )
    fields = {
        "name": slug(run.data.name),
        "preset": run.config.preset,
        "network": run.config.network,
        "prior": run.config.prior,
        "crop": run.config.picture_side,
        "data": {
            "name": run.data.name,
            "split": run.config.split,
            "images": len(run.data),
            "sha256": run.data_sha256,
        },
        "images_seen": images_seen,
        "metrics": metrics,
    }
    card = (
        f"# {run.config.preset}\n\nA snapshot after {images_seen:,} images, without a full card.\n"
    )
    write_generator_file(run.folder / "last", weights, card, **fields)
    if better:
        write_generator_file(run.folder / "best", weights, card, **fields)
        state["best"] = {"figure": figure, "images_seen": images_seen}


def _fast_sampler(run: Run, players: Players) -> Sampler:
    """The generator as it stands, without the average, in inference mode."""
    return plain_sampler(copy.deepcopy(players.generator), run.config.picture_side, run.device)


def _grid(run: Run, sampler: Sampler, images_seen: int, prefix: str = "") -> None:
    z = sample_latents(range(GRID_SIDE**2), sampler.z_dim, run.config.prior)
    _save_grid(run.folder / "grids" / f"{prefix}{images_seen:09d}.png", sampler(z))


def _save_grid(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(exist_ok=True)
    sheet = images.tile(pixels, GRID_SIDE)
    Image.fromarray(sheet.squeeze()).save(path)
