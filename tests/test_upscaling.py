"""Learned enlargement: the network, its file, and the runtime that serves it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load, save

from model.generator_file import CONFIG, GeneratorFileError, add_upscaler, read_generator_file
from model.images import HALF_RANGE, to_pixels
from model.upscaling.config import UpscalerConfig, upscaler_from_dict, upscaler_to_dict
from model.upscaling.onnx_upscaler import OnnxUpscaler
from model.upscaling.pytorch import PatchDiscriminator, Upscaler, load_upscaler, upscaler_weights
from model.upscaling.upscaler_file import UPSCALER, UpscalerFile, golden, read_upscaler
from tests.conftest import (
    UPSCALER_OF_TESTS,
    untrained_upscaler,
    with_untrained_upscaler,
    write_untrained_upscaler,
)


@pytest.fixture(scope="module")
def upscaled_folder(generator_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_untrained_upscaler(generator_folder, tmp_path_factory.mktemp("models") / "tiny")


def pictures(count: int, height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, height, width, channels), np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 4])
def test_onnx_runtime_enlarges_as_the_network_does(
    tmp_path: Path, channels: int, scale: int
) -> None:
    file = write_untrained_upscaler(tmp_path, replace(UPSCALER_OF_TESTS, channels=channels))
    pixels = pictures(3, 12, 20, channels)
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2) / np.float32(HALF_RANGE) - 1)
    with torch.no_grad():
        wanted = to_pixels(load_upscaler(file)(images.float(), scale).numpy())
    found = OnnxUpscaler(file)(pixels, scale)
    assert found.shape == (3, 12 * scale, 20 * scale, channels)
    assert np.abs(found.astype(int) - wanted).max() <= 1
    assert (found == wanted).mean() > 0.999


def test_enlarged_picture_depends_on_neither_batch_nor_threads(tmp_path: Path) -> None:
    file = write_untrained_upscaler(tmp_path)
    one, two, pixels = OnnxUpscaler(file), OnnxUpscaler(file, threads=2), pictures(5, 16, 16)
    for scale in file.scales:
        together = one(pixels, scale)
        assert np.array_equal(together, two(pixels, scale))
        for index in range(5):
            assert np.array_equal(together[index], one(pixels[index : index + 1], scale)[0])


def test_network_starts_as_nearest_neighbours() -> None:
    images = torch.randn(2, 3, 5, 7)
    for scale, large in zip((2, 4), Upscaler(UPSCALER_OF_TESTS).each(images, [2, 4]), strict=True):
        near = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        assert torch.equal(large, near)


def test_discriminator_has_a_logit_for_every_fourth_pixel() -> None:
    assert PatchDiscriminator(3, 8)(torch.zeros(2, 3, 64, 32)).shape == (2, 16, 8)


def test_file_that_is_read_is_the_one_that_was_written(tmp_path: Path) -> None:
    network = untrained_upscaler()
    file = write_untrained_upscaler(tmp_path)
    assert read_upscaler(tmp_path / UPSCALER).header == file.header
    assert write_untrained_upscaler(tmp_path).sha256 == file.sha256
    for name, value in upscaler_weights(network).items():
        assert np.array_equal(file.weights[name], value.astype(np.float16))
    found = golden(OnnxUpscaler(file), file.header.network)
    assert found.tobytes().hex() == file.header.golden


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"width": 16}, r"tensor first\.\w+ is", id="other-width"),
        pytest.param({"layers": 3}, r"tensor layers\.2\.\w+ is missing", id="more-layers"),
        pytest.param({"layers": 1}, r"tensor layers\.1\.\w+ is not part", id="fewer-layers"),
        pytest.param({"scales": [3]}, r"scales is \[3\]; allowed", id="scale-it-cannot-have"),
        pytest.param({"scales": 4}, "whole numbers are wanted", id="scales-no-list"),
        pytest.param({"width": 1e99}, "whole numbers are wanted", id="no-whole-number"),
        pytest.param({"width": 10**9}, "width is 1000000000; allowed: 1 to 256", id="wide"),
        pytest.param({"family": "dcgan"}, "upscaler is wanted", id="other-family"),
        pytest.param({"depth": 3}, "unknown field 'depth'", id="unknown-field"),
    ],
)
def test_file_whose_header_is_not_of_its_tensors_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    def changed(header: dict[str, Any]) -> None:
        header["network"] |= change

    rewrite(write_untrained_upscaler(tmp_path), tmp_path, changed)
    with pytest.raises(GeneratorFileError, match=message):
        read_upscaler(tmp_path / UPSCALER)


def test_any_change_of_a_byte_is_noticed(tmp_path: Path, upscaled_folder: Path) -> None:
    content = (upscaled_folder / UPSCALER).read_bytes()
    copy = tmp_path / "copy"
    for place in (3, 40, len(content) // 2, len(content) - 1):
        copy.mkdir(exist_ok=True)
        for one in upscaled_folder.iterdir():
            (copy / one.name).write_bytes(one.read_bytes())
        damaged = bytearray(content)
        damaged[place] ^= 1
        (copy / UPSCALER).write_bytes(damaged)
        with pytest.raises(GeneratorFileError, match=UPSCALER):
            read_generator_file(copy)
    (copy / UPSCALER).write_bytes(content[:-10])
    with pytest.raises(GeneratorFileError, match="damaged or no upscaler"):
        read_generator_file(copy)
    (copy / UPSCALER).unlink()
    with pytest.raises(GeneratorFileError, match="no such file"):
        read_generator_file(copy)


def test_upscaler_changes_neither_the_generator_nor_what_names_it(
    upscaled_folder: Path, generator_folder: Path
) -> None:
    plain, file = read_generator_file(generator_folder), read_generator_file(upscaled_folder)
    assert file.upscaler is not None
    assert (file.config.id, plain.config.upscaled_id) == (plain.config.id, None)
    assert file.config.upscaled_id == f"{plain.config.id}-{file.upscaler.hash}"


def test_upscaler_that_the_config_does_not_name_is_refused(
    tmp_path: Path, generator_folder: Path
) -> None:
    for one in generator_folder.iterdir():
        (tmp_path / one.name).write_bytes(one.read_bytes())
    write_untrained_upscaler(tmp_path)
    with pytest.raises(GeneratorFileError, match=f"{CONFIG} does not name it"):
        read_generator_file(tmp_path)


def test_upscaler_of_other_channels_is_refused(tmp_path: Path, generator_folder: Path) -> None:
    write_untrained_upscaler(tmp_path)
    with pytest.raises(GeneratorFileError, match="for pictures of 3 channels; those of tiny have"):
        add_upscaler(generator_folder, tmp_path / UPSCALER)


def test_config_survives_its_files_form() -> None:
    for config in (UPSCALER_OF_TESTS, UpscalerConfig(channels=1, scales=(4,))):
        assert upscaler_from_dict(json.loads(json.dumps(upscaler_to_dict(config)))) == config


def rewrite(file: UpscalerFile, folder: Path, change: Any) -> None:
    """Writes an upscaler's file again, with another header."""
    header = json.loads(file.header.model_dump_json())
    change(header)
    tensors = load((folder / UPSCALER).read_bytes())
    (folder / UPSCALER).write_bytes(save(tensors, {"upscaler": json.dumps(header)}))
