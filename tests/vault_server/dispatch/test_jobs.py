"""Slow work that rows ask for: computed off the loop, concluded by an order, found again after a restart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.vault_server.dispatch.conftest import BeginNote, WriteNote, allow_writing, eventually, forbid_writing
from tests.vault_server.storage.rows import committed, note, numbers, sql
from vault_server.core.operation import Job, JobDue, Reader
from vault_server.dispatch import jobs as module
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.dispatch.jobs import Jobs
from vault_server.settings import Settings
from vault_server.storage.database import Database

Log = list[MutableMapping[str, Any]]


def doubling(compute: Callable[[int], int] = lambda number: 100 + number) -> Job:
    """Every note below 100 asks for one that is larger by 100."""

    def load(reader: Reader, key: str) -> int | None:
        row = reader.one(sql("SELECT number FROM notes WHERE number = :number"), number=int(key))
        return None if row is None else int(row["number"])

    def pending(reader: Reader) -> list[str]:
        undone = "SELECT number FROM notes a WHERE number < 100 AND NOT EXISTS"
        rows = reader.all(sql(f"{undone} (SELECT 1 FROM notes b WHERE b.number = a.number + 100) ORDER BY number"))
        return [str(row["number"]) for row in rows]

    return Job("double", load, compute, lambda _key, result: WriteNote(result), pending)


@asynccontextmanager
async def working(notes: Database, dispatcher: Dispatcher, job: Job, threads: int = 1) -> AsyncIterator[Jobs]:
    jobs = Jobs(Settings(judge_threads=threads), notes, dispatcher, [job])
    await jobs.start()
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()
        await jobs.stop()


async def have(notes: Database, expected: list[int]) -> bool:
    return await numbers(notes) == expected


async def test_a_job_is_read_computed_and_concluded(dispatcher: Dispatcher, notes: Database) -> None:
    threads: list[str] = []

    def compute(number: int) -> int:
        threads.append(threading.current_thread().name)
        return 100 + number

    async with working(notes, dispatcher, doubling(compute)) as jobs:
        await committed(notes, note(1))
        jobs.add(JobDue("double", "1"))
        await eventually(lambda: have(notes, [1, 101]))
    assert len(threads) == 1
    assert threads[0].startswith("judge")


async def test_what_was_left_undone_is_taken_up_at_the_start(dispatcher: Dispatcher, notes: Database) -> None:
    for number in (3, 5):
        await committed(notes, note(number))
    async with working(notes, dispatcher, doubling()):
        await eventually(lambda: have(notes, [3, 5, 103, 105]))


async def test_what_has_no_row_any_more_is_left_alone(dispatcher: Dispatcher, notes: Database, log: Log) -> None:
    async with working(notes, dispatcher, doubling()) as jobs:
        jobs.add(JobDue("double", "7"))
        await committed(notes, note(1))
        jobs.add(JobDue("double", "1"))
        await eventually(lambda: have(notes, [1, 101]))
    assert log == []


async def test_a_defect_in_one_job_does_not_stop_the_next(dispatcher: Dispatcher, notes: Database, log: Log) -> None:
    def compute(number: int) -> int:
        return 100 + number if number > 1 else number // 0

    for number in (1, 2):
        await committed(notes, note(number))
    async with working(notes, dispatcher, doubling(compute)):
        await eventually(lambda: have(notes, [1, 2, 102]))
    assert [(line["event"], line["key"]) for line in log] == [("job.failed", "1")]


async def test_a_conclusion_that_cannot_be_stored_is_tried_again(
    dispatcher: Dispatcher, notes: Database, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.02)
    await committed(notes, note(1))
    await forbid_writing(notes)
    async with working(notes, dispatcher, doubling()):
        await eventually(lambda: any(line["event"] == "job.postponed" for line in log))
        await allow_writing(notes)
        await eventually(lambda: have(notes, [1, 101]))


async def test_stop_lets_the_rest_be_found_at_the_next_start(dispatcher: Dispatcher, notes: Database) -> None:
    started, may_end = threading.Event(), threading.Event()

    def compute(number: int) -> int:
        started.set()
        assert may_end.wait(10)
        return 100 + number

    for number in range(3):
        await committed(notes, note(number))
    async with working(notes, dispatcher, doubling(compute)):
        assert await asyncio.to_thread(started.wait, 10)
        threading.Timer(0.02, may_end.set).start()  # stop waits for what is being computed
    assert set(await numbers(notes)) >= {0, 1, 2}
    async with working(notes, dispatcher, doubling()):
        await eventually(lambda: have(notes, [0, 1, 2, 100, 101, 102]))


async def test_so_many_are_computed_at_once(dispatcher: Dispatcher, notes: Database) -> None:
    together = threading.Barrier(2)

    def compute(number: int) -> int:
        together.wait(10)
        return 100 + number

    for number in range(2):
        await committed(notes, note(number))
    async with working(notes, dispatcher, doubling(compute), threads=2):
        await eventually(lambda: have(notes, [0, 1, 100, 101]))


async def test_a_key_that_waits_or_is_worked_on_is_taken_once_more_at_most(
    dispatcher: Dispatcher, notes: Database
) -> None:
    began, may_end, computed = threading.Event(), threading.Event(), []

    def compute(number: int) -> int:
        computed.append(number)
        began.set()
        assert may_end.wait(10)
        return 100 + len(computed)

    await committed(notes, note(1))
    async with working(notes, dispatcher, doubling(compute), threads=3) as jobs:
        assert await asyncio.to_thread(began.wait, 10)
        for _ in range(5):
            jobs.add(JobDue("double", "1"))
        may_end.set()
        await eventually(lambda: have(notes, [1, 101, 102]))
    assert computed == [1, 1]


async def test_a_job_begins_with_an_order_that_may_say_that_it_is_not_to_be_done(
    dispatcher: Dispatcher, notes: Database
) -> None:
    computed: list[int] = []

    def compute(number: int) -> int:
        computed.append(number)
        return 100 + number

    job = replace(doubling(compute), begin=lambda number: BeginNote(10 + number))
    for number in (1, 2):
        await committed(notes, note(number))
    async with working(notes, dispatcher, job):
        await eventually(lambda: have(notes, [1, 2, 11, 12, 113]))
    assert computed == [13]


async def test_what_was_left_undone_is_looked_for_again(dispatcher: Dispatcher, notes: Database) -> None:
    async with working(notes, dispatcher, replace(doubling(), pending_seconds=0.01)):
        await committed(notes, note(4))
        await eventually(lambda: have(notes, [4, 104]))


async def test_a_kind_has_threads_of_its_own(dispatcher: Dispatcher, notes: Database) -> None:
    together = threading.Barrier(3)

    def compute(number: int) -> int:
        together.wait(10)
        return 100 + number

    for number in range(3):
        await committed(notes, note(number))
    async with working(notes, dispatcher, replace(doubling(compute), threads=3)):
        await eventually(lambda: have(notes, [0, 1, 2, 100, 101, 102]))


async def test_stop_concludes_what_is_being_computed(dispatcher: Dispatcher, notes: Database) -> None:
    began, may_end = threading.Event(), threading.Event()

    def compute(number: int) -> int:
        began.set()
        assert may_end.wait(10)
        return 100 + number

    await committed(notes, note(1))
    async with working(notes, dispatcher, doubling(compute)):
        assert await asyncio.to_thread(began.wait, 10)
        threading.Timer(0.02, may_end.set).start()
    assert await numbers(notes) == [1, 101]
