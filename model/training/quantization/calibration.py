"""The units of a generator's values, the bytes that stand for 0 and the range of weights: chosen
where the error of what is rounded is least, by the weights and the values that it meets.
"""

import torch
from torch import Tensor

from model.integers.steps import (
    LARGEST_WEIGHT,
    MIDDLE,
    Convolution,
    Dense,
    Look,
    Quantize,
)
from model.training.quantization.quantizer import TINY, Floats, Quantizer

SHARES = torch.linspace(
    0.3, 1.0, 15
)  # tried for what a byte or weight reaches of the largest value
CALIBRATED = 512  # pictures whose values are looked at
TOGETHER = 32  # the same at once
SAMPLED = 512  # values of a channel that are kept of those


@torch.no_grad()
def calibrate(quantizer: Quantizer, rows: Tensor) -> None:
    """Chooses units, the bytes that stand for 0 and the range of weights, by the values that rows
    lead to.
    """
    values = _sampled(quantizer, rows)
    outputs = [
        step
        for step in quantizer.steps
        if isinstance(step, Convolution) and step not in quantizer.ends
    ]
    for step in outputs:
        group = quantizer.group(step.target)
        like = [other.target for other in outputs if quantizer.group(other.target) == group]
        x = torch.cat([values[target] for target in like], 1)
        quantizer.set_unit(step.target, _best_units(x, step.zero)[0])
    for made in quantizer.steps:
        if isinstance(made, Look):
            quantizer.set_unit(made.source, _table_unit(values[made.source]))
        elif isinstance(made, Quantize):
            x = values[made.source]
            _choose_bytes(quantizer, made, x.relu() if made.cuts else x)
    for layer in quantizer.steps:
        if isinstance(layer, Convolution | Dense):
            weight = quantizer.layer(layer.name)[0]
            # pixels that are joined have weights of their own
            energy = values[layer.source].square().mean(1)[: weight.shape[1]]
            if isinstance(layer, Convolution):
                unit = quantizer.unit(layer.source)
                weight = (weight * unit[:, None, None]).flatten(1)
                energy = (energy / unit**2).repeat_interleave(layer.kernel**2)
            quantizer.shares[layer.name] = _best_shares(weight, energy)


def _sampled(quantizer: Quantizer, rows: Tensor) -> dict[str, Tensor]:
    """Returns some values of each channel, (C, n), of all that the steps make of rows."""
    tensors, found = quantizer.tensors(Floats()), dict[str, list[Tensor]]()
    for part in torch.split(rows, TOGETHER):
        for name, value in quantizer.values(part, Floats(), tensors).items():
            x = (value - quantizer.zeros.get(name, 0)).transpose(0, 1).flatten(1)
            found.setdefault(name, []).append(x[:, :: max(1, x.shape[1] // SAMPLED) | 1].clone())
    return {name: torch.cat(parts, 1) for name, parts in found.items()}


def _choose_bytes(quantizer: Quantizer, step: Quantize, x: Tensor) -> None:
    """Chooses the unit of a map's bytes and the one that stands for 0, by what the errors of its
    values (C, n) weigh in the convolutions that read it.
    """
    squares = [
        quantizer.layer(other.name)[0].square().sum((0, 2, 3))
        for other in quantizer.steps
        if isinstance(other, Convolution) and other.source == step.target
    ]
    weight = torch.stack(squares).sum(0)
    zeros = [0] if step.cuts else list(range(16, MIDDLE + 1, 16))
    if step.scaled:
        unit = quantizer.unit(step.source)[:, None]
        choices = [(power, zero) for power in range(-2, 4) for zero in zeros]
        errors = [_rounding_error(x, unit * 2.0**power, zero) @ weight for power, zero in choices]
        best = int(torch.stack(errors).argmin())
        quantizer.powers[step.target], quantizer.zeros[step.target] = choices[best]
        return
    found = [_best_units(x, zero) for zero in zeros]
    best = int(torch.stack([error @ weight for _, error in found]).argmin())
    quantizer.zeros[step.target] = zeros[best]
    quantizer.set_unit(step.target, found[best][0])


def _best_units(x: Tensor, zero: int) -> tuple[Tensor, Tensor]:
    """Finds for each channel of values (C, n) the unit of least error as bytes, and that error."""
    largest = (x.amax(1) / (255 - zero)).clamp(min=TINY)
    if zero:
        largest = torch.maximum(largest, -x.amin(1) / zero)
    errors = [_rounding_error(x, (largest * share)[:, None], zero) for share in SHARES]
    error, place = torch.stack(errors).min(0)
    return largest * SHARES[place], error


def _rounding_error(x: Tensor, unit: Tensor, zero: int) -> Tensor:
    """Returns the mean square error of each channel of values (C, n) as bytes."""
    return (((x / unit).round().clamp(-zero, 255 - zero) * unit - x) ** 2).mean(1)


def _best_shares(weight: Tensor, energy: Tensor) -> Tensor:
    """Finds for each output's weights (outputs, inputs) the share of the largest that the largest
    whole number stands for, of least error, where `energy` are mean squares of the inputs.
    """
    largest = weight.abs().amax(1, keepdim=True).clamp(min=TINY)
    errors = []
    for share in SHARES:
        unit = largest * share / LARGEST_WEIGHT
        whole = (weight / unit).round().clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT)
        errors.append((whole * unit - weight).square() @ energy)
    return SHARES[torch.stack(errors).argmin(0)]


def _table_unit(x: Tensor) -> Tensor:
    """Finds the unit of values before the tanh whose pixels are nearest to theirs, (1,)."""
    x = x.flatten()
    units = torch.linspace(1, 6, 51) / MIDDLE
    errors = []
    for unit in units:
        whole = (x / unit).round().clamp(-MIDDLE, 255 - MIDDLE)
        errors.append(((whole * unit).tanh() - x.tanh()).square().mean())
    return units[int(torch.stack(errors).argmin())][None]
