"""The order of a set too large for a table: a permutation that is computed place by place.

A Feistel network over just enough bits to count the set, and cycle walking: what falls beyond
the set is permuted again until it does not (Black and Rogaway, "Ciphers with Arbitrary Finite
Domains", 2002).
"""

import numpy as np
from numpy.typing import NDArray

ROUNDS = 4  # each changes one of the halves


def permuted(
    places: NDArray[np.int64], count: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Returns where the permutation of [0, count) that `random` draws puts these places."""
    bits = max(2, (count - 1).bit_length())
    keys = random.integers(2**64, size=(ROUNDS, 2), dtype=np.uint64)
    found = _enciphered(places.astype(np.uint64), bits, keys)
    while len(beyond := np.flatnonzero(found >= count)):
        found[beyond] = _enciphered(found[beyond], bits, keys)
    return found.astype(np.int64)


def _enciphered(
    values: NDArray[np.uint64], bits: int, keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Permutes the values below 2 ** bits."""
    width = np.uint64(bits // 2)
    low_mask, high_mask = (np.uint64(2**b - 1) for b in (bits // 2, bits - bits // 2))
    high, low = values >> width, values & low_mask
    for of_high, of_low in keys:
        high = high ^ (_mixed(low, of_high) & high_mask)
        low = low ^ (_mixed(high, of_low) & low_mask)
    return (high << width) | low


def _mixed(values: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """Mixes all bits of the values and the key (the finaliser of SplitMix64)."""
    mixed = values ^ key
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
