"""Bad requests: each gets a problem that says what is allowed; none a 500, none a traceback, no
echo.
"""

import asyncio
import json
import re
import threading

import httpx2 as httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from starlette.types import Message

from tests.services import TIMEOUT, problem_of

MAX_BODY = 2**20

SEEDS = "a whole number from 0 to 9223372036854775807"
ZEROS = ",".join("0" * 8)  # a latent of the tiny generator

QUERIES = {
    "negative-seed": ("/generate?seed=-1", SEEDS),
    "seed-too-large": (f"/generate?seed={2**63}", SEEDS),
    "seed-of-5000-digits": ("/generate?seed=" + "1" * 5000, SEEDS),
    "seed-long-text": ("/generate?seed=" + "a" * 257, "1 to 256 characters"),
    "seed-control-character": ("/generate?seed=a%00b", SEEDS),
    "seed-fraction": ("/generate?seed=1.5", SEEDS),
    "seed-empty": ("/generate?seed=", SEEDS),
    "seed-spaces": ("/generate?seed=%201", SEEDS),
    "seed-underscore": ("/generate?seed=1_0", SEEDS),
    "seed-other-digits": ("/generate?seed=%D9%A3", SEEDS),
    "seed-bad-utf8": ("/generate?seed=%ff", SEEDS),
    "n-zero": ("/generate?n=0", "a whole number from 1 to 256"),
    "n-too-many": ("/generate?seed=1&n=257", "a whole number from 1 to 256"),
    "columns-more-than-n": ("/generate?seed=1&n=2&columns=3", "from 1 to n (2)"),
    "seeds-past-the-end": (f"/generate?seed={2**63 - 1}&n=2", "9223372036854775808"),
    "unknown-parameter": ("/generate?sed=1", "did you mean seed?"),
    "parameter-twice": ("/generate?seed=1&seed=2", "more than once"),
    "z-short": ("/generate?z=1", "z has 1 values; generator tiny wants 8"),
    "z-far": ("/generate?z=0,0,0,0,0,0,0,11", "z.7: "),
    "z-of-words": ("/generate?z=0,0,0,0,0,0,0,a", "z.7: "),
    "z-not-finite": ("/generate?z=0,0,0,0,0,0,0,nan", "z.7: "),
    "z-gap": ("/generate?z=0,,0,0,0,0,0,0", "z.1: "),
    "z-empty": ("/generate?z=", "z.0: "),
    "z-twice": (f"/generate?z={ZEROS}&z={ZEROS}", "more than once"),
    "z-and-seed": (f"/generate?z={ZEROS}&seed=3", "one of seed or name (with n), mix and z"),
    "z-and-n": (f"/generate?z={ZEROS}&n=1", "one of seed or name (with n), mix and z"),
    "z-and-mix": (f"/generate?z={ZEROS}&mix=1", "one of seed or name (with n), mix and z"),
    "z-of-a-plane": (f"/plane?z={ZEROS}", "unknown parameter"),
    "mix-and-seed": ("/generate?mix=1,2&seed=3", "one of seed or name (with n), mix and z"),
    "mix-and-n": ("/generate?mix=1,2&n=2", "one of seed or name (with n), mix and z"),
    "mix-and-columns": ("/generate?mix=1,2&columns=2", "from 1 to n (1)"),
    "mix-of-names": ("/generate?mix=ada:1,bob:-1", "each seed a whole number"),
    "mix-heavy": ("/generate?mix=1:10.5", "each weight from -10 to 10"),
    "mix-of-a-seed-too-large": (f"/generate?mix=1,{2**63}:1", f"number below {2**63}"),
    "mix-gap": ("/generate?mix=1,,2", "such as 3:1,8:-1,5"),
    "mix-empty": ("/generate?mix=", "1 to 32 seeds with weights"),
    "mix-of-33": ("/generate?mix=" + ",".join(["1:1"] * 33), "1 to 32 seeds with weights"),
    "mix-twice": ("/generate?mix=1&mix=2", "more than once"),
    "mix-of-a-plane": ("/plane?mix=1", "unknown parameter"),
    "model-unknown": ("/generate?model=nobody", "served: tiny@"),
    "model-injected": ("/generate?model=../etc", "that /models lists"),
    "class-of-none": ("/generate?seed=1&class=3", "has no classes"),
    "truncation-large": ("/generate?seed=1&truncation=1.5", "a number from 0 to 1 is wanted"),
    "truncation-nan": ("/generate?seed=1&truncation=nan", "a number from 0 to 1 is wanted"),
    "edit-unknown": ("/generate?seed=1&edit=d9:1", "d0 to d7"),
    "edit-far": ("/generate?seed=1&edit=d0:50", "d0 takes a step from -0.8 to 0.8"),
    "edit-twice": ("/generate?seed=1&edit=d0:0.1,d0:0.2", "each direction once"),
    "edit-junk": ("/generate?seed=1&edit=smile", "d0:1.5,d3:-2"),
    "scale-17": ("/generate?seed=1&scale=17", "from 1 to 16"),
    "scale-fraction": ("/generate?seed=1&scale=1.5", "from 1 to 16"),
    "resample-other": ("/generate?seed=1&resample=bicubic", "nearest"),
    "format-other": ("/generate?seed=1&format=bmp", "png"),
    "format-and-extension": ("/generate.png?seed=1&format=webp", "extension says another"),
    "quality-of-png": ("/generate.png?seed=1&quality=5", "png has none"),
    "quality-0": ("/generate.webp?seed=1&quality=0", "from 1 to 100"),
    "download-yes": ("/generate?seed=1&download=yes", "true or false"),
    "too-many-pixels": ("/generate?seed=1&n=256&scale=16", "allowed: up to 16,777,216"),
    "webp-too-wide": ("/generate.webp?seed=1&n=40&columns=40&scale=16", "up to 16383 a side"),
    "plane-three": ("/plane?seeds=1,2,3", "4 entries are wanted"),
    "plane-past-the-end": ("/plane?seeds=1,2,3,4&x=0.5", "the plane ends there"),
    "plane-large": ("/plane?seeds=1,2,3,4&columns=64&rows=64", "256 at most"),
    "mode-other": ("/interpolate?seeds=1,2&mode=bezier", "slerp"),
    "fps-0": ("/interpolate?seeds=1,2&fps=0", "from 1 to 60"),
    "loop-1": ("/interpolate?seeds=1,2&loop=1", "true or false"),
    "ease-other": ("/interpolate?seeds=1,2&ease=bounce", "linear"),
    "live-with-parameter": ("/livez?a=1", "unknown parameter"),
    "problem-with-parameter": ("/problems/not-found?a=1", "unknown parameter"),
    "problem-with-parameter-twice": ("/problems/not-found?a=1&a=1", "more than once"),
    "name-empty": ("/generate?name=", "a text of 1 to 256 characters is wanted"),
    "name-too-long": (f"/generate?name={'x' * 257}", "a text of 1 to 256 characters"),
    "name-of-control": ("/generate?name=a%00b", "without control characters"),
    "name-and-seed": ("/generate?name=ada&seed=1", "one of seed and name is wanted"),
    "name-and-mix": ("/generate?name=ada&mix=1", "one of seed or name (with n), mix and z"),
    "interpolate-nothing": ("/interpolate", "required"),
    "interpolate-one-seed": ("/interpolate?seeds=1", "2 to 32 entries"),
    "interpolate-gap": ("/interpolate?seeds=1,,2", SEEDS),
    "interpolate-33-seeds": ("/interpolate?seeds=" + ",".join("1" * 33), "2 to 32 entries"),
    "interpolate-too-few-frames": (
        "/interpolate?seeds=1,2,3&frames=2",
        "from 3 (one a seed) to 256",
    ),
    "interpolate-one-frame": ("/interpolate?seeds=1,2&frames=1", "from 2 to 256"),
    "interpolate-twice": ("/interpolate?seeds=1&seeds=2", "more than once"),
}
BODIES: dict[str, tuple[str | bytes, int, str]] = {
    "nan-seed": ('{"seed": NaN}', 422, SEEDS),
    "infinite-seed": ('{"seed": Infinity}', 422, SEEDS),
    "boolean-seed": ('{"seed": true}', 422, SEEDS),
    "text-of-a-number": ('{"seed": "5.5"}', 422, SEEDS),
    "surrogate-seed": ('{"seed": "\\ud800"}', 422, SEEDS),
    "surrogate-key": ('{"\\ud800": 1}', 422, "unknown parameter"),
    "huge-seed": ('{"seed": 1e400}', 422, SEEDS),
    "nan-z": ('{"z": [[NaN, 0, 0, 0, 0, 0, 0, 0]]}', 422, "finite"),
    "large-z": ('{"z": [[11, 0, 0, 0, 0, 0, 0, 0]]}', 422, "less than or equal to 10"),
    "boolean-z": ('{"z": [[true, 0, 0, 0, 0, 0, 0, 0]]}', 422, "number"),
    "flat-z": ('{"z": [1, 2]}', 422, "list"),
    "short-z": ('{"z": [[1, 2]]}', 422, "generator tiny wants 8"),
    "empty-z": ('{"z": []}', 422, "1 to 10000 entries"),
    "many-z": (json.dumps({"z": [[0] * 8] * 10_001}), 422, "1 to 10000 entries"),
    "large-sheet": (json.dumps({"z": [[0] * 8] * 257}), 422, "257 pictures on one sheet"),
    "many-seeds": ('{"seeds": "0-10000"}', 422, "1 to 10000 seeds"),
    "many-ranges": ('{"seeds": "0-5000,0-5000"}', 422, "1 to 10000 seeds"),
    "endless-range": ('{"seeds": "0-9223372036854775807"}', 422, "1 to 10000 seeds"),
    "range-backwards": ('{"seeds": "9-3"}', 422, "from a lower to a higher"),
    "range-past-the-end": ('{"seeds": "1-9223372036854775808"}', 422, "below 92233720"),
    "no-seeds": ('{"seeds": []}', 422, "1 to 10000 seeds"),
    "seeds-gap": ('{"seeds": "1,,2"}', 422, SEEDS),
    "seeds-of-text-numbers": ('{"seeds": ["+5"]}', 422, SEEDS),
    "seeds-and-z": ('{"seeds": [1], "z": [[0]]}', 422, "one of seed"),
    "seeds-and-n": ('{"seeds": [1], "n": 2}', 422, "one of seed"),
    "recipe-of-nothing": ('{"recipes": [{}]}', 422, "one of seed, name, z, mix and plane"),
    "recipe-of-two": (
        '{"recipes": [{"seed": 1, "z": [0]}]}',
        422,
        "one of seed, name, z, mix and plane",
    ),
    "recipe-short-z": ('{"recipes": [{"z": [0]}]}', 422, "wants 8"),
    "recipe-heavy": (
        '{"recipes": [{"mix": [{"seed": 1, "weight": 11}]}]}',
        422,
        "a number from -10 to 10",
    ),
    "recipe-mix-text": ('{"recipes": [{"mix": "1:2:3"}]}', 422, "such as 3:1,8:-1,5"),
    "mix-and-recipes": (
        '{"mix": "1", "recipes": [{"seed": 1}]}',
        422,
        "one of seed or name (with n), mix",
    ),
    "recipe-beside-the-plane": (
        '{"recipes": [{"plane": {"seeds": [1, 2, 3, 4], "x": 1.1, "y": 0}}]}',
        422,
        "a number from 0 to 1 is wanted",
    ),
    "recipe-of-three-corners": (
        '{"recipes": [{"plane": {"seeds": [1, 2, 3], "x": 0, "y": 0}}]}',
        422,
        "4 entries are wanted",
    ),
    "recipe-unknown": ('{"recipes": [{"sed": 1}]}', 422, "did you mean seed?"),
    "recipe-edit": ('{"recipes": [{"seed": 1, "edit": "d9:1"}]}', 422, "d0 to d7"),
    "quality-of-zip": ('{"seeds": "1-3", "format": "zip", "quality": 9}', 422, "zip has neither"),
    "z-and-seed": ('{"z": [[0]], "seed": 1}', 422, "one of seed"),
    "list": ("[]", 422, "an object is wanted"),
    "null": ("null", 422, "an object is wanted"),
    "not-json": ("{bad", 400, "not valid JSON"),
    "nothing": ("", 400, "not valid JSON"),
    "deep": ("[" * 40_000, 400, "not valid JSON"),
    "long-number": ('{"seed": ' + "9" * 5000 + "}", 400, "not valid JSON"),
    "twice": ('{"seed": 1, "seed": 2}', 422, "seed: given more than once"),
    "twice-inside": ('{"recipes": [{"mix": "1", "mix": "2"}]}', 422, "mix: given more than once"),
    "seeds-in-all": (
        json.dumps({"recipes": [{"mix": ",".join(["1"] * 32)}] * 1300}),
        422,
        "up to 40000 seeds in all mixes and planes together",
    ),
    "bad-utf8": (b'{"seed": "\xff"}', 400, ""),
    "too-large": (" " * (MAX_BODY + 1), 413, "1048576 bytes allowed"),
}


@pytest.mark.parametrize("kind", QUERIES)
def test_bad_query_is_refused_and_told_what_is_allowed(client: TestClient, kind: str) -> None:
    path, allowed = QUERIES[kind]
    for headers in ({}, {"If-None-Match": "*"}):
        problem = problem_of(client.get(path, headers=headers), 422)
        assert allowed in problem["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {"seed": 7}),
        ("/interpolate", {"seeds": [1, 2]}),
        ("/v1/images/generations", {"prompt": "ada"}),
    ],
)
def test_query_next_to_a_json_body_is_refused(
    client: TestClient, path: str, body: dict[str, object]
) -> None:
    """Asks beside a body, which nothing would read: the pictures would be others."""
    assert client.post(path, json=body).status_code == 200
    problem = problem_of(client.post(f"{path}?model=mnist", json=body), 422)
    assert "'model' is there; with a JSON body" in problem["detail"]
    assert client.post(f"{path}?utm_source=x", json=body).status_code == 200


@pytest.mark.parametrize("path", ["/", "/page/page.css", "/docs", "/openapi.json"])
@pytest.mark.parametrize("query", ["a=1", "seed=1&seed=2", "seed=%ff&&=", "x" * 5000])
def test_page_takes_any_query_and_is_the_same(client: TestClient, path: str, query: str) -> None:
    answer, plain = client.get(f"{path}?{query}"), client.get(path)
    assert answer.status_code == 200
    # but for the preview, which is of what the address shows
    same = re.compile(r"<meta property=[^>]*>|<img [^>]*>|<meta name=.twitter[^>]*>")
    assert same.sub("", answer.text) == same.sub("", plain.text)


@pytest.mark.parametrize("kind", BODIES)
def test_bad_body_is_refused_and_told_what_is_allowed(client: TestClient, kind: str) -> None:
    body, status, allowed = BODIES[kind]
    headers = {"Content-Type": "application/json"}
    problem = problem_of(client.post("/generate", content=body, headers=headers), status)
    assert allowed in problem["detail"]


@pytest.mark.parametrize("path", ["/generate", "/interpolate"])
@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "json"])
def test_body_that_does_not_say_it_is_json_is_refused(
    client: TestClient, path: str, kind: str | None
) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    problem = problem_of(client.post(path, content=b'{"seed": 1}', headers=headers), 415)
    assert "Content-Type" in problem["detail"]
    assert "allowed: application/json" in problem["detail"]


@pytest.mark.parametrize("kind", ["application/json", "application/problem+json; charset=utf-8"])
def test_body_that_says_it_is_json_is_read(client: TestClient, kind: str) -> None:
    answer = client.post("/generate", content=b'{"seed": 1}', headers={"Content-Type": kind})
    assert answer.status_code == 200


def test_streamed_body_without_a_length_is_bounded_too(client: TestClient) -> None:
    chunks = (b" " * 65536 for _ in range(17))
    headers = {"Content-Type": "application/json"}
    problem_of(client.post("/generate", content=chunks, headers=headers), 413)


@pytest.mark.parametrize("path", ["/generate", "/interpolate", "/v1/images/generations"])
def test_body_that_says_it_is_too_long_is_refused_before_any_of_it_is_here(
    client: TestClient, path: str
) -> None:
    statuses: list[int] = []
    length = str(MAX_BODY + 1).encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", length)],
        "client": ("192.0.2.1", 1),
        "server": ("testserver", 80),
        "scheme": "http",
    }

    async def receive() -> Message:  # our server's sends a 100 to who waits for it
        raise AssertionError("it was read")

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    assert client.portal
    client.portal.call(client.app, scope, receive, send)
    assert statuses == [413]


def test_whole_number_may_be_written_with_a_point(client: TestClient) -> None:
    answer = client.post("/generate", json={"seed": 5.0})
    assert answer.content == client.get("/generate?seed=5").content


def test_wrong_method_is_told_every_right_one(client: TestClient) -> None:
    answer = client.put("/generate")
    problem_of(answer, 405)
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


def test_unknown_path_is_a_problem_too(client: TestClient) -> None:
    problem_of(client.get("/nothing"), 404)


def test_full_queue_is_429_with_retry_after(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = client.app.state.generation.batcher  # type: ignore[attr-defined]
    run, gate = batcher._run, threading.Event()

    def held(z: NDArray[np.float32]) -> NDArray[np.uint8]:
        assert gate.wait(TIMEOUT)
        pixels: NDArray[np.uint8] = run(z)
        return pixels

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            # 16 pictures on the device, 240 and 30 behind them: no room for 20 more among 300
            accepted = []
            for n, pending in ((16, 16), (240, 256), (30, 286)):
                accepted.append(asyncio.create_task(http.get(f"/generate?seed=1&n={n}")))
                async with asyncio.timeout(TIMEOUT):
                    while batcher.pending < pending:
                        await asyncio.sleep(0.001)
            refused = await http.get("/generate?seed=1&n=20")
            gate.set()
            return [refused, *await asyncio.gather(*accepted)]

    monkeypatch.setattr(batcher, "_run", held)
    assert client.portal is not None
    refused, *accepted = client.portal.call(crowd)
    problem_of(refused, 429)
    assert int(refused.headers["Retry-After"]) >= 1
    assert [answer.status_code for answer in accepted] == [200] * 3


def test_failure_of_the_generator_is_a_500_without_its_reason(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = client.app.state.generation.batcher  # type: ignore[attr-defined]

    def fail(_: object) -> None:
        raise RuntimeError("secret path /root")

    with monkeypatch.context() as patch:
        patch.setattr(batcher, "_run", fail)
        problem = problem_of(client.get("/generate?seed=987654"), 500)
    assert "secret" not in problem["detail"]
    assert "secret path" in caplog.text
    assert client.get("/generate?seed=1").status_code == 200


def test_service_that_is_not_ready_says_503(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("generation", "generators"):
        monkeypatch.setattr(client.app.state, name, None)  # type: ignore[attr-defined]
    for path in ("/generate?seed=1", "/interpolate?seeds=1,2", "/readyz"):
        answer = client.get(path)
        problem_of(answer, 503)
        assert answer.headers["Retry-After"] == "1"
    assert client.get("/livez").status_code == 200
