"""An upscaler on a CUDA device, by PyTorch in float32.

A library may choose another kernel for another batch shape, and with it other last bits: batches
have one size, short ones are filled up with zeros.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from model.images import HALF_RANGE
from model.samplers.cuda import keep_bits, to_pixels
from model.samplers.pytorch import resolve_device
from model.upscaling.pytorch import load_upscaler
from model.upscaling.upscaler_file import Upscale, UpscalerFile

TOGETHER = 8  # pictures of one batch


class TorchUpscaler:
    """An upscaler on a device of PyTorch's."""

    def __init__(self, file: UpscalerFile, device: torch.device) -> None:
        keep_bits()
        self._device, self._channels = device, file.header.network.channels
        self._network = load_upscaler(file).to(device).eval().requires_grad_(False)

    def __call__(self, pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
        """Enlarges square pictures (N, H, W, C); N is any number from 0."""
        count, side, _, channels = pixels.shape
        large = np.empty((count, scale * side, scale * side, self._channels), np.uint8)
        with torch.inference_mode():
            for start in range(0, count, TOGETHER):
                part = pixels[start : start + TOGETHER]
                batch = np.zeros((TOGETHER, side, side, channels), np.uint8)
                batch[: len(part)] = part
                images = torch.from_numpy(batch).to(self._device).permute(0, 3, 1, 2).contiguous()
                found = self._network(images.float() / HALF_RANGE - 1, scale)
                target = large[start : start + len(part)]
                target[:] = to_pixels(found, scale * side).cpu().numpy()[: len(part)]
        return large


def load_on_cuda(file: UpscalerFile, device: str) -> Upscale | None:
    """Loads an upscaler on a GPU; None where the device turns out to be the CPU.

    Raises:
        DeviceError: the device is unknown or not on this machine.
    """
    place = resolve_device(device)
    return TorchUpscaler(file, place) if place.type == "cuda" else None
