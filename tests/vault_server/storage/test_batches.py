"""One batch is one transaction: order, what is undone with whom, and effects of what is on disk."""

from __future__ import annotations

import gc
import sqlite3
import time
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from protocol.errors import Code
from tests.vault_server.storage.both import Refused
from tests.vault_server.storage.rows import NOTE_ABOUT_NOTHING, committed, make_notes, note, numbers, sql
from vault_server.core.operation import LogEvent, Refusal, Transaction
from vault_server.storage.database import Database, StorageError, Work
from vault_server.storage.sqlite import SqliteDatabase

COUNT = sql("SELECT count(*) AS notes FROM notes")


class Wrong(Exception):
    """A work's own trouble."""


@pytest.fixture
async def notes(database: Database) -> Database:
    await make_notes(database)
    return database


def raise_before_writing(_tx: Transaction) -> None:
    raise Wrong("before")


def raise_after_writing(tx: Transaction) -> None:
    note(77)(tx)
    tx.after(LogEvent("note.written", {"number": 77}))
    raise Wrong("after")


def break_a_rule(tx: Transaction) -> None:
    note(78)(tx)
    note(78)(tx)


def break_a_rule_at_commit(tx: Transaction) -> None:
    tx.run(NOTE_ABOUT_NOTHING, number=81)
    tx.after(LogEvent("client.made", {}))


def ask_nonsense(tx: Transaction) -> None:
    note(79)(tx)
    tx.run(sql("INSERT INTO no_such_table VALUES (1)"))


async def test_works_run_in_order_and_see_what_was_written_before_them(notes: Database) -> None:
    seen: list[int] = []

    def count(tx: Transaction) -> int:
        row = tx.one(COUNT)
        assert row is not None
        seen.append(row["notes"])
        return seen[-1]

    outcomes = await notes.transact([note(1), count, note(2), note(3), count])
    assert [outcome.value for outcome in outcomes] == [1, 1, 2, 3, 3]
    assert all(outcome.error is None for outcome in outcomes)
    assert seen == [1, 3]
    assert await numbers(notes) == [1, 2, 3]


async def test_an_insert_gives_its_own_key_whatever_its_triggers_insert(database: Database) -> None:
    push = sql("INSERT INTO outbox (receiver, endpoint, kind, subject, created_at) VALUES ('r', 'e', 'k', 's', 1)")
    register = sql("INSERT INTO participants (hotkey, fingerprint, registered_at) VALUES (:hotkey, :fingerprint, 1)")
    move = sql(
        "INSERT INTO score_history (standing, hotkey, score_change, score_after, reason, created_at) "
        "VALUES ('participant', :hotkey, 1, :after, 'a reason', 1) RETURNING id"
    )

    def work(tx: Transaction) -> list[int]:
        hotkey = "a" * 64
        tx.run(register, hotkey=hotkey, fingerprint="a" * 32)
        for _ in range(5):
            tx.run(push)
        return [tx.insert(move, hotkey=hotkey, after=51), tx.insert(move, hotkey=hotkey, after=52)]

    [outcome] = await database.transact([work])
    assert outcome.value == [1, 2]
    kept = sql("SELECT id, score_after FROM score_history ORDER BY id")
    rows = await database.read(
        lambda reader: [tuple(row[name] for name in ("id", "score_after")) for row in reader.all(kept)]
    )
    assert rows == [(1, 51), (2, 52)]


async def test_an_empty_batch_has_no_outcomes(notes: Database) -> None:
    assert await notes.transact([]) == []


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (raise_before_writing, Wrong),
        (raise_after_writing, Wrong),
        (break_a_rule, Exception),
        (break_a_rule_at_commit, StorageError),
        (ask_nonsense, StorageError),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_one_bad_work_is_undone_alone(notes: Database, bad: Work, error: type[Exception], place: int) -> None:
    batch: list[Work] = [note(1), note(2)]
    batch.insert(place, bad)
    outcomes = await notes.transact(batch)
    assert isinstance(outcomes[place].error, error)
    assert outcomes[place].value is None
    assert outcomes[place].effects == []
    assert [outcome.error for outcome in outcomes if outcome is not outcomes[place]] == [None, None]
    assert await numbers(notes) == [1, 2]
    assert (await notes.transact([note(3)]))[0].error is None


@pytest.mark.parametrize("bad", [raise_before_writing, raise_after_writing, break_a_rule, break_a_rule_at_commit])
async def test_a_bad_work_alone_leaves_nothing(notes: Database, bad: Work) -> None:
    [outcome] = await notes.transact([bad])
    assert outcome.error is not None
    assert outcome.effects == []
    assert await numbers(notes) == []
    assert await committed(notes, note(1)) == 1


async def test_several_bad_works_of_all_kinds_do_not_take_the_good_ones_along(notes: Database) -> None:
    bad: list[Work] = [raise_before_writing, raise_after_writing, break_a_rule, break_a_rule_at_commit, ask_nonsense]
    batch = [work for number, one_bad in enumerate(bad) for work in (note(number), one_bad)]
    outcomes = await notes.transact(batch)
    assert [outcome.error is None for outcome in outcomes] == [True, False] * len(bad)
    assert await numbers(notes) == list(range(len(bad)))


def counted(effect: str) -> Work:
    def work(tx: Transaction) -> None:
        tx.after(LogEvent(effect, {}))

    return work


@pytest.mark.parametrize("bad", [raise_before_writing, raise_after_writing, break_a_rule_at_commit])
async def test_effects_come_once_and_only_from_what_is_on_disk(notes: Database, bad: Work) -> None:
    outcomes = await notes.transact([counted("first"), bad, counted("second")])
    events = [[effect.event for effect in outcome.effects if isinstance(effect, LogEvent)] for outcome in outcomes]
    assert events == [["first"], [], ["second"]]


async def test_a_refusal_before_writing_runs_the_others_only_once(notes: Database) -> None:
    runs = 0

    def work(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        note(1)(tx)

    await notes.transact([work, raise_before_writing])
    assert runs == 1


def refuse_before_writing(_tx: Transaction) -> None:
    raise Refusal(Code.TASK_ENDED, "It has ended.", "Start another.")


def refuse_after_writing(tx: Transaction) -> None:
    note(80)(tx)
    refuse_before_writing(tx)


@pytest.mark.parametrize("refuse", [refuse_before_writing, refuse_after_writing])
async def test_a_refusal_holds_nothing_of_its_batch(sqlite_database: SqliteDatabase, refuse: Work) -> None:
    """Of the batch whose works share one thread; on PostgreSQL each work has its own, and there is no batch."""
    notes = sqlite_database
    await make_notes(notes)
    gc.collect()
    gc.disable()  # what only the collector can free would wait for it, thousands of objects a second
    try:
        kept, refused = await notes.transact([lambda _tx: Wrong("an object"), refuse])
        assert isinstance(refused.error, Refusal)
        value = weakref.ref(kept.value)
        del kept
        await notes.transact([])  # the writer's thread forgets the batch before
        assert value() is None
    finally:
        gc.enable()


async def test_a_broken_rule_names_itself_to_the_caller_of_the_work(notes: Database) -> None:
    [outcome] = await notes.transact([break_a_rule])
    assert isinstance(outcome.error, Refused)
    assert "notes" in str(outcome.error)


async def test_other_troubles_of_the_database_do_not_say_that_the_disk_is_full(notes: Database) -> None:
    [outcome] = await notes.transact([ask_nonsense])
    assert isinstance(outcome.error, StorageError)
    assert not outcome.error.full
    assert "no_such_table" in str(outcome.error)


async def test_works_that_find_the_file_locked_wait_once_for_all_of_them(
    sqlite_notes: SqliteDatabase, tmp_path: Path
) -> None:
    notes = sqlite_notes
    [limited] = await notes.transact([lambda tx: tx.all(sql("PRAGMA busy_timeout = 300"))])
    assert limited.error is None
    with closing(sqlite3.connect(tmp_path / "vault.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        since = time.monotonic()
        outcomes = await notes.transact([note(number) for number in range(10)])
        assert time.monotonic() - since < 1.5
    assert [str(outcome.error) for outcome in outcomes] == ["the database refused: database is locked"] * 10
    assert await committed(notes, note(1)) == 1


# the disk is full, as SQLite says it


@pytest.fixture
async def sqlite_notes(sqlite_database: SqliteDatabase) -> SqliteDatabase:
    await make_notes(sqlite_database)
    return sqlite_database


def limit_pages(extra: int) -> Callable[[Transaction], None]:
    """Let the file grow by no more than `extra` pages; SQLite then says what it says on a full disk."""

    def work(tx: Transaction) -> None:
        row = tx.one(sql("PRAGMA page_count"))
        assert row is not None
        tx.all(sql(f"PRAGMA max_page_count = {row['page_count'] + extra}"))

    return work


def lift_limit(tx: Transaction) -> None:
    tx.all(sql("PRAGMA max_page_count = 1000000"))


BIG = b"x" * 20_000


async def test_a_full_disk_is_said_and_nothing_is_half_stored(sqlite_notes: SqliteDatabase) -> None:
    await committed(sqlite_notes, limit_pages(2))

    def small_then_big(tx: Transaction) -> None:
        note(1)(tx)
        note(2, BIG)(tx)

    [outcome] = await sqlite_notes.transact([small_then_big])
    assert isinstance(outcome.error, StorageError)
    assert outcome.error.full
    assert "disk is full" in str(outcome.error)
    assert await numbers(sqlite_notes) == []


async def test_a_batch_on_a_full_disk_stores_what_still_fits_and_the_next_batch_works(
    sqlite_notes: SqliteDatabase,
) -> None:
    await committed(sqlite_notes, limit_pages(2))
    outcomes = await sqlite_notes.transact([note(1), note(2, BIG), note(3)])
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, StorageError)
    assert outcomes[1].error.full
    assert await numbers(sqlite_notes) == [1, 3]
    await committed(sqlite_notes, lift_limit)
    outcomes = await sqlite_notes.transact([note(2, BIG), note(4)])
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert await numbers(sqlite_notes) == [1, 2, 3, 4]


async def test_a_full_disk_keeps_being_said_until_there_is_room(sqlite_notes: SqliteDatabase) -> None:
    await committed(sqlite_notes, limit_pages(0))
    for _ in range(3):
        [outcome] = await sqlite_notes.transact([note(1, BIG)])
        assert isinstance(outcome.error, StorageError)
        assert outcome.error.full
    await committed(sqlite_notes, lift_limit)
    assert await committed(sqlite_notes, note(1, BIG)) == 1
