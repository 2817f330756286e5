"""What the service tells its operator: Prometheus metrics of this process.

Counted where a request or a batch ends; everything is formatted at each scrape.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app.engine.histogram import Tally
from app.engine.loaded_classifier import Classification
from app.engine.loaded_generator import Generation
from app.engine.memory import MemoryBudget
from app.server.readiness import Readiness
from app.server.reloading import Reloader
from ganserve import __version__

MEDIA_TYPE = "text/plain; version=1.0.0; charset=utf-8"

Loaded = Generation | Classification


@dataclass(frozen=True)
class Series:
    """The metrics of each batcher, by name: what one means, and where it is read."""

    label: str
    gauges: Mapping[str, tuple[str, Callable[[Any], float]]]
    counters: Mapping[str, tuple[str, Callable[[Any], float]]]
    histograms: Mapping[str, tuple[str, Callable[[Any], Tally]]]

    def of(self, loaded: Sequence[Loaded]) -> Iterator[Metric]:
        """Yields the metrics of these."""
        names = {one: one.full_id if isinstance(one, Generation) else one.id for one in loaded}
        for kind, metrics in (
            (GaugeMetricFamily, self.gauges),
            (CounterMetricFamily, self.counters),
        ):
            for name, (meaning, read) in metrics.items():
                family = kind(f"ganserve_{name}", meaning, labels=[self.label])
                for one in loaded:
                    family.add_metric([names[one]], read(one))
                yield family
        for name, (meaning, tally_of) in self.histograms.items():
            histogram = HistogramMetricFamily(f"ganserve_{name}", meaning, labels=[self.label])
            for one in loaded:
                tally = tally_of(one)
                histogram.add_metric([names[one]], tally.buckets(), tally.total)
            yield histogram


OF_GENERATORS = Series(
    "model",
    {
        "pictures_pending": ("Accepted and not yet answered.", lambda one: one.batcher.pending),
        "pictures_limit": ("That may be pending.", lambda one: one.batcher.max_queue),
    },
    {
        "pictures": ("Pictures that were generated.", lambda one: one.batcher.pictures),
        "upscaled": ("Of them, those that were upscaled.", lambda one: one.batcher.upscaled),
        "batches": ("Batches on the device.", lambda one: one.batcher.batches),
        "dropped": ("Pictures that nobody waited for any more.", lambda one: one.batcher.dropped),
        "cache_hits": ("Pictures that were there already.", lambda one: one.cache.hits),
    },
    {
        "queue_seconds": (
            "From acceptance to the first batch.",
            lambda one: one.batcher.queue_seconds,
        ),
        "generate_seconds": ("Of a batch on the device.", lambda one: one.batcher.generate_seconds),
        "upscale_seconds": (
            "Of a batch in the upscaler.",
            lambda one: one.batcher.upscale_seconds,
        ),
        "encode_seconds": ("Of a batch in the encoder.", lambda one: one.batcher.encode_seconds),
        "batch_pictures": ("Pictures in a batch.", lambda one: one.batcher.batch_pictures),
    },
)
OF_CLASSIFIERS = Series(
    "classifier",
    {
        "classify_pending": (
            "Pictures to classify, accepted and not yet answered.",
            lambda one: one.batcher.pending,
        ),
    },
    {"classified": ("Pictures that were classified.", lambda one: one.batcher.pictures)},
    {
        "classify_queue_seconds": (
            "From acceptance to the first batch of a classifier.",
            lambda one: one.batcher.queue_seconds,
        ),
        "classify_seconds": (
            "Of a batch in the classifier.",
            lambda one: one.batcher.generate_seconds,
        ),
    },
)


class Telemetry(Collector):
    """One application's metrics."""

    def __init__(self, readiness: Readiness, reloader: Reloader, memory: MemoryBudget) -> None:
        self._readiness, self._reloader, self._memory = readiness, reloader, memory
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(self)
        self._answers: dict[tuple[str, int], int] = {}
        self._seconds: dict[str, Tally] = {}
        self._refused: dict[str, int] = {}
        self.in_flight = 0

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts one more answered request. Routes are templates: there are few."""
        key = (route, status)
        self._answers[key] = self._answers.get(key, 0) + 1
        tally = self._seconds.get(route)
        if tally is None:
            tally = self._seconds[route] = Tally()
        tally.add(seconds)

    def refused(self, reason: str) -> None:
        """Counts one more refused request."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    def text(self) -> bytes:
        """Returns all metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Describes nothing: what there is depends on what has been loaded."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Yields all metrics; called at each scrape."""
        yield from self._of_requests()
        yield from self._of_the_process()
        generators = self._reloader.generators
        if generators is not None:
            yield from OF_GENERATORS.of(generators.all)
            yield from OF_CLASSIFIERS.of(self._readiness.classifiers.loaded)
            yield from _of_devices(generators.all)
            info = InfoMetricFamily("ganserve_model", "The generators that are served.")
            for one in generators.all:
                place = "former" if one in generators.previous else "served"
                told = {"model": one.full_id, "sampler": one.sampler, "place": place}
                info.add_metric([], told)
            yield info

    def _of_requests(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "ganserve_requests",
            "Requests that were answered, by route and status.",
            labels=["route", "status"],
        )
        for (route, status), count in self._answers.items():
            requests.add_metric([route, str(status)], count)
        seconds = HistogramMetricFamily(
            "ganserve_request_seconds",
            "From a request's head to the end of its answer.",
            labels=["route"],
        )
        for route, tally in self._seconds.items():
            seconds.add_metric([route], tally.buckets(), tally.total)
        refused = CounterMetricFamily(
            "ganserve_refused", "Requests that were refused, by reason.", labels=["reason"]
        )
        for reason, count in self._refused.items():
            refused.add_metric([reason], count)
        flying = GaugeMetricFamily(
            "ganserve_requests_in_flight", "Requests that are being answered.", self.in_flight
        )
        memory = GaugeMetricFamily(
            "ganserve_memory_reserved_bytes",
            "Reserved by requests, of GAN_MAX_MEMORY_MIB.",
            self._memory.taken,
        )
        return [requests, seconds, refused, flying, memory]

    def _of_the_process(self) -> Iterable[Metric]:
        ready = self._readiness.reason() is None
        reloads = CounterMetricFamily(
            "ganserve_reloads", "Reloads of the model folders.", labels=["outcome"]
        )
        for outcome, count in self._reloader.outcomes.items():
            reloads.add_metric([outcome], count)
        build = InfoMetricFamily(
            "ganserve_build",
            "What is running.",
            {"version": __version__, "python": platform.python_version()},
        )
        board = self._readiness.scoreboard
        wanted, serving = len(board.serving), sum(board.serving)
        return [
            GaugeMetricFamily("ganserve_workers_wanted", "Processes of this host.", wanted),
            GaugeMetricFamily("ganserve_workers_serving", "Those of them that serve.", serving),
            CounterMetricFamily(
                "ganserve_workers_ended",
                "Those that have ended without having been told to.",
                sum(board.ended),
            ),
            GaugeMetricFamily("ganserve_ready", "1 while /readyz is 200.", int(ready)),
            reloads,
            build,
        ]


def _of_devices(generators: list[Generation]) -> Iterable[Metric]:
    memory = GaugeMetricFamily(
        "ganserve_device_memory_bytes",
        "Taken by this process on its GPU.",
        labels=["device"],
    )
    taken: dict[str, int] = {}
    for one in generators:
        if one.device_memory is not None:
            device, size = one.device_memory()
            taken[device] = size  # by all generators on it together
    for device, size in taken.items():
        memory.add_metric([device], size)
    return [memory]
