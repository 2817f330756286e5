"""The short way and its slow twin; answers that need no work: kept, shared, unchanged, unwanted."""

import asyncio
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from app.engine.loaded_generator import ENTRY_OVERHEAD, Generation, PictureCache
from app.http import hot_path
from app.main import create_app
from app.responses.caching import matches
from app.routes import images
from app.server.disconnection import BELL, Bell
from app.settings import Settings
from app.state import Context
from tests.conftest import write_tiny_residual
from tests.services import TIMEOUT, until

fresh_seed = itertools.count(1_000_000)


class Watched:
    """Stands before the generator: counts pictures, and holds them while `gate` is closed."""

    def __init__(self, run: Callable[[Any], Any]) -> None:
        self._run = run
        self.pictures = 0
        self.gate, self.started = threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, z: NDArray[np.float32]) -> NDArray[np.uint8]:
        self.started.set()
        assert self.gate.wait(TIMEOUT)
        self.pictures += len(z)
        pixels: NDArray[np.uint8] = self._run(z)
        return pixels


def loaded(client: TestClient) -> Generation:
    generator: Generation = client.app.state.generation  # type: ignore[attr-defined]
    return generator


@pytest.fixture
def watched(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    batcher = client.app.state.generation.batcher  # type: ignore[attr-defined]
    spy = Watched(batcher._run)
    monkeypatch.setattr(batcher, "_run", spy)
    yield spy
    spy.gate.set()


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = write_tiny_residual(tmp_path_factory.mktemp("generators") / "pets")
    settings = Settings(generator=str(folder), device="cpu")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


SLOW = "&n=1"  # says the same, and is not the short way's form


OWN = ("server-timing", "x-request-id")  # each answer has others


def facts(answer: Any) -> tuple[Any, ...]:
    headers = {name: value for name, value in answer.headers.items() if name not in OWN}
    return (answer.status_code, answer.content, headers)


@pytest.mark.parametrize("path", ["/generate", "/generate.png"])
@pytest.mark.parametrize("seed", [0, 7, 42, 2**32, 2**63 - 1])
def test_short_way_answers_as_its_slow_twin(client: TestClient, seed: int, path: str) -> None:
    short, slow = (client.get(f"{path}?seed={seed}{more}") for more in ("", SLOW))
    assert facts(short) == facts(slow)
    tag = {"If-None-Match": short.headers["ETag"]}
    short, slow = (client.get(f"{path}?seed={seed}{more}", headers=tag) for more in ("", SLOW))
    assert short.status_code == 304
    assert facts(short) == facts(slow)


PNG, WEBP, HALF = ("Accept", "image/png"), ("Accept", "image/webp"), ("Accept", "image/png;q=0.5")
SAME, OTHER = ("If-None-Match", "TAG"), ("If-None-Match", '"other"')


@pytest.mark.parametrize("path", ["/generate", "/generate.png"])
@pytest.mark.parametrize(
    ("lines", "negotiated", "status"),
    [
        pytest.param([PNG, PNG], "image/png", 200, id="same-twice"),
        pytest.param([HALF, WEBP], "image/webp", 200, id="first-of-two"),
        pytest.param([WEBP, HALF], "image/webp", 200, id="last-of-two"),
        # each line alone prefers PNG; together the more specific range counts
        pytest.param(
            [("Accept", "image/png;q=0.1"), ("Accept", "*/*")], "image/webp", 200, id="together"
        ),
        pytest.param([OTHER, SAME], "image/png", 304, id="known-by-the-last-line"),
        pytest.param([SAME, OTHER], "image/png", 304, id="known-by-the-first-line"),
        pytest.param([OTHER, OTHER], "image/png", 200, id="known-by-neither"),
        pytest.param([("If-None-Match", ""), SAME], "image/png", 304, id="empty-line"),
        pytest.param([PNG, OTHER, SAME], "image/png", 304, id="both-headers"),
    ],
)
def test_short_way_reads_headers_of_several_lines_as_its_slow_twin(
    client: TestClient, path: str, lines: list[tuple[str, str]], negotiated: str, status: int
) -> None:
    tag = client.get("/generate?seed=7").headers["ETag"]
    headers = [(name, value.replace("TAG", tag)) for name, value in lines]
    short, slow = (client.get(f"{path}?seed=7{more}", headers=headers) for more in ("", SLOW))
    assert facts(short) == facts(slow)
    assert short.status_code == status
    if status == 200:
        named = path.endswith(".png")
        assert short.headers["Content-Type"] == ("image/png" if named else negotiated)


@pytest.mark.parametrize("path", ["/latents/7.json", "/i/MODEL/7.json", "/plane?seeds=1,2,3,4"])
def test_any_line_of_if_none_match_may_name_the_tag(client: TestClient, path: str) -> None:
    path = path.replace("MODEL", client.get("/models").json()["default"])
    tag = client.get(path).headers["ETag"]
    for lines in ([tag, '"other"'], ['"other"', tag]):
        headers = [("If-None-Match", line) for line in lines]
        assert client.get(path, headers=headers).status_code == 304


def test_short_way_refuses_as_its_slow_twin(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.app.state.generation.batcher, "_open", False)  # type: ignore[attr-defined]
    seed = next(fresh_seed)
    short, slow = (client.get(f"/generate?seed={seed}{more}") for more in ("", SLOW))
    assert short.status_code == 503
    assert facts(short) == facts(slow)


def test_short_way_fails_as_its_slow_twin(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client.app.state.generation.batcher, "_run", lambda z: 1 / 0)  # type: ignore[attr-defined]
    seed = next(fresh_seed)
    short, slow = (client.get(f"/generate?seed={seed}{more}") for more in ("", SLOW))
    assert short.status_code == 500
    assert facts(short) == facts(slow)
    assert caplog.text.count("GET /generate failed") == 2


ROOT = Path(__file__).parent.parent
OURS = (str(ROOT / "app"), str(ROOT / "model"))


def test_slow_way_takes_few_calls_and_moves_between_files(generator_folder: Path) -> None:
    """Who follows a request through the code has to look into as many files."""
    files: list[str] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            files.append(frame.f_code.co_filename)

    async def ask(app: Any, seed: int) -> int:
        statuses: list[int] = []

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        headers = [(b"host", b"here"), (b"accept", b"*/*")]
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/generate"}
        scope["headers"] = headers
        scope |= {"query_string": f"seed={seed}{SLOW}".encode(), "extensions": {BELL: Bell()}}
        await app(scope, receive, send)
        return statuses[0]

    async def measure() -> int:
        app = create_app(Settings(generator=str(generator_folder), device="cpu"))
        async with app.router.lifespan_context(app):
            await ask(app, 1)  # what is read once for all
            sys.setprofile(profile)
            try:
                return await ask(app, 2)
            finally:
                sys.setprofile(None)

    assert asyncio.run(measure()) == 200
    assert str(ROOT / "app" / "routes" / "images.py") in files
    assert len(files) <= 140
    assert sum(one != other for one, other in itertools.pairwise(files)) <= 50


@pytest.fixture
def slow_answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns the query strings that the slow twin has answered or refused."""
    seen: list[str] = []
    real = images.sheet

    async def spy(context: Context, *rest: Any) -> Any:
        seen.append(context.request.url.query)
        return await real(context, *rest)

    monkeypatch.setattr(images, "sheet", spy)
    return seen


TEXTS = [
    "ada",
    "Ada+Lovelace",
    "Ada%20Lovelace",
    "%C3%A4",
    "a%2Fb",
    "7%20",
    "x7",
    "-",
    "%31",
    "%zz",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_goes_the_short_way_to_the_same_answer(
    client: TestClient, slow_answers: list[str], text: str
) -> None:
    short = client.get(f"/generate?seed={text}")
    if short.status_code == 200:
        assert slow_answers == []
    slow = client.get(f"/generate?seed={text}{SLOW}")
    assert facts(short) == facts(slow)


@pytest.mark.parametrize("class_", ["cat", "red+panda", "red%20panda", "1", "bird", "3", "%ff"])
@pytest.mark.parametrize("seed", ["7", "ada", "-1"])
def test_class_goes_the_short_way_to_the_same_answer(
    pets: TestClient, slow_answers: list[str], seed: str, class_: str
) -> None:
    short = pets.get(f"/generate?seed={seed}&class={class_}")
    assert (slow_answers == []) or short.status_code == 422
    slow = pets.get(f"/generate?seed={seed}&class={class_}{SLOW}")
    assert facts(short) == facts(slow)
    assert short.status_code == (422 if seed == "-1" or class_ in ("bird", "3", "%ff") else 200)


def test_class_of_another_seed_is_another_picture(pets: TestClient) -> None:
    """Kept pictures are told apart by both."""
    answers = [pets.get(f"/generate?seed={s}&class={c}") for s in (1, 2) for c in ("cat", "dog")]
    again = [pets.get(f"/generate?seed={s}&class={c}") for s in (1, 2) for c in ("cat", "dog")]
    assert len({answer.content for answer in answers}) == 4
    assert [answer.content for answer in answers] == [answer.content for answer in again]
    assert len({answer.headers["ETag"] for answer in answers}) == 4


LEFT = ["seed=-1", "seed=1.0", "seed=1&n=2", "seed=9223372036854775808", "", "class=1&seed=1"]


@pytest.mark.parametrize("query", [*LEFT, "seed=", "seed=1&seed=2", "seed=%ED%A0%80", "seed=1&x=2"])
def test_short_way_leaves_everything_else_to_the_application(
    client: TestClient, query: str
) -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/generate",
        "query_string": query.encode(),
        "headers": [],
    }
    state = client.app.state  # type: ignore[attr-defined]
    assert asyncio.run(hot_path.answered(state.generation, [], scope, never, never)) == 0


async def never(*_: object) -> Any:
    raise AssertionError


@pytest.mark.parametrize("path", ["/generate?seed=4&n=3", "/interpolate?seeds=1,2"])
def test_unchanged_sheet_is_304_without_touching_the_device(
    client: TestClient, watched: Watched, path: str
) -> None:
    tag = client.get(path).headers["ETag"]
    before = watched.pictures
    answer = client.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == tag
    assert watched.pictures == before
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("extension", ["zip", "npy"])
def test_head_of_what_is_streamed_draws_nothing(
    client: TestClient, watched: Watched, extension: str
) -> None:
    path = f"/interpolate.{extension}?seeds=1,{next(fresh_seed)}&frames=5"
    head = client.head(path)
    assert (head.status_code, head.content, watched.pictures) == (200, b"", 0)
    get = client.get(path)
    assert watched.pictures == 5
    for headers in (head.headers, get.headers):
        headers.pop("X-Request-Id")
    assert dict(head.headers) == dict(get.headers)


def test_tags_differ_by_every_parameter(client: TestClient) -> None:
    paths = [
        "/generate?seed=1",
        "/generate?seed=2",
        "/generate?seed=1&n=2",
        "/generate?seed=1&n=2&columns=1",
        "/interpolate?seeds=1,2",
        "/interpolate?seeds=2,1",
        "/interpolate?seeds=1,2&frames=9",
        "/interpolate?seeds=18,2",
    ]
    assert len({client.get(path).headers["ETag"] for path in paths}) == len(paths)
    assert "ETag" not in client.get("/generate").headers


def test_hot_seed_is_computed_once(client: TestClient, watched: Watched) -> None:
    seed = next(fresh_seed)
    files = {client.get(f"/generate?seed={seed}{more}").content for more in ("", "", SLOW)}
    assert len(files) == 1
    assert watched.pictures == 1


def together(client: TestClient, scenario: Callable[[httpx.AsyncClient], Any]) -> Any:
    """Runs a scenario on the application's own loop."""

    async def main() -> Any:
        transport = httpx.ASGITransport(app=client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            return await scenario(http)

    assert client.portal is not None
    return client.portal.call(main)


def test_equal_seeds_that_wait_together_are_computed_once(
    client: TestClient, watched: Watched
) -> None:
    seed = next(fresh_seed)

    async def scenario(http: httpx.AsyncClient) -> list[bytes]:
        watched.gate.clear()
        tasks = [asyncio.create_task(http.get(f"/generate?seed={seed}")) for _ in range(10)]
        making = loaded(client)._making
        await until(lambda: seed in making and making[seed].waiting == 10)
        watched.gate.set()
        return [answer.content for answer in await asyncio.gather(*tasks)]

    assert len(set(together(client, scenario))) == 1
    assert watched.pictures == 1


class Visitor:
    """One ASGI request whose client may leave."""

    def __init__(self, app: Any, query: str) -> None:
        self._leaves = asyncio.Event()
        self._asked = False
        self.sent: list[Any] = []
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/generate",
            "raw_path": b"/generate",
            "query_string": query.encode(),
            "headers": [],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    def leave(self) -> None:
        self._leaves.set()

    async def _receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._leaves.set()  # as servers do once the answer is out


@pytest.mark.parametrize("more", ["", SLOW, "&n=3"], ids=["short", "slow", "sheet"])
def test_32_clients_that_leave_are_never_computed(
    client: TestClient, watched: Watched, more: str
) -> None:
    async def scenario(http: httpx.AsyncClient) -> int:
        watched.gate.clear()
        first = asyncio.create_task(http.get(f"/generate?seed={next(fresh_seed)}"))
        assert await asyncio.to_thread(watched.started.wait, TIMEOUT)
        visitors = [Visitor(client.app, f"seed={next(fresh_seed)}{more}") for _ in range(32)]
        stays = Visitor(client.app, f"seed={next(fresh_seed)}{more}")
        pictures = 3 if more == "&n=3" else 1
        await until(lambda: loaded(client).batcher.pending == 1 + 33 * pictures)
        for visitor in visitors:
            visitor.leave()
        await asyncio.gather(*(visitor.task for visitor in visitors))
        watched.gate.set()
        await asyncio.gather(first, stays.task)
        assert stays.sent[0]["status"] == 200
        return watched.pictures

    assert together(client, scenario) == 1 + (3 if more == "&n=3" else 1)
    assert client.app.state.generation.batcher.pending == 0  # type: ignore[attr-defined]


def test_client_that_leaves_takes_the_picture_from_nobody_else(
    client: TestClient, watched: Watched
) -> None:
    seed = next(fresh_seed)

    async def scenario(http: httpx.AsyncClient) -> int:
        watched.gate.clear()
        first = asyncio.create_task(http.get(f"/generate?seed={next(fresh_seed)}"))
        assert await asyncio.to_thread(watched.started.wait, TIMEOUT)
        leaves, stays = (Visitor(client.app, f"seed={seed}") for _ in range(2))
        making = loaded(client)._making
        await until(lambda: seed in making and making[seed].waiting == 2)
        leaves.leave()
        await until(lambda: making[seed].waiting == 1)
        watched.gate.set()
        await asyncio.gather(first, stays.task, leaves.task)
        status: int = stays.sent[0]["status"]
        return status

    assert together(client, scenario) == 200
    assert watched.pictures == 2


def test_cache_holds_no_more_than_its_bound_and_forgets_the_oldest() -> None:
    file = bytes(100)
    cache = PictureCache(3 * (len(file) + ENTRY_OVERHEAD))
    for seed in (1, 2, 3):
        cache.put(seed, file)
    assert cache.get(1) == file  # asked for again: now the youngest
    cache.put(4, file)
    assert [seed for seed in (1, 2, 3, 4) if cache.get(seed)] == [1, 3, 4]
    assert cache._bytes <= cache._max_bytes
    cache.put(5, bytes(10_000))  # larger than the whole cache
    assert cache.get(5) is None
    assert cache.get(4) == file


def test_cache_of_no_bytes_keeps_nothing() -> None:
    cache = PictureCache(0)
    cache.put(1, b"x")
    assert cache.get(1) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
        ("", False),
    ],
)
def test_if_none_match_is_compared_as_the_standard_says(header: str, expected: bool) -> None:
    assert matches(header, '"a"') is expected
