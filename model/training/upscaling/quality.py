"""Quality of an upscaler, measured: held-out pictures reduced and enlarged again, beside what
enlarges without learning; and a generator's pictures, enlarged and reduced again.

Each metric's name holds its protocol: scale, method (none: the upscaler), number of pictures.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from model import images
from model.generator_file import read_generator_file
from model.generators import generator_folder
from model.metrics import Features, frechet_distance
from model.samplers.sampler import load_sampler
from model.training.datasets.dataset import Dataset
from model.training.datasets.held_out import every_tenth
from model.training.evaluation.feature_networks import SELFSUP, find_network
from model.training.evaluation.features import Extractor, to_input
from model.training.evaluation.measure import generate
from model.training.run.progress import Progress, Say, silent
from model.training.upscaling.pictures import Pictures, Pixels, reduced
from model.upscaling.upscaler_file import Upscale

METHODS = {
    "nearest": Image.Resampling.NEAREST,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
LEAST_ERROR = 1 / 12  # squared levels: that of rounding, below which no picture counts as better
PATCH = 64  # pixels per side of what the judge looks at
JUDGE_PATCHES = 12_000  # that it learns from and is tried with, at most
JUDGE_SEED = 0
FLAT = 20.0  # levels: patches of a smaller deviation teach it nothing


class PatchJudge:
    """Features of patches, by a self-supervised network that no upscaler learns from."""

    def __init__(self, network: Extractor) -> None:
        self._network = network
        self.name = network.name

    def __call__(self, pixels: Pixels) -> Features:
        """Returns features (N patches, D) of pictures (N, H, W, C) uint8."""
        return self._network(patches(pixels))[0]


def patch_judge(
    pictures: Pictures, outdir: Path, device: torch.device, say: Say, instead: str
) -> PatchJudge:
    """Loads the judge of these pictures that is kept in `outdir`, or trains it."""
    each = math.ceil(pictures.side / PATCH) ** 2
    count = min(JUDGE_PATCHES // each, max(pictures.count, 2))
    random = np.random.default_rng(JUDGE_SEED)
    drawn = np.concatenate([patches(pictures.draw(random)[None]) for _ in range(count)])
    varied = drawn[drawn.std((1, 2, 3)) >= FLAT]
    drawn = varied if len(varied) > 1 else drawn
    held_out = every_tenth(len(drawn))
    train, test = (
        Dataset(name=f"{pictures.name}-patches", images=drawn[which], labels=None)
        for which in (~held_out, held_out)
    )
    network = find_network(SELFSUP, outdir, train, test, device, say, instead)
    assert isinstance(network, Extractor)
    return PatchJudge(network)


def patches(pixels: Pixels) -> Pixels:
    """Cuts pictures (N, H, W, C) into as many patches (M, PATCH, PATCH, C) as cover them, which
    overlap where PATCH does not divide the sides.
    """
    rows, columns = (
        np.linspace(0, side - PATCH, -(-side // PATCH)).astype(int) for side in pixels.shape[1:3]
    )
    return np.concatenate(
        [pixels[:, top : top + PATCH, left : left + PATCH] for top in rows for left in columns]
    )


@dataclass
class Measure:
    """The pictures of a measurement; what does not depend on the upscaler is computed once."""

    held_out: Pixels  # (N, side, side, C)
    scales: tuple[int, ...]
    judge: PatchJudge | None = None  # None: no Frechet distance
    generated: Pixels | None = None  # (M, h, w, C), of a generator
    generator: str = ""  # its name
    frechet_first: bool = False  # whether the Frechet distance chooses the best of a run
    _levels: dict[int, Pixels] = field(default_factory=dict)

    def __call__(self, upscale: Upscale, say: Say = silent) -> dict[str, float]:
        """Measures an upscaler; the first metric is the one that chooses the best of a run."""
        if not len(self.held_out):
            return {}
        most, count = max(self.scales), thousands(len(self.held_out))
        found: dict[str, float] = {}
        progress = Progress("enlarging", len(self.scales) * len(self.held_out), say)
        for scale in sorted(self.scales, reverse=True):
            large = []
            for picture in self._level(1):
                large.append(upscale(picture[None], scale)[0])
                progress.done()
            enlarged = np.stack(large)
            found[f"psnr_{scale}x_test{count}"] = _mean_psnr(self._level(scale), enlarged)
            if self.judge is not None and scale == most:
                frechet = {self._frechet_name(): self._frechet(enlarged)}
                found = frechet | found if self.frechet_first else found | frechet
        if self.generated is not None:
            again = []
            for picture in self.generated:
                large = [upscale(picture[None], most)[0]]
                again.append(reduced(large[0], len(picture)))
            name = f"consistency_{most}x{thousands(len(again))}_{self.generator}"
            found[name] = _mean_psnr(self.generated, np.stack(again))
        return found | self.without_learning

    @cached_property
    def without_learning(self) -> dict[str, float]:
        """Measures what enlarges without learning by the same metrics."""
        most, count = max(self.scales), thousands(len(self.held_out))
        found: dict[str, float] = {}
        for scale in sorted(self.scales, reverse=True):
            for method in METHODS:
                large = np.stack([enlarged_by(method, one, scale) for one in self._level(1)])
                name = f"psnr_{scale}x_{method}_test{count}"
                found[name] = _mean_psnr(self._level(scale), large)
                if self.judge is not None and scale == most:
                    found[self._frechet_name(method)] = self._frechet(large)
        return found

    def _level(self, scale: int) -> Pixels:
        most = max(self.scales)
        if scale == most:
            return self.held_out
        if scale not in self._levels:
            side = self.held_out.shape[1] * scale // most
            self._levels[scale] = np.stack([reduced(one, side) for one in self.held_out])
        return self._levels[scale]

    def _frechet_name(self, method: str = "") -> str:
        assert self.judge is not None
        by, count = f"_{method}" if method else "", thousands(len(self.held_out))
        return f"frechet_{max(self.scales)}x{by}_test{count}_{self.judge.name}"

    @cached_property
    def _real(self) -> tuple[Features, Features]:
        assert self.judge is not None
        features = self.judge(self.held_out)
        unit = features.std(0) + np.float32(1e-6)
        return features / unit, unit

    def _frechet(self, enlarged: Pixels) -> float:
        assert self.judge is not None
        real, unit = self._real
        return round(frechet_distance(real, self.judge(enlarged) / unit), 4)


def enlarged_by(method: str, pixels: Pixels, scale: int) -> Pixels:
    """Enlarges a picture (H, W, C) by one of METHODS."""
    height, width, channels = pixels.shape
    size = width * scale, height * scale
    large = Image.fromarray(pixels.squeeze()).resize(size, METHODS[method])
    return np.asarray(large, np.uint8).reshape(size[1], size[0], channels)


def psnr(real: Pixels, other: Pixels) -> NDArray[np.float64]:
    """Returns the peak signal-to-noise ratio of each picture (N, H, W, C), in dB: over all values,
    no border cut; at most that of rounding.
    """
    difference = real.astype(np.float32) - other.astype(np.float32)
    error = np.square(difference).mean((1, 2, 3), dtype=np.float64)
    decibels: NDArray[np.float64] = 10 * np.log10(255**2 / np.maximum(error, LEAST_ERROR))
    return decibels


def upscale_by(network: nn.Module, device: torch.device) -> Upscale:
    """Returns what enlarges pictures uint8 by a network, in float32."""

    def upscale(pixels: Pixels, scale: int) -> Pixels:
        with torch.inference_mode():
            found = network(to_input(torch.tensor(pixels).to(device)), scale)
        return images.to_pixels(found.cpu().numpy())

    return upscale


def generated_pictures(name: str | None, device: str, count: int) -> Pixels | None:
    """Generates pictures of a generator by name or folder; None where none is named."""
    if name is None:
        return None
    file = read_generator_file(generator_folder(name))
    return generate(load_sampler(file, device), file.config.rows, count)


def thousands(count: int) -> str:
    """Writes a count as the names of metrics have it."""
    return f"{count // 1000}k" if count % 1000 == 0 else str(count)


def _mean_psnr(real: Pixels, other: Pixels) -> float:
    found = [psnr(real[at : at + 64], other[at : at + 64]) for at in range(0, len(real), 64)]
    return round(float(np.concatenate(found).mean()), 3)
