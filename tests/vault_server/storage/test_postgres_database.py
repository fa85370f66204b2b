"""What only connections to a server can meet: contention, loss at any moment, hints, a server that is not there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.vault_server.conftest import CONNECTIONS, make_read_only, throw_out_others
from tests.vault_server.dispatch.conftest import eventually
from tests.vault_server.storage.rows import NOTE, committed, make_notes, note, numbers, sql
from tests.vault_server.storage.severed import Wire, wire_to
from vault_server.core.location import PostgresUrl, location
from vault_server.core.operation import LogEvent, Reader, Transaction
from vault_server.storage import postgres as module
from vault_server.storage import postgres_session, postgres_work
from vault_server.storage.database import StorageError
from vault_server.storage.postgres import PostgresDatabase
from vault_server.storage.schema import SCHEMA_VERSION

LOCK = sql("SELECT body FROM notes WHERE number = :number /*for update*/")
APPEND = sql("UPDATE notes SET body = body || :body WHERE number = :number")


@pytest.fixture
async def notes(postgres_url: PostgresUrl) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(postgres_url, CONNECTIONS)
    await database.start()
    await make_notes(database)
    yield database
    await database.stop()


def as_administrator(url: PostgresUrl) -> psycopg.Connection[Any]:
    return psycopg.connect(url.secret, autocommit=True, application_name="administrator")


async def outcome_of(database: PostgresDatabase, work: Any) -> Any:
    [outcome] = await database.transact([work])
    return outcome


async def body(database: PostgresDatabase, number: int) -> bytes:
    row = await database.read(lambda reader: reader.one(LOCK, number=number))
    assert row is not None
    return bytes(row["body"])


# contention


async def test_two_that_wait_for_each_other_both_succeed(notes: PostgresDatabase) -> None:
    await notes.transact([note(1), note(2)])
    both = threading.Barrier(2, timeout=10)
    runs: list[str] = []

    def in_order(first: int, second: int, name: str) -> Any:
        def work(tx: Transaction) -> None:
            runs.append(name)
            tx.one(LOCK, number=first)
            if runs.count(name) == 1:
                both.wait()
            tx.one(LOCK, number=second)
            tx.run(APPEND, number=first, body=name.encode())

        return work

    outcomes = await asyncio.gather(outcome_of(notes, in_order(1, 2, "a")), outcome_of(notes, in_order(2, 1, "b")))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len(runs) > 2  # one of them was undone and run again
    assert (await body(notes, 1), await body(notes, 2)) == (b"a", b"b")


async def test_two_that_insert_the_same_at_once_are_one_that_finds_it(notes: PostgresDatabase) -> None:
    both = threading.Barrier(2, timeout=10)
    looks: list[bool] = []

    def insert_once(tx: Transaction) -> str:
        found = tx.one(LOCK, number=7) is not None
        looks.append(found)
        if len(looks) <= 2:
            both.wait()
        if not found:
            tx.run(NOTE, number=7, body=b"")
        return "found" if found else "made"

    outcomes = await asyncio.gather(outcome_of(notes, insert_once), outcome_of(notes, insert_once))
    assert sorted(outcome.value for outcome in outcomes) == ["found", "made"]
    assert looks == [False, False, True]


async def test_a_rule_that_stays_broken_is_the_works_own_trouble_and_shows_no_values(notes: PostgresDatabase) -> None:
    await committed(notes, note(7, b"secret"))
    outcome = await outcome_of(notes, note(7, b"secret"))
    assert isinstance(outcome.error, psycopg.IntegrityError)
    assert "notes_pkey" in str(outcome.error)
    assert "secret" not in str(outcome.error)
    assert "(7)" not in str(outcome.error)


async def test_a_row_that_somebody_keeps_is_waited_for_so_long_and_no_longer(
    notes: PostgresDatabase, postgres_url: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_session, "_SETTINGS", postgres_session._SETTINGS.replace("2000", "50"))
    await notes.stop()
    await notes.start()
    await committed(notes, note(1))
    with as_administrator(postgres_url) as other:
        other.execute("BEGIN; UPDATE notes SET body = 'x'")
        outcome = await outcome_of(notes, lambda tx: tx.one(LOCK, number=1))
        assert isinstance(outcome.error, StorageError)
        assert "lock timeout" in str(outcome.error)
        assert await numbers(notes) == [1]  # who only looks waits for nobody
        other.execute("ROLLBACK")
    assert (await outcome_of(notes, lambda tx: tx.one(LOCK, number=1))).error is None


async def test_a_work_that_swallows_an_error_of_the_database_is_not_committed(notes: PostgresDatabase) -> None:
    def work(tx: Transaction) -> str:
        note(1)(tx)
        try:
            note(1)(tx)
        except psycopg.Error:
            return "all is well"
        return "how?"

    outcome = await outcome_of(notes, work)
    assert isinstance(outcome.error, StorageError)
    assert await numbers(notes) == []


async def test_works_of_several_batches_run_side_by_side(notes: PostgresDatabase) -> None:
    at_once = threading.Barrier(notes.writers, timeout=10)
    outcomes = await asyncio.gather(*(outcome_of(notes, lambda _tx: at_once.wait()) for _ in range(notes.writers)))
    assert [outcome.error for outcome in outcomes] == [None] * notes.writers


async def test_when_all_connections_are_busy_it_is_said_and_then_it_goes_on(
    notes: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS_MAX", 0.05)
    done = threading.Event()
    busy = [asyncio.create_task(outcome_of(notes, lambda _tx: done.wait(10))) for _ in range(notes.writers)]
    await asyncio.sleep(0.01)
    outcomes = await notes.transact([note(1), note(2)])
    assert all("busy" in str(outcome.error) for outcome in outcomes)
    assert all(isinstance(outcome.error, StorageError) for outcome in outcomes)
    assert await numbers(notes) == []
    done.set()
    await asyncio.gather(*busy)
    assert (await outcome_of(notes, note(1))).error is None


# loss


async def test_connections_that_were_ended_while_idle_are_not_missed(
    notes: PostgresDatabase, postgres_url: PostgresUrl
) -> None:
    for number in range(3):
        with as_administrator(postgres_url) as administrator:
            throw_out_others(administrator)
        assert (await outcome_of(notes, note(number))).error is None
        with as_administrator(postgres_url) as administrator:
            throw_out_others(administrator)
        assert await numbers(notes) == list(range(number + 1))


async def test_a_connection_ended_within_a_work_has_it_run_again_whole(
    notes: PostgresDatabase, postgres_url: PostgresUrl
) -> None:
    runs = 0

    def work(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        note(1)(tx)
        tx.after(LogEvent("note.written", {"run": runs}))
        if runs == 1:
            with as_administrator(postgres_url) as administrator:
                throw_out_others(administrator)
        note(2)(tx)

    outcome = await outcome_of(notes, work)
    assert outcome.error is None
    assert [effect.fields["run"] for effect in outcome.effects] == [2]
    assert await numbers(notes) == [1, 2]


@pytest.fixture
async def wired(
    notes: PostgresDatabase, postgres_url: PostgresUrl, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Wire, PostgresDatabase]]:
    with wire_to(postgres_url, tmp_path_factory.mktemp("wire")) as (wire, url):
        database = PostgresDatabase(url, CONNECTIONS)
        await database.start()
        yield wire, database
        await database.stop()


@pytest.mark.parametrize(("cuts", "runs"), [(["before"], 2), (["behind"], 1), (["before", "before", "behind"], 3)])
async def test_a_commit_that_is_not_answered_is_done_once(
    wired: tuple[Wire, PostgresDatabase], cuts: list[str], runs: int
) -> None:
    wire, database = wired
    ran = 0

    def work(tx: Transaction) -> str:
        nonlocal ran
        ran += 1
        tx.run(NOTE, number=100 + ran, body=b"")
        return "done"

    wire.cuts = list(cuts)
    outcome = await outcome_of(database, work)
    assert (outcome.error, outcome.value) == (None, "done")
    assert ran == runs
    assert await numbers(database) == [100 + runs]
    assert wire.cuts == []


async def test_what_nobody_can_tell_is_said_to_be_in_doubt(
    wired: tuple[Wire, PostgresDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    wire, database = wired
    monkeypatch.setattr(postgres_work, "DOUBT_SECONDS_MAX", 0.3)
    wire.cuts = ["behind"]
    monkeypatch.setattr(postgres_session.Session, "status_of", _no_answer)
    outcome = await outcome_of(database, note(1))
    assert isinstance(outcome.error, StorageError)
    assert outcome.error.in_doubt
    monkeypatch.undo()
    assert await numbers(database) == [1]


def _no_answer(_session: postgres_session.Session, _number: str) -> str:
    raise psycopg.OperationalError("nobody is there")


async def test_a_server_that_has_become_read_only_is_said_and_noticed_when_it_writes_again(
    notes: PostgresDatabase, postgres_url: PostgresUrl
) -> None:
    await committed(notes, note(1))
    await asyncio.to_thread(make_read_only, postgres_url, True)
    for _ in range(3):
        outcome = await outcome_of(notes, note(2))
        assert isinstance(outcome.error, StorageError)
        assert "read-only" in str(outcome.error)
    assert await numbers(notes) == [1]
    await asyncio.to_thread(make_read_only, postgres_url, False)
    assert (await outcome_of(notes, note(2))).error is None


# a server that is not there, and secrets

PASSWORD = "correct-horse"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ann:{PASSWORD}@127.0.0.1:1/vault",
        f"postgresql://ann@127.0.0.1:1/vault?password={PASSWORD}",
        f"postgresql://ann:{PASSWORD}@127.0.0.1:port/vault",
        f"postgresql://ann:{PASSWORD}@127.0.0.1:1/vault?nonsense=1",
    ],
    ids=["refused", "as option", "no port", "no option"],
)
async def test_a_server_that_is_not_there_is_named_without_the_password(url: str) -> None:
    database = PostgresDatabase(PostgresUrl(url), CONNECTIONS)
    with pytest.raises(StorageError, match="cannot use postgresql://ann") as refused:
        await database.start()
    assert PASSWORD not in str(refused.value)
    assert PASSWORD not in repr(PostgresUrl(url))
    await database.stop()


async def test_whoever_waits_for_a_server_that_is_not_there_is_told_at_once(
    notes: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_session, "AGAIN_SECONDS", 60.0)
    session = postgres_session.Session(PostgresUrl("postgresql://ann@127.0.0.1:1/vault"))
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            session.begin()
    assert session._not_before > began


def test_only_urls_of_postgres_are_urls_of_postgres() -> None:
    assert location("vault.db") == Path("vault.db")
    assert location("postgresql.db") == Path("postgresql.db")
    assert isinstance(location("postgres://h/vault"), PostgresUrl)
    for wrong in ("mysql://h/vault", f"postgresql://ann:{PASSWORD}@[127.0.0.1:1/vault"):
        with pytest.raises(ValueError, match="postgresql://user@host") as refused:
            PostgresUrl(wrong)
        assert PASSWORD not in str(refused.value)


# hints


async def test_a_hint_reaches_the_others_and_not_its_own_node(
    notes: PostgresDatabase, postgres_url: PostgresUrl
) -> None:
    other = PostgresDatabase(postgres_url, CONNECTIONS)
    here: list[str] = []
    there: list[str] = []
    notes.heed(here.append)
    other.heed(there.append)
    await other.start()
    try:
        await eventually(lambda: there == [""])
        for _ in range(100):
            notes.hint("push")
        notes.hint("ban")
        await eventually(lambda: "ban" in there)
        await eventually(lambda: "push" in there)
        assert sorted(there) == ["", "ban", "push"]  # what is said at once is said once
        assert here in ([], [""])
    finally:
        await other.stop()


async def test_hints_come_again_after_the_connection_was_lost(
    notes: PostgresDatabase, postgres_url: PostgresUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vault_server.storage.postgres_hints.AGAIN_SECONDS", 0.05)
    other = PostgresDatabase(postgres_url, CONNECTIONS)
    there: list[str] = []
    other.heed(there.append)
    await other.start()
    try:
        await eventually(lambda: there == [""])
        with as_administrator(postgres_url) as administrator:
            await asyncio.to_thread(throw_out_others, administrator)
        await eventually(lambda: there == ["", ""])  # something may have been missed

        def repeated() -> bool:  # the sender's own connection was lost, too
            notes.hint("push")
            return "push" in there

        await eventually(repeated)
    finally:
        await other.stop()


# the schema


async def version(database: PostgresDatabase) -> str:
    row = await database.read(lambda reader: reader.one(sql("SELECT value FROM meta WHERE name = 'schema_version'")))
    assert row is not None
    return str(row["value"])


async def test_nodes_that_start_at_once_make_the_schema_once(own_postgres_url: PostgresUrl) -> None:
    nodes = [PostgresDatabase(own_postgres_url, CONNECTIONS) for _ in range(3)]
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        versions = [await version(node) for node in nodes]
        assert versions == [str(SCHEMA_VERSION)] * 3
    finally:
        await asyncio.gather(*(node.stop() for node in nodes))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("CREATE TABLE outbox (x int)", "a table 'outbox' of another program"),
        ("VERSION 9999", "has schema version 9999; this server knows"),
        ("VERSION 1", "has schema version 1, of an older server"),
    ],
)
async def test_what_is_no_schema_of_ours_is_refused_and_left_as_it_is(
    own_postgres_url: PostgresUrl, spoil: str, said: str
) -> None:
    if spoil.startswith("VERSION"):
        made = PostgresDatabase(own_postgres_url, CONNECTIONS)
        await made.start()
        await made.stop()
        spoil = f"UPDATE meta SET value = '{spoil.split()[1]}' WHERE name = 'schema_version'"
    with as_administrator(own_postgres_url) as administrator:
        administrator.execute(spoil)
        before = administrator.execute("SELECT count(*) FROM pg_class").fetchone()
        database = PostgresDatabase(own_postgres_url, CONNECTIONS)
        with pytest.raises(StorageError, match=said):
            await database.start()
        assert administrator.execute("SELECT count(*) FROM pg_class").fetchone() == before


# reading


async def test_a_read_looks_at_one_snapshot_while_others_write(notes: PostgresDatabase) -> None:
    await committed(notes, note(1))
    looked, written = threading.Event(), threading.Event()

    def look_twice(reader: Reader) -> tuple[int, int]:
        first = len(reader.all(sql("SELECT number FROM notes")))
        looked.set()
        assert written.wait(10)
        return first, len(reader.all(sql("SELECT number FROM notes")))

    reading = asyncio.create_task(notes.read(look_twice))
    assert await asyncio.to_thread(looked.wait, 10)
    await committed(notes, note(2))
    written.set()
    assert await reading == (1, 1)


async def test_a_reader_cannot_write(notes: PostgresDatabase) -> None:
    with pytest.raises(StorageError, match="read-only"):
        await notes.read(lambda reader: reader.one(sql("INSERT INTO notes (number) VALUES (1) RETURNING number")))
    assert await numbers(notes) == []


async def test_numbers_are_numbers_whatever_they_were_summed_up_from(notes: PostgresDatabase) -> None:
    row = await notes.read(
        lambda reader: reader.one(sql("SELECT sum(CAST(2 AS BIGINT)) AS whole, CAST(0.5 AS numeric) AS part"))
    )
    assert row is not None
    assert (row["whole"], row["part"]) == (2, 0.5)
    assert isinstance(row["whole"], int)


async def test_a_reader_that_takes_every_error_for_its_own_does_not_take_the_databases(
    notes: PostgresDatabase, postgres_url: PostgresUrl
) -> None:
    """As the pump does with rows that cannot be shown."""
    looks = 0

    def look(reader: Reader) -> int:
        nonlocal looks
        looks += 1
        if looks == 1:
            with as_administrator(postgres_url) as administrator:
                throw_out_others(administrator)
        try:
            return len(reader.all(sql("SELECT number FROM notes")))
        except StorageError:
            raise
        except Exception:
            return -1

    assert await notes.read(look) == 0
    assert looks == 2
