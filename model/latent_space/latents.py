"""Seeds to latents. A seed's latent depends on the seed and the prior alone: not on the device,
the batch or a library's version.

    seed -> Philox4x64-10, key (seed, 0), counter from 0 -> z_dim words of 64 bits -> prior
                                                         -> the word after them -> class

NumPy promises the raw words of a bit generator forever, but not what its distributions make of
them; the steps from a word to a number are therefore written out here, in double precision, and the
test vectors hold them.
"""

import hashlib
import threading
import unicodedata
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Prior = Literal["uniform", "normal"]
PRIORS: tuple[Prior, ...] = get_args(Prior)
SEED_LIMIT = 2**63  # seeds are whole numbers from 0 to SEED_LIMIT - 1
LARGEST_UNIT = 1.0 - 2.0**-53


class _Local(threading.local):
    """A bit generator per thread: resetting its state is much cheaper than making one per seed."""

    def __init__(self) -> None:
        self.philox = np.random.Philox(key=0)
        self.start = self.philox.state  # counter 0, key 0, nothing buffered
        self.key = self.start["state"]["key"]


_local = _Local()


def sample_latents(seeds: Sequence[int], z_dim: int, prior: Prior) -> NDArray[np.float32]:
    """Samples one latent per seed, (N, z_dim), float32: uniform on (-1, 1) or standard normal.

    Each seed has its own counter-based generator: a latent depends on its seed alone, not on its
    batch or device. Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (2011).

    Raises:
        ValueError: a seed is negative or not below SEED_LIMIT.
    """
    return _values(_words(seeds, z_dim), prior)


def sample_rows(
    seeds: Sequence[int], z_dim: int, prior: Prior, classes: int = 0, class_: int | None = None
) -> NDArray[np.float32]:
    """Samples rows of a generator's input, (N, z_dim + classes): each seed's latent, then a weight
    per class, 1 for one of them and 0 for the others.

    That class is the seed's own, as likely as any other, unless `class_` says which.

    Raises:
        ValueError: a seed is negative or not below SEED_LIMIT.
    """
    if classes == 0:
        return sample_latents(seeds, z_dim, prior)
    words = _words(seeds, z_dim + (class_ is None))
    rows = np.zeros((len(seeds), z_dim + classes), np.float32)
    rows[:, :z_dim] = _values(words[:, :z_dim], prior)
    own = _unit(words[:, z_dim]) * classes if class_ is None else class_
    rows[np.arange(len(seeds)), z_dim + np.asarray(own, np.int64)] = 1.0
    return rows


def _words(seeds: Sequence[int], count: int) -> NDArray[np.uint64]:
    words = np.empty((len(seeds), count), np.uint64)
    philox, start, key = _local.philox, _local.start, _local.key
    for row, seed in zip(words, seeds, strict=True):
        if not 0 <= seed < SEED_LIMIT:
            raise ValueError(f"seed is {seed}; allowed: 0 to {SEED_LIMIT - 1}")
        key[0] = seed
        philox.state = start
        row[:] = philox.random_raw(count)
    return words


def _values(words: NDArray[np.uint64], prior: Prior) -> NDArray[np.float32]:
    unit = _unit(words)
    values = 2.0 * unit - 1.0 if prior == "uniform" else _normal_quantile(unit)
    return values.astype(np.float32)


def _unit(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Returns the 53 upper bits at the middle of their interval: never 0, never 1."""
    unit: NDArray[np.float64] = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.minimum(unit, LARGEST_UNIT)  # the last middle has no float64 of its own


def has_controls(text: str) -> bool:
    """Returns whether it has control characters, halves of characters, or marks of lost ones: no
    name has, and no text that is a seed.
    """
    return any(unicodedata.category(c) in ("Cc", "Cs") or c == "\ufffd" for c in text)


def text_seed(text: str) -> int:
    """Returns the seed that a text stands for: the upper 63 bits of the SHA-256 of its NFC form in
    UTF-8, so that one name is one seed however its accents were typed.

    Raises:
        UnicodeEncodeError: the text holds half a character (a lone surrogate).
    """
    content = unicodedata.normalize("NFC", text).encode("utf-8")
    return int.from_bytes(hashlib.sha256(content).digest()[:8]) >> 1


def _pairs(above: tuple[float, ...], below: tuple[float, ...]) -> list[NDArray[np.float64]]:
    """Puts each two coefficients of the same power together, (2, 1, 1)."""
    return list(np.array([above, below]).T[:, :, None, None])


# Rational approximations of the normal quantile: Wichura, algorithm AS 241 (PPND16), Applied
# Statistics 37 (1988). Relative accuracy about 1e-16; coefficients from the highest power down.
_CENTRE = _pairs(
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_TAIL = _pairs(
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
     1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055,
     4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
     0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494,
     2.05319162663775882187, 1.0),
)  # fmt: skip
_FAR_TAIL = _pairs(
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386,
     0.026532189526576123093, 0.29656057182850489123, 1.7848265399172913358,
     5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5,
     7.868691311456132591e-4, 0.0148753612908506148525, 0.13692988092273580531,
     0.59983220655588793769, 1.0),
)  # fmt: skip

_LOG = (
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
    2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
    1.479819860511658591e-01,
)  # fmt: skip
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ROOT_OF_HALF = 0.70710678118654752440


def _normal_quantile(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = unit - 0.5
    centre = _ratio(_CENTRE, 0.180625 - centred * centred) * centred
    radius = np.sqrt(-_log(np.minimum(unit, 1.0 - unit)))
    tail = np.where(radius <= 5.0, _ratio(_TAIL, radius - 1.6), _ratio(_FAR_TAIL, radius - 5.0))
    return np.where(np.abs(centred) <= 0.425, centre, np.copysign(tail, centred))


def _ratio(pairs: list[NDArray[np.float64]], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divides two polynomials of x (N, M), computed at once."""
    both = pairs[0]
    for more in pairs[1:]:
        both = both * x + more
    quotient: NDArray[np.float64] = both[0] / both[1]
    return quotient


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Computes natural logarithms of normal numbers by operations that IEEE 754 rounds in one way
    each: a library's own differ in their last bits from one processor to the next.

    Source: FDLIBM's e_log.c, as musl orders its operations; its error is below one unit in the last
    place.
    """
    fraction, exponent = np.frexp(x)
    low = fraction < _ROOT_OF_HALF
    f = np.where(low, 2.0 * fraction, fraction) - 1.0
    k = exponent - low
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * (_LOG[1] + w * (_LOG[3] + w * _LOG[5]))
    even = z * (_LOG[0] + w * (_LOG[2] + w * (_LOG[4] + w * _LOG[6])))
    half = 0.5 * f * f
    value: NDArray[np.float64] = s * (half + (even + odd)) + k * _LN2_LOW - half + f + k * _LN2_HIGH
    return value
