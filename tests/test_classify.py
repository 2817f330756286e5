"""/classify: what a picture shows, of a seed or of somebody's file; and what is refused."""

import asyncio
import base64
import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from huggingface_hub import InferenceClient
from numpy.typing import NDArray
from PIL import Image

from app.engine.batcher import Batcher
from app.engine.loaded_classifier import Classification
from app.engine.loaded_generator import ClientGoneError
from app.main import create_app
from app.parameters.limits import SMALL_BODY
from app.parameters.uploads import LARGEST_UPLOAD
from app.settings import Settings
from model.classification.classifier_file import ClassifierFile, read_classifier
from model.classification.classifiers import SHIPPED_CLASSIFIERS
from model.classification.onnx_classifier import OnnxClassifier
from model.classification.scores import probability_real, scores
from model.generators import ZOO
from model.image_decoding import square
from tests.conftest import (
    CLASSES,
    CLASSIFIER_OF_TESTS,
    edit_json,
    write_tiny_residual,
    write_untrained_classifier,
)
from tests.services import fetch, problem_of, service, start_of

COLOURFUL = CLASSIFIER_OF_TESTS.model_copy(
    update={"side": 20, "channels": 3, "real": True, "data_sha256": "1" * 64}
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifiers")
    write_untrained_classifier(folder / "toy")
    write_untrained_classifier(folder / "colourful", COLOURFUL)
    return folder


@pytest.fixture(scope="module")
def client(generator_folder: Path, folders: Path) -> Iterator[TestClient]:
    """Yields a generator of grey pictures, a classifier of its data, and others."""
    settings = Settings(
        generator=str(generator_folder),
        classifiers=("mnist", str(folders / "colourful"), str(folders / "toy")),
        device="cpu",
        max_batch=16,
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client
        assert client.app.state.bounds.memory.taken == 0  # type: ignore[attr-defined]


def loaded(client: TestClient, name: str = "toy") -> Classification:
    found: list[Classification] = client.app.state.readiness.classifiers.loaded  # type: ignore[attr-defined]
    (one,) = [one for one in found if one.name == name]
    return one


def png(pixels: NDArray[np.uint8], kind: str = "png") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def zipped(*files: bytes, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for place, file in enumerate(files):
            archive.writestr(f"{place}.png", file)
    return stream.getvalue()


def wanted(file: ClassifierFile, pixels: NDArray[np.uint8], top_k: int = 5) -> list[Any]:
    """Returns what is answered for each of some pictures (N, side, side, C)."""
    logits = OnnxClassifier(file)(pixels)
    lists = []
    for row, real in zip(scores(logits, "softmax"), probability_real(logits), strict=True):
        places = np.argsort(-row, kind="stable")[:top_k]
        more = {"real": round(real, 6)} if file.config.real else {}
        lists.append(
            [
                {"label": file.config.classes[at], "score": round(row[at], 6), **more}
                for at in places
            ]
        )
    return lists


def noise(count: int, side: int = 28, channels: int = 1, seed: int = 0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, side, side, channels)).astype(np.uint8)


def test_hub_client_works_unchanged(generator_folder: Path, folders: Path, tmp_path: Path) -> None:
    path = tmp_path / "nine.png"
    names = f"mnist {folders / 'colourful'}"
    with service(generator_folder, GAN_CLASSIFIERS=names) as (_, address):
        picture = fetch(f"{address}/generate.png?seed=7")
        path.write_bytes(picture)
        hub = InferenceClient(model=f"{address}/classify", token="unused")
        pixels = np.asarray(Image.open(io.BytesIO(picture)))[None, ..., None]
        (same,) = wanted(read_classifier(SHIPPED_CLASSIFIERS / "mnist"), pixels)
        for sent in (picture, path, str(path)):
            found = hub.image_classification(sent)
            assert [{"label": one.label, "score": one.score} for one in found] == same
        assert hub.image_classification(path, top_k=2) == found[:2]
        (best,) = hub.image_classification(picture, top_k=1, function_to_apply="sigmoid")
        assert best.label == found[0].label
        hub = InferenceClient(model=f"{address}/classify?classifier=colourful", token="unused")
        entries = hub.image_classification(picture)
        assert {one.label for one in entries} == set(CLASSES)
        assert all(0 < one.real < 1 for one in entries)  # type: ignore[attr-defined]


def test_seed_is_named_as_its_picture_is(client: TestClient) -> None:
    file = loaded(client).file
    changed = "seed=3&truncation=0.5&edit=d0:0.5"
    for query in ("seed=7", "name=ada", "seed=ada", "mix=1:1,2:-1", changed):
        answer = client.get(f"/classify?{query}")
        pixels = np.load(io.BytesIO(client.get(f"/generate.npy?{query}").content))
        assert answer.json() == wanted(file, pixels[None])[0]
        assert answer.headers["Image-Classifier"] == file.id
        sent = client.post("/classify", content=client.get(f"/generate.png?{query}").content)
        assert sent.content == answer.content
        assert sent.headers["Image-Classifier"] == file.id


def test_answer_to_a_seed_may_be_kept_and_names_all_that_decides(client: TestClient) -> None:
    answer = client.get("/classify?seed=7&top_k=2")
    assert answer.headers["Content-Type"] == "application/json"
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Image-Seed"] == "7"
    assert answer.headers["Image-Model"].startswith("tiny@")
    tag = answer.headers["ETag"]
    same = client.get("/classify?seed=7&top_k=2", headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    others = ["seed=8&top_k=2", "seed=7", "seed=7&top_k=2&classifier=mnist"]
    others += ["seed=7&top_k=2&function_to_apply=none", "seed=7&top_k=2&truncation=0.5"]
    tags = {client.get(f"/classify?{query}").headers["ETag"] for query in others}
    assert len({*tags, tag}) == 6
    assert tag != client.get("/generate?seed=7").headers["ETag"]
    head = client.head("/classify?seed=7&top_k=2")
    assert (head.status_code, head.headers["ETag"], head.content) == (200, tag, b"")
    part = client.get("/classify?seed=7&top_k=2", headers={"Range": "bytes=0-4"})
    assert (part.status_code, part.content) == (206, answer.content[:5])


def test_random_picture_is_named_by_a_url_that_may_be_kept(client: TestClient) -> None:
    answer = client.get("/classify?top_k=2&classifier=mnist")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers
    again = client.get(answer.headers["Content-Location"])
    assert again.content == answer.content
    assert "immutable" in again.headers["Cache-Control"]


def test_scores_are_sorted_and_as_many_as_asked_for(client: TestClient) -> None:
    for name, most in (("toy", 3), ("mnist", 10)):
        for top_k in (1, 3, 1000):
            path = f"/classify?seed=7&classifier={name}&top_k={top_k}"
            found = client.get(path).json()
            assert len(found) == min(top_k, most)
            values = [entry["score"] for entry in found]
            assert values == sorted(values, reverse=True)
        assert sum(values) == pytest.approx(1, abs=1e-5)
    assert len(client.get("/classify?seed=7&classifier=mnist").json()) == 5
    logits = client.get("/classify?seed=7&function_to_apply=none").json()
    sigmoid = client.get("/classify?seed=7&function_to_apply=sigmoid").json()
    for one, other in zip(logits, sigmoid, strict=True):
        assert other["score"] == pytest.approx(1 / (1 + np.exp(-one["score"])), abs=1e-5)


@pytest.mark.parametrize("name", ["toy", "colourful"])
def test_same_numbers_in_any_company(client: TestClient, name: str) -> None:
    files = [png(one[..., 0]) for one in noise(16)]
    path = f"/classify?classifier={name}"
    alone = [client.post(path, content=file).text for file in files]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda file: client.post(path, content=file).text, files)) == alone
    for count in (1, 2, 5, 16):
        together = client.post(path, content=npy(noise(16)[:count])).text
        assert together == f"[{', '.join(alone[:count])}]"


def test_many_pictures_are_a_list_of_lists_in_their_order(client: TestClient) -> None:
    alone = [client.get(f"/classify?seed={seed}").json() for seed in range(5)]
    for format in ("zip", "npy"):
        body = {"seeds": "0-4", "format": format}
        many = client.post("/generate", json=body).content
        assert client.post("/classify", content=many).json() == alone
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        files = [client.get(f"/generate.webp?seed={seed}").content for seed in (3, 1)]
        found = client.post("/classify", content=zipped(*files, kind=kind)).json()
        assert found == [alone[3], alone[1]]
    added = ("__MACOSX/._one.png", ".DS_Store", "mine/.DS_Store", "mine/Thumbs.db", "desktop.ini")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.mkdir("mine")
        for name in added:
            archive.writestr(name, b"by a system")
        archive.writestr("mine/one.png", files[0])
    assert client.post("/classify", content=stream.getvalue()).json() == [alone[3]]
    one = client.get("/generate.npy?seed=2").content
    assert client.post("/classify", content=one).json() == alone[2]
    listed = npy(np.load(io.BytesIO(one))[None])
    assert client.post("/classify", content=listed).json() == [alone[2]]


def test_uploads_are_made_square_and_resized_as_pictures_to_learn_from(client: TestClient) -> None:
    photograph = noise(1, 90, 3)[0][:60]
    image = Image.fromarray(photograph)
    for name in ("toy", "colourful"):
        file = loaded(client, name).file
        pixels = square(image, file.config.side, file.config.channels, "crop")
        for content in (png(photograph), png(photograph, "tiff"), npy(photograph)):
            answer = client.post(f"/classify?classifier={name}", content=content)
            assert answer.json() == wanted(file, pixels[None])[0]


def test_every_way_to_send_a_picture_is_answered_alike(client: TestClient) -> None:
    picture = client.get("/generate.png?seed=7").content
    plain = client.post("/classify?top_k=2", content=picture)
    text = base64.b64encode(picture).decode()
    sent: list[dict[str, Any]] = [
        {"json": {"inputs": text}},
        {"json": {"inputs": text, "parameters": {}}},
        {"json": {"inputs": text, "parameters": {"classifier": "toy"}}},
        {"files": {"file": ("x.png", picture, "image/png")}},
        {"content": picture, "headers": {"Content-Type": "image/png"}},
        {"content": picture, "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    ]
    for one in sent:
        answer = client.post("/classify?top_k=2", **one)
        assert answer.content == plain.content
        assert answer.headers["Cache-Control"] == "no-store"
        assert "classify;dur=" in answer.headers["Server-Timing"]
    body = {"inputs": text, "parameters": {"top_k": 2}}
    assert client.post("/classify", json=body).content == plain.content


def test_discriminators_verdict_is_in_every_entry(client: TestClient) -> None:
    file = loaded(client, "colourful").file
    found = client.post("/classify?classifier=colourful", content=npy(noise(4, 20, 3))).json()
    assert found == wanted(file, noise(4, 20, 3))
    verdicts = [{entry["real"] for entry in entries} for entries in found]
    assert all(len(one) == 1 and 0 <= max(one) <= 1 for one in verdicts)
    assert len(set.union(*verdicts)) == 4
    assert "real" not in client.get("/classify?seed=7&classifier=mnist").json()[0]


def test_classifiers_are_listed_with_what_they_classify_unasked(client: TestClient) -> None:
    found = client.get("/classifiers").json()
    by_name = {one["name"]: one for one in found["classifiers"]}
    assert list(by_name) == ["mnist", "colourful", "toy"]
    toy, tiny = loaded(client).file, client.get("/models/tiny").json()["id"]
    assert found["default"] == by_name["toy"]["id"] == toy.id
    assert by_name["toy"]["weights_sha256"] == toy.sha256
    assert by_name["toy"]["classes"] == list(CLASSES)
    assert [by_name[name]["models"] for name in by_name] == [[], [], [tiny]]
    assert [by_name[name]["real"] for name in by_name] == [False, True, False]
    assert by_name["mnist"]["id"] == "mnist@b9b83ab4153c"
    for named in ("toy", toy.id):
        assert client.get(f"/classify?seed=1&classifier={named}").status_code == 200


def huge_header() -> bytes:
    """Returns the header of an npy file of an exabyte."""
    text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1000000000, 1000000000, 1), }"
    text += b" " * (128 - 11 - len(text)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def nested_header() -> bytes:
    text = b"(" * 9000 + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def locked() -> bytes:
    content = bytearray(zipped(png(noise(1)[0, ..., 0])))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def lying(file: bytes) -> bytes:
    """Returns a zip of one file that says it is short."""
    content = bytearray(zipped(file))
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 10)
    return bytes(content)


GOOD = png(noise(1)[0, ..., 0])
WHITE = np.full((4100, 4100), 255, np.uint8)
BOMB = png(WHITE[:2100])


@pytest.mark.parametrize(
    ("content", "allowed"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"nothing", "a picture file is wanted", id="text"),
        pytest.param(GOOD[:60], "a picture file is wanted", id="cut"),
        pytest.param(png(WHITE), "up to 16,777,216 pixels", id="bomb"),
        pytest.param(zipped(), "a zip of 1 to 1024 picture files", id="empty-zip"),
        pytest.param(zipped(*[b""] * 1025), "a zip of 1 to 1024 picture files", id="many"),
        pytest.param(zipped(GOOD, b"nothing"), "wanted (file 2 of the zip)", id="text-in-zip"),
        pytest.param(zipped(GOOD)[:-9], "a damaged zip", id="cut-zip"),
        pytest.param(zipped(GOOD, kind=zipfile.ZIP_LZMA), "or with deflate", id="lzma"),
        pytest.param(zipped(bytes(2**20)), "allowed: up to 32 times as many", id="zip-bomb"),
        pytest.param(
            zipped(bytes(2**24 + 1), noise(700).tobytes()), "and 16,777,216", id="large-zip"
        ),
        pytest.param(lying(bytes(2**24)), "a damaged zip", id="zip-that-lies"),
        pytest.param(zipped(BOMB, BOMB, kind=0), "16,777,216 pixels in all", id="bombs"),
        pytest.param(locked(), "or a locked one", id="locked"),
        pytest.param(npy(noise(2))[:-1], "a whole npy file", id="cut-npy"),
        pytest.param(npy(noise(2)) + b"x", "a whole npy file", id="long-npy"),
        pytest.param(npy(noise(2).astype(np.float32)), "uint8", id="npy-of-floats"),
        pytest.param(npy(noise(2)[..., 0, 0]), "(N, H, W, C)", id="npy-of-rows"),
        pytest.param(npy(noise(2, 28, 3)[..., :2]), "C 1 or 3", id="two-channels"),
        pytest.param(npy(np.asfortranarray(noise(2))), "a whole npy file", id="by-columns"),
        pytest.param(npy(noise(0)), "1 to 1024 pictures", id="npy-of-none"),
        pytest.param(npy(np.zeros((1025, 1, 1, 1), np.uint8)), "1 to 1024 pictures", id="npy-many"),
        pytest.param(npy(np.zeros((1, 0, 5, 1), np.uint8)), "1 to 1024 pictures", id="no-pixels"),
        pytest.param(huge_header(), "a whole npy file", id="npy-bomb"),
        pytest.param(nested_header(), "without a header that is read", id="nested"),
        pytest.param(b"\x93NUMPY\x03\x00", "without a header that is read", id="npy-3"),
    ],
)
def test_body_that_holds_no_pictures_is_refused(
    client: TestClient, content: bytes, allowed: str
) -> None:
    assert allowed in problem_of(client.post("/classify", content=content), 422)["detail"]


def test_what_the_decoder_thinks_of_a_file_is_not_logged() -> None:
    """Pillow logs the one and warns of the other."""
    tiff = bytearray(png(noise(1, 28, 3)[0], "tiff"))
    samples = bytes(tiff).index(struct.pack("<HHI", 277, 3, 1)) + 8
    many, odd = bytearray(tiff), bytearray(tiff)
    struct.pack_into("<H", many, samples, 2048)
    struct.pack_into("<I", odd, samples - 4, 99)
    code = (
        "from app.parameters.uploads import read_upload\n"
        f"for content in ({bytes(many)!r}, {bytes(odd)!r}):\n"
        "    try:\n"
        "        read_upload('', content).fitted(28, 1)\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("InvalidRequest\n" * 2, "")


@pytest.mark.parametrize(
    ("query", "body", "status", "allowed"),
    [
        pytest.param("", {}, 422, "inputs: Field required", id="no-inputs"),
        pytest.param("", {"inputs": "!"}, 422, "in base64 is wanted", id="no-base64"),
        pytest.param("", {"inputs": ""}, 422, "inputs: a picture file is wanted", id="empty"),
        pytest.param("", {"inputs": "UEsDBA=="}, 422, "but a zip", id="zip"),
        pytest.param("", {"inputs": "", "top_k": 1}, 422, "unknown parameter", id="outside"),
        pytest.param("", [1], 422, "an object is wanted", id="list"),
        pytest.param("?top_k=1", {"inputs": "", "parameters": {"top_k": 1}}, 422, "both", id="two"),
        pytest.param("?top_k=0", {"inputs": ""}, 422, "from 1 to 1000", id="top-k"),
        pytest.param("?classifier=none", {"inputs": ""}, 422, "allowed: mnist@", id="classifier"),
        pytest.param("?seed=1", {"inputs": ""}, 422, "unknown parameter", id="seed"),
    ],
)
def test_json_that_is_not_what_is_wanted_is_refused(
    client: TestClient, query: str, body: Any, status: int, allowed: str
) -> None:
    detail = problem_of(client.post(f"/classify{query}", json=body), status)["detail"]
    assert allowed.replace("both", "one of them is enough") in detail


def test_body_that_is_too_large_or_of_another_type_is_refused(client: TestClient) -> None:
    problem_of(client.post("/classify", content=bytes(2**20 + 1)), 413)
    detail = problem_of(client.post("/classify", content=b' {"inputs": ""}'), 415)["detail"]
    assert "Content-Type: application/json" in detail
    json_type = {"Content-Type": "application/json"}
    problem_of(client.post("/classify", content=b"{", headers=json_type), 400)


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("seed=1&mix=1:1", "one of seed or name, mix and z"),
        ("seed=1&n=2", "unknown parameter"),
        ("seed=1&model=none", "no such generator"),
        ("seed=1&classifier=none", "allowed: mnist@"),
        ("seed=1&class=cat", "has no classes"),
        ("z=1,2", "z"),
    ],
)
def test_seed_that_cannot_be_classified_is_refused(
    client: TestClient, query: str, allowed: str
) -> None:
    assert allowed in problem_of(client.get(f"/classify?{query}"), 422)["detail"]


def test_full_queue_refuses_before_anything_is_unpacked(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = loaded(client).batcher
    monkeypatch.setattr(batcher, "pending", batcher.max_queue)
    for answer in (client.post("/classify", content=b"nothing"), client.get("/classify?seed=1")):
        problem_of(answer, 429)
        assert int(answer.headers["Retry-After"]) >= 1
    monkeypatch.undo()
    monkeypatch.setattr(batcher, "_open", False)
    problem_of(client.post("/classify", content=GOOD), 503)


def test_memory_is_reserved_for_what_is_unpacked(client: TestClient) -> None:
    memory = client.app.state.bounds.memory  # type: ignore[attr-defined]
    large = png(WHITE[:2000, :2000])
    before, memory.limit = memory.limit, 24 * 2000 * 2000 - 1
    try:
        assert "of memory" in problem_of(client.post("/classify", content=large), 422)["detail"]
    finally:
        memory.limit = before
    assert client.post("/classify", content=large).status_code == 200
    assert memory.taken == 0


def test_client_that_goes_away_gives_its_place_up(folders: Path) -> None:
    file = write_untrained_classifier(folders / "toy")

    @contextmanager
    def gone(leave: Any) -> Iterator[None]:
        leave()
        yield

    async def run() -> int:
        batcher = Batcher(OnnxClassifier(file), lambda *_: [], max_batch=4, max_queue=4, max_wait=9)
        batcher.start()
        with pytest.raises(ClientGoneError):
            await Classification(file, batcher).logits(noise(3), gone)
        await batcher.stop()
        return batcher.dropped

    assert asyncio.run(run()) == 3


def test_metrics_count_what_is_classified(client: TestClient) -> None:
    def count(name: str) -> float:
        start = f'ganserve_{name}{{classifier="{loaded(client).id}"}} '
        lines = client.get("/metrics").text.splitlines()
        (line,) = [line for line in lines if line.startswith(start)]
        return float(line.removeprefix(start))

    before = count("classified_total"), count("classify_seconds_count")
    client.post("/classify", content=npy(noise(3)))
    after = count("classified_total"), count("classify_seconds_count")
    assert after[0] - before[0] == 3
    assert after[1] > before[1]
    assert count("classify_pending") == 0


def test_batcher_that_has_failed_ends_readiness(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded(client).batcher, "failure", lambda _: "the device thread has ended")
    assert loaded(client).id in problem_of(client.get("/readyz"), 503)["detail"]


def test_unasked_those_that_ship_classify_the_generators_of_their_data(
    generator_folder: Path,
) -> None:
    with TestClient(create_app(Settings(generator=str(ZOO / "mnist"), device="cpu"))) as client:
        found = client.get("/classifiers").json()
        assert found["default"] == "mnist@b9b83ab4153c"
        assert len(found["classifiers"]) == 1
        (best,) = client.get("/classify?seed=7&top_k=1").json()
        assert best == {"label": "4", "score": best["score"]}
        assert best["score"] > 0.99
    with TestClient(create_app(Settings(generator=str(generator_folder), device="cpu"))) as client:
        assert client.get("/classifiers").json() == {"default": None, "classifiers": []}
        for answer in (client.get("/classify?seed=7"), client.post("/classify", content=GOOD)):
            assert "GAN_CLASSIFIERS" in problem_of(answer, 422)["detail"]


def test_pictures_of_other_data_are_classified_by_whom_is_named_alone(
    folders: Path, tmp_path: Path
) -> None:
    pets = write_tiny_residual(tmp_path / "pets")
    settings = Settings(
        generator=str(ZOO / "mnist"),
        models=(str(pets),),
        classifiers=("fashion-mnist", "auto", "mnist", str(folders / "colourful")),
        device="cpu",
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        names = [one["name"] for one in client.get("/classifiers").json()["classifiers"]]
        assert names == ["fashion-mnist", "mnist", "colourful"]
        answer = client.get("/classify?seed=1&model=pets")
        assert "none here has learnt from the data of pets" in problem_of(answer, 422)["detail"]
        named = client.get("/classify?seed=1&model=pets&classifier=fashion-mnist")
        assert named.status_code == 200
        sent = client.post("/classify", content=GOOD)
        assert sent.headers["Image-Classifier"].startswith("mnist@")


def test_where_none_is_named_it_is_off(generator_folder: Path) -> None:
    settings = Settings(generator=str(generator_folder), classifiers=(), device="cpu")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        for method, path in (("GET", "classify"), ("POST", "classify"), ("GET", "classifiers")):
            answer = client.request(method, f"/{path}", content=b"x" if method == "POST" else None)
            assert "GAN_CLASSIFIERS" in problem_of(answer, 404)["detail"]
        assert "/classify" not in client.get("/openapi.json").json()["paths"]


def test_setting_of_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, names in (("", ()), ("auto", ("auto",)), ("mnist, a/b", ("mnist", "a/b"))):
        monkeypatch.setenv("GAN_CLASSIFIERS", text)
        assert Settings().classifiers == names


def test_start_refuses_what_cannot_classify(generator_folder: Path, tmp_path: Path) -> None:
    def told(*names: Any) -> str:
        settings = Settings(
            generator=str(generator_folder), classifiers=tuple(map(str, names)), device="cpu"
        )
        message = start_of(create_app(settings))
        assert message is not None
        assert "\n" not in message
        return message

    assert "no such folder" in told("nowhere")
    toy = tmp_path / "toy"
    write_untrained_classifier(toy)
    others = CLASSIFIER_OF_TESTS.model_copy(update={"channels": 3})
    write_untrained_classifier(tmp_path / "other" / "toy", others)
    assert "two classifiers are named toy" in told(toy, tmp_path / "other" / "toy")
    none = CLASSIFIER_OF_TESTS.model_copy(update={"classes": ()})
    write_untrained_classifier(tmp_path / "none", none)
    assert "no classes to name" in told(tmp_path / "none")
    write_untrained_classifier(tmp_path / "My Toy")
    assert "'My Toy'" in told(tmp_path / "My Toy")
    golden = json.loads((toy / "config.json").read_text())["golden"]
    golden[0][0] += 1
    edit_json(toy / "config.json", golden=golden)
    assert "not what they were when it was written" in told(toy)


def test_largest_upload_is_classified_where_nothing_else_is_under_way(client: TestClient) -> None:
    stream = io.BytesIO()  # a body that takes memory of its own
    Image.new("RGB", (4096, 4096), "white").save(stream, "png", compress_level=1)
    assert len(stream.getvalue()) > SMALL_BODY
    answer = client.post("/classify", content=stream.getvalue())
    assert answer.status_code == 200, answer.text


def test_largest_upload_is_what_the_documents_say() -> None:
    assert LARGEST_UPLOAD == 16_777_216
    assert {folder.name for folder in SHIPPED_CLASSIFIERS.glob("*/")} >= {"mnist", "avatars"}
