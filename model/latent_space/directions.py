"""Directions in latent space along which the pictures change most, found without any data.

    first layer's weight (out, z_dim)  ->  eigenvectors of its Gram matrix  ->  (count, z_dim)

Source: Shen and Zhou, "Closed-Form Factorization of Latent Semantics in GANs" (SeFa, 2021),
equation 5.
"""

import math

import numpy as np
from numpy.typing import NDArray

from model.latent_space.latents import Prior

DIRECTIONS = 8
DEVIATIONS: dict[Prior, float] = {"uniform": 3**-0.5, "normal": 1.0}  # per value of a latent


def closed_form_directions(weight: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Finds the unit vectors (count, z_dim) that a layer's weight (out, z_dim) stretches most, the
    strongest first; the value of each that is largest in magnitude is positive. No more than z_dim
    of them.
    """
    exact = weight.astype(np.float64)
    _, vectors = np.linalg.eigh(exact.T @ exact)
    strongest = vectors.T[::-1][:count]
    peaks = strongest[np.arange(len(strongest)), np.abs(strongest).argmax(axis=1)]
    directions: NDArray[np.float32] = (strongest * np.sign(peaks)[:, None]).astype(np.float32)
    return directions


def sensible_range(prior: Prior, z_dim: int) -> float:
    """Returns how far an edit may go either way: half the usual length of a latent, beyond which
    pictures leave what the generator knows.
    """
    return round(0.5 * DEVIATIONS[prior] * math.sqrt(z_dim), 1)
