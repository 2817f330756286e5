"""Parts of answers, links with what others add, names, and seeds beyond JavaScript's numbers."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model.encoding.animations import HAS_VIDEO
from model.latent_space.latents import text_seed
from tests.services import problem_of

LARGE = 2**62 + 1  # no float64 has it


def paths(client: TestClient) -> list[str]:
    model = client.get("/models").json()["default"]
    moving = [f"/interpolate.{name}?seeds=1,2&frames=4" for name in ("webp", "gif", "apng", "png")]
    moving += ["/interpolate.mp4?seeds=1,2&frames=4"] * HAS_VIDEO
    return [
        *moving,
        "/generate?seed=7",
        "/generate.npy?seed=7&n=4",
        "/plane.jpg?seeds=1,2,3,4",
        f"/i/{model}/7.png",
        f"/i/{model}/7.json",
        f"/latents/7.json?model={model}",
        "/latents/7.npy",
    ]


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        pytest.param("bytes=0-1", 0, 2, id="safari"),
        pytest.param("bytes=5-", 5, None, id="go-on"),
        pytest.param("bytes=-7", -7, None, id="end"),
        pytest.param("bytes=2-999999999", 2, None, id="beyond-the-end"),
        pytest.param("Bytes=0-", 0, None, id="all"),
    ],
)
def test_part_is_a_slice_of_the_whole(
    client: TestClient, wanted: str, first: int, last: int | None
) -> None:
    for path in paths(client):
        whole = client.get(path)
        assert whole.headers["Accept-Ranges"] == "bytes"
        size, tag = len(whole.content), whole.headers["ETag"]
        for condition in ({}, {"If-Range": tag}):
            part = client.get(path, headers={"Range": wanted, **condition})
            assert part.status_code == 206
            assert part.content == whole.content[first:last]
            assert int(part.headers["Content-Length"]) == len(part.content)
            begin = first if first >= 0 else size + first
            end = begin + len(part.content) - 1
            assert part.headers["Content-Range"] == f"bytes {begin}-{end}/{size}"
            assert part.headers["ETag"] == tag


@pytest.mark.parametrize(
    "wanted",
    ["bytes=0-1,5-6", "bytes=-", "bytes=9-2", "pages=1-2", "bytes=x", "bytes=0x0-1", "", "0-1"],
)
def test_what_is_no_single_range_is_answered_with_the_whole(
    client: TestClient, wanted: str
) -> None:
    for path in ("/generate?seed=7", "/interpolate.webp?seeds=1,2&frames=4"):
        answer = client.get(path, headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (200, client.get(path).content)


def test_two_lines_of_ranges_are_two_ranges(client: TestClient) -> None:
    lines = [("Range", "bytes=0-1"), ("Range", "bytes=5-6")]
    answer = client.get("/generate?seed=7", headers=lines)
    assert (answer.status_code, answer.content) == (200, client.get("/generate?seed=7").content)


def test_part_of_another_answer_is_the_whole(client: TestClient) -> None:
    for condition in ('"other"', 'W/"x"', "Wed, 21 Oct 2015 07:28:00 GMT"):
        headers = {"Range": "bytes=0-1", "If-Range": condition}
        assert client.get("/generate?seed=7", headers=headers).status_code == 200


def test_random_and_streamed_answers_and_heads_are_whole(client: TestClient) -> None:
    for path in ("/generate", "/interpolate.zip?seeds=1,2&frames=4"):
        assert client.get(path, headers={"Range": "bytes=0-1"}).status_code == 200
    head = client.head("/generate?seed=7", headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=-0"])
def test_part_beyond_the_end_is_416(client: TestClient, wanted: str) -> None:
    for path in paths(client):
        answer = client.get(path, headers={"Range": wanted})
        problem_of(answer, 416)
        size = len(client.get(path).content)
        assert answer.headers["Content-Range"] == f"bytes */{size}"


DECORATIONS = ("fbclid=a.b-c", "utm_source=x&utm_medium=y", "gclid=1", "_=1700000000", "_ga=1", "_")


@pytest.mark.parametrize("decoration", DECORATIONS)
@pytest.mark.parametrize(
    "path",
    ["/generate", "/generate.webp?seed=7", "/generate?seed=7&n=2", "/plane?seeds=1,2,3,4"],
)
def test_what_others_add_to_a_link_changes_nothing(
    client: TestClient, path: str, decoration: str
) -> None:
    plain = client.get(path if "?" in path else f"{path}?seed=7")
    path = path if "?" in path else f"{path}?seed=7"
    name, _, query = path.partition("?")
    for decorated in (f"{query}&{decoration}", f"{decoration}&{query}"):
        answer = client.get(f"{name}?{decorated}")
        assert (answer.status_code, answer.content) == (200, plain.content)
        assert answer.headers["ETag"] == plain.headers["ETag"]


@pytest.mark.parametrize("query", ["fbclid=1", "anything=at&all", "a&b&c=%00", "seed=8"])
def test_permanent_path_needs_no_query(client: TestClient, query: str) -> None:
    path = f"/i/{client.get('/models').json()['default']}/7.png"
    assert client.get(f"{path}?{query}").content == client.get(path).content


@pytest.mark.parametrize("name", ["fbclidx", "xfbclid", "utm", "UTM_SOURCE", "__", "sed"])
def test_what_only_looks_like_a_decoration_is_refused(client: TestClient, name: str) -> None:
    problem_of(client.get(f"/generate?seed=7&{name}=1"), 422)


@pytest.mark.parametrize(
    "name", ["117384932749812374981", "+491701234567", "2024-01-01", "7", "ä", " "]
)
def test_any_text_is_a_name(client: TestClient, name: str) -> None:
    answer = client.get("/generate", params={"name": name})
    seed = text_seed(name)
    assert answer.headers["Image-Seed"] == str(seed)
    assert answer.content == client.get(f"/generate?seed={seed}").content
    for body in ({"name": name}, {"recipes": [{"name": name}], "format": "png"}):
        assert client.post("/generate", json=body).status_code == 200
    assert client.post("/generate", json={"name": name}).content == answer.content


def test_name_and_text_seed_are_one_picture(client: TestClient) -> None:
    assert client.get("/generate?name=ada").content == client.get("/generate?seed=ada").content


def rounded(text: str) -> Any:
    """Reads JSON as JavaScript does."""
    return json.loads(text, parse_int=lambda digits: int(float(digits)))


def test_large_seeds_are_texts_too_wherever_json_is_given(client: TestClient) -> None:
    model = client.get("/models").json()["default"]
    picture = client.get(f"/generate?seed={LARGE}").content
    bulk = client.post("/generate", json={"seeds": [LARGE, LARGE + 1], "format": "json"}).text
    for read in (
        rounded(client.get(f"/i/{model}/{LARGE}.json").text),
        rounded(client.get(f"/latents/{LARGE}.json").text),
        rounded(bulk)["pictures"][0],
    ):
        assert read["seed_text"] == str(LARGE)
        assert client.post("/generate", json={"seed": read["seed_text"]}).content == picture
    plane = {"plane": {"seeds": [LARGE, 1, 2, 3], "x": 0, "y": 0}}
    made = client.post("/generate", json={"recipes": [plane], "format": "json"}).text
    assert rounded(made)["pictures"][0]["plane"]["seeds_text"][0] == str(LARGE)


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/generate/", "/generate"),
        ("//generate", "/generate"),
        ("/generate.webp/", "/generate.{extension}"),
        ("/models//", "/models"),
    ],
)
def test_slash_too_many_is_told_of(client: TestClient, path: str, right: str) -> None:
    url = client.base_url.copy_with(raw_path=path.encode())
    assert f"{right} has no slash at its end" in problem_of(client.get(url), 404)["detail"]
