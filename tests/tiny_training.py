"""The training commands with tiny presets, for tests that need a process of their own."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import torch

from model.networks.families.modulated import ModulatedConfig
from model.networks.families.sngan import SNGANConfig
from model.training import ema, train_step
from model.training.__main__ import main
from model.training.presets import PRESETS, Preset
from model.training.run import plots
from tests.conftest import TINY, draw_one_pixel

TINY_PRESET = replace(
    PRESETS["dcgan-mnist"], config=replace(PRESETS["dcgan-mnist"].config, network=TINY)
)
TINY_MODERN = replace(
    PRESETS["modern-32"],
    snapshot_images=960,
    config=replace(
        PRESETS["modern-32"].config,
        network=ModulatedConfig(
            z_dim=8,
            classes=10,
            resolution=32,
            channels=1,
            width=8,
            discriminator_width=8,
            code_dim=8,
        ),
        picture_side=28,
        batch=32,
        bf16=False,
        frozen_features=False,
        steady=600,
    ),
)
TINY_SEQUEL = replace(
    PRESETS["sagan-64"],
    snapshot_images=960,
    config=replace(
        PRESETS["sagan-64"].config,
        network=SNGANConfig(
            z_dim=8, classes=10, channels=1, width=32, discriminator_width=16, halved=1,
            attention=16, generator_spectral=1,
        ),
        picture_side=28,
        batch=32,
    ),
)  # fmt: skip
TINY_PRESETS: dict[str, Preset] = {
    "dcgan-mnist": TINY_PRESET,
    "modern-32": TINY_MODERN,
    "sagan-64": TINY_SEQUEL,
}


def tiny_main(arguments: list[str] | None = None) -> int:
    """Runs the command with the tiny presets, which gain nothing from a second thread, and as short
    as conftest.py makes runs.
    """
    torch.set_num_threads(1)
    PRESETS.update(TINY_PRESETS)
    plots._draw = draw_one_pixel
    ema.BATCH_NORM_LATENTS = ema.BATCH_NORM_BATCH
    # without the kink at the range of pixels, where one rounding decides between two gradients:
    # runs of several processes could be held to no figure
    train_step.BEYOND = 1.0
    return main(arguments)


def tiny_process(arguments: list[str], environment: dict[str, str] | None = None) -> NoReturn:
    """Returns the same as the whole of a process."""
    os.environ.update(environment or {})
    sys.exit(tiny_main(arguments))


def arguments_of(preset: str, digits: Path | str, outdir: Path, *more: str) -> list[str]:
    plain = ["train", "--preset", preset, "--data", str(digits), "--outdir", str(outdir)]
    return [*plain, "--device", "cpu", "--features", "none", "--batch", "32", *more]


def only_run(outdir: Path) -> Path:
    (run,) = outdir.glob("[0-9]*")
    return run


if __name__ == "__main__":
    sys.exit(tiny_main())
