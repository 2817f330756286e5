"""Integer upscalers: every runtime enlarges to the bytes of the definition, and files hold nothing
that one of them would compute otherwise.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load, save

from model.files import GeneratorFileError
from model.generator_file import CARD, CONFIG, WEIGHTS, read_generator_file
from model.integers import reference
from model.integers.checks import largest_sums
from model.integers.steps import EXACT, LARGEST_WEIGHT, Convolution
from model.samplers.sampler import WrongPictureError
from model.training.__main__ import main
from model.training.quantization import learning, upscaler, writing
from model.training.quantization.quantizer import Floats
from model.training.quantization.upscaler import UpscalerQuantizer, quantized_upscaler
from model.training.run.progress import silent
from model.upscaling.config import UpscalerConfig
from model.upscaling.cuda import TorchUpscaler
from model.upscaling.onnx_upscaler import OnnxUpscaler, upscaler_graph
from model.upscaling.pytorch import Upscaler, load_upscaler
from model.upscaling.runtimes import check_upscaler
from model.upscaling.upscaler_file import UPSCALER, Upscale, UpscalerFile, read_upscaler
from tests.conftest import (
    UPSCALER_OF_TESTS,
    give_upscaler,
    write_integer_upscaler,
    write_tiny_generator,
    write_tiny_residual,
    write_untrained_upscaler,
)

CPU = torch.device("cpu")
GREY = UpscalerConfig(channels=1, width=12, layers=1, scales=(4,))
CONFIGS = [pytest.param(UPSCALER_OF_TESTS, id="rgb"), pytest.param(GREY, id="grey")]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Looks at fewer pictures, of untrained generators."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "CALIBRATED", 16)
        for module in (upscaler, writing):
            patch.setattr(module, "CALIBRATED", 16)
        patch.setattr(writing, "COMPARED", 16)
        patch.setattr(writing, "ENLARGED", 4)
        yield


@pytest.fixture
def file(tmp_path: Path) -> UpscalerFile:
    return write_integer_upscaler(tmp_path)


def pictures(count: int, height: int = 16, width: int = 16, channels: int = 3) -> NDArray[np.uint8]:
    shape = (count, height, width, channels)
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)


def defined(file: UpscalerFile, pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Returns what docs/integers.md says."""
    return reference.enlarge(file.header.network.steps(scale), file.tensors, pixels)


def decibels(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / np.square(one.astype(float) - other).mean()))


@pytest.mark.parametrize("config", CONFIGS)
def test_every_runtime_enlarges_to_the_bytes_of_the_definition(
    tmp_path: Path, config: UpscalerConfig
) -> None:
    file, pixels = write_integer_upscaler(tmp_path, config), pictures(16, channels=config.channels)
    assert read_upscaler(tmp_path / UPSCALER).header == file.header
    ways: list[Upscale] = [
        OnnxUpscaler(file),
        OnnxUpscaler(file, threads=2),
        TorchUpscaler(file, CPU),
    ]
    for scale in file.scales:
        wanted = defined(file, pixels, scale)
        assert wanted.shape == (16, 16 * scale, 16 * scale, config.channels)
        assert wanted.std() > 5
        for upscale in ways:
            for size in (1, 3, 16):
                parts = [upscale(pixels[at : at + size], scale) for at in range(0, 16, size)]
                assert np.array_equal(np.concatenate(parts), wanted), (upscale, scale, size)
    oblong = pictures(2, 12, 20, config.channels)
    scale = file.scales[-1]
    assert np.array_equal(OnnxUpscaler(file)(oblong, scale), defined(file, oblong, scale))


def test_integers_enlarge_nearly_as_floats_do(tmp_path: Path) -> None:
    pixels = pictures(4)
    floats, file = write_untrained_upscaler(tmp_path), write_integer_upscaler(tmp_path)
    for scale in file.scales:
        wanted = OnnxUpscaler(floats)(pixels, scale)
        assert decibels(wanted, OnnxUpscaler(file)(pixels, scale)) > 34


def test_steps_without_roundings_are_the_upscaler(tmp_path: Path) -> None:
    floats = write_untrained_upscaler(tmp_path)
    network = load_upscaler(floats)
    assert isinstance(network, Upscaler)
    rows = torch.from_numpy(pictures(2).transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        found = UpscalerQuantizer(floats)(rows, Floats()).clamp(-1, 1)
        for image in network.each(rows / 127.5 - 1, list(floats.scales)):
            wanted, count = image.clamp(-1, 1).flatten(2), image[0, 0].numel()
            own, found = found[..., :count], found[..., count:]
            # beyond the border lies a byte, half a level beside the middle
            assert float((own - wanted).abs().mean()) < 1e-3


def test_nothing_learnt_is_nearest_neighbours_to_the_byte(tmp_path: Path) -> None:
    write_untrained_upscaler(tmp_path)
    file = write_integer_upscaler(tmp_path)
    for name, value in file.tensors.items():
        if name.startswith("heads."):
            value = value.copy()
            if name.endswith(".weight"):
                value[:, : UPSCALER_OF_TESTS.width] = 0
            file.tensors[name] = value * 0 if name.endswith(".bias") else value
    for scale in file.scales:
        pixels = pictures(2)
        near = pixels.repeat(scale, 1).repeat(scale, 2)
        assert np.array_equal(OnnxUpscaler(file)(pixels, scale), near)


def test_every_sum_is_exact_in_float32(file: UpscalerFile) -> None:
    for step in file.header.network.steps(*file.scales):
        if isinstance(step, Convolution):
            weight = file.tensors[f"{step.name}.weight"]
            bias = np.abs(file.tensors[f"{step.name}.bias"].astype(np.int64))
            assert (largest_sums(weight, 128) + bias < EXACT).all()
            assert np.abs(weight.astype(int)).max() <= LARGEST_WEIGHT


def test_the_same_pictures_give_the_same_integers(tmp_path: Path) -> None:
    floats = write_untrained_upscaler(tmp_path)
    one, again, other = (
        quantized_upscaler(floats, pictures(16 + count), 2, silent) for count in (4, 4, 2)
    )
    assert save(one) == save(again)
    assert save(one) != save(other)


def test_learning_with_roundings_brings_enlargements_nearer(tmp_path: Path) -> None:
    floats, pixels = write_untrained_upscaler(tmp_path), pictures(16 + 2 * 40)
    wanted = OnnxUpscaler(floats)(pixels[:16], 4)
    before, behind = (
        reference.enlarge(
            floats.header.network.steps(4),
            quantized_upscaler(floats, pixels, steps, silent),
            pixels[:16],
        )
        for steps in (0, 40)
    )
    assert decibels(wanted, behind) > decibels(wanted, before)


# --- what is not served ---


def off_by_one(upscale: OnnxUpscaler) -> Callable[..., NDArray[np.uint8]]:
    """Returns what differs in one level of one value."""

    def off(pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
        large = upscale(pixels, scale)
        large[-1, 0, 0, 0] ^= 1
        return large

    return off


def test_a_runtime_that_differs_by_one_level_is_not_served(file: UpscalerFile) -> None:
    upscale = OnnxUpscaler(file)
    check_upscaler(upscale, file, [1, 2, 3, 16])
    with pytest.raises(WrongPictureError, match="byte for byte"):
        check_upscaler(off_by_one(upscale), file, [1])


def rewritten(folder: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """Returns an upscaler's file with other tensors and another header, whose hash is right."""
    path = folder / UPSCALER
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["upscaler"])
    tensors = dict(load(content))
    change(tensors, header)
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.shape} {value.dtype}\n".encode())
        digest.update(value.tobytes())
    header["tensors_sha256"] = digest.hexdigest()
    path.write_bytes(save(tensors, {"upscaler": json.dumps(header)}))
    return path


def heavy(tensors: dict[str, Any], header: dict[str, Any]) -> None:
    tensors["first.weight"] = tensors["first.weight"] * 0 + np.int8(65)


def infinite(tensors: dict[str, Any], header: dict[str, Any]) -> None:
    tensors["heads.2.multiplier"] = tensors["heads.2.multiplier"] + np.float32(np.inf)


def tiny(tensors: dict[str, Any], header: dict[str, Any]) -> None:
    tensors["layers.0.multiplier"] = tensors["layers.0.multiplier"] * np.float32(2.0**-60)


def large(tensors: dict[str, Any], header: dict[str, Any]) -> None:
    tensors["heads.4.bias"] = tensors["heads.4.bias"] + np.int32(2**24)


def floating(tensors: dict[str, Any], header: dict[str, Any]) -> None:
    tensors["first.bias"] = tensors["first.bias"].astype(np.float16)


def unsaid(tensors: dict[str, Any], header: dict[str, Any]) -> None:
    del header["weights_dtype"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(heavy, "first.weight holds values beyond 64", id="weight"),
        pytest.param(infinite, "heads.2.multiplier holds values that are not finite", id="inf"),
        pytest.param(tiny, "layers.0.multiplier holds values out of", id="multiplier"),
        pytest.param(large, "heads.4.weight: sums reach", id="sum"),
        pytest.param(floating, r"first.bias is \(8,\) float16; \(8,\) int32", id="type"),
        pytest.param(unsaid, r"first.bias is \(8,\) int32; \(8,\) float16", id="floats"),
    ],
)
def test_a_file_that_not_every_runtime_computes_alike_is_refused(
    file: UpscalerFile, tmp_path: Path, change: Any, message: str
) -> None:
    with pytest.raises(GeneratorFileError, match=message):
        read_upscaler(rewritten(tmp_path, change))


def test_any_change_of_a_byte_is_noticed(file: UpscalerFile, tmp_path: Path) -> None:
    content = (tmp_path / UPSCALER).read_bytes()
    folder = give_upscaler(write_tiny_residual(tmp_path / "pets"), write=write_integer_upscaler)
    for place in (3, 40, len(content) // 2, len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 1
        (folder / UPSCALER).write_bytes(damaged)
        with pytest.raises(GeneratorFileError, match=UPSCALER):
            read_generator_file(folder)


def test_an_integer_upscaler_is_not_made_integers_or_trained_from(
    file: UpscalerFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(GeneratorFileError, match="is one of integers"):
        quantized_upscaler(file, pictures(16), 0, silent)
    data = large_pictures(tmp_path / "large", 3)
    words = ["--data", str(data), "--outdir", str(tmp_path / "runs"), "--dry-run"]
    assert main(["train", "--preset", "upscale-4x", "--from", str(tmp_path), *words]) == 2
    assert "is an integer upscaler: nothing is trained from it" in capsys.readouterr().err


# --- quantize ---


def test_quantize_makes_the_upscaler_too_and_into_makes_it_alone(tmp_path: Path) -> None:
    floats = give_upscaler(write_tiny_residual(tmp_path / "pets"))
    output, steps = tmp_path / "pets-int8", ["--steps", "2"]
    assert main(["quantize", str(floats), "--output", str(output), *steps]) == 0
    made = read_generator_file(output)
    assert made.upscaler is not None
    assert made.upscaler.header.is_integer
    card = (output / CARD).read_text()
    assert "| weights | 8-bit integers: the same bytes on every machine |" in card
    assert f"`{made.upscaler.sha256}`" in card
    assert f"`{read_upscaler(floats / UPSCALER).hash}`" in card
    fidelity = f"fidelity_4x_psnr{writing.ENLARGED}"
    assert f"| `{fidelity}` | {made.upscaler.header.metrics[fidelity]:g} |" in card

    weights = (output / WEIGHTS).read_bytes()
    give_upscaler(output)  # one in floats again
    assert main(["quantize", str(floats), "--into", str(output), *steps]) == 0
    again = read_generator_file(output)
    assert again.config == made.config
    assert again.upscaler is not None
    assert again.upscaler.sha256 == made.upscaler.sha256
    assert (output / WEIGHTS).read_bytes() == weights
    assert (output / CARD).read_text().count("## Upscaler") == 1
    assert json.loads((output / CONFIG).read_text())["upscaler"] == made.upscaler.sha256


def large_pictures(folder: Path, count: int) -> Path:
    """Returns a folder of pictures that an upscaler can be measured with and learn from."""
    folder.mkdir()
    for place, pixels in enumerate(pictures(count, 128, 128)):
        Image.fromarray(pixels).save(folder / f"{place}.png")
    return folder


def test_into_measures_the_upscaler_with_larger_pictures(tmp_path: Path) -> None:
    floats = give_upscaler(write_tiny_residual(tmp_path / "pets"))
    data, output = large_pictures(tmp_path / "large", 20), tmp_path / "int8"
    words = ["--steps", "0", "--data", str(data), "--features", "none"]
    assert main(["quantize", str(floats), "--output", str(output), "--steps", "0"]) == 0
    assert main(["quantize", str(floats), "--into", str(output), *words]) == 0
    metrics = read_upscaler(output / UPSCALER).header.metrics
    assert {"psnr_4x_test2", "psnr_2x_test2", "consistency_4x2_int8"} <= metrics.keys()
    assert f"fidelity_4x_psnr{writing.ENLARGED}" in metrics


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param("pets --into pets", "no integer generator", id="floats"),
        pytest.param("bare --into int8", "has no upscaler", id="none"),
        pytest.param("pets --into int8 --name x", "--name is for a new model folder", id="name"),
        pytest.param("pets --into int8 --force", "--force is for a new model folder", id="force"),
        pytest.param("whole --into int8", "is one of integers", id="integers"),
        pytest.param("pets --into int8 --images 300", "--images is for measuring", id="unmeasured"),
    ],
)
def test_into_refuses_what_it_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    bare = write_tiny_residual(tmp_path / "bare")
    give_upscaler(Path(shutil.copytree(bare, tmp_path / "pets")))
    give_upscaler(Path(shutil.copytree(bare, tmp_path / "whole")), write=write_integer_upscaler)
    assert main(["quantize", str(bare), "--output", str(tmp_path / "int8"), "--steps", "0"]) == 0
    before = sorted((one.name, one.read_bytes()) for one in (tmp_path / "int8").iterdir())
    source, option, into, *more = words.split()
    capsys.readouterr()
    assert main(["quantize", str(tmp_path / source), option, str(tmp_path / into), *more]) == 2
    assert message in capsys.readouterr().err
    assert sorted((one.name, one.read_bytes()) for one in (tmp_path / "int8").iterdir()) == before


def test_into_refuses_a_generator_of_other_channels_before_it_learns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey, whole = write_tiny_generator(tmp_path / "grey"), str(tmp_path / "whole")
    give_upscaler(write_tiny_residual(tmp_path / "pets"))
    assert main(["quantize", str(grey), "--output", whole, "--steps", "0"]) == 0
    assert main(["quantize", str(tmp_path / "pets"), "--into", whole]) == 2
    said = capsys.readouterr().err
    assert "for pictures of 3 channels; those of whole have 1" in said
    assert "learning" not in said


# --- older processors ---

QEMU = """
import hashlib, sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
pixels = np.load(sys.argv[2])
print(hashlib.sha256(session.run(["large"], {"pixels": pixels})[0].tobytes()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("model", ["SandyBridge", "Haswell", "Cascadelake-Server"])
def test_older_processors_enlarge_to_the_same_bytes(
    file: UpscalerFile, tmp_path: Path, model: str
) -> None:
    if not (qemu := shutil.which("qemu-x86_64")):
        pytest.skip("qemu-user is not installed")
    pixels = pictures(4)
    np.save(tmp_path / "pixels.npy", pixels)
    for scale in file.scales:
        (tmp_path / "model.onnx").write_bytes(upscaler_graph(file, scale))
        command = [qemu, "-cpu", model, sys.executable, "-c", QEMU]
        done = subprocess.run(
            [*command, str(tmp_path / "model.onnx"), str(tmp_path / "pixels.npy")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        wanted = hashlib.sha256(defined(file, pixels, scale).tobytes()).hexdigest()
        assert done.stdout.strip() == wanted, scale
