"""A dispatcher on a fresh database, with a few orders that do what tests need, and what it logs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from protocol.envelope import Message
from protocol.errors import Code
from protocol.vault import TaskCancelled
from tests.house.tree import ROOT
from tests.vault_server.conftest import make_read_only
from tests.vault_server.people import client
from tests.vault_server.storage.rows import NOTE, make_notes
from vault_server.clock import Clock
from vault_server.core.operation import Caller, Effect, Endpoint, LogEvent, Operation, Refusal, Transaction
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.dispatch.router import Router
from vault_server.settings import Settings
from vault_server.storage.database import Database
from vault_server.storage.postgres import PostgresDatabase
from vault_server.storage.sqlite import SqliteDatabase, _in_thread

ANN = client("ann")
ANYBODY = frozenset(Endpoint)


@dataclass(frozen=True)
class WriteNote:
    """Store a number; replied with it."""

    number: int


@dataclass(frozen=True)
class BeginNote:
    """Store a number, of a job that begins; replied with one more, but with nothing where it is odd."""

    number: int


@dataclass(frozen=True)
class Refuse:
    """Write, then refuse."""


@dataclass(frozen=True)
class Stumble:
    """Write, then run into a defect."""


@dataclass(frozen=True)
class CheckFirst:
    """Checked off the loop; the check waits for `may_pass` and refuses number 13."""

    number: int
    may_pass: threading.Event = field(default_factory=threading.Event)
    thread: list[str] = field(default_factory=list)


def reply(number: int) -> TaskCancelled:
    """A message with a number in it."""
    return TaskCancelled(task=f"{number:032}")


def write_note(tx: Transaction, _caller: Caller, order: Any, now_ms: int) -> Message:
    assert now_ms > 1_600_000_000_000
    tx.run(NOTE, number=order.number, body=b"")
    tx.after(LogEvent("note.written", {"number": order.number}))
    return reply(order.number)


def begin_note(tx: Transaction, _caller: Caller, order: BeginNote, _now_ms: int) -> int | None:
    tx.run(NOTE, number=order.number, body=b"")
    return None if order.number % 2 else order.number + 1


def refuse(tx: Transaction, _caller: Caller, _order: Refuse, _now_ms: int) -> None:
    tx.run(NOTE, number=500, body=b"")
    tx.after(LogEvent("note.written", {"number": 500}))
    raise Refusal(Code.TASK_ENDED, "It has ended.", "Start another.")


def stumble(tx: Transaction, _caller: Caller, _order: Stumble, _now_ms: int) -> None:
    tx.run(NOTE, number=501, body=b"")
    raise ZeroDivisionError("a secret")


def check_first(order: CheckFirst) -> None:
    order.thread.append(threading.current_thread().name)
    assert order.may_pass.wait(10)
    if order.number == 13:
        raise Refusal(Code.BASE_OUT_OF_RANGE, "13 is bad luck.", "Send 14.")


OPERATIONS = [
    Operation(WriteNote, ANYBODY, write_note),
    Operation(BeginNote, ANYBODY, begin_note),
    Operation(Refuse, ANYBODY, refuse),
    Operation(Stumble, ANYBODY, stumble),
    Operation(CheckFirst, ANYBODY, write_note, check=check_first, checked=lambda order: order.number == 0),
]


@pytest.fixture
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    """Every line that is logged."""
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
async def notes(database: Database) -> Database:
    """A database with a table of notes."""
    await make_notes(database)
    return database


class Effects(list[Effect]):
    """What committed batches wanted done; `carry_out` is what a dispatcher is given."""

    def carry_out(self, effects: list[Effect]) -> None:
        """Keep them."""
        self.extend(effects)


@pytest.fixture
def effects() -> Effects:
    """What was to be done after commits."""
    return Effects()


@pytest.fixture
def settings() -> Settings:
    """Two puzzles may wait for their check, three orders go into one batch."""
    return Settings(checks_waiting_max=2, batch_messages_max=3, check_threads=2)


@pytest.fixture
async def dispatcher(settings: Settings, notes: Database, effects: Effects) -> AsyncIterator[Dispatcher]:
    """Started, with the orders of this module."""
    made = Dispatcher(settings, Clock(), notes, Router(OPERATIONS), effects.carry_out)
    await made.start()
    yield made
    await made.stop()


async def forbid_writing(database: Database, forbidden: bool = True) -> None:
    """From now on nothing can be written: SQLite refuses as on a disk that cannot be, PostgreSQL as a standby does."""
    if isinstance(database, SqliteDatabase):
        assert database._writer is not None
        await _in_thread(database._writer, lambda raw: raw.execute(f"PRAGMA query_only = {forbidden:d}"))
    else:
        assert isinstance(database, PostgresDatabase)
        await asyncio.to_thread(make_read_only, database._url, forbidden)


async def allow_writing(database: Database) -> None:
    """Writes work again."""
    await forbid_writing(database, False)


async def eventually(happens: Any, seconds: float = 10) -> None:
    """Wait until a condition holds, an async one or a plain one."""
    async with asyncio.timeout(seconds):
        while True:
            result = happens()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.005)


@pytest.fixture
def importing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes find the tests' modules, too."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
