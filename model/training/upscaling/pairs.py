"""The batch of each step: small crops and what they were, a function of the configuration, the
pictures and the step's number alone.

    some pictures a step -> the latest of them -> reduced -> crops with content -> some degraded

A picture is reduced as a whole, by the filter of the `data` command, and cut afterwards.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.training.datasets.batches import stream
from model.training.evaluation.features import to_input
from model.training.upscaling.config import UpscaleConfig
from model.training.upscaling.pictures import Pictures, reduced

PICTURES, CROPS, DEGRADATION, GENERATED = range(100, 104)  # streams of random numbers
FRESH = 2  # pictures drawn anew each step
WINDOW = 64  # the latest pictures, from which a step cuts its crops
BLUR = 0.6  # pixels of the small side: standard deviation, at most
NOISE = 3.0  # levels, of 255: standard deviation, at most

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Pairs:
    """The input of one step, (N, C, H, W) in [-1, 1] on the networks' device."""

    small: Tensor
    large: dict[int, Tensor]  # by scale: what enlarging `small` should give
    clean: Tensor  # (N,) bool: not degraded
    generated: Tensor  # (M, C, H, W): inputs without truth; there may be none


@dataclass(frozen=True)
class _Picture:
    levels: dict[int, Pixels]  # by scale; 1 is the small picture
    content: NDArray[np.float32]  # (h, w): sum of differences between neighbours, of the small one


class PairBatches:
    """Deals the pairs of a run, or one share of each batch.

    A share is cut from the whole batch's random numbers: together the shares are that batch.
    """

    def __init__(
        self,
        config: UpscaleConfig,
        pictures: Pictures,
        device: torch.device,
        attempt: int = 0,
        share: slice = slice(None),
        generated: Pixels | None = None,
    ) -> None:
        self._config, self._pictures, self._device = config, pictures, device
        self._attempt, self._share = attempt, share
        self._crop = config.small_side
        self._window: dict[int, _Picture] = {}
        self._generated = generated

    def __call__(self, step: int) -> Pairs:
        """Returns the pairs of a step."""
        places = np.arange(FRESH * step, FRESH * step + WINDOW)
        self._window = {
            place: self._window[place] if place in self._window else self._picture(place)
            for place in places.tolist()
        }
        cuts = self._cuts(step, places)
        small = self._stacked([cut[1] for cut in cuts])
        small, clean = self._degraded(small, step)
        large = {
            scale: self._ordered(to_input(self._stacked([cut[scale] for cut in cuts])))
            for scale in self._config.network.scales
        }
        return Pairs(self._ordered(small), large, clean, self._ordered(self._unpaired(step)))

    def _picture(self, place: int) -> _Picture:
        picture = self._pictures.draw(self._stream(PICTURES, place))
        most = max(self._config.network.scales)
        levels = {
            scale: picture if scale == most else reduced(picture, len(picture) * scale // most)
            for scale in (1, *self._config.network.scales)
        }
        small = levels[1].astype(np.float32).mean(2)
        content = np.abs(np.diff(small, axis=0, append=small[-1:]))
        content += np.abs(np.diff(small, axis=1, append=small[:, -1:]))
        return _Picture(levels, content)

    def _cuts(self, step: int, places: NDArray[np.int64]) -> list[dict[int, Pixels]]:
        """Cuts this share's crops, of every scale."""
        config, crop = self._config, self._crop
        random = self._stream(CROPS, step)
        chosen = places[random.integers(WINDOW, size=config.batch)]
        room = self._window[places[0]].content.shape[0] - crop + 1
        corners = random.integers(room, size=(config.batch, config.candidates, 2))
        turned = random.random(config.batch) < 0.5
        cuts = []
        for index in range(config.batch)[self._share]:
            found = self._window[chosen[index]]
            top, left = max(
                corners[index].tolist(),
                key=lambda at: float(found.content[at[0] :, at[1] :][:crop, :crop].sum()),
            )
            cut = {
                scale: level[scale * top :, scale * left :][: scale * crop, : scale * crop]
                for scale, level in found.levels.items()
            }
            if config.mirror and turned[index]:
                cut = {scale: pixels[:, ::-1] for scale, pixels in cut.items()}
            cuts.append(cut)
        return cuts

    def _degraded(self, pixels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Blurs some of the pictures (N, H, W, C) and adds noise, as input to networks; returns
        too which were left as they are.
        """
        config = self._config
        random = self._stream(DEGRADATION, step)
        count, share = config.batch, self._share
        degraded = random.random(count)[share] < config.degraded
        spread = random.random(count, np.float32)[share] * BLUR
        strength = random.random(count, np.float32)[share] * NOISE
        noise = random.standard_normal((count, *pixels.shape[1:]), np.float32)[share]
        levels = pixels.permute(0, 3, 1, 2).float()
        where = torch.from_numpy(degraded).to(self._device)
        if degraded.any():
            side = np.exp(-1 / (2 * np.maximum(spread, 1e-3) ** 2)).astype(np.float32)
            worse = _blurred(levels, torch.from_numpy(side).to(self._device))
            scaled = noise.transpose(0, 3, 1, 2) * strength[:, None, None, None]
            worse = (worse + torch.from_numpy(scaled).to(self._device)).round().clamp(0, 255)
            levels = torch.where(where[:, None, None, None], worse, levels)
        return levels / 127.5 - 1, ~where

    def _unpaired(self, step: int) -> Tensor:
        """Cuts crops of a generator's pictures, half as many as there are pairs."""
        pictures, config, crop = self._generated, self._config, self._crop
        if pictures is None:
            return torch.empty(0, config.network.channels, crop, crop, device=self._device)
        random, count, share = self._stream(GENERATED, step), config.batch // 2, self._share
        chosen = random.integers(len(pictures), size=count)
        corners = random.integers(pictures.shape[1] - crop + 1, size=(count, 2))
        half = slice(*(end if end is None else end // 2 for end in (share.start, share.stop)))
        cuts = [
            pictures[chosen[at]][corners[at, 0] :, corners[at, 1] :][:crop, :crop]
            for at in range(count)[half]
        ]
        return to_input(self._stacked(cuts))

    def _stacked(self, cuts: list[Pixels]) -> Tensor:
        return torch.from_numpy(np.stack(cuts)).to(self._device)

    def _ordered(self, images: Tensor) -> Tensor:
        if self._config.channels_last:
            return images.contiguous(memory_format=torch.channels_last)
        return images

    def _stream(self, name: int, index: int) -> np.random.Generator:
        return stream(self._config.seed, name, index, self._attempt)


def _blurred(images: Tensor, side: Tensor) -> Tensor:
    """Blurs each image (N, C, H, W) by three weights a direction: 1 in the middle, `side` (N,)
    beside it.
    """
    weights = torch.stack([side, torch.ones_like(side), side], 1)
    weights = weights / weights.sum(1, keepdim=True)
    count, channels, height, width = images.shape
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    kernel = (weights[:, :, None] * weights[:, None, :])[:, None]
    kernel = kernel.repeat_interleave(channels, 0)
    flat = padded.reshape(1, count * channels, height + 2, width + 2)
    blurred = functional.conv2d(flat, kernel, groups=count * channels)
    return blurred.reshape(count, channels, height, width)
