"""What the service tells its operator: Prometheus metrics of this process.

Counted where a request ends; everything else is read off the batchers when somebody asks.
"""

from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app.generation import Generators

MEDIA_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class Telemetry:
    """One application's metrics."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "ganserve_requests",
            "Requests that were answered, by route and status.",
            ["route", "status"],
            registry=self._registry,
        )
        self._children: dict[tuple[str, int], Counter] = {}

    def count(self, route: str, status: int) -> None:
        """One more request has been answered. Routes are templates: there are few."""
        child = self._children.get((route, status))
        if child is None:
            child = self._children[route, status] = self._requests.labels(route, str(status))
        child.inc()

    def watch(self, generators: Generators) -> None:
        """Tells of these generators from now on."""
        self._registry.register(_Batchers(generators))

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)


class _Batchers(Collector):
    def __init__(self, generators: Generators) -> None:
        self._generators = generators

    def collect(self) -> Iterable[Metric]:
        """Called at each scrape."""
        pending = GaugeMetricFamily(
            "ganserve_pictures_pending", "Pictures accepted and not yet answered.", labels=["model"]
        )
        pictures = CounterMetricFamily(
            "ganserve_pictures", "Pictures that were generated.", labels=["model"]
        )
        batches = CounterMetricFamily(
            "ganserve_batches", "Batches on the device.", labels=["model"]
        )
        seconds = CounterMetricFamily(
            "ganserve_generate_seconds", "Seconds that the device was at work.", labels=["model"]
        )
        info = InfoMetricFamily("ganserve_model", "The generators that are served.")
        for one in self._generators.all:
            pending.add_metric([one.id], one.batcher.pending)
            pictures.add_metric([one.id], one.batcher.pictures)
            batches.add_metric([one.id], one.batcher.batches)
            seconds.add_metric([one.id], one.batcher.seconds)
            told = {"model": one.id, "sampler": one.sampler, "version": version("ganserve")}
            info.add_metric([], told)
        return [pending, pictures, batches, seconds, info]
