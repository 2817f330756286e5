"""Behind a proxy that shows the service under a path: whatever an answer leads to is there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings

ROOT = "/some/gan"


@pytest.fixture(scope="module")
def behind(generator_folder: Path) -> Iterator[TestClient]:
    settings = Settings(generator=str(generator_folder), device="cpu", root_path=ROOT)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def told(found: Any) -> list[str]:
    """Returns every path in a JSON answer."""
    if isinstance(found, dict | list):
        parts = found.values() if isinstance(found, dict) else found
        return [path for part in parts for path in told(part)]
    return [found] if isinstance(found, str) and found.startswith("/") else []


def leads(behind: TestClient, url: str) -> None:
    assert url.startswith(f"{ROOT}/"), url
    assert behind.get(url.removeprefix(ROOT)).status_code == 200, url


def test_every_path_that_an_answer_tells_is_under_the_root_path(behind: TestClient) -> None:
    model = behind.get("/models").json()["default"]
    for path in (
        "/models",
        f"/models/{model}",
        f"/models/{model}/directions",
        f"/i/{model}/7.json",
        "/nothing",
        "/generate?seed=-1",
        "/generate?seed=1&scale=99",
        "/generate?seed=1&n=0",
        f"/i/{model}/x.png",
    ):
        found = told(behind.get(path).json())
        assert len(found) > 0, path
        for url in found:
            leads(behind, url)
    problem = behind.post("/admin/reload").json()
    leads(behind, problem["type"])


@pytest.mark.parametrize(
    "path",
    [
        "/generate",
        "/generate?n=4",
        "/generate?seed=7&n=2",
        "/generate.webp?n=2&scale=2",
        "/generate?seed=7&model=tiny",
    ],
)
def test_place_of_the_content_is_under_the_root_path(behind: TestClient, path: str) -> None:
    answer = behind.get(path)
    assert answer.status_code == 200
    if "Content-Location" in answer.headers:
        leads(behind, answer.headers["Content-Location"])
    else:
        assert "seed" in path


def test_description_names_its_server_and_its_problems(behind: TestClient) -> None:
    document = behind.get("/openapi.json").json()
    assert document["servers"] == [{"url": ROOT}]
    types = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    for url in types:
        leads(behind, url)
    assert f"{ROOT}/problems/not-found" in behind.get("/docs").text


@pytest.mark.parametrize(
    "path", ["/", "/generate?seed=7", "/generate.png?seed=7&n=2", "/docs", "/livez", "/robots.txt"]
)
def test_proxy_may_leave_the_root_path_out_or_in(behind: TestClient, path: str) -> None:
    left_out, left_in = behind.get(path), behind.get(ROOT + path)
    assert left_out.status_code == 200
    assert left_in.content == left_out.content


@pytest.mark.parametrize("path", [f"{ROOT}generate", ROOT, f"{ROOT}{ROOT}/livez", "/gan/livez"])
def test_no_other_path_is_taken_for_it(behind: TestClient, path: str) -> None:
    assert behind.get(path).status_code == 404


def test_without_a_root_path_nothing_is_before_a_path(client: TestClient) -> None:
    assert client.get("/nothing").json()["type"] == "/problems/not-found"
    assert "servers" not in client.get("/openapi.json").json()
    assert re.match("/i/tiny@", client.get("/generate").headers["Content-Location"])
