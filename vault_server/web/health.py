"""/healthz: the process is alive. /readyz: it can be given work; if not, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Protocol

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from protocol.errors import Code, MessageError
from vault_server.clock import Clock
from vault_server.exchange import probe
from vault_server.storage.counted import CountedDatabase
from vault_server.storage.database import StorageError
from vault_server.web import refusals
from vault_server.web.remembered import Remembered

logger = structlog.get_logger()

STORAGE_GOOD_SECONDS = 0.5
"""The database is tried no more often than this, however many ask."""
PATIENCE_SECONDS = 2.0
RETRY_AFTER_MS = 1000


class FrontDoor(Protocol):
    """The WebSocket listener, as readiness sees it."""

    is_draining: bool

    @property
    def is_accepting(self) -> bool:
        """Whether whoever comes now is let in."""


class Health:
    """A page; see `web.page.Page`."""

    def __init__(self, clock: Clock, front_door: FrontDoor, database: CountedDatabase) -> None:
        self._clock = clock
        self._front_door = front_door
        self._database = database
        self._storage = Remembered(self._try_storage, STORAGE_GOOD_SECONDS)
        self.routes: Sequence[BaseRoute] = [Route("/healthz", self._healthz), Route("/readyz", self._readyz)]

    async def stop(self) -> None:
        """Try the database no more."""
        await self._storage.stop()

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"status": "alive"}, headers=refusals.NEVER_STORE)

    async def _readyz(self, _request: Request) -> Response:
        missing = await self._missing()
        if not missing:
            return JSONResponse({"status": "ready"}, headers=refusals.NEVER_STORE)
        refusal = MessageError(
            Code.DRAINING if self._front_door.is_draining else Code.UNAVAILABLE,
            f"Not ready: {'; '.join(missing.values())}.",
            "Send work elsewhere, and ask again later.",
            retry_after_ms=RETRY_AFTER_MS,
        )
        return refusals.refuse(HTTPStatus.SERVICE_UNAVAILABLE, refusal, missing=missing)

    async def _missing(self) -> dict[str, str]:
        missing = {}
        try:
            storage = await self._storage.value(PATIENCE_SECONDS)
        except TimeoutError:
            storage = f"the database has not answered within {PATIENCE_SECONDS:.0f} s"
        if storage:
            missing["storage"] = storage
        if self._front_door.is_draining:
            missing["connections"] = "the server is stopping"
        elif not self._front_door.is_accepting:
            missing["connections"] = "connections are not accepted yet"
        return missing

    async def _try_storage(self) -> str:
        """What is wrong with the database, or nothing. After a failed write only a write proves that it is well."""
        try:
            await self._database.read(probe.look)
            if self._database.has_failed_to_write:
                await self._database.prove_writing(partial(probe.write, now_ms=self._clock.now_ms()))
        except StorageError as error:
            return f"the storage fails: {error}"
        return ""
