"""Passing time: each deadline leads to its order once, also after a restart, and is put off when that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from tests.vault_server.dispatch.conftest import (
    Refuse,
    WriteNote,
    allow_writing,
    eventually,
    forbid_writing,
)
from tests.vault_server.storage.rows import committed, numbers
from vault_server.clock import Clock
from vault_server.dispatch import alarm as module
from vault_server.dispatch.alarm import POSTPONED_MS, Alarm
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.exchange import deadlines
from vault_server.storage.sqlite import SqliteDatabase

ORDERS = {"note": lambda subject: WriteNote(int(subject)), "refuse": lambda _subject: Refuse()}


@asynccontextmanager
async def ringing(dispatcher: Dispatcher, notes: SqliteDatabase) -> AsyncIterator[Alarm]:
    alarm = Alarm(Clock(), notes, dispatcher, ORDERS)
    await alarm.start()
    await alarm.start()
    yield alarm
    await alarm.stop()
    await alarm.stop()


async def put(notes: SqliteDatabase, name: str, subject: str, in_ms: int) -> int:
    due_ms = Clock().now_ms() + in_ms
    await committed(notes, lambda tx: deadlines.put(tx, name, subject, due_ms))
    return due_ms


async def left(notes: SqliteDatabase) -> list[str]:
    return [row["subject"] for row in await notes.read(lambda reader: deadlines.due(reader, 10**15))]


@contextmanager
def quick(monkeypatch: pytest.MonkeyPatch, look_again_ms: int = 20) -> Iterator[None]:
    monkeypatch.setattr(module, "LOOK_AGAIN_MS", look_again_ms)
    yield


async def test_what_is_due_happens_and_its_row_is_gone(dispatcher: Dispatcher, notes: SqliteDatabase) -> None:
    await put(notes, "note", "1", -5)
    await put(notes, "note", "2", 50)
    await put(notes, "note", "3", 3_600_000)
    async with ringing(dispatcher, notes):
        await eventually(lambda: have(notes, [1, 2]))
    assert await left(notes) == ["3"]


async def have(notes: SqliteDatabase, expected: list[int]) -> bool:
    return await numbers(notes) == expected


async def test_a_deadline_that_is_set_while_it_sleeps_is_not_missed(
    dispatcher: Dispatcher, notes: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quick(monkeypatch):
        async with ringing(dispatcher, notes):
            await eventually(lambda: have(notes, []))
            await put(notes, "note", "1", 30)
            await eventually(lambda: have(notes, [1]))


async def test_more_than_one_look_can_take_happens_at_once(
    dispatcher: Dispatcher, notes: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "BATCH", 4)
    for number in range(10):
        await put(notes, "note", str(number), -5)
    async with ringing(dispatcher, notes):
        await eventually(lambda: have(notes, list(range(10))), seconds=0.9)


async def test_two_alarms_on_one_file_do_it_once(
    dispatcher: Dispatcher, notes: SqliteDatabase, log: list[MutableMapping[str, Any]]
) -> None:
    for number in range(5):
        await put(notes, "note", str(number), -5)
    async with ringing(dispatcher, notes), ringing(dispatcher, notes):
        await eventually(lambda: have(notes, list(range(5))))
    assert log == []


async def test_what_is_refused_is_put_off_and_holds_up_nobody(
    dispatcher: Dispatcher, notes: SqliteDatabase, log: list[MutableMapping[str, Any]]
) -> None:
    first_due = await put(notes, "refuse", "x", -5)
    await put(notes, "note", "1", -5)
    async with ringing(dispatcher, notes):
        await eventually(lambda: have(notes, [1]))
        await eventually(lambda: bool(log))
    [row] = await notes.read(lambda reader: deadlines.due(reader, 10**15))
    assert row["subject"] == "x"
    assert POSTPONED_MS <= row["due"] - first_due <= POSTPONED_MS + 10_000
    assert [line["event"] for line in log] == ["deadline.postponed"]


async def test_on_a_disk_that_cannot_be_written_it_waits_and_then_happens(
    dispatcher: Dispatcher, notes: SqliteDatabase, log: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POSTPONED_MS", 50)
    await put(notes, "note", "1", -5)
    await forbid_writing(notes)
    with quick(monkeypatch):
        async with ringing(dispatcher, notes):
            await eventually(lambda: len(log) >= 4)
            await asyncio.sleep(0.2)
            assert len(log) < 100  # it looks again every 20 ms and does not spin
            assert await left(notes) == ["1"]
            await allow_writing(notes)
            await eventually(lambda: have(notes, [1]))
    assert {line["event"] for line in log} == {"storage.failed", "deadline.postponed"}


async def test_what_was_due_while_nobody_rang_stays_in_its_row(dispatcher: Dispatcher, notes: SqliteDatabase) -> None:
    async with ringing(dispatcher, notes):
        pass
    await put(notes, "note", "1", -5)
    assert await left(notes) == ["1"]
    async with ringing(dispatcher, notes):
        await eventually(lambda: have(notes, [1]))
