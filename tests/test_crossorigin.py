"""What pages of other sites may do, by the settings of the host."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings

ORIGIN = "https://site.example"


@pytest.fixture(scope="module")
def of_one_origin(generator_folder: Path) -> Iterator[TestClient]:
    settings = Settings(generator=str(generator_folder), device="cpu", cors_origin=ORIGIN)
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "vary"),
    [
        pytest.param("/generate?seed=7", "Accept, Origin", id="short-way"),
        pytest.param("/generate?seed=7&n=1", "Accept, Origin", id="slow-twin"),
        pytest.param("/interpolate?seeds=1,2&frames=2", "Accept, Origin", id="animation"),
        pytest.param("/generate.png?seed=7", "Origin", id="short-way-with-extension"),
        pytest.param("/generate.webp?seed=7", "Origin", id="extension"),
        pytest.param("/nothing", "Origin", id="error"),
    ],
)
def test_vary_is_one_header_for_caches_that_believe_only_one(
    of_one_origin: TestClient, path: str, vary: str
) -> None:
    headers = of_one_origin.get(path).headers
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert headers.get_list("Vary") == [vary]


def test_host_open_to_all_varies_by_accept_alone(client: TestClient) -> None:
    for path in ("/generate?seed=7", "/generate?seed=7&n=1"):
        assert client.get(path).headers.get_list("Vary") == ["Accept"]
    assert "Vary" not in client.get("/generate.png?seed=7").headers
