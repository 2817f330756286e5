"""What changes in the course of a run: pure functions of the images seen, so that a resumed run
goes on as the unbroken one would have.
"""

import math


def cosine(start: float, end: float, images_seen: float, burn_in: float) -> float:
    """From `start` at 0 to `end` at `burn_in` images, half a cosine, and `end` from there on."""
    if images_seen >= burn_in:
        return end
    return end + (start - end) * (1.0 + math.cos(math.pi * images_seen / burn_in)) / 2.0
