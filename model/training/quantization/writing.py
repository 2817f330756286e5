"""The model folder of an integer generator, made of that of a trained one.

model folder -> units -> training with the roundings in place -> model folder, both measured
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from model import images
from model.devices import usable_cores
from model.generator_file import (
    CARD,
    COMPUTED,
    SAMPLES,
    GeneratorFile,
    add_upscaler,
    read_generator_file,
    write_integer_file,
)
from model.samplers.onnx import OnnxSampler
from model.training.evaluation.measure import Metrics
from model.training.quantization.learning import quantized
from model.training.run.card import description_of, model_card
from model.training.run.progress import to_stderr
from model.training.upscaling.export import section_of, write_section
from model.upscaling.upscaler_file import UPSCALER

CARD_SEEDS = 64
STEPS = 300
COMPARED = 1000  # pictures whose nearness to those in floats is measured
FIRST_COMPARED = 4_000_000  # the first one's seed


def write_integers(
    folder: Path,
    new: Path,
    *,
    name: str,
    measure: Callable[[Path], Metrics],
    command: str,
    steps: int = STEPS,
    seed: int = 0,
) -> str:
    """Writes the integer generator of a model folder into a new one, with samples, its card and the
    upscaler, if there is one; `measure` is asked for the metrics of both folders. Returns what has
    been made of what, in words.

    Raises:
        NoIntegersError: its network has operations that have no integers.
        GeneratorFileError: it is an integer generator already, or cannot be read.
    """
    file = read_generator_file(folder)
    tensors = quantized(file, steps, seed, to_stderr)
    fields = file.config.model_dump(exclude={"format", "metrics", "name", "upscaler", *COMPUTED})
    fields |= {"name": name, "network": file.config.network}
    write_integer_file(new, tensors, file.directions, "", OnnxSampler, **fields)
    nearness = fidelity(file, read_generator_file(new))
    beside, own = measure(folder), measure(new)
    fields["metrics"] = own | {f"fidelity_psnr{COMPARED}": nearness}
    config = write_integer_file(new, tensors, file.directions, "", OnnxSampler, **fields)
    pixels = OnnxSampler(read_generator_file(new))(config.rows(range(CARD_SEEDS)))
    Image.fromarray(images.tile(pixels, 16).squeeze()).save(new / SAMPLES)
    cost = f"Made of `{file.config.id}`, whose pictures it is to draw: {steps} steps."
    samples = f"Seeds 0 to {CARD_SEEDS - 1}, row by row."
    description = description_of((folder / CARD).read_text())
    (new / CARD).write_text(model_card(config, command, cost, samples, description, beside=beside))
    if (folder / UPSCALER).is_file():
        add_upscaler(new, folder / UPSCALER)
        write_section(new, section_of(folder))
    return f"{config.id}, {nearness} dB from {file.config.id}"


def fidelity(one: GeneratorFile, other: GeneratorFile) -> float:
    """Returns the nearness of two generators' pictures of the same seeds, in dB."""
    rows = one.config.rows(range(FIRST_COMPARED, FIRST_COMPARED + COMPARED))
    first, second = (OnnxSampler(file, usable_cores())(rows) for file in (one, other))
    error = float(np.square(first.astype(np.float64) - second).mean())
    return round(float(10 * np.log10(255**2 / max(error, 1e-9))), 2)
