"""/generate as a front end and a script use it."""

import asyncio
import io

import httpx2 as httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from model.latent_space.latents import sample_latents


def picture(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_seed_gives_a_grey_png_of_28x28(client: TestClient) -> None:
    answer = client.get("/generate?seed=42")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Image-Seed"] == "42"
    assert picture(answer.content).shape == (28, 28)


def test_same_seed_gives_the_same_bytes_and_another_seed_others(client: TestClient) -> None:
    one, again, other = (client.get(f"/generate?seed={seed}").content for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_seeded_picture_may_be_kept_for_a_year(client: TestClient) -> None:
    headers = client.get("/generate?seed=42").headers
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_without_a_seed_the_picture_is_random_uncached_and_names_its_seed(
    client: TestClient,
) -> None:
    answers = [client.get("/generate") for _ in range(3)]
    assert len({answer.headers["Image-Seed"] for answer in answers}) == 3
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    seed = answers[0].headers["Image-Seed"]
    assert client.get(f"/generate?seed={seed}").content == answers[0].content


def test_sheet_holds_the_pictures_of_the_seeds_that_follow(client: TestClient) -> None:
    sheet = picture(client.get("/generate?seed=7&n=6&columns=3").content)
    assert sheet.shape == (2 * 28, 3 * 28)
    for index in range(6):
        row, column = divmod(index, 3)
        part = sheet[row * 28 : (row + 1) * 28, column * 28 : (column + 1) * 28]
        assert np.array_equal(part, picture(client.get(f"/generate?seed={7 + index}").content))


@pytest.mark.parametrize(("n", "shape"), [(1, (1, 1)), (2, (1, 2)), (5, (2, 3)), (256, (16, 16))])
def test_sheet_is_nearly_square_by_default(
    client: TestClient, n: int, shape: tuple[int, int]
) -> None:
    sheet = picture(client.get(f"/generate?seed=0&n={n}").content)
    assert sheet.shape == (shape[0] * 28, shape[1] * 28)


def test_post_does_the_same_as_get(client: TestClient) -> None:
    get = client.get("/generate?seed=5&n=4&columns=2")
    post = client.post("/generate", json={"seed": 5, "n": 4, "columns": 2})
    assert post.content == get.content
    assert post.headers["Image-Seed"] == "5"


def test_explicit_latents_give_the_pictures_of_their_seeds(client: TestClient) -> None:
    z = sample_latents([3, 4], 8, "uniform").tolist()
    post = client.post("/generate", json={"z": z})
    by_seed = picture(client.get("/generate?seed=3&n=2").content)
    assert np.array_equal(picture(post.content), by_seed)
    assert "Image-Seed" not in post.headers


def test_highest_seed_exists(client: TestClient) -> None:
    assert client.get(f"/generate?seed={2**63 - 1}").status_code == 200


def test_bytes_do_not_depend_on_who_asks_at_the_same_time(client: TestClient) -> None:
    alone = [client.get(f"/generate?seed={seed}").content for seed in range(40)]

    async def together() -> list[bytes]:
        transport = httpx.ASGITransport(app=client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            answers = await asyncio.gather(
                *(http.get(f"/generate?seed={seed}") for seed in range(40))
            )
        return [answer.content for answer in answers]

    assert client.portal is not None
    assert client.portal.call(together) == alone


def test_interpolation_is_a_strip_whose_ends_are_the_plain_pictures(client: TestClient) -> None:
    answer = client.get("/interpolate.png?seeds=1,2&frames=8")
    assert answer.headers["Cache-Control"].endswith("immutable")
    strip = picture(answer.content)
    assert strip.shape == (28, 8 * 28)
    assert np.array_equal(strip[:, :28], picture(client.get("/generate?seed=1").content))
    assert np.array_equal(strip[:, -28:], picture(client.get("/generate?seed=2").content))
    frames = [strip[:, i * 28 : (i + 1) * 28].tobytes() for i in range(8)]
    assert len(set(frames)) == 8


def test_interpolation_passes_through_every_seed(client: TestClient) -> None:
    strip = picture(client.get("/interpolate.png?seeds=1,9,4&frames=5").content)
    middle = picture(client.get("/generate?seed=9").content)
    assert np.array_equal(strip[:, 2 * 28 : 3 * 28], middle)


def test_health_and_readiness_answer_beside_the_queue(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "generator": "tiny"}


def test_document_describes_every_operation_and_its_picture(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operations = {(p, m) for p, methods in document["paths"].items() for m in methods}
    assert operations == {
        ("/generate", "get"),
        ("/generate", "post"),
        ("/generate.{extension}", "get"),
        ("/i/{model}/{file}", "get"),
        ("/interpolate", "get"),
        ("/interpolate", "post"),
        ("/interpolate.{extension}", "get"),
        ("/plane", "get"),
        ("/plane.{extension}", "get"),
        ("/classify", "get"),
        ("/classify", "post"),
        ("/classifiers", "get"),
        ("/models", "get"),
        ("/models/{model}", "get"),
        ("/models/{model}/directions", "get"),
        ("/models/{model}/directions/{direction}.{extension}", "get"),
        ("/latents/{seed}.{extension}", "get"),
        ("/problems/{kind}", "get"),
        ("/v1/images/generations", "post"),
        ("/livez", "get"),
        ("/metrics", "get"),
        ("/readyz", "get"),
    }
    get = document["paths"]["/generate"]["get"]
    assert "image/png" in get["responses"]["200"]["content"]
    bounds = {p["name"]: p["schema"] for p in get["parameters"] if "name" in p}
    assert bounds["n"]["minimum"] == 1
    assert bounds["n"]["maximum"] == 256
    assert client.get("/docs").status_code == 200
