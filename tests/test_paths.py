"""Ways through latent space meet their ends bit for bit."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from model.latent_space.latents import sample_latents
from model.latent_space.paths import (
    EASES,
    MODES,
    Ease,
    Mode,
    default_mode,
    interpolate,
    lerp,
    plane,
    slerp,
)

KEYS = sample_latents([1, 2, 3], 100, "normal")


@pytest.mark.parametrize("between", [lerp, slerp])
def test_ways_end_where_they_should(between: Callable[..., NDArray[np.float32]]) -> None:
    a, b = KEYS[:2]
    assert np.allclose(between(a, b, 0.0), a, atol=1e-6)
    assert np.allclose(between(a, b, 1.0), b, atol=1e-6)


def test_slerp_keeps_the_length_and_turns_evenly() -> None:
    a, b = np.array([2, 0], np.float32), np.array([0, 2], np.float32)
    for t in (0.25, 0.5, 0.75):
        angle = t * np.pi / 2
        assert np.allclose(slerp(a, b, t), [2 * np.cos(angle), 2 * np.sin(angle)], atol=1e-6)


@pytest.mark.parametrize(
    "b", [[1, 2, 3], [-1, -2, -3], [0, 0, 0]], ids=["equal", "opposite", "origin"]
)
def test_slerp_without_a_circle_goes_straight(b: list[float]) -> None:
    a, end = np.array([1, 2, 3], np.float32), np.array(b, np.float32)
    assert np.allclose(slerp(a, end, 0.5), (a + end) / 2)


@pytest.mark.parametrize("ease", EASES)
@pytest.mark.parametrize("mode", MODES)
def test_path_meets_every_key_bit_for_bit(mode: Mode, ease: Ease) -> None:
    path = interpolate(KEYS, 9, mode, ease=ease)
    assert path.shape == (9, 100)
    for frame, key in ((0, 0), (4, 1), (8, 2)):
        assert np.array_equal(path[frame], KEYS[key])


@pytest.mark.parametrize("mode", MODES)
def test_loop_leads_back_to_the_first_key_without_showing_it_twice(mode: Mode) -> None:
    path = interpolate(KEYS, 12, mode, loop=True)
    for frame, key in ((0, 0), (4, 1), (8, 2)):
        assert np.array_equal(path[frame], KEYS[key])
    steps = np.linalg.norm(path - np.roll(path, 1, axis=0), axis=1)
    assert steps.min() > 0
    assert steps[0] < 2 * np.median(steps)


@pytest.mark.parametrize(
    ("ease", "quarter"), [("linear", 0.25), ("in", 0.0625), ("out", 0.4375), ("in-out", 0.15625)]
)
def test_ease_shapes_the_speed(ease: Ease, quarter: float) -> None:
    keys = np.array([[0.0], [1.0]], np.float32)
    assert interpolate(keys, 5, "lerp", ease=ease)[1, 0] == quarter


def test_spline_passes_a_key_without_a_bend_and_straight_keys_straight() -> None:
    path = interpolate(KEYS, 2001, "spline")
    before, after = path[1000] - path[999], path[1001] - path[1000]
    cosine = before @ after / (np.linalg.norm(before) * np.linalg.norm(after))
    assert cosine > 0.999
    corner = interpolate(KEYS, 2001, "lerp")
    before, after = corner[1000] - corner[999], corner[1001] - corner[1000]
    assert before @ after / (np.linalg.norm(before) * np.linalg.norm(after)) < 0.9
    straight = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
    assert np.allclose(interpolate(straight, 13, "spline")[4:9, 0], np.arange(4, 9) / 4)


@pytest.mark.parametrize(("keys", "frames"), [(1, 5), (3, 2)])
def test_path_needs_keys_and_frames(keys: int, frames: int) -> None:
    with pytest.raises(ValueError, match="allowed"):
        interpolate(np.zeros((keys, 4), np.float32), frames, "lerp")


@pytest.mark.parametrize("mode", ["lerp", "slerp"])
def test_plane_meets_its_corners_bit_for_bit_and_blends_both_ways(mode: Mode) -> None:
    corners = sample_latents([1, 2, 3, 4], 100, "normal")
    places = np.linspace(0, 1, 3)
    found = plane(corners, places, places, mode)
    assert found.shape == (9, 100)
    for place, corner in ((0, 0), (2, 1), (6, 2), (8, 3)):
        assert np.array_equal(found[place], corners[corner])
    if mode == "lerp":
        assert np.allclose(found[4], corners.mean(axis=0), atol=1e-6)


def test_default_way_follows_the_prior() -> None:
    assert (default_mode("normal"), default_mode("uniform")) == ("slerp", "lerp")
