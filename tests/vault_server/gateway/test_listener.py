"""What a listener still has to have written down when its server stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from protocol.errors import Code
from protocol.identity import Identity
from tests.vault_server.people import solver
from vault_server.clock import Clock
from vault_server.core.operation import Caller, Door, Endpoint, Refusal
from vault_server.dispatch.dispatcher import Done
from vault_server.exchange.admission import Admission
from vault_server.gateway import listener as module
from vault_server.gateway.listener import Listener
from vault_server.settings import Settings

ANN = solver("ann")


class Stopping:
    """A dispatcher that cannot write, and then takes nothing any more."""

    def __init__(self) -> None:
        self.asked = 0

    def submit(self, _caller: Caller, _order: Any, done: Done) -> None:
        self.asked += 1
        if self.asked > 1:
            raise Refusal(Code.DRAINING, "The server is stopping.", "Connect again in a moment.", retry_after_ms=1000)
        done(None, Refusal(Code.UNAVAILABLE, "The storage is gone.", "Wait.", retry_after_ms=1000))


async def test_who_is_gone_when_the_server_stops_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAVE_AGAIN_SECONDS", 0)
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, trouble: troubles.append(trouble))
    stopping: Any = Stopping()
    nobody: Any = None
    settings = Settings()
    listener = Listener(settings, Clock(), Identity.generate(), [], stopping, nobody, Admission(settings, []))
    listener._leave(ANN, Door("/solver", Endpoint.SOLVER, left=object))
    await asyncio.sleep(0.05)
    assert stopping.asked == 2
    assert troubles == []
