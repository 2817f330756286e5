"""OpenTelemetry: each request a span, a child of the one that its `traceparent` names, sent in the
background to where the OTEL_* variables say. Imported only where traces are on: the library comes
with the extra `otel`.
"""

import time
from collections.abc import Callable

from app.monitoring.request_context import TIMES, Facts
from app.settings import SettingsError
from ganserve import __version__
from model.mistakes import install

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
    from opentelemetry.trace import SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:
    HAS_OTEL = False
else:
    HAS_OTEL = True


Trace = Callable[[str, str, int, Facts, float], None]


def tracer(exporter: "SpanExporter | None" = None) -> tuple[Trace, Callable[[], object]]:
    """Returns what is called with each request's method, route, status, facts and seconds; and what
    sends all spans that still wait.

    Raises:
        SettingsError: the extra is not installed.
    """
    if not HAS_OTEL:
        reason = f"needs the extra 'otel': {install('otel')}"
        raise SettingsError([f"setting GAN_TRACES: {reason}"])
    own = Resource.create({"service.name": "ganserve", "service.version": __version__})
    provider = TracerProvider(resource=own)
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    spans = provider.get_tracer("ganserve")
    parents = TraceContextTextMapPropagator()

    def trace(method: str, route: str, status: int, facts: Facts, seconds: float) -> None:
        end = time.time_ns()
        span = spans.start_span(
            f"{method} {route}",
            parents.extract({"traceparent": facts.traceparent}),
            SpanKind.SERVER,
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "ganserve.request_id": facts.id,
                **{f"ganserve.{name}_seconds": getattr(facts, name) for name in TIMES},
                **({"error.type": facts.reason} if facts.reason else {}),
            },
            start_time=end - round(seconds * 1e9),
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    return trace, provider.force_flush
