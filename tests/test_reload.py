"""Generator files again while serving: nothing is lost, and name@hash means the same for ever."""

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import app.server.reloading
from app.access.keys import key_hash
from app.main import create_app
from app.server.loading import load_all
from app.server.reloading import Reloader
from app.settings import Settings
from tests.conftest import TINY, edit_json, write_tiny_generator
from tests.services import TIMEOUT, fetch, problem_of, service, wait_until

KEY = "gan_admin"
ADMIN = {"Authorization": f"Bearer {KEY}"}
# the real service, which is sent a SIGHUP as it begins to load its generator, or to import the rest
LOADING = """
import os, signal, sys
import app.__main__, app.server.reloading
load_all = app.server.reloading.load_all
def hung_up(*arguments):
    if app.server.reloading.load_all is hung_up:
        app.server.reloading.load_all = load_all
        os.kill(os.getpid(), signal.SIGHUP)
    return load_all(*arguments)
app.server.reloading.load_all = hung_up
sys.exit(app.__main__.main())
"""
IMPORTING = """
import importlib, os, signal, sys
import app.__main__
import_module = importlib.import_module
def hung_up(name, package=None):
    importlib.import_module = import_module
    os.kill(os.getpid(), signal.SIGHUP)
    return import_module(name, package)
importlib.import_module = hung_up
sys.exit(app.__main__.main())
"""
WHILE_LOADING, WHILE_IMPORTING = ([sys.executable, "-c", code] for code in (LOADING, IMPORTING))
Host = Callable[..., contextlib.AbstractContextManager[TestClient]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.server.reloading.SETTLE_SECONDS", 0.05)


@pytest.fixture
def folder(generator_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generator_folder, tmp_path / "tiny"))


@contextlib.contextmanager
def host(folder: Path, **settings: Any) -> Iterator[TestClient]:
    hashes = (key_hash(KEY),)
    chosen = Settings(
        generator=str(folder), device="cpu", max_batch=8, admin_key_hashes=hashes, **settings
    )
    with TestClient(create_app(chosen), raise_server_exceptions=False) as client:
        yield client


def renew(folder: Path, z_dim: int) -> None:
    """Puts another generator of the same name in the same place."""
    write_tiny_generator(folder, replace(TINY, z_dim=z_dim))


def reload(client: TestClient) -> Any:
    answer = client.post("/admin/reload", headers=ADMIN)
    assert answer.status_code == 200
    return answer.json()


def test_new_file_is_served_and_the_old_one_keeps_its_permanent_urls(folder: Path) -> None:
    with host(folder) as client:
        (old,) = reload(client)["served"]
        before = client.get("/generate?seed=7").content
        kept = {
            path: client.get(path).content
            for path in (f"/i/{old}/7.png", f"/generate?seed=7&n=4&model={old}", f"/models/{old}")
        }
        renew(folder, 9)
        found = reload(client)
        (new,) = found["loaded"]
        assert found == {"loaded": [new], "served": [new], "former": [old]}
        assert new.startswith("tiny@")
        assert new != old
        assert client.get("/generate?seed=7").headers["Image-Model"] == new
        assert client.get("/generate?seed=7&model=tiny").headers["Image-Model"] == new
        assert client.get("/generate?seed=7").content != before
        assert [entry["id"] for entry in client.get("/models").json()["models"]] == [new]
        assert {path: client.get(path).content for path in kept} == kept
        assert reload(client)["loaded"] == []
        assert client.get(f"/i/{old}/7.png").content == before


def device_threads() -> int:
    """Returns one a generator; other threads come and go with the event loop's work."""
    return sum(thread.name == "device" for thread in threading.enumerate())


def test_replaced_generators_beyond_the_setting_are_dropped_and_leave_nothing(folder: Path) -> None:
    with host(folder, keep_reloaded=1) as client:
        (first,) = reload(client)["served"]
        reloader = client.app.state.reloader  # type: ignore[attr-defined]
        alive = weakref.ref(reloader.generators.default)
        before = device_threads()
        for z_dim in (9, 10):
            renew(folder, z_dim)
            reload(client)
        problem_of(client.get(f"/i/{first}/7.png"), 404)

        def gone() -> bool:
            gc.collect()  # what the garbage collector may take at leisure
            return alive() is None

        wait_until(gone, "the replaced generator is gone")
        # one is of the previous generator that is kept
        wait_until(lambda: device_threads() <= before + 1, "its thread is gone")
        assert len(reloader.generators.previous) == 1


def test_old_file_again_is_the_old_generator_again(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ganserve")
    copy = shutil.copytree(folder, tmp_path / "copy")
    with host(folder) as client:
        (old,) = reload(client)["served"]
        before = client.get("/generate?seed=7").content
        renew(folder, 9)
        reload(client)
        shutil.rmtree(folder)
        shutil.copytree(copy, folder)
        found = reload(client)
        assert (found["loaded"], found["served"]) == ([], [old])
        assert client.get("/generate?seed=7").content == before
        assert f"{old} again" in caplog.text
        metrics = client.get("/metrics").text
        for outcome, count in {"loaded": 1, "restored": 1, "unchanged": 1}.items():
            assert f'ganserve_reloads_total{{outcome="{outcome}"}} {count}.0' in metrics


class Reading:
    """`load_all`, which stays at the end of its work for as long as it is held."""

    def __init__(self, load_all: Any) -> None:
        self._load_all = load_all
        self.begun = 0
        self.has_read, self.may_end = threading.Event(), threading.Event()

    def __call__(self, *arguments: Any) -> Any:
        self.begun += 1
        found = self._load_all(*arguments)
        self.has_read.set()
        assert self.may_end.wait(TIMEOUT)
        return found


def test_whoever_asks_while_files_are_read_has_them_read_once_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with host(folder) as client:
        (old,) = reload(client)["served"]
        reading = Reading(load_all)
        monkeypatch.setattr(app.server.reloading, "load_all", reading)
        asked: list[None] = []
        answer = Reloader.reload

        async def counted(reloader: Reloader) -> Any:
            asked.append(None)
            return await answer(reloader)

        monkeypatch.setattr(Reloader, "reload", counted)
        with ThreadPoolExecutor() as askers:
            first = askers.submit(reload, client)
            assert reading.has_read.wait(TIMEOUT)  # the file that there was
            renew(folder, 9)
            others = [askers.submit(reload, client) for _ in range(3)]
            wait_until(lambda: len(asked) == 4)
            reading.may_end.set()
            assert first.result()["served"] == [old]
            found = [other.result() for other in others]
        assert reading.begun == 2  # once for all three
        assert found == [found[0]] * 3
        assert found[0]["former"] == [old]


@pytest.mark.parametrize("command", [WHILE_LOADING, WHILE_IMPORTING], ids=["loading", "importing"])
def test_sighup_while_it_starts_is_a_reload_when_it_has_started(
    folder: Path, command: list[str]
) -> None:
    with service(folder, command) as (process, address):
        fetch(f"{address}/livez")
        process.send_signal(signal.SIGTERM)
        _, lines = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert "reloaded in" in lines


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(shutil.rmtree, "no such folder", id="gone"),
        pytest.param(
            lambda f: os.truncate(f / "model.safetensors", 500), "SHA-256", id="truncated"
        ),
        pytest.param(
            lambda f: edit_json(f / "config.json", crop=26, golden=None),
            "one picture a seed for ever",
            id="other-pictures",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_and_changes_nothing(
    folder: Path, damage: Callable[[Path], object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with host(folder) as client:
        before = client.get("/generate?seed=7").content
        damage(folder)
        problem = problem_of(client.post("/admin/reload", headers=ADMIN), 409)
        assert reason in problem["detail"]
        assert "reload refused" in caplog.text
        assert client.get("/generate?seed=7").content == before
        assert client.get("/generate?seed=8").status_code == 200


def test_card_that_was_changed_on_purpose_is_taken_over(folder: Path) -> None:
    with host(folder) as client:
        (old,) = reload(client)["served"]
        before = client.get("/generate?seed=7").content
        edit_json(folder / "config.json", licence="CC0")
        assert reload(client)["served"] == [old]
        assert client.get("/models/tiny").json()["training"]["licence"] == "CC0"
        assert client.get(f"/i/{old}/7.png").content == before


def test_large_answer_that_has_begun_is_finished_by_the_old_generator(folder: Path) -> None:
    body = {"seeds": "0-999", "format": "npy"}
    with host(folder, keep_reloaded=0) as client:
        whole = client.post("/generate", json=body).content
        generation = client.app.state.generators.default  # type: ignore[attr-defined]
        with generation.batcher.held():
            renew(folder, 9)
            reload(client)
            time.sleep(0.3)
            assert generation.batcher.failure(60) is None  # still there
            reply = client.portal.call(_next_piece, generation)
        assert reply.tobytes() == whole[-len(reply.tobytes()) :]
        assert client.post("/generate", json=body).content != whole


async def _next_piece(generation: Any) -> Any:
    return await generation.batcher.submit(range(990, 1000), goes_on=True).reply


def test_former_generators_answer_to_name_and_hash_alone(folder: Path, tmp_path: Path) -> None:
    with host(folder) as client:
        (old,) = reload(client)["served"]
        picture = client.get(f"/i/{old}/7.png").content
    renew(tmp_path / "new", 9)
    with host(tmp_path / "new", former=(str(folder),)) as client:
        assert client.get(f"/i/{old}/7.png").content == picture
        assert client.get("/generate?seed=7&model=tiny").headers["Image-Model"] != old
        assert len(client.get("/models").json()["models"]) == 1


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer gan_wrong"}])
def test_reload_wants_an_admin_key(folder: Path, headers: dict[str, str]) -> None:
    with host(folder, api_key_hashes=(key_hash("gan_client"),)) as client:
        problem_of(client.post("/admin/reload", headers=headers), 401)
        own = {"Authorization": "Bearer gan_client"}
        problem_of(client.post("/admin/reload", headers=own), 401)
        problem_of(client.get("/generate?seed=1", headers=ADMIN), 401)  # it opens nothing else
        assert reload(client)["loaded"] == []


def test_without_an_admin_key_there_is_no_reload(client: TestClient) -> None:
    problem_of(client.post("/admin/reload", headers=ADMIN), 404)


def until_ready(process: "subprocess.Popen[str]", workers: int) -> None:
    """Waits until then; one that is loading when the file changes knows the new generator alone."""
    assert process.stderr is not None
    while workers:
        line = process.stderr.readline()
        assert line, "the service has ended"
        workers -= "ready after" in line


@pytest.mark.parametrize(
    ("workers", "way"),
    [
        ("1", "request"),
        ("2", "signal"),
        pytest.param("1", "signal", marks=pytest.mark.slow),
        pytest.param("2", "request", marks=pytest.mark.slow),
    ],
)
def test_reload_under_load_loses_nothing(folder: Path, workers: str, way: str) -> None:
    settings = {"GAN_WORKERS": workers, "GAN_ADMIN_KEY_HASHES": key_hash(KEY)}
    with service(folder, **settings) as (process, address):
        until_ready(process, int(workers))
        models: list[str] = []
        stop = threading.Event()

        def ask() -> None:
            seed = 0
            while not stop.is_set():
                seed += 1
                models.append(fetch_model(address, seed))

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        (old,) = {fetch_model(address)}
        renew(folder, 9)
        if way == "signal":
            process.send_signal(signal.SIGHUP)
        else:
            request = urllib.request.Request(
                f"{address}/admin/reload", method="POST", headers=ADMIN
            )
            urllib.request.urlopen(request, timeout=TIMEOUT).close()
        try:
            changed = "every worker has changed"
            wait_until(lambda: len(models) > 50 and old not in models[-50:], changed)
        finally:
            stop.set()
        for asker in askers:
            asker.join()
        assert len(set(models)) == 2
        assert old not in {fetch_model(address) for _ in range(20)}
        assert {fetch(f"{address}/i/{old}/7.png") for _ in range(10)} == {
            fetch(f"{address}/generate?seed=7&model={old}")
        }
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def fetch_model(address: str, seed: int = 1) -> str:
    with urllib.request.urlopen(f"{address}/generate?seed={seed}", timeout=TIMEOUT) as answer:
        return str(answer.headers["Image-Model"])
