"""/metrics: the counters as they are, and the gauges of the rows as they were a moment ago."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vault_server.clock import Clock
from vault_server.core.operation import Gauge, Reader
from vault_server.metrics import CONTENT_TYPE, Metrics, Reading
from vault_server.storage.database import Database, StorageError
from vault_server.web import refusals
from vault_server.web.remembered import Remembered

logger = structlog.get_logger()

GOOD_SECONDS = 1.0
GOOD_TIMES = 50.0
"""Counting a million tasks takes some 50 ms of a reader's thread: it may be busy with it one fiftieth of its time."""
PATIENCE_SECONDS = 5.0


class Scrape:
    """A page; see `web.page.Page`. While the database does not answer, its gauges are left out."""

    def __init__(self, clock: Clock, database: Database, metrics: Metrics, gauges: Sequence[Gauge]) -> None:
        self._clock = clock
        self._database = database
        self._metrics = metrics
        self._gauges = gauges
        self._readings: Remembered[Sequence[Reading]] = Remembered(self._read, GOOD_SECONDS, GOOD_TIMES)
        self.routes: Sequence[BaseRoute] = [Route("/metrics", self._show)]

    async def stop(self) -> None:
        """Read no more."""
        await self._readings.stop()

    async def _show(self, _request: Request) -> Response:
        try:
            readings = await self._readings.value(PATIENCE_SECONDS)
        except TimeoutError:
            readings = ()
        return Response(self._metrics.text(readings), media_type=CONTENT_TYPE, headers=refusals.NEVER_STORE)

    async def _read(self) -> Sequence[Reading]:
        """Each by itself: one that has a defect is left out."""
        now_ms = self._clock.now_ms()
        readings: list[Reading] = []
        for gauge in self._gauges:
            try:
                readings.append((gauge, await self._database.read(_at(now_ms, gauge))))
            except StorageError as error:
                logger.error("storage.failed", order=gauge.name, reason=str(error))
            except Exception:
                logger.exception("gauge.failed", gauge=gauge.name)
        return readings


def _at(now_ms: int, gauge: Gauge) -> Callable[[Reader], Mapping[str, float]]:
    return lambda reader: gauge.read(reader, now_ms)
