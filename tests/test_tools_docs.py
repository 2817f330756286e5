"""docs/tools.md: its commands and its code do what it says."""

import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.generator_file import read_generator_file
from model.generators import ZOO
from model.samplers.sampler import load_sampler
from model.training.__main__ import main

TOOLS = (Path(__file__).parent.parent / "docs" / "tools.md").read_text()
COMMAND = ".venv/bin/python -m model.training "
CHEAPER = {"project": ["--steps", "8"], "generate mnist --n 1000": ["--n", "100"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder in which every command of the page has been run."""
    folder = tmp_path_factory.mktemp("tools")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "names.txt").write_text("ada\nGrace Hopper\n")
        for line in re.findall(rf"^{re.escape(COMMAND)}(.*)$", TOOLS, re.MULTILINE):
            fewer = [more for start, more in CHEAPER.items() if line.startswith(start)]
            assert main([*shlex.split(line), *itertools.chain(*fewer)]) == 0, line
    return folder


def codes() -> list[str]:
    return re.findall("```python\n(.*?)```", TOOLS, re.DOTALL)


def test_every_command_writes_what_it_says(place: Path) -> None:
    assert {path.name for path in place.iterdir()} >= {
        *("digits", "digits.zip", "sheet.png", "edited"),
        *("loop.webp", "grid.gif", "both.png", "mnist.onnx", "site"),
    }
    assert (place / "site" / "Grace Hopper.png").is_file()
    assert len(list((place / "digits").iterdir())) == 38
    with Image.open(place / "sheet.png") as sheet:
        assert sheet.size == (16 * 56, 4 * 56)


def test_code_draws_by_the_onnx_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, Any] = {}
    for code in codes():
        exec(code, names)
        if names["pixels"].shape[0] == 16:
            assert names["pixels"].shape == (16, 28, 28, 1)
    file = read_generator_file(ZOO / "mnist")
    rows = np.stack([names["latent"](seed) for seed in (0, 7, 2**63 - 1)])
    assert np.array_equal(rows, file.config.rows([0, 7, 2**63 - 1]))
    (pixels,) = names["session"].run(["pixels"], {"rows": rows})
    assert np.array_equal(pixels, load_sampler(file, "cpu")(rows))
    assert np.array_equal(names["pixels"], load_sampler(file, "cpu")(file.config.rows(range(3))))
    assert read_generator_file(place / "my-copy").config == file.config


def test_page_names_every_command_of_these_tools() -> None:
    for name in ("generate", "interpolate", "project", "onnx", "push", "export --onnx"):
        assert name in TOOLS
