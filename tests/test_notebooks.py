"""docs/notebooks: their cells run in a plain Python, in an empty folder, in a short form."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.services import TIMEOUT

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "notebooks"
ARTICLE, OWN = "the-article-in-60-lines.ipynb", "your-own-pictures.ipynb"

SAME_NETWORKS = """
from model.networks import dcgan
config = dcgan.DCGANConfig(channels=1, width=WIDTH, discriminator_width=WIDTH // 8)
for one, ours in [
    (generator, dcgan.Generator(config)), (discriminator, dcgan.Discriminator(config))
]:
    shapes, wanted = (sorted(tuple(p.shape) for p in net.parameters()) for net in (one, ours))
    assert shapes == wanted
print("the same networks")
"""


def cells(name: str, kind: str = "code") -> list[dict[str, Any]]:
    """Returns the cells of a kind."""
    found: list[dict[str, Any]] = json.loads((FOLDER / name).read_text())["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def run(name: str, folder: Path, parameters: str, after: str = "") -> str:
    """Runs a notebook's code with other parameters, and then some more; returns what it prints."""
    code = []
    for cell in cells(name):
        code.append("".join(cell["source"]))
        if "parameters" in cell["metadata"].get("tags", ()):
            code.append(parameters)
    script = folder / "notebook.py"
    script.write_text("\n".join([*code, after]))
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [file.name for file in FOLDER.iterdir()])
def test_notebook_holds_no_outputs_and_has_one_cell_of_parameters(name: str) -> None:
    for cell in cells(name):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
    assert sum("parameters" in cell["metadata"].get("tags", ()) for cell in cells(name)) == 1


@pytest.mark.slow
def test_article_takes_60_lines_and_draws_digits(tmp_path: Path) -> None:
    assert sum(len(cell["source"]) for cell in cells(ARTICLE)) <= 60
    printed = run(ARTICLE, tmp_path, "STEPS, BATCH, WIDTH = 3, 16, 32", SAME_NETWORKS)
    assert printed.startswith("step 0: loss_d ")
    assert printed.endswith("the same networks\n")
    with Image.open(tmp_path / "digits.png") as sheet:
        assert sheet.size == (256, 256)


@pytest.mark.slow
def test_own_pictures_become_a_generator(tmp_path: Path) -> None:
    short = (
        'TRAIN = ["--preset", "modern-32", "--width", "16", "--discriminator-width", "16", '
        '"--frozen-features", "none", "--batch", "16", "--kimg", "0.2", "--figure-images", "200", '
        '"--device", "cpu", "--precision", "fp32"]\n'
        'MEASURE = ["--images", "200", "--device", "cpu"]'
    )
    printed = run(OWN, tmp_path, short)
    assert "60 pictures, 54 to train with and 6 held out" in printed
    assert (tmp_path / "my-generator" / "README.md").is_file()
    with Image.open(tmp_path / "samples.png") as sheet:
        assert sheet.size == (6 * 64, 6 * 64)
