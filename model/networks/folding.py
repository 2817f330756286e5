"""Generators without batch norm: in inference it is a scale and a shift, and where a layer comes
before it, that layer's weights can hold both.

    weights by name, from the generator file  ->  layers, scales and shifts alone, in NumPy
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.networks.config import FIRST_SIDE, DCGANConfig, NetworkConfig

EPSILON = 1e-5  # batch norm's


@dataclass(frozen=True)
class Layer:
    """A dense layer's or a transposed convolution's weight and bias, float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def fold(config: NetworkConfig, weights: dict[str, NDArray[np.float32]]) -> list[Layer]:
    """Returns the dense layer (weight (out, z_dim)) and each transposed convolution (weight (in,
    out, 5, 5)).

    What followed a layer, y * scale + shift per channel, is folded into it: between two layers only
    a ReLU is left, after the last one the tanh. Computed in float64, rounded once.
    """
    assert isinstance(config, DCGANConfig)
    norms = [
        _scale_and_shift(weights, f"norms.{level}", ("weight", "bias"), f"norms.{level}")
        for level in range(config.doublings)
    ]
    scale, shift = (np.repeat(values, FIRST_SIDE**2) for values in norms[0])
    dense = weights["dense.weight"].astype(np.float64) * scale[:, None]
    layers = [_layer(dense, weights["dense.bias"] * scale + shift)]
    for level in range(config.doublings):
        weight = weights[f"upsamples.{level}.weight"].astype(np.float64)
        bias = weights[f"upsamples.{level}.bias"].astype(np.float64)
        if level + 1 < config.doublings:
            scale, shift = norms[level + 1]
            weight, bias = weight * scale[None, :, None, None], bias * scale + shift
        layers.append(_layer(weight, bias))
    return layers


def fold_class_norm(weights: dict[str, NDArray[np.float32]], name: str) -> Layer:
    """Returns what a norm of `sngan` does after training: x * weight + bias per channel, both (C,),
    or (C, classes), a column per class.
    """
    return _layer(*_scale_and_shift(weights, name, ("gain", "offset"), f"{name}.statistics"))


def fold_convolution(weights: dict[str, NDArray[np.float32]], name: str, norm: str) -> Layer:
    """Folds a convolution of `sngan` (weight (out, in, H, W)) and the norm without classes after it
    into one convolution.
    """
    scale, shift = _scale_and_shift(weights, norm, ("gain", "offset"), f"{norm}.statistics")
    weight = weights[f"{name}.weight"] * scale[:, None, None, None]
    return _layer(weight, weights[f"{name}.bias"] * scale + shift)


def fold_modulation(weights: dict[str, NDArray[np.float32]], name: str) -> tuple[Layer, Layer]:
    """Returns what a norm of `modulated` does after training: x * scale + shift per channel, both
    of them dense layers (weight (C, code_dim)) of a picture's code.
    """
    (gain, offset), (gain_bias, offset_bias) = (
        np.split(weights[f"{name}.modulation.{part}"].astype(np.float64), 2)
        for part in ("weight", "bias")
    )
    mean, variance = (
        weights[f"{name}.statistics.running_{part}"].astype(np.float64) for part in ("mean", "var")
    )
    inverse = 1.0 / np.sqrt(variance + EPSILON)
    scale, scale_bias = gain * inverse[:, None], (1.0 + gain_bias) * inverse
    shift, shift_bias = offset - scale * mean[:, None], offset_bias - scale_bias * mean
    return _layer(scale, scale_bias), _layer(shift, shift_bias)


def _scale_and_shift(
    weights: dict[str, NDArray[np.float32]], name: str, parts: tuple[str, str], statistics: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns batch norm's scale and shift, (C,), or (C, classes) where the parts are."""
    gain, offset = (weights[f"{name}.{part}"].astype(np.float64).T for part in parts)
    mean, variance = (
        weights[f"{statistics}.running_{part}"].astype(np.float64) for part in ("mean", "var")
    )
    scale = gain / np.sqrt(variance + EPSILON)
    return scale.T, (offset - mean * scale).T


def _layer(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> Layer:
    return Layer(np.ascontiguousarray(weight, np.float32), np.ascontiguousarray(bias, np.float32))
