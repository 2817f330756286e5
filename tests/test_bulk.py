"""Many pictures in one answer of the running service: the right ones, in order, refused in time,
stopped when nobody waits, and in memory that does not grow with their number.
"""

import base64
import email
import io
import json
import os
import signal
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.encoding.marking import read_recipe
from model.generators import ZOO
from tests.services import (
    LARGE,
    TIMEOUT,
    RunningService,
    Words,
    needs_proc,
    refuses,
    service,
    spent_until_idle,
    wait_until,
)

THOUSANDS = int(os.environ.get("GAN_PICTURES", 2_000))  # the long run has 10,000
MANY = {"seeds": "0-9999", "format": "zip"}
MIB = 2**20


@pytest.fixture(scope="module")
def host() -> Iterator[RunningService]:
    settings = {"GAN_MAX_STREAMS": "1", "GAN_MAX_QUEUE": "300"}
    # on a slow machine too nobody is refused or given up for the time that things take
    settings |= {"GAN_MAX_WAIT": "600", "GAN_STALLED_SECONDS": "3600"}
    with service(ZOO / "mnist", **settings) as (process, address):
        yield RunningService(process, address)


# --- the right pictures ---


def unpacked(media_type: str, content: bytes) -> list[tuple[Words, bytes]]:
    """Returns the PNG files of an answer in their order, and what it says of each."""
    if media_type == "application/zip":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.testzip() is None
            manifest = json.loads(archive.read("manifest.json"))
            names = [entry.pop("file") for entry in manifest["files"]]
            assert manifest["pictures"] == len(names)
            assert archive.namelist() == [*names, "manifest.json"]
            # lengths stand in front: not every reader of a pipe takes them from behind
            assert not any(info.flag_bits & 8 for info in archive.infolist())
            files = [archive.read(name) for name in names]
        assert names == sorted(names)
        assert {entry["model"] for entry in manifest["files"]} == {manifest["model"]}
        return list(zip(manifest["files"], files, strict=True))
    if media_type == "application/json":
        answer = json.loads(content)
        assert answer["media_type"] == "image/png"
        return [(entry, base64.b64decode(entry.pop("image"))) for entry in answer["pictures"]]
    message = email.message_from_bytes(b"Content-Type: %b\r\n\r\n" % media_type.encode() + content)
    assert message.get_content_type() == "multipart/mixed"
    assert message.defects == []
    found = []
    for part in message.walk():
        if part.is_multipart():
            continue
        file = part.get_payload(decode=True)
        assert isinstance(file, bytes)
        assert part.get_content_type() == "image/png"
        assert int(part["Content-Length"]) == len(file)
        said = {} if part["Image-Seed"] is None else {"seed": int(part["Image-Seed"])}
        found.append((said, file))
    return found


def pixels(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as image:
        assert image.format == "PNG"
        return np.asarray(image)


SEEDS = [5, 3, 2**63 - 1, 3, *range(100, 230)]  # more than two pieces; one of them twice
CONTAINERS = ["zip", "json", "multipart"]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    "seeds", [SEEDS, f"5,3,{2**63 - 1},3,100-229"], ids=["list", "text-with-ranges"]
)
def test_pictures_of_seeds_are_the_files_of_their_urls(
    host: RunningService, container: str, seeds: Any
) -> None:
    status, media_type, content = host.post({"seeds": seeds, "format": container})
    assert status == 200
    found = unpacked(media_type, content)
    assert [said["seed"] for said, _ in found] == SEEDS
    for seed, (_, file) in list(zip(SEEDS, found, strict=True))[::13]:
        assert file == host.get(f"/generate.png?seed={seed}")
    assert [(read_recipe(file) or {})["seed"] for _, file in found] == SEEDS


@pytest.mark.parametrize("container", ["zip", "json"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"scale": 2},
        {"scale": 3, "resample": "lanczos", "truncation": 0.5},
        {"truncation": 0.25, "edit": "d0:1.5,d2:-1"},
    ],
    ids=["plain", "scale", "lanczos", "truncation-and-edit"],
)
def test_what_is_said_of_a_picture_is_its_recipe_and_makes_it_again(
    host: RunningService, container: str, more: Words
) -> None:
    _, media_type, content = host.post({"seeds": "0-69", "format": container, **more})
    for said, file in unpacked(media_type, content)[::23]:
        if container != "multipart":
            assert said.pop("seed_text") == str(said["seed"])
        assert read_recipe(file) == said
        assert said == {"model": said["model"], "seed": said["seed"], **more}
        query = "&".join(f"{name}={value}" for name, value in said.items())
        assert host.get(f"/generate.png?{query}") == file


@pytest.mark.parametrize("container", CONTAINERS)
def test_pictures_that_follow_a_seed(host: RunningService, container: str) -> None:
    _, media_type, content = host.post({"seed": 40, "n": 3, "format": container})
    found = unpacked(media_type, content)
    assert [said["seed"] for said, _ in found] == [40, 41, 42]
    assert found[1][1] == host.get("/generate.png?seed=41")


def test_text_stands_for_its_seed(host: RunningService) -> None:
    _, media_type, content = host.post({"seeds": ["alice", 7], "format": "json"})
    (alice, file), _ = unpacked(media_type, content)
    assert file == host.get("/generate.png?seed=alice")
    assert file == host.get(f"/generate.png?seed={alice['seed']}")


@pytest.mark.parametrize("container", CONTAINERS)
def test_pictures_of_latents_are_those_of_the_seeds_that_they_come_from(
    host: RunningService, container: str
) -> None:
    z = [json.loads(host.get(f"/latents/{seed}.json"))["z"] for seed in (7, 8)]
    _, media_type, content = host.post({"z": z, "format": container})
    for seed, (said, file) in zip((7, 8), unpacked(media_type, content), strict=True):
        assert np.array_equal(pixels(file), pixels(host.get(f"/generate.png?seed={seed}")))
        if container != "multipart":
            assert np.array_equal(np.float32(said["z"]), np.float32(z[seed - 7]))
            assert read_recipe(file) == said


@pytest.mark.parametrize("container", CONTAINERS)
def test_recipes_mix_what_they_name(host: RunningService, container: str) -> None:
    z = json.loads(host.get("/latents/7.json"))["z"]
    one_and_back = [{"seed": 1}, {"seed": 7}, {"seed": 1, "weight": -1}]
    recipes = [
        {"seed": 7},
        {"z": z},
        {"mix": [{"seed": 7}]},
        {"mix": one_and_back},
        {"seed": 7, "truncation": 1, "edit": "d0:1"},
    ]
    body = {"recipes": recipes, "truncation": 0.5, "format": container}
    status, media_type, content = host.post(body)
    assert status == 200
    found = unpacked(media_type, content)
    files = [file for _, file in found]
    expected = pixels(host.get("/generate.png?seed=7&truncation=0.5"))
    for file in files[:3]:
        assert np.array_equal(pixels(file), expected)
    assert np.abs(pixels(files[3]).astype(int) - expected).max() <= 1  # a sum is rounded
    assert files[4] == host.get("/generate.png?seed=7&edit=d0:1")
    if container != "multipart":
        assert found[2][0]["mix"] == "7:1"
        assert [said.get("truncation") for said, _ in found] == [0.5] * 4 + [None]


@pytest.mark.parametrize("scale", [1, 2])
def test_array_holds_the_pixels_of_all(host: RunningService, scale: int) -> None:
    _, media_type, content = host.post({"seeds": SEEDS, "format": "npy", "scale": scale})
    assert media_type == "application/x-npy"
    found = np.load(io.BytesIO(content), allow_pickle=False)
    assert found.shape == (len(SEEDS), 28 * scale, 28 * scale, 1)
    for index in (0, 2, 63, 64, len(SEEDS) - 1):
        path = f"/generate.png?seed={SEEDS[index]}&scale={scale}"
        assert np.array_equal(found[index, ..., 0], pixels(host.get(path)))


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "image/png"),
        ("", "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/webp", "image/webp"),
        ("image/avif", "image/avif"),
        ("image/jpeg", "image/jpeg"),
        ("application/x-npy", "application/x-npy"),
        ("application/zip", "application/zip"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "image/png"),  # what axios sends of itself
        ("application/json, */*;q=0.1", "application/json"),
        ("multipart/*", "multipart/mixed"),
        ("multipart/mixed, application/zip;q=0.9", "multipart/mixed"),
    ],
)
def test_accept_chooses_among_sheet_and_containers(
    host: RunningService, accept: str | None, media_type: str
) -> None:
    with host.begun({"seeds": [1, 2, 3]}, accept) as answer:
        content = answer.read()
    assert answer.status == 200
    assert answer.headers.get_content_type() == media_type
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Cache-Control"] == "no-store"
    if media_type in ("application/zip", "application/json", "multipart/mixed"):
        found = unpacked(answer.headers["Content-Type"], content)
        assert [said["seed"] for said, _ in found] == [1, 2, 3]


def test_accept_of_nothing_that_there_is_is_refused(host: RunningService) -> None:
    status, media_type, content = host.post({"seeds": [1]}, "text/html")
    assert (status, media_type) == (406, "application/problem+json")
    assert "application/zip" in json.loads(content)["detail"]


# --- refused before it begins ---


def refused(host: RunningService, body: Words) -> Words:
    """Returns the problem that a 429 tells of."""
    with host.posting(body) as answer:
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem: Words = json.loads(answer.read())
        return problem


def wait_until_accepted(host: RunningService, body: Words) -> None:
    """Asks until a request gets its place."""

    def accepted() -> bool:
        with host.posting(body) as answer:
            answer.read()
            return answer.status == 200

    wait_until(accepted, "a request gets its place")


@pytest.mark.parametrize("container", [*CONTAINERS, "npy"])
def test_too_many_large_answers_are_refused_before_they_begin(
    host: RunningService, container: str
) -> None:
    with host.held(LARGE):
        problem = refused(host, {"seeds": "0-99", "format": container})
        assert problem["type"] == "/problems/queue-full"
        assert "large answers" in problem["detail"]
        assert host.get("/generate?seed=1")  # others are served meanwhile
    wait_until_accepted(host, {"seeds": "0-9", "format": container})


@pytest.mark.parametrize("container", [*CONTAINERS, "npy"])
def test_full_queue_refuses_a_large_answer_before_it_begins(
    host: RunningService, container: str
) -> None:
    for attempt in range(1000):  # until we come while the sheet is being drawn
        place = host.address.removeprefix("http://").split(":")
        with closing(socket.create_connection((place[0], int(place[1])), timeout=TIMEOUT)) as sheet:
            sheet.sendall(b"GET /generate?seed=0&n=256 HTTP/1.1\r\nHost: test\r\n\r\n")
            time.sleep(attempt % 10 * 0.01)
            with host.posting({"seeds": "0-99", "format": container}) as answer:
                content = answer.read()
        if answer.status != 200:
            break
    assert answer.status == 429
    assert "pictures wait already" in json.loads(content)["detail"]
    wait_until_accepted(host, {"seeds": "0-9", "format": container})


def test_queue_shorter_than_a_piece_takes_a_large_answer_too() -> None:
    with service(ZOO / "mnist", GAN_MAX_QUEUE="10") as (process, address):
        host = RunningService(process, address)
        for container in CONTAINERS:
            _, media_type, content = host.post({"seeds": "0-99", "format": container})
            assert [said["seed"] for said, _ in unpacked(media_type, content)] == list(range(100))


# --- nobody waits ---


@pytest.fixture(scope="module")
def whole(host: RunningService) -> float:
    """Returns the seconds of a core that 10,000 pictures take."""
    host.post({"seeds": "0-99", "format": "zip"})
    before = host.worked()
    host.post({"seeds": "0-199", "format": "zip"})
    return 50 * (host.worked() - before)


@needs_proc
@pytest.mark.parametrize(
    ("container", "scale"), [("zip", 1), ("json", 1), ("multipart", 1), ("npy", 1), ("zip", 4)]
)
def test_client_that_leaves_in_the_middle_stops_the_work(
    host: RunningService, whole: float, container: str, scale: int
) -> None:
    with host.begun({"seeds": "0-9999", "format": container, "scale": scale}) as answer:
        assert answer.read1(65536)
        before = host.worked()
    assert spent_until_idle(host, before) < whole / 4
    wait_until_accepted(host, {"seeds": "0-9", "format": container})


@needs_proc
def test_client_that_leaves_without_having_read_stops_the_work(
    host: RunningService, whole: float
) -> None:
    with host.held(LARGE):
        spent_until_idle(host, 0.0)  # by now nothing more goes into the connection
        before = host.worked()
    assert spent_until_idle(host, before) < whole / 4
    wait_until_accepted(host, {"seeds": "0-9", "format": "zip"})


@needs_proc
@pytest.mark.parametrize("delay", [0.0, 0.005, 0.02, 0.1])
def test_client_that_leaves_before_the_answer_begins_stops_the_work(
    host: RunningService, whole: float, delay: float
) -> None:
    before = host.worked()
    with closing(host.connected(MANY)):
        time.sleep(delay)
    assert spent_until_idle(host, before) < whole / 4
    wait_until_accepted(host, {"seeds": "0-9", "format": "zip"})


# --- memory ---


@needs_proc
def test_slow_reader_makes_no_memory_grow_and_no_work(host: RunningService) -> None:
    host.post({**LARGE, "seeds": "0-199"})  # what the first large answer takes, stays
    before = host.memory()
    with host.held(LARGE) as connection:
        most = 0
        for _ in range(10):
            assert connection.recv(1000)
            time.sleep(0.2)
            most = max(most, host.memory())
        begun = host.worked()
        spent_until_idle(host, begun)
    assert most - before < 32 * MIB


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("container", [*CONTAINERS, "npy"])
def test_thousands_of_pictures_take_no_more_memory_than_a_few(
    host: RunningService, container: str, record_property: Any
) -> None:
    host.post({"seeds": "0-199", "format": container})
    before = most = host.memory()
    start = time.monotonic()
    parts = []
    with host.begun({"seeds": f"0-{THOUSANDS - 1}", "format": container}) as answer:
        parts.append(answer.read(1))
        record_property("seconds_to_first_byte", round(time.monotonic() - start, 3))
        while part := answer.read1(65536):
            parts.append(part)
            most = max(most, host.memory())
    record_property("pictures_a_second", round(THOUSANDS / (time.monotonic() - start)))
    record_property("mib_more", round((most - before) / MIB, 1))
    assert most - before < 64 * MIB
    content = b"".join(parts)
    if container == "npy":
        assert np.load(io.BytesIO(content), allow_pickle=False).shape == (THOUSANDS, 28, 28, 1)
    else:
        found = unpacked(answer.headers["Content-Type"], content)
        assert [said["seed"] for said, _ in found] == list(range(THOUSANDS))


# --- the end ---


@pytest.mark.slow
def test_large_answer_is_finished_after_sigterm_and_leavers_leave_no_trace() -> None:
    with service(ZOO / "mnist") as (process, address):
        host = RunningService(process, address)
        for delay in (0.0, 0.01, 0.05, 0.2):
            with closing(host.connected(MANY)):
                time.sleep(delay)
        with host.begun(MANY) as answer:
            answer.read(100_000)
        with host.begun({"seeds": "0-1999", "format": "zip"}) as answer:
            first = answer.read(1000)
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses(address), "nobody else is taken")
            content = first + answer.read()
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    found = unpacked("application/zip", content)
    assert [said["seed"] for said, _ in found] == list(range(2000))
    assert "Traceback" not in log
    assert "ERROR" not in log
