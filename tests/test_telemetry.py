"""What the operator is told: metrics, logs, traces; and what nobody is told."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, ValidationError

from app.access.keys import key_hash
from app.access.signing import SignedUrls
from app.engine.histogram import Tally
from app.main import create_app
from app.monitoring import logs, tracing
from app.settings import Settings, SettingsError
from model.mistakes import install
from tests.services import problem_of

ROOT = Path(__file__).parent.parent
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


def samples(client: TestClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


class Difference:
    """Series now, less what they were."""

    def __init__(self, client: TestClient) -> None:
        self._client, self._before = client, samples(client)

    def of(self, name: str, **labels: str) -> float:
        now = samples(self._client)
        keys = [
            key for key in now if key[0] == f"ganserve_{name}" and labels.items() <= set(key[1])
        ]
        return sum(now[key] - self._before.get(key, 0.0) for key in keys)


def test_requests_are_counted_by_route_and_status(client: TestClient) -> None:
    since = Difference(client)
    client.get("/generate?seed=5550001")
    client.get("/generate?seed=5550001&n=4")
    client.get("/generate?seed=-1")
    client.get("/nothing/at/all")
    client.options("/generate")
    assert since.of("requests_total", route="/generate", status="200") == 2
    assert since.of("requests_total", route="/generate", status="422") == 1
    assert since.of("requests_total", route="unknown", status="404") == 1
    assert since.of("requests_total", route="preflight") == 1
    assert since.of("request_seconds_count", route="/generate") == 3
    assert 0 < since.of("request_seconds_sum", route="/generate") < 60
    assert since.of("request_seconds_bucket", route="/generate", le="+Inf") == 3
    assert since.of("refused_total", reason="invalid-request") == 1
    assert since.of("refused_total", reason="not-found") == 1


def test_pictures_and_batches_are_counted_by_generator(client: TestClient) -> None:
    since = Difference(client)
    client.get("/generate?seed=5560001")
    client.get("/generate?seed=5560001")
    client.get("/generate?seed=5560001&n=4")
    assert since.of("pictures_total") == 5
    batches = since.of("batches_total")
    assert since.of("generate_seconds_count") == since.of("encode_seconds_count") == batches
    assert since.of("batch_pictures_sum") == 5
    assert since.of("queue_seconds_count") == 2
    assert since.of("cache_hits_total") == 1
    now = samples(client)
    (pending,) = [value for (name, _), value in now.items() if name == "ganserve_pictures_pending"]
    assert pending == 0
    assert now["ganserve_ready", frozenset()] == 1
    assert now["ganserve_requests_in_flight", frozenset()] == 1  # this one


def test_document_names_every_series(client: TestClient) -> None:
    document = (ROOT / "docs" / "api.md").read_text()
    named = set(re.findall(r"`(ganserve_\w+)`", document))
    assert "ganserve_device_memory_bytes" in named  # where there is a GPU
    text = client.get("/metrics").text
    families = {family.name for family in text_string_to_metric_families(text)}
    ours = {name for name in families if name.startswith("ganserve_")}
    assert ours | {"ganserve_device_memory_bytes"} == {n.removesuffix("_total") for n in named}


def test_tally_has_each_value_in_the_first_bucket_that_holds_it() -> None:
    tally = Tally((1, 2, 4))
    for value in (0.5, 1, 1.5, 4, 5):
        tally.add(value)
    assert tally.buckets() == [("1.0", 2), ("2.0", 3), ("4.0", 4), ("+Inf", 5)]
    assert tally.total == 12


# --- ids ---


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        pytest.param({"X-Request-Id": "abc-1.2:3"}, "abc-1.2:3", id="own"),
        pytest.param({"traceparent": TRACEPARENT}, TRACE, id="trace"),
        pytest.param({"X-Request-Id": "mine", "traceparent": TRACEPARENT}, "mine", id="both"),
        pytest.param({}, "[0-9a-f]{16}", id="none"),
        pytest.param({"X-Request-Id": "a b"}, "[0-9a-f]{16}", id="blank"),
        pytest.param({"X-Request-Id": "a" * 65}, "[0-9a-f]{16}", id="long"),
        pytest.param({"traceparent": TRACEPARENT.upper()}, "[0-9a-f]{16}", id="capitals"),
        pytest.param({"traceparent": f"ff-{TRACE}-{PARENT}-01"}, "[0-9a-f]{16}", id="version"),
        pytest.param({"traceparent": f"00-{'0' * 32}-{PARENT}-01"}, "[0-9a-f]{16}", id="zeros"),
    ],
)
@pytest.mark.parametrize("path", ["/generate?seed=1", "/generate?seed=1&n=2", "/generate?seed=-1"])
def test_every_answer_has_the_id_of_its_request(
    client: TestClient, path: str, headers: dict[str, str], wanted: str
) -> None:
    assert re.fullmatch(wanted, client.get(path, headers=headers).headers["X-Request-Id"])


# --- logs ---


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yields the lines of the service's log since the last call."""
    root = logging.getLogger()
    for client in ("httpx", "httpx2"):  # the test's own
        monkeypatch.setattr(logging.getLogger(client), "disabled", True)
    before = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err.splitlines()
    root.handlers[:], root.level = before


def test_answer_is_one_line_of_json_with_its_id_and_times(
    generator_folder: Path, lines: Any
) -> None:
    settings = Settings(generator=str(generator_folder), device="cpu", access_log=True)
    with TestClient(create_app(settings)) as client:
        logs.configure("json")
        client.get("/generate?seed=3", headers={"traceparent": TRACEPARENT})
        client.get("/generate?seed=-3", headers={"X-Request-Id": "mine"})
        found = [json.loads(line) for line in lines()]
    answered, refused = [line for line in found if line["logger"] == "ganserve"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", answered.pop("time"))
    for name in ("seconds", "queue", "generate", "encode"):
        assert 0 < answered.pop(name) < 60
    assert answered.pop("process") > 0
    assert re.fullmatch(r"GET /generate 200 in .* ms", answered.pop("message"))
    assert answered == {
        "level": "info",
        "logger": "ganserve",
        "method": "GET",
        "path": "/generate",
        "status": 200,
        "request_id": TRACE,
        "trace_id": TRACE,
        "parent_id": PARENT,
    }
    assert (refused["status"], refused["reason"]) == (422, "invalid-request")
    assert refused["request_id"] == "mine"


@pytest.mark.parametrize("format", ["text", "json"])
def test_what_a_client_sends_cannot_begin_a_line(
    generator_folder: Path, lines: Any, format: logs.LogFormat
) -> None:
    settings = Settings(generator=str(generator_folder), device="cpu", access_log=True)
    with TestClient(create_app(settings)) as client:
        logs.configure(format)
        client.get("/a%0aERROR:%20forged%e2%80%a8%0d%1b[2J?seed=1%0ab")
        found = [line for line in lines() if "forged" in line]
    assert len(found) == 1
    assert found[0].isprintable()
    assert not found[0].startswith("ERROR")


def test_keys_signatures_and_queries_are_never_logged(generator_folder: Path, lines: Any) -> None:
    key, admin, secret = "gan_verysecretkey", "gan_adminsecretkey", "s" * 40
    settings = Settings(
        generator=str(generator_folder),
        device="cpu",
        access_log=True,
        api_key_hashes=(key_hash(key),),
        admin_key_hashes=(key_hash(admin),),
        url_secrets=(secret,),
    )
    url = SignedUrls([secret]).sign("/generate?seed=271828", 60)
    signature = url.rpartition("=")[2]
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        logs.configure("text")
        logging.getLogger().setLevel(logging.DEBUG)
        bearer = {"Authorization": f"Bearer {key}"}
        assert client.get("/generate?seed=271828", headers=bearer).status_code == 200
        assert client.get(url).status_code == 200
        assert client.get(url.replace("seed=2", "seed=3")).status_code == 403
        assert client.get("/x", headers={"Authorization": "Bearer gan_wrongkey"}).status_code == 401
        opened = client.post("/admin/reload", headers={"Authorization": f"Bearer {admin}"})
        assert opened.status_code == 200
        app.state.generation.batcher._run = None  # a failure, whose traceback is logged
        assert client.get("/generate?seed=1", headers=bearer).status_code == 500
        text = "\n".join(lines())
    assert "Traceback" in text
    assert "GET /generate 200" in text
    for hidden in (key, admin, secret, signature, "gan_wrongkey", "271828", key_hash(key)):
        assert hidden not in text
    assert secret not in repr(settings)


WHO = "somebody@mail.example"  # by name: a traceback shows lines of the source


class Body(BaseModel):
    seed: int


def _read() -> None:
    Body.model_validate({"seed": WHO})


def _read_by_the_framework() -> None:
    body = {"email": WHO}
    raise RequestValidationError([{"loc": ("body",), "msg": "no", "input": body}], body=body)


def _fail_while_refusing() -> None:
    try:
        _read()
    except ValidationError:
        _read_by_the_framework()


def _fail_because_of_it() -> None:
    try:
        _read()
    except ValidationError as error:
        raise RuntimeError("the cause is below") from error


def _fail_in_a_group() -> None:
    try:
        _fail_because_of_it()
    except RuntimeError as error:
        raise ExceptionGroup("two", [ValueError("one"), error]) from None


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize(
    "fail",
    [_read, _read_by_the_framework, _fail_while_refusing, _fail_because_of_it, _fail_in_a_group],
)
def test_what_could_not_be_read_is_never_logged(
    lines: Any, fail: Callable[[], None], format: logs.LogFormat
) -> None:
    logs.configure(format)
    try:
        fail()
    except Exception:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    text = "\n".join(lines())
    assert "Traceback" in text
    assert "its input is not logged" in text
    assert fail.__name__ in text
    assert WHO not in text


def test_failure_is_logged_with_the_id_that_its_client_has(
    client: TestClient, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure("json")
    monkeypatch.setattr(client.app.state.generation.batcher, "_run", None)  # type: ignore[attr-defined]
    answer = client.get("/generate?seed=76543210")
    problem_of(answer, 500)
    (line,) = [json.loads(line) for line in lines() if "failed" in line]
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert line["level"] == "error"
    assert "TypeError" in line["exception"]


# --- traces ---


class Kept(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


def test_each_request_is_a_span_of_its_trace(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept()
    tracer, flush = tracing.tracer(kept)
    monkeypatch.setattr(client.app, "span", tracer)
    client.get("/generate?seed=998877", headers={"traceparent": TRACEPARENT})
    client.get("/generate?seed=-1")
    flush()
    good, bad = kept.spans
    assert good.name == "GET /generate"
    assert f"{good.get_span_context().trace_id:032x}" == TRACE
    assert good.parent is not None
    assert f"{good.parent.span_id:016x}" == PARENT
    facts = dict(good.attributes or {})
    assert facts["http.response.status_code"] == 200
    assert facts["ganserve.request_id"] == TRACE
    assert 0 < float(str(facts["ganserve.generate_seconds"])) < 60
    assert good.start_time is not None
    assert good.end_time is not None
    assert 0 < good.end_time - good.start_time < 60e9
    assert bad.parent is None
    assert dict(bad.attributes or {})["error.type"] == "invalid-request"


def test_traces_without_the_extra_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "HAS_OTEL", False)
    with pytest.raises(SettingsError, match=re.escape(install("otel"))):
        create_app(Settings(traces=True))
