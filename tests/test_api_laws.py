"""Laws of the API: one picture by every road, one tag a recipe, no junk that breaks anything."""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from app.parameters.limits import DEFAULT
from app.parameters.schemas import SeedRanges
from app.responses.negotiation import best
from app.responses.problems import NotAcceptable
from model.encoding.marking import read_recipe
from model.latent_space.latents import SEED_LIMIT, text_seed
from model.recipes import plain

LAW = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SIDE = 28
seeds = st.one_of(st.integers(0, 50), st.integers(0, SEED_LIMIT - 1))
letters = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffd")
names = st.text(letters, min_size=1, max_size=60).filter(
    lambda name: not all(c.isspace() or c.isdecimal() or c in "+-_.," for c in name)
)
numbers = st.text("0123456789+-_., \u0663\u00a0", max_size=30)


def pixels(content: bytes) -> np.ndarray:
    """Reads the pixels of a picture (H, W), or of all frames (N, H, W)."""
    if content.startswith(b"\x93NUMPY"):
        array: np.ndarray = np.load(io.BytesIO(content))
        return array[..., 0]
    with Image.open(io.BytesIO(content)) as image:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(image)]
    return np.stack(frames) if len(frames) > 1 else frames[0]


def got(client: TestClient, path: str, **query: Any) -> bytes:
    answer = client.get(f"{path}?{urlencode(query)}" if query else path)
    assert answer.status_code == 200, answer.text
    content: bytes = answer.content
    return content


def posted(client: TestClient, path: str = "/generate", **body: Any) -> bytes:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    content: bytes = answer.content
    return content


# Seeds


@LAW
@given(seed=seeds)
def test_whole_number_is_its_own_seed(client: TestClient, seed: int) -> None:
    answer = client.get(f"/generate?seed={seed}")
    assert answer.headers["Image-Seed"] == str(seed)


@LAW
@given(name=names)
@example(name="null")
@example(name="e\u0301")
def test_text_stands_for_one_seed_wherever_it_is_given(client: TestClient, name: str) -> None:
    answers = [
        client.get("/generate", params={"seed": name}),
        client.post("/generate", json={"seed": name}),
    ]
    seed = str(text_seed(name))
    assert {answer.headers["Image-Seed"] for answer in answers} == {seed}
    assert {answer.content for answer in answers} == {got(client, "/generate", seed=seed)}


@LAW
@given(text=numbers)
def test_text_like_a_number_is_that_number_in_a_body_or_refused(
    client: TestClient, text: str
) -> None:
    answer = client.post("/generate", json={"seed": text})
    if text.isascii() and text.isdigit() and int(text) < SEED_LIMIT and len(text) <= 20:
        assert answer.headers["Image-Seed"] == str(int(text))
    else:
        assert answer.status_code == 422


@LAW
@given(text=numbers)
def test_text_like_a_number_is_that_number_in_a_query_or_refused(
    client: TestClient, text: str
) -> None:
    answer = client.get("/generate", params={"seed": text})
    if text.isascii() and text.isdigit() and int(text) < SEED_LIMIT and len(text) <= 20:
        assert answer.headers["Image-Seed"] == str(int(text))
    else:
        assert answer.status_code == 422


# Ranges

MAX_BULK = DEFAULT.max_bulk
spans = st.tuples(seeds, st.integers(0, 30)).map(
    lambda span: (span[0], min(span[0] + span[1], SEED_LIMIT - 1))
)


@LAW
@given(parts=st.lists(st.one_of(seeds, spans), min_size=1, max_size=12))
@example(parts=[1, 5, (10, 20)])
def test_ranges_stand_for_all_their_seeds(parts: list[int | tuple[int, int]]) -> None:
    text = ",".join(f"{p[0]}-{p[1]}" if isinstance(p, tuple) else str(p) for p in parts)
    meant: list[int] = []
    for part in parts:
        meant += range(part[0], part[1] + 1) if isinstance(part, tuple) else [part]
    assert SeedRanges().check(text) == meant


@pytest.mark.parametrize("first", [0, 7, SEED_LIMIT - MAX_BULK - 1])
def test_ranges_are_bounded_by_how_many_they_name(first: int) -> None:
    assert len(SeedRanges().check(f"{first}-{first + MAX_BULK - 1}")) == MAX_BULK
    with pytest.raises(ValueError, match="1 to 10000 seeds"):
        SeedRanges().check(f"{first}-{first + MAX_BULK}")
    with pytest.raises(ValueError, match="1 to 10000 seeds"):
        SeedRanges().check(f"{first}-{first + MAX_BULK - 1},5")


# One picture, every road


def zipped(content: bytes, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(name)


def encoded(content: bytes) -> bytes:
    return base64.b64decode(json.loads(content)["pictures"][0]["image"])


def part(content: bytes) -> bytes:
    head, _, rest = content.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return rest[:length]


def latent(client: TestClient, seed: int) -> list[float]:
    z: list[float] = json.loads(got(client, f"/latents/{seed}.json"))["z"]
    return z


def text_of(z: list[float]) -> str:
    return ",".join(map(str, z))


Road = Callable[[TestClient, int, str], bytes]
SAME_RECIPE: dict[str, Road] = {  # equal recipes: equal bytes
    "query": lambda c, s, m: got(c, "/generate", seed=s, n=1),
    "query-of-the-model": lambda c, s, m: got(c, "/generate", seed=s, model=m),
    "query-of-the-name": lambda c, s, m: got(c, "/generate", seed=s, model="tiny"),
    "format": lambda c, s, m: got(c, "/generate", seed=s, format="png"),
    "extension": lambda c, s, m: got(c, "/generate.png", seed=s),
    "path": lambda c, s, m: got(c, f"/i/{m}/{s}.png"),
    "defaults": lambda c, s, m: got(c, "/generate", seed=s, truncation="1.0", scale=1),
    "post-seed": lambda c, s, m: posted(c, seed=s),
    "post-nulls": lambda c, s, m: posted(c, seed=s, columns=None, quality=None),
    "post-zip": lambda c, s, m: zipped(posted(c, seeds=[s], format="zip"), "0000.png"),
    "post-json": lambda c, s, m: encoded(posted(c, seeds=str(s), format="json")),
    "post-multipart": lambda c, s, m: part(posted(c, seeds=[s], format="multipart")),
    "post-recipe": lambda c, s, m: zipped(
        posted(c, recipes=[{"seed": s}], format="zip"), "0000.png"
    ),
}
OTHER_RECIPE: dict[str, Road] = {  # the same pixels
    "webp": lambda c, s, m: got(c, "/generate.webp", seed=s),
    "npy": lambda c, s, m: got(c, "/generate.npy", seed=s),
    "post-seeds": lambda c, s, m: posted(c, seeds=[s]),
    "post-z": lambda c, s, m: posted(c, z=[latent(c, s)]),
    "z-of-a-query": lambda c, s, m: got(c, "/generate", z=text_of(latent(c, s))),
    "recipe": lambda c, s, m: posted(c, recipes=[{"seed": s}]),
    "recipe-z": lambda c, s, m: posted(c, recipes=[{"z": latent(c, s)}]),
    "recipe-plane": lambda c, s, m: posted(
        c, recipes=[{"plane": {"seeds": [1, s, 2, 3], "x": 1, "y": 0}}]
    ),
    "mix-of-one": lambda c, s, m: posted(c, recipes=[{"mix": [{"seed": s, "weight": 1}]}]),
    "mix-of-a-query": lambda c, s, m: got(c, "/generate", mix=s),
    "mix-of-a-body": lambda c, s, m: posted(c, mix=f"{s}:1,9:0"),
    "mix-with-nothing": lambda c, s, m: posted(
        c, recipes=[{"mix": [{"seed": s}, {"seed": 9, "weight": 0}]}]
    ),
}
CUT: dict[str, Callable[[TestClient, int, int], np.ndarray]] = {  # a part of something larger
    "sheet": lambda c, s, o: pixels(got(c, "/generate", seed=s, n=3))[:SIDE, :SIDE],
    "npy-of-seeds": lambda c, s, o: pixels(posted(c, seeds=[o, s], format="npy"))[1],
    "scaled": lambda c, s, o: pixels(got(c, "/generate", seed=s, scale=3))[::3, ::3],
    "plane-first": lambda c, s, o: pixels(got(c, "/plane", seeds=f"{s},1,2,{o}"))[:SIDE, :SIDE],
    "plane-last": lambda c, s, o: pixels(got(c, "/plane", seeds=f"{o},1,2,{s}"))[-SIDE:, -SIDE:],
    **{
        f"{format}-{end}": lambda c, s, o, format=format, end=end: pixels(  # type: ignore[misc]
            got(c, f"/interpolate.{format}", seeds=f"{s},{o}" if end == 0 else f"{o},{s}", frames=4)
        )[end]
        for format in ("webp", "apng", "npy", "gif")
        for end in (0, -1)
    },
    "strip-first": lambda c, s, o: pixels(got(c, "/interpolate.png", seeds=f"{s},{o}"))[:, :SIDE],
    "strip-last": lambda c, s, o: pixels(got(c, "/interpolate.png", seeds=f"{o},{s}"))[:, -SIDE:],
    "zip-first": lambda c, s, o: pixels(
        zipped(got(c, "/interpolate.zip", seeds=f"{s},{o}", frames=4), "0000.png")
    ),
    "zip-last": lambda c, s, o: pixels(
        zipped(got(c, "/interpolate.zip", seeds=f"{o},{s}", frames=4), "0003.png")
    ),
}
FEW = settings(LAW, max_examples=6)
below_the_end = st.integers(0, SEED_LIMIT - 4)


@pytest.mark.parametrize("road", SAME_RECIPE)
@FEW
@given(seed=below_the_end)
def test_one_recipe_is_one_file_by_every_road(client: TestClient, road: str, seed: int) -> None:
    model = client.get("/models").json()["default"]
    assert SAME_RECIPE[road](client, seed, model) == got(client, "/generate", seed=seed)


@pytest.mark.parametrize("road", OTHER_RECIPE)
@FEW
@given(seed=below_the_end)
def test_one_picture_has_the_same_pixels_by_every_road(
    client: TestClient, road: str, seed: int
) -> None:
    found = pixels(OTHER_RECIPE[road](client, seed, ""))
    assert np.array_equal(found, pixels(got(client, "/generate", seed=seed)))


@pytest.mark.parametrize("road", CUT)
@FEW
@given(seed=below_the_end, other=seeds)
def test_part_of_something_larger_is_the_plain_picture(
    client: TestClient, road: str, seed: int, other: int
) -> None:
    found = CUT[road](client, seed, other)
    if seed == other and "-" in road and found.ndim != 2:
        return  # a film of equal frames may be one
    assert np.array_equal(found, pixels(got(client, "/generate", seed=seed)))


# Recipes

steps = st.decimals("-0.8", "0.8", places=3, allow_nan=False).map(lambda step: f"{step:f}")
edits = st.dictionaries(st.integers(0, 7), steps, min_size=1, max_size=4).map(
    lambda found: ",".join(f"d{number}:{step}" for number, step in found.items())
)
reals = st.one_of(st.sampled_from(["0", "1", "0.5", "1e-05"]), st.floats(0, 1).map(str))
changes = st.fixed_dictionaries(
    {},
    optional={
        "truncation": reals,
        "edit": edits,
        "scale": st.integers(1, 3),
        "resample": st.sampled_from(["nearest", "lanczos"]),
    },
)
keys = st.lists(seeds, min_size=4, max_size=4).map(lambda found: ",".join(map(str, found)))
halves = st.floats(0, 0.5).map(str)
weights = st.one_of(st.integers(-10, 10), st.floats(-10, 10), st.just(1e-05)).map(plain)
portions = st.one_of(seeds.map(str), st.builds("{}:{}".format, seeds, weights))
mixes = st.lists(portions, min_size=1, max_size=5).map(",".join)
values = st.one_of(weights, st.floats(-10, 10, width=32))
vectors = st.lists(values, min_size=8, max_size=8).map(text_of)
REQUESTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "/generate": st.fixed_dictionaries(
        {"seed": below_the_end}, optional={"n": st.just(4), "columns": st.integers(1, 1)}
    ),
    "/generate.png": st.fixed_dictionaries({"mix": mixes}),
    "/generate.webp": st.fixed_dictionaries({"z": vectors}),
    "/plane": st.fixed_dictionaries(
        {"seeds": keys, "x": halves, "size": halves},
        optional={
            "columns": st.integers(1, 4),
            "rows": st.integers(1, 4),
            "mode": st.sampled_from(["lerp", "slerp"]),
        },
    ),
    "/interpolate.png": st.fixed_dictionaries(
        {"seeds": keys},
        optional={
            "frames": st.integers(4, 12),
            "mode": st.sampled_from(["lerp", "slerp", "spline"]),
            "loop": st.sampled_from(["true", "false"]),
            "ease": st.sampled_from(["linear", "in", "out", "in-out"]),
            "fps": st.integers(1, 60),
        },
    ),
}


def query_of(recipe: dict[str, Any]) -> dict[str, Any]:
    """Returns a recipe's words as a query string has them."""
    words = dict(recipe)
    for name, value in words.items():
        if isinstance(value, list):
            words[name] = ",".join(map(str, value))
        elif isinstance(value, bool):
            words[name] = str(value).lower()
    return words


@pytest.mark.parametrize("path", REQUESTS)
@LAW
@given(data=st.data(), change=changes)
def test_recipe_in_a_file_asks_for_that_file_again(
    client: TestClient, path: str, data: st.DataObject, change: dict[str, Any]
) -> None:
    query = data.draw(REQUESTS[path]) | change
    first = client.get(path, params=query)
    assert first.status_code == 200, first.text
    recipe = read_recipe(first.content)
    assert recipe is not None
    again = client.get(path, params=query_of(recipe))
    assert again.status_code == 200, (recipe, again.text)
    assert again.content == first.content
    assert again.headers["ETag"] == first.headers["ETag"]


@LAW
@given(change=changes)
@example(change={"truncation": "1e-05"})
def test_content_location_leads_to_the_same_file(
    client: TestClient, change: dict[str, Any]
) -> None:
    first = client.get("/generate", params=change)
    again = client.get(first.headers["Content-Location"])
    assert again.status_code == 200, again.text
    assert again.content == first.content


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {"seed": 3}),
        ("/generate", {"seed": "ada", "n": 4, "columns": 1, "format": "webp", "quality": 30}),
        ("/generate", {"seed": 3, "truncation": 0.5, "scale": 2, "download": True}),
        ("/generate", {"mix": "3:1,8:-1", "truncation": 0.5, "format": "webp", "quality": 30}),
        ("/generate", {"mix": [{"seed": 3}, {"seed": 8, "weight": -1}], "class": None}),
        ("/generate", {"seeds": "1-4"}),
        ("/generate", {"seeds": "1-4", "format": "zip"}),
        ("/interpolate", {"seeds": [1, 2], "frames": 3}),
        ("/interpolate", {"seeds": [1, 2], "frames": 3, "format": "npy"}),
    ],
)
def test_answer_to_post_is_kept_by_nobody_and_that_of_one_picture_says_where_it_stays(
    client: TestClient, path: str, body: dict[str, Any]
) -> None:
    first = client.post(path, json=body)
    assert first.status_code == 200, first.text
    assert first.headers["Cache-Control"] == "no-store"
    assert "ETag" not in first.headers
    named = "seed" in body or "mix" in body
    assert ("Content-Location" in first.headers) is named
    if named:
        again = client.get(first.headers["Content-Location"])
        assert again.content == first.content
        assert again.headers["Cache-Control"].startswith("public")


@FEW
@given(mix=mixes, change=changes)
@example(mix="3:1,8:-1,5:1", change={})
def test_mix_is_one_file_by_every_road(
    client: TestClient, mix: str, change: dict[str, Any]
) -> None:
    first = client.get("/generate.png", params={"mix": mix} | change)
    assert first.headers["Cache-Control"].startswith("public")
    assert "Image-Seed" not in first.headers
    portions = [
        {"seed": int(seed), "weight": float(weight or 1)}
        for seed, _, weight in (part.partition(":") for part in mix.split(","))
    ]
    body: dict[str, Any] = {
        name: float(v) if name == "truncation" else v for name, v in change.items()
    }
    for same in (mix, portions, read_recipe(first.content)["mix"]):  # type: ignore[index]
        assert posted(client, mix=same, **body) == first.content
        output: dict[str, Any] = {
            name: body.pop(name) for name in ("scale", "resample") if name in body
        }
        packed = posted(client, recipes=[{"mix": same, **body}], format="zip", **output)
        assert zipped(packed, "0000.png") == first.content
        body |= output


@FEW
@given(z=vectors, change=changes)
def test_latent_is_one_file_by_every_road(
    client: TestClient, z: str, change: dict[str, Any]
) -> None:
    first = client.get("/generate.png", params={"z": z} | change)
    assert first.headers["Cache-Control"].startswith("public")
    assert "Image-Seed" not in first.headers
    assert "tiny-z.png" in first.headers["Content-Disposition"]
    body: dict[str, Any] = {
        name: float(v) if name == "truncation" else v for name, v in change.items()
    }
    read = read_recipe(first.content)["z"]  # type: ignore[index]
    assert (
        client.get("/generate.png", params={"z": text_of(read)} | change).content == first.content
    )
    for same in (read, [float(value) for value in z.split(",")]):
        packed = posted(client, z=[same], format="zip", **body)
        assert zipped(packed, "0000.png") == first.content


@pytest.mark.parametrize("path", ["/generate.webp?quality=30", "/generate.jpg?quality=30&scale=2"])
def test_content_location_names_the_quality_too(client: TestClient, path: str) -> None:
    first = client.get(path)
    assert client.get(first.headers["Content-Location"]).content == first.content


# Tags


@LAW
@given(change=changes, other=changes)
def test_tags_are_equal_exactly_where_recipes_are(
    client: TestClient, change: dict[str, Any], other: dict[str, Any]
) -> None:
    one, two = (client.get("/generate", params={"seed": 3} | each) for each in (change, other))
    same = read_recipe(one.content) == read_recipe(two.content)
    assert (one.headers["ETag"] == two.headers["ETag"]) is same
    assert (one.content == two.content) or not same


CHANGED: dict[str, dict[str, Any]] = {
    "/generate": {
        "seed": 2, "n": 2, "truncation": 0.5, "edit": "d0:0.5", "scale": 2, "format": "webp",
    },
    "/generate.webp": {"quality": 50, "seed": 2},
    "/generate.png": {"mix": "1:1,2:-1", "truncation": 0.5, "edit": "d0:0.5", "scale": 2},
    "/generate.avif": {"z": "0,0,0,0,0,0,0,1e-5", "truncation": 0.5, "edit": "d0:0.5"},
    "/interpolate": {
        "seeds": "1,3", "frames": 9, "mode": "slerp", "loop": "true", "ease": "in", "fps": 21,
        "truncation": 0.5, "edit": "d0:0.5", "scale": 2, "format": "apng", "quality": 9,
    },
    "/plane": {
        "seeds": "1,2,3,5", "columns": 4, "rows": 4, "x": 0.25, "y": 0.25, "size": 0.25,
        "mode": "slerp", "truncation": 0.5, "edit": "d0:0.5", "scale": 2, "format": "npy",
    },
}  # fmt: skip
START: dict[str, dict[str, Any]] = {
    "/generate": {"seed": 1},
    "/generate.webp": {"seed": 1},
    "/generate.png": {"mix": "1,2"},
    "/generate.avif": {"z": "1,-1,0.5,0,0,0,0,1"},
    "/interpolate": {"seeds": "1,2"},
    "/plane": {"seeds": "1,2,3,4", "size": 0.5},
}


@pytest.mark.parametrize("path", CHANGED)
def test_any_changed_parameter_is_another_tag_and_304_answers_get_and_head(
    client: TestClient, path: str
) -> None:
    changed = [START[path] | {name: value} for name, value in CHANGED[path].items()]
    tags = []
    for query in [START[path], *changed]:
        first = client.get(path, params=query)
        assert first.status_code == 200, first.text
        tags.append(first.headers["ETag"])
        for method in ("GET", "HEAD"):
            headers = {"If-None-Match": tags[-1]}
            again = client.request(method, path, params=query, headers=headers)
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == tags[-1]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize(
    "path",
    ["/generate?seed=1", "/generate.webp?seed=1&n=2", "/generate?mix=3:1,8:-1", "/models",
     "/generate?z=1,-1,0.5,0,0,0,0,1",
     "/interpolate?seeds=1,2", "/livez", "/plane?seeds=1,2,3,4", "/latents/3.json",
     "/interpolate.zip?seeds=1,2", "/nothing", "/generate?seed=-1",
     "/problems/not-found", "/openapi.json", "/"],
)  # fmt: skip
def test_head_is_get_without_the_body(client: TestClient, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert head.content == b""
    assert head.status_code == get.status_code
    for headers in (get.headers, head.headers):
        headers.pop("Server-Timing", None)
        headers.pop("X-Request-Id")
    assert dict(head.headers) == dict(get.headers)


@pytest.mark.parametrize("path", ["/generate", "/generate.png", "/models/tiny", "/plane", "/"])
def test_options_and_405_name_the_same_methods(client: TestClient, path: str) -> None:
    options, refused = client.options(path), client.delete(path)
    assert (options.status_code, refused.status_code) == (204, 405)
    assert options.headers["Allow"] == refused.headers["Allow"]
    for method in options.headers["Allow"].split(", "):
        assert client.request(method, path).status_code != 405


# Numbers


@LAW
@given(seed=st.integers(0, 2**53), n=st.integers(1, 4), scale=st.integers(1, 2))
def test_whole_number_may_have_a_point_in_json(
    client: TestClient, seed: int, n: int, scale: int
) -> None:
    plain = client.post("/generate", json={"seed": seed, "n": n, "scale": scale})
    pointed = client.post(
        "/generate", json={"seed": float(seed), "n": float(n), "scale": float(scale)}
    )
    assert pointed.content == plain.content
    assert pointed.headers["Content-Location"] == plain.headers["Content-Location"]


@LAW
@given(value=st.floats(0, 1))
def test_real_number_means_the_same_in_query_and_body(client: TestClient, value: float) -> None:
    get = client.get("/generate", params={"seed": 1, "truncation": str(value)})
    post = client.post("/generate", json={"seed": 1, "truncation": value})
    assert (get.status_code, get.content) == (200, post.content)


# Accept

OFFERS = (("png", "image/png"), ("webp", "image/webp"), ("npy", "application/x-npy"))
ranges = st.sampled_from(["image/png", "image/webp", "application/x-npy", "image/*", "*/*", "a/b"])
weights = st.integers(0, 1000)


@LAW
@given(accept=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
@example(accept="image/png;q=nan")
@example(accept=";;;,,,q=")
@example(accept="*/*;q=1e9")
def test_any_accept_is_answered(client: TestClient, accept: str) -> None:
    for path in ("/generate?seed=1", "/interpolate?seeds=1,2&frames=2"):
        answer = client.get(path, headers={"Accept": accept})
        assert answer.status_code in (200, 406)


@pytest.mark.parametrize("query", ["seed=1", "seed=1&n=1"])
def test_accept_in_two_lines_is_one_list(client: TestClient, query: str) -> None:
    lines = [("Accept", "image/png;q=0.5"), ("Accept", "image/webp")]
    for each in (lines, lines[::-1]):
        answer = client.get(f"/generate?{query}", headers=each)
        assert answer.headers["Content-Type"] == "image/webp"


@settings(LAW, max_examples=300)
@given(entries=st.dictionaries(ranges, weights, min_size=1))
def test_accept_is_weighed_as_the_standard_says(entries: dict[str, int]) -> None:
    accept = ", ".join(f"{name}; q={weight / 1000:.3f}" for name, weight in entries.items())

    def weight(media_type: str) -> int:
        family = media_type.split("/")[0] + "/*"
        return next((entries[r] for r in (media_type, family, "*/*") if r in entries), 0)

    meant = max(OFFERS, key=lambda offer: weight(offer[1]))
    if weight(meant[1]) == 0:
        with pytest.raises(NotAcceptable):
            best(OFFERS, accept)
    else:
        assert best(OFFERS, accept) == meant[0]
