"""Learning with the roundings in place: an integer generator that draws what the one in floats
does, as nearly as its bytes allow.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from model.generator_file import GeneratorFile
from model.integers.steps import Tensors
from model.integers.trace import program
from model.latent_space.latents import SEED_LIMIT
from model.samplers.pytorch import load_generator
from model.training.quantization.calibration import CALIBRATED, calibrate
from model.training.quantization.quantizer import Learning, Quantizer, integers
from model.training.run.progress import Progress, Say

BATCH = 8
RATES = {"weight": 3e-5, "bias": 3e-4, "unit": 1e-3}  # at the start; they fall to 0 in half a wave
FIRST_SEED = SEED_LIMIT // 2  # and after it: latents to learn from, which nobody measures with


def quantized(file: GeneratorFile, steps: int, seed: int, say: Say) -> Tensors:
    """Makes the tensors of an integer generator: the same ones for the same seed, on one machine.

    Raises:
        NoIntegersError: its network has operations that have no integers.
        GeneratorFileError: it is an integer generator already.
    """
    quantizer = Quantizer(program(file.config.network, file.weights))
    seeds = iter(range(FIRST_SEED + seed * 2**40, SEED_LIMIT))

    def rows(count: int) -> Tensor:
        return torch.from_numpy(file.config.rows([next(seeds) for _ in range(count)]))

    calibrate(quantizer, rows(CALIBRATED))
    teacher = load_generator(file).folded().eval().requires_grad_(False)
    learn(quantizer, teacher, (rows(BATCH) for _ in range(steps)), steps, say)
    return integers(quantizer)


def learn(
    quantizer: Quantizer, teacher: nn.Module, batches: Iterator[Tensor], steps: int, say: Say
) -> None:
    """Trains weights, biases and units to draw what the teacher draws of the same rows."""
    kinds: dict[str, list[nn.Parameter]] = {"unit": list(quantizer.units.values())}
    for name, parameter in quantizer.layers.items():
        kinds.setdefault(name.rpartition("_")[2], []).append(parameter)
    groups = [{"params": found, "lr": RATES[kind]} for kind, found in kinds.items()]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / max(1, steps))
    )
    arithmetic, progress = Learning(), Progress("learning with roundings", steps, say)
    for rows in batches:
        with torch.no_grad():
            wanted = teacher(rows).clamp(-1, 1)
        loss = (quantizer(rows, arithmetic).clamp(-1, 1) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress.done()
