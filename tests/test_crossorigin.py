"""What pages of other sites may do, by the settings of the host."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def asked_from(origin: str, origins: Any, path: str = "/livez", **settings: Any) -> Any:
    client = TestClient(create_app(Settings(generator="nowhere", cors_origin=origins, **settings)))
    return client.get(path, headers={"Origin": origin} if origin else {})


@pytest.mark.parametrize(
    "origins",
    [
        "https://a.example,https://b.example:8443",
        "https://a.example https://b.example:8443",
        "HTTPS://A.example:443, https://b.example:8443",
    ],
)
def test_each_of_several_origins_is_named_to_its_own_pages_alone(origins: str) -> None:
    for origin in ("https://a.example", "https://b.example:8443"):
        headers = asked_from(origin, origins).headers
        assert headers["Access-Control-Allow-Origin"] == origin
        assert headers["Timing-Allow-Origin"] == origin
        assert headers.get_list("Vary") == ["Origin"]
    for origin in ("https://c.example", "https://b.example", "http://a.example", "null", ""):
        headers = asked_from(origin, origins).headers
        assert "Access-Control-Allow-Origin" not in headers
        assert "Timing-Allow-Origin" not in headers
        assert headers.get_list("Vary") == ["Origin"]
        assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_every_header_may_be_sent_from_elsewhere_but_the_one_of_a_body(client: TestClient) -> None:
    """With Content-Type a page of others could have its visitors POST."""
    asked = "sentry-trace,Baggage, traceparent, authorization, content-type, Content-Type, *, a b"
    headers = {"Origin": ORIGIN, "Access-Control-Request-Headers": asked}
    answer = client.options("/generate", headers=headers)
    allowed = {name.strip() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"sentry-trace", "baggage", "traceparent", "Authorization"} <= allowed
    assert not {"*", "content-type", "Content-Type", "a b"} & allowed
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("origins", "ancestors"),
    [
        ("", "'self'"),
        ("https://a.example,https://b.example", "'self' https://a.example https://b.example"),
        ("*", "*"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/docs", "/problems/not-found", "/page/icon.svg"])
def test_one_header_says_who_may_hold_a_page_in_a_frame(
    path: str, origins: Any, ancestors: str
) -> None:
    answer = asked_from("", "*", path, frame_origin=origins)
    (policy,) = answer.headers.get_list("Content-Security-Policy")
    assert policy.count("frame-ancestors") == 1
    assert policy.endswith(f"; frame-ancestors {ancestors}")
    assert "X-Frame-Options" not in answer.headers


def test_answer_that_renews_what_is_kept_says_it_too(client: TestClient) -> None:
    whole = client.get("/")
    again = client.get("/", headers={"If-None-Match": whole.headers["ETag"]})
    assert again.status_code == 304
    policies = {answer.headers["Content-Security-Policy"] for answer in (whole, again)}
    assert len(policies) == 1
