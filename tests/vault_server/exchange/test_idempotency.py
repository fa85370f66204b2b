"""A client's own key for a request: recalled, in conflict, forgotten."""

from __future__ import annotations

import pytest

from protocol.errors import Code
from tests.vault_server.people import client
from tests.vault_server.storage.rows import committed
from vault_server.core.operation import Caller, Refusal
from vault_server.exchange import deadlines, housekeeping, idempotency
from vault_server.storage.database import Database

ANN, BOB = client("ann"), client("bob")


async def keep(database: Database, who: Caller, key: str, outcome: str, now_ms: int = 10) -> None:
    await committed(database, lambda tx: idempotency.keep(tx, who, key, b"hash", outcome, now_ms))


async def recall(database: Database, who: Caller, key: str, request_hash: bytes = b"hash") -> str | None:
    outcome: str | None = await committed(database, lambda tx: idempotency.recall(tx, who, key, request_hash))
    return outcome


async def test_the_same_request_has_the_same_outcome(database: Database) -> None:
    assert await recall(database, ANN, "k") is None
    await keep(database, ANN, "k", "task 1")
    assert await recall(database, ANN, "k") == "task 1"
    assert await recall(database, ANN, "k") == "task 1"


async def test_another_request_with_the_same_key_is_in_conflict(database: Database) -> None:
    await keep(database, ANN, "k", "task 1")
    with pytest.raises(Refusal) as caught:
        await recall(database, ANN, "k", b"other hash")
    assert caught.value.code is Code.IDEMPOTENCY_CONFLICT
    assert "fresh key" in caught.value.suggestion
    assert await recall(database, ANN, "k") == "task 1"


async def test_keys_belong_to_their_owner(database: Database) -> None:
    await keep(database, ANN, "k", "task 1")
    assert await recall(database, BOB, "k", b"other hash") is None
    await keep(database, BOB, "k", "task 2")
    assert (await recall(database, ANN, "k"), await recall(database, BOB, "k")) == ("task 1", "task 2")


async def test_what_is_old_enough_is_forgotten(database: Database) -> None:
    await keep(database, ANN, "old", "task 1", 99)
    await keep(database, ANN, "new", "task 2", 100)
    assert await committed(database, lambda tx: idempotency.forget(tx, 100)) == 1
    assert await recall(database, ANN, "old", b"other hash") is None
    assert await recall(database, ANN, "new") == "task 2"


async def test_housekeeping_forgets_and_comes_again_tomorrow(database: Database) -> None:
    await keep(database, ANN, "old", "task 1", 99)
    await keep(database, ANN, "new", "task 2", 100)
    system = housekeeping.system(idempotency_ms=1000)
    [operation] = system.operations
    [order] = system.starting
    await committed(database, lambda tx: operation.handler(tx, ANN, order, 1100))
    assert await recall(database, ANN, "old") is None
    assert await recall(database, ANN, "new") == "task 2"
    [row] = await database.read(lambda reader: deadlines.due(reader, 10**12))
    assert row["due"] == 1100 + 24 * 3600 * 1000
    assert system.deadlines[row["name"]](row["subject"]) == order
