"""Pixels and floats, back and forth."""

import numpy as np
import pytest
import torch

from model.images import crop_center, pad_to, tile, to_pixels
from model.training.evaluation.features import to_input


def test_scale_is_fixed_and_ends_are_exact() -> None:
    floats = np.array([-1, -0.5, 0, 0.5, 1], np.float32).reshape(1, 1, 1, 5)
    assert to_pixels(floats).ravel().tolist() == [0, 64, 128, 191, 255]


def test_values_beyond_the_range_are_cut() -> None:
    floats = np.array([-3, 3], np.float32).reshape(1, 1, 1, 2)
    assert to_pixels(floats).ravel().tolist() == [0, 255]


def test_every_pixel_value_survives_the_round_trip() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(to_pixels(to_input(torch.from_numpy(pixels)).numpy()), pixels)


def test_padding_is_minus_one_and_the_crop_takes_it_off() -> None:
    pixels = np.full((2, 28, 28, 1), 200, np.uint8)
    padded = pad_to(pixels, 32)
    assert padded.shape == (2, 32, 32, 1)
    floats = to_input(torch.from_numpy(padded)).numpy()
    assert (floats[:, :, :2] == -1).all()
    assert (floats[:, :, :, -2:] == -1).all()
    assert np.array_equal(crop_center(padded, 28), pixels)


def test_pictures_that_need_no_padding_are_not_copied() -> None:
    pixels = np.zeros((2, 32, 32, 3), np.uint8)
    assert pad_to(pixels, 32) is pixels


@pytest.mark.parametrize("side", [27, 29])
def test_padding_that_cannot_be_even_is_refused(side: int) -> None:
    with pytest.raises(ValueError, match="cannot be centred"):
        pad_to(np.zeros((1, 28, 28, 1), np.uint8), side)


def test_tiles_run_row_by_row_and_the_rest_is_black() -> None:
    pixels = np.stack([np.full((2, 3, 1), value, np.uint8) for value in (1, 2, 3)])
    sheet = tile(pixels, 2)
    assert sheet.shape == (4, 6, 1)
    assert sheet[::2, ::3, 0].tolist() == [[1, 2], [3, 0]]
