"""What /metrics says: the counters of the event loop and the gauges of the rows, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from vault_server.core.operation import Gauge
from vault_server.core.tally import Spread, Tally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The format that every scraper takes."""

COUNTERS = (
    ("vault_messages_received", "Messages that peers have sent, by type.", "type", "received"),
    ("vault_replies", "Requests and frames answered: OK, or the code they were refused with.", "code", "replied"),
    ("vault_pushes_sent", "Pushes sent, again after reconnecting included.", "kind", "pushed"),
    (
        "vault_connections_refused",
        "Sockets that did not become a WebSocket, by HTTP status, or hung up.",
        "status",
        "connections_refused",
    ),
    (
        "vault_handshakes_refused",
        "Peers that did not get as far as taking part, by error code.",
        "code",
        "handshakes_refused",
    ),
    ("vault_storage_errors", "What the database could not do, by read or write.", "operation", "storage_errors"),
)
"""Name, meaning, label, and which of the tally's counts."""
CONNECTIONS_OPEN = "Open connections, by endpoint; none: no proved key yet, or leaving."
LINES_DROPPED = "Log lines lost because the log's reader was too slow."


@dataclass(frozen=True, slots=True)
class Live:
    """What is asked of the parts themselves at each scrape."""

    connections: Callable[[], Mapping[str, int]]
    log_lines_dropped: Callable[[], int]


Reading = tuple[Gauge, Mapping[str, float]]


class Metrics(Collector):
    """One server's metrics, in a registry of its own: several servers can live in one process."""

    def __init__(self, tally: Tally, live: Live) -> None:
        self._tally = tally
        self._live = live
        self._readings: Sequence[Reading] = ()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self, readings: Sequence[Reading]) -> bytes:
        """Everything, with these gauges, in CONTENT_TYPE."""
        self._readings = readings
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        tally = self._tally
        for name, meaning, label, counted in COUNTERS:
            yield _counter(name, meaning, label, getattr(tally, counted))
        yield _histogram("vault_batch_messages", "Orders in one transaction.", tally.batch_messages)
        yield _histogram("vault_batch_seconds", "Time from a batch to its being on disk.", tally.batch_seconds)
        yield _gauge("vault_connections_open", CONNECTIONS_OPEN, "endpoint", self._live.connections())
        yield CounterMetricFamily("vault_log_lines_dropped", LINES_DROPPED, value=self._live.log_lines_dropped())
        for gauge, values in self._readings:
            yield _gauge(gauge.name, gauge.help, gauge.label, values)


def _counter(name: str, meaning: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, meaning, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _gauge(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label] if label else [])
    for key, value in sorted(values.items()):
        family.add_metric([key] if label else [], value)
    return family


def _histogram(name: str, meaning: str, spread: Spread) -> Metric:
    family = HistogramMetricFamily(name, meaning)
    family.add_metric([], list(spread.cumulated()), spread.total)
    return family
