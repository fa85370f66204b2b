"""What /metrics says: the counters of the event loop and the gauges of the rows, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from vault_server.core.operation import Gauge, Reader
from vault_server.core.tally import Spread, Tally
from vault_server.storage.database import StorageError

logger = structlog.get_logger()

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The format that every scraper takes."""


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
        yield _counter("vault_messages_received", "Messages that peers have sent, by type.", "type", tally.received)
        yield _counter(
            "vault_replies",
            "Requests and frames answered: OK, or the code they were refused with.",
            "code",
            tally.replied,
        )
        yield _counter("vault_pushes_sent", "Pushes sent, again after reconnecting included.", "kind", tally.pushed)
        yield _counter(
            "vault_connections_refused", "Openings of a WebSocket refused, by HTTP status.", "status",
            tally.connections_refused,
        )  # fmt: skip
        yield _counter(
            "vault_handshakes_refused", "Peers that did not get as far as taking part, by error code.", "code",
            tally.handshakes_refused,
        )  # fmt: skip
        yield _counter(
            "vault_storage_errors", "What the database could not do, by read or write.", "operation",
            tally.storage_errors,
        )  # fmt: skip
        yield _histogram("vault_batch_messages", "Orders in one transaction.", tally.batch_messages)
        yield _histogram("vault_batch_seconds", "Time from a batch to its being on disk.", tally.batch_seconds)
        yield _gauge(
            "vault_connections_open", "Open connections, by endpoint; none: no proved key yet, or leaving.", "endpoint",
            self._live.connections(),
        )  # fmt: skip
        yield CounterMetricFamily(
            "vault_log_lines_dropped",
            "Log lines lost because the log's reader was too slow.",
            value=self._live.log_lines_dropped(),
        )
        for gauge, values in self._readings:
            yield _gauge(gauge.name, gauge.help, gauge.label, values)


def read_gauges(reader: Reader, gauges: Sequence[Gauge], now_ms: int) -> list[Reading]:
    """Read them all; one that has a defect is left out."""
    readings: list[Reading] = []
    for gauge in gauges:
        try:
            readings.append((gauge, gauge.read(reader, now_ms)))
        except StorageError:
            raise
        except Exception:
            logger.exception("gauge.failed", gauge=gauge.name)
    return readings


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
