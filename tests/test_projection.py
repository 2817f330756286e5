"""From a picture back to its latent: near, bounded, the same every time."""

import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.main import create_app
from app.settings import Settings
from model.encoding.marking import SOURCE_TYPE
from model.generator_file import GeneratorFile, read_generator_file
from model.latent_space.projection import MOST_STARTS, MOST_STEPS, project
from model.samplers.sampler import load_sampler
from model.training.__main__ import main
from model.training.commands.project import read_picture
from tests.conftest import CLASSES
from tests.statuses import status_of

RECOVERED = 0.2  # share of the error of the best start


@pytest.fixture(scope="module")
def tiny(folder: Path) -> GeneratorFile:
    return read_generator_file(folder / "tiny")


@pytest.fixture(scope="module")
def pets(folder: Path) -> GeneratorFile:
    return read_generator_file(folder / "pets")


def drawn(file: GeneratorFile, seed: int, class_: int | None = None) -> np.ndarray:
    return load_sampler(file, "cpu")(file.config.rows([seed], class_))[0]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Returns root mean square, in levels of 255."""
    return float(np.sqrt(np.square(a.astype(float) - b).mean()))


@pytest.mark.parametrize("seed", [3, 14, 15])
def test_picture_that_the_generator_drew_is_found_again(tiny: GeneratorFile, seed: int) -> None:
    picture = drawn(tiny, seed)
    first, *_, last = project(tiny, picture, steps=160)
    assert last.error < RECOVERED * first.error
    assert distance(load_sampler(tiny, "cpu")(last.row[None])[0], picture) == pytest.approx(
        last.error, abs=0.5
    )
    assert np.abs(last.row).max() <= 1  # where the prior puts latents


def test_class_of_the_picture_is_found_with_it(pets: GeneratorFile) -> None:
    for place in range(3):
        picture = drawn(pets, 5, place)
        first, *_, last = project(pets, picture, steps=120)
        assert last.error < RECOVERED * first.error
        assert last.row[8:].tolist() == np.eye(3)[place].tolist()
        assert np.square(last.row[:8]).mean() < 1.5


def test_class_that_is_named_is_kept(pets: GeneratorFile) -> None:
    *_, last = project(pets, drawn(pets, 5, 0), steps=8, class_=2)
    assert last.row[8:].tolist() == [0, 0, 1]


def test_best_never_gets_worse_and_the_last_report_is_the_last_step(tiny: GeneratorFile) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (28, 28, 1)).astype(np.uint8)
    reports = list(project(tiny, picture, steps=90, starts=3))
    errors = [report.error for report in reports]
    assert errors == sorted(errors, reverse=True)
    steps = [report.step for report in reports]
    assert (steps[0], steps[-1]) == (0, 90)
    assert steps == sorted(set(steps))
    assert {report.steps for report in reports} == {90}


def test_same_inputs_give_the_same_row_and_another_seed_another_way(tiny: GeneratorFile) -> None:
    picture = drawn(tiny, 8)
    rows = [[*project(tiny, picture, steps=30, seed=seed)][-1].row for seed in (0, 0, 1)]
    assert np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])


def test_work_is_bounded_and_done_only_as_it_is_asked_for(tiny: GeneratorFile) -> None:
    reports = project(tiny, drawn(tiny, 1), steps=MOST_STEPS)
    assert next(reports).step == 0
    assert 0 < next(reports).step <= 100
    reports.close()  # type: ignore[attr-defined]  # it is a generator, which may be left


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (28, 28, 3)),
        ({}, (32, 32, 1)),
        ({"steps": 0}, (28, 28, 1)),
        ({"steps": MOST_STEPS + 1}, (28, 28, 1)),
        ({"starts": 0}, (28, 28, 1)),
        ({"starts": MOST_STARTS + 1}, (28, 28, 1)),
    ],
)
def test_what_is_out_of_bounds_is_refused_at_once(
    tiny: GeneratorFile, options: dict[str, int], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"the generator's are \(28, 28, 1\)|allowed: 1 to"):
        project(tiny, np.zeros(shape, np.uint8), **options)  # type: ignore[arg-type]


def test_command_writes_both_pictures_and_prints_a_z_that_draws_the_found_one(
    folder: Path, pets: GeneratorFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = drawn(pets, 4, 2)
    Image.fromarray(picture).save(tmp_path / "given.png")
    output = tmp_path / "both.png"
    arguments = ["project", str(folder / "pets"), str(tmp_path / "given.png"), "--json"]
    arguments += ["--output", str(output), "--steps", "40", "--seed", "3", "--class", "red panda"]
    assert main([*arguments, "--device", "cpu"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == pets.config.id
    assert told["class"] == CLASSES[2]
    assert told["error"] < told["error_before"]
    with Image.open(output) as image:
        both = np.asarray(image)
    assert np.array_equal(both[:, :32], picture)
    settings = Settings(generator=str(folder / "pets"), device="cpu", max_batch=16)
    with TestClient(create_app(settings)) as service:
        recipe = {"z": told["z"], "class": told["class"]}
        answer = service.post("/generate", json={"recipes": [recipe], "format": "png"})
    (tmp_path / "served.png").write_bytes(answer.content)
    with Image.open(tmp_path / "served.png") as image:
        assert np.array_equal(np.asarray(image), both[:, 32:])
    assert SOURCE_TYPE.encode() in output.read_bytes()


def test_without_json_one_line_tells_how_near_it_is(
    folder: Path, tiny: GeneratorFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(drawn(tiny, 4)[..., 0]).save(tmp_path / "given.png")
    arguments = ["project", str(folder / "tiny"), str(tmp_path / "given.png"), "--steps", "8"]
    output = tmp_path / "both.png"
    assert main([*arguments, "--scale", "2", "--output", str(output), "--device", "cpu"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "before gradient descent" in line
    with Image.open(output) as image:
        assert image.size == (4 * 28, 2 * 28)


def test_centre_of_a_photograph_is_taken_and_made_to_fit(tmp_path: Path) -> None:
    photograph = Image.new("RGB", (90, 60), (255, 0, 0))
    photograph.paste((0, 128, 0), (15, 0, 75, 60))
    photograph.save(tmp_path / "photo.webp", lossless=True)
    found = read_picture(tmp_path / "photo.webp", 20, 3)
    assert found.shape == (20, 20, 3)
    assert (found[:, 4:-4] == [0, 128, 0]).all()  # smoothing mixes in what lies beyond the edge
    assert read_picture(tmp_path / "photo.webp", 16, 1).shape == (16, 16, 1)


BROKEN = {
    "no-picture": (["TINY", "NONE", "--output", "x.png"], "not a readable picture"),
    "text": (["TINY", "TEXT", "--output", "x.png"], "not a readable picture"),
    "ending": (["TINY", "GIVEN", "--output", "x.jpg"], "ends in .png"),
    "no-output": (["TINY", "GIVEN"], "--output"),
    "class-of-none": (["TINY", "GIVEN", "--class", "0", "--output", "x.png"], "has no classes"),
    "class-unknown": (["PETS", "GIVEN", "--class", "bird", "--output", "x.png"], "pets has cat"),
    "steps-zero": (["TINY", "GIVEN", "--steps", "0", "--output", "x.png"], "allowed: 1 to 10000"),
    "no-generator": (["NONE", "GIVEN", "--output", "x.png"], "no such folder"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_mistake_is_one_clear_line(
    kind: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    Image.new("L", (28, 28)).save(tmp_path / "given.png")
    places = {
        "TINY": str(folder / "tiny"),
        "PETS": str(folder / "pets"),
        "NONE": "/no/where",
        "TEXT": "text.png",
        "GIVEN": "given.png",
    }
    arguments, reason = BROKEN[kind]
    status = status_of(main, ["project", *(places.get(text, text) for text in arguments)])
    error = capsys.readouterr().err
    assert status == 2
    assert reason in error
    assert "Traceback" not in error
    assert not (tmp_path / "x.png").exists()
