"""The keeper beside the event loop: a slow disk holds nothing up, and nothing comes back that has ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.vault_solver.test_resuming import until
from vault_solver.blocks import CHECKED_MIN
from vault_solver.checkpoint import Bound
from vault_solver.keeper import Keeper
from vault_solver.pipe import Solve
from vault_solver.state import State
from vault_solver.store import Found, Store

JOB = Solve(7, CHECKED_MIN, 3, (1 << 511) + 111)
TASK = "ef" * 16


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


async def started(disk: SlowDisk) -> Keeper:
    keeper = Keeper(disk, "cd" * 16, lambda _: None)
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
