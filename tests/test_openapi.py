"""The service against its own description: no answer that /openapi.json does not know of.

`GAN_CASES=20000 python -m pytest tests/test_openapi.py` is the long run; the suite has a short one,
always the same.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import hypothesis
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.core.transport import Response
from schemathesis.specs.openapi import checks

from app.main import create_app
from app.settings import Settings
from tests.conftest import with_untrained_upscaler, write_untrained_classifier

CASES = int(os.environ.get("GAN_CASES", 0))
MODEL = "tiny@HASH"
# none is the default; large pictures are refused, so that many cases are tried
BOUNDS: dict[str, Any] = {
    "max_pixels": 2**17,
    "max_pictures": 100,
    "max_bulk": 500,
    "max_frames": 50,
    "max_keys": 8,
    "max_side": 12,
    "max_edits": 4,
    "max_text": 40,
    "max_body_kib": 500,
}
DOCUMENT = create_app(Settings(generator="nowhere", **BOUNDS)).openapi()
OPERATIONS = [(p, m) for p, methods in DOCUMENT["paths"].items() for m in methods]
BUDGET = settings(
    max_examples=max(10, CASES // (2 * len(OPERATIONS))),
    derandomize=not CASES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
)
# Off are the checks of logins (the host is open here), of resources that come and go (nothing is
# stored), of headers that must be there (none must), of failures (a 5xx is
# asserted against below), positive_data_acceptance (see STATED) and negative_data_rejection (see
# test_what_the_description_forbids_is_refused).
load_all_checks()
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
    checks.allow_header_conformance,
]
# What JSON Schema cannot say: one parameter against another, against the generator that is loaded,
# or against what the host allows. Any other refusal of what is described is a fault.
STATED = re.compile(
    r"seed \+ n: |columns: a whole number|columns times rows|x \+ size and y \+ size"
    r"|frames: a whole number|one of seed|quality|format: the extension says another"
    r"|generator tiny has no classes|pixels in one answer"
    r"|pixels are too many|pictures on one sheet|generator tiny wants 8|body\.seeds: "
    r"|^size: not of this generator; allowed: auto, |prompt \+ n: "
    r"|scale: the upscaler of tiny has 2 and 4|does not say which upscaler"
    r"|A permanent path names the generator's hash|^seed: a whole number from 0"
    r"|mix\.\d+\.seed: a whole"
    r"|^body: |^inputs: a picture file|one of them is enough|^a body of JSON wants the header"
)
seen: Counter[int] = Counter()


def of_this_host(schema: Any) -> Any:
    """Returns the description with what this host's generator has in place of what any may have, so
    that most of what is tried is drawn.
    """
    if isinstance(schema, list):
        return [of_this_host(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: of_this_host(part) for name, part in schema.items() if name != "class"}
    for parameter in found.get("parameters", ()):
        if isinstance(parameter, dict) and parameter.get("name") == "model":
            parameter["schema"] = {"type": "string", "enum": [MODEL]}
        if isinstance(parameter, dict) and parameter.get("name") == "direction":
            parameter["schema"] = {"type": "string", "pattern": "^d[0-7]$"}
    if isinstance(found.get("parameters"), list):
        found["parameters"] = [p for p in found["parameters"] if p.get("name") != "class"]
    if found.get("pattern", "").startswith("^d("):
        found["pattern"] = "^d[0-3]:0\\.[0-7](,d[4-7]:-0\\.[0-7])?$"
    if found.get("pattern", "").startswith("^[a-z0-9][a-z0-9_-]"):
        found["pattern"] = "^tiny$"
    if found.get("title") == "Z" or found.get("description", "").startswith("A latent vector"):
        found |= {"minItems": 8, "maxItems": 8} if found.get("type") == "array" else {}
    return found


@pytest.fixture(scope="module")
def service(generator_folder: Path, tmp_path_factory: Any) -> Iterator[TestClient]:
    folder = with_untrained_upscaler(generator_folder, tmp_path_factory.mktemp("models") / "tiny")
    classifier = tmp_path_factory.mktemp("classifiers") / "tiny"
    write_untrained_classifier(classifier)
    host = Settings(generator=str(folder), classifiers=(str(classifier),), device="cpu", **BOUNDS)
    with TestClient(create_app(host), raise_server_exceptions=False) as client:
        yield client
    print(f"{seen.total()} cases: {dict(sorted(seen.items()))}")


def answered(service: TestClient, case: Any) -> Response:
    """Returns the answer, held against the description."""
    wanted = case.as_transport_kwargs(base_url="http://testserver")
    for name in ("cookies", "verify"):
        wanted.pop(name, None)
    if isinstance(wanted.get("data"), str | bytes):
        wanted["content"] = wanted.pop("data")
    try:
        request = service.build_request(**wanted)
        request.read()  # a form is written as it is sent, and is looked at later
    except (AttributeError, httpx.InvalidURL):
        # no client sends a number as a file; this one no latent of 4,097 values in an address
        hypothesis.reject()
    answer = Response.from_any(service.send(request))
    seen[answer.status_code] += 1
    assert answer.status_code < 500, answer.content
    case.validate_response(answer, checks=CHECKS)
    method = case.operation.method.lower()
    if answer.request.method.lower() == method and answer.status_code != 405:
        responses = DOCUMENT["paths"][case.operation.path][method]["responses"]
        told = headers_of(responses[str(answer.status_code)])
        assert {name.lower() for name in answer.headers} <= told
    return answer


def headers_of(response: dict[str, Any]) -> set[str]:
    """Returns the headers of a described answer, in small letters."""
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return {name.lower() for name in response["headers"]} | {"content-type", "content-length"}


def operation(path: str, method: str, document: dict[str, Any] = DOCUMENT) -> Any:
    return schemathesis.openapi.from_dict(document)[path][method.upper()]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_the_description_allows_is_answered_as_it_says(
    service: TestClient, path: str, method: str
) -> None:
    model = service.get("/models").json()["default"]
    here = json.loads(json.dumps(of_this_host(DOCUMENT)).replace(MODEL, model))

    @BUDGET
    @given(case=operation(path, method, here).as_strategy(generation_mode=GenerationMode.POSITIVE))
    def law(case: Any) -> None:
        answer = answered(service, case)
        if answer.status_code >= 400:
            detail = answer.json()["detail"]
            assert STATED.search(detail), detail

    law()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_the_description_forbids_is_refused(
    service: TestClient, path: str, method: str
) -> None:
    one = operation(path, method)

    @BUDGET
    @given(case=one.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def law(case: Any) -> None:
        answer = answered(service, case)
        if answer.status_code != 413:  # a refusal too, of a body that is also too long
            case.validate_response(answer, checks=[checks.negative_data_rejection])

    try:
        law()
    except hypothesis.errors.Unsatisfiable:
        pytest.skip("there is nothing to forbid")


def test_links_lead_to_what_they_say(service: TestClient) -> None:
    class Visits(schemathesis.openapi.from_dict(DOCUMENT).as_state_machine()):  # type: ignore[misc]
        def call(self, case: Any, **_: Any) -> Response:
            return answered(service, case)

        def validate_response(self, *_: Any, **__: Any) -> None:
            """Validates nothing: it was, as it came."""

    run = settings(BUDGET, max_examples=max(5, CASES // 200), stateful_step_count=5)
    Visits.run(settings=run)
