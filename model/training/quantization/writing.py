"""The model folder of an integer generator, made of that of a trained one; and its upscaler.

model folder -> units -> training with the roundings in place -> model folder, both measured
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model import images
from model.devices import usable_cores
from model.generator_file import (
    CARD,
    COMPUTED,
    HISTORY,
    HISTORY_SHEET,
    SAMPLES,
    GeneratorFile,
    add_upscaler,
    read_generator_file,
    write_integer_file,
)
from model.samplers.onnx import OnnxSampler
from model.samplers.sampler import defined
from model.training.evaluation.measure import Metrics
from model.training.quantization.learning import FIRST_SEED, quantized
from model.training.quantization.upscaler import BATCH, CALIBRATED, quantized_upscaler
from model.training.run.card import description_of, model_card
from model.training.run.progress import to_stderr
from model.training.upscaling.card import section
from model.training.upscaling.export import section_of, write_section
from model.upscaling.onnx_upscaler import OnnxUpscaler
from model.upscaling.upscaler_file import UPSCALER, UpscalerFile, write_upscaler

CARD_SEEDS = 64
STEPS = 300
COMPARED = 1000  # pictures whose nearness to those in floats is measured
FIRST_COMPARED = 4_000_000  # the first one's seed
ENLARGED = 100  # pictures whose enlargements are compared


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
    """Writes the integer generator of a model folder into a new one, with samples, its card, its
    history and, if there is one, the upscaler in integers; `measure` is asked for the metrics of
    both folders. Returns what has been made of what, in words.

    Raises:
        NoIntegersError: its network has operations that have no integers.
        GeneratorFileError: it is an integer generator already, or cannot be read.
    """
    file = read_generator_file(folder)
    tensors = quantized(file, steps, seed, to_stderr)
    fields = file.config.model_dump(exclude={"format", "metrics", "name", "upscaler", *COMPUTED})
    fields |= {"name": name, "network": file.config.network}
    # golden pictures by the definition: no fault of a runtime gets into them
    write_integer_file(new, tensors, file.directions, "", defined, **fields)
    nearness = fidelity(file, read_generator_file(new))
    beside, own = measure(folder), measure(new)
    fields["metrics"] = own | {f"fidelity_psnr{COMPARED}": nearness}
    config = write_integer_file(new, tensors, file.directions, "", defined, **fields)
    pixels = OnnxSampler(read_generator_file(new))(config.rows(range(CARD_SEEDS)))
    Image.fromarray(images.tile(pixels, 16).squeeze()).save(new / SAMPLES)
    cost = f"Made of `{file.config.id}`, whose pictures it is to draw: {steps} steps."
    samples = f"Seeds 0 to {CARD_SEEDS - 1}, row by row."
    description = description_of((folder / CARD).read_text())
    (new / CARD).write_text(model_card(config, command, cost, samples, description, beside=beside))
    for history in (HISTORY, HISTORY_SHEET):
        if (folder / history).is_file():
            shutil.copyfile(folder / history, new / history)
    made = f"{config.id}, {nearness} dB from {file.config.id}"
    if file.upscaler is None:
        return made
    if file.upscaler.header.is_integer:
        add_upscaler(new, folder / UPSCALER)
        write_section(new, section_of(folder))
        return f"{made}; its upscaler is kept"
    told = write_integer_upscaler(file.upscaler, new, command=command, steps=steps, seed=seed)
    return f"{made}; {told}"


def write_integer_upscaler(
    floats: UpscalerFile,
    into: Path,
    *,
    command: str,
    steps: int = STEPS,
    seed: int = 0,
    measure: Callable[[UpscalerFile], dict[str, float]] = lambda file: {},
) -> str:
    """Writes an upscaler in integers into the folder of the generator whose pictures it enlarges,
    and into its card; `measure` is asked for more metrics than its nearness. Returns what has been
    made, in words.

    Raises:
        GeneratorFileError: it is one of integers already.
    """
    file = read_generator_file(into)
    first = FIRST_SEED + seed * 2**40
    rows = file.config.rows(range(first, first + CALIBRATED + steps * BATCH))
    sampler = OnnxSampler(file, usable_cores())
    tensors = quantized_upscaler(floats, sampler(rows), steps, to_stderr)
    fields = floats.header.model_dump(exclude={"format", "metrics", "tensors_sha256", "golden"})
    fields |= {"network": floats.header.network, "weights_dtype": "int8"}
    pixels = sampler(file.config.rows(range(FIRST_COMPARED, FIRST_COMPARED + ENLARGED)))
    with TemporaryDirectory() as place:
        made = write_upscaler(Path(place), tensors, OnnxUpscaler, **fields)
        one, other = (OnnxUpscaler(each, usable_cores()) for each in (floats, made))
        metrics = {
            f"fidelity_{scale}x_psnr{ENLARGED}": decibels(one(pixels, scale), other(pixels, scale))
            for scale in made.scales
        }
        fields["metrics"] = measure(made) | metrics
        made = write_upscaler(Path(place), tensors, OnnxUpscaler, **fields)
        add_upscaler(into, Path(place) / UPSCALER)
    cost = f"Made of upscaler `{floats.hash}`, whose enlargements it is to draw: {steps} steps."
    write_section(into, section(made, command, cost, floats.header.metrics))
    nearness = ", ".join(
        f"{value} dB at {scale}x"
        for scale, value in zip(made.scales, metrics.values(), strict=True)
    )
    return f"upscaler {made.hash}, {nearness} from {floats.hash}"


def fidelity(one: GeneratorFile, other: GeneratorFile) -> float:
    """Returns the nearness of two generators' pictures of the same seeds, in dB."""
    rows = one.config.rows(range(FIRST_COMPARED, FIRST_COMPARED + COMPARED))
    return decibels(*(OnnxSampler(file, usable_cores())(rows) for file in (one, other)))


def decibels(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Returns the nearness of pictures to others, over all of their values."""
    error = float(np.square(first.astype(np.float64) - second).mean())
    return round(float(10 * np.log10(255**2 / max(error, 1e-9))), 2)
