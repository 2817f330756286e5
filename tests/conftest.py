"""One tiny generator, one client that runs the real lifespan, small data in official forms."""

import gzip
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from app.main import create_app
from app.settings import Settings
from model.classification.classifier_file import ClassifierFile, write_classifier
from model.classification.config import ClassifierConfig
from model.classification.onnx_classifier import OnnxClassifier
from model.classification.pytorch import classifier_weights, new_classifier
from model.generator_file import add_upscaler, read_generator_file, write_generator_file
from model.generators import DEFAULT, ZOO
from model.networks.config import NetworkConfig
from model.networks.families.dcgan import DCGANConfig
from model.networks.families.residual import ResidualConfig
from model.networks.families.sngan import SNGANConfig
from model.networks.pytorch import new_generator
from model.samplers.onnx import OnnxSampler
from model.samplers.pytorch import generator_weights
from model.training import ema
from model.training.datasets.dataset import load
from model.training.evaluation.features import Extractor, train_extractor
from model.training.quantization.upscaler import quantized_upscaler
from model.training.run import plots
from model.training.run.progress import silent
from model.upscaling.config import UpscalerConfig
from model.upscaling.onnx_upscaler import OnnxUpscaler
from model.upscaling.pytorch import Upscaler, upscaler_weights
from model.upscaling.upscaler_file import UPSCALER, UpscalerFile, write_upscaler
from tests.browsing import Visit, chromium, visiting
from tests.services import service

# how fast the machine is decides nothing
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")
torch.set_num_threads(1)

TINY = DCGANConfig(z_dim=8, resolution=32, channels=1, width=16, discriminator_width=4)
TINY_RESIDUAL = ResidualConfig(z_dim=8, classes=3, resolution=32, width=16, discriminator_width=16)
TINY_SNGAN = SNGANConfig(
    z_dim=8, classes=3, width=32, discriminator_width=16, halved=1, attention=16,
    generator_spectral=1,
)  # fmt: skip
CLASSES = ("cat", "dog", "red panda")
SHA = "0" * 64


# the files of tests that take longest, the longest first: processes that share the files out among
# themselves end together where these are begun first
LONGEST = (
    *("test_visits", "test_explorer", "test_layout", "test_distributed", "test_raw"),
    *("test_shards", "test_bulk", "test_elastic", "test_resume", "test_integers", "test_openapi"),
    *("test_firefox", "test_features", "test_distribution", "test_start", "test_cluster"),
    *("test_peers", "test_server", "test_zoo", "test_notebooks", "test_command_line"),
    *("test_integer_rounding", "test_history", "test_corruption", "test_integer_upscaler"),
    *("test_every_road", "test_protocol", "test_reload", "test_loop", "test_ray"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


def write_tiny_generator(folder: Path, network: DCGANConfig = TINY, crop: int = 28) -> Path:
    """Returns an untrained generator whose pictures differ by seed."""
    torch.manual_seed(0)
    generator = new_generator(network)
    for parameter in generator.parameters():
        parameter.data.mul_(10)  # far from grey, so that pictures have contrast
    write_generator_file(
        folder,
        generator_weights(generator),
        "# tiny\n",
        OnnxSampler,
        name="tiny",
        preset="dcgan-mnist",
        network=network,
        prior="uniform",
        crop=crop,
        data={"name": "noise", "split": "train", "images": 1, "sha256": SHA},
        images_seen=0,
    )
    return folder


def write_tiny_residual(
    folder: Path, network: NetworkConfig = TINY_RESIDUAL, crop: int = 32
) -> Path:
    """Returns an untrained generator, named as its folder."""
    torch.manual_seed(0)
    generator = new_generator(network)
    for parameter in generator.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))  # blocks start as nothing
    names = CLASSES if network.classes == len(CLASSES) else map(str, range(network.classes))
    write_generator_file(
        folder,
        generator_weights(generator),
        "# tiny\n",
        OnnxSampler,
        name=folder.name,
        preset="modern-32",
        network=network,
        prior="normal",
        crop=crop,
        classes=tuple(names),
        data={"name": "noise", "split": "train", "images": 1, "sha256": SHA},
        images_seen=0,
    )
    return folder


def draw_one_pixel(found: list[plots.Curve], kind: object, path: Path) -> None:
    Image.new("L", (1, 1)).save(path, "png")


draw_curves = plots._draw  # with matplotlib, a second for each run


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Takes back the threads that a test gave PyTorch: beside tests in other processes two of them
    wait for each other a hundred times longer than they compute.
    """
    yield
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def quick_runs() -> Iterator[None]:
    """Runs leave a pixel for their curves, but in the tests of curves, and estimate the statistics
    of batch norm from one batch of latents.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "_draw", draw_one_pixel)
        patch.setattr(ema, "BATCH_NORM_LATENTS", ema.BATCH_NORM_BATCH)
        yield


@pytest.fixture
def real_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws the curves as people see them."""
    monkeypatch.setattr(plots, "_draw", draw_curves)


UPSCALER_OF_TESTS = UpscalerConfig(width=8, layers=2)


def untrained_upscaler(config: UpscalerConfig = UPSCALER_OF_TESTS, seed: int = 0) -> Upscaler:
    """Returns an upscaler whose enlargements are no nearest neighbours."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Upscaler(config)
        for parameter in network.heads.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.05)
    return network


def write_untrained_upscaler(
    folder: Path, config: UpscalerConfig = UPSCALER_OF_TESTS, seed: int = 0
) -> UpscalerFile:
    """Returns the file of an untrained upscaler, in a folder that is there."""
    return write_upscaler(
        folder,
        upscaler_weights(untrained_upscaler(config, seed)),
        OnnxUpscaler,
        network=config,
        preset="upscale-4x",
        data={"name": "toys", "split": "train", "images": 8, "sha256": SHA},
        images_seen=0,
    )


def write_integer_upscaler(
    folder: Path, config: UpscalerConfig = UPSCALER_OF_TESTS, seed: int = 0
) -> UpscalerFile:
    """Returns the file of an untrained upscaler in integers, in a folder that is there."""
    floats = write_untrained_upscaler(folder, config, seed)
    shape = (16, 8, 8, config.channels)
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    fields = floats.header.model_dump(exclude={"format", "tensors_sha256", "golden"})
    fields |= {"network": config, "weights_dtype": "int8"}
    tensors = quantized_upscaler(floats, pixels, 0, silent)
    return write_upscaler(folder, tensors, OnnxUpscaler, **fields)


def with_untrained_upscaler(folder: Path, target: Path) -> Path:
    """Returns a copy of a model folder, with an untrained upscaler."""
    return give_upscaler(Path(shutil.copytree(folder, target)))


def give_upscaler(
    folder: Path,
    seed: int = 0,
    write: Callable[[Path, UpscalerConfig, int], UpscalerFile] = write_untrained_upscaler,
) -> Path:
    """Adds an untrained upscaler, one for each seed, to a model folder; returns the folder."""
    channels = read_generator_file(folder).config.network.channels
    with tempfile.TemporaryDirectory() as alone:
        write(Path(alone), replace(UPSCALER_OF_TESTS, channels=channels), seed)
        add_upscaler(folder, Path(alone) / UPSCALER)
    return folder


@pytest.fixture(scope="session")
def generator_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_generator(tmp_path_factory.mktemp("generators") / "tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes two generators: `tiny`, uniform prior and no classes; `pets`, normal prior, classes and
    an upscaler.
    """
    folder = tmp_path_factory.mktemp("generators")
    write_tiny_generator(folder / "tiny")
    give_upscaler(write_tiny_residual(folder / "pets"))
    return folder


@pytest.fixture(scope="session")
def client(generator_folder: Path) -> Iterator[TestClient]:
    settings = Settings(
        generator=str(generator_folder), device="cpu", max_batch=16, max_queue=300, max_wait=600
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def blobs(count: int, side: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Draws (N, side, side) of a bright square whose place is its class; with the classes."""
    random = np.random.default_rng(0)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = random.integers(0, 40, (count, side, side)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 4)
        image[row * 9 : row * 9 + 8, column * 7 : column * 7 + 6] += 200
    return images, labels


def idx_bytes(array: np.ndarray) -> bytes:
    """Returns the idx form of unsigned bytes."""
    header = (2048 + array.ndim).to_bytes(4, "big")
    return header + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def write_idx(folder: Path, train: int = 320, test: int = 240, packed: bool = True) -> Path:
    """Returns a data set in MNIST's files, gzipped or not."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        images, labels = blobs(count)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx_bytes(array)
            name = f"{part}-{kind}-ubyte"
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes idx files: 320 training and 240 test pictures, 28x28 grey, ten classes."""
    return write_idx(tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(scope="session")
def classifier(digits: Path) -> Extractor:
    """Returns a network that names the digits, nearly all of them right."""
    train, test = (load(digits, part, side=28, channels=1) for part in ("train", "test"))
    device = torch.device("cpu")
    return train_extractor(train, test, epochs=3, seed=0, device=device, say=print)


CLASSIFIER_OF_TESTS = ClassifierConfig(
    side=28, channels=1, classes=CLASSES, data="noise", data_sha256=SHA, epochs=0, seed=0
)


def write_untrained_classifier(
    folder: Path, config: ClassifierConfig = CLASSIFIER_OF_TESTS
) -> ClassifierFile:
    """Returns a classifier whose answers differ by picture, batch norms among them."""
    torch.manual_seed(0)
    network = new_classifier(config)
    for name, value in network.state_dict().items():
        if name.startswith("norms.") and value.is_floating_point():
            value.uniform_(0.5, 1.5)
        if name == "logits.weight":
            value.mul_(20)
    return write_classifier(
        folder, config, classifier_weights(network), load_classifier=OnnxClassifier
    )


def edit_json(path: Path, **changes: object) -> None:
    """Changes fields of a JSON file on purpose; a value of None removes the field."""
    fields = json.loads(path.read_text()) | {"config_sha256": None} | changes
    path.write_text(json.dumps({k: v for k, v in fields.items() if v is not None}))


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, digits: Path) -> list[tuple[str, str | None]]:
    """Notes which official sets are asked for, and where; the digits stand for each."""
    asked: list[tuple[str, str | None]] = []

    def fetch(name: str, base_url: str | None) -> Path:
        asked.append((name, base_url))
        return digits

    monkeypatch.setattr("model.training.datasets.downloads.fetch", fetch)
    return asked


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Yields a Chromium for a file of tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def usual_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yields a service with its default generator, beside a small one with classes."""
    colour = write_tiny_residual(tmp_path_factory.mktemp("more") / "colour")
    with service(ZOO / DEFAULT, GAN_MODELS=str(colour), GAN_THREADS="1") as (_, address):
        yield address


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Visit]]:
    """Begins visits to the file's `address`."""
    with visiting(browser, address) as begin:
        yield begin
