"""The ONNX file: any program that has ONNX Runtime and NumPy draws the pictures that are served."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
import pytest

from model.generator_file import read_generator_file
from model.networks.families.residual import ResidualConfig
from model.samplers import onnx_file
from model.samplers.onnx_file import facts, onnx_bytes
from model.samplers.sampler import load_sampler
from model.training.__main__ import main
from tests.conftest import write_tiny_generator, write_tiny_residual


@pytest.fixture(params=["tiny", "pets"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write = write_tiny_generator if request.param == "tiny" else write_tiny_residual
    return write(tmp_path / str(request.param))


def test_command_writes_a_file_that_draws_the_same_bytes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "x.onnx"
    assert main(["onnx", str(folder), "--output", str(output)]) == 0
    assert "checked" in capsys.readouterr().out
    file = read_generator_file(folder)
    rows = file.config.rows(range(100, 130))
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    (pixels,) = session.run(["pixels"], {"rows": rows})
    assert np.array_equal(pixels, load_sampler(file, "cpu")(rows))
    assert session.get_modelmeta().custom_metadata_map == facts(file)
    onnx.checker.check_model(output, full_check=True)


def test_weights_that_are_float16_stay_so(tmp_path: Path) -> None:
    network = ResidualConfig(z_dim=8, classes=0, resolution=32, width=64, discriminator_width=8)
    folder = write_tiny_residual(tmp_path / "pets", network)
    assert main(["onnx", str(folder), "--output", str(tmp_path / "x.onnx")]) == 0
    weights = (folder / "model.safetensors").stat().st_size
    assert (tmp_path / "x.onnx").stat().st_size < 1.2 * weights


def test_larger_file_than_the_model_folder_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["onnx", "mnist", "--output", str(tmp_path / "x.onnx")]) == 0
    assert "bytes, checked; model.safetensors has 9," in capsys.readouterr().out


def test_metadata_tells_how_to_make_a_row(folder: Path) -> None:
    config = read_generator_file(folder).config
    found = facts(read_generator_file(folder))
    assert int(found["z_dim"]) == config.network.z_dim
    assert tuple(json.loads(found["classes"])) == config.classes
    assert found["prior"] == config.prior
    assert found["weights_sha256"] == config.weights_sha256
    assert (found["name"], int(found["crop"])) == (config.name, config.crop)


def test_same_generator_gives_the_same_bytes(folder: Path) -> None:
    assert onnx_bytes(read_generator_file(folder)) == onnx_bytes(read_generator_file(folder))


def test_file_that_draws_something_else_is_not_kept(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        onnx_file, "generate", lambda session, rows: np.zeros((16, 1, 1, 1), np.uint8)
    )
    output = tmp_path / "new" / "x.onnx"
    assert main(["onnx", str(folder), "--output", str(output)]) == 2
    assert "not kept" in capsys.readouterr().err
    assert list(output.parent.iterdir()) == []


def test_file_that_cannot_be_written_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for output, reason in (("file/x.onnx", "cannot be written"), ("x.pb", "ends in .onnx")):
        assert main(["onnx", str(folder), "--output", str(tmp_path / output)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert reason in line
    assert main(["onnx", str(tmp_path / "none"), "--output", "x.onnx"]) == 2
    assert "no such folder" in capsys.readouterr().err
