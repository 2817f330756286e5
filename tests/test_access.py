"""Who may ask: API keys at the door of the real application."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.__main__ import main
from app.access.control import access_control
from app.access.keys import key_hash, new_key
from app.main import create_app
from app.settings import Settings
from tests.test_refusals import problem_of

KEY, OTHER_KEY = "gan_first-key", "gan_second-key"
HASHES = f"{key_hash(KEY)},{key_hash(OTHER_KEY).upper()}"
Door = Callable[..., TestClient]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def door(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Door:
    """Puts a door of these settings before the running application."""

    def build(**settings: Any) -> TestClient:
        control = access_control(Settings(**settings))
        monkeypatch.setattr(client.app, "access", control)
        return client

    return build


def test_without_settings_there_is_no_door(client: TestClient) -> None:
    assert client.app.access is None  # type: ignore[attr-defined]


def test_settings_close_the_application() -> None:
    closed = TestClient(create_app(Settings(api_key_hashes=HASHES)))
    problem_of(closed.get("/generate?seed=1"), 401)
    problem_of(closed.get("/generate?seed=1", headers=bearer(KEY)), 503)  # in, but not started


# --- keys ---


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
@pytest.mark.parametrize("path", ["/generate?seed=7", "/generate?seed=7&n=2", "/generate"])
def test_each_key_opens(door: Door, key: str, path: str) -> None:
    plain = door().get(path)
    answer = door(api_key_hashes=HASHES).get(path, headers=bearer(key))
    assert (answer.status_code, plain.status_code) == (200, 200)
    assert "seed" not in path or answer.content == plain.content


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="none"),
        pytest.param([("Authorization", "Bearer ")], id="empty"),
        pytest.param([("Authorization", "Bearer gan_third-key")], id="wrong"),
        pytest.param([("Authorization", f"Bearer {KEY[:-1]}")], id="cut"),
        pytest.param([("Authorization", f"Bearer {KEY} {OTHER_KEY}")], id="two-in-one"),
        pytest.param([("Authorization", f"Bearer {key_hash(KEY)}")], id="the-hash"),
        pytest.param([("Authorization", KEY)], id="no-scheme"),
        pytest.param([("Authorization", f"Basic {KEY}")], id="other-scheme"),
        pytest.param([("Authorization", f"Bearer {KEY}")] * 2, id="twice"),
        pytest.param([("Authorization", b"Bearer \xff")], id="no-text"),
        pytest.param([("X-API-Key", KEY)], id="other-header"),
    ],
)
def test_wrong_or_missing_key_is_401_and_not_repeated(
    door: Door, caplog: pytest.LogCaptureFixture, headers: list[Any]
) -> None:
    answer = door(api_key_hashes=HASHES).get("/generate?seed=7", headers=headers)
    problem_of(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="ganserve"')
    for secret in (KEY, "third-key", key_hash(KEY)):
        assert secret not in answer.text + str(answer.headers) + caplog.text


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/generate", "/interpolate?seeds=1,2", "/nothing", "/docs/", "/docs/generate", "/Docs"]
)
def test_what_is_not_open_is_closed(door: Door, method: str, path: str) -> None:
    assert door(api_key_hashes=HASHES).request(method, path).status_code == 401


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/docs", "/openapi.json", "/", "/page.css", "/problems/not-there"],
)
def test_probes_and_descriptions_stay_open(door: Door, path: str) -> None:
    open_status = door().get(path).status_code
    assert door(api_key_hashes=HASHES).get(path).status_code == open_status != 401


def test_preflight_needs_no_key(door: Door) -> None:
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
    plain = door().options("/generate", headers=headers)
    answer = door(api_key_hashes=HASHES).options("/generate", headers=headers)
    assert answer.status_code == plain.status_code != 401


@pytest.mark.parametrize("path", ["/generate?seed=7", "/generate?seed=7&n=2"])
def test_what_a_key_opened_no_shared_cache_keeps(door: Door, path: str) -> None:
    answer = door(api_key_hashes=HASHES).get(path, headers=bearer(KEY))
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    headers = {**bearer(KEY), "If-None-Match": answer.headers["ETag"]}
    answer = door(api_key_hashes=HASHES).get(path, headers=headers)
    assert answer.status_code == 304
    assert "public" not in answer.headers["Cache-Control"]


def test_new_key_opens_with_its_hash(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-key"]) == 0
    key, hashed = (line.split(": ")[1] for line in capsys.readouterr().out.splitlines())
    answer = door(api_key_hashes=hashed).get("/generate?seed=7", headers=bearer(key))
    assert answer.status_code == 200
    assert len({new_key() for _ in range(100)} | {key}) == 101
