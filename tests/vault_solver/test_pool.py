"""The pool with real processes: who dies is replaced, and its work begun again, up to a bound."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from protocol.puzzle import make_modulus
from tests.vault_solver.watched_worker import command, squarings_done
from vault_solver.pipe import (
    Crashed,
    Erred,
    Miscomputed,
    Progressed,
    Proving,
    Report,
    Solve,
    Solved,
    Squared,
    Suspended,
    Verified,
)
from vault_solver.plan import Plan
from vault_solver.pool import RESTARTS_MAX, WORKER, Pool
from vault_solver.state import State

MODULUS, TRAPDOOR = make_modulus(512)
ENDLESS = 1 << 50
SECONDS_MAX = 60.0
"""What takes a second or two here may take so long on a machine that does much else."""


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


class Watched:
    def __init__(self, check_seconds: float = 30.0, worker: Sequence[str] = WORKER) -> None:
        self.reports: asyncio.Queue[Report] = asyncio.Queue()
        self.pool = Pool(1, self.reports.put_nowait, check_seconds, worker)

    async def next(self, *passed_over: type[Report]) -> Report:
        async with asyncio.timeout(SECONDS_MAX):
            while isinstance(report := await self.reports.get(), (Progressed, *passed_over)):
                pass
            return report

    async def verified(self) -> Verified:
        report = await self.next()
        assert isinstance(report, Verified)
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
    async with asyncio.timeout(SECONDS_MAX):
        await watched.pool.stop()
    assert watched.pool.pids == []


# states and errors


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[Callable[[int], Awaitable[Watched]]]:
    """Starts a pool whose worker checks itself all the time, tallies, and errs in every so manyth call."""
    started: list[Watched] = []

    async def start(wrong: int) -> Watched:
        started.append(Watched(0.02, command(tmp_path / "tally", wrong)))
        await started[-1].pool.start()
        return started[-1]

    yield start
    for each in started:
        await each.pool.stop()


async def test_a_dead_workers_puzzle_goes_on_from_its_last_state(
    watch: Callable[[int], Awaitable[Watched]], tmp_path: Path
) -> None:
    watched, squarings = await watch(0), 4_000_000
    watched.pool.solve(Solve(1, squarings, 3, MODULUS))
    while (verified := await watched.verified()).state.done < squarings // 3:
        pass
    assert verified.state.value == TRAPDOOR.power(3, verified.state.done)
    (pid,) = watched.pool.pids
    os.kill(pid, signal.SIGKILL)
    before_death = squarings_done(tmp_path / "tally")
    assert await watched.next(Verified) == Solved(1, TRAPDOOR.power(3, squarings))
    after = squarings_done(tmp_path / "tally") - before_death
    assert after < (squarings - verified.state.done) * 1.2


async def test_a_puzzle_that_advances_survives_more_deaths_than_one_that_does_not(
    watch: Callable[[int], Awaitable[Watched]],
) -> None:
    watched = await watch(0)
    watched.pool.solve(Solve(1, ENDLESS, 3, MODULUS))
    last = 0
    for _ in range(RESTARTS_MAX + 2):
        while (verified := await watched.verified()).state.done <= last:
            pass
        last = verified.state.done
        await watched.kill_worker()
    watched.pool.cancel(1)


async def test_a_flipped_bit_is_told_and_the_answer_is_right(watch: Callable[[int], Awaitable[Watched]]) -> None:
    watched = await watch(700)
    watched.pool.solve(Solve(1, 2_000_000, 3, MODULUS))
    assert await watched.next(Verified) == Erred(1)
    assert await watched.next(Verified, Erred) == Solved(1, TRAPDOOR.power(3, 2_000_000))


async def test_a_machine_that_always_errs_is_told(watch: Callable[[int], Awaitable[Watched]]) -> None:
    watched = await watch(1)
    watched.pool.solve(Solve(1, ENDLESS, 3, MODULUS))
    for _ in range(4):
        assert await watched.next() == Erred(1)
    assert await watched.next() == Miscomputed(1)


async def test_a_suspended_puzzle_says_where_it_stands_and_goes_on_from_there(
    watched: Watched, watch: Callable[[int], Awaitable[Watched]], tmp_path: Path
) -> None:
    squarings = 6_000_000
    other = await watch(0)
    other.pool.solve(Solve(1, squarings, 3, MODULUS))
    other.pool.solve(Solve(2, squarings, 3, MODULUS))
    verified = await other.verified()
    other.pool.suspend(2)
    other.pool.suspend(1)
    other.pool.suspend(1)
    assert await other.next(Verified) == Suspended(2), "it had not been begun"
    while isinstance(report := await other.next(), Verified):
        verified = report
    assert report == Suspended(1)
    assert squarings_done(tmp_path / "tally") < squarings
    watched.pool.solve(Solve(1, squarings, 3, MODULUS, verified.state))
    assert await watched.next() == Solved(1, TRAPDOOR.power(3, squarings))


async def test_a_worker_that_dies_while_it_suspends_leaves_the_last_state(watched: Watched) -> None:
    watched.pool.solve(Solve(1, ENDLESS, 3, MODULUS))
    (pid,) = watched.pool.pids
    os.kill(pid, signal.SIGSTOP)
    watched.pool.suspend(1)
    os.kill(pid, signal.SIGKILL)
    assert await watched.next() == Suspended(1)


# proofs


async def test_a_worker_that_dies_while_it_proves_does_not_square_again(
    watch: Callable[[int], Awaitable[Watched]], tmp_path: Path
) -> None:
    watched, squarings = await watch(0), 12_000_000
    watched.pool.solve(Solve(1, squarings, 3, MODULUS, plan=Plan("ab" * 16, "cd" * 16, 2, True)))
    while not isinstance(report := await watched.next(Verified, Proving), Squared):
        pass
    assert report.state.done == squarings
    await watched.kill_worker()
    before = squarings_done(tmp_path / "tally")
    solved = await watched.next(Verified, Proving)
    assert isinstance(solved, Solved)
    assert solved.answer == TRAPDOOR.power(3, squarings)
    assert solved.proof
    assert squarings_done(tmp_path / "tally") - before <= squarings // 4


async def test_a_proof_is_cancelled_and_its_worker_is_free(watch: Callable[[int], Awaitable[Watched]]) -> None:
    watched, squarings = await watch(0), 40_000_000
    whole = State(squarings, TRAPDOOR.power(3, squarings), ((squarings - 64, TRAPDOOR.power(3, squarings - 64)),))
    watched.pool.solve(Solve(1, squarings, 3, MODULUS, whole, Plan("ab" * 16, "cd" * 16, 0, True)))
    await asyncio.sleep(0.2)
    watched.pool.cancel(1)
    watched.pool.solve(Solve(2, 100, 3, MODULUS))
    assert await watched.next(Proving) == Solved(2, TRAPDOOR.power(3, 100))
