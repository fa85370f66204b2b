"""Outbox rows to whoever is connected: once on each connection, in order, no more than a window, nothing lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, MutableMapping
from typing import Any

import pytest

from protocol.envelope import Message
from tests.vault_server.dispatch.conftest import eventually, reply
from tests.vault_server.people import client, solver
from tests.vault_server.storage.rows import committed, sql
from vault_server.core.operation import Caller, Push, Reader, Row, Transaction
from vault_server.dispatch import horizon
from vault_server.dispatch import pump as module
from vault_server.dispatch.lookout import News
from vault_server.dispatch.pump import Pump
from vault_server.exchange import outbox
from vault_server.exchange.outbox import Acknowledged
from vault_server.settings import Settings
from vault_server.storage.database import Database
from vault_server.storage.postgres import PostgresDatabase
from vault_server.storage.postgres_session import Session

ANN, BOB = client("ann"), client("bob")
WINDOW = 4

Log = list[MutableMapping[str, Any]]


class Connection:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[tuple[int, Message]] = []
        self.revoked: list[Hashable] = []
        self.granted: list[Hashable] = []

    def push(self, seq: int, message: Message) -> None:
        self.got.append((seq, message))

    def grant(self, allowances: Iterable[Hashable]) -> None:
        self.granted += [(len(self.got), allowance) for allowance in allowances]

    def revoke(self, allowances: Iterable[Hashable]) -> None:
        self.revoked += allowances

    @property
    def seqs(self) -> list[int]:
        return [seq for seq, _ in self.got]


def render(_reader: Reader, row: Row) -> Message | None:
    if row["subject"] == "broken":
        raise LookupError("cannot be shown")
    return None if row["subject"] == "gone" else reply(int(row["subject"]))


@pytest.fixture
async def pump(database: Database) -> AsyncIterator[Pump]:
    made = Pump(Settings(push_window=WINDOW), database, {"note": Push("note", render)})
    await made.start()
    yield made
    await made.stop()


Send = Callable[..., Awaitable[list[int]]]


@pytest.fixture
def send(database: Database, pump: Pump) -> Send:
    """Record pushes for somebody in one transaction, and wake the pump; their numbers."""

    async def record(*subjects: object, to: Caller = ANN) -> list[int]:
        def work(tx: Transaction) -> None:
            for subject in subjects:
                outbox.push(tx, to.fingerprint, to.endpoint, "note", str(subject), 1)

        await committed(database, work)
        pump.wake()
        rows = await database.read(lambda reader: reader.all(sql("SELECT seq FROM outbox ORDER BY seq")))
        return [row["seq"] for row in rows][-len(subjects) :]

    return record


def connect(pump: Pump, who: Caller = ANN) -> Connection:
    connection = Connection()
    pump.join(connection, who.subject, who.endpoint)
    return connection


async def acknowledge(database: Database, pump: Pump, connection: Connection, seq: int) -> None:
    await committed(database, lambda tx: outbox.acknowledge(tx, ANN, Acknowledged((seq,)), 1))
    pump.acknowledged(connection, seq)


async def test_a_new_row_reaches_every_connection_of_its_receiver_and_nobody_else(pump: Pump, send: Send) -> None:
    mine, mine_too, theirs, as_solver = connect(pump), connect(pump), connect(pump, BOB), connect(pump, solver("ann"))
    [seq] = await send(1)
    await eventually(lambda: mine.got and mine_too.got)
    assert mine.got == mine_too.got == [(seq, reply(1))]
    [other] = await send(2, to=BOB)
    await eventually(lambda: theirs.got)
    assert theirs.got == [(other, reply(2))]
    assert len(mine.got) == 1
    assert as_solver.got == []


async def test_a_push_grants_its_answer_and_its_acknowledgement_just_before_it_is_sent(
    database: Database, send: Send
) -> None:
    pump = Pump(Settings(), database, {"note": Push("note", render, grants=lambda message: (message, "more"))})
    await pump.start()
    connection = connect(pump)
    [first, second] = await send(1, 2)
    pump.wake()
    await eventually(lambda: connection.seqs == [first, second])
    expected = [(0, reply(1)), (0, "more"), (0, outbox.acknowledgement(first))]
    expected += [(1, reply(2)), (1, "more"), (1, outbox.acknowledgement(second))]
    assert connection.granted == expected
    again = connect(pump)
    await eventually(lambda: again.seqs == [first, second])
    assert again.granted == expected, "a new connection is granted the same"
    await pump.stop()


async def test_a_push_revokes_what_it_ends_once_it_is_acknowledged(database: Database, send: Send) -> None:
    pump = Pump(Settings(), database, {"note": Push("note", render, revokes=lambda message: (message, "more"))})
    await pump.start()
    connection = connect(pump)
    [seq] = await send(1)
    pump.wake()
    await eventually(lambda: connection.got)
    assert connection.revoked == []
    for _ in range(2):
        await acknowledge(database, pump, connection, seq)
    assert connection.revoked == [reply(1), "more"]
    await pump.stop()


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)  # on PostgreSQL it would cost a round trip each time
async def test_a_new_row_is_rendered_right_behind_its_commit_without_another_read(
    database: Database, pump: Pump, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(pump)
    first = await send(1)
    await eventually(lambda: connection.seqs == first)
    with monkeypatch.context() as patch:
        patch.setattr(pump, "_database", None)  # a read would log "pump.failed" and wait
        await committed(database, lambda tx: outbox.push(tx, ANN.fingerprint, ANN.endpoint, "note", "2", 1))
        pump.wake()
        await eventually(lambda: len(connection.got) == 2)
    assert connection.got[1][1] == reply(2)


async def test_where_it_is_written_nobody_need_know_who_is_connected(
    database: Database, pump: Pump, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another process writes, and has not been told yet: the connection reads its own backlog."""
    before = connect(pump)
    first = await send(1)
    await eventually(lambda: before.seqs == first)
    monkeypatch.setattr(pump.lookout, "news", lambda: News(None, {(ANN.subject, ANN.endpoint.value): False}))
    second = await send(2, 3)
    after = connect(pump)
    await eventually(lambda: before.seqs == after.seqs == first + second)
    third = await send(4)
    await eventually(lambda: before.seqs == after.seqs == first + second + third)
    for seq in first + second + third:
        await acknowledge(database, pump, before, seq)
    last = await send(*range(5, 5 + WINDOW))
    await eventually(lambda: before.seqs == first + second + third + last)
    assert len(set(after.seqs)) == len(after.seqs)


async def test_what_could_not_be_looked_at_behind_its_commit_is_read(
    pump: Pump, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(pump)
    first = await send(1)
    await eventually(lambda: connection.seqs == first)
    real = outbox.since
    troubles = iter([LookupError("no luck")])

    def since(reader: Reader, seq: int) -> Any:
        for trouble in troubles:
            raise trouble
        return real(reader, seq)

    monkeypatch.setattr(outbox, "since", since)
    second = await send(2)
    third = await send(3)
    await eventually(lambda: connection.seqs == first + second + third)
    assert next(troubles, None) is None


async def test_more_new_rows_than_one_look_takes_come_whole_and_in_order(
    pump: Pump, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    connections = [connect(pump, Caller(f"{n:032}", "", ANN.endpoint, "")) for n in range(3)]
    await send(0)
    await send(*range(1, WINDOW), to=Caller(f"{1:032}", "", ANN.endpoint, ""))
    await eventually(lambda: len(connections[1].got) == WINDOW - 1)
    assert connections[1].got == [(seq, reply(seq - 1)) for seq in connections[1].seqs]
    assert connections[1].seqs == sorted(connections[1].seqs)


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
async def test_all_that_a_transaction_has_added_is_seen_behind_its_commit(
    database: Database, pump: Pump, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read may show what the next transaction has added, before the replies of that."""
    monkeypatch.setattr(outbox, "BATCH", 2)
    connection = connect(pump)
    first = await send(1)
    await eventually(lambda: connection.seqs == first)
    with monkeypatch.context() as patch:
        patch.setattr(pump, "_database", None)  # a read would log "pump.failed" and wait

        def work(tx: Transaction) -> None:
            for subject in range(2, 2 + WINDOW - 1):
                outbox.push(tx, ANN.fingerprint, ANN.endpoint, "note", str(subject), 1)

        await committed(database, work)
        pump.wake()
        await eventually(lambda: len(connection.got) == WINDOW)
    assert [message for _, message in connection.got] == [reply(n) for n in range(1, WINDOW + 1)]


async def test_what_waited_comes_first_and_in_order(pump: Pump, send: Send) -> None:
    old = await send(1, 2)
    connection = connect(pump)
    new = await send(3)
    await eventually(lambda: len(connection.got) == 3)
    assert connection.seqs == old + new


async def test_each_connection_gets_again_what_was_not_acknowledged(database: Database, pump: Pump, send: Send) -> None:
    first, second = await send(1, 2)
    before = connect(pump)
    await eventually(lambda: before.seqs == [first, second])
    await acknowledge(database, pump, before, first)
    pump.leave(before)
    after = connect(pump)
    await eventually(lambda: after.seqs == [second])
    [third] = await send(3)
    await eventually(lambda: after.seqs == [second, third])
    assert before.seqs == [first, second]


async def test_no_more_than_a_window_until_there_are_acknowledgements(
    database: Database, pump: Pump, send: Send
) -> None:
    connection = connect(pump)
    seqs = await send(*range(3 * WINDOW))
    await eventually(lambda: len(connection.got) == WINDOW)
    await send("gone")
    assert connection.seqs == seqs[:WINDOW]
    for number, seq in enumerate(seqs):
        await eventually(lambda seq=seq: seq in connection.seqs)
        assert len(connection.got) - number <= WINDOW
        await acknowledge(database, pump, connection, seq)
    assert connection.seqs == seqs


async def test_a_backlog_larger_than_the_window_comes_whole_and_once(
    database: Database, pump: Pump, send: Send
) -> None:
    seqs = await send(*range(2 * WINDOW + 1))
    connection = connect(pump)
    for seq in seqs:
        await eventually(lambda seq=seq: seq in connection.seqs)
        await acknowledge(database, pump, connection, seq)
    [last] = await send(99)
    await eventually(lambda: last in connection.seqs)
    assert connection.seqs == [*seqs, last]


async def test_rows_that_stand_need_no_acknowledgement(database: Database, pump: Pump, send: Send) -> None:
    seqs = await send(*range(2 * WINDOW))
    await committed(database, lambda tx: tx.run(sql("UPDATE outbox SET standing = 1")))
    connection = connect(pump)
    await eventually(lambda: connection.seqs == seqs)


async def test_rows_without_an_object_or_with_a_defect_hold_up_nobody(pump: Pump, send: Send, log: Log) -> None:
    connection = connect(pump)
    seqs = await send("gone", "broken", *range(WINDOW))
    await eventually(lambda: connection.seqs == seqs[2:])
    assert {(line["event"], line["seq"]) for line in log} == {("push.failed", seqs[1])}


async def test_a_connection_that_has_left_is_sent_nothing(pump: Pump, send: Send) -> None:
    gone, here = connect(pump), connect(pump)
    await send(1)
    await eventually(lambda: gone.got and here.got)
    pump.leave(gone)
    pump.leave(gone)
    pump.acknowledged(gone, 1)
    await send(2)
    await eventually(lambda: len(here.got) == 2)
    assert len(gone.got) == 1


async def test_a_database_that_cannot_be_read_for_a_while_loses_nothing(
    database: Database,
    pump: Pump,
    send: Send,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.02)
    connection = connect(pump)
    first = await send(1)
    await eventually(lambda: connection.seqs == first)
    await committed(database, lambda tx: tx.run(sql("ALTER TABLE outbox RENAME TO hidden")))
    late = connect(pump)
    await eventually(lambda: any(line["event"] == "storage.failed" for line in log))
    await committed(database, lambda tx: tx.run(sql("ALTER TABLE hidden RENAME TO outbox")))
    second = await send(2)
    await eventually(lambda: connection.seqs == late.seqs == first + second)


async def test_a_backlog_that_could_not_be_read_is_read_again(
    database: Database,
    pump: Pump,
    send: Send,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.02)
    seqs = await send(1)
    real = outbox.of_receiver
    troubles = iter([sql("SELECT 1 FROM no_such_table")])

    def of_receiver(reader: Reader, *arguments: Any) -> Any:
        for trouble in troubles:
            reader.all(trouble)
        return real(reader, *arguments)

    monkeypatch.setattr(outbox, "of_receiver", of_receiver)
    connections = [connect(pump), connect(pump, BOB), connect(pump)]
    await eventually(lambda: connections[0].seqs == connections[2].seqs == seqs)
    assert [line["event"] for line in log] == ["storage.failed"]


# several writers: a number says nothing of when its row appears


@pytest.fixture
async def slow_writer(database: Database) -> AsyncIterator[Callable[[int], Awaitable[Callable[[], Awaitable[int]]]]]:
    """`commit = await slow_writer(subject)`: a push is written and not committed; `await commit()` gives its number."""
    assert isinstance(database, PostgresDatabase)
    sessions: list[Session] = []

    async def begin(subject: int) -> Callable[[], Awaitable[int]]:
        session = Session(database._url)
        sessions.append(session)

        def write() -> int:
            tx, _ = session.begin()
            outbox.push(tx, ANN.fingerprint, ANN.endpoint, "note", str(subject), 1)
            row = tx.one(sql("SELECT max(seq) AS seq FROM outbox"))
            assert row is not None
            return int(row["seq"])

        seq = await asyncio.to_thread(write)

        async def commit() -> int:
            await asyncio.to_thread(session.commit)
            return seq

        return commit

    yield begin
    for session in sessions:
        session.end()
        session.close()


SlowWriter = Callable[[int], Awaitable[Callable[[], Awaitable[int]]]]
on_postgres = pytest.mark.parametrize("dialect", ["postgres"], indirect=True)


@on_postgres
async def test_a_row_that_appears_behind_a_higher_number_is_sent(
    pump: Pump, send: Send, slow_writer: SlowWriter
) -> None:
    connection = connect(pump)
    commit = await slow_writer(1)
    [second] = await send(2)
    await eventually(lambda: connection.seqs == [second])
    first = await commit()
    assert first < second
    pump.wake()
    await eventually(lambda: connection.seqs == [second, first])
    [third] = await send(3)
    await eventually(lambda: connection.seqs == [second, first, third])
    await eventually(lambda: pump._horizon.floor == third)
    assert pump._horizon.handled == set()


@on_postgres
async def test_it_is_sent_to_who_joined_in_between_once(pump: Pump, send: Send, slow_writer: SlowWriter) -> None:
    commit = await slow_writer(1)
    [second] = await send(2)
    connection = connect(pump)
    await eventually(lambda: connection.seqs == [second])
    first = await commit()
    pump.wake()
    await eventually(lambda: connection.seqs == [second, first])
    [third] = await send(3)
    await eventually(lambda: connection.seqs == [second, first, third])


@on_postgres
async def test_it_is_sent_to_who_had_its_window_full(
    database: Database, pump: Pump, send: Send, slow_writer: SlowWriter
) -> None:
    connection = connect(pump)
    commit = await slow_writer(1)
    others = await send(*range(2, 2 + WINDOW))
    await eventually(lambda: connection.seqs == others)
    first = await commit()
    pump.wake()
    [last] = await send(99)
    await eventually(lambda: pump._horizon.floor == last)
    assert connection.seqs == others  # the window is full
    for seq in others:
        await acknowledge(database, pump, connection, seq)
    await eventually(lambda: connection.seqs == [*others, first, last])


@on_postgres
async def test_a_push_from_before_the_start_that_appears_behind_it_is_sent(
    database: Database, send: Send, slow_writer: SlowWriter
) -> None:
    commit = await slow_writer(1)
    [second] = await send(2)
    later = Pump(Settings(push_window=WINDOW), database, {"note": Push("note", render)})
    await later.start()
    try:
        connection = connect(later)
        await eventually(lambda: connection.seqs == [second])
        first = await commit()
        later.wake()
        await eventually(lambda: first in connection.seqs)
        assert set(connection.seqs) == {first, second}  # the other may come twice: its receiver drops doubles
    finally:
        await later.stop()


@on_postgres
async def test_a_transaction_that_never_ends_holds_up_nothing_and_is_not_waited_for_for_ever(
    pump: Pump, send: Send, slow_writer: SlowWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(pump)
    await slow_writer(1)
    sent = [(await send(number))[0] for number in range(2, 5)]
    await eventually(lambda: connection.seqs == sent)
    assert pump._horizon.floor < sent[0]
    assert len(pump._horizon._marks) <= horizon.MARKS_MAX
    monkeypatch.setattr(horizon, "TRANSACTION_SECONDS_MAX", -1.0)
    pump.wake()
    await eventually(lambda: pump._horizon.floor == sent[-1])


@on_postgres
async def test_another_nodes_push_comes_by_polling_alone(database: Database, pump: Pump) -> None:
    connection = connect(pump)
    await committed(database, lambda tx: outbox.push(tx, ANN.fingerprint, ANN.endpoint, "note", "1", 1))
    await eventually(lambda: len(connection.got) == 1)


@on_postgres
async def test_the_others_are_hinted_at_what_is_for_nobody_here(
    database: Database, pump: Pump, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints: list[str] = []
    monkeypatch.setattr(database, "hint", hints.append)
    mine = connect(pump)
    await send(1)
    await eventually(lambda: mine.got)
    assert hints == []
    await send(2, to=BOB)
    await eventually(lambda: hints)
    assert hints == [module.HINT]


@on_postgres
async def test_they_are_hinted_at_what_was_written_while_the_rows_before_it_were_read(
    database: Database, pump: Pump, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints: list[str] = []
    monkeypatch.setattr(database, "hint", hints.append)
    reading, may_end = threading.Event(), threading.Event()
    real = pump._read_new

    def read_new(reader: Reader, seq: int) -> Any:
        seen = real(reader, seq)
        reading.set()
        assert may_end.wait(10)
        return seen

    monkeypatch.setattr(pump, "_read_new", read_new)
    pump.wake()
    await asyncio.to_thread(reading.wait, 10)
    await send(1, to=BOB)
    may_end.set()
    await eventually(lambda: hints)
    assert hints == [module.HINT]
