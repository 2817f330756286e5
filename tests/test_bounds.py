"""Bounds that the operator sets: each is tried at its edge and one step beyond, lowered and raised,
and stands in /openapi.json.
"""

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx2 as httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.parameters.limits import Bounds
from app.settings import Settings
from tests.services import problem_of

Host = Callable[..., TestClient]
WIDE = {"max_pictures": 4096, "max_frames": 4096, "max_side": 256}


class Case(NamedTuple):
    """A request for so many of something, and the refusal of one too many."""

    setting: str
    values: list[int]
    ask: Callable[[int], Any]  # a path, or the body of a POST to /generate
    refusal: str


def ones(count: int) -> str:
    return ",".join(["1"] * count)


def edits(count: int) -> str:
    return ",".join(f"d{number}:0.5" for number in range(count))


CASES = {
    "n": Case(
        "max_pictures",
        [1, 9, 290],
        lambda n: f"/generate?seed=1&n={n}",
        "n: a whole number from 1 to {} is wanted",
    ),
    "columns": Case(
        "max_pictures",
        [9, 290],
        lambda n: {"seeds": f"1-{n}", "columns": n},
        "columns: a whole number from 1 to {} is wanted",
    ),
    "sheet-of-seeds": Case(
        "max_pictures", [9, 290], lambda n: {"seeds": f"1-{n}"}, "allowed: up to {};"
    ),
    "plane": Case(
        "max_pictures",
        [9, 64],
        lambda n: f"/plane?seeds=1,2,3,4&columns=1&rows={n}",
        "columns times rows: {} at most is wanted",
    ),
    "frames": Case(
        "max_frames",
        [2, 9, 290],
        lambda n: f"/interpolate.npy?seeds=1,2&frames={n}",
        "frames: a whole number from 2 to {} is wanted",
    ),
    "side": Case(
        "max_side",
        [7, 70],
        lambda n: f"/plane?seeds=1,2,3,4&columns={n}&rows=1",
        "columns: a whole number from 1 to {} is wanted",
    ),
    "steps": Case(
        "max_side",
        [7, 70],
        lambda n: f"/models/tiny/directions/d0.png?steps={n}",
        "steps: a whole number from 2 to {} is wanted",
    ),
    "way": Case(
        "max_keys",
        [2, 5, 40],
        lambda n: f"/interpolate.npy?seeds={ones(n)}&frames={n}",
        "seeds: 2 to {} entries are wanted",
    ),
    "mix": Case(
        "max_keys",
        [2, 40],
        lambda n: {"recipes": [{"mix": [{"seed": 1, "weight": 0.1}] * n}]},
        "mix: 1 to {} entries are wanted",
    ),
    "mix-of-a-query": Case(
        "max_keys",
        [2, 40],
        lambda n: f"/generate?mix={ones(n)}",
        "mix: 1 to {} seeds with weights",
    ),
    "edit": Case(
        "max_edits",
        [1, 3],
        lambda n: f"/generate?seed=1&edit={edits(n)}",
        "edit: up to {} edits such as",
    ),
    "text": Case(
        "max_text",
        [1, 4, 300],
        lambda n: f"/generate?seed={'a' * n}",
        "or a text of 1 to {} characters",
    ),
    "seeds": Case(
        "max_bulk",
        [1, 70, 10_001],
        lambda n: {"seeds": f"1-{n}", "format": "npy"},
        "seeds: 1 to {} seeds are wanted",
    ),
    "list": Case(
        "max_bulk",
        [1, 70],
        lambda n: {"seeds": [1] * n, "format": "zip"},
        "seeds: 1 to {} seeds are wanted",
    ),
    "z": Case(
        "max_bulk",
        [1, 70],
        lambda n: {"z": [[0] * 8] * n, "format": "npy"},
        "z: 1 to {} entries are wanted",
    ),
    "recipes": Case(
        "max_bulk",
        [1, 70],
        lambda n: {"recipes": [{"seed": 1}] * n, "format": "npy"},
        "recipes: 1 to {} entries are wanted",
    ),
}  # fmt: skip
TRIED = [
    pytest.param(case, value, id=f"{name}-{value}")
    for name, case in CASES.items()
    for value in case.values
]


@pytest.fixture
def host(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Returns the running application with these bounds; others do not stand in their way."""

    def build(**settings: int) -> TestClient:
        bounds = Bounds.of(Settings(**{**WIDE, **settings}))  # type: ignore[arg-type]
        monkeypatch.setattr(client.app.state, "bounds", bounds)  # type: ignore[attr-defined]
        return client

    return build


def asked(client: TestClient, wanted: Any) -> Any:
    if isinstance(wanted, str):
        return client.get(wanted)
    return client.post("/generate", json=wanted)


@pytest.mark.parametrize(("case", "value"), TRIED)
def test_bound_is_allowed_and_one_step_beyond_is_refused(
    host: Host, case: Case, value: int
) -> None:
    client = host(**{case.setting: value})
    allowed = asked(client, case.ask(value))
    assert allowed.status_code == 200, allowed.text
    problem = problem_of(asked(client, case.ask(value + 1)), 422)
    assert case.refusal.format(value) in problem["detail"]


def test_way_has_no_more_frames_than_there_may_be(host: Host) -> None:
    client = host(max_frames=9)
    frames = np.load(io.BytesIO(client.get("/interpolate.npy?seeds=1,2,3").content))
    assert len(frames) == 9
    # each seed is a frame, so there may be as many seeds
    assert client.get(f"/interpolate.npy?seeds={ones(9)}").status_code == 200
    problem = problem_of(client.get(f"/interpolate.npy?seeds={ones(10)}"), 422)
    assert "seeds: 2 to 9 entries are wanted" in problem["detail"]


@pytest.mark.parametrize("name", ["seeds", "z", "recipes"])
def test_list_that_is_too_long_is_refused_before_its_entries_are_looked_at(
    host: Host, name: str
) -> None:
    answer = host().post("/generate", json={name: [{}] * 50_000, "format": "zip"})
    problem = problem_of(answer, 422)
    assert len(problem["errors"]) == 1
    assert "1 to 10000" in problem["detail"]


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_number_is_no_text_whichever_way_it_goes(host: Host, seed: int) -> None:
    client = host(max_text=1)
    short, slow = (client.get(f"/generate?seed={seed}{more}") for more in ("", "&n=1"))
    assert (short.status_code, slow.status_code) == (200, 200)
    assert short.content == slow.content


def test_card_says_what_this_host_allows(host: Host) -> None:
    client = host(max_pictures=9, max_bulk=70, max_frames=5, max_keys=8, max_side=8, max_edits=2)
    card = client.get("/models/tiny").json()
    allowed = {"pictures": 9, "pictures_of_a_post": 70, "frames": 5, "seeds_of_a_path": 5}
    allowed |= {"side": 8, "edits": 2}
    assert allowed.items() <= card["ranges"].items()
    for url in card["samples"]:
        assert client.get(url).status_code == 200


def test_two_applications_of_one_process_have_bounds_of_their_own(client: TestClient) -> None:
    def built(count: int) -> httpx.AsyncClient:
        app = create_app(Settings(generator="nowhere", max_pictures=count))
        app.state.generators = client.app.state.generators  # type: ignore[attr-defined]
        transport = httpx.ASGITransport(app=app)
        return httpx.AsyncClient(transport=transport, base_url="http://test")

    async def details() -> list[str]:
        async with built(10) as few, built(30) as many:
            body = {"seed": 1, "n": 20, "format": "png", "quality": 5}
            asked = [http.post("/generate", json=body) for _ in range(5) for http in (few, many)]
            return [answer.json()["detail"] for answer in await asyncio.gather(*asked)]

    refused = "body.n: a whole number from 1 to 10 is wanted"
    passed = "quality: png has none; webp, avif and jpeg have"  # it has come further
    assert asyncio.run(details()) == [refused, passed] * 5


# --- the description ---


def described(**settings: int) -> dict[str, Any]:
    document = create_app(Settings(generator="nowhere", **settings)).openapi()  # type: ignore[arg-type]
    found: dict[str, Any] = document
    return found


BOUNDS = {
    "max_pictures": 31, "max_frames": 37, "max_keys": 11, "max_side": 13, "max_edits": 5,
    "max_text": 41, "max_bulk": 43, "max_body_kib": 47, "max_pixels": 53_000,
}  # fmt: skip
STATED = [
    ("/generate", "n", "maximum", 31),
    ("/generate", "columns", "maximum", 31),
    ("/generate", "seed", "maxLength", 41),
    ("/generate", "edit", "maxLength", 5 * 15 - 1),
    ("/generate.{extension}", "n", "maximum", 31),
    ("/interpolate", "frames", "maximum", 37),
    ("/interpolate", "seeds", "maxItems", 11),
    ("/plane", "columns", "maximum", 13),
    ("/plane", "rows", "maximum", 13),
    ("/models/{model}/directions/{direction}.{extension}", "steps", "maximum", 13),
]
STATED_OF_BODIES = [
    ("GenerateBody", "n", "maximum", 31),
    ("GenerateBody", "columns", "maximum", 31),
    ("GenerateBody", "z", "maxItems", 43),
    ("GenerateBody", "recipes", "maxItems", 43),
    ("GenerateBody", "seeds", "maxItems", 43),
    ("GenerateBody", "seeds", "maxLength", 47 * 1024),
    ("GenerateBody", "seed", "maxLength", 41),
    ("Recipe", "mix", "maxItems", 11),
    ("InterpolateBody", "seeds", "maxItems", 11),
    ("InterpolateBody", "recipes", "maxItems", 11),
    ("InterpolateBody", "frames", "maximum", 37),
]


def values(schema: Any, keyword: str) -> list[int]:
    """Lists the values of a keyword, at whatever depth."""
    if isinstance(schema, list):
        return [found for part in schema for found in values(part, keyword)]
    if not isinstance(schema, dict):
        return []
    deeper = [found for part in schema.values() for found in values(part, keyword)]
    return [*([schema[keyword]] if keyword in schema else []), *deeper]


def test_description_states_the_bounds_of_its_own_host() -> None:
    here, elsewhere = described(**BOUNDS), described()
    for path, name, keyword, value in STATED:
        for document, states in ((here, True), (elsewhere, False)):
            parameters = document["paths"][path]["get"]["parameters"]
            (schema,) = [one["schema"] for one in parameters if one.get("name") == name]
            assert (value in values(schema, keyword)) is states, (path, name)
    for model, name, keyword, value in STATED_OF_BODIES:
        for document, states in ((here, True), (elsewhere, False)):
            schema = document["components"]["schemas"][model]["properties"][name]
            assert (value in values(schema, keyword)) is states, (model, name)
    assert "48,128 bytes" in here["info"]["description"]
    assert "53,000 pixels" in here["info"]["description"]


def test_no_bound_is_stated_that_the_settings_do_not_give() -> None:
    """Lowered bounds leave none of the defaults behind."""
    text = json.dumps(described(**BOUNDS))
    for default in (10_000, 2**20, 64 * 15 - 1):
        assert f": {default}" not in text
    assert '"maxLength": 256' not in text
    assert '"maximum": 256' not in text
    assert '"maxItems": 32' not in text
