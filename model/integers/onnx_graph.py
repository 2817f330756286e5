"""An integer generator or upscaler as a serialised ONNX model: ONNX Runtime's kernels for bytes,
and operations in float32 that each round once.

    rows (N, input_dim) float32 -> steps, maps as (N, H, W, C) -> pixels (N, side, side, C) uint8
    pixels (N, H, W, C) uint8   -> the same                    -> large (N, h, w, C) uint8

Nothing here may be fused into something that rounds otherwise: multiplications and additions are
nodes of their own, and no bytes are made numbers by what belongs to a quantised operation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model.integers.steps import (
    LARGEST_WHOLE,
    LATENT_LIMIT,
    LATENT_STEP,
    Add,
    Bilinear,
    Center,
    Convolution,
    Dense,
    Join,
    Leaky,
    Look,
    Modulate,
    Pixels,
    Quantize,
    Step,
    Tensors,
    last_target,
    zeros_of,
)
from model.networks.graph import BILINEAR, LEAKY_SLOPE

OPSET, IR_VERSION = 17, 9
MICROSOFT = "com.microsoft"  # where ONNX Runtime has convolutions of (N, H, W, C)
# a convolution of other outputs or inputs than multiples of these takes longer than of more
WIDE, DEEP = 16, 4
VECTOR = np.array([0, 1, 1, -1], np.int64)
OFFSET = 2**23  # makes whole numbers of 24 bits positive


def integer_graph(steps: Sequence[Step], tensors: Tensors, input_dim: int, crop: int) -> bytes:
    """Serialises the model of an integer generator's steps."""
    return _Emitter(tensors, zeros_of(steps, tensors)).generator(steps, input_dim, crop)


def upscaler_graph(steps: Sequence[Step], tensors: Tensors) -> bytes:
    """Serialises the model of one scale of an integer upscaler, for pictures of any side."""
    return _Emitter(tensors, zeros_of(steps, tensors)).upscaler(steps)


class _Emitter:
    def __init__(self, tensors: Tensors, zeros: dict[str, int]) -> None:
        self._tensors, self._zeros = tensors, zeros
        self._nodes: list[Any] = []
        self._constants: dict[str, NDArray[Any]] = {}
        self._sides: dict[str, int] = {}  # pixels per side of each map, where they are known
        self._channels: dict[str, int] = {}
        # which of a map's channels each one in the graph is, or -1, where there are more of them
        self._places: dict[str, NDArray[np.int64]] = {}
        self._vectors: set[str] = set()  # that maps are multiplied by, (N, 1, 1, C)

    def generator(self, steps: Sequence[Step], input_dim: int, crop: int) -> bytes:
        for step in steps:
            if isinstance(step, Modulate):
                self._vectors |= {step.scale, step.shift}
        for step in steps:
            self._emit(step)
        last = last_target(steps)
        side, channels = self._sides[last], self._channels[last]
        margin = (side - crop) // 2
        self._put(
            "Identity" if not margin else "Slice",
            "pixels.served",
            last,
            *(
                []
                if not margin
                else [
                    np.full(2, margin, np.int64),
                    np.full(2, margin + crop, np.int64),
                    np.array([1, 2], np.int64),
                ]
            ),
        )
        rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["N", input_dim])
        pixels = _pictures("pixels", crop, crop, channels)
        return self._serialised("generator", rows, pixels)

    def upscaler(self, steps: Sequence[Step]) -> bytes:
        first = steps[0]
        assert isinstance(first, Pixels)
        for step in steps:
            self._emit(step)
        pixels = _pictures(first.source, "H", "W", first.channels)
        large = _pictures("large", "h", "w", self._channels[last_target(steps)])
        return self._serialised("upscaler", pixels, large)

    def _serialised(self, name: str, source: Any, target: Any) -> bytes:
        """Serialises the model whose last node gives what `target` describes."""
        self._nodes[-1].output[0] = target.name
        constants = [
            numpy_helper.from_array(value, name) for name, value in self._constants.items()
        ]
        graph = helper.make_graph(self._nodes, name, [source], [target], constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        content: bytes = model.SerializeToString()
        return content

    def _put(
        self, operation: str, target: str, *inputs: str | NDArray[Any], **attributes: Any
    ) -> str:
        """Adds a node, whose arrays become constants; returns its output's name."""
        names = []
        for place, value in enumerate(inputs):
            if isinstance(value, str):
                names.append(value)
            else:
                names.append(f"{target}.{operation}{place}")
                self._constants[names[-1]] = value
        self._nodes.append(helper.make_node(operation, names, [target], **attributes))
        return target

    def _know(self, target: str, source: str, side: int | None = None, channels: int = 0) -> None:
        if side or source in self._sides:
            self._sides[target] = side or self._sides[source]
        self._channels[target] = channels or self._channels[source]

    def _emit(self, step: Step) -> None:
        source, target = step.source, "" if isinstance(step, Dense) else step.target
        match step:
            case Dense():
                self._dense(step)
                return
            case Pixels():
                self._know(target, source, channels=step.channels)
                more = -step.channels % DEEP
                self._places[target] = np.append(np.arange(step.channels), np.full(more, -1))
                ends = np.array([0] * 7 + [more], np.int64)
                self._put("Pad", target, source, ends, np.array(0, np.uint8))
            case Join():
                before = self._places.get(source, np.arange(self._channels[source]))
                behind = self._places[step.other]
                behind = np.where(behind < 0, -1, behind + self._channels[source])
                self._know(target, source, channels=step.channels)
                self._places[target] = np.append(before, behind)
                self._put("Concat", target, source, step.other, axis=3)
            case Quantize():
                self._know(target, source)
                unit = self._tensors[f"{step.name}.unit"][0] if step.scaled else np.float32(1)
                zero = np.array(self._zeros[target], np.uint8)
                self._put("QuantizeLinear", target, source, np.array(unit), zero)
            case Convolution():
                self._convolution(step)
            case Center():
                self._know(target, source)
                one, zero = np.array(1, np.float32), np.array(step.zero, np.uint8)
                self._put("DequantizeLinear", target, source, one, zero)
            case Modulate():
                self._know(target, source)
                product = self._put("Mul", f"{target}.product", source, step.scale)
                self._put("Add", target, product, step.shift)
            case Leaky():
                if source in self._sides:
                    self._know(target, source)
                self._put("LeakyRelu", target, source, alpha=LEAKY_SLOPE)
            case Add():
                self._know(target, source)
                self._put("Add", target, source, step.other)
            case Bilinear():
                self._know(target, source, 2 * self._sides[source])
                sides = np.array([1, 2, 2, 1], np.float32)
                self._put("Resize", target, source, "", sides, **BILINEAR)
            case Look():
                self._know(target, source)
                places = self._put("Cast", f"{target}.places", source, to=TensorProto.INT32)
                table = self._tensors[f"{step.name}.table"]
                names = self._put("Gather", target, table, places)
                assert names == target

    def _dense(self, step: Dense) -> None:
        name = step.name
        weight, scale, bias = (
            self._tensors[f"{name}.{part}"] for part in ("weight", "scale", "bias")
        )
        order = np.concatenate(
            [_places(part.size, part.side) + start for part, start in _starts(step)]
        )
        weight, scale, bias = weight[order], scale[order], bias[order]
        x = self._put("Mul", f"{name}.steps", step.source, np.array(1 / LATENT_STEP, np.float32))
        x = self._put("Round", f"{name}.whole", x)
        bounds = [np.array(bound, np.float32) for bound in (-LATENT_LIMIT, LATENT_LIMIT)]
        x = self._put("Clip", f"{name}.cut", x, *bounds)
        x = self._put("Add", f"{name}.positive", x, np.array(OFFSET, np.float32))
        digits = np.array([2.0**-16, 2.0**-8, 1], np.float32)[:, None, None]
        x = self._put("Floor", f"{name}.shifted", self._put("Mul", f"{name}.shares", x, digits))
        x = self._put("Mod", f"{name}.digits", x, np.array(256, np.float32), fmod=1)
        x = self._put("Cast", f"{name}.bytes", x, to=TensorProto.UINT8)
        x = self._put("MatMulInteger", f"{name}.sums", x, np.ascontiguousarray(weight.T))
        x = self._put("Cast", f"{name}.floats", x, to=TensorProto.FLOAT)
        lifted = np.zeros((3, 1, len(scale)), np.float32)
        lifted[0, 0] = 128 * weight.astype(np.int64).sum(1)
        x = self._put("Sub", f"{name}.signed", x, lifted)
        factors = np.array([65536, 256, 1], np.float32)[:, None, None] * scale
        x = self._put("Mul", f"{name}.products", x, factors)
        places = [np.array(place, np.int64) for place in range(3)]
        high, middle, low = (
            self._put("Gather", f"{name}.digit{place}", x, place, axis=0) for place in places
        )
        x = self._put("Add", f"{name}.high", high, middle)
        x = self._put("Add", f"{name}.all", x, low)
        x = self._put("Add", f"{name}.values", x, bias)
        axis, flat = 1, [part.target for part in step.parts]
        if self._vectors.issuperset(flat):
            x, axis = self._put("Reshape", f"{name}.wide", x, VECTOR), 3
        else:
            flat = [f"{target}.flat" for target in flat]
        sizes = np.array([part.size for part in step.parts], np.int64)
        self._put("Split", f"{name}.split", x, sizes, axis=axis)
        self._nodes[-1].output[:] = flat
        for part, found in zip(step.parts, flat, strict=True):
            if part.side is not None:
                channels = part.size // part.side**2
                shape = np.array([-1, part.side, part.side, channels], np.int64)
                found = self._put("Round", f"{part.target}.whole", found)
                most = np.array(LARGEST_WHOLE, np.float32)
                found = self._put("Clip", f"{part.target}.cut", found, -most, most)
                self._put("Reshape", part.target, found, shape)
                self._know(part.target, "", part.side, channels)
            elif part.target in self._vectors and axis == 1:
                self._put("Reshape", part.target, found, VECTOR)
            elif axis == 1:
                self._put("Identity", part.target, found)

    def _convolution(self, step: Convolution) -> None:
        name, target, side = step.name, step.target, self._sides.get(step.source)
        weight, bias, multiplier = (
            self._tensors[f"{name}.{part}"] for part in ("weight", "bias", "multiplier")
        )
        if (places := self._places.get(step.source)) is not None:
            weight = np.where(places[:, None, None] < 0, 0, weight[:, places]).astype(np.int8)
        stride, factor = 1, step.factor
        narrow = factor == 1 and step.kernel == 3 and step.channels * 4 <= WIDE
        if narrow and side and side % 2 == 0:
            weight, stride, factor = in_squares(weight), 2, 2
            bias, multiplier = (np.tile(values, 4) for values in (bias, multiplier))
        squares, outputs = factor > 1, len(multiplier)
        if squares:
            more = -outputs % WIDE
            weight, bias, multiplier = (
                np.pad(values, [(0, more)] + [(0, 0)] * (values.ndim - 1))
                for values in (weight, bias, multiplier)
            )
            multiplier[outputs:] = 1
        found = f"{target}.four" if squares else target
        zeros = [np.array(zero, np.uint8) for zero in (self._zeros[step.source], step.zero)]
        one = np.array(1, np.float32)
        self._put(
            "QLinearConv", found, step.source, one, zeros[0], weight, multiplier,
            np.zeros(len(multiplier), np.int8), one, zeros[1], bias,
            domain=MICROSOFT, channels_last=1, kernel_shape=weight.shape[2:],
            pads=[step.padding] * 4, strides=[stride] * 2,
        )  # fmt: skip
        if len(multiplier) > outputs:
            first, last = (np.array([place], np.int64) for place in (0, outputs))
            found = self._put(
                "Slice", f"{target}.some", found, first, last, np.array([3], np.int64)
            )
        if squares and side is None:
            self._shuffle(step, found)
        elif squares:  # see reference.shuffled
            assert side is not None
            grid = side + 1 - step.kernel % 2 if step.factor == 2 else side // 2
            shape = np.array([-1, grid, grid, 2, 2 * step.channels], np.int64)
            x = self._put("Reshape", f"{target}.grid", found, shape)
            x = self._put("Transpose", f"{target}.lines", x, perm=[0, 1, 3, 2, 4])
            shape = np.array([-1, 2 * grid, 2 * grid, step.channels], np.int64)
            even = step.kernel % 2 == 0
            x = self._put("Reshape", f"{target}.whole" if even else target, x, shape)
            if even:
                bounds = np.full(2, 1, np.int64), np.full(2, 2 * side + 1, np.int64)
                self._put("Slice", target, x, *bounds, np.array([1, 2], np.int64))
            side *= step.factor
        self._know(target, "", side, step.channels)

    def _shuffle(self, step: Convolution, found: str) -> None:
        """Lays outputs out as squares, as `reference.shuffled`, in a map whose sides are not known;
        the kernel is odd.
        """
        target, factor, channels = step.target, step.factor, step.channels
        grid = np.array([0, 0, 0, factor, factor * channels], np.int64)  # 0: as it is
        x = self._put("Reshape", f"{target}.grid", found, grid)
        x = self._put("Transpose", f"{target}.lines", x, perm=[0, 1, 3, 2, 4])
        shape = self._put("Shape", f"{target}.small", step.source)
        times = np.array([1, factor, factor, 0], np.int64)
        shape = self._put("Mul", f"{target}.sides", shape, times)
        shape = self._put("Add", f"{target}.shape", shape, np.array([0, 0, 0, channels], np.int64))
        self._put("Reshape", target, x, shape)


def _pictures(name: str, height: int | str, width: int | str, channels: int) -> Any:
    """Describes pictures (N, H, W, C)."""
    return helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", height, width, channels])


def in_squares(weight: NDArray[np.int8]) -> NDArray[np.int8]:
    """Makes of a convolution of 3 x 3 with few outputs one of 4 x 4 of stride 2 with those of a
    square of two by two: the same sums, in fewer and fuller steps.
    """
    outputs, inputs, *_ = weight.shape
    found = np.zeros((2, 2, outputs, inputs, 4, 4), np.int8)
    for row in range(2):
        for column in range(2):
            found[row, column, :, :, row : row + 3, column : column + 3] = weight
    return found.reshape(4 * outputs, inputs, 4, 4)


def _starts(step: Dense) -> list[tuple[Any, int]]:
    starts, start = [], 0
    for part in step.parts:
        starts.append((part, start))
        start += part.size
    return starts


def _places(size: int, side: int | None) -> NDArray[np.int64]:
    """Returns the order that makes (H, W, C) of the outputs of a map, which are (C, H, W)."""
    places = np.arange(size)
    return places if side is None else places.reshape(-1, side, side).transpose(1, 2, 0).ravel()
