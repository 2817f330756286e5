"""A generator's layers as arrays, for runtimes that fold batch norm: in inference it is a scale and
a shift, and where a layer comes before it, that layer's weights can hold both.

    weights by name, from the model folder  ->  layers, scales and shifts alone, in NumPy
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-5  # batch norm's

Weights = dict[str, NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layer:
    """A dense layer's or a convolution's weight and bias, float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def shapes_of(name: str, *weight: int, bias: bool = True) -> Shapes:
    """Returns the shapes of a layer's tensors by name; `weight` starts with how many go out."""
    return {f"{name}.weight": weight} | ({f"{name}.bias": weight[:1]} if bias else {})


def rounded(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> Layer:
    """Makes a layer of what was computed in float64."""
    return Layer(np.ascontiguousarray(weight, np.float32), np.ascontiguousarray(bias, np.float32))


def scale_and_shift(
    weights: Weights, name: str, parts: tuple[str, str], statistics: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns batch norm's scale and shift, (C,), or (C, classes) where the parts are."""
    gain, offset = (weights[f"{name}.{part}"].astype(np.float64).T for part in parts)
    mean, variance = (
        weights[f"{statistics}.running_{part}"].astype(np.float64) for part in ("mean", "var")
    )
    scale = gain / np.sqrt(variance + EPSILON)
    return scale.T, (offset - mean * scale).T
