"""A picture depends on its latent alone, and every runtime draws what the plain network draws."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model import images
from model.devices import DeviceError, Precision, usable_cores
from model.generator_file import GeneratorFile, read_generator_file
from model.generators import ZOO
from model.latent_space.latents import sample_latents
from model.networks.dcgan import Generator
from model.networks.families.dcgan import DCGANConfig
from model.samplers.cuda import agreeing_shapes, cut, to_pixels
from model.samplers.onnx import OnnxSampler
from model.samplers.pytorch import TorchSampler, plain_sampler, resolve_device
from model.samplers.sampler import Sampler, UnequalBytesError, check_bytes, load_sampler
from tests.conftest import write_tiny_generator

CPU = torch.device("cpu")
SHIPPED = read_generator_file(ZOO / "mnist")


def reference(file: GeneratorFile) -> TorchSampler:
    """Returns the network as PyTorch runs it, batch norm and all."""
    assert isinstance(file.config.network, DCGANConfig)
    generator = Generator(file.config.network)
    state = {name: torch.from_numpy(value) for name, value in file.weights.items()}
    generator.load_state_dict(state, strict=False)
    return plain_sampler(generator, file.config.crop, CPU)


RUNTIMES: dict[str, Callable[[], Sampler]] = {
    "onnx": lambda: load_sampler(SHIPPED, "cpu"),
    "onnx-2-threads": lambda: load_sampler(SHIPPED, "cpu", threads=2),
    "torch-bf16": lambda: load_sampler(SHIPPED, "cpu", "bf16"),
    "torch-plain": lambda: reference(SHIPPED),
}


@pytest.fixture(scope="module", params=RUNTIMES)
def sampler(request: pytest.FixtureRequest) -> Sampler:
    """Returns each CPU runtime with the article's own network: kernels are chosen by size."""
    return RUNTIMES[request.param]()


@pytest.mark.parametrize("count", [2, 3, 5, 8, 13, 64])
def test_picture_is_the_same_in_any_batch(sampler: Sampler, count: int) -> None:
    z = sample_latents(range(count), 100, "uniform")
    some = range(0, count, 1 + count // 16)
    alone = np.concatenate([sampler(z[place : place + 1]) for place in some])
    assert np.array_equal(sampler(z)[some], alone)


def test_picture_is_the_same_at_any_place_in_the_batch(sampler: Sampler) -> None:
    z = sample_latents(range(8), 100, "uniform")
    plain = sampler(z)
    for shift in range(1, 8):
        assert np.array_equal(sampler(np.roll(z, shift, axis=0)), np.roll(plain, shift, axis=0))


def test_neighbours_of_any_size_leave_a_picture_alone(sampler: Sampler) -> None:
    z = sample_latents(range(8), 100, "uniform")
    wild = z.copy()
    wild[1:] = 10.0
    assert np.array_equal(sampler(z)[0], sampler(wild)[0])


def test_pictures_differ_by_seed_and_have_the_served_size(sampler: Sampler) -> None:
    pixels = sampler(sample_latents(range(20), 100, "uniform"))
    assert pixels.shape == (20, 28, 28, 1)
    assert pixels.dtype == np.uint8
    assert len({picture.tobytes() for picture in pixels}) == 20


def test_no_latents_give_no_pictures(sampler: Sampler) -> None:
    assert sampler(np.empty((0, 100), np.float32)).shape == (0, 28, 28, 1)


def test_onnx_runtime_draws_what_the_plain_network_draws() -> None:
    z = sample_latents(range(256), 100, "uniform")
    difference = np.abs(OnnxSampler(SHIPPED)(z).astype(int) - reference(SHIPPED)(z))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-4  # measured: 5 in a million


@pytest.mark.parametrize(
    ("network", "crop"),
    [
        pytest.param(DCGANConfig(z_dim=5, resolution=64, channels=3, width=16), 64, id="64-rgb"),
        pytest.param(DCGANConfig(z_dim=8, resolution=16, channels=1, width=8), 12, id="16-cropped"),
    ],
)
def test_onnx_graph_follows_any_network_of_the_family(
    tmp_path: Path, network: DCGANConfig, crop: int
) -> None:
    file = read_generator_file(write_tiny_generator(tmp_path / "g", network, crop))
    z = sample_latents(range(20), network.z_dim, "normal")
    found = OnnxSampler(file)(z)
    assert found.shape == (20, crop, crop, network.channels)
    assert np.abs(found.astype(int) - reference(file)(z)).max() <= 1


def test_number_of_threads_changes_no_byte() -> None:
    z = sample_latents(range(50), 100, "uniform")
    one, two = (OnnxSampler(SHIPPED, threads)(z) for threads in (1, 2))
    assert np.array_equal(one, two)


def test_bf16_is_near_the_plain_network() -> None:
    z = sample_latents(range(64), 100, "uniform")
    found = load_sampler(SHIPPED, "cpu", "bf16")(z).astype(int)
    assert np.abs(found - reference(SHIPPED)(z)).mean() < 0.5  # levels of 255


def test_check_passes_a_sound_runtime_and_stops_one_that_mixes_neighbours() -> None:
    sound = OnnxSampler(SHIPPED)
    check_bytes(sound, [1, 2, 5, 16, 20])

    class Mixing:
        input_dim = 100

        def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
            pixels = sound(rows)
            if len(rows) == 5:
                pixels[3, 4, 4, 0] ^= 1
            return pixels

    with pytest.raises(UnequalBytesError, match="a batch of 5 differs"):
        check_bytes(Mixing(), [1, 2, 5, 16, 20])


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "", "CPU", "mps", "mps:0"])
def test_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="allowed: auto, cpu"):
        resolve_device(name)


def test_mps_is_refused_in_words() -> None:
    with pytest.raises(DeviceError, match="mps, Apple's GPUs, is not supported"):
        resolve_device("mps")


def test_auto_is_a_device_that_is_there() -> None:
    assert resolve_device("auto").type in ("cpu", "cuda")
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, []), (1, [1]), (3, [8]), (9, [8, 1]), (16, [16]), (22, [16, 8]), (130, [64, 64, 8])],
)
def test_batch_is_cut_into_shapes_that_hold_it(count: int, expected: list[int]) -> None:
    assert list(cut(count, (1, 8, 16, 64))) == expected


def test_shapes_with_other_bits_are_not_used() -> None:
    def draw(z: torch.Tensor) -> torch.Tensor:
        return z + (1e-7 if len(z) == 4 else 0)

    assert agreeing_shapes(draw, 3, CPU, (1, 4, 8, 2)) == (1, 2, 8)


def test_pixels_on_the_device_are_those_of_the_host() -> None:
    floats = torch.linspace(-1.01, 1.01, 2 * 3 * 16 * 16).view(2, 3, 16, 16)
    found = to_pixels(floats, 12).numpy()
    assert np.array_equal(found, images.crop_center(images.to_pixels(floats.numpy()), 12))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gpu_draws_what_the_plain_network_draws(precision: Precision) -> None:
    z = sample_latents(range(600), 100, "uniform")
    gpu = load_sampler(SHIPPED, "cuda", precision)
    whole = gpu(z)
    difference = np.abs(whole.astype(int) - reference(SHIPPED)(z))
    assert difference.max() <= 1 if precision == "fp32" else difference.mean() < 0.5
    check_bytes(gpu, [1, 2, 3, 16, 64])
    assert np.array_equal(whole, np.concatenate([gpu(part) for part in np.array_split(z, 7)]))


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({}, None, id="no-limit"),
        pytest.param({"cpu.max": "max 100000"}, None, id="v2-unlimited"),
        pytest.param({"cpu.max": "100000 100000"}, 1, id="v2-one"),
        pytest.param({"cpu.max": "50000 100000"}, 1, id="v2-half"),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1, id="v1-one"
        ),
        pytest.param(
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            None,
            id="v1-no-limit",
        ),
        pytest.param({"gan.slice/one.service/cpu.max": "100000 100000"}, 1, id="v2-service"),
        pytest.param({"gan.slice/cpu.max": "100000 100000"}, 1, id="v2-slice"),
        pytest.param({"other.slice/cpu.max": "100000 100000"}, None, id="v2-other"),
        pytest.param(
            {"cpu/gan/cpu.cfs_quota_us": "9000", "cpu/gan/cpu.cfs_period_us": "9000"},
            1,
            id="v1-group",
        ),
    ],
)
def test_threads_follow_the_containers_quota(
    tmp_path: Path, files: dict[str, str], cores: int | None
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(content + "\n")
    membership = tmp_path / "membership"
    membership.write_text("4:memory:/x\n1:cpu,cpuacct:/gan/inner\n0::/gan.slice/one.service\n")
    assert usable_cores(tmp_path, membership) == (cores or usable_cores(tmp_path / "nothing"))
