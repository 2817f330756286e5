"""OpenAI's own client library against the service: pictures of a prompt, refusals it can read."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient

from app.access.keys import key_hash
from app.main import create_app
from app.settings import Settings

SEED = 7


def library(client: TestClient, key: str = "none is wanted") -> openai.OpenAI:
    """Returns OpenAI's client, which asks this service."""
    base = f"{str(client.base_url).rstrip('/')}/v1"
    return openai.OpenAI(base_url=base, api_key=key, http_client=client, max_retries=0)


def files(answer: Any) -> list[bytes]:
    """Takes the files out of an answer."""
    return [base64.b64decode(picture.b64_json) for picture in answer.data]


@pytest.fixture(scope="module")
def pets(folder: Path) -> Iterator[TestClient]:
    """Returns a client of a generator with classes."""
    settings = Settings(
        generator=str(folder / "pets"), models=(str(folder / "tiny"),), device="cpu"
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("prompt", ["ada", "7", "Jürgen K."])
@pytest.mark.parametrize(("size", "scale"), [("auto", 1), ("32x32", 1), ("256x256", 8)])
@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
def test_pictures_of_a_prompt_have_the_bytes_of_its_seed_and_those_that_follow(
    pets: TestClient, prompt: str, size: Any, scale: int, format: Any
) -> None:
    answer = library(pets).images.generate(
        prompt=prompt, n=2, size=size, response_format="b64_json", output_format=format
    )
    assert answer.created > 1.7e9
    place = f"/generate.{format}"
    first = pets.get(place, params={"seed": prompt, "scale": scale})
    after: dict[str, Any] = {"seed": str(int(first.headers["Image-Seed"]) + 1), "scale": scale}
    assert files(answer) == [first.content, pets.get(place, params=after).content]


def test_one_plain_picture_is_taken_from_the_cache(pets: TestClient) -> None:
    content = pets.get(f"/generate?seed={SEED}").content
    answer = library(pets).images.generate(prompt=str(SEED), response_format="b64_json")
    assert files(answer) == [content]
    answer = library(pets).images.generate(
        prompt=str(SEED), response_format="b64_json", extra_body={"class": "dog"}
    )
    assert files(answer) == [pets.get(f"/generate?seed={SEED}&class=dog").content]


@pytest.mark.parametrize("compression", [None, 30])
def test_urls_are_permanent_and_lead_to_the_same_files(
    pets: TestClient, compression: int | None
) -> None:
    asked: dict[str, Any] = {"prompt": "ada", "n": 3, "size": "64x64", "output_format": "webp"}
    if compression:
        asked["output_compression"] = compression
    linked = library(pets).images.generate(**asked)
    sent = library(pets).images.generate(**asked, response_format="b64_json")
    hash = pets.get("/models").json()["default"]
    for picture, content in zip(linked.data, files(sent), strict=True):
        assert picture.url.startswith("http://testserver/")
        assert hash in picture.url
        answer = pets.get(picture.url)
        assert answer.content == content
        assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        pytest.param({"size": "100x100"}, "allowed: auto, 32x32, 64x64, 96x96", id="no multiple"),
        pytest.param({"size": "32x64"}, "allowed: auto, 32x32", id="not square"),
        pytest.param({"size": "544x544"}, "512x512", id="scale 17"),
        pytest.param({"size": "large"}, "allowed: auto, 32x32", id="no size"),
        pytest.param({"n": 0}, "from 1 to 256", id="none"),
        pytest.param({"n": 257}, "from 1 to 256", id="too many"),
        pytest.param({"n": 256, "size": "512x512"}, "allowed: up to 16,777,216", id="pixels"),
        pytest.param({"model": "gpt-image-1"}, "served: pets@", id="model"),
        pytest.param({"prompt": "1.5"}, "does not look like a number", id="number"),
        pytest.param({"prompt": str(2**63 - 1), "n": 2}, "prompt + n", id="beyond the last seed"),
        pytest.param({"background": "transparent"}, "'auto' or 'opaque'", id="background"),
        pytest.param({"output_compression": 30}, "webp, avif and jpeg have", id="compression"),
        pytest.param({"partial_images": 2}, "unknown parameter", id="partial pictures"),
        pytest.param({"extra_body": {"class": "nix"}}, "cat, dog, red panda", id="class"),
    ],
)
def test_refusal_is_read_by_the_library_and_says_what_is_allowed(
    pets: TestClient, asked: dict[str, Any], words: str
) -> None:
    asked = {"prompt": "ada", "response_format": "b64_json", **asked}
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        library(pets).images.generate(**asked)
    assert words in refused.value.message
    assert refused.value.type == "invalid_request_error"
    problem = refused.value.response.json()
    assert problem["detail"] == problem["error"]["message"]
    assert refused.value.response.headers["Content-Type"] == "application/problem+json"


def test_what_has_no_meaning_here_has_no_effect(pets: TestClient) -> None:
    plain = library(pets).images.generate(prompt="ada", response_format="b64_json")
    other = library(pets).images.generate(
        prompt="ada",
        response_format="b64_json",
        quality="hd",
        style="vivid",
        background="opaque",
        moderation="low",
        user="somebody",
        extra_body={"n": None, "size": None, "stream": None},
    )
    assert files(plain) == files(other)


def test_keys_rates_and_metrics_hold_for_it_too(generator_folder: Path) -> None:
    settings = Settings(
        generator=str(generator_folder),
        device="cpu",
        api_key_hashes=(key_hash("right"),),
        rate_limit=0.001,
        rate_burst=1,
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        with pytest.raises(openai.AuthenticationError, match="not known") as refused:
            library(client, "wrong").images.generate(prompt="ada")
        assert refused.value.code == "unauthorized"
        assert library(client, "right").images.generate(prompt="ada").data
        with pytest.raises(openai.RateLimitError, match="too many requests"):
            library(client, "right").images.generate(prompt="ada")
    with TestClient(create_app(Settings(generator=str(generator_folder), device="cpu"))) as client:
        assert library(client).images.generate(prompt="ada").data
        counted = 'route="/v1/images/generations",status="200"} 1.0'
        assert counted in client.get("/metrics").text


def test_other_paths_of_that_api_say_so_in_its_words(pets: TestClient) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        library(pets).models.list()
    assert refused.value.code == "not-found"
    assert "error" not in pets.get("/nothing").json()
