"""Paths through latent space: between two latents, along several, over a plane of four.

Every path meets its ends bit for bit: their pictures are the plain pictures.
"""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from model.latent_space.latents import Prior

Latent = NDArray[np.float32]  # (z_dim,)
Mode = Literal["lerp", "slerp", "spline"]
MODES: tuple[Mode, ...] = get_args(Mode)
Ease = Literal["linear", "in", "out", "in-out"]
EASES: tuple[Ease, ...] = get_args(Ease)

_EASE: dict[Ease, Callable[[float], float]] = {
    "linear": lambda t: t,
    "in": lambda t: t * t,
    "out": lambda t: t * (2 - t),
    "in-out": lambda t: t * t * (3 - 2 * t),
}


def default_mode(prior: Prior) -> Mode:
    """Returns what suits a prior: the arc for a normal one, the straight line for a uniform one,
    whose box is convex.
    """
    return "slerp" if prior == "normal" else "lerp"


def lerp(a: Latent, b: Latent, t: float) -> Latent:
    """Interpolates straight from a (t = 0) to b (t = 1)."""
    return (np.float32(1 - t) * a + np.float32(t) * b).astype(np.float32)


def slerp(a: Latent, b: Latent, t: float) -> Latent:
    """Interpolates along the great circle from a to b: a normal latent keeps its usual length.

    Source: White, "Sampling Generative Networks" (2016), section 2.1. Where there is no such
    circle, between parallel or opposite latents or from the origin, it falls back to `lerp`.
    """
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    if lengths < 1e-12:
        return lerp(a, b, t)
    angle = np.arccos(np.clip(float(np.dot(a, b)) / lengths, -1.0, 1.0))
    if np.sin(angle) < 1e-6:
        return lerp(a, b, t)
    weight_a, weight_b = np.sin((1 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle)
    return (np.float32(weight_a) * a + np.float32(weight_b) * b).astype(np.float32)


def interpolate_rows(
    keys: NDArray[np.float32],
    z_dim: int,
    frames: int,
    mode: Mode,
    *,
    loop: bool = False,
    ease: Ease = "linear",
) -> NDArray[np.float32]:
    """Interpolates rows (K, z_dim + classes) as `interpolate` does, class weights straight."""
    latents = interpolate(keys[:, :z_dim], frames, mode, loop=loop, ease=ease)
    classes = interpolate(keys[:, z_dim:], frames, "lerp", loop=loop, ease=ease)
    return np.concatenate([latents, classes], axis=1)


def interpolate(
    keys: NDArray[np.float32], frames: int, mode: Mode, *, loop: bool = False, ease: Ease = "linear"
) -> NDArray[np.float32]:
    """Makes `frames` latents along the keys (K, z_dim), which are spread evenly: (frames, z_dim).

    The first frame is the first key, and the last frame the last one. In a loop the way leads on,
    from the last key back to the first, which the frame after the last would meet again. `ease`
    shapes the speed between each key and the next. A spline (Catmull and Rom, "A Class of Local
    Interpolating Splines", 1974) passes every key without a bend.

    Raises:
        ValueError: fewer than two keys, or fewer frames than keys.
    """
    if len(keys) < 2 or frames < len(keys):
        raise ValueError(
            f"{frames} frames through {len(keys)} keys; allowed: 2 keys or more, frames >= keys"
        )
    count = len(keys)
    segments, steps = (count, frames) if loop else (count - 1, frames - 1)
    path = []
    for frame in range(frames):
        left, rest = divmod(frame * segments, steps)
        if rest == 0:
            path.append(keys[left % count])
        elif mode == "spline":
            path.append(_spline(keys, left, _EASE[ease](rest / steps), loop))
        else:
            between = slerp if mode == "slerp" else lerp
            path.append(between(keys[left], keys[(left + 1) % count], _EASE[ease](rest / steps)))
    return np.stack(path)


def _spline(keys: NDArray[np.float32], left: int, t: float, loop: bool) -> Latent:
    count = len(keys)
    places = [left - 1, left, left + 1, left + 2]
    # an open way goes on straight beyond its ends, as if each were there twice
    places = [p % count for p in places] if loop else [min(max(p, 0), count - 1) for p in places]
    before, a, b, after = keys[places].astype(np.float64)
    value = a + 0.5 * t * (
        b - before + t * (2 * before - 5 * a + 4 * b - after + t * (3 * (a - b) + after - before))
    )
    return np.asarray(value, np.float32)


def plane_rows(
    corners: NDArray[np.float32],
    z_dim: int,
    across: NDArray[np.float64],
    down: NDArray[np.float64],
    mode: Mode,
) -> NDArray[np.float32]:
    """Blends rows (4, z_dim + classes) as `plane` does; weights of classes are blended straight."""
    latents = plane(corners[:, :z_dim], across, down, mode)
    return np.concatenate([latents, plane(corners[:, z_dim:], across, down, "lerp")], axis=1)


def plane(
    corners: NDArray[np.float32], across: NDArray[np.float64], down: NDArray[np.float64], mode: Mode
) -> NDArray[np.float32]:
    """Makes the latents of a blend between four corners (4, z_dim): top left, top right, bottom
    left, bottom right; row by row, (len(down) * len(across), z_dim).

    `across` and `down` are places from 0 to 1; those of a corner give that corner bit for bit.
    """
    between = slerp if mode == "slerp" else lerp

    def blend(a: Latent, b: Latent, t: float) -> Latent:
        return a if t == 0.0 else b if t == 1.0 else between(a, b, t)

    top_left, top_right, bottom_left, bottom_right = corners
    return np.stack(
        [
            blend(blend(top_left, top_right, u), blend(bottom_left, bottom_right, u), v)
            for v in down
            for u in across
        ]
    )
