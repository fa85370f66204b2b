"""What the exchange does for itself, once a day: forget idempotency keys that are too old to matter."""

from __future__ import annotations

from dataclasses import dataclass

from vault_server.core.operation import Caller, Endpoint, Operation, System, Transaction, log
from vault_server.exchange import deadlines, idempotency
from vault_server.exchange.gauges import GAUGES

TIDY = "tidy_up"
EVERY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class TidyUp:
    """Drop what has served its time, and come again tomorrow."""


def system(idempotency_ms: int) -> System:
    """Housekeeping in the shape of a system. `idempotency_ms` is how long a key is remembered."""

    def tidy_up(tx: Transaction, _caller: Caller, _order: TidyUp, now_ms: int) -> None:
        forgotten = idempotency.forget(tx, now_ms - idempotency_ms)
        deadlines.put(tx, TIDY, "", now_ms + EVERY_MS)
        if forgotten:
            log(tx, "idempotency.forgotten", keys=forgotten)

    return System(
        name="housekeeping",
        doors=[],
        operations=[Operation(TidyUp, frozenset({Endpoint.SERVER}), tidy_up)],
        pushes=[],
        deadlines={TIDY: lambda _subject: TidyUp()},
        gauges=GAUGES,
        starting=[TidyUp()],
    )
