"""/project: a picture is looked for, where the operator has turned it on, one at a time."""

import http.client
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.main import create_app
from app.parameters.forms import uploaded
from app.settings import Settings
from model.generators import ZOO
from tests.conftest import write_tiny_residual
from tests.services import TIMEOUT, RunningService, fetch, needs_proc, service


@pytest.fixture(scope="module")
def client(
    generator_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    colour = write_tiny_residual(tmp_path_factory.mktemp("more") / "colour")
    settings = Settings(
        generator=str(generator_folder), models=[str(colour)], device="cpu", projection=True
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def reports(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def png(pixels: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png", **options)
    return stream.getvalue()


def drawn(client: TestClient, report: dict[str, Any]) -> np.ndarray:
    recipe = {name: report[name] for name in ("z", "class") if name in report}
    body = {"model": report["model"], "recipes": [recipe], "format": "npy"}
    found: np.ndarray = np.load(io.BytesIO(client.post("/generate", json=body).content))
    return found[0]


@pytest.mark.parametrize(("model", "seed"), [("tiny", 7), ("colour", 8)])
def test_search_comes_nearer_and_says_how_near(client: TestClient, model: str, seed: int) -> None:
    wanted = client.get(f"/generate.npy?model={model}&seed={seed}").content
    picture = client.get(f"/generate.png?model={model}&seed={seed}").content
    answer = client.post(f"/project?model={model}&steps=60", content=picture)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Cache-Control"] == "no-store"
    found = reports(answer.content)
    assert (found[0]["step"], found[-1]["step"]) == (0, 60)
    errors = [report["error"] for report in found]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]
    assert ("class" in found[-1]) == (model == "colour")
    target = np.load(io.BytesIO(wanted)).astype(float)
    off = np.sqrt(np.square(drawn(client, found[-1]) - target).mean())
    assert off == pytest.approx(errors[-1], abs=0.6)  # a drawn pixel is rounded to a level
    again = client.post(f"/project?model={model}&steps=60", content=picture)
    assert again.content == answer.content


def test_class_is_kept_where_one_is_named(client: TestClient) -> None:
    picture = client.get("/generate.png?model=colour&seed=8").content
    path = "/project?model=colour&steps=1&class=red+panda"
    found = reports(client.post(path, content=picture).content)
    assert {report["class"] for report in found} == {"red panda"}


@pytest.mark.parametrize(
    ("query", "content", "allowed"),
    [
        pytest.param("", b"", "a picture file is wanted", id="empty"),
        pytest.param("", b"GIF89a nothing", "a picture file is wanted", id="damaged"),
        pytest.param("?steps=0", None, "from 1 to 1000", id="steps"),
        pytest.param("?model=other", None, "no such generator", id="model"),
        pytest.param("?class=cat", None, "has no classes", id="class"),
        pytest.param("?seed=1", None, "unknown parameter", id="unknown"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(
    client: TestClient, query: str, content: bytes | None, allowed: str
) -> None:
    picture = png(np.zeros((5, 9), np.uint8)) if content is None else content
    answer = client.post(f"/project{query}", content=picture)
    assert answer.status_code == 422
    assert allowed in answer.json()["detail"]


def test_picture_of_more_pixels_than_allowed_is_never_unpacked(client: TestClient) -> None:
    bomb = png(np.zeros((4100, 4100), np.uint8))
    assert len(bomb) < 100_000
    answer = client.post("/project", content=bomb)
    assert answer.status_code == 422
    assert "16,777,216 pixels" in answer.json()["detail"]


def test_one_search_at_a_time_and_the_next_when_its_client_has_gone(client: TestClient) -> None:
    """The first is given up after its first line, as by a page that is closed."""
    app = client.app
    projector = app.state.projector  # type: ignore[attr-defined]
    held, go_on = threading.Event(), threading.Event()
    search = projector._search

    def slow(*arguments: Any, **options: Any) -> Iterator[Any]:
        for report in search(*arguments, **options):
            yield report
            held.set()
            go_on.wait(TIMEOUT)

    picture = png(np.zeros((28, 28), np.uint8))
    projector._search = slow
    first = threading.Thread(
        target=lambda: client.post("/project?steps=1", content=picture), daemon=True
    )
    try:
        first.start()
        assert held.wait(TIMEOUT)
        answer = client.post("/project", content=picture)
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "5"
        assert client.get("/generate?seed=987").status_code == 200  # others are served meanwhile
    finally:
        go_on.set()
        first.join(TIMEOUT)
        projector._search = search

    for _ in range(3):  # whoever has the last line finds the place free
        assert client.post("/project?steps=1", content=picture).status_code == 200


def test_card_and_document_say_whether_it_is_on(client: TestClient, generator_folder: Path) -> None:
    assert client.get("/models/tiny").json()["projection"].startswith("/project?model=tiny@")
    document = client.get("/openapi.json").json()["paths"]
    assert {"413", "429", "422"} <= document["/project"]["post"]["responses"].keys()
    settings = Settings(generator=str(generator_folder), device="cpu")
    with TestClient(create_app(settings)) as plain:
        assert plain.get("/models/tiny").json()["projection"] is None
        for method in ("GET", "POST"):
            answer = plain.request(method, "/project", content=b"" if method == "POST" else None)
            assert answer.status_code == 404
            assert "is off on this host" in answer.json()["detail"]
            assert "GAN_PROJECTION=true" in answer.json()["detail"]
        assert "/project" not in plain.get("/openapi.json").json()["paths"]


def form(*parts: bytes, boundary: str = "x") -> tuple[bytes, dict[str, str]]:
    """Returns a form of parts, each with its headers, and the header that names its boundary."""
    line = f"--{boundary}".encode()
    body = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + b"--\r\n"
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


FILE = b'Content-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n'


def test_picture_in_a_form_is_the_same_picture(client: TestClient) -> None:
    """Sends it as `curl -F file=@x.png` and every HTTP library do."""

    def searched(**sent: Any) -> bytes:
        answer = client.post("/project?steps=1", **sent)
        assert answer.status_code == 200
        return answer.content

    picture = client.get("/generate.png?seed=7").content
    plain = searched(content=picture)
    own, headers = form(FILE + picture)
    assert searched(content=own, headers=headers) == plain
    assert searched(files={"picture": ("x.png", picture, "image/png")}) == plain


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(bytes(range(256)) * 3 + b"\r", id="every-byte"),
        pytest.param(b"\r\n--\r\n\r\n--y\r\n", id="breaks"),
        pytest.param(b"", id="empty"),
    ],
)
def test_file_in_a_form_keeps_its_bytes(content: bytes) -> None:
    body, headers = form(FILE + content)
    for sent in (body, b"\r\n" + body, b"preamble\r\n" + body, body + b"epilogue"):
        assert uploaded(headers["Content-Type"], sent) == content
    assert uploaded("application/octet-stream", body) == body
    assert uploaded("", body) == body


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        pytest.param("multipart/form-data", b"", "a boundary", id="no-boundary"),
        pytest.param("multipart/form-data; boundary=", b"", "a boundary", id="empty-boundary"),
        pytest.param(f"multipart/form-data; boundary={'x' * 71}", b"", "a boundary", id="long"),
        pytest.param(form()[1]["Content-Type"], b"", "one field", id="empty"),
        pytest.param(form()[1]["Content-Type"], form()[0], "one field", id="no-part"),
        pytest.param(form()[1]["Content-Type"], form(FILE, FILE)[0], "one field", id="two"),
        pytest.param(form()[1]["Content-Type"], form(*[FILE] * 9999)[0], "one field", id="many"),
        pytest.param(form()[1]["Content-Type"], form(FILE + b"x")[0][:-5], "one field", id="cut"),
        pytest.param(form()[1]["Content-Type"], form(b"x")[0], "end of its headers", id="headless"),
        pytest.param(form()[1]["Content-Type"], form(FILE + b"x")[0], "known format", id="no-png"),
    ],
)
def test_form_without_one_picture_is_refused(
    client: TestClient, content_type: str, body: bytes, reason: str
) -> None:
    answer = client.post("/project", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]


@pytest.mark.slow
@needs_proc
def test_client_that_goes_away_ends_the_search() -> None:
    """All its steps would take fifty times as much work as a search of twenty."""
    picture = png(np.zeros((28, 28), np.uint8))
    with service(ZOO / "mnist", GAN_PROJECTION="true") as (process, address):
        host = RunningService(process, address)

        @contextmanager
        def search(steps: int) -> Iterator[http.client.HTTPResponse]:
            place = address.removeprefix("http://")
            with closing(http.client.HTTPConnection(place, timeout=TIMEOUT)) as connection:
                while True:  # the place of a search whose client has gone is free a moment later
                    connection.request("POST", f"/project?steps={steps}", picture)
                    with closing(connection.getresponse()) as answer:
                        if answer.status != 429:
                            yield answer
                            return
                        answer.read()
                    time.sleep(0.05)

        before = host.worked()
        with search(20) as answer:
            assert len(reports(answer.read())) > 1
        twenty, before = host.worked() - before, host.worked()
        with search(1000) as answer:
            assert json.loads(answer.readline())["step"] == 0
        with search(1) as answer:
            answer.read()
        assert host.worked() - before < 10 * twenty
        assert fetch(f"{address}/readyz")
