"""What is due some day is taken once, can be replaced, put off and dropped."""

from __future__ import annotations

from tests.vault_server.storage.rows import committed
from vault_server.core.operation import Transaction
from vault_server.exchange import deadlines
from vault_server.storage.database import Database

NAME = "expire_assignment"


async def put(database: Database, subject: str, due_ms: int, name: str = NAME) -> None:
    await committed(database, lambda tx: deadlines.put(tx, name, subject, due_ms))


async def take(database: Database, subject: str, now_ms: int, name: str = NAME) -> bool:
    taken: bool = await committed(database, lambda tx: deadlines.take(tx, name, subject, now_ms))
    return taken


async def due(database: Database, now_ms: int) -> list[tuple[str, str, int]]:
    rows = await database.read(lambda reader: deadlines.due(reader, now_ms))
    return [(row["name"], row["subject"], row["due"]) for row in rows]


async def test_it_is_taken_once_and_not_before_its_time(database: Database) -> None:
    await put(database, "1", 100)
    assert not await take(database, "1", 99)
    assert await take(database, "1", 100)
    assert not await take(database, "1", 101)


async def test_a_claim_that_is_undone_can_be_taken_again(database: Database) -> None:
    await put(database, "1", 100)

    def take_and_fail(tx: Transaction) -> None:
        assert deadlines.take(tx, NAME, "1", 100)
        raise LookupError

    [outcome] = await database.transact([take_and_fail])
    assert isinstance(outcome.error, LookupError)
    assert await take(database, "1", 100)


async def test_putting_again_replaces_the_time(database: Database) -> None:
    await put(database, "1", 100)
    await put(database, "1", 200)
    assert await due(database, 300) == [(NAME, "1", 200)]
    await put(database, "1", 50)
    assert await due(database, 50) == [(NAME, "1", 50)]


async def test_names_and_subjects_are_apart(database: Database) -> None:
    await put(database, "1", 100)
    await put(database, "2", 100)
    await put(database, "1", 100, name="settle_task")
    assert await take(database, "1", 100)
    assert await due(database, 100) == [(NAME, "2", 100), ("settle_task", "1", 100)]


async def test_putting_off_needs_a_row_and_moves_it(database: Database) -> None:
    await put(database, "1", 100)
    await committed(database, lambda tx: deadlines.postpone(tx, NAME, "1", 500))
    await committed(database, lambda tx: deadlines.postpone(tx, NAME, "gone", 500))
    assert await due(database, 499) == []
    assert await due(database, 500) == [(NAME, "1", 500)]


async def test_dropping(database: Database) -> None:
    await put(database, "1", 100)
    for _ in range(2):
        await committed(database, lambda tx: deadlines.clear(tx, NAME, "1"))
    assert not await take(database, "1", 100)


async def test_the_oldest_comes_first_and_the_next_is_known(database: Database) -> None:
    assert await database.read(deadlines.next_due_ms) is None
    for subject, due_ms in (("a", 300), ("b", 100), ("c", 200)):
        await put(database, subject, due_ms)
    assert [subject for _, subject, _ in await due(database, 250)] == ["b", "c"]
    assert await database.read(deadlines.next_due_ms) == 100


async def test_no_more_than_a_batch_is_looked_at(database: Database) -> None:
    def many(tx: Transaction) -> None:
        for number in range(deadlines.BATCH + 1):
            deadlines.put(tx, NAME, str(number), number)

    await committed(database, many)
    assert len(await due(database, 10_000)) == deadlines.BATCH
