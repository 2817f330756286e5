"""Pictures that an upscaler enlarges, on the roads of the service, of commands and of Python: one
picture has one name, and one name never means another picture.
"""

import asyncio
import io
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from app.engine.batcher import Batcher, Pixels
from app.main import create_app
from app.server.loading import load_all
from app.settings import Settings
from model.encoding.marking import read_recipe
from model.generator_file import read_generator_file
from model.pretrained import PretrainedGenerator
from model.recipes import RecipeError
from model.samplers.sampler import UnequalBytesError, WrongPictureError, load_sampler
from model.training.__main__ import main
from model.upscaling.cuda import TorchUpscaler
from model.upscaling.onnx_upscaler import OnnxUpscaler
from model.upscaling.runtimes import check_upscaler, load_upscale
from model.upscaling.upscaler_file import UPSCALER, UpscalerFile, read_upscaler
from tests.conftest import (
    edit_json,
    give_upscaler,
    write_integer_upscaler,
    write_tiny_generator,
    write_tiny_residual,
    write_untrained_upscaler,
)
from tests.services import TIMEOUT, problem_of, until

LEARNED = "scale=4&resample=learned"


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(generator=str(folder), device="cpu", **{"max_wait": 600, **more})


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(write_untrained_upscaler, id="floats"),
        pytest.param(write_integer_upscaler, id="integers"),
    ],
)
def give(request: pytest.FixtureRequest) -> Callable[..., Path]:
    """Returns what gives a model folder an upscaler: one in floats, and one in integers."""
    return partial(give_upscaler, write=request.param)


@pytest.fixture(scope="module")
def folder(give: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the generators of `conftest.folder`."""
    folder = tmp_path_factory.mktemp("generators")
    write_tiny_generator(folder / "tiny")
    give(write_tiny_residual(folder / "pets"))
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    """Yields a service of `pets`, which has an upscaler, and of `tiny`, which has none."""
    chosen = settings(folder / "pets", models=(str(folder / "tiny"),), max_batch=16)
    with TestClient(create_app(chosen), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def pets(folder: Path) -> PretrainedGenerator:
    return PretrainedGenerator.from_pretrained(folder / "pets", device="cpu")


def array(content: bytes) -> Pixels:
    if content.startswith(b"\x93NUMPY"):
        found: Pixels = np.load(io.BytesIO(content))
        return found
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def got(client: TestClient, path: str) -> httpx.Response:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer


def batcher_of(client: TestClient) -> Batcher:
    found: Batcher = client.app.state.generation.batcher  # type: ignore[attr-defined]
    return found


# --- which picture it is ---


@pytest.mark.parametrize("scale", [2, 4])
def test_learned_picture_is_the_plain_one_enlarged_by_the_upscaler(
    client: TestClient, folder: Path, scale: int
) -> None:
    plain = array(got(client, "/generate.npy?seed=7").content)
    large = array(got(client, f"/generate.npy?seed=7&scale={scale}&resample=learned").content)
    upscale = OnnxUpscaler(read_upscaler(folder / "pets" / UPSCALER))
    assert np.array_equal(large, upscale(plain[None], scale)[0])
    assert not np.array_equal(
        large, array(got(client, f"/generate.npy?seed=7&scale={scale}").content)
    )


def test_without_a_scale_nothing_is_learned(client: TestClient, pets: PretrainedGenerator) -> None:
    plain, learned = (
        got(client, "/generate?seed=7"),
        got(client, "/generate?seed=7&resample=learned"),
    )
    assert learned.content == plain.content
    assert learned.headers["ETag"] == plain.headers["ETag"]
    assert learned.headers["Image-Model"] == pets.config.id


def test_learned_picture_names_the_upscaler_in_recipe_headers_and_urls(
    client: TestClient, pets: PretrainedGenerator
) -> None:
    full = pets.config.upscaled_id
    words = {"model": full, "seed": 7, "scale": 4, "resample": "learned"}
    answer = got(client, f"/generate?seed=7&{LEARNED}")
    assert answer.headers["Image-Model"] == full
    assert read_recipe(answer.content) == words
    assert "immutable" in answer.headers["Cache-Control"]
    posted = client.post("/generate", json={"seed": 7, "scale": 4, "resample": "learned"})
    assert posted.headers["Content-Location"] == f"/i/{full}/7@4x~learned.png"
    again = "&".join(f"{name}={value}" for name, value in words.items())
    for path in (posted.headers["Content-Location"], f"/generate?{again}"):
        assert got(client, path).content == answer.content == posted.content
        assert got(client, path).headers["ETag"] == answer.headers["ETag"]
    recipe = got(client, f"/i/{full}/7@4x~learned.json").json()
    assert recipe["recipe"] == words
    assert recipe["upscaler_sha256"] == pets.config.upscaler
    assert (recipe["width"], recipe["height"]) == (128, 128)
    for path in recipe["pictures"].values():
        assert array(got(client, path).content).shape[:2] == (128, 128) or path.endswith("avif")
    mixed = client.post(
        "/generate", json={"mix": "3:1,8:0.5", "scale": 2, "resample": "learned", "class": "cat"}
    )
    assert got(client, mixed.headers["Content-Location"]).content == mixed.content


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/i/{id}/7@4x~learned.png", "/i/{full}/7@4x~learned.png"),
        ("/i/{id}/7@4x~learned.json", "/i/{full}/7@4x~learned.json"),
        ("/i/pets/7@4x~learned.png", "/i/{full}/7@4x~learned.png"),
        ("/i/{full}/7@4x.png", "/i/{id}/7@4x.png"),
        ("/i/{full}/7.png", "/i/{id}/7.png"),
        ("/i/{full}/7@3x~learned.png", "the upscaler of pets has 2 and 4"),
        ("/i/{full}/7@1x~learned.png", "A scale is wanted"),
        ("/i/{full}/7~learned.png", "an extension are wanted"),
        ("/i/{full}/7@4x~lanczos.png", "an extension are wanted"),
        ("/i/{id}-000000000000/7@4x~learned.png", "No such generator here; served: {full}"),
        ("/i/{tiny}/7@4x~learned.png", "tiny has no upscaler; allowed: nearest, lanczos"),
    ],
)
def test_permanent_path_that_does_not_say_all_is_not_found_and_told_what_would(
    client: TestClient, pets: PretrainedGenerator, path: str, told: str
) -> None:
    tiny = got(client, "/models/tiny").json()["id"]
    names = {"id": pets.config.id, "full": pets.config.upscaled_id, "tiny": tiny}
    problem = problem_of(client.get(path.format(**names)), 404)
    assert told.format(**names) in problem["detail"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("scale=3&resample=learned", "scale: the upscaler of pets has 2 and 4; nearest, lanczos"),
        ("scale=16&resample=learned", "scale: the upscaler of pets has 2 and 4"),
        ("scale=2&resample=learned&model=tiny", "resample: tiny has no upscaler; allowed: nearest"),
        ("resample=learned&model=tiny", "resample: tiny has no upscaler"),
        ("scale=2&resample=learned&model={id}", "allowed: {full}, or pets"),
        ("scale=2&resample=learned&model={id}-000000000000", "no such generator here"),
    ],
)
def test_what_the_generator_cannot_enlarge_is_refused_with_what_it_can(
    client: TestClient, pets: PretrainedGenerator, query: str, told: str
) -> None:
    names = {"id": pets.config.id, "full": pets.config.upscaled_id}
    query, told = query.format(**names), told.format(**names)
    words = dict(pair.split("=") for pair in query.split("&"))
    body = words | ({"scale": int(words["scale"])} if "scale" in words else {})
    answers = [
        client.get(f"/generate?seed=7&{query}"),
        client.get(f"/generate?seed=7&n=2&{query}"),
        client.get(f"/plane?seeds=1,2,3,4&{query}"),
        client.get(f"/interpolate.zip?seeds=1,2&frames=3&{query}"),
        *(
            client.post("/generate", json={"seeds": "1-3", "format": form, **body})
            for form in ("zip", "json", "multipart", "npy", "png")
        ),
        client.post("/interpolate", json={"recipes": [{"seed": 1}, {"seed": 2}], **body}),
    ]
    for answer in answers:
        assert told in problem_of(answer, 422)["detail"]


def test_openai_s_body_may_ask_for_it(client: TestClient) -> None:
    body = {"prompt": "7", "size": "128x128", "resample": "learned"}
    (item,) = client.post("/v1/images/generations", json=body).json()["data"]
    wanted = got(client, f"/generate?seed=7&{LEARNED}").content
    assert got(client, item["url"]).content == wanted
    refused = client.post("/v1/images/generations", json=body | {"size": "96x96"})
    assert "has 2 and 4" in problem_of(refused, 422)["detail"]


def test_card_names_the_scales_and_the_upscaler(
    client: TestClient, pets: PretrainedGenerator
) -> None:
    assert pets.config.upscaler is not None
    told = got(client, "/models/pets").json()["upscaler"]
    assert told["id"] == pets.config.upscaled_id
    assert told["hash"] == pets.config.upscaler[:12]
    assert told["scales"] == [2, 4]
    assert got(client, "/models/tiny").json()["upscaler"] is None


# --- computed once, in the queue ---


def test_learned_picture_asked_for_twice_at_once_is_computed_once_and_kept(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher, gate = batcher_of(client), threading.Event()
    upscale = batcher._upscale
    assert upscale is not None
    enlarged: list[int] = []

    def held(pixels: Pixels, scale: int) -> Pixels:
        assert gate.wait(TIMEOUT)
        enlarged.append(len(pixels))
        return upscale(pixels, scale)

    async def twice() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            both = [asyncio.create_task(http.get(f"/generate?seed=77&{LEARNED}")) for _ in "12"]
            making = client.app.state.generation._making  # type: ignore[attr-defined]
            await until(lambda: [shared.waiting for shared in making.values()] == [2])
            gate.set()
            return list(await asyncio.gather(*both))

    monkeypatch.setattr(batcher, "_upscale", held)
    assert client.portal is not None
    one, other = client.portal.call(twice)
    assert one.content == other.content
    assert enlarged == [1]
    assert "upscale;dur=" in one.headers["Server-Timing"]
    again = got(client, f"/generate?seed=77&{LEARNED}")
    assert again.headers["Server-Timing"] == "cache"
    assert again.content == one.content
    assert "cache" not in got(client, "/generate?seed=77").headers["Server-Timing"]
    assert got(client, "/generate?seed=77&scale=2&resample=learned").content != one.content
    assert got(client, f"/generate?seed=77&class=dog&{LEARNED}").content != one.content


def test_client_that_has_the_picture_costs_none(client: TestClient) -> None:
    path, batcher = f"/generate?seed=99&{LEARNED}", batcher_of(client)
    answer = got(client, path)
    before = batcher.pictures
    again = client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = client.head(path)
    assert head.headers["ETag"] == answer.headers["ETag"]
    assert head.headers["Content-Length"] == str(len(answer.content))
    assert batcher.pictures == before
    part = client.get(path, headers={"Range": "bytes=0-7"})
    assert (part.status_code, part.content) == (206, answer.content[:8])


def test_learned_pictures_count_in_the_queue_and_a_full_one_refuses_them(folder: Path) -> None:
    chosen = settings(folder / "pets", max_batch=16, max_queue=20)
    with TestClient(create_app(chosen), raise_server_exceptions=False) as client:
        batcher, gate = batcher_of(client), threading.Event()
        upscale = batcher._upscale
        assert upscale is not None

        def held(pixels: Pixels, scale: int) -> Pixels:
            assert gate.wait(TIMEOUT)
            return upscale(pixels, scale)

        async def crowd() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=client.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                many = [
                    asyncio.create_task(http.get(f"/generate?seed={seed}&{LEARNED}"))
                    for seed in range(18)
                ]
                await until(lambda: batcher.pending == 18)
                refused = [
                    await http.get(f"/generate?seed=50&n=3&{LEARNED}"),
                    await http.get("/generate?seed=50&n=3"),
                ]
                many.append(asyncio.create_task(http.get(f"/generate?seed=50&n=2&{LEARNED}")))
                await until(lambda: batcher.pending == 20)
                refused.append(await http.get(f"/generate?seed=60&{LEARNED}"))
                gate.set()
                return [*refused, *await asyncio.gather(*many)]

        batcher._upscale = held
        assert client.portal is not None
        answers = client.portal.call(crowd)
        for answer in answers[:3]:
            assert problem_of(answer, 429)["type"] == "/problems/queue-full"
            assert int(answer.headers["Retry-After"]) >= 1
        assert [answer.status_code for answer in answers[3:]] == [200] * 19
        assert batcher.pending == 0


def test_learned_picture_has_the_same_bytes_in_any_company_and_with_any_threads(
    client: TestClient, folder: Path
) -> None:
    alone = {seed: got(client, f"/generate?seed={seed}&{LEARNED}").content for seed in range(6)}
    with TestClient(create_app(settings(folder / "pets", threads=3, cache_mib=0))) as other:

        async def together() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=other.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                paths = [f"/generate?seed={seed}&{LEARNED}" for seed in range(6)]
                paths += [f"/generate?seed={seed}&scale=2&resample=learned" for seed in range(6)]
                paths += [f"/generate?seed={seed}" for seed in range(6)]
                return list(await asyncio.gather(*map(http.get, paths)))

        assert other.portal is not None
        found = other.portal.call(together)
        assert [answer.content for answer in found[:6]] == list(alone.values())
        body = {"seeds": "0-5", "format": "npy", "scale": 4, "resample": "learned"}
        many = array(other.post("/generate", json=body).content)
        sheet = array(got(other, f"/generate?seed=0&n=6&columns=6&{LEARNED}").content)
    for seed, content in alone.items():
        assert np.array_equal(many[seed], array(content))
        assert np.array_equal(sheet[:, 128 * seed : 128 * (seed + 1)], array(content))


def test_answer_with_learned_pictures_reserves_memory_until_it_is_taken(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = client.app.state.bounds.memory  # type: ignore[attr-defined]
    asked: list[int] = []
    reserve = memory.reserve

    def watched(size: int) -> Any:
        asked.append(size)
        return reserve(size)

    monkeypatch.setattr(memory, "reserve", watched)
    got(client, f"/generate?seed=1234&{LEARNED}")
    assert asked[0] >= 128 * 128 * 3
    client.post(
        "/generate", json={"seeds": "0-9", "format": "zip", "scale": 4, "resample": "learned"}
    )
    assert asked[-1] >= 128 * 128 * 3
    assert memory.taken == 0


def test_learned_pixels_count_as_those_that_leave(client: TestClient, folder: Path) -> None:
    with TestClient(create_app(settings(folder / "pets", max_pixels=128 * 128))) as small:
        got(small, f"/generate?seed=1&{LEARNED}")
        answer = small.get(f"/generate?seed=1&n=2&{LEARNED}")
    assert "32,768 pixels" in problem_of(answer, 422)["detail"]


def test_metrics_count_upscaled_pictures_and_their_time(
    client: TestClient, pets: PretrainedGenerator
) -> None:
    def value(name: str) -> float:
        text = got(client, "/metrics").text
        (line,) = [x for x in text.splitlines() if x.startswith(f'{name}{{model="{full}"}}')]
        return float(line.rpartition(" ")[2])

    full = pets.config.upscaled_id
    names = ("ganserve_upscaled_total", "ganserve_upscale_seconds_count", "ganserve_pictures_total")
    before = [value(name) for name in names]
    got(client, f"/generate?seed=4321&n=3&{LEARNED}")
    upscaled, batches, pictures = (
        value(name) - old for name, old in zip(names, before, strict=True)
    )
    assert (upscaled, pictures) == (3, 3)
    assert 1 <= batches <= 3


# --- commands and Python ---


def test_commands_write_the_bytes_that_the_service_sends(
    client: TestClient, folder: Path, tmp_path: Path
) -> None:
    more = f"{folder / 'pets'} --device cpu --scale 4 --resample learned".split()
    assert main(["generate", *more, "--seeds", "7", "--output", str(tmp_path / "one.png")]) == 0
    wanted = got(client, f"/generate?seed=7&{LEARNED}").content
    assert (tmp_path / "one.png").read_bytes() == wanted
    assert main(["generate", *more, "--seeds", "6,7", "--output", str(tmp_path / "two")]) == 0
    assert (tmp_path / "two" / "seed000007.png").read_bytes() == wanted
    manifest = json.loads((tmp_path / "two" / "manifest.json").read_text())
    assert manifest["model"] == (read_recipe(wanted) or {})["model"]
    (tmp_path / "names.txt").write_text("ada\n")
    site = ["--site", str(tmp_path / "names.txt"), "--output", str(tmp_path / "site")]
    assert main(["generate", *more, *site]) == 0
    assert (tmp_path / "site" / "ada.png").read_bytes() == got(
        client, f"/generate?name=ada&{LEARNED}"
    ).content
    way = ["--seeds", "1,2", "--frames", "4", "--output", str(tmp_path / "way.webp")]
    assert main(["interpolate", *more, *way]) == 0
    path = f"/interpolate.webp?seeds=1,2&frames=4&{LEARNED}"
    assert (tmp_path / "way.webp").read_bytes() == got(client, path).content


def test_cells_of_a_grid_are_enlarged_by_themselves(folder: Path, tmp_path: Path) -> None:
    more = f"{folder / 'pets'} --device cpu --scale 2 --resample learned --frames 2".split()
    for seeds, grid, name in (("1-4", "2x1", "both"), ("1,2", "1x1", "left"), ("3,4", "1x1", "r")):
        arguments = ["--seeds", seeds, "--grid", grid, "--output", str(tmp_path / f"{name}.png")]
        assert main(["interpolate", *more, *arguments]) == 0
    both, left, right = (
        array((tmp_path / f"{name}.png").read_bytes()) for name in ("both", "left", "r")
    )
    assert np.array_equal(both[:, :64], left[:, :64])
    assert np.array_equal(both[:, 64:128], right[:, :64])


def test_command_refuses_what_the_generator_does_not_have(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, scale, told in (("pets", "3", "has 2 and 4"), ("tiny", "2", "has no upscaler")):
        more = ["--seeds", "1", "--scale", scale, "--resample", "learned"]
        output = ["--output", str(tmp_path / "x.png")]
        assert main(["generate", str(folder / name), *more, *output]) == 2
        assert told in capsys.readouterr().err
        assert not (tmp_path / "x.png").exists()


def test_python_draws_a_learned_recipe_as_served_and_no_other_upscaler_s(
    give: Callable[..., Path],
    client: TestClient,
    pets: PretrainedGenerator,
    folder: Path,
    tmp_path: Path,
) -> None:
    content = got(client, f"/generate?seed=7&n=4&{LEARNED}").content
    recipe = read_recipe(content)
    assert recipe is not None
    assert np.array_equal(pets.draw(recipe), array(content))
    large = pets.upscale(pets.generate([7]), 4)
    assert np.array_equal(large[0], array(got(client, f"/generate?seed=7&{LEARNED}").content))
    assert np.array_equal(pets.upscale(large, 1), large)
    with pytest.raises(RecipeError, match="has 2 and 4"):
        pets.upscale(large, 3)
    copy = Path(shutil.copytree(folder / "pets", tmp_path / "pets"))
    other = PretrainedGenerator(give(copy, 1), device="cpu")
    assert other.config.id == pets.config.id
    with pytest.raises(RecipeError, match="model: the recipe is of"):
        other.draw(recipe)
    bare = PretrainedGenerator(folder / "tiny", device="cpu")
    with pytest.raises(RecipeError, match="has no upscaler"):
        bare.upscale(bare.generate([7]), 2)


def test_saved_generator_has_its_upscaler(pets: PretrainedGenerator, tmp_path: Path) -> None:
    pets.save_pretrained(tmp_path / "copy")
    again = read_generator_file(tmp_path / "copy")
    assert again.config == pets.config
    assert again.upscaler is not None


# --- loaded, checked, replaced ---


def test_upscaler_that_enlarges_otherwise_than_when_written_is_not_served(folder: Path) -> None:
    file = read_upscaler(folder / "pets" / UPSCALER)
    upscale = load_upscale(file, "cpu")
    check_upscaler(upscale, file, [1, 2, 5])

    def darker(pixels: Pixels, scale: int) -> Pixels:
        return upscale(pixels, scale) // 2

    def mixing(pixels: Pixels, scale: int) -> Pixels:
        return upscale(pixels, scale) + np.uint8(len(pixels) > 1)

    with pytest.raises(WrongPictureError, match=f"upscaler {file.hash}"):
        check_upscaler(darker, file, [1, 2, 5])
    with pytest.raises(UnequalBytesError, match="batch of 2"):
        check_upscaler(mixing, file, [1, 2, 5])


def test_start_checks_the_upscaler_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Darker(OnnxUpscaler):
        def __call__(self, pixels: Pixels, scale: int) -> Pixels:
            return super().__call__(pixels, scale) // 2

    monkeypatch.setattr("model.upscaling.runtimes.OnnxUpscaler", Darker)
    with pytest.raises(WrongPictureError, match="is not enlarged as when it was written"):
        load_all(settings(folder / "pets"))


def allowed(file: UpscalerFile) -> int:
    """Levels that two runtimes may differ by."""
    return 0 if file.header.is_integer else 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_cpu_and_pytorch_enlarge_to_the_same_levels(folder: Path, threads: int) -> None:
    file = read_upscaler(folder / "pets" / UPSCALER)
    by_torch = TorchUpscaler(file, torch.device("cpu"))
    check_upscaler(by_torch, file, [1, 2, 5, 8, 9])
    pixels = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3)).astype(np.uint8)
    for scale in file.scales:
        found = load_upscale(file, "cpu", threads)(pixels, scale)
        assert np.abs(found.astype(int) - by_torch(pixels, scale)).max() <= allowed(file)
        assert load_upscale(file, "cpu")(pixels[:0], scale).shape == (0, 16 * scale, 16 * scale, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_enlarges_to_the_levels_of_the_cpu(folder: Path) -> None:
    file = read_upscaler(folder / "pets" / UPSCALER)
    upscale = load_upscale(file, "cuda")
    assert isinstance(upscale, TorchUpscaler)
    check_upscaler(upscale, file, [1, 2, 3, 8, 9, 16])
    pixels = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3)).astype(np.uint8)
    for scale in file.scales:
        off = upscale(pixels, scale).astype(int) - load_upscale(file, "cpu")(pixels, scale)
        assert np.abs(off).max() <= allowed(file)


def test_service_on_a_cpu_enlarges_without_torch(folder: Path) -> None:
    code = f"""
import sys
from fastapi.testclient import TestClient
from app.main import create_app
from app.settings import Settings
with TestClient(create_app(Settings(generator={str(folder / "pets")!r}, device="cpu"))) as client:
    assert client.get("/generate?seed=7&{LEARNED}").status_code == 200
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def reload(client: TestClient) -> Any:
    async def again() -> list[str]:
        reloader = client.app.state.reloader  # type: ignore[attr-defined]
        return [one.full_id for one in await reloader.reload()]

    assert client.portal is not None
    return client.portal.call(again)


def test_reload_swaps_the_upscaler_and_the_old_one_keeps_its_permanent_urls(
    give: Callable[..., Path], tmp_path: Path
) -> None:
    folder = give(write_tiny_residual(tmp_path / "pets"))
    with TestClient(create_app(settings(folder)), raise_server_exceptions=False) as client:
        old = read_generator_file(folder).config
        kept = {
            path: got(client, path).content
            for path in (
                f"/i/{old.upscaled_id}/7@4x~learned.png",
                f"/generate?seed=7&n=2&{LEARNED}&model={old.upscaled_id}",
                f"/i/{old.id}/7.png",
                f"/i/{old.id}/7@4x.png",
            )
        }
        before = got(client, f"/generate?seed=7&{LEARNED}")
        give(folder, 1)
        new = read_generator_file(folder).config
        assert new.id == old.id
        assert reload(client) == [new.upscaled_id]
        after = got(client, f"/generate?seed=7&{LEARNED}")
        assert after.headers["Image-Model"] == new.upscaled_id
        assert after.headers["ETag"] != before.headers["ETag"]
        assert after.content != before.content
        assert {path: got(client, path).content for path in kept} == kept
        text = got(client, "/metrics").text
        assert f'ganserve_pictures_total{{model="{old.upscaled_id}"}}' in text
        assert f'ganserve_pictures_total{{model="{new.upscaled_id}"}}' in text
        assert reload(client) == []


def test_generator_that_gets_an_upscaler_is_not_kept_beside_itself(
    give: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_tiny_residual(tmp_path / "pets")
    with TestClient(create_app(settings(folder)), raise_server_exceptions=False) as client:
        assert "has no upscaler" in client.get(f"/generate?seed=7&{LEARNED}").json()["detail"]
        before = got(client, "/generate?seed=7").content
        give(folder)
        full = read_generator_file(folder).config.upscaled_id
        assert reload(client) == [full]
        assert got(client, f"/generate?seed=7&{LEARNED}").headers["Image-Model"] == full
        assert got(client, "/generate?seed=7").content == before
        assert client.app.state.generators.previous == []  # type: ignore[attr-defined]


def test_two_upscalers_of_one_generator_can_be_served_as_now_and_former(
    give: Callable[..., Path], tmp_path: Path
) -> None:
    old = give(write_tiny_residual(tmp_path / "old" / "pets"))
    new = give(write_tiny_residual(tmp_path / "new" / "pets"), 1)
    ids = [read_generator_file(folder).config.upscaled_id for folder in (old, new)]
    with TestClient(create_app(settings(new, former=(str(old),)))) as client:
        files = [got(client, f"/i/{one}/7@4x~learned.png").content for one in ids]
        assert files[0] != files[1]
        assert got(client, f"/generate?seed=7&{LEARNED}").content == files[1]


def test_generator_s_own_pictures_know_nothing_of_its_upscaler(
    folder: Path, tmp_path: Path
) -> None:
    bare = Path(shutil.copytree(folder / "pets", tmp_path / "pets"))
    (bare / UPSCALER).unlink()
    edit_json(bare / "config.json", upscaler=None)
    rows = read_generator_file(bare).config.rows(range(3))
    assert np.array_equal(
        load_sampler(read_generator_file(bare), "cpu")(rows),
        load_sampler(read_generator_file(folder / "pets"), "cpu")(rows),
    )
    paths = ("/generate?seed=7", "/generate.webp?seed=7&n=3", "/interpolate.gif?seeds=1,2&frames=3")
    answers = []
    for one in (bare, folder / "pets"):
        with TestClient(create_app(settings(one))) as client:
            found = [got(client, path) for path in paths]
        answers.append([(x.content, x.headers["ETag"], x.headers["Image-Model"]) for x in found])
    assert answers[0] == answers[1]


def test_file_kept_for_a_host_that_writes_no_recipes_has_none(folder: Path) -> None:
    with TestClient(create_app(settings(folder / "pets", recipes=False))) as client:
        assert read_recipe(got(client, f"/generate?seed=7&{LEARNED}").content) is None
