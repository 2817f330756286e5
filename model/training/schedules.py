"""What changes in the course of a run: pure functions of the images seen, so that a resumed run
goes on as the unbroken one would have.
"""

import math

COOLED = 0.1  # share of a rate, at the end of a cool-down


def cosine(start: float, end: float, images_seen: float, burn_in: float) -> float:
    """Goes from `start` at 0 to `end` at `burn_in` images by half a cosine, and stays there."""
    if images_seen >= burn_in:
        return end
    return end + (start - end) * (1.0 + math.cos(math.pi * images_seen / burn_in)) / 2.0


def inverse_root(images_seen: float, steady: float) -> float:
    """Returns 1 up to `steady` images, then one over the root of how many times as many have been
    seen: no end needs to be known, and a run can always go on.

    Source: Karras et al., "Analyzing and Improving the Training Dynamics of Diffusion Models"
    (EDM2, 2024), equation 67.
    """
    return min(1.0, math.sqrt(steady / max(images_seen, 1.0)))


def cooled(now: float, first: float, last: float) -> float:
    """Returns 1 up to `first`, then falls by equal ratios to a tenth at `last` and stays there."""
    progress = (now - first) / max(last - first, 1e-9)
    return float(COOLED ** min(1.0, max(0.0, progress)))
