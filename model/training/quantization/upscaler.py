"""From a trained upscaler to its integers, by the pictures that it is to enlarge.

upscaler in floats, pictures -> units -> training with the roundings in place -> tensors
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.images import HALF_RANGE
from model.integers.pytorch import Arithmetic
from model.integers.steps import LARGEST_WEIGHT, MIDDLE, Convolution, Join, Tensors
from model.integers.trace import Program
from model.networks.layers import Layer
from model.training.quantization.calibration import calibrate
from model.training.quantization.learning import learn
from model.training.quantization.quantizer import Quantizer, integers, limited
from model.training.run.progress import Say
from model.upscaling.pytorch import Upscaler, load_upscaler
from model.upscaling.upscaler_file import UpscalerFile

CALIBRATED = 128  # pictures whose values are looked at
BATCH = 2  # pictures of a step


class UpscalerQuantizer(Quantizer):
    """An upscaler that becomes integers: pixels in levels, features in units of their own."""

    def __init__(self, file: UpscalerFile) -> None:
        network, weights = file.header.network, file.weights
        steps = network.steps(*network.scales)
        convolutions = [step for step in steps if isinstance(step, Convolution)]
        layers = {
            step.name: Layer(weights[f"{step.name}.weight"], weights[f"{step.name}.bias"])
            for step in convolutions
        }
        first = convolutions[0]
        # the middle of [-1, 1] lies between two bytes
        lifted = (MIDDLE / HALF_RANGE - 1) * layers[first.name].weight.sum((1, 2, 3))
        layers[first.name] = Layer(layers[first.name].weight, layers[first.name].bias + lifted)
        for scale in network.scales:
            layer = layers[f"heads.{scale}"]
            order = np.arange(len(layer.bias)).reshape(-1, scale**2).T.ravel()
            layers[f"heads.{scale}"] = Layer(layer.weight[order], layer.bias[order])
        self._pixels = first.source
        alike = [(step.source, step.target) for step in steps if isinstance(step, Join)]
        super().__init__(Program(steps, layers, alike))

    def unit(self, value: str) -> Tensor:
        """Returns what 1 stands for in each channel of a value, of pixels in floats a level."""
        return torch.full((1,), 1 / HALF_RANGE) if value == self._pixels else super().unit(value)

    def _convolution(
        self, step: Convolution, arithmetic: Arithmetic
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns weight, bias and multiplier; a head's have the pixel below each output, times a
        whole number.
        """
        if step not in self.ends:
            return super()._convolution(step, arithmetic)
        weight, bias = self.layer(step.name)
        weight = weight * self.unit(step.source)[:, None, None] * HALF_RANGE
        below = (1 / self._scale(step, weight.detach())).floor().clamp(1, LARGEST_WEIGHT)
        whole = limited(weight * below[:, None, None, None], arithmetic)
        outputs, middle = torch.arange(step.outputs), step.kernel // 2
        pixels = torch.zeros(step.outputs, step.channels, step.kernel, step.kernel)
        pixels[outputs, outputs % step.channels, middle, middle] = below
        bias = arithmetic.whole(bias * HALF_RANGE * below)
        return torch.cat([whole, pixels], 1), bias, 1 / below

    def forward(self, rows: Tensor, arithmetic: Arithmetic) -> Tensor:
        """Enlarges pixels (N, C, H, W) by each scale to images about [-1, 1], all in one row of
        pixels (N, C, P).
        """
        values = self.values(rows, arithmetic)
        found = torch.cat([values[step.target].flatten(2) for step in self.ends], 2)
        return found / HALF_RANGE - 1


class _Teacher(nn.Module):
    def __init__(self, network: Upscaler) -> None:
        super().__init__()
        self._network = network

    def forward(self, rows: Tensor) -> Tensor:
        scales = list(self._network.config.scales)
        large = self._network.each(rows / HALF_RANGE - 1, scales)
        return torch.cat([found.flatten(2) for found in large], 2)


def quantized_upscaler(
    file: UpscalerFile, pixels: NDArray[np.uint8], steps: int, say: Say
) -> Tensors:
    """Makes the tensors of an integer upscaler, by pictures (N, H, W, C) of which the first
    CALIBRATED are looked at, and those behind them learnt from, BATCH a step.

    Raises:
        GeneratorFileError: it is an integer upscaler already.
    """
    quantizer = UpscalerQuantizer(file)
    rows = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))
    calibrate(quantizer, rows[:CALIBRATED])
    network = load_upscaler(file)
    assert isinstance(network, Upscaler)
    teacher = _Teacher(network).eval().requires_grad_(False)
    batches: Iterator[Tensor] = iter(torch.split(rows[CALIBRATED:], BATCH))
    learn(quantizer, teacher, batches, steps, say)
    return integers(quantizer)
