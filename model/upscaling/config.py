"""The shape of an upscaler, without the network: serving asks where torch is not installed."""

from dataclasses import asdict, dataclass
from typing import Any

from model.integers.steps import MIDDLE, Convolution, Join, Pixels, Step
from model.networks.layers import Shapes, shapes_of

SCALES = (2, 4)  # that a network can have
PIXELS, JOINED = "pixels", "joined"  # maps of an integer upscaler


@dataclass(frozen=True, kw_only=True)
class UpscalerConfig:
    """Shape: 3x3 convolutions at the small side with ReLU between, a head for each scale.

    Source: Shi et al., "Real-Time Single Image Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network" (2016), with a straight way as in SRVGGNetCompact (Wang et al.,
    "Real-ESRGAN", 2021, its compact networks).
    """

    channels: int = 3  # 3: RGB, 1: grey
    width: int = 32  # channels between
    layers: int = 6  # convolutions between the first and the heads
    scales: tuple[int, ...] = SCALES

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}; allowed: 1 (grey) or 3 (RGB)")
        for name, most in (("width", 256), ("layers", 64)):
            if not 1 <= (value := getattr(self, name)) <= most:
                raise ValueError(f"{name} is {value}; allowed: 1 to {most}")
        if self.scales not in (SCALES, SCALES[:1], SCALES[1:]):
            raise ValueError(f"scales is {list(self.scales)}; allowed: [2, 4], [2] or [4]")

    @property
    def convolutions(self) -> list[str]:
        """Names of the layers that come before the heads, in their order."""
        return ["first", *(f"layers.{index}" for index in range(self.layers))]

    def shapes(self) -> Shapes:
        """Returns name and shape of each tensor, in the order of its layers."""
        shapes: Shapes = {}
        before = self.channels
        for name in self.convolutions:
            shapes |= shapes_of(name, self.width, before, 3, 3)
            before = self.width
        for scale in self.scales:
            shapes |= shapes_of(f"heads.{scale}", self.channels * scale**2, self.width, 3, 3)
        return shapes

    def steps(self, *scales: int) -> list[Step]:
        """Returns the steps of the network in integers, with the heads of these scales.

        A head reads the features and behind them the pixels, of which its weights take the one
        below each of its outputs: their sum is rounded once.
        """
        source = Pixels(PIXELS, f"{PIXELS}.bytes", self.channels, MIDDLE)
        steps: list[Step] = [source]
        x, inputs = source.target, self.channels
        for name in self.convolutions:
            target = f"{name}.bytes"
            steps.append(Convolution(name, x, target, self.width, inputs, 3, 1, 0))
            x, inputs = target, self.width
        inputs += self.channels
        steps.append(Join(x, source.target, JOINED, inputs))
        for scale in scales:
            name, target = f"heads.{scale}", f"heads.{scale}.bytes"
            steps.append(Convolution(name, JOINED, target, self.channels, inputs, 3, scale, 0))
        return steps

    def products(self, side: int, scale: int) -> int:
        """Counts the multiply-adds of enlarging a picture of `side` pixels per side."""
        used = [*self.convolutions, f"heads.{scale}"]
        out, into, height, width = 0, 1, 2, 3
        shapes = [self.shapes()[f"{name}.weight"] for name in used]
        return side**2 * sum(s[out] * s[into] * s[height] * s[width] for s in shapes)


def upscaler_to_dict(config: UpscalerConfig) -> dict[str, Any]:
    """Returns the form that travels in files."""
    return {"family": "upscaler"} | asdict(config) | {"scales": list(config.scales)}


def upscaler_from_dict(fields: dict[str, Any]) -> UpscalerConfig:
    """Inverts `upscaler_to_dict`.

    Raises:
        ValueError: another family, an unknown or missing field, or a value out of its range.
    """
    wanted = upscaler_to_dict(UpscalerConfig())
    if fields.keys() != wanted.keys():
        odd = min(fields.keys() ^ wanted.keys())
        raise ValueError(f"{'unknown' if odd in fields else 'missing'} field {odd!r}")
    if fields["family"] != wanted["family"]:
        raise ValueError(f"family is {fields['family']!r}; upscaler is wanted")
    scales = fields["scales"]
    values = [fields["channels"], fields["width"], fields["layers"]]
    if not isinstance(scales, list) or any(type(value) is not int for value in [*values, *scales]):
        raise ValueError("whole numbers are wanted, and a list of them as scales")
    channels, width, layers = values
    return UpscalerConfig(channels=channels, width=width, layers=layers, scales=tuple(scales))
