"""What grows with requests has one budget of bytes, and work that grows with them is not done on
the event loop.
"""

import asyncio
import gc
import json
import re
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient
from starlette.types import Message

from app.engine.memory import MIB, MemoryBudget
from app.main import create_app
from app.monitoring.request_context import current, facts_of
from app.parameters.bodies import parse
from app.parameters.limits import DEFAULT, Streams, body_memory
from app.parameters.picture_parameters import read_list
from app.parameters.schemas import GenerateBody
from app.responses.problems import InvalidRequest, QueueFull
from app.server.disconnection import BELL, Bell
from app.settings import Settings
from model.encoding.animations import ANIMATIONS, HAS_VIDEO
from model.encoding.formats import STILLS
from model.generator_file import read_generator_file
from model.recipes import RecipeError
from tests.services import problem_of

HELD = 8  # times as long as adding up three million numbers: ten times what one callback takes


@contextmanager
def request_of(client: str) -> Iterator[None]:
    token = current.set(facts_of({"headers": [], "client": (client, 1)}))
    try:
        yield
    finally:
        current.reset(token)


def test_requests_together_take_no_more_than_the_budget() -> None:
    budget = MemoryBudget(100)
    with request_of("192.0.2.1"):
        first = budget.reserve(40)
    with request_of("192.0.2.2"):
        second = budget.reserve(50)
        with pytest.raises(QueueFull, match="all requests together"):
            budget.reserve(11)
    assert budget.taken == 90
    first.resize(10)
    assert budget.taken == 60
    for reservation in (first, second, first):  # twice is nothing more
        reservation.release()
    assert budget.taken == 0


def test_one_client_takes_no_more_than_its_share_but_with_its_first_request() -> None:
    budget = MemoryBudget(100 * MIB)
    with request_of("192.0.2.1"):
        first = budget.reserve(80 * MIB)
    with request_of("192.0.2.1"), pytest.raises(QueueFull, match="one client may take 50 MiB"):
        budget.reserve(1 * MIB)
    first.release()
    small = []
    for _ in range(5):
        with request_of("192.0.2.1"):
            small.append(budget.reserve(10 * MIB))
    with pytest.raises(QueueFull, match="one client"):
        small[0].resize(20 * MIB)
    assert small[0].size == 10 * MIB
    with request_of("192.0.2.2"), budget.reserve(50 * MIB):
        assert budget.taken == 100 * MIB


def test_one_request_may_have_several_reservations() -> None:
    budget = MemoryBudget(100 * MIB)
    with request_of("192.0.2.1"), budget.reserve(6 * MIB):  # its body
        with budget.reserve(80 * MIB):  # what is made of it
            assert budget.taken == 86 * MIB
        with pytest.raises(InvalidRequest, match="about 101 MiB"):
            budget.reserve(95 * MIB)
    assert budget.taken == 0


def test_request_that_could_never_have_its_memory_is_refused_for_good() -> None:
    with pytest.raises(InvalidRequest, match="allowed: up to 1 MiB"):
        MemoryBudget(MIB).reserve(MIB + 1)


MANY = 2000  # recipes; bodies of all that are allowed take as much a recipe
BODIES: dict[str, dict[str, Any]] = {
    "seeds": {"recipes": [{"seed": 1}] * MANY},
    "large-seeds": {"recipes": [{"seed": 2**62 + number} for number in range(MANY)]},
    "names": {"recipes": [{"name": "a"}] * MANY},
    "edits": {"recipes": [{"seed": 1, "edit": "d0:1"}] * MANY},
    "mixes-of-one": {"recipes": [{"mix": "1"}] * MANY},
    "mixes-of-four": {"recipes": [{"mix": "1,1,1,1"}] * MANY},
    "mixes-of-many": {"recipes": [{"mix": ",".join(["1"] * 32)}] * (MANY // 8)},
    "mixes-of-large-seeds": {"recipes": [{"mix": f"{2**62}:0.25,{2**62}:1"}] * MANY},
    "mixes-as-lists": {"recipes": [{"mix": [{"seed": 1}] * 4}] * MANY},
    "planes": {"recipes": [{"plane": {"seeds": [1, 2, 3, 4], "x": 0, "y": 1}}] * MANY},
    "latents": {"z": [[0] * 8] * MANY},
    "recipes-of-latents": {"recipes": [{"z": [0] * 8}] * MANY},
    "list-of-seeds": {"seeds": [2**62] * MANY},
    "text-of-seeds": {"seeds": ",".join(["1"] * MANY)},
    "refused": {"recipes": [{}] * MANY},
    "refused-mixes": {"recipes": [{"mix": [{"a": 0}] * 4}] * MANY},
    "refused-latents": {"z": [[]] * 30 * MANY},
    "unknown": {"a": [{"": 0}] * 14 * MANY},
    "names-of-one-object": {str(number): 0 for number in range(8 * MANY)},
}


@pytest.mark.parametrize("kind", BODIES)
def test_body_takes_no_more_memory_than_is_reserved_for_it(
    kind: str, generator_folder: Path
) -> None:
    file = read_generator_file(generator_folder)
    content = json.dumps(BODIES[kind], separators=(",", ":")).encode()
    assert len(content) <= DEFAULT.max_body
    gc.collect()
    tracemalloc.start()
    try:
        with suppress(RequestValidationError, RecipeError):
            parameters = parse(GenerateBody, content)
            _ = parameters, read_list(file, parameters)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= body_memory(len(content), content.count(b"{"), MANY)


def test_streams_are_shared_among_clients() -> None:
    streams = Streams(4)
    with request_of("192.0.2.1"), streams.place(), streams.place():
        with pytest.raises(QueueFull, match="to this client"):
            streams.place().__enter__()
        with request_of("192.0.2.2"), streams.place(), streams.place():
            for client in ("192.0.2.1", "192.0.2.3"):
                with request_of(client), pytest.raises(QueueFull, match="4 large answers"):
                    streams.place().__enter__()
    with request_of("192.0.2.3"), streams.place():
        pass


ROADS: dict[str, Any] = {
    **{f"still-{name}": f"/generate.{name}?seed=1&n=9&scale=3" for name in STILLS},
    **{
        f"moving-{name}": f"/interpolate?format={name}&seeds=1,2&frames=6&scale=2"
        for name in (*ANIMATIONS, "zip", "npy")
        if name != "mp4" or HAS_VIDEO
    },
    "plane": "/plane.webp?seeds=1,2,3,4",
    "strip": "/models/tiny/directions/d0.webp",
    "permalink": "/i/{id}/3@4x.webp",
    **{
        f"body-{name}": {"seeds": "1-40", "format": name, "scale": 2}
        for name in ("zip", "json", "multipart", "npy", "webp")
    },
    "large-body": {"seeds": [*range(4000)], "format": "zip"},
    "refused-late": {"z": [[0.0] * 7] * 4000, "format": "zip"},
    "refused-early": "/generate.webp?seed=1&n=200&scale=16",
    "unknown": {"seed": 1, "nonsense": ["x"] * 8000},
}


@pytest.mark.parametrize("road", ROADS)
def test_every_road_gives_back_what_it_has_taken(
    client: TestClient, road: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget: MemoryBudget = client.app.state.bounds.memory  # type: ignore[attr-defined]
    most, change = 0, budget._change

    def noting(*arguments: Any) -> None:
        nonlocal most
        change(*arguments)
        most = max(most, budget.taken)

    monkeypatch.setattr(budget, "_change", noting)
    ask = ROADS[road]
    if isinstance(ask, str):
        path = ask.format(id=client.get("/models").json()["default"])
        for method in ("GET", "HEAD"):
            client.request(method, path)
    else:
        client.post("/generate", json=ask)
    assert budget.taken == 0
    assert most > 0 or road == "refused-early"


def leave(client: TestClient, ask: Any) -> None:
    """Asks, and goes away with the answer's first part."""
    bell, gone = Bell(), asyncio.Event()
    path, _, query = (ask if isinstance(ask, str) else "/generate").partition("?")
    content = b"" if isinstance(ask, str) else json.dumps(ask).encode()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST" if content else "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"content-type", b"application/json")],
        "client": ("192.0.2.1", 1),
        "extensions": {BELL: bell},
    }
    messages = [{"type": "http.request", "body": content}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message.get("body"):
            gone.set()
            bell.ring()

    assert client.portal is not None
    client.portal.call(client.app, scope, receive, send)


@pytest.mark.parametrize("road", ROADS)
def test_client_that_leaves_leaves_no_pictures_to_the_garbage_collector(
    client: TestClient, road: str
) -> None:
    ask = ROADS[road]
    if isinstance(ask, str):
        ask = ask.format(id=client.get("/models").json()["default"])
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        leave(client, ask)
        gc.collect()
        held = gc.get_referents(*gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    budget: MemoryBudget = client.app.state.bounds.memory  # type: ignore[attr-defined]
    assert budget.taken == 0
    kept = [(type(entry), sys.getsizeof(entry)) for entry in held]
    assert not [size for kind, size in kept if kind in (bytes, np.ndarray) and size > 500]


def test_full_memory_is_429_and_told_when_to_come_again(client: TestClient) -> None:
    budget: MemoryBudget = client.app.state.bounds.memory  # type: ignore[attr-defined]
    with request_of("192.0.2.1"):
        taken = budget.reserve(budget.limit)
    with taken:
        for answer in (
            client.get("/generate.webp?seed=1"),
            client.get("/interpolate.zip?seeds=1,2"),
            client.post("/generate", json={"seeds": [*range(4000)], "format": "zip"}),
        ):
            problem = problem_of(answer, 429)
            assert answer.headers["Retry-After"] == "1"
            assert "512 MiB" in problem["detail"]
        assert client.get("/generate?seed=1").status_code == 200  # what is small goes on
        assert 'reason="memory-full"' in client.get("/metrics").text


def test_picture_beyond_the_whole_budget_is_422(generator_folder: Any) -> None:
    settings = Settings(generator=str(generator_folder), device="cpu", max_memory_mib=64)
    with TestClient(create_app(settings)) as client:
        path = "/generate.webp?seed=1&n=25&columns=5&scale=11"
        problem = problem_of(client.get(path), 422)
        assert "allowed: up to 64 MiB" in problem["detail"]
        assert client.get(path.replace("webp", "jpg")).status_code == 200


# --- the event loop ---

MIX = {"mix": ",".join(["1"] * 20)}
HEAVY: dict[str, tuple[str, Any]] = {
    "mixes": ("/generate", {"recipes": [MIX] * 2000, "format": "zip"}),
    "planes": (
        "/generate",
        {"recipes": [{"plane": {"seeds": [1, 2, 3, 4], "x": 0.5, "y": 0.5}}] * 9000},
    ),
    "texts": ("/generate", {"seeds": ["ada"] * 10_000, "format": "json"}),
    "ranges": ("/generate", {"seeds": ",".join(["1-9999"] * 9000)}),
    "sheet": ("/generate", {"recipes": [{"mix": ",".join(["5"] * 32)}] * 200, "format": "webp"}),
    "vectors": ("/generate", {"z": [[0.5] * 8] * 10_000, "format": "npy"}),
    "wrong": ("/generate", {"recipes": [{"nonsense": 1}] * 10_000}),
    "wrong-in-many-ways": ("/generate", {"recipes": [{"seed": -1, "z": "x", "edit": 3}] * 9000}),
    "names": ("/generate", {f"name{number}": 1 for number in range(40_000)}),
    "path": (
        "/interpolate",
        {"recipes": [{"mix": ",".join(["7"] * 32)}] * 32, "frames": 256, "format": "zip"},
    ),
    "deep": ("/generate", json.loads("[" * 400 + "]" * 400)),
    "scaled": ("/generate", {"seeds": "1-200", "scale": 16, "format": "json"}),
}


@pytest.mark.parametrize("kind", HEAVY)
def test_no_body_holds_the_event_loop(
    client: TestClient, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest, run = 0.0, asyncio.Handle._run
    start = time.thread_time()
    sum(range(3_000_000))
    unit = time.thread_time() - start

    def timed(handle: asyncio.Handle) -> None:
        nonlocal longest
        start = time.thread_time()
        run(handle)
        longest = max(longest, time.thread_time() - start)

    path, body = HEAVY[kind]
    content = json.dumps(body).encode()
    assert len(content) < 2**20
    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 422)
    assert 0 < longest < HELD * unit


def of_a_megabyte(unit: str, head: str, tail: str) -> bytes:
    return (head + ",".join([unit] * ((2**20 - 100) // (len(unit) + 1))) + tail).encode()


# what the reader of JSON, or pydantic, could go through without calling anything of ours
IN_ONE_GO = {
    "numbers": of_a_megabyte("1", '{"z": [[', "]]}"),
    "reals": of_a_megabyte("0.5", '{"z": [[', "]]}"),
    "vectors": of_a_megabyte(f"[{','.join(['0'] * 50)}]", '{"z": [', "]}"),
}


@pytest.mark.parametrize("kind", IN_ONE_GO)
def test_others_have_their_turn_while_a_body_is_read(kind: str) -> None:
    turns, over = 0, False

    def take_turns() -> None:
        nonlocal turns
        while not over:
            turns += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    other = threading.Thread(target=take_turns)
    other.start()
    try:
        before = turns
        with suppress(RequestValidationError):
            parse(GenerateBody, IN_ONE_GO[kind])
        during = turns - before
    finally:
        over = True
        other.join()
        sys.setswitchinterval(interval)
    assert during > 50  # a reader that calls nothing of ours gives 5


TOO_MANY = {
    "lists": of_a_megabyte("[]", '{"z": [', "]}"),
    "lists-of-nothing": of_a_megabyte("[[null]]", '{"seed": 1, "truncation": [', "]}"),
    "lists-beside-texts": of_a_megabyte(r'"\"[[\\", []', '{"seeds": [', "]}"),
    "names": json.dumps({f"name{number}": "" for number in range(40_000)}).encode(),
    "names-below": json.dumps({"model": {str(number): "" for number in range(200)}}).encode(),
}


@pytest.mark.parametrize("kind", TOO_MANY)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_more_lists_or_names_than_any_request_has_are_refused(kind: str, encoding: str) -> None:
    with pytest.raises(RequestValidationError) as refusal:
        parse(GenerateBody, TOO_MANY[kind].decode().encode(encoding))
    assert re.fullmatch(
        r"(up to 40000 lists|objects of up to 100 names) are wanted",
        refusal.value.errors()[0]["msg"],
    )


def test_brackets_of_texts_are_no_lists() -> None:
    texts = ["[[[[[[[[\\", '"[[[[[[[[', "[[[[[[[["] * 3000
    body = parse(GenerateBody, json.dumps({"seeds": texts}).encode())
    assert body.seeds is not None
    assert len(body.seeds) == 9000


ENCODED = """
import sys, threading, time
import numpy as np, psutil
from model.encoding.animations import ANIMATIONS, encode_animation
from model.encoding.formats import STILLS, encode_still

kind, name, side = sys.argv[1], sys.argv[2], int(sys.argv[3])
pixels = np.random.default_rng(0).integers(0, 255, (8, 128, 128, 3), np.uint8)
pixels = pixels.repeat(side // 128, 1).repeat(side // 128, 2)

def encode(pixels):
    if kind == "still":
        return encode_still(np.concatenate(pixels), name)
    return encode_animation(pixels, name, fps=20)

encode(pixels[:1, :128, :128].copy())
process, most, over = psutil.Process(), 0, False
before = process.memory_info().rss

def watch():
    global most
    while not over:
        most = max(most, process.memory_info().rss)
        time.sleep(0.002)

thread = threading.Thread(target=watch)
thread.start()
encode(pixels)
over = True
thread.join()
format = (STILLS if kind == "still" else ANIMATIONS)[name]
print(most - before, format.memory(8 * side**2, 3))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("still", name) for name in STILLS), *(("moving", name) for name in ANIMATIONS)],
)
def test_encoders_take_no_more_memory_than_is_reserved(kind: str, name: str) -> None:
    if name == "mp4" and not HAS_VIDEO:
        pytest.skip("PyAV is not installed")
    command = [sys.executable, "-c", ENCODED, kind, name, "512"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    taken, reserved = map(int, done.stdout.split())
    assert 0 < taken < reserved + 4 * MIB  # what a library needs whatever the size


HEAP = """
import threading
import psutil
from app.server.process import give_memory_back, prepare_process

prepare_process()
mib = lambda: psutil.Process().memory_info().rss / 2**20
# the last piece stays, so that the heap cannot shrink from its end by itself
kept = []
def take():
    pieces = [bytes(50_000) for _ in range(1_000)]
    kept.append(pieces[-1])
threads = [threading.Thread(target=take) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
before = mib()
give_memory_back()
print(before - mib(), mib())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the C library sees to it")
def test_free_memory_goes_back_to_the_system() -> None:
    shown = subprocess.run([sys.executable, "-c", HEAP], capture_output=True, text=True, check=True)
    given_back, _ = map(float, shown.stdout.split())
    assert given_back > 20
