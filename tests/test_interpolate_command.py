"""`interpolate` writes the moving pictures that a service serves, and grids of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageSequence

from app.main import create_app
from app.settings import Settings
from model.encoding import animations
from model.encoding.marking import read_recipe
from model.generator_file import read_generator_file
from model.mistakes import install
from model.samplers.sampler import load_sampler
from model.training.__main__ import main
from tests.statuses import status_of

TINY, PETS = "tiny", "pets"


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[TestClient]:
    settings = Settings(
        generator=str(folder / TINY), models=(str(folder / PETS),), device="cpu", max_batch=16
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("ending", "served"), [("webp", "webp"), ("gif", "gif"), ("png", "apng"), ("apng", "apng")]
)
def test_animation_is_the_one_that_is_served(
    folder: Path, service: TestClient, tmp_path: Path, ending: str, served: str
) -> None:
    output = tmp_path / f"way.{ending}"
    arguments = ["interpolate", str(folder / TINY), "--seeds", "3,8,5", "--device", "cpu"]
    assert main([*arguments, "--output", str(output)]) == 0
    assert output.read_bytes() == service.get(f"/interpolate.{served}?seeds=3,8,5").content


def test_options_do_what_the_services_parameters_do(
    folder: Path, service: TestClient, tmp_path: Path
) -> None:
    output = tmp_path / "way.webp"
    arguments = ["interpolate", str(folder / PETS), "--seeds", "3-5", "--class", "red panda"]
    arguments += ["--frames", "9", "--mode", "spline", "--loop", "--ease", "in-out", "--fps", "7"]
    arguments += ["--truncation", "0.5", "--edit", "d1:1", "--scale", "2", "--batch", "4"]
    assert main([*arguments, "--device", "cpu", "--output", str(output)]) == 0
    query = "seeds=3,4,5&class=red panda&frames=9&mode=spline&loop=true&ease=in-out&fps=7"
    served = service.get(f"/interpolate.webp?model=pets&{query}&truncation=0.5&edit=d1:1&scale=2")
    assert output.read_bytes() == served.content


@pytest.mark.skipif(not animations.HAS_VIDEO, reason="needs the extra 'video'")
def test_mp4_is_written_with_the_extra(folder: Path, service: TestClient, tmp_path: Path) -> None:
    output = tmp_path / "way.mp4"
    arguments = ["interpolate", str(folder / TINY), "--seeds", "1,2", "--frames", "5"]
    assert main([*arguments, "--device", "cpu", "--output", str(output)]) == 0
    assert output.read_bytes() == service.get("/interpolate.mp4?seeds=1,2&frames=5").content


def test_without_the_extra_mp4_is_refused_in_one_line(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(animations, "HAS_VIDEO", False)
    arguments = ["interpolate", str(folder / TINY), "--seeds", "1,2", "--device", "cpu"]
    assert main([*arguments, "--output", str(tmp_path / "way.mp4")]) == 2
    assert install("video") in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_grid_shows_its_ways_side_by_side(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "way.png"
    arguments = ["interpolate", str(folder / TINY), "--seeds", "1-6", "--frames", "4"]
    assert main([*arguments, "--grid", "3x1", "--device", "cpu", "--output", str(output)]) == 0
    with Image.open(output) as video:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(video)]
    file = read_generator_file(folder / TINY)
    ends = load_sampler(file, "cpu")(file.config.rows(range(1, 7)))[..., 0]
    assert len(frames) == 4
    assert np.array_equal(frames[0], np.concatenate(ends[::2], axis=1))
    assert np.array_equal(frames[-1], np.concatenate(ends[1::2], axis=1))
    recipe = read_recipe(output.read_bytes())
    assert recipe is not None
    assert recipe["grid"] == "3x1"


BROKEN = {
    "no-seeds": (["TINY"], "--seeds"),
    "one-seed": (["TINY", "--seeds", "1"], "two or more for each of 1 interpolations"),
    "seeds-text": (["TINY", "--seeds", "a,b"], "seeds such as"),
    "seeds-too-many": (["TINY", "--seeds", "0-2000"], "up to 1024 in all"),
    "grid-not-filled": (["TINY", "--seeds", "1-5", "--grid", "2x1"], "as many for each"),
    "grid-text": (["TINY", "--seeds", "1-4", "--grid", "2by1"], "4x2 or the like"),
    "grid-empty": (["TINY", "--seeds", "1-4", "--grid", "0x1"], "4x2 or the like"),
    "frames-too-few": (["TINY", "--seeds", "1-4", "--frames", "3"], "here 4"),
    "frames-too-many": (
        ["TINY", "--seeds", "1-4", "--frames", "100000", "--scale", "16"],
        "allowed: up to 536,870,912",
    ),
    "mode-unknown": (["TINY", "--seeds", "1,2", "--mode", "jump"], "invalid choice"),
    "fps-zero": (["TINY", "--seeds", "1,2", "--fps", "0"], "allowed: 1 to 60"),
    "class-unknown": (["PETS", "--seeds", "1,2", "--class", "bird"], "pets has cat"),
    "class-of-none": (["TINY", "--seeds", "1,2", "--class", "cat"], "has no classes"),
    "ending-unknown": (["TINY", "--seeds", "1,2", "--output", "way.avi"], "allowed: .webp"),
    "ending-missing": (["TINY", "--seeds", "1,2", "--output", "way"], "allowed: .webp"),
    "too-wide-for-webp": (
        ["TINY", "--seeds", "0-139", "--grid", "70x1", "--scale", "16", "--frames", "2"],
        "too many for webp",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_mistake_is_one_clear_line(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, reason = BROKEN[kind]
    places = {"TINY": str(folder / TINY), "PETS": str(folder / PETS)}
    typed = [places.get(text, text) for text in arguments]
    if "--output" in typed:
        typed[-1] = str(tmp_path / typed[-1])
    else:
        typed += ["--output", str(tmp_path / "way.webp")]
    status = status_of(main, ["interpolate", *typed, "--device", "cpu"])
    error = capsys.readouterr().err
    assert status == 2
    assert reason in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []
