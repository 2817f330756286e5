"""A run that is watched: it can be paused, stepped and taken back, by whoever sits there alone."""

import http.client
import json
import shutil
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model.training import loop
from model.training.__main__ import main
from model.training.datasets.dataset import Dataset, load
from model.training.presets import Schedule
from model.training.run.checkpoint import newest_first
from model.training.run.run_log import read_rows
from model.training.run.watch import Control, Watch, go_back
from tests.browsing import Visit, chromium, until
from tests.services import wait_until
from tests.tiny_runs import final_bytes, make_run

IMAGES, BATCH = 640, 32
SCHEDULE = Schedule(
    images=IMAGES, log_steps=1, grid_steps=1, figure_images=200, checkpoint_seconds=0, keep=100
)


@pytest.fixture(scope="module")
def data(digits: Path) -> Dataset:
    return load(digits, "train", side=28, channels=1)


@pytest.fixture(scope="module")
def unbroken(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("runs") / "unbroken", data, schedule=SCHEDULE)
    assert loop.train(run, stop=lambda: False)
    return run.folder


class AfterSteps(Control):
    """Says something after so many steps."""

    def __init__(self, steps: int, act: Callable[[Control], None]) -> None:
        super().__init__(lambda: False)
        self._left, self._act = steps, act

    def __call__(self) -> bool:
        self._left -= 1
        if self._left == 0:
            self._act(self)
        return super().__call__()


def seen(folder: Path) -> int:
    rows = read_rows(folder / "stats.jsonl")
    return int(rows[-1]["images_seen"]) if rows else 0


@pytest.mark.parametrize("count", [0, 3 * BATCH, 11 * BATCH])
def test_run_that_went_back_ends_with_the_bytes_of_an_unbroken_one(
    data: Dataset, unbroken: Path, tmp_path: Path, count: int
) -> None:
    run = make_run(tmp_path / "run", data, schedule=SCHEDULE)
    control = AfterSteps(12, lambda one: one.say("back", count))
    assert not loop.train(run, control)
    assert control.back == count
    go_back(run.folder, count)
    assert int(newest_first(run.folder / "checkpoints")[0].stem[-9:]) == count
    assert max(int(path.stem[-9:]) for path in (run.folder / "grids").glob("*.png")) == count
    control.back = None
    assert loop.train(run, control)
    assert final_bytes(run.folder) == final_bytes(unbroken)
    verdicts = [(folder / "verdicts.jsonl").read_text() for folder in (run.folder, unbroken)]
    assert verdicts[0] == verdicts[1]


def test_paused_run_waits_and_takes_single_steps(
    data: Dataset, unbroken: Path, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", data, schedule=SCHEDULE)
    control = AfterSteps(3, lambda one: one.say("pause"))
    trains = threading.Thread(target=loop.train, args=(run, control))
    trains.start()
    for steps in (3, 4, 5):
        wait_until(lambda steps=steps: seen(run.folder) == steps * BATCH)  # type: ignore[misc]
        trains.join(0.3)
        assert seen(run.folder) == steps * BATCH
        control.say("step")
    control.say("go")
    trains.join()
    assert final_bytes(run.folder) == final_bytes(unbroken)


def test_paused_run_still_ends_when_it_is_told_to(data: Dataset, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", data, schedule=SCHEDULE)
    asked = threading.Event()
    control = Control(asked.is_set)
    control.say("pause")
    trains = threading.Thread(target=loop.train, args=(run, control))
    trains.start()
    wait_until(lambda: seen(run.folder) == BATCH)
    asked.set()
    trains.join()
    assert seen(run.folder) == BATCH


@pytest.fixture
def watched(unbroken: Path) -> Iterator[Watch]:
    with Watch(unbroken, 0, Control(lambda: False)) as watch:
        yield watch


def ask(watch: Watch, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", watch.port)
    given = {"Host": f"127.0.0.1:{watch.port}"} | headers
    connection.request(method, path, headers=given)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_state_and_history_are_those_of_the_folder(watched: Watch) -> None:
    status, content = ask(watched, "GET", "/state.json")
    state = json.loads(content)
    assert (status, state["images_seen"], state["moments"]) == (200, IMAGES, 21)
    assert state["checkpoints"] == list(range(IMAGES, -1, -BATCH))
    status, content = ask(watched, "GET", "/history.json")
    assert (status, len(json.loads(content)["moments"])) == (200, 21)
    assert ask(watched, "GET", "/history.webp")[1][8:12] == b"WEBP"


def test_history_is_made_once_a_grid(watched: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(
        "model.training.run.watch.write_history", lambda *words, **more: made.append(words)
    )
    for _ in range(3):
        watched.history()
    assert len(made) == 1


def test_look_at_a_long_run_parses_little_of_its_log(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(unbroken, run)
    for name in ("stats.jsonl", "verdicts.jsonl"):
        last = json.loads((run / name).read_text().splitlines()[-1])
        rows = [json.dumps(last | {"images_seen": count}) for count in range(IMAGES + 1, 9000)]
        with (run / name).open("a") as log:
            log.write("\n".join([*rows, rows[-1][:40]]))  # the last is still being written
    parsed: list[str] = []
    loads = json.loads

    def counted(text: str) -> Any:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(json, "loads", counted)
    with Watch(run, 0) as watch:
        assert watch.state()["images_seen"] == 8999
        assert len(parsed) == 1
        found = loads(watch.history()["history.json"])
    assert len(parsed) < 2000
    assert found["curves"]["images_seen"][-1] == 8999
    assert [len(one["fake"]) for one in found["verdicts"]] == [36] * 21


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("GET", "/state.json", {"Host": "evil.example"}, 403, id="rebound-name"),
        pytest.param("GET", "/state.json", {"Host": "127.0.0.1:1"}, 403, id="other-port"),
        pytest.param("POST", "/pause", {}, 403, id="page-of-another-site"),
        pytest.param("POST", "/pause", {"X-Watch": "1", "Host": "evil.example"}, 403, id="both"),
        pytest.param("POST", "/burn", {"X-Watch": "1"}, 409, id="no-such-word"),
        pytest.param("POST", "/back/31", {"X-Watch": "1"}, 409, id="no-such-checkpoint"),
        pytest.param("POST", "/back/x", {"X-Watch": "1"}, 409, id="no-number"),
        pytest.param("GET", "/page/../main.py", {}, 404, id="outside"),
        pytest.param("GET", "/page/%2e%2e/main.py", {}, 404, id="outside-quoted"),
        pytest.param("GET", "/checkpoints/x", {}, 404, id="run-folder"),
        pytest.param("GET", "/page/learn.js", {}, 200, id="page"),
        pytest.param("POST", "/pause", {"X-Watch": "1"}, 204, id="pause"),
    ],
)
def test_run_is_steered_by_this_machine_s_own_page_alone(
    watched: Watch, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    assert ask(watched, method, path, **headers)[0] == status
    assert watched.control is not None
    assert watched.control.paused is (status == 204)
    assert watched.control.back is None


def test_run_that_is_only_watched_is_not_steered(unbroken: Path) -> None:
    with Watch(unbroken, 0) as watch:
        assert ask(watch, "POST", "/pause", **{"X-Watch": "1"})[0] == 409
        assert json.loads(ask(watch, "GET", "/state.json")[1])["steered"] is False


@pytest.mark.parametrize("asked", ["", "/state", "/history.json HTTP/1.0\r\nHost: {}\r\n\r\n"])
def test_who_leaves_in_the_middle_is_no_mistake_of_the_run(
    asked: str, unbroken: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = threading.Event()

    def history() -> dict[str, bytes]:
        left.wait()
        return {"history.json": bytes(10**7)}

    with Watch(unbroken, 0) as watch:
        monkeypatch.setattr(watch, "history", history)
        with socket.create_connection(("127.0.0.1", watch.port)) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            one.sendall(f"GET {asked}".format(f"127.0.0.1:{watch.port}").encode())
            wait_until(lambda: answering(1), "it is answered")
        left.set()
        wait_until(lambda: answering(0), "the answer has ended")
    assert capsys.readouterr().err == ""


def answering(count: int) -> bool:
    """Tells whether so many requests are being answered."""
    return count == sum("process_request" in thread.name for thread in threading.enumerate())


def test_port_that_is_taken_is_told_of(unbroken: Path, watched: Watch, capsys: Any) -> None:
    assert main(["watch", str(unbroken), "--port", str(watched.port)]) != 0
    assert f"port {watched.port}: cannot listen there" in capsys.readouterr().err
    assert main(["watch", str(unbroken / "nothing")]) != 0
    assert "no grids there" in capsys.readouterr().err


@pytest.mark.browser
@pytest.mark.slow
def test_page_shows_the_run_and_steers_it(watched: Watch) -> None:
    control = watched.control
    assert control is not None
    with chromium() as browser:
        here = Visit(browser, watched.address, reduced_motion="reduce")
        page = here.page
        page.goto(watched.address)
        page.get_by_text("640 pictures seen").wait_for()
        page.locator("canvas[data-moment='20']").wait_for()
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Go on").wait_for()
        assert control.paused
        page.get_by_role("button", name="One step").click()
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name="Pause").wait_for()
        assert not control.paused
        page.get_by_label("Checkpoint").select_option("320")
        page.get_by_role("button", name="Go back to it").click()
        until(page, "document.querySelector('#said').textContent.startsWith('back')")
        assert control.back == 320
        assert here.wrong == []
        here.context.close()
