"""The keeper beside the event loop: a slow disk holds nothing up, and nothing comes back that has ended."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.proof import proof_bytes
from protocol.prover import kept_indices
from tests.vault_solver.test_resuming import until
from vault_solver.archive import Answered
from vault_solver.blocks import CHECKED_MIN
from vault_solver.checkpoint import Bound
from vault_solver.keeper import Keeper
from vault_solver.pipe import Report, Solve, Solved
from vault_solver.plan import Planner
from vault_solver.state import State
from vault_solver.store import Found, Store

JOB = Solve(7, CHECKED_MIN, 3, (1 << 511) + 111)
TASK = "ef" * 16
PLAN = Planner("cd" * 16).plan(TASK, CHECKED_MIN, 512, is_proved=True)
PROVED = replace(JOB, plan=PLAN)
PROOF = b"p" * proof_bytes(JOB.squarings, JOB.modulus)


class SlowDisk(Store):
    """Waits in every call until it is told to go on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 10**6)
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.saved: list[int] = []
        self.calls = 0

    def load(self, bound: Bound) -> Found:
        self._wait()
        return super().load(bound)

    def save(self, bound: Bound, state: State) -> None:
        self._wait()
        super().save(bound, state)
        self.saved.append(state.done)

    def _wait(self) -> None:
        self.calls += 1
        assert self.may_go_on.wait(10)


@pytest.fixture
def disk(tmp_path: Path) -> SlowDisk:
    return SlowDisk(tmp_path / "checkpoints")


async def started(disk: SlowDisk, reports: list[Report] | None = None) -> Keeper:
    heard: list[Report] = [] if reports is None else reports
    keeper = Keeper(disk, "cd" * 16, heard.append)
    await keeper.start()
    keeper.meet("ab" * 32)
    return keeper


@pytest.fixture
async def keeper(disk: SlowDisk) -> AsyncIterator[Keeper]:
    ready = await started(disk)
    yield ready
    disk.may_go_on.set()
    await ready.stop()
    await ready.stop()


async def begun(keeper: Keeper, job: Solve = JOB) -> Solve:
    solved: asyncio.Future[Solve] = asyncio.get_running_loop().create_future()
    keeper.begin(job, TASK, solved.set_result)
    async with asyncio.timeout(10):
        return await solved


async def test_what_was_kept_is_gone_on_with_by_the_next_process(keeper: Keeper, disk: SlowDisk) -> None:
    assert await begun(keeper) == JOB
    keeper.keep(7, State(50, 5))
    await keeper.stop()
    assert disk.saved == [50]
    later = await started(disk)
    assert (await begun(later)).state == State(50, 5)
    await later.stop()


async def test_a_short_puzzle_asks_no_disk(keeper: Keeper, disk: SlowDisk) -> None:
    disk.may_go_on.clear()
    short = Solve(8, CHECKED_MIN - 1, 3, JOB.modulus)
    assert await begun(keeper, short) == short
    keeper.keep(8, State(5, 5))
    assert disk.calls == 0


async def test_on_a_slow_disk_only_the_newest_state_waits(keeper: Keeper, disk: SlowDisk) -> None:
    await begun(keeper)
    disk.may_go_on.clear()
    keeper.keep(7, State(1, 5))
    await until(lambda: disk.calls == 2)
    for done in (2, 3, 4):
        keeper.keep(7, State(done, 5))
    disk.may_go_on.set()
    await until(lambda: disk.saved == [1, 4])
    keeper.keep(7, State(5, 5))
    await until(lambda: disk.saved == [1, 4, 5])
    assert keeper.written == 3


async def test_what_ends_while_it_is_written_leaves_nothing(keeper: Keeper, disk: SlowDisk, tmp_path: Path) -> None:
    await begun(keeper)
    disk.may_go_on.clear()
    keeper.keep(7, State(1, 5))
    await until(lambda: disk.calls == 2)
    keeper.keep(7, State(2, 5))
    keeper.discard(7)
    keeper.keep(7, State(3, 5))
    disk.may_go_on.set()
    await keeper.stop()
    assert disk.saved == [1]
    assert list((tmp_path / "checkpoints").iterdir()) == []


async def test_what_is_cancelled_while_it_is_read_is_not_begun(keeper: Keeper, disk: SlowDisk) -> None:
    disk.may_go_on.clear()
    begun_jobs: list[Solve] = []
    keeper.begin(JOB, TASK, begun_jobs.append)
    keeper.cancel(7)
    disk.may_go_on.set()
    await keeper.stop()
    assert disk.calls == 1
    assert begun_jobs == []


# answers


def squared() -> State:
    assert PLAN is not None
    return State(CHECKED_MIN, 5, tuple((mark, 7) for mark in kept_indices(CHECKED_MIN, PLAN.depth)))


async def test_an_answer_with_its_proof_waits_on_disk_for_the_next_process(disk: SlowDisk) -> None:
    keeper = await started(disk)
    await begun(keeper, PROVED)
    keeper.keep(7, squared())
    keeper.keep_answer(Solved(7, 5, PROOF))
    await keeper.stop()
    reports: list[Report] = []
    later = await started(disk, reports)
    later.look(PROVED, TASK)
    await until(lambda: reports == [Solved(7, 5, PROOF)])
    later.begin(PROVED, TASK, lambda _: None)
    await until(lambda: reports == 2 * [Solved(7, 5, PROOF)])
    reports.clear()
    later.discard(7)
    later.look(PROVED, TASK)
    await later.stop()
    assert reports == []


async def test_what_is_squared_but_not_proved_needs_a_worker(disk: SlowDisk) -> None:
    reports: list[Report] = []
    keeper = await started(disk, reports)
    await begun(keeper, PROVED)
    keeper.keep(7, squared())
    keeper.look(PROVED, TASK)
    assert (await begun(keeper, PROVED)).state == squared()
    assert reports == []
    unproved = replace(PROVED, plan=replace(PLAN, is_proved=False)) if PLAN else JOB
    keeper.look(unproved, TASK)
    await until(lambda: reports == [Solved(7, 5)])
    await keeper.stop()


async def test_a_state_that_lacks_what_a_proof_needs_is_not_gone_on_with(keeper: Keeper) -> None:
    await begun(keeper)
    keeper.keep(7, State(CHECKED_MIN * 3 // 4, 5))
    assert (await begun(keeper)).state is not None
    assert (await begun(keeper, PROVED)).state is None


async def test_an_answer_that_was_taken_is_archived_with_its_residues_and_without(keeper: Keeper) -> None:
    await begun(keeper)
    keeper.keep(7, squared())
    until_ms = int(time.time() * 1000) + 60_000
    short = Solve(8, CHECKED_MIN - 1, 3, JOB.modulus)
    for job in (JOB, short):
        keeper.archive(job, TASK, 5, until_ms)
        keeper.discard(job.assignment)
    found: list[Answered | None] = []
    for number in (7, 8, 9):
        keeper.recall(number, found.append)
    await until(lambda: len(found) == 3)
    assert found == [
        Answered(replace(JOB, state=squared()), TASK, 5, until_ms),
        Answered(short, TASK, 5, until_ms),
        None,
    ]
