"""Who may ask: API keys, signed URLs and rate limits at the door of the real application."""

import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.access.control import access_control
from app.access.keys import key_hash, new_key
from app.access.rate_limit import MAX_BUCKETS, SECOND, RateLimit
from app.access.signing import SignedUrls
from app.commands import main
from app.main import create_app
from app.settings import Settings
from tests.services import problem_of

KEY, OTHER_KEY = "gan_first-key", "gan_second-key"
HASHES = f"{key_hash(KEY)},{key_hash(OTHER_KEY).upper()}"
SECRET, NEXT_SECRET = "0123456789abcdef" * 2, "fedcba9876543210" * 2
SIGNER = SignedUrls([SECRET])
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


# --- the description ---

BY_KEY: list[dict[str, list[str]]] = [{"key": []}]
BY_URL: list[dict[str, list[str]]] = [{"signature": []}, {"signature": [], "expires": []}]
DOORS = [
    pytest.param({}, [], None, None, id="open"),
    pytest.param({"rate_limit": 1}, [], None, None, id="rate-limit"),
    pytest.param({"api_key_hashes": HASHES}, ["key"], BY_KEY, BY_KEY, id="keys"),
    pytest.param(
        {"url_secrets": SECRET}, ["expires", "signature"], BY_URL, "left out", id="signatures"
    ),
    pytest.param(
        {"api_key_hashes": HASHES, "url_secrets": SECRET},
        ["expires", "key", "signature"],
        BY_KEY + BY_URL,
        BY_KEY,
        id="both",
    ),
]


@pytest.mark.parametrize(("settings", "schemes", "get", "post"), DOORS)
def test_description_says_what_opens_each_operation(
    settings: dict[str, Any], schemes: list[str], get: Any, post: Any
) -> None:
    document = create_app(Settings(**settings)).openapi()
    assert sorted(document["components"].get("securitySchemes", {})) == schemes
    found = document["paths"]["/generate"]
    assert found["get"].get("security") == get
    assert found.get("post", {"security": "left out"}).get("security") == post
    assert "security" not in document["paths"]["/livez"]["get"]


@pytest.mark.parametrize(("settings", "schemes", "get", "post"), DOORS)
def test_description_and_door_agree_on_what_is_open(
    settings: dict[str, Any], schemes: list[str], get: Any, post: Any
) -> None:
    app = create_app(Settings(**{**settings, "rate_limit": 0}))
    client = TestClient(app)  # not started: what is let in is 503 at most
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            answer = client.request(method, re.sub(r"\{\w+\}", "x", path))
            assert (answer.status_code in (401, 403)) is ("security" in operation), path


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
    ["/healthz", "/readyz", "/docs", "/openapi.json", "/", "/page/page.css", "/problems/not-there"],
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


# --- signed URLs ---

SIGNED_URL = SIGNER.sign("/interpolate?seeds=1,2&frames=3")
properties = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
)  # the door stays the same from example to example


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/generate?seed=7", id="short-way"),
        pytest.param("/generate?seed=7&n=3", id="sheet"),
        pytest.param("/interpolate?seeds=1,2", id="comma"),
        pytest.param("/interpolate?seeds=1%2C2", id="encoded-comma"),
    ],
)
@pytest.mark.parametrize("expires_in", [None, 60])
def test_signed_answer_is_the_same_picture(door: Door, path: str, expires_in: int | None) -> None:
    plain = door().get(path)
    signed = door(url_secrets=SECRET).get(SIGNER.sign(path, expires_in))
    assert signed.status_code == 200
    assert signed.content == plain.content
    assert signed.headers["ETag"] == plain.headers["ETag"]


@pytest.mark.parametrize("added", ["fbclid=1", "utm_source=x&utm_medium=y", "_"])
@pytest.mark.parametrize("expires_in", [None, 60])
def test_signed_link_stays_valid_with_what_others_add_to_it(
    door: Door, added: str, expires_in: int | None
) -> None:
    plain = door().get("/generate?seed=7")
    host = door(url_secrets=SECRET)
    signed = SIGNER.sign("/generate?seed=7", expires_in)
    for link in (f"{signed}&{added}", signed.replace("?", f"?{added}&")):
        assert host.get(link).content == plain.content
    # signed with the rest, it counts: without it the signature is of another URL
    whole = SIGNER.sign(f"/generate?seed=7&{added}", expires_in)
    assert host.get(whole).status_code == 200
    problem_of(host.get(whole.replace(f"&{added}", "")), 403)


def test_signed_permanent_path_takes_any_query_but_another_end(door: Door) -> None:
    signed = SIGNER.sign(f"/i/{door().get('/models').json()['default']}/7.png")
    host = door(url_secrets=SECRET)
    assert host.get(f"{signed}&anything=at&all").status_code == 200
    problem_of(host.get(f"{signed}&expires=9999999999"), 403)
    problem_of(host.get(signed.replace("/7.png", "/8.png")), 403)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("/interpolate?seeds=1,2&frames=3", "signature is missing", id="unsigned"),
        pytest.param(SIGNED_URL[:-1], "wrong", id="cut"),
        pytest.param(re.sub("signature=.*", "signature=", SIGNED_URL), "wrong", id="empty"),
        pytest.param(SIGNED_URL.replace("frames=3", "frames=4"), "wrong", id="changed"),
        pytest.param(SIGNED_URL.replace("&frames=3", ""), "wrong", id="removed"),
        pytest.param(SIGNED_URL + "&frames=3", "wrong", id="added"),
        pytest.param(SIGNED_URL + "&expires=9999999999", "wrong", id="end-added"),
        pytest.param(SIGNED_URL.replace("/interpolate", "/generate"), "wrong", id="other-path"),
        pytest.param(SIGNED_URL + "&signature=0", "signature is given more", id="twice"),
        pytest.param(SIGNED_URL + "&%73ignature=0", "signature is given more", id="twice-encoded"),
        pytest.param(SIGNED_URL + "&expires=1&expires=2", "expires is given more", id="two-ends"),
        pytest.param(SIGNED_URL.upper().replace("/INTERPOLATE", "/interpolate"), "", id="capitals"),
        pytest.param(SIGNED_URL + "%C3%A9", "wrong", id="no-ascii"),
        pytest.param(SIGNER.sign("/generate?seed=1", -1), "expired", id="expired"),
        pytest.param(SIGNER.sign("/generate?seed=1", 60)[:-1], "wrong", id="cut-with-an-end"),
        pytest.param(
            SignedUrls([NEXT_SECRET]).sign("/generate?seed=1"), "another secret", id="other-secret"
        ),
        pytest.param(
            SIGNER.sign("/generate?seed=1", 60).replace("expires=", "expires=9"),
            "wrong",
            id="later",
        ),
    ],
)
def test_wrong_missing_or_expired_signature_is_403_and_says_which(
    door: Door, url: str, reason: str
) -> None:
    problem = problem_of(door(url_secrets=SECRET).get(url), 403)
    assert reason in problem["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_signature_opens_no_method_with_a_body(door: Door, method: str) -> None:
    url = SIGNER.sign("/generate?seed=1")
    problem_of(door(url_secrets=SECRET).request(method, url, json={"seed": 2}), 403)


names = st.sampled_from(["seed", "seeds", "n", "columns", "frames"])
parameters = st.lists(st.tuples(names, st.text(st.characters(codec="utf-8"), max_size=4)))


@properties
@given(pairs=parameters.filter(lambda pairs: len(dict(pairs)) == len(pairs)), data=st.data())
def test_parameter_order_does_not_matter(door: Door, pairs: Any, data: st.DataObject) -> None:
    url = SIGNER.sign(f"/generate?{urlencode(pairs)}", 60)
    path, _, query = url.partition("?")
    shuffled = "&".join(data.draw(st.permutations(query.split("&"))))
    answers = [door(url_secrets=SECRET).get(f"{path}?{text}") for text in (query, shuffled)]
    assert {answer.status_code for answer in answers} <= {200, 422}
    assert answers[0].status_code == answers[1].status_code


@properties
@given(pairs=parameters, others=parameters, path=st.sampled_from(["/generate", "/interpolate"]))
def test_any_other_parameters_are_refused(door: Door, pairs: Any, others: Any, path: str) -> None:
    assume(path != "/generate" or dict(pairs) != dict(others) or len(pairs) != len(others))
    signature = SIGNER.sign(f"/generate?{urlencode(pairs)}").rpartition("signature=")[2]
    query = urlencode([*others, ("signature", signature)])
    problem_of(door(url_secrets=SECRET).get(f"{path}?{query}"), 403)


@properties
@given(data=st.data())
def test_any_changed_byte_is_refused(door: Door, data: st.DataObject) -> None:
    """Also where the change says the same: then it is the same picture."""
    plain = door().get("/interpolate?seeds=1,2&frames=3").content
    place = data.draw(st.integers(2, len(SIGNED_URL) - 1))
    byte = data.draw(st.sampled_from("0a=&%+;,/_#?A").filter(lambda b: b != SIGNED_URL[place]))
    answer = door(url_secrets=SECRET).get(SIGNED_URL[:place] + byte + SIGNED_URL[place + 1 :])
    assert answer.status_code == 403 or answer.content == plain


def test_both_ways_of_encoding_have_one_signature(door: Door) -> None:
    url = (
        SIGNED_URL.replace("1,2", "%31%2c2").replace("/inter", "/%69nter").replace("sign", "%73ign")
    )
    assert door(url_secrets=SECRET).get(url).status_code == 200


def test_secrets_are_changed_in_turn(door: Door) -> None:
    old, new = SIGNER.sign("/generate?seed=7"), SignedUrls([NEXT_SECRET]).sign("/generate?seed=7")
    both = f"{NEXT_SECRET},{SECRET}"
    assert [door(url_secrets=both).get(url).status_code for url in (old, new)] == [200, 200]
    assert [door(url_secrets=NEXT_SECRET).get(url).status_code for url in (old, new)] == [403, 200]


def test_cache_keeps_no_picture_longer_than_its_url_lives(door: Door) -> None:
    answer = door(url_secrets=SECRET).get(SIGNER.sign("/generate?seed=7", 60))
    (age,) = re.findall("max-age=([0-9]+)", answer.headers["Cache-Control"])
    assert 50 <= int(age) <= 60
    answer = door(url_secrets=SECRET).get(SIGNER.sign("/generate?seed=7"))
    assert "max-age=31536000" in answer.headers["Cache-Control"]


def test_url_is_open_until_its_last_second(door: Door) -> None:
    now = int(time.time())
    signer = SignedUrls([SECRET], clock=lambda: now)
    url = signer.sign("/generate?seed=7", 10)
    for later, status in ((9.9, 200), (10, 403)):
        client = door(url_secrets=SECRET)
        urls = client.app.access._urls  # type: ignore[attr-defined]
        urls._clock = lambda later=later: now + later
        assert client.get(url).status_code == status


def test_key_or_signature_opens_where_both_are_set(door: Door) -> None:
    client = door(url_secrets=SECRET, api_key_hashes=HASHES)
    url = SIGNER.sign("/generate?seed=7")
    assert client.get(url).status_code == 200
    assert client.get("/generate?seed=7", headers=bearer(KEY)).status_code == 200
    assert client.get(url[:-1], headers=bearer(KEY)).status_code == 200  # the key suffices
    assert client.post("/generate", json={"seed": 7}, headers=bearer(KEY)).status_code == 200
    problem_of(client.get("/generate?seed=7"), 401)
    problem_of(client.get(url[:-1]), 403)
    problem_of(client.get(url, headers=bearer("gan_third-key")), 401)


def test_without_secrets_a_signature_is_an_unknown_parameter(door: Door) -> None:
    problem_of(door(api_key_hashes=HASHES).get(SIGNED_URL, headers=bearer(KEY)), 422)
    problem_of(door(api_key_hashes=HASHES).get(SIGNED_URL), 401)


def test_secret_is_in_no_repr() -> None:
    assert SECRET not in repr(Settings(url_secrets=f"{SECRET},{NEXT_SECRET}"))
    assert SECRET not in str(Settings(url_secrets=SECRET).url_secrets)


@pytest.mark.parametrize("more", [[], ["--expires-in", "60"]], ids=["for-ever", "a-minute"])
@pytest.mark.parametrize("host", ["", "http://testserver"])
def test_command_signs_what_the_service_believes(
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: str,
    more: list[str],
) -> None:
    monkeypatch.setenv("GAN_URL_SECRETS", f"{SECRET},{NEXT_SECRET}")
    assert main(["sign", f"{host}/generate?seed=7", *more]) == 0
    url = capsys.readouterr().out.strip()
    assert url.startswith(f"{host}/generate?seed=7&")
    monkeypatch.delenv("GAN_URL_SECRETS")
    assert door(url_secrets=SECRET).get(url).status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["localhost:8000/generate"], id="no-scheme"),
        pytest.param(["ftp://host/generate"], id="other-scheme"),
        pytest.param(["/generate?seed=7 8"], id="space"),
        pytest.param(["/generate?signature=1"], id="signed-already"),
        pytest.param(["/generate", "--expires-in", "0"], id="no-life"),
        pytest.param([], id="nothing"),
    ],
)
def test_what_cannot_be_signed_ends_with_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setenv("GAN_URL_SECRETS", SECRET)
    with pytest.raises(SystemExit, match="2"):
        main(["sign", *arguments])
    assert capsys.readouterr().err.count("\n") == 1


def test_nothing_is_signed_without_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sign", "/generate"]) == 3
    assert "GAN_URL_SECRETS" in capsys.readouterr().err


# --- rate limits ---


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> int:
        return round(self.seconds * SECOND)


@pytest.mark.parametrize(
    ("rate", "burst"), [(1, 1), (3, 7), (0.1, 2), (1e6, 1000)], ids=lambda value: f"{value:g}"
)
def test_burst_passes_at_once_and_then_the_rate_counts(rate: float, burst: int) -> None:
    clock = Clock()
    limit = RateLimit(rate, burst, clock)
    assert [limit.wait("a") for _ in range(burst)] == [0] * burst
    for _ in range(5):
        wait = limit.wait("a")
        assert 1 <= wait < 1 / rate + 1
        clock.seconds += 1 / rate
        assert limit.wait("a") == 0
    clock.seconds += 2 * burst / rate  # full again, and no fuller
    assert [limit.wait("a") for _ in range(burst)] == [0] * burst
    assert limit.wait("a") > 0


@given(
    rate=st.floats(0.01, 1000),
    burst=st.integers(1, 20),
    steps=st.lists(st.floats(0, 10), max_size=60),
)
def test_no_one_gets_more_than_burst_and_rate(rate: float, burst: int, steps: list[float]) -> None:
    clock = Clock()
    limit = RateLimit(rate, burst, clock)
    start, passed = clock.seconds, 0
    for step in steps:
        clock.seconds += step
        wait = limit.wait("a")
        passed += wait == 0
        assert passed <= burst + (clock.seconds - start) * rate + 1e-6
        if wait:  # what Retry-After says is true
            clock.seconds += wait
            assert limit.wait("a") == 0
            passed += 1


def test_memory_is_bounded_and_the_oldest_forgotten() -> None:
    limit = RateLimit(0.001, 1, Clock())
    for client in range(MAX_BUCKETS + 10):
        assert limit.wait(str(client)) == 0
    assert len(limit._full_at) == MAX_BUCKETS
    assert limit.wait(str(MAX_BUCKETS + 9)) > 0
    assert limit.wait("0") == 0


def statuses(app: Any, *hosts: str | None, headers: Any = None) -> list[int]:
    """Asks once from each host, and returns what the door says: 422 is in, its seed wrong."""
    found = []
    for host in hosts:
        visitor = TestClient(app, client=(host, 1))  # type: ignore[arg-type]
        found.append(visitor.get("/generate?seed=-1", headers=headers).status_code)
    return found


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        pytest.param("192.0.2.1", "192.0.2.1", True, id="same"),
        pytest.param("192.0.2.1", "192.0.2.2", False, id="neighbours"),
        pytest.param("2001:db8::1", "2001:db8:0:0:ffff::2", True, id="same-64"),
        pytest.param("2001:db8::1", "2001:db8:0:1::1", False, id="other-64"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", True, id="mapped"),
        pytest.param("::ffff:192.0.2.1", "::ffff:192.0.2.2", False, id="mapped-neighbours"),
        pytest.param("fe80::1%eth0", "fe80::2%eth0", True, id="link"),
        pytest.param(":nonsense", ":other", False, id="no-address"),
        pytest.param("x" * 5000 + "a", "x" * 5000 + "b", True, id="long"),
    ],
)
def test_each_address_has_its_bucket(door: Door, first: str, second: str, shared: bool) -> None:
    app = door(rate_limit=0.01, rate_burst=1).app
    assert statuses(app, first, second) == [422, 429 if shared else 422]


def test_too_many_requests_are_429_with_whole_seconds(door: Door) -> None:
    client = door(rate_limit=0.3, rate_burst=2)
    assert [client.get("/generate?seed=7").status_code for _ in range(2)] == [200, 200]
    answer = client.get("/generate?seed=7")
    problem_of(answer, 429)
    assert answer.headers["Retry-After"] == "4"  # 3.3, rounded up
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200


def test_each_key_has_its_bucket_wherever_it_comes_from(door: Door) -> None:
    app = door(rate_limit=0.01, rate_burst=1, api_key_hashes=HASHES).app
    assert statuses(app, "192.0.2.1", "192.0.2.2", headers=bearer(KEY)) == [422, 429]
    assert statuses(app, "192.0.2.1", headers=bearer(OTHER_KEY)) == [422]


def test_what_the_door_refuses_empties_no_bucket(door: Door) -> None:
    client = door(rate_limit=0.01, rate_burst=1, url_secrets=SECRET)
    assert [client.get(f"/generate?signature={n}").status_code for n in range(3)] == [403] * 3
    assert client.get(SIGNER.sign("/generate?seed=7")).status_code == 200
    assert client.get(SIGNER.sign("/generate?seed=7")).status_code == 429


def test_forwarded_address_counts_only_from_a_proxy_that_is_believed(door: Door) -> None:
    app = door(rate_limit=0.01, rate_burst=1).app
    forwarded = [{"X-Forwarded-For": f"192.0.2.{n}"} for n in (1, 2)]
    assert [statuses(app, "10.0.0.9", headers=h) for h in forwarded] == [[422], [429]]
    behind: Any = ProxyHeadersMiddleware(app, trusted_hosts="10.0.0.1")  # type: ignore[arg-type]
    assert [statuses(behind, "10.0.0.1", headers=h) for h in forwarded] == [[422], [422]]
    assert [statuses(behind, "10.0.0.1", headers=h) for h in forwarded] == [[429], [429]]
    assert [statuses(behind, "10.0.0.9", headers=h) for h in forwarded] == [[429], [429]]
