"""How a generator came to be: looked at without changing it, written small, served as it is."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.main import create_app
from app.settings import Settings
from model.training import loop
from model.training.datasets.dataset import Dataset, load
from model.training.presets import Schedule
from model.training.run.history import MOMENTS, write_history
from model.training.run.run_log import read_rows
from tests.conftest import write_tiny_generator
from tests.tiny_runs import final_bytes, make_run

IMAGES = 640
OFTEN = Schedule(images=IMAGES, log_steps=2, grid_steps=1, figure_images=200)
NEVER = Schedule(images=IMAGES, log_steps=2, grid_steps=1000, figure_images=200)
BLOCK = 6 * 28  # pixels of one moment on the sheet


@pytest.fixture(scope="module")
def data(digits: Path) -> Dataset:
    return load(digits, "train", side=28, channels=1)


@pytest.fixture(scope="module")
def run(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_run(tmp_path_factory.mktemp("runs") / "often", data, schedule=OFTEN)
    assert loop.train(made, stop=lambda: False)
    return made.folder


def history(folder: Path) -> tuple[dict, np.ndarray]:  # type: ignore[type-arg]
    with Image.open(folder / "history.webp") as image:
        return json.loads((folder / "history.json").read_text()), np.asarray(image)


def test_looking_at_pictures_changes_no_training(run: Path, data: Dataset, tmp_path: Path) -> None:
    other = make_run(tmp_path / "never", data, schedule=NEVER)
    assert loop.train(other, stop=lambda: False)
    assert final_bytes(run) == final_bytes(other.folder)


def test_every_grid_has_the_verdicts_of_its_moment(run: Path) -> None:
    rows = read_rows(run / "verdicts.jsonl")
    assert [row["images_seen"] for row in rows] == list(range(0, IMAGES + 1, 32))
    for row in rows:
        assert (len(row["real"]), len(row["fake"])) == (36, 36)
    assert rows[0]["real"] != rows[-1]["real"]


def test_resumed_run_has_each_verdict_once(data: Dataset, run: Path, tmp_path: Path) -> None:
    made = make_run(tmp_path / "run", data, schedule=OFTEN)
    asked = iter([False] * 6 + [True])
    assert not loop.train(made, stop=lambda: next(asked))
    with (made.folder / "verdicts.jsonl").open("a") as file:
        file.write('{"images_seen": 9999}\n')
    assert loop.train(made, stop=lambda: False)
    assert (made.folder / "verdicts.jsonl").read_text() == (run / "verdicts.jsonl").read_text()


@pytest.mark.parametrize("reals", [True, False])
def test_history_shows_moments_as_they_were(run: Path, tmp_path: Path, reals: bool) -> None:
    assert write_history(run, tmp_path, IMAGES, reals=reals) == "its history in 21 moments"
    found, sheet = history(tmp_path)
    assert found["moments"] == list(range(0, IMAGES + 1, 32))
    assert (found["side"], found["grid"], found["reals"]) == (28, 6, reals)
    names = [f"grids/{count:09d}.png" for count in found["moments"]] + ["reals.png"] * reals
    for place, name in enumerate(names):
        y, x = BLOCK * (place // found["across"]), BLOCK * (place % found["across"])
        with Image.open(run / name) as image:
            away = np.abs(sheet[y : y + BLOCK, x : x + BLOCK, 0] - np.asarray(image, np.float32))
        assert away.mean() < 4, name
    rows = read_rows(run / "verdicts.jsonl")
    for row, short in zip(rows, found["verdicts"], strict=True):
        assert short["fake"] == pytest.approx(row["fake"], abs=0.006)
    curves = found["curves"]
    assert curves["images_seen"][-1] == IMAGES
    assert all(len(curve) == len(curves["images_seen"]) for curve in curves.values())
    assert {"loss_d", "loss_g", "d_real", "d_fake"} < curves.keys()


def test_history_is_of_what_is_exported_and_no_later(run: Path, tmp_path: Path) -> None:
    write_history(run, tmp_path, 320, reals=True)
    found, _ = history(tmp_path)
    assert found["moments"][-1] == found["curves"]["images_seen"][-1] == 320


def test_history_of_a_long_run_is_small(run: Path, tmp_path: Path) -> None:
    """The worst there is: noise in colour, which nothing packs."""
    random = np.random.default_rng(0)
    long = tmp_path / "long"
    (long / "grids").mkdir(parents=True)
    for count in range(300):
        noise = random.integers(0, 256, (6 * 64, 6 * 64, 3), np.uint8)
        Image.fromarray(noise).save(long / "grids" / f"{1000 * count:09d}.png", compress_level=0)
    rows = [{"images_seen": 100 * n, "loss_d": 0.1234567, "loss_g": n / 7} for n in range(3000)]
    (long / "stats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_history(long, tmp_path, 299_000, reals=True)
    found, sheet = history(tmp_path)
    assert len(found["moments"]) == MOMENTS
    assert len(set(found["moments"])) == MOMENTS
    assert (found["moments"][0], found["moments"][-1]) == (0, 299_000)
    assert found["moments"][1] - found["moments"][0] < found["moments"][-1] - found["moments"][-2]
    assert (found["side"], sheet.shape) == (32, (5 * 192, 8 * 192, 3))
    assert sum((tmp_path / f"history.{end}").stat().st_size for end in ("json", "webp")) < 400_000


def test_run_without_grids_has_no_history(tmp_path: Path) -> None:
    assert write_history(tmp_path, tmp_path, 100, reals=True).startswith("no history")
    assert not list(tmp_path.glob("history*"))


def test_history_is_served_as_it_was_written(run: Path, tmp_path: Path) -> None:
    folder = write_tiny_generator(tmp_path / "tiny")
    write_history(run, folder, IMAGES, reals=True)
    with TestClient(create_app(Settings(generator=str(folder)))) as client:
        (served,) = client.get("/models").json()["models"]
        card = client.get(f"/models/{served['id']}").json()
        assert card["history"] == f"/models/{served['id']}/history.json"
        answer = client.get(card["history"])
        assert answer.content == (folder / "history.json").read_bytes()
        again = client.get(card["history"], headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        sheet = client.get(card["history"].replace(".json", ".webp"))
        assert sheet.headers["Content-Type"] == "image/webp"
        with Image.open(io.BytesIO(sheet.content)) as image:
            assert image.width == 8 * BLOCK
        assert client.get("/models/other/history.json").status_code == 404
        assert client.get(f"/models/{served['id']}/history.png").status_code in (404, 422)


@pytest.mark.parametrize("names", [(), ("json",), ("webp",), ("json", "webp")])
def test_generator_without_a_history_says_so(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = write_tiny_generator(tmp_path / "tiny")
    for name in names:
        (folder / f"history.{name}").write_bytes(bytes(2**20 + 1))
    with TestClient(create_app(Settings(generator=str(folder)))) as client:
        (served,) = client.get("/models").json()["models"]
        assert client.get(f"/models/{served['id']}").json()["history"] is None
        assert client.get(f"/models/{served['id']}/history.json").status_code == 404
