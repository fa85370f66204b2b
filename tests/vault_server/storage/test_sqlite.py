"""The file: durable settings, reads on one snapshot, restart, and which files are refused."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import threading
import tomllib
from pathlib import Path

import aiosqlite
import pytest

from tests.vault_server.storage.rows import committed, make_notes, note, numbers, sql
from vault_server.core.operation import Reader, Transaction
from vault_server.storage.database import StorageError
from vault_server.storage.schema import SCHEMA_VERSION
from vault_server.storage.sqlite import READERS, SqliteDatabase

FULL = 2
MEMORY = 2


@pytest.fixture
def database(sqlite_database: SqliteDatabase) -> SqliteDatabase:
    return sqlite_database


async def pragma(database: SqliteDatabase, name: str) -> object:
    """The writer's own value of a setting."""
    row = await committed(database, lambda tx: tx.one(sql(f"PRAGMA {name}")))
    return next(iter(row))


# settings


@pytest.mark.parametrize(("name", "value"), [("synchronous", FULL), ("journal_mode", "wal"), ("foreign_keys", 1)])
async def test_the_writer_is_durable_and_strict(database: SqliteDatabase, name: str, value: object) -> None:
    assert await pragma(database, name) == value


async def test_the_writer_is_durable_and_strict_after_a_restart(database: SqliteDatabase) -> None:
    await database.stop()
    await database.start()
    assert [await pragma(database, name) for name in ("synchronous", "journal_mode", "foreign_keys")] == [
        FULL,
        "wal",
        1,
    ]


async def test_statements_that_may_be_undone_alone_write_no_temporary_files(database: SqliteDatabase) -> None:
    assert await pragma(database, "temp_store") == MEMORY


async def test_foreign_keys_are_enforced(database: SqliteDatabase) -> None:
    [outcome] = await database.transact([lambda tx: tx.run(sql("INSERT INTO clients (client_id) VALUES ('nobody')"))])
    assert isinstance(outcome.error, sqlite3.IntegrityError)


# what is private in aiosqlite and needed here


async def test_the_private_call_of_aiosqlite_runs_in_the_connections_thread_and_gives_the_value(tmp_path: Path) -> None:
    connection = await aiosqlite.connect(tmp_path / "x.db")
    try:
        threads = [await connection._execute(threading.get_ident) for _ in range(2)]  # type: ignore[no-untyped-call]
        assert threads[0] == threads[1] != threading.get_ident()
        assert isinstance(connection._conn, sqlite3.Connection)
        assert await connection._execute(max, 3, 4) == 4  # type: ignore[no-untyped-call]
        with pytest.raises(ZeroDivisionError):
            await connection._execute(lambda: 1 / 0)  # type: ignore[no-untyped-call]
    finally:
        await connection.close()


async def test_the_thread_of_a_connection_that_did_not_open_has_a_name_and_ends(tmp_path: Path) -> None:
    connection = aiosqlite.connect(tmp_path / "missing" / "x.db")
    with pytest.raises(sqlite3.OperationalError):
        await connection
    await asyncio.to_thread(connection._thread.join, 10)
    assert not connection._thread.is_alive()


async def test_a_refusal_leaves_no_thread_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    for _ in range(20):
        await refused(tmp_path / "missing" / "vault.db")
    assert threading.active_count() == before


def test_the_version_of_aiosqlite_is_bounded() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    [requirement] = [line for line in project["project"]["dependencies"] if re.match(r"aiosqlite\b", line)]
    assert requirement.endswith("<0.23")


# reading


async def test_a_read_sees_what_was_committed_before_it(database: SqliteDatabase) -> None:
    await make_notes(database)
    for number in range(5):
        await committed(database, note(number))
        assert await numbers(database) == list(range(number + 1))


async def test_a_read_looks_at_one_snapshot_while_others_write(database: SqliteDatabase) -> None:
    await make_notes(database)
    await committed(database, note(1))
    looked, written = threading.Event(), threading.Event()

    def look_twice(reader: Reader) -> tuple[int, int]:
        first = len(reader.all(sql("SELECT number FROM notes")))
        looked.set()
        assert written.wait(10)
        return first, len(reader.all(sql("SELECT number FROM notes")))

    reading = asyncio.create_task(database.read(look_twice))
    assert await asyncio.to_thread(looked.wait, 10)
    await committed(database, note(2))
    written.set()
    assert await reading == (1, 1)
    assert await numbers(database) == [1, 2]


class Watch:
    """A lookout that is told how often news were asked for, and sees all notes."""

    def __init__(self) -> None:
        self.asked, self.known = 0, 0
        self.seen: list[list[tuple[int, int]] | None] = []

    def news(self) -> int:
        self.asked += 1
        return self.asked

    def learn(self, news: int) -> None:
        self.known = news

    def look(self, reader: Reader) -> list[tuple[int, int]]:
        return [(self.known, row["number"]) for row in reader.all(sql("SELECT number FROM notes"))]

    def saw(self, seen: list[tuple[int, int]] | None) -> None:
        self.seen.append(seen)


async def test_who_listens_sees_what_is_committed_before_the_outcome_is_known(database: SqliteDatabase) -> None:
    await make_notes(database)
    watch = Watch()
    database.listen(watch)
    await committed(database, note(1))
    assert watch.seen == [[(1, 1)]]
    await database.transact([note(2), note(1)])
    assert watch.seen[1:] == [[(2, 1), (2, 2)]]
    database.listen(None)
    await committed(database, note(3))
    assert len(watch.seen) == 2


class Vandal(Watch):
    """Writes where it may only look, and then looks at what is not there."""

    def look(self, reader: Reader) -> list[tuple[int, int]]:
        reader.all(sql("INSERT INTO notes (number) VALUES (7)"))
        return [(0, row["number"]) for row in reader.all(sql("SELECT number FROM no_such_table"))]


async def test_looking_neither_undoes_a_batch_nor_writes(database: SqliteDatabase) -> None:
    await make_notes(database)
    vandal = Vandal()
    database.listen(vandal)
    await committed(database, note(1))
    await committed(database, note(2))
    assert await numbers(database) == [1, 2]
    assert vandal.seen == [None, None]


async def test_a_read_does_not_see_what_is_not_committed(database: SqliteDatabase) -> None:
    await make_notes(database)
    wrote, go_on = threading.Event(), threading.Event()

    def write_slowly(tx: Transaction) -> None:
        note(1)(tx)
        wrote.set()
        assert go_on.wait(10)

    writing = asyncio.create_task(database.transact([write_slowly]))
    assert await asyncio.to_thread(wrote.wait, 10)
    assert await numbers(database) == []
    go_on.set()
    await writing
    assert await numbers(database) == [1]


async def test_a_read_cannot_write(database: SqliteDatabase) -> None:
    await make_notes(database)

    def write(reader: Reader) -> None:
        reader.all(sql("INSERT INTO notes (number) VALUES (1)"))

    for _ in range(4):  # more often than there are readers: each is given back
        with pytest.raises(StorageError, match="readonly"):
            await database.read(write)
    assert await numbers(database) == []


async def test_a_function_that_raises_gives_its_reader_back(database: SqliteDatabase) -> None:
    def stumble(reader: Reader) -> None:
        reader.all(sql("SELECT 1"))
        raise LookupError("not there")

    for _ in range(4):
        with pytest.raises(LookupError):
            await database.read(stumble)
    assert await database.read(lambda reader: len(reader.all(sql("SELECT 1")))) == 1


async def test_a_reader_whose_transaction_could_not_be_ended_reads_again(database: SqliteDatabase) -> None:
    await make_notes(database)

    stumbled: list[sqlite3.Connection] = []

    def fail_to_end(reader: Reader) -> None:
        """The next COMMIT or ROLLBACK of this reader is denied, as by a disk with an input/output error."""
        raw = reader._execute.__self__.connection  # type: ignore[attr-defined]
        denials = [sqlite3.SQLITE_DENY]

        def deny_once(action: int, *_: object) -> int:
            return denials.pop() if denials and action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK

        raw.set_authorizer(deny_once)
        stumbled.append(raw)

    for _ in range(READERS):
        await database.read(fail_to_end)
    assert len(set(map(id, stumbled))) == READERS
    await committed(database, note(1))
    for _ in range(2 * READERS):
        assert await numbers(database) == [1]


# who may have it


async def test_the_files_are_their_owners_alone(database: SqliteDatabase, tmp_path: Path) -> None:
    await make_notes(database)
    modes = {name: os.stat(tmp_path / name).st_mode & 0o777 for name in os.listdir(tmp_path)}
    assert modes == dict.fromkeys(("vault.db", "vault.db-wal", "vault.db-shm", "vault.db.lock"), 0o600)


async def test_a_second_server_on_one_file_is_refused_until_the_first_has_stopped(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    second = SqliteDatabase(tmp_path / "vault.db")
    with pytest.raises(StorageError, match="another server is using it; stop that one"):
        await second.start()
    await make_notes(database)
    await database.stop()
    await second.start()
    assert await numbers(second) == []
    await second.stop()


# restart


async def test_start_and_stop_are_safe_twice_and_the_rows_stay(database: SqliteDatabase) -> None:
    await database.start()
    await make_notes(database)
    await committed(database, note(1))
    await database.stop()
    await database.stop()
    await database.start()
    assert await numbers(database) == [1]


async def test_stop_folds_the_log_into_the_file(database: SqliteDatabase, tmp_path: Path) -> None:
    await make_notes(database)
    await committed(database, note(1))
    assert (tmp_path / "vault.db-wal").exists()
    await database.stop()
    assert sorted(os.listdir(tmp_path)) == ["vault.db", "vault.db.lock"]


async def test_what_was_acknowledged_is_in_the_files_at_that_moment(database: SqliteDatabase, tmp_path: Path) -> None:
    await make_notes(database)
    await committed(database, note(1))
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("vault.db", "vault.db-wal"):
        (copy / name).write_bytes((tmp_path / name).read_bytes())
    elsewhere = SqliteDatabase(copy / "vault.db")
    await elsewhere.start()
    assert await numbers(elsewhere) == [1]
    await elsewhere.stop()


# files that are refused


def content(path: Path) -> bytes | None:
    """The bytes of a file, or None."""
    return path.read_bytes() if path.is_file() else None


async def refused(path: Path) -> str:
    """The message with which this file is refused; it is not changed."""
    before = content(path)
    database = SqliteDatabase(path)
    with pytest.raises(StorageError) as caught:
        await database.start()
    assert content(path) == before
    assert str(path) in str(caught.value)
    return str(caught.value)


async def test_a_newer_schema_is_refused(database: SqliteDatabase, tmp_path: Path) -> None:
    await committed(database, lambda tx: tx.run(sql(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")))
    await database.stop()
    message = await refused(tmp_path / "vault.db")
    assert f"schema version {SCHEMA_VERSION + 1}" in message
    assert "upgrade" in message


async def test_an_older_schema_from_which_no_way_leads_is_refused(database: SqliteDatabase, tmp_path: Path) -> None:
    await committed(database, lambda tx: tx.run(sql("PRAGMA user_version = 3")))
    await database.stop()
    message = await refused(tmp_path / "vault.db")
    assert "schema version 3, of an older server" in message
    assert "--database" in message


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "music.db"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE songs (title TEXT)")
    raw.close()
    assert "another program" in await refused(path)


@pytest.mark.parametrize("text", [b"Dear diary,\n" * 100, bytes(range(256)) * 16], ids=["diary", "bytes"])
async def test_a_file_that_is_no_database_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "diary.txt"
    path.write_bytes(text)
    assert "--database" in await refused(path)


async def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    path.touch()
    database = SqliteDatabase(path)
    await database.start()
    assert await pragma(database, "user_version") == SCHEMA_VERSION
    await database.stop()


@pytest.mark.parametrize("folder", ["missing", "file", "/proc"])
async def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    assert "--database" in await refused(tmp_path / folder / "vault.db")


async def test_a_folder_is_no_database(tmp_path: Path) -> None:
    await refused(tmp_path)


async def test_after_a_refusal_the_same_object_can_start(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    database = SqliteDatabase(folder / "vault.db")
    with pytest.raises(StorageError):
        await database.start()
    folder.mkdir()
    await database.start()
    assert await pragma(database, "user_version") == SCHEMA_VERSION
    await database.stop()
