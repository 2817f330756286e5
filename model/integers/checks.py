"""What the tensors of an integer generator must be, so that every runtime computes the same: sums
that are exact, pairs of products that no kernel saturates, and floats that stay finite and normal.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.integers.steps import (
    EXACT,
    LARGEST_FACTOR,
    LARGEST_WEIGHT,
    LEAST_BIAS,
    LEAST_FACTOR,
    Convolution,
    Dense,
    Quantize,
    Step,
    Tensors,
    zeros_of,
)


def check_integers(steps: Sequence[Step], tensors: Tensors) -> None:
    """Checks the values of tensors whose types and shapes are right.

    Raises:
        ValueError: some would not be computed alike everywhere; the message names the tensor.
    """
    zeros = zeros_of(steps, tensors)
    for step in steps:
        match step:
            case Dense():
                weight, scale, bias = (
                    tensors[f"{step.name}.{part}"] for part in ("weight", "scale", "bias")
                )
                _check_weight(f"{step.name}.weight", weight)
                _check_factor(f"{step.name}.scale", scale)
                size = np.abs(bias)
                if not ((size == 0) | ((size >= LEAST_BIAS) & (size <= LARGEST_FACTOR))).all():
                    raise ValueError(f"tensor {step.name}.bias holds values too large or too small")
                _check_sums(f"{step.name}.weight", 255 * np.abs(weight.astype(np.int64)).sum(1))
            case Convolution():
                weight, bias = (tensors[f"{step.name}.{part}"] for part in ("weight", "bias"))
                _check_weight(f"{step.name}.weight", weight)
                _check_factor(f"{step.name}.multiplier", tensors[f"{step.name}.multiplier"])
                sums = largest_sums(weight, zeros[step.source])
                _check_sums(f"{step.name}.weight", sums + np.abs(bias.astype(np.int64)))
            case Quantize() if step.scaled:
                unit = tensors[f"{step.name}.unit"]
                _check_factor(f"{step.name}.unit", unit)
                if np.frexp(unit)[0] != 0.5:
                    raise ValueError(f"tensor {step.name}.unit holds no power of two")


def largest_sums(weight: NDArray[Any], zero: int) -> NDArray[Any]:
    """Returns the largest magnitude that any part of a channel's sum can have, (outputs,), where
    `zero` is the byte that stands for 0.
    """
    flat = weight.astype(np.int64).reshape(len(weight), -1)
    positive, negative = flat.clip(min=0).sum(1), (-flat).clip(min=0).sum(1)
    above, below = 255 - zero, zero
    sums: NDArray[Any] = np.maximum(
        positive * above + negative * below, negative * above + positive * below
    )
    return sums


def _check_weight(name: str, weight: NDArray[Any]) -> None:
    if weight.min(initial=0) < -LARGEST_WEIGHT or weight.max(initial=0) > LARGEST_WEIGHT:
        raise ValueError(
            f"tensor {name} holds values beyond {LARGEST_WEIGHT}, whose products in pairs some "
            "processors cut off"
        )


def _check_factor(name: str, values: NDArray[Any]) -> None:
    if not ((values >= LEAST_FACTOR) & (values <= LARGEST_FACTOR)).all():
        raise ValueError(
            f"tensor {name} holds values out of {LEAST_FACTOR:g} to {LARGEST_FACTOR:g}"
        )


def _check_sums(name: str, sums: NDArray[Any]) -> None:
    if sums.max(initial=0) >= EXACT:
        raise ValueError(
            f"tensor {name}: sums reach {sums.max():,}; they are exact below {EXACT:,}"
        )
