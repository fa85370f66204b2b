"""What only the running process knows: who is connected, and how fast things happen."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vault_server.clock import Clock
from vault_server.gateway.listener import Listener
from vault_server.gateway.operator_desk import Question
from vault_server.gateway.pace import SECONDS, Pace
from vault_server.settings import Settings


def live(settings: Settings, clock: Clock, listener: Listener, pace: Pace) -> Question:
    """The question `live`: node, since when, connections by endpoint, log events a second."""
    started_ms = clock.now_ms()

    async def answer(_about: str) -> dict[str, Any]:
        return {
            "node": settings.node,
            "version": version("vault-server"),
            "process": os.getpid(),
            "database": str(settings.database.resolve() if isinstance(settings.database, Path) else settings.database),
            "host": settings.host,
            "port": listener.port,
            "started_at": started_ms,
            "now": clock.now_ms(),
            "connections": dict(listener.open_connections()),
            "connections_max": settings.connections_max,
            "per_second": dict(pace.rates()),
            "per_second_over": SECONDS,
        }

    return answer
