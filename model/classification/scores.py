"""What logits mean: scores of classes, and whether a picture is a real one.

logits (N, classes) float32 -> float64
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

ScoreName = Literal["softmax", "sigmoid", "none"]

Logits = NDArray[np.float32]
Scores = NDArray[np.float64]


def scores(logits: Logits, name: ScoreName) -> Scores:
    """Computes the score of each class, (N, classes): its probability where one of them is shown
    (softmax), where each may be (sigmoid), or the logit itself.
    """
    found = logits.astype(np.float64)
    if name == "softmax":
        powers = np.exp(found - found.max(1, keepdims=True))
        found = powers / powers.sum(1, keepdims=True)
    elif name == "sigmoid":
        found = _sigmoid(found)
    return found


def probability_real(logits: Logits) -> Scores:
    """Computes how probable it is that each picture is real and not generated, (N,), where the
    classifier was trained as a discriminator: the logistic function of the logsumexp of its logits.

    Source: Salimans et al., "Improved Techniques for Training GANs" (2016), section 5.
    """
    return _sigmoid(np.logaddexp.reduce(logits, 1, dtype=np.float64))


def _sigmoid(x: Scores) -> Scores:
    found: Scores = np.exp(-np.logaddexp(0, -x))
    return found
