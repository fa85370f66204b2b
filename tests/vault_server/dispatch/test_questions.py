"""What only reads is answered beside the writer: what it sees, how it fails, and the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from protocol.envelope import Message
from protocol.errors import Code, MessageError
from tests.vault_server.dispatch.conftest import (
    ANN,
    ANYBODY,
    OPERATIONS,
    Effects,
    WriteNote,
    eventually,
    forbid_writing,
    reply,
)
from vault_server.clock import Clock
from vault_server.core.operation import Caller, Operation, Query, Reader, Refusal, Transaction
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.dispatch.router import Router
from vault_server.settings import Settings
from vault_server.storage.database import Database

COUNT = Query("count_notes", "SELECT count(*) AS notes FROM notes")
MISSING = Query("missing", "SELECT id FROM no_such_table")
Log = list[MutableMapping[str, Any]]


@dataclass(frozen=True)
class CountNotes:
    """How many there are."""


@dataclass(frozen=True)
class CountLater:
    """The same, once it may; `has_begun` says that it is being answered."""

    may_go_on: threading.Event = field(default_factory=threading.Event)
    has_begun: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Ask:
    """A question that goes wrong in one way or another."""

    how: str


@dataclass(frozen=True)
class WriteSlowly:
    """Writes, and holds the writer until it may go on."""

    may_go_on: threading.Event = field(default_factory=threading.Event)
    has_begun: threading.Event = field(default_factory=threading.Event)


def count_notes(reader: Reader, _caller: Caller, _order: CountNotes, now_ms: int) -> Message:
    assert now_ms > 1_600_000_000_000
    row = reader.one(COUNT)
    assert row is not None
    return reply(row["notes"])


def count_later(reader: Reader, caller: Caller, order: CountLater, now_ms: int) -> Message:
    order.has_begun.set()
    assert order.may_go_on.wait(10)
    return count_notes(reader, caller, CountNotes(), now_ms)


def go_wrong(reader: Reader, _caller: Caller, order: Ask, _now_ms: int) -> None:
    if order.how == "refused":
        raise Refusal(Code.TASK_NOT_FOUND, "There is no task 1.", "Ask for another.")
    if order.how == "defect":
        raise ZeroDivisionError("a secret")
    reader.one(MISSING)


def write_slowly(_tx: Transaction, _caller: Caller, order: WriteSlowly, _now_ms: int) -> Message:
    order.has_begun.set()
    assert order.may_go_on.wait(10)
    return reply(7)


QUESTIONS = [
    Operation(CountNotes, ANYBODY, count_notes, only_reads=True),
    Operation(CountLater, ANYBODY, count_later, only_reads=True),
    Operation(Ask, ANYBODY, go_wrong, only_reads=True),
    Operation(WriteSlowly, ANYBODY, write_slowly),
]


@pytest.fixture
async def asked(settings: Settings, notes: Database, effects: Effects) -> AsyncIterator[Dispatcher]:
    """A dispatcher with questions."""
    made = Dispatcher(settings, Clock(), notes, Router([*OPERATIONS, *QUESTIONS]), effects.carry_out)
    await made.start()
    yield made
    await made.stop()


async def refused(dispatcher: Dispatcher, order: object) -> MessageError:
    with pytest.raises(MessageError) as caught:
        await dispatcher.call(ANN, order)
    return caught.value


async def test_a_question_sees_all_that_was_replied_before_it_was_asked(asked: Dispatcher) -> None:
    for number in range(20):
        await asked.call(ANN, WriteNote(number))
        assert await asked.call(ANN, CountNotes()) == reply(number + 1)


async def test_a_question_does_not_wait_for_the_writer(asked: Dispatcher) -> None:
    slow = WriteSlowly()
    writing = asyncio.create_task(asked.call(ANN, slow))
    await eventually(slow.has_begun.is_set)
    assert await asked.call(ANN, CountNotes()) == reply(0)
    assert not writing.done()
    slow.may_go_on.set()
    assert await writing == reply(7)


async def test_the_writer_does_not_wait_for_a_question(asked: Dispatcher) -> None:
    slow = CountLater()
    asking = asyncio.create_task(asked.call(ANN, slow))
    await eventually(slow.has_begun.is_set)
    assert await asked.call(ANN, WriteNote(1)) == reply(1)
    assert not asking.done()
    slow.may_go_on.set()
    assert await asking in (reply(0), reply(1))


async def test_many_questions_at_once_are_all_answered(asked: Dispatcher) -> None:
    await asked.call(ANN, WriteNote(1))
    answers = await asyncio.gather(*(asked.call(ANN, CountNotes()) for _ in range(200)))
    assert answers == 200 * [reply(1)]


async def test_a_question_that_is_refused_and_one_with_a_defect(asked: Dispatcher, log: Log) -> None:
    assert (await refused(asked, Ask("refused"))).code is Code.TASK_NOT_FOUND
    assert log == []
    defect = await refused(asked, Ask("defect"))
    assert defect.code is Code.INTERNAL
    assert "secret" not in str(defect)
    assert [(line["event"], line["order"]) for line in log] == [("operation.failed", "Ask")]
    assert await asked.call(ANN, CountNotes()) == reply(0)


async def test_storage_that_cannot_be_read_is_told_and_logged(asked: Dispatcher, log: Log) -> None:
    failed = await refused(asked, Ask("unread"))
    assert failed.code is Code.UNAVAILABLE
    assert failed.retry_after_ms is not None
    assert [line["event"] for line in log] == ["storage.failed"]
    assert await asked.call(ANN, CountNotes()) == reply(0)


async def test_questions_are_answered_while_nothing_can_be_written(asked: Dispatcher, notes: Database) -> None:
    await asked.call(ANN, WriteNote(1))
    await forbid_writing(notes)
    assert (await refused(asked, WriteNote(2))).code is Code.UNAVAILABLE
    await eventually(partial(_is_answered, asked))  # PostgreSQL has ended all connections, and they are made anew
    await forbid_writing(notes, False)


async def _is_answered(asked: Dispatcher) -> bool:
    with suppress(MessageError):
        return bool(await asked.call(ANN, CountNotes()) == reply(1))
    return False


async def test_a_look_beside_all_operations_is_refused_like_them(asked: Dispatcher, log: Log) -> None:
    [row] = await asked.look(lambda reader: reader.all(COUNT))
    assert row["notes"] == 0
    with pytest.raises(MessageError) as caught:
        await asked.look(lambda reader: reader.one(MISSING))
    assert caught.value.code is Code.UNAVAILABLE
    assert [line["event"] for line in log] == ["storage.failed"]


async def test_stop_waits_for_questions_that_are_being_answered(asked: Dispatcher) -> None:
    slow = CountLater()
    asking = asyncio.create_task(asked.call(ANN, slow))
    await eventually(slow.has_begun.is_set)
    stopping = asyncio.create_task(asked.stop())
    await asyncio.sleep(0.02)
    assert not stopping.done()
    assert (await refused(asked, CountNotes())).code is Code.DRAINING
    slow.may_go_on.set()
    await stopping
    assert await asking == reply(0)


async def test_a_receiver_that_fails_is_logged(asked: Dispatcher, log: Log) -> None:
    def fail(_message: Message | None, _refusal: MessageError | None) -> None:
        raise LookupError("gone")

    asked.submit(ANN, CountNotes(), fail)
    await eventually(lambda: [line["event"] for line in log] == ["reply.failed"])
    assert await asked.call(ANN, CountNotes()) == reply(0)
