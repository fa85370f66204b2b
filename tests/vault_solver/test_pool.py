"""The pool with real processes: who dies is replaced, and its work begun again, up to a bound."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from protocol.puzzle import make_modulus
from vault_solver.pipe import Crashed, Progressed, Report, Solve, Solved
from vault_solver.pool import RESTARTS_MAX, Pool

MODULUS, TRAPDOOR = make_modulus(512)
ENDLESS = 1 << 50


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


class Watched:
    def __init__(self) -> None:
        self.reports: asyncio.Queue[Report] = asyncio.Queue()
        self.pool = Pool(1, self.reports.put_nowait)

    async def next(self) -> Report:
        async with asyncio.timeout(10):
            while isinstance(report := await self.reports.get(), Progressed):
                pass
            return report

    async def kill_worker(self) -> None:
        await until(lambda: len(self.pool.pids) == 1)
        (pid,) = self.pool.pids
        os.kill(pid, signal.SIGKILL)
        await until(lambda: pid not in self.pool.pids)


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    started = Watched()
    await started.pool.start()
    yield started
    await started.pool.stop()
    await started.pool.stop()
    assert started.pool.pids == []


async def test_what_no_worker_is_free_for_waits_its_turn(watched: Watched) -> None:
    for number in range(1, 6):
        watched.pool.solve(Solve(number, 100 + number, 3, MODULUS))
    for number in range(1, 6):
        assert await watched.next() == Solved(number, TRAPDOOR.power(3, 100 + number))


async def test_a_cancelled_puzzle_frees_its_worker_and_reports_nothing(watched: Watched) -> None:
    watched.pool.solve(Solve(1, ENDLESS, 3, MODULUS))
    watched.pool.solve(Solve(2, 100, 3, MODULUS))
    watched.pool.solve(Solve(3, 100, 5, MODULUS))
    watched.pool.cancel(1)
    watched.pool.cancel(2)
    assert await watched.next() == Solved(3, TRAPDOOR.power(5, 100))
    assert watched.reports.empty()


async def test_a_dead_worker_is_replaced_and_its_puzzle_begun_again(watched: Watched) -> None:
    squarings = 4_000_000
    watched.pool.solve(Solve(1, squarings, 3, MODULUS))
    await watched.kill_worker()
    assert await watched.next() == Solved(1, TRAPDOOR.power(3, squarings))


async def test_a_worker_that_dies_idle_is_replaced(watched: Watched) -> None:
    await watched.kill_worker()
    watched.pool.solve(Solve(1, 100, 3, MODULUS))
    assert await watched.next() == Solved(1, TRAPDOOR.power(3, 100))


async def test_a_puzzle_that_kills_its_workers_is_given_up(watched: Watched) -> None:
    watched.pool.solve(Solve(1, 100, 3, 0))  # nothing can be computed modulo 0: the process dies of it
    assert await watched.next() == Crashed(1)
    watched.pool.solve(Solve(2, 100, 3, MODULUS))
    assert await watched.next() == Solved(2, TRAPDOOR.power(3, 100))
    assert RESTARTS_MAX == 2


async def test_a_cancelled_puzzle_is_not_begun_again_when_its_worker_dies(watched: Watched) -> None:
    watched.pool.solve(Solve(1, ENDLESS, 3, MODULUS))
    watched.pool.cancel(1)
    await watched.kill_worker()
    watched.pool.solve(Solve(2, 100, 3, MODULUS))
    assert await watched.next() == Solved(2, TRAPDOOR.power(3, 100))


async def test_stopping_takes_a_worker_from_its_work(watched: Watched) -> None:
    watched.pool.solve(Solve(1, ENDLESS, 3, MODULUS))
    async with asyncio.timeout(2):
        await watched.pool.stop()
    assert watched.pool.pids == []
