"""Slow work that rows ask for: computed off the loop, concluded by an order, found again after a restart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.vault_server.dispatch.computations import (
    die,
    double_in_the_second_life,
    double_when_allowed,
    write_down,
)
from tests.vault_server.dispatch.conftest import BeginNote, WriteNote, allow_writing, eventually, forbid_writing
from tests.vault_server.storage.rows import committed, note, numbers, sql
from vault_server.core.operation import Job, JobDue, Reader
from vault_server.dispatch import jobs as module
from vault_server.dispatch import seat
from vault_server.dispatch.dispatcher import Dispatcher
from vault_server.dispatch.jobs import Jobs
from vault_server.settings import Settings
from vault_server.storage.database import Database

Log = list[MutableMapping[str, Any]]
Compute = Callable[[Any], Any]


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
async def working(notes: Database, dispatcher: Dispatcher, *jobs_: Job, threads: int = 1) -> AsyncIterator[Jobs]:
    jobs = Jobs(Settings(judge_processes=threads), notes, dispatcher, jobs_)
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


# in worker processes


def by_worker(compute: Compute, path: Path, name: str = "double") -> Job:
    """As `doubling`, over there; the computation is given the number and a path."""
    job = doubling()

    def load(reader: Reader, key: str) -> tuple[int, Path] | None:
        number = job.load(reader, key)
        return None if number is None else (number, path)

    return replace(job, name=name, load=load, compute=compute, by_worker=True)


async def test_a_worker_that_is_killed_in_the_middle_costs_nothing(
    dispatcher: Dispatcher, notes: Database, tmp_path: Path, log: Log, importing: None
) -> None:
    await committed(notes, note(1))
    async with working(notes, dispatcher, by_worker(double_in_the_second_life, tmp_path / "trace")):
        await eventually(lambda: have(notes, [1, 101]))
    assert [line["event"] for line in log if line["event"] != "workers.starved"] == ["worker.died"]


async def test_what_kills_its_workers_is_an_error_and_no_verdict(
    dispatcher: Dispatcher, notes: Database, tmp_path: Path, log: Log, importing: None
) -> None:
    await committed(notes, note(1))
    other = by_worker(write_down, tmp_path / "order", name="other")
    async with working(notes, dispatcher, by_worker(die, tmp_path), replace(other, pending=lambda _: [])) as jobs:
        await eventually(lambda: has_logged(log, "job.failed"))
        assert await numbers(notes) == [1]
        jobs.add(JobDue("other", "1"))
        await eventually(lambda: have(notes, [1, 101]))
    assert [line["event"] for line in log if line["event"].startswith("worker.")] == ["worker.died"] * 2
    [failed] = [line for line in log if line["event"] == "job.failed"]
    assert (failed["job"], failed["key"]) == ("double", "1")


async def is_there(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


async def has_logged(log: Log, event: str) -> bool:
    return any(line["event"] == event for line in log)


async def test_owners_take_turns_at_a_worker(
    dispatcher: Dispatcher, notes: Database, tmp_path: Path, importing: None
) -> None:
    for number in (1, 2, 3, 4, 5):
        await committed(notes, note(number))
    order = tmp_path / "order"
    job = replace(by_worker(write_down, order), pending=lambda _: [])
    async with working(notes, dispatcher, job) as jobs:
        for number, owner in ((1, "ann"), (2, "ann"), (3, "ann"), (4, "bob"), (5, "cy")):
            jobs.add(JobDue("double", str(number), owner))
        await eventually(lambda: have(notes, [1, 2, 3, 4, 5, 101, 102, 103, 104, 105]))
    assert order.read_text().split() == ["1", "4", "5", "2", "3"]


async def test_a_kind_of_which_much_waits_holds_up_no_other(
    dispatcher: Dispatcher, notes: Database, tmp_path: Path, importing: None
) -> None:
    for number in range(1, 5):
        await committed(notes, note(number))
    permission = tmp_path / "permission"
    slow = replace(by_worker(double_when_allowed, permission, name="slow"), pending=lambda _: ["1", "2", "3"])
    quick = replace(by_worker(write_down, tmp_path / "order"), pending=lambda _: ["4"])
    async with working(notes, dispatcher, slow, quick):
        await eventually(lambda: have(notes, [1, 2, 3, 4, 104]))
        permission.touch()
        await eventually(lambda: have(notes, [1, 2, 3, 4, 101, 102, 103, 104]))


async def test_where_no_worker_can_be_started_it_is_tried_again(
    dispatcher: Dispatcher,
    notes: Database,
    tmp_path: Path,
    log: Log,
    importing: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.02)
    await committed(notes, note(1))
    with monkeypatch.context() as missing:
        missing.setattr(seat, "WORKER", ("/nowhere/python",))
        async with working(notes, dispatcher, by_worker(write_down, tmp_path / "order")):
            await eventually(lambda: has_logged(log, "job.postponed"))
            missing.undo()
            await eventually(lambda: have(notes, [1, 101]))


async def test_stop_waits_for_a_worker_as_long_as_draining_may_take(
    dispatcher: Dispatcher, notes: Database, tmp_path: Path, importing: None
) -> None:
    await committed(notes, note(1))
    jobs = Jobs(Settings(drain_ms_max=0), notes, dispatcher, [by_worker(double_when_allowed, tmp_path / "never")])
    await jobs.start()
    await eventually(lambda: is_there(tmp_path / "never.begun"))
    await jobs.stop()
    assert await numbers(notes) == [1]
    async with working(notes, dispatcher, by_worker(write_down, tmp_path / "order")):
        await eventually(lambda: have(notes, [1, 101]))
