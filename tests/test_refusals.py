"""Bad requests: each gets a problem that says what is allowed; none a 500, none a traceback, no
echo.
"""

import asyncio
import json
import threading
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from app.limits import MAX_BODY

SEEDS = "a whole number from 0 to 9223372036854775807"

QUERIES = {
    "negative-seed": ("/generate?seed=-1", SEEDS),
    "seed-too-large": (f"/generate?seed={2**63}", SEEDS),
    "seed-of-5000-digits": ("/generate?seed=" + "1" * 5000, SEEDS),
    "seed-text": ("/generate?seed=abc", SEEDS),
    "seed-true": ("/generate?seed=true", SEEDS),
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
    "unknown-parameter": ("/generate?sed=1", "known: seed, n, columns"),
    "parameter-twice": ("/generate?seed=1&seed=2", "more than once"),
    "z-in-query": ("/generate?z=1", "known: seed, n, columns"),
    "interpolate-nothing": ("/interpolate", "required"),
    "interpolate-one-seed": ("/interpolate?seeds=1", "at least 2"),
    "interpolate-gap": ("/interpolate?seeds=1,,2", SEEDS),
    "interpolate-33-seeds": ("/interpolate?seeds=" + ",".join("1" * 33), "at most 32"),
    "interpolate-too-few-frames": (
        "/interpolate?seeds=1,2,3&frames=2",
        "from 3 (one a seed) to 256",
    ),
    "interpolate-one-frame": ("/interpolate?seeds=1,2&frames=1", "from 2 to 256"),
    "interpolate-twice": ("/interpolate?seeds=1&seeds=2", "more than once"),
}
BODIES = {
    "nan-seed": ('{"seed": NaN}', 422, SEEDS),
    "infinite-seed": ('{"seed": Infinity}', 422, SEEDS),
    "boolean-seed": ('{"seed": true}', 422, SEEDS),
    "text-seed": ('{"seed": "5"}', 422, SEEDS),
    "surrogate-seed": ('{"seed": "\\ud800"}', 422, SEEDS),
    "surrogate-key": ('{"\\ud800": 1}', 422, "known: seed, n, columns, z"),
    "huge-seed": ('{"seed": 1e400}', 422, SEEDS),
    "nan-z": ('{"z": [[NaN, 0, 0, 0, 0, 0, 0, 0]]}', 422, "finite"),
    "large-z": ('{"z": [[11, 0, 0, 0, 0, 0, 0, 0]]}', 422, "less than or equal to 10"),
    "boolean-z": ('{"z": [[true, 0, 0, 0, 0, 0, 0, 0]]}', 422, "number"),
    "flat-z": ('{"z": [1, 2]}', 422, "list"),
    "short-z": ('{"z": [[1, 2]]}', 422, "this generator wants 8"),
    "empty-z": ('{"z": []}', 422, "at least 1"),
    "many-z": (json.dumps({"z": [[0.0] * 8] * 257}), 422, "at most 256"),
    "z-and-seed": ('{"z": [[0]], "seed": 1}', 422, "one or the other"),
    "list": ("[]", 422, "an object is wanted"),
    "null": ("null", 422, "an object is wanted"),
    "not-json": ("{bad", 400, "not valid JSON"),
    "nothing": ("", 422, "required"),
    "deep": ("[" * 100_000, 400, "parsing the body"),
    "long-number": ('{"seed": ' + "9" * 5000 + "}", 400, "parsing the body"),
    "bad-utf8": (b'{"seed": "\xff"}', 400, ""),
    "too-large": (" " * (MAX_BODY + 1), 413, "1048576 bytes allowed"),
}


def problem_of(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    problem: dict[str, Any] = json.loads(answer.content)
    assert problem["status"] == status
    assert problem["title"]
    assert len(answer.content) < 2000
    return problem


@pytest.mark.parametrize("kind", QUERIES)
def test_bad_query_is_refused_and_told_what_is_allowed(client: TestClient, kind: str) -> None:
    path, allowed = QUERIES[kind]
    problem = problem_of(client.get(path), 422)
    assert allowed in problem["detail"]


@pytest.mark.parametrize("kind", BODIES)
def test_bad_body_is_refused_and_told_what_is_allowed(client: TestClient, kind: str) -> None:
    body, status, allowed = BODIES[kind]
    headers = {"Content-Type": "application/json"}
    problem = problem_of(client.post("/generate", content=body, headers=headers), status)
    assert allowed in problem["detail"]


def test_streamed_body_without_a_length_is_bounded_too(client: TestClient) -> None:
    chunks = (b" " * 65536 for _ in range(17))
    headers = {"Content-Type": "application/json"}
    problem_of(client.post("/generate", content=chunks, headers=headers), 413)


def test_whole_number_may_be_written_with_a_point(client: TestClient) -> None:
    answer = client.post("/generate", json={"seed": 5.0})
    assert answer.content == client.get("/generate?seed=5").content


def test_wrong_method_is_told_every_right_one(client: TestClient) -> None:
    answer = client.put("/generate")
    problem_of(answer, 405)
    assert answer.headers["Allow"] == "GET, POST"


def test_unknown_path_is_a_problem_too(client: TestClient) -> None:
    problem_of(client.get("/nothing"), 404)


def test_full_queue_is_429_with_retry_after(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = client.app.state.generation.batcher  # type: ignore[attr-defined]
    run, gate = batcher._run, threading.Event()

    def held(z: NDArray[np.float32]) -> NDArray[np.uint8]:
        assert gate.wait(10)
        pixels: NDArray[np.uint8] = run(z)
        return pixels

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            # 16 pictures on the device, 240 and 30 behind them: no room for 20 more among 300
            accepted = []
            for n in (16, 240, 30):
                accepted.append(asyncio.create_task(http.get(f"/generate?seed=1&n={n}")))
                await asyncio.sleep(0.05)
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
    monkeypatch.setitem(client.app.state._state, "generation", None)  # type: ignore[attr-defined]
    for path in ("/generate?seed=1", "/interpolate?seeds=1,2", "/readyz"):
        answer = client.get(path)
        problem_of(answer, 503)
        assert answer.headers["Retry-After"] == "1"
    assert client.get("/healthz").status_code == 200
