"""Integer generators: every runtime draws the bytes of the definition, and files hold nothing that
one of them would compute otherwise.
"""

import hashlib
import itertools
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
from fastapi.testclient import TestClient
from pydantic_core import PydanticCustomError
from safetensors.numpy import load_file, save

from app.main import create_app
from app.parameters.schemas import seed_of
from app.settings import Settings
from model.files import SEAL, GeneratorFileError
from model.generator_file import (
    CONFIG,
    HISTORY,
    HISTORY_SHEET,
    WEIGHTS,
    GeneratorFile,
    read_generator_file,
    read_history,
    write_integer_file,
)
from model.integers import reference
from model.integers.checks import largest_sums
from model.integers.steps import (
    EXACT,
    LARGEST_LATENT,
    Convolution,
    Dense,
    Part,
    Tensors,
    tensors_of,
)
from model.integers.trace import NoIntegersError, of_doubled, of_transposed, program, steps_of
from model.latent_space.latents import SEED_LIMIT, Prior, sample_latents, sample_rows, text_seed
from model.networks.config import NetworkConfig
from model.networks.families.mlp import MLPConfig
from model.networks.families.modulated import ModulatedConfig
from model.networks.families.residual import ResidualConfig
from model.networks.layers import Layer
from model.pretrained import PretrainedGenerator
from model.samplers.onnx import OnnxSampler
from model.samplers.pytorch import load_generator, load_torch_sampler, plain_sampler
from model.samplers.sampler import (
    WrongPictureError,
    check_bytes,
    check_golden,
    defined,
    load_sampler,
)
from model.training.__main__ import main
from model.training.quantization import learning
from model.training.quantization.learning import quantized
from model.training.quantization.quantizer import Floats, Quantizer
from model.training.run.progress import silent
from tests.conftest import TINY_SNGAN, write_tiny_generator, write_tiny_residual
from tests.javascript import MODULE, RUNTIME, needs_node, needs_runtime, node

TINY_MODULATED = ModulatedConfig(
    z_dim=8, classes=3, resolution=32, width=16, discriminator_width=16, code_dim=8
)
CPU = torch.device("cpu")
KINDS = ("dcgan", "residual", "modulated")
ROOT = Path(__file__).parent.parent


def write_integers(source: Path, folder: Path, steps: int = 0, seed: int = 0) -> Path:
    """Makes the integer generator of a model folder."""
    file = read_generator_file(source)
    kept = ("preset", "network", "prior", "crop", "classes", "data", "images_seen")
    fields = {name: getattr(file.config, name) for name in kept}
    tensors = quantized(file, steps, seed, silent)
    write_integer_file(
        folder, tensors, file.directions, "# tiny\n", OnnxSampler, name=folder.name, **fields
    )
    return folder


@pytest.fixture(scope="module", autouse=True)
def quick_calibration() -> Iterator[None]:
    """Looks at fewer pictures, of untrained generators."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "CALIBRATED", 64)
        yield


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("floats")
    write_tiny_generator(folder / "dcgan")
    write_tiny_residual(folder / "residual", crop=30)
    write_tiny_residual(folder / "modulated", TINY_MODULATED)
    return folder


@pytest.fixture(scope="module")
def integers(floats: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("integers")
    for kind in KINDS:
        write_integers(floats / kind, folder / kind)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_runtime_draws_the_bytes_of_the_definition(integers: Path, kind: str) -> None:
    file = read_generator_file(integers / kind)
    rows = file.config.rows(range(19))
    rows[16:] *= np.array([[30], [0], [900]], np.float32)  # far out, and nowhere
    wanted = defined(file)(rows)
    assert wanted.std() > 5
    for threads in (1, 2):
        sampler = OnnxSampler(file, threads)
        for size in (1, 3, 16, 19):
            parts = [sampler(rows[start : start + size]) for start in range(0, 19, size)]
            assert np.array_equal(np.concatenate(parts), wanted), (threads, size)
    pytorch = load_torch_sampler(file, "cpu", "fp32", 1)
    for size in (1, 3, 16, 19):
        parts = [pytorch(rows[start : start + size]) for start in range(0, 19, size)]
        assert np.array_equal(np.concatenate(parts), wanted), size


@pytest.mark.parametrize("kind", KINDS)
def test_integers_draw_nearly_what_floats_draw(floats: Path, integers: Path, kind: str) -> None:
    one, other = (read_generator_file(folder / kind) for folder in (floats, integers))
    rows = one.config.rows(range(64))
    wanted, found = (OnnxSampler(file)(rows).astype(float) for file in (one, other))
    least = 20 if kind == "dcgan" else 30  # its untrained pictures are black and white
    assert 10 * np.log10(255**2 / np.square(wanted - found).mean()) > least


@pytest.mark.parametrize("kind", KINDS)
def test_steps_without_roundings_are_the_generator(floats: Path, kind: str) -> None:
    file = read_generator_file(floats / kind)
    rows = torch.from_numpy(file.config.rows(range(4)))
    quantizer = Quantizer(program(file.config.network, file.weights))
    with torch.no_grad():
        found = quantizer(rows, Floats()).clamp(-1, 1)
        wanted = load_generator(file).eval()(rows).clamp(-1, 1)
    assert float((found - wanted).abs().max()) < 1e-3


def test_the_same_seed_gives_the_same_integers(floats: Path) -> None:
    file = read_generator_file(floats / "modulated")
    one, again, other = (quantized(file, 3, seed, silent) for seed in (0, 0, 1))
    assert save(one) == save(again)
    assert save(one) != save(other)


def test_learning_with_roundings_brings_pictures_nearer(floats: Path) -> None:
    file = read_generator_file(floats / "residual")
    rows, config = file.config.rows(range(64)), file.config
    wanted = OnnxSampler(file)(rows).astype(float)
    errors = [
        np.square(
            reference.draw(
                steps_of(config.network), quantized(file, steps, 0, silent), rows, config.crop
            )
            - wanted
        ).mean()
        for steps in (0, 40)
    ]
    assert errors[1] < errors[0]


@pytest.mark.parametrize(
    "network",
    [pytest.param(TINY_SNGAN, id="attention"), pytest.param(MLPConfig(), id="softplus")],
)
def test_a_network_without_integers_is_refused_in_words(network: NetworkConfig) -> None:
    with pytest.raises(NoIntegersError, match=f"family {network.family}: no integers for its"):
        steps_of(network)


def test_an_integer_generator_is_not_made_integers_or_trained_from(
    integers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(integers / "modulated")
    assert main(["quantize", folder, "--output", str(tmp_path / "again")]) == 2
    assert "is an integer generator: nothing is trained from it" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
    data = ["--data", str(tmp_path), "--outdir", str(tmp_path / "runs")]
    assert main(["train", "--from", folder, *data, "--dry-run"]) == 2
    assert "is an integer generator: nothing is trained from it" in capsys.readouterr().err


# --- layers in another form ---


def test_a_doubled_map_convolved_is_one_convolution_of_the_map() -> None:
    random = np.random.default_rng(0)
    weight, x = random.normal(size=(3, 2, 3, 3)), random.normal(size=(2, 2, 5, 5))
    layer = of_doubled(Layer(weight.astype(np.float32), np.zeros(3, np.float32)))
    doubled = torch.from_numpy(x).repeat_interleave(2, 2).repeat_interleave(2, 3)
    wanted = torch.nn.functional.conv2d(doubled, torch.from_numpy(weight), padding=1)
    found = torch.nn.functional.conv2d(
        torch.from_numpy(x), torch.from_numpy(layer.weight).double(), padding=1
    )
    assert np.allclose(reference.shuffled(found.numpy(), 2), wanted, atol=1e-5)


def test_a_transposed_convolution_is_one_with_four_outputs_a_channel() -> None:
    random = np.random.default_rng(0)
    weight, x = random.normal(size=(2, 3, 5, 5)), random.normal(size=(2, 2, 4, 4))
    layer = of_transposed(Layer(weight.astype(np.float32), np.zeros(3, np.float32)))
    wanted = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(x), torch.from_numpy(weight), stride=2, padding=2, output_padding=1
    )
    found = torch.nn.functional.conv2d(
        torch.from_numpy(x), torch.from_numpy(layer.weight).double(), padding=1
    )
    assert np.allclose(reference.shuffled(found.numpy(), 3), wanted, atol=1e-5)


def test_bilinear_doubling_is_that_of_pytorch() -> None:
    x = np.random.default_rng(0).integers(-300, 300, (2, 3, 4, 5)).astype(np.float32)
    wanted = torch.nn.functional.interpolate(torch.from_numpy(x), scale_factor=2, mode="bilinear")
    assert np.array_equal(reference.bilinear(x), wanted.numpy())


# --- exact everywhere ---


def saturating(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns what old processors make of bytes times weights: sums of two are cut to 16 bits."""
    products = weight.astype(np.int64) * x
    pairs = products.reshape(len(weight), -1, 2).sum(2).clip(-(2**15), 2**15 - 1)
    return pairs.sum(1)


@pytest.mark.parametrize(("largest", "same"), [(64, True), (127, False)])
def test_no_pair_of_products_is_cut_off(largest: int, same: bool) -> None:
    x = np.full(8, 255)
    weight = np.full((2, 8), largest) * np.array([[1], [-1]])
    assert np.array_equal(saturating(weight, x), weight @ x) is same


@pytest.mark.parametrize("kind", KINDS)
def test_every_sum_is_exact_in_float32(integers: Path, kind: str) -> None:
    file = read_generator_file(integers / kind)
    for step in steps_of(file.config.network):
        if isinstance(step, Convolution):
            weight = file.tensors[f"{step.name}.weight"]
            bias = np.abs(file.tensors[f"{step.name}.bias"].astype(np.int64))
            assert (largest_sums(weight, 128) + bias < EXACT).all()
            assert np.abs(weight.astype(int)).max() > 32  # it is used, not only kept


@pytest.mark.parametrize("kind", KINDS)
def test_sums_in_another_order_give_the_same(integers: Path, kind: str) -> None:
    file = read_generator_file(integers / kind)
    rows = file.config.rows(range(8))
    wanted = defined(file)(rows)
    turned = np.random.default_rng(0)

    def shuffled_sums(step: Any, tensors: Any, x: Any, zero: int) -> Any:
        weight = torch.from_numpy(tensors[f"{step.name}.weight"].astype(np.float32))
        order = turned.permutation(step.inputs)
        maps = torch.from_numpy(x - np.float32(zero))[:, order]
        sums = torch.zeros(1)
        for part in range(0, step.inputs, 3):
            own = weight[:, order][:, part : part + 3]
            found = torch.nn.functional.conv2d(maps[:, part : part + 3], own, padding=step.padding)
            sums = sums + found  # in float32
        bias, multiplier = (tensors[f"{step.name}.{name}"] for name in ("bias", "multiplier"))
        whole = sums.numpy() + bias[:, None, None].astype(np.float32)
        drawn = reference.to_byte(whole * multiplier[:, None, None], step.zero)
        return reference.shuffled(drawn, step.kernel, step.factor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "convolution", shuffled_sums)
        assert np.array_equal(defined(file)(rows), wanted)


def test_a_runtime_that_fuses_or_differs_by_one_level_is_not_served(integers: Path) -> None:
    file = read_generator_file(integers / "modulated")
    sampler = load_sampler(file, "cpu")
    assert check_golden(sampler, file, "bf16")
    check_bytes(sampler, [1, 2, 3, 16])

    def off(rows: np.ndarray) -> np.ndarray:
        pixels = sampler(rows)
        pixels[-1, 0, 0, 0] ^= 1
        return pixels

    off.input_dim = sampler.input_dim  # type: ignore[attr-defined]
    with pytest.raises(WrongPictureError, match="byte for byte"):
        check_golden(off, file, "fp32")  # type: ignore[arg-type]


QEMU = """
import hashlib, sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
rows = np.load(sys.argv[2])
print(hashlib.sha256(session.run(["pixels"], {"rows": rows})[0].tobytes()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("model", ["SandyBridge", "Haswell", "Cascadelake-Server"])
@pytest.mark.parametrize("kind", KINDS)
def test_older_processors_draw_the_same_bytes(
    integers: Path, tmp_path: Path, kind: str, model: str
) -> None:
    if not (qemu := shutil.which("qemu-x86_64")):
        pytest.skip("qemu-user is not installed")
    from model.samplers.onnx_graph import onnx_graph

    file = read_generator_file(integers / kind)
    rows = file.config.rows(range(8))
    (tmp_path / "model.onnx").write_bytes(onnx_graph(file))
    np.save(tmp_path / "rows.npy", rows)
    command = [qemu, "-cpu", model, sys.executable, "-c", QEMU]
    done = subprocess.run(
        [*command, str(tmp_path / "model.onnx"), str(tmp_path / "rows.npy")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    wanted = hashlib.sha256(defined(file)(rows).tobytes()).hexdigest()
    assert done.stdout.strip() == wanted


# --- in the browser ---

DRAW = """
import fs from "node:fs"
import { pathToFileURL } from "node:url"
const [module, runtime, folder, output] = process.argv.slice(1)
const ort = await import(pathToFileURL(`${runtime}/dist/ort.wasm.min.mjs`))
const { Generator } = await import(pathToFileURL(module))
ort.env.wasm.numThreads = 1
const config = JSON.parse(fs.readFileSync(`${folder}/config.json`))
const model = new Uint8Array(fs.readFileSync(`${folder}/model.onnx`))
const generator = await Generator.of(ort, config, model)
const seeds = Array.from({ length: 40 }, (_, place) => BigInt(place) ** 11n)
fs.writeFileSync(output, await generator.draw(seeds))
config.golden = "00".repeat(32)
await Generator.of(ort, config, model).catch((error) => console.log(error.message))
config.weights_dtype = "float16"
await Generator.of(ort, config, model).catch((error) => console.log(error.message))
"""
SEEDS_AND_ROWS = """
import { pathToFileURL } from "node:url"
const { rowOf, seedOf } = await import(pathToFileURL(process.argv[1]))
const config = JSON.parse(process.argv[2])
for (const text of JSON.parse(process.argv[3])) {
  console.log(await seedOf(text).then(String, (error) => error.name))
}
const row = (seed) => rowOf(config, seed)
const bytes = [...Array(2000).keys()].map((seed) => Buffer.from(row(BigInt(seed) ** 5n).buffer))
const { createHash } = await import("node:crypto")
console.log(createHash("sha256").update(Buffer.concat(bytes)).digest("hex"))
"""


@needs_runtime
@pytest.mark.parametrize("kind", KINDS)
def test_webassembly_draws_the_bytes_of_the_definition(
    integers: Path, tmp_path: Path, kind: str
) -> None:
    folder = Path(shutil.copytree(integers / kind, tmp_path / kind))
    assert main(["onnx", str(folder), "--output", str(folder / "model.onnx")]) == 0
    said = node(DRAW, MODULE, RUNTIME, folder, tmp_path / "pixels")
    assert "does not draw the pictures that it was written with" in said[0]
    assert "is no integer generator" in said[1]
    file = read_generator_file(folder)
    wanted = defined(file)(file.config.rows([place**11 for place in range(40)]))
    found = np.frombuffer((tmp_path / "pixels").read_bytes(), np.uint8)
    assert np.array_equal(found, wanted.ravel())


@needs_node
@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_javascript_makes_the_same_seeds_and_latents(prior: Prior) -> None:
    config = {"network": {"z_dim": 33, "classes": 7}, "prior": prior}
    good = [
        "ada",
        "Grace Hopper",
        "e\u0301",
        "\u00e9",
        "42",
        str(SEED_LIMIT - 1),
        "a1",
        "\U0001f600",
        "\ufeff7",
        "\u180e7",
        "\u00b2",
    ]
    bad = ["", "1.5", "-1", "+1", str(SEED_LIMIT), "a\nb", " 7", "\ufffd"]
    bad += ["\u0661\u0662", "\uff11", "7\u3000", "\u20287"]  # digits and spaces of other scripts
    *seeds, digest = node(SEEDS_AND_ROWS, MODULE, json.dumps(config), json.dumps(good + bad))
    assert seeds[len(good) :] == ["RangeError"] * len(bad)
    assert seeds[: len(good)] == [str(seed_of(text)) for text in good]
    for text in bad:
        with pytest.raises(PydanticCustomError):
            seed_of(text)
    rows = sample_rows([seed**5 for seed in range(2000)], 33, prior, 7)
    assert digest == hashlib.sha256(rows.tobytes()).hexdigest()


def test_page_of_the_definition_has_the_vectors_of_the_definition() -> None:
    page = (ROOT / "docs" / "integers.md").read_text()
    halves = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)
    told = ", ".join(f"{value:.0f}" for value in reference.to_byte(halves, 3))
    assert f"| {told} |" in page
    step = Dense("dense.0", "rows", 2, (Part("value", 1),))
    tensors: Tensors = {
        "dense.0.weight": np.array([[5, -7]], np.int8),
        "dense.0.scale": np.array([2.0**-10], np.float32),
        "dense.0.bias": np.array([0.1], np.float32),
    }
    ((value,),) = reference.dense(step, tensors, np.array([[-0.3, 2]], np.float32))
    assert f"| {value:.6f} |" in page
    assert reference.to_byte(np.array([1001], np.float32) * np.float32(0.0625), 128) == 191
    row = np.array([0, 16], np.float32).reshape(1, 1, 1, 2)
    assert reference.bilinear(row)[0, 0, 0].tolist() == [0, 4, 12, 16]
    for seed in (7, text_seed("ada")):
        values = sample_latents([seed], 3, "normal")[0]
        shown = ", ".join(np.format_float_positional(value, unique=True) for value in values)
        words = ", ".join(map(str, np.random.Philox(key=seed).random_raw(3)))
        assert f"| {words} | {shown} |" in page


def drawn_by_the_page(file: GeneratorFile, rows: np.ndarray) -> np.ndarray:
    """Draws by the lines of "The steps of each family", without the program's own steps."""
    network, tensors = file.config.network, file.tensors
    counts = {"bytes": itertools.count(), "convolutions": itertools.count()}

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return reference.dense(Dense(name, "", 0, ()), tensors, x)

    def a_map(y: np.ndarray) -> np.ndarray:
        return np.rint(y).clip(-32767, 32767).reshape(len(y), -1, 4, 4)

    def to_bytes(x: np.ndarray) -> tuple[np.ndarray, int]:
        name = f"bytes.{next(counts['bytes'])}"
        zero = int(tensors.get(f"{name}.zero", np.zeros(1))[0])
        unit = tensors.get(f"{name}.unit", np.ones(1, np.float32))
        return reference.to_byte((x / unit).astype(np.float32), zero), zero

    def convolution(x: np.ndarray, zero: int, own: int, factor: int = 1) -> np.ndarray:
        name = f"convolutions.{next(counts['convolutions'])}"
        outputs, inputs, kernel, _ = tensors[f"{name}.weight"].shape
        channels = outputs // factor**2
        step = Convolution(name, "", "", channels, inputs, kernel, factor, own)
        return reference.convolution(step, tensors, x, zero)

    def c(x: np.ndarray, own: int = 128, factor: int = 1) -> np.ndarray:
        return convolution(*to_bytes(x), own, factor) - np.float32(own)

    def leaky(x: np.ndarray) -> np.ndarray:
        return np.where(x < 0, np.float32(0.2) * x, x)

    doublings = int(np.log2(network.resolution // 4))
    values = dense("dense.0", rows)
    if network.family == "dcgan":
        x, zero = to_bytes(a_map(values))
        for number in range(doublings):
            x = convolution(x, zero, 128 if number == doublings - 1 else 0, 2)
        x = tensors["table.table"][x.astype(int)]
    elif isinstance(network, ResidualConfig):
        x = a_map(values)
        for stage in range(doublings + 1):
            x = reference.bilinear(c(x)) if stage else x
            for _ in range(network.blocks if stage < doublings else 0):
                x = x + c(leaky(c(leaky(x))))
        x = c(leaky(x), 0)
    else:
        assert isinstance(network, ModulatedConfig)
        x = a_map(values[:, network.code_dim :])
        found = dense("dense.1", leaky(values[:, : network.code_dim]))

        def modulated(x: np.ndarray) -> np.ndarray:
            nonlocal found
            s, t, found = np.split(found, [x.shape[1], 2 * x.shape[1]], 1)
            return leaky(x * s[:, :, None, None] + t[:, :, None, None])

        for _ in range(doublings):
            y = c(modulated(x))
            z = c(x) if y.shape[1] != x.shape[1] else x
            x = c(modulated(y), factor=2) + reference.bilinear(z)
        x = c(leaky(x), 0)
    margin = (network.resolution - file.config.crop) // 2
    inner = slice(margin, margin + file.config.crop)
    return x[:, :, inner, inner].transpose(0, 2, 3, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_alone_says_what_is_drawn(integers: Path, kind: str) -> None:
    file = read_generator_file(integers / kind)
    rows = file.config.rows(range(3))
    assert np.array_equal(drawn_by_the_page(file, rows), defined(file)(rows))


# --- files ---


def spoilt(source: Path, folder: Path, change: Callable[[Tensors], None]) -> Path:
    """Returns a copy whose tensors are changed, and named by their new hash."""
    shutil.copytree(source, folder)
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    content = save(tensors)
    (folder / WEIGHTS).write_bytes(content)
    config = json.loads((folder / CONFIG).read_text())
    del config[SEAL]
    config["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / CONFIG).write_text(json.dumps(config))
    return folder


def put(name: str, value: Any) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[name].flat[0] = value

    return change


def whole(name: str, value: Any) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[name][:] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda t: t.pop("bytes.0.zero"), "bytes.0.zero is missing", id="missing"),
        pytest.param(lambda t: t.update(more=np.zeros(1)), "more is not part", id="unknown"),
        pytest.param(
            lambda t: t.update({"dense.0.scale": t["dense.0.scale"].astype(np.float64)}),
            "is float64",
            id="type",
        ),
        pytest.param(
            lambda t: t.update({"dense.0.scale": t["dense.0.scale"][1:]}), "the network wants",
            id="shape",
        ),
        pytest.param(put("convolutions.0.weight", 65), "beyond 64", id="weight"),
        pytest.param(put("dense.0.weight", -128), "beyond 64", id="negative weight"),
        pytest.param(put("convolutions.0.multiplier", np.nan), "out of", id="not a number"),
        pytest.param(put("convolutions.0.multiplier", -1), "out of", id="negative"),
        pytest.param(put("dense.0.scale", np.inf), "out of", id="infinite"),
        pytest.param(put("dense.0.bias", 1e30), "too large or too small", id="large bias"),
        pytest.param(put("dense.0.bias", 1e-40), "too large or too small", id="denormal bias"),
        pytest.param(put("convolutions.0.bias", 2**24), "exact below", id="sums"),
        pytest.param(put("bytes.3.unit", 0.75), "no power of two", id="unit"),
        pytest.param(put("directions", np.nan), "directions holds values", id="directions"),
    ],
)  # fmt: skip
def test_a_file_that_some_runtime_would_compute_otherwise_is_refused(
    integers: Path, tmp_path: Path, change: Callable[[Tensors], None], message: str
) -> None:
    folder = spoilt(integers / "modulated", tmp_path / "spoilt", change)
    with pytest.raises(GeneratorFileError, match=message):
        read_generator_file(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_extremes_is_still_exact(integers: Path, tmp_path: Path, kind: str) -> None:
    """The largest factors and biases that a file may hold: nothing overflows, all agree."""

    def extreme(tensors: Tensors) -> None:
        for name, value in tensors.items():
            if name.endswith((".scale", ".multiplier")):
                value[::2], value[1::2] = 2.0**20, 2.0**-40
            if name.startswith("dense") and name.endswith(".bias"):
                value[::3] = -(2.0**20)

    file = read_generator_file(spoilt(integers / kind, tmp_path / "extreme", extreme))
    rows = file.config.rows(range(4)) * np.float32(100)
    with np.errstate(all="raise"):
        wanted = defined(file)(rows)
    assert np.array_equal(OnnxSampler(file)(rows), wanted)
    plain = plain_sampler(load_generator(file), file.config.crop, CPU)
    assert np.array_equal(plain(rows), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_the_steps_depend_on_the_shape_alone(floats: Path, kind: str) -> None:
    file = read_generator_file(floats / kind)
    network = file.config.network
    assert steps_of(network) == program(network, file.weights).steps
    assert len(tensors_of(steps_of(network))) > 5


# --- served ---


@pytest.fixture(scope="module")
def client(integers: Path) -> Iterator[TestClient]:
    settings = Settings(
        generator=str(integers / "modulated"), device="cpu", precision="bf16", max_batch=4
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def test_integers_are_served_whatever_the_precision_of_others(
    client: TestClient, integers: Path
) -> None:
    file = read_generator_file(integers / "modulated")
    answer = client.get("/generate.npy?seed=7")
    assert answer.status_code == 200
    pixels = np.frombuffer(answer.content[-32 * 32 * 3 :], np.uint8).reshape(1, 32, 32, 3)
    assert np.array_equal(pixels, defined(file)(file.config.rows([7])))
    card = client.get(f"/models/{file.config.id}").json()
    assert card["precision"] == "int8"


def test_a_latent_beyond_what_integers_hold_is_refused(client: TestClient, integers: Path) -> None:
    file = read_generator_file(integers / "modulated")
    own = file.config.rows(range(100))[:, 8:].argmax(1).tolist()
    seeds = [seed for class_ in (0, 1) for seed in range(100) if own[seed] == class_]
    pairs = [*zip(seeds[:2], (10, 10), strict=True), *zip(seeds[-2:], (-9.999,) * 2, strict=True)]
    mix = ",".join(f"{seed}:{weight}" for seed, weight in pairs)
    answer = client.get(f"/generate?mix={mix}")  # a class's weight is 20 over a sum of 0.002
    assert answer.status_code == 422
    assert "takes up to 8,191 either way" in answer.text
    row = file.config.rows([1])
    row[0, 0] = LARGEST_LATENT + 2
    with pytest.raises(ValueError, match="beyond"):
        OnnxSampler(file)(row)


def test_an_integer_generator_has_gradients(integers: Path) -> None:
    generator = PretrainedGenerator(integers / "residual", "cpu")
    rows = torch.from_numpy(generator.rows([1, 2])).requires_grad_()
    images = generator(rows)
    images.square().sum().backward()
    assert rows.grad is not None
    assert float(rows.grad.abs().max()) > 0
    served = generator.generate([1, 2])
    with torch.no_grad():
        exact = (generator(rows.detach()) * 127.5 + 127.5).round().permute(0, 2, 3, 1)
    assert np.array_equal(exact.numpy().astype(np.uint8), served)


def test_the_command_writes_a_folder_that_is_served(
    floats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, source = tmp_path / "Tiny Int8", tmp_path / "tiny"
    shutil.copytree(floats / "dcgan", source)
    for history in (HISTORY, HISTORY_SHEET):
        (source / history).write_text(history)
    command = ["quantize", str(source), "--output", str(output), "--steps", "2"]
    assert main(command) == 0
    assert len(read_history(output)) == 2
    assert read_history(output) == read_history(source)
    assert "dB from tiny@" in capsys.readouterr().out
    file = read_generator_file(output)
    assert (file.config.name, file.config.weights_dtype) == ("tiny-int8", "int8")
    assert np.array_equal(file.directions, read_generator_file(floats / "dcgan").directions)
    card = (output / "README.md").read_text()
    assert "8-bit integers" in card
    assert "fidelity_psnr" in card
    assert check_golden(OnnxSampler(file, 2), file, "fp32")
    assert main(command) == 2  # it is there
    assert main([*command, "--force", "--steps", "1"]) == 0
    onnx = tmp_path / "tiny.onnx"
    assert main(["onnx", str(output), "--output", str(onnx)]) == 0
    assert onnx.stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param("file/below --steps 9", "cannot be written", id="unwritable"),
        pytest.param("new --images 300", "--images is for measuring", id="images"),
        pytest.param("new --against all", "--against is for measuring", id="against"),
        pytest.param("new --bits 12", "--bits is for measuring", id="bits"),
        pytest.param("new --fit pad", "--fit is for measuring", id="fit"),
        pytest.param("new --features none", "--features is for measuring", id="features"),
        pytest.param("new --device cpu", "--device is for measuring", id="device"),
        pytest.param("new --base-url http://a", "--base-url is for measuring", id="address"),
    ],
)
def test_the_command_refuses_before_it_learns(
    floats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    (tmp_path / "file").write_text("")
    output, *more = words.split()
    assert main(["quantize", str(floats / "dcgan"), "--output", str(tmp_path / output), *more]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "learning" not in said
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
