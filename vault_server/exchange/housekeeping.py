"""What is done once a day: forget idempotency keys that are too old to matter, and what the systems let go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vault_server.core.operation import Caller, Endpoint, Operation, System, Transaction, log
from vault_server.exchange import deadlines, idempotency
from vault_server.exchange.gauges import GAUGES
from vault_server.exchange.invariants import INVARIANTS

TIDY = "tidy_up"
EVERY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class TidyUp:
    """Drop what has served its time, and come again tomorrow."""


def system(idempotency_ms: int, systems: Sequence[System] = ()) -> System:
    """Housekeeping in the shape of a system, for the others too. `idempotency_ms` is how long a key is remembered."""

    def tidy_up(tx: Transaction, _caller: Caller, _order: TidyUp, now_ms: int) -> None:
        forgotten = idempotency.forget(tx, now_ms - idempotency_ms)
        dropped = sum(tidy(tx, now_ms) for system in systems for tidy in system.tidying)
        deadlines.put(tx, TIDY, "", now_ms + EVERY_MS)
        if forgotten or dropped:
            log(tx, "database.tidied", idempotency_keys=forgotten, rows=dropped)

    return System(
        name="housekeeping",
        doors=[],
        operations=[Operation(TidyUp, frozenset({Endpoint.SERVER}), tidy_up)],
        pushes=[],
        deadlines={TIDY: lambda _subject: TidyUp()},
        gauges=GAUGES,
        invariants=INVARIANTS,
        starting=[TidyUp()],
    )
