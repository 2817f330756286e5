"""A network whose values lie where roundings part, for the start to draw: halves, and what one
rounding more or less makes a half of. Few values of a generator's pictures lie there, so that a
runtime which fuses a multiplication and an addition, or rounds halves otherwise, may draw the
pictures that a file remembers, and another one wrongly.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.integers.steps import LATENT_STEP, Dense, Tensors, tensors_of
from model.integers.trace import steps_of
from model.networks.families.modulated import ModulatedConfig

# every operation that rounds is in it
NETWORK = ModulatedConfig(z_dim=4, resolution=16, width=16, code_dim=8)
PICTURES = 16
SEED = 27  # tests/test_integer_rounding.py says what its values must show


def rows() -> NDArray[np.float32]:
    """Returns its inputs, (PICTURES, input_dim)."""
    whole = _random().integers(-300, 301, (PICTURES, NETWORK.input_dim))
    return whole.astype(np.float32) * np.float32(LATENT_STEP)


def tensors() -> Tensors:
    """Returns its tensors: few small weights, and one over 2, 4, 6 and so on wherever something is
    multiplied.
    """
    random, steps, found = _random(), steps_of(NETWORK), Tensors()
    vectors = {
        step.name: np.concatenate([np.full(part.size, part.side is None) for part in step.parts])
        for step in steps
        if isinstance(step, Dense)
    }
    for name, (dtype, shape) in tensors_of(steps).items():
        own, _, kind = name.rpartition(".")
        value: Any
        match kind:
            case "weight":
                share = 0.5 if own in vectors else 0.1
                value = random.integers(-3, 4, shape) * (random.random(shape) < share)
                if own in vectors:
                    value[vectors[own]] = 0  # a vector is its bias
            case "multiplier" | "scale":
                value = _shares(random, shape)
            case "bias" if own in vectors:
                value = random.integers(-9, 10, shape) * _shares(random, shape)
            case "bias":
                value = random.integers(-99, 100, shape)
            case "unit":
                value = np.ones(shape)
            case _:
                value = np.full(shape, 128)
        found[name] = value.astype(dtype)
    return found


def _random() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=SEED))


def _shares(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.float32(1) / (2 * random.integers(1, 12, shape)).astype(np.float32)
