"""What is done with a database is counted, and a failed write is remembered until a write has gone well."""

from __future__ import annotations

import pytest

from tests.vault_server.dispatch.conftest import allow_writing, forbid_writing
from vault_server.core.operation import Query, Reader, Transaction
from vault_server.core.tally import Tally
from vault_server.exchange import probe
from vault_server.storage.counted import CountedDatabase
from vault_server.storage.database import Database, StorageError


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def counted(database: Database, tally: Tally) -> CountedDatabase:
    return CountedDatabase(database, tally)


def write(tx: Transaction) -> None:
    probe.write(tx, 1)


def refuse(_tx: Transaction) -> None:
    raise ValueError("not today")


def read_nowhere(reader: Reader) -> None:
    reader.one(Query("test", "SELECT 1 FROM nowhere"))


async def test_a_batch_is_counted_once_with_its_size_and_time(counted: CountedDatabase, tally: Tally) -> None:
    outcomes = await counted.transact([write, refuse, write])
    assert [type(outcome.error) for outcome in outcomes] == [type(None), ValueError, type(None)]
    assert dict(tally.batch_messages.cumulated())["2.0"] == 0
    assert dict(tally.batch_messages.cumulated())["4.0"] == 1
    assert tally.batch_messages.total == 3
    assert tally.batch_seconds.total > 0
    assert not counted.has_failed_to_write
    assert not tally.storage_errors


async def test_a_write_that_fails_is_remembered_until_one_goes_well(
    counted: CountedDatabase, database: Database, tally: Tally
) -> None:
    await forbid_writing(database)
    await counted.transact([write, write])
    assert tally.storage_errors == {"write": 2}
    assert counted.has_failed_to_write
    with pytest.raises(StorageError):
        await counted.prove_writing(write)
    assert counted.has_failed_to_write
    await allow_writing(database)
    await counted.transact([lambda tx: None])
    assert counted.has_failed_to_write, "a transaction that writes nothing proves nothing"
    await counted.prove_writing(write)
    assert not counted.has_failed_to_write


async def test_a_read_that_fails_is_counted_and_raised(counted: CountedDatabase, tally: Tally) -> None:
    await counted.read(probe.look)
    with pytest.raises(StorageError, match="nowhere"):
        await counted.read(read_nowhere)
    assert tally.storage_errors == {"read": 1}
    assert not counted.has_failed_to_write
