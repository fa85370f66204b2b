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
from vault_server.dispatch.alarm import POSTPONED_MS, STOOD_STILL_MS, Alarm
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.exchange import deadlines
from vault_server.storage.database import Database

ORDERS = {"note": lambda subject: WriteNote(int(subject)), "refuse": lambda _subject: Refuse()}


@asynccontextmanager
async def ringing(dispatcher: Dispatcher, notes: Database) -> AsyncIterator[Alarm]:
    alarm = Alarm(Clock(), notes, dispatcher, ORDERS)
    await alarm.start()
    await alarm.start()
    yield alarm
    await alarm.stop()
    await alarm.stop()


async def put(notes: Database, name: str, subject: str, in_ms: int) -> int:
    due_ms = Clock().now_ms() + in_ms
    await committed(notes, lambda tx: deadlines.put(tx, name, subject, due_ms))
    return due_ms


async def left(notes: Database) -> list[str]:
    return [row["subject"] for row in await notes.read(lambda reader: deadlines.due(reader, 10**15))]


@contextmanager
def quick(monkeypatch: pytest.MonkeyPatch, look_again_ms: int = 20) -> Iterator[None]:
    monkeypatch.setattr(module, "LOOK_AGAIN_MS", look_again_ms)
    yield


async def test_what_is_due_happens_and_its_row_is_gone(dispatcher: Dispatcher, notes: Database) -> None:
    await put(notes, "note", "1", -5)
    await put(notes, "note", "2", 50)
    await put(notes, "note", "3", 3_600_000)
    async with ringing(dispatcher, notes):
        await eventually(lambda: have(notes, [1, 2]))
    assert await left(notes) == ["3"]


async def have(notes: Database, expected: list[int]) -> bool:
    return await numbers(notes) == expected


async def test_a_deadline_that_is_set_while_it_sleeps_is_not_missed(
    dispatcher: Dispatcher, notes: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quick(monkeypatch):
        async with ringing(dispatcher, notes):
            await eventually(lambda: have(notes, []))
            await put(notes, "note", "1", 30)
            await eventually(lambda: have(notes, [1]))


async def test_more_than_one_look_can_take_happens_at_once(
    dispatcher: Dispatcher, notes: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "BATCH", 4)
    for number in range(10):
        await put(notes, "note", str(number), -5)
    async with ringing(dispatcher, notes):
        await eventually(lambda: have(notes, list(range(10))), seconds=0.9)


async def test_two_alarms_on_one_file_do_it_once(
    dispatcher: Dispatcher, notes: Database, log: list[MutableMapping[str, Any]]
) -> None:
    for number in range(5):
        await put(notes, "note", str(number), -5)
    async with ringing(dispatcher, notes), ringing(dispatcher, notes):
        await eventually(lambda: have(notes, list(range(5))))
    assert log == []


async def is_put_off(notes: Database, first_due: int) -> bool:
    rows = await notes.read(lambda reader: deadlines.due(reader, 10**15))
    return all(row["due"] > first_due for row in rows)


async def test_what_is_refused_is_put_off_and_holds_up_nobody(
    dispatcher: Dispatcher, notes: Database, log: list[MutableMapping[str, Any]]
) -> None:
    first_due = await put(notes, "refuse", "x", -5)
    await put(notes, "note", "1", -5)
    async with ringing(dispatcher, notes):
        await eventually(lambda: have(notes, [1]))
        await eventually(lambda: is_put_off(notes, first_due))
    [row] = await notes.read(lambda reader: deadlines.due(reader, 10**15))
    assert row["subject"] == "x"
    assert POSTPONED_MS <= row["due"] - first_due <= POSTPONED_MS + 10_000
    assert [line["event"] for line in log] == ["deadline.postponed"]


async def test_on_a_disk_that_cannot_be_written_it_waits_and_then_happens(
    dispatcher: Dispatcher, notes: Database, log: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
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
    assert {line["event"] for line in log} - {"hints.interrupted"} == {"storage.failed", "deadline.postponed"}


class Sleepy(Clock):
    """A clock that can be set forward, as the time of a machine that was suspended is."""

    slept_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.slept_ms


@asynccontextmanager
async def sleepy(dispatcher: Dispatcher, notes: Database, waking: list[Any]) -> AsyncIterator[Sleepy]:
    clock = Sleepy()
    alarm = Alarm(clock, notes, dispatcher, ORDERS, waking)
    await alarm.start()
    yield clock
    await alarm.stop()


@pytest.mark.parametrize(("slept_ms", "wakes"), [(STOOD_STILL_MS + 1, True), (STOOD_STILL_MS - 1000, False)])
async def test_who_stood_still_says_so_before_anything_falls_due(
    dispatcher: Dispatcher,
    notes: Database,
    log: list[MutableMapping[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    slept_ms: int,
    wakes: bool,
) -> None:
    await put(notes, "note", "1", 5000)
    with quick(monkeypatch):
        async with sleepy(dispatcher, notes, [WriteNote(7)]) as clock:
            await asyncio.sleep(0.1)
            assert await have(notes, [])
            clock.slept_ms = slept_ms
            await eventually(lambda: have(notes, [1, 7] if wakes else [1]))
            await asyncio.sleep(0.1)  # some more looks: it has woken once
    assert await have(notes, [1, 7] if wakes else [1])
    assert [line["event"] for line in log] == (["server.woke"] if wakes else [])


async def test_nothing_falls_due_before_the_orders_of_waking_are_carried_out(
    dispatcher: Dispatcher, notes: Database, log: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(notes, "note", "1", 5000)
    with quick(monkeypatch):
        async with sleepy(dispatcher, notes, [Refuse()]) as clock:
            clock.slept_ms = 2 * STOOD_STILL_MS
            await eventually(lambda: len(log) >= 3)  # it is tried with every look
            assert await left(notes) == ["1"]
    assert {line["event"] for line in log} == {"storage.failed"}


async def test_a_disk_that_was_full_for_long_counts_as_having_stood_still(
    dispatcher: Dispatcher, notes: Database, log: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(notes, "note", "1", -5)
    await forbid_writing(notes)
    with quick(monkeypatch):
        async with sleepy(dispatcher, notes, [WriteNote(7)]) as clock:
            for _ in range(4):  # each look is a short while after the one before
                seen = len(log)
                await eventually(lambda: len(log) > seen)  # noqa: B023
                clock.slept_ms += STOOD_STILL_MS // 2
            await allow_writing(notes)
            await eventually(lambda: have(notes, [1, 7]))
    assert "server.woke" in [line["event"] for line in log]


async def test_what_was_due_while_nobody_rang_stays_in_its_row(dispatcher: Dispatcher, notes: Database) -> None:
    async with ringing(dispatcher, notes):
        pass
    await put(notes, "note", "1", -5)
    assert await left(notes) == ["1"]
    async with ringing(dispatcher, notes):
        await eventually(lambda: have(notes, [1]))
