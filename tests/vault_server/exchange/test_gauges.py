"""What the exchange shows of its rows."""

from __future__ import annotations

import pytest

from tests.vault_server.people import client
from vault_server.core.operation import Endpoint, Transaction
from vault_server.exchange import deadlines, gauges, outbox
from vault_server.storage.database import Database, Work

ANN = client("ann").fingerprint


async def written(database: Database, *works: Work) -> None:
    assert all(outcome.error is None for outcome in await database.transact(works))


def push(tx: Transaction) -> None:
    outbox.push(tx, ANN, Endpoint.CLIENT, "tlp_response", "task", 1)


async def test_the_outbox_is_counted_up_to_a_bound(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "COUNTED_MAX", 3)
    seen = []
    for _ in range(5):
        seen.append((await database.read(lambda reader: gauges.outbox_rows(reader, 0)))[""])
        await written(database, push)
    assert seen == [0, 1, 2, 3, 3]


@pytest.mark.parametrize(("now_ms", "seconds"), [(9_999, 0), (10_000, 0), (10_250, 0.25), (70_000, 60)])
async def test_the_oldest_deadline_says_how_late_the_server_is(database: Database, now_ms: int, seconds: float) -> None:
    assert await database.read(lambda reader: gauges.overdue_seconds(reader, now_ms)) == {"": 0}
    await written(
        database,
        lambda tx: deadlines.put(tx, "late", "first", 10_000),
        lambda tx: deadlines.put(tx, "late", "second", 20_000),
    )
    assert await database.read(lambda reader: gauges.overdue_seconds(reader, now_ms)) == {"": seconds}
