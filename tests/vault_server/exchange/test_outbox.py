"""Durable pushes: who may acknowledge what, and that no number is used twice."""

from __future__ import annotations

import pytest

from tests.vault_server.people import client, solver
from tests.vault_server.storage.rows import committed, sql
from vault_server.core.operation import Caller, Endpoint, Transaction
from vault_server.exchange import outbox
from vault_server.exchange.outbox import Acknowledged
from vault_server.storage.database import Database

ANN, BOB = client("ann"), client("bob")


async def push(database: Database, receiver: Caller = ANN, *, subject: str = "t1", detail: str = "") -> int:
    """Record one; its number."""

    def work(tx: Transaction) -> None:
        outbox.push(tx, receiver.fingerprint, receiver.endpoint, "tlp_response", subject, now_ms=7, detail=detail)

    await committed(database, work)
    return await database.read(outbox.last)


async def acknowledge(database: Database, who: Caller, seq: int) -> None:
    await committed(database, lambda tx: outbox.acknowledge(tx, who, Acknowledged((seq,)), 9))


async def waiting(database: Database, who: Caller, after: int = 0, count: int = 100) -> list[int]:
    rows = await database.read(lambda reader: outbox.of_receiver(reader, who.subject, who.endpoint, after, count))
    return [row["seq"] for row in rows]


async def test_a_push_waits_until_its_receiver_acknowledges_it(database: Database) -> None:
    seq = await push(database, detail="valid")
    [row] = await database.read(lambda reader: outbox.since(reader, 0))
    assert (row["receiver"], row["endpoint"], row["kind"]) == (f"key:{ANN.fingerprint}", "client", "tlp_response")
    assert (row["subject"], row["detail"], row["standing"]) == ("t1", "valid", 0)
    await acknowledge(database, ANN, seq)
    assert await waiting(database, ANN) == []
    await acknowledge(database, ANN, seq)  # a double


@pytest.mark.parametrize("other", [BOB, solver("ann"), solver("bob")])
async def test_nobody_else_can_acknowledge_it(database: Database, other: Caller) -> None:
    seq = await push(database)
    await acknowledge(database, other, seq)
    assert await waiting(database, ANN) == [seq]


async def test_an_acknowledgement_is_of_one_row_and_not_of_all_before(database: Database) -> None:
    first, second, third = [await push(database) for _ in range(3)]
    await acknowledge(database, ANN, second)
    assert await waiting(database, ANN) == [first, third]


async def test_an_unknown_number_changes_nothing(database: Database) -> None:
    seq = await push(database)
    await acknowledge(database, ANN, seq + 1)
    assert await waiting(database, ANN) == [seq]


async def test_what_stands_is_not_acknowledged_away(database: Database) -> None:
    seq = await push(database)
    await committed(database, lambda tx: tx.run(sql("UPDATE outbox SET standing = 1")))
    await acknowledge(database, ANN, seq)
    assert await waiting(database, ANN) == [seq]


async def test_a_number_is_not_used_again_after_all_rows_are_gone_and_after_a_restart(database: Database) -> None:
    seen = []
    for _ in range(3):
        seen.append(await push(database))
        await acknowledge(database, ANN, seen[-1])
        assert await database.read(outbox.last) == 0
        await database.stop()
        await database.start()
    assert seen == sorted(set(seen))


async def test_reading_on_from_a_number_and_so_many(database: Database) -> None:
    mine = [await push(database) for _ in range(4)]
    theirs = await push(database, BOB)
    assert await waiting(database, ANN, after=mine[0], count=2) == mine[1:3]
    assert await waiting(database, BOB) == [theirs]
    rows = await database.read(lambda reader: outbox.since(reader, mine[2]))
    assert [row["seq"] for row in rows] == [mine[3], theirs]


async def test_one_key_on_two_endpoints_is_two_receivers(database: Database) -> None:
    as_client, as_solver = await push(database, client("ann")), await push(database, solver("ann"))
    assert await waiting(database, client("ann")) == [as_client]
    assert await waiting(database, solver("ann")) == [as_solver]


def test_both_peers_may_acknowledge_and_nobody_else() -> None:
    assert outbox.ACKNOWLEDGE.callers == set(Endpoint) - {Endpoint.SERVER, Endpoint.OPERATOR}
