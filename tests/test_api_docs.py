"""docs/api.md against the running application: what it says is so."""

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.main import create_app
from app.settings import Settings
from tests.conftest import with_untrained_upscaler

DOCS = Path(__file__).parent.parent / "docs"
API = (DOCS / "api.md").read_text()
DOCUMENT = create_app(Settings(generator="nowhere")).openapi()


class Row(NamedTuple):
    """Holds a row of a table of parameters."""

    name: str
    place: str
    type: str
    bounds: str
    default: str
    meaning: str


class Endpoint(NamedTuple):
    """A section of docs/api.md."""

    method: str
    path: str
    rows: list[Row]
    answers: dict[str, str]


def table(text: str, head: str) -> list[list[str]]:
    """Returns the cells of the table with that head."""
    found = re.search(rf"^{re.escape(head)}\n\| ---.*\n((?:\|.*\n?)*)", text, re.MULTILINE)
    lines = found[1].splitlines() if found else []
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def read_endpoints() -> list[Endpoint]:
    found: dict[tuple[str, str], Endpoint] = {}
    for section in re.split(r"^### ", API, flags=re.MULTILINE)[1:]:
        method, path = section.splitlines()[0].split()
        head = "| name | in | type | bounds | default | meaning |"
        rows = [Row(*line)._replace(name=line[0].strip(" `")) for line in table(section, head)]
        if other := re.search(r"those of `GET (\S+)`", section):
            rows += found["GET", other[1]].rows
        answers = {
            status: content
            for statuses, content in table(section.split("\n## ")[0], "| status | type |")
            for status in statuses.strip("| ").split(", ")
        }
        found[method, path] = Endpoint(method, path, rows, answers)
    return list(found.values())


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        kind, name = part["$ref"].split("/")[-2:]
        part = DOCUMENT["components"][kind][name]
    return part


def operation(endpoint: Endpoint) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]
    return found


ENDPOINTS = read_endpoints()
each_endpoint = pytest.mark.parametrize(
    "endpoint", ENDPOINTS, ids=[f"{one.method} {one.path}" for one in ENDPOINTS]
)


@pytest.fixture(scope="module")
def client(
    generator_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """Yields a service whose generator has an upscaler."""
    folder = with_untrained_upscaler(generator_folder, tmp_path_factory.mktemp("upscaled") / "tiny")
    settings = Settings(
        generator=str(folder), device="cpu", max_batch=16, max_wait=600, classifiers=("mnist",)
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def test_documents_name_the_same_endpoints() -> None:
    described = {(m.upper(), p) for p, methods in DOCUMENT["paths"].items() for m in methods}
    assert {(one.method, one.path) for one in ENDPOINTS} == described


@each_endpoint
def test_documents_name_the_same_parameters(endpoint: Endpoint) -> None:
    one = operation(endpoint)
    described = {(p["name"], p["in"]) for p in map(resolved, one["parameters"])}
    if "requestBody" in one:
        body = resolved(one["requestBody"]["content"]["application/json"]["schema"])
        described |= {(name, "body") for name in body["properties"]}
    assert {(row.name, row.place) for row in endpoint.rows} == described


@each_endpoint
def test_documents_name_the_same_answers(endpoint: Endpoint) -> None:
    responses = operation(endpoint)["responses"]
    assert endpoint.answers == {
        status: ", ".join(resolved(response).get("content", {})) or "no body"
        for status, response in responses.items()
    }


# Bounds and defaults, tried

FILE = io.BytesIO()
Image.new("L", (28, 28)).save(FILE, "png")
PICTURE = base64.b64encode(FILE.getvalue()).decode()

START: dict[str, dict[str, Any]] = {  # a small request to change one parameter of
    "/generate": {"seed": 1},
    "/classify": {"seed": 1, "classifier": "mnist"},
    "/interpolate": {"seeds": "1,2", "frames": 2},
    "/plane": {"seeds": "1,2,3,4", "columns": 1, "rows": 1},
    "/v1/images/generations": {"prompt": "ada"},
}
COMPANY: dict[tuple[str, str], dict[str, Any]] = {  # what else a parameter needs to be itself
    ("/generate", "columns"): {"n": 256},
    ("/generate", "quality"): {"format": "webp"},
    ("/generate", "seeds"): {"format": "npy"},
    ("/interpolate", "seeds"): {"frames": 32},
    ("/interpolate", "recipes"): {"frames": 32},
    ("/interpolate", "quality"): {"format": "webp"},
    ("/plane", "quality"): {"format": "webp"},
    ("/v1/images/generations", "output_compression"): {"output_format": "webp"},
    ("/plane", "x"): {"size": 0},
    ("/plane", "y"): {"size": 0},
}
LEFT_OUT = object()
UPLOAD = {"inputs": PICTURE}  # in JSON; all else that POST /classify takes is in the query
PATHS = {
    "/models/{model}/directions/{direction}.{extension}": "/models/tiny/directions/d0.webp",
    "/models/{model}/directions": "/models/tiny/directions",
    "/models/{model}": "/models/tiny",
    "/latents/{seed}.{extension}": "/latents/7.json",
    "/problems/{kind}": "/problems/not-found",
}
BOUNDED = [
    pytest.param(one, row, id=f"{one.method} {one.path} {row.name}")
    for one in ENDPOINTS
    for row in one.rows
    if row.place in ("query", "body") and not one.path.endswith("e.{extension}")
]


def asked(client: TestClient, one: Endpoint, **changes: Any) -> Any:
    """Returns the answer to a small request with these parameters."""
    fields = {**START.get(one.path, {}), **changes}
    fields = {name: value for name, value in fields.items() if value is not LEFT_OUT}
    if one.path in ("/generate", "/classify") and {"mix", "seeds", "z", "recipes"} & changes.keys():
        del fields["seed"]
    if one.path == "/interpolate" and "recipes" in changes:
        del fields["seeds"]
    if one.method == "GET":
        given = {
            name: json.dumps(value) if isinstance(value, bool) else str(value)
            for name, value in fields.items()
        }
        return client.get(PATHS.get(one.path, one.path), params=given)
    if one.path == "/classify":
        given = {name: changes[name] for name in changes if changes[name] is not LEFT_OUT}
        body = {name: given.pop(name) for name in ("inputs", "parameters") if name in given}
        return client.post(one.path, json=UPLOAD | body, params=given)
    if one.path == "/interpolate" and isinstance(fields.get("seeds"), str):
        fields["seeds"] = [int(seed) for seed in fields["seeds"].split(",")]
    return client.post(one.path, json=fields)


def at_the_edge_and_beyond(one: Endpoint, row: Row) -> tuple[list[Any], list[Any]]:
    """Values that the bounds allow, and values one step beyond them."""
    span = re.match(r"(-?\d+) to (-?\d+)", row.bounds)
    low, high = (int(span[1]), int(span[2])) if span else (0, 0)
    match row.type:
        case "whole number":
            return [low, high], [low - 1, high + 1]
        case "number":
            return [low, high], [low - 0.001, high + 0.001]
        case "seed":
            return [low, high, "a", "a" * 256], [low - 1, high + 1, "", "a" * 257, "1.5"]
        case "word":
            return list(row.bounds.split(", ")), ["other"]
        case "flag":
            flags = [value for value in (True, False) if json.dumps(value) in row.bounds]
            return flags, [value for value in (True, False) if value not in flags] + ["yes", 1]
        case "mix":
            return ["1", ",".join(["3:-10"] * 32)], ["", ",".join(["1"] * 33), "1:10.1", "ada:1"]
        case "vector":
            text = [",".join([value] + ["0"] * 7) for value in ("-10", "10", "-10.1", "10.1")]
            return text[:2], [*text[2:], "", ",".join(["0"] * 9)]
        case "seeds with ranges":
            return [[1], "0-9999"], [[], "0-10000"]
        case "list" if row.name == "seeds":
            count = re.findall(r"\d+", row.bounds)
            low, high = int(count[0]), int(count[-1])
            texts = [",".join(["1"] * n) for n in (low, high, low - 1, high + 1)]
            return texts[:2], texts[2:]
        case "list":
            item = [0] * 8 if row.name == "z" else {"seed": 1}
            return [[item] * low, [item] * min(high, 32)], [[item] * (low - 1), [item] * (high + 1)]
    match row.name:
        case "inputs":
            return [PICTURE], ["", "!", PICTURE[:40], 5]
        case "parameters":
            allowed = [{}, {"top_k": 1}, {"top_k": 1000, "classifier": "mnist"}]
            return allowed, [{"top_k": 0}, {"top_k": 1001}, {"seed": 1}, 5]
        case "classifier":
            return ["mnist"], ["nobody", "../mnist"]
        case "model":
            return ["tiny"], ["nobody", "../tiny"]
        case "edit":
            return ["d0:0.8,d7:-0.8"], ["", "d0:101", "d0:-100.5", "d0:1,d0:1"]
        case "size":
            return ["auto", "28x28", "448x448"], ["", "27x28", "28x56", "476x476", "small"]
        case "user":
            return ["", "a" * 1000], [1, ["a"]]
        case _:  # class: this generator has none
            return [], ["a", "a" * 65]


@pytest.mark.parametrize(("one", "row"), BOUNDED)
def test_bounds_are_allowed_and_one_step_beyond_is_refused(
    client: TestClient, one: Endpoint, row: Row
) -> None:
    company = COMPANY.get((one.path, row.name), {})
    allowed, refused = at_the_edge_and_beyond(one, row)
    for value in allowed:
        answer = asked(client, one, **company | {row.name: value})
        assert answer.status_code in (200, 501), (value, answer.text)
    for value in refused:
        answer = asked(client, one, **company | {row.name: value})
        assert answer.status_code == 422, value
        assert row.name in answer.json()["detail"] or "one of seed" in answer.json()["detail"]


@pytest.mark.parametrize(("one", "row"), BOUNDED)
def test_default_is_as_if_left_out(client: TestClient, one: Endpoint, row: Row) -> None:
    if row.default == "required":
        answer = client.request(one.method, one.path, params={}, json={} if one.rows else None)
        assert answer.status_code == 422
        assert f"{row.name}: Field required" in answer.json()["detail"]
    elif row.default:
        texts = row.type in ("word", "seed") and not row.default.isdigit()
        value = row.default if texts else json.loads(row.default)
        given = asked(client, one, **{row.name: value})
        plain = asked(client, one, **{row.name: LEFT_OUT})
        assert (given.status_code, undated(given)) == (200, undated(plain))
        assert given.headers.get("ETag") == plain.headers.get("ETag")


def undated(answer: Any) -> bytes:
    """Returns the content without the second in which it was made."""
    content: bytes = re.sub(rb'"created": \d+', b"", answer.content)
    return content


# Examples


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", blocks(API, "http"), ids=lambda text: text.splitlines()[1])
def test_example_is_answered_as_it_says(client: TestClient, example: str) -> None:
    wanted, request, *rest = example.splitlines()
    status, _, media_type = wanted.partition(" ")
    method, path = request.split()
    body = "\n".join(rest) if method == "POST" else None
    headers = dict(line.split(": ", 1) for line in rest if body is None)
    if body is not None:
        headers["Content-Type"] = "application/json"
    answer = client.request(method, path, headers=headers, content=body)
    assert answer.status_code == int(status), answer.text
    assert answer.headers.get("Content-Type", "").partition(";")[0] == media_type
