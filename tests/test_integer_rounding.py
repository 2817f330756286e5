"""What a start refuses of a runtime that rounds integers otherwise than docs/integers.md says, and
why those files that ship do not meet what old processors do.

Faults are planted in a copy of the definition or of a graph.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from app.server import loading
from app.settings import Settings
from model.generator_file import GeneratorFile, read_generator_file, remembered
from model.generators import DEFAULT, ZOO, generator_folder
from model.integers import probe, reference
from model.integers.checks import check_integers
from model.integers.steps import LARGEST_WEIGHT, LATENT_LIMIT, LATENT_STEP, tensors_of
from model.integers.trace import steps_of
from model.pretrained import PretrainedGenerator
from model.samplers import onnx as onnx_sampler
from model.samplers import sampler as samplers
from model.samplers.onnx import OnnxSampler
from model.samplers.onnx_graph import onnx_graph
from model.samplers.pytorch import load_torch_sampler
from model.samplers.sampler import WrongPictureError, check_golden, check_rounding, defined
from model.training.__main__ import main
from model.upscaling.onnx_upscaler import upscaler_graph
from model.upscaling.runtimes import check_upscaler

Values = NDArray[Any]
SHIPPED = [
    folder for folder in sorted(ZOO.iterdir()) if read_generator_file(folder).config.is_integer
]
# what a graph may be made of: nothing that multiplies and adds floats in one
OPERATIONS = {
    *("QLinearConv", "MatMulInteger", "QuantizeLinear", "DequantizeLinear"),
    *("Add", "Sub", "Mul", "Mod", "Round", "Floor", "Clip", "LeakyRelu", "Resize", "Cast"),
    *("Concat", "Gather", "Identity", "Pad", "Reshape", "Shape", "Slice", "Split", "Transpose"),
}


@pytest.fixture(scope="module")
def avatars() -> GeneratorFile:
    return read_generator_file(generator_folder(DEFAULT))


class Planted:
    """Draws by the definition, with another function in the place of one of its own."""

    def __init__(self, file: GeneratorFile, name: str, function: Callable[..., Any]) -> None:
        self.input_dim = file.config.network.input_dim
        self._file, self._name, self._function = file, name, function

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        config, tensors = self._file.config, self._file.tensors
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reference, self._name, self._function)
            return reference.draw(steps_of(config.network), tensors, rows, config.crop)


# --- faults ---


def float32(x: Values) -> Values:
    return x.astype(np.float32)


def whole_sums(step: Any, tensors: Any, x: Values, zero: int) -> Values:
    """Adds a convolution up without its bias, (N, outputs, H, W), in float64."""
    weight = torch.from_numpy(tensors[f"{step.name}.weight"].astype(np.float64))
    maps = torch.from_numpy(x.astype(np.float64) - zero)
    return torch.nn.functional.conv2d(maps, weight, padding=step.padding).numpy()


def convolution(
    step: Any, tensors: Any, x: Values, zero: int, rounded: Callable[..., Values]
) -> Values:
    """Convolves, and makes bytes by `rounded` of: sums, bias, multiplier, zero."""
    bias, multiplier = (
        tensors[f"{step.name}.{part}"].astype(np.float64)[:, None, None]
        for part in ("bias", "multiplier")
    )
    found = rounded(whole_sums(step, tensors, x, zero), bias, multiplier, step.zero)
    return reference.shuffled(float32(np.clip(found, 0, 255)), step.kernel, step.factor)


def as_defined(sums: Values, bias: Values, multiplier: Values, zero: int) -> Values:
    return np.rint(float32(sums + bias) * float32(multiplier)) + zero


def in_float64(sums: Values, bias: Values, multiplier: Values, zero: int) -> Values:
    return np.rint((sums + bias) * multiplier) + zero


def fused_with_zero(sums: Values, bias: Values, multiplier: Values, zero: int) -> Values:
    return np.rint(float32((sums + bias) * multiplier + zero))


def bias_in_floats(sums: Values, bias: Values, multiplier: Values, zero: int) -> Values:
    return np.rint(float32(sums) * float32(multiplier) + float32(bias) * float32(multiplier)) + zero


def fused_with_bias(sums: Values, bias: Values, multiplier: Values, zero: int) -> Values:
    product = float32(bias) * float32(multiplier)
    return np.rint(float32(sums * multiplier + product.astype(np.float64))) + zero


def halves_up(sums: Values, bias: Values, multiplier: Values, zero: int) -> Values:
    return np.floor((float32(sums + bias) * float32(multiplier)).astype(np.float64) + 0.5) + zero


def by_shifts(sums: Values, bias: Values, multiplier: Values, zero: int) -> Values:
    """Rounds as gemmlowp: 31 bits of the multiplier, then a shift, rounded again."""
    share, exponent = np.frexp(multiplier)
    high = np.floor((sums + bias) * np.rint(share * 2.0**31) / 2.0**31 + 0.5)
    return np.floor(np.ldexp(high, exponent) + 0.5) + zero


def fused_dense(step: Any, tensors: Any, x: Values) -> Values:
    """Computes a dense layer whose products are added to the sum before they are rounded."""
    weight = tensors[f"{step.name}.weight"].astype(np.float64)
    scale, bias = (tensors[f"{step.name}.{part}"] for part in ("scale", "bias"))
    steps = np.rint(x / LATENT_STEP).clip(-LATENT_LIMIT, LATENT_LIMIT).astype(np.int32)
    found = np.zeros((len(x), len(scale)), np.float32)
    for digit, factor in ((steps >> 16, 65536), (steps >> 8 & 255, 256), (steps & 255, 1)):
        found = float32((digit @ weight.T) * (scale.astype(np.float64) * factor) + found)
    return found + bias


FAULTS = [
    *(
        pytest.param("convolution", partial(convolution, rounded=fault), id=fault.__name__)
        for fault in (in_float64, fused_with_zero, bias_in_floats, fused_with_bias, halves_up)
    ),
    pytest.param("convolution", partial(convolution, rounded=by_shifts), id="by_shifts"),
    pytest.param("dense", fused_dense, id="fused_dense"),
]


def fused_modulation(graph: bytes) -> bytes:
    """Fuses each multiplication and addition to a channel of a graph into one operation, rounded
    once: both in float64, which holds the product.
    """
    model = onnx.load_model_from_string(graph)
    outputs = {node.output[0] for node in model.graph.node}
    nodes, fused = [], {name for name in outputs if name.endswith(".product")}
    assert fused
    for node in model.graph.node:
        if fused.intersection([*node.input, *node.output]):
            for place, name in enumerate(node.input):
                if name not in fused:
                    node.input[place] = f"{node.output[0]}.{place}"
                    cast = [name], [node.input[place]]
                    nodes.append(helper.make_node("Cast", *cast, to=TensorProto.DOUBLE))
        nodes.append(node)
        if fused.intersection(node.input):
            target = node.output[0]
            node.output[0] = f"{target}.exact"
            cast = [node.output[0]], [target]
            nodes.append(helper.make_node("Cast", *cast, to=TensorProto.FLOAT))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    content: bytes = model.SerializeToString()
    return content


# --- refused ---

WHERE = r"so this runtime is wrong: [\d,]+ of [\d,]+ values, the first in picture \d+ at row"


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_a_runtime_that_rounds_otherwise_is_refused(
    avatars: GeneratorFile, name: str, fault: Callable[..., Any]
) -> None:
    with pytest.raises(WrongPictureError, match=f"not rounded as they must be.*{WHERE}"):
        check_rounding(partial(Planted, name=name, function=fault), avatars)


def test_a_graph_that_is_fused_is_refused(
    avatars: GeneratorFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_sampler, "onnx_graph", lambda file: fused_modulation(onnx_graph(file)))
    with pytest.raises(WrongPictureError, match=WHERE):
        check_rounding(OnnxSampler, avatars)


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(OnnxSampler, id="ONNX Runtime"),
        pytest.param(partial(OnnxSampler, threads=2), id="ONNX Runtime, two threads"),
        pytest.param(
            partial(load_torch_sampler, device="cpu", precision="fp32", threads=1), id="PyTorch"
        ),
        pytest.param(
            partial(Planted, name="convolution", function=partial(convolution, rounded=as_defined)),
            id="as defined",
        ),
    ],
)
def test_every_runtime_rounds_as_it_must(avatars: GeneratorFile, load: Any) -> None:
    check_rounding(load, avatars)


def test_the_start_draws_where_roundings_part_and_says_what_differs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, folder = Settings(device="cpu", max_batch=2), generator_folder(DEFAULT)
    loading.load(folder, settings)
    fault = partial(convolution, rounded=fused_with_bias)

    monkeypatch.setattr(
        samplers, "OnnxSampler", lambda file, _: Planted(file, "convolution", fault)
    )
    with pytest.raises(loading.START_ERRORS, match=WHERE):
        loading.load(folder, settings)


def test_a_wrong_runtime_draws_on_no_road_and_is_in_no_golden_pictures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = partial(convolution, rounded=fused_with_bias)
    monkeypatch.setattr(
        samplers, "OnnxSampler", lambda file, _: Planted(file, "convolution", fault)
    )
    with pytest.raises(WrongPictureError, match=WHERE):
        PretrainedGenerator.from_pretrained(str(generator_folder(DEFAULT))).generate([7])
    assert main(["generate", DEFAULT, "--seeds", "0-7", "--output", str(tmp_path / "of")]) == 2
    assert re.search(f"^error: .*{WHERE}", capsys.readouterr().err)


def test_golden_pictures_are_those_of_the_definition(avatars: GeneratorFile) -> None:
    assert remembered(defined(avatars), avatars.config).hex() == avatars.config.golden


def test_what_is_drawn_may_stand_in_a_file() -> None:
    steps, tensors = steps_of(probe.NETWORK), probe.tensors()
    assert {name: (str(one.dtype), one.shape) for name, one in tensors.items()} == tensors_of(steps)
    check_integers(steps, tensors)


def test_golden_pictures_that_differ_are_told_to_the_value(avatars: GeneratorFile) -> None:
    sampler = OnnxSampler(avatars)

    def off(rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        pixels = sampler(rows)
        pixels[3, 2, 5, 1] = 7
        return pixels

    off.input_dim = sampler.input_dim  # type: ignore[attr-defined]
    was = sampler(avatars.config.rows(range(16)))[3, 2, 5, 1]
    told = "1 of 196,608 values, the first in picture 3 at row 2, column 5, channel 1, which is 7"
    with pytest.raises(WrongPictureError, match=f"{told} and must be {was}"):
        check_golden(off, avatars, "fp32")  # type: ignore[arg-type]


def test_a_file_that_a_wrong_runtime_wrote_is_told_from_a_wrong_runtime(
    avatars: GeneratorFile,
) -> None:
    config = avatars.config.model_copy(update={"golden": "00" * 32})
    file = GeneratorFile(config, avatars.tensors, avatars.directions)
    with pytest.raises(WrongPictureError, match="the one that wrote the file did not"):
        check_golden(OnnxSampler(file), file, "fp32")


@pytest.mark.parametrize("fault", [in_float64, halves_up])
def test_an_upscaler_that_rounds_otherwise_is_refused(
    avatars: GeneratorFile, fault: Callable[..., Values]
) -> None:
    file = avatars.upscaler
    assert file is not None
    network, tensors = file.header.network, file.tensors

    def upscale(pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reference, "convolution", partial(convolution, rounded=fault))
            return reference.enlarge(network.steps(scale), tensors, pixels)

    with pytest.raises(WrongPictureError, match=f"byte for byte; 2x: .*{WHERE}"):
        check_upscaler(upscale, file, [1])


# --- sums of pairs that old processors cut to 16 bits ---


def cut_pairs(step: Any, tensors: Any, x: Values, zero: int) -> Values:
    """Convolves as processors without VNNI do: bytes times weights, neighbours in the order
    (kernel, kernel, C) added up in 16 bits, cut where they do not hold the sum.
    """
    weight = tensors[f"{step.name}.weight"]
    padding = [(0, 0), (0, 0)] + [(step.padding,) * 2] * 2
    padded = np.pad(x, padding, constant_values=zero).astype(np.int32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], (2, 3))
    ordered = windows.transpose(0, 2, 3, 4, 5, 1).reshape(*windows[:, 0, ..., 0, 0].shape, -1)
    flat = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1).astype(np.int32)
    even = flat.shape[1] // 2 * 2
    sums = ordered[..., even:] @ flat[:, even:].T
    for place in range(0, even, 2):
        pair = ordered[..., place : place + 2] @ flat[:, place : place + 2].T
        sums = sums + pair.clip(-(2**15), 2**15 - 1)
    sums = sums - zero * flat.sum(1)
    bias, multiplier = (
        tensors[f"{step.name}.{part}"].astype(np.float64)[:, None, None]
        for part in ("bias", "multiplier")
    )
    found = as_defined(sums.transpose(0, 3, 1, 2), bias, multiplier, step.zero)
    return reference.shuffled(float32(np.clip(found, 0, 255)), step.kernel, step.factor)


def test_cut_pairs_draw_the_same_and_larger_weights_would_not(avatars: GeneratorFile) -> None:
    rows = avatars.config.rows([0])
    wanted = OnnxSampler(avatars)(rows)
    assert np.array_equal(Planted(avatars, "convolution", cut_pairs)(rows), wanted)
    # twice the weights and half the multipliers are the same pictures, but in 16 bits
    factors = {"weight": np.int32(2), "bias": np.int32(2), "multiplier": np.float32(0.5)}
    larger = {
        name: value * factors[name.rpartition(".")[2]] if name.startswith("conv") else value
        for name, value in avatars.tensors.items()
    }
    file = GeneratorFile(avatars.config, larger, avatars.directions)
    whole = partial(convolution, rounded=as_defined)
    assert np.array_equal(Planted(file, "convolution", whole)(rows), wanted)
    with pytest.raises(WrongPictureError, match=WHERE):
        check_golden(Planted(file, "convolution", cut_pairs), file, "fp32")
    with pytest.raises(ValueError, match="whose products in pairs some processors cut off"):
        check_integers(steps_of(file.config.network), larger)


def graphs(file: GeneratorFile) -> list[onnx.ModelProto]:
    """Loads those of a generator and of its upscaler."""
    upscaler = file.upscaler
    more = [upscaler_graph(upscaler, scale) for scale in upscaler.scales] if upscaler else []
    return [onnx.load_model_from_string(graph) for graph in (onnx_graph(file), *more)]


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_no_graph_that_ships_fuses_or_fills_sixteen_bits(folder: Path) -> None:
    for model in graphs(read_generator_file(folder)):
        assert {node.op_type for node in model.graph.node} <= OPERATIONS
        constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
        places = {"QLinearConv": 3, "MatMulInteger": 1}
        weights = [
            constants[node.input[places[node.op_type]]]
            for node in model.graph.node
            if node.op_type in places
        ]
        assert len(weights) > 3
        for weight in weights:
            sizes = np.abs(weight.astype(int))
            assert weight.dtype == np.int8
            assert 2 * 255 * sizes.max() < 2**15
            assert sizes.max() > LARGEST_WEIGHT // 2  # they are used
