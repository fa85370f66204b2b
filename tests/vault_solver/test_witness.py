"""Answers that are called wrong are proved by a real worker process, if there is time, and withdrawn if they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocol.proof import Proof, Statement, verify
from protocol.prover import kept_indices
from protocol.puzzle import Puzzle, make_modulus
from tests.vault_solver.watched_worker import command, squarings_done
from vault_solver.complaints import STANDS_BY, WITHDRAWS, Finding
from vault_solver.effects import Examine
from vault_solver.keeper import Keeper
from vault_solver.pipe import Solve
from vault_solver.plan import Planner
from vault_solver.state import State
from vault_solver.store import Store
from vault_solver.witness import Witness

MODULUS, TRAPDOOR = make_modulus(512)
TASK, SOLVER = "ab" * 16, "cd" * 16
T = 400_000
SPEEDS = {"512": 1_000_000}
KEPT = State(T, TRAPDOOR.power(3, T), tuple((mark, TRAPDOOR.power(3, mark)) for mark in kept_indices(T, 5)))
SHORT = 5_000


class Stand:
    """A witness with an archive, and what it found."""

    def __init__(self, folder: Path, wrong: int = 0) -> None:
        self.tally = folder / "tally"
        self.keeper = Keeper(Store(folder / "checkpoints", 2**24), SOLVER, lambda _: None)
        self.findings: asyncio.Queue[Finding] = asyncio.Queue()
        worker = command(self.tally, wrong)
        self.witness = Witness(self.keeper, Planner(SOLVER), SPEEDS, self.findings.put_nowait, worker)

    async def start(self) -> None:
        await self.keeper.start()
        self.keeper.meet("ef" * 32)

    async def stop(self) -> None:
        await self.witness.stop()
        await self.keeper.stop()

    def answered(self, number: int, answer: int, *, squarings: int = T, state: State | None = KEPT) -> None:
        """An answer that went out; its state is one that was written down."""
        job = Solve(number, squarings, 3, MODULUS)
        if state is not None:
            self.keeper.begin(job, TASK, lambda _: None)
            self.keeper.keep(number, state)
        self.keeper.archive(job, TASK, answer, int(time.time() * 1000) + 60_000)
        self.keeper.discard(number)

    async def finds(self, number: int, seconds: float = 30.0) -> Finding:
        self.witness.look_into(Examine(4, number, int((time.time() + seconds) * 1000)))
        async with asyncio.timeout(20):
            return await self.findings.get()


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    ready = Stand(tmp_path)
    await ready.start()
    yield ready
    await ready.stop()
    await ready.stop()


def holds(finding: Finding, squarings: int = T) -> bool:
    puzzle = Puzzle(squarings, 3, MODULUS)
    proved = verify(Statement(puzzle, TASK, SOLVER), Proof.decode(finding.proof, puzzle))
    return proved == TRAPDOOR.power(3, squarings)


async def test_a_right_answer_is_proved_from_what_was_kept(stand: Stand) -> None:
    stand.answered(7, KEPT.value)
    finding = await stand.finds(7)
    assert (finding.complaint, finding.assignment, finding.response) == (4, 7, STANDS_BY)
    assert holds(finding)
    assert squarings_done(stand.tally) < T / 10


async def test_a_wrong_answer_is_withdrawn(stand: Stand) -> None:
    stand.answered(7, KEPT.value ^ 2)
    finding = await stand.finds(7)
    assert (finding.response, finding.proof) == (WITHDRAWS, b"")
    assert "another answer" in finding.reason


async def test_residues_that_are_wrong_withdraw_nothing_that_was_right(stand: Stand) -> None:
    """The answer that went out was right, though what was kept of it has been damaged since."""
    mark, residue = KEPT.kept[9]
    stand.answered(7, KEPT.value, state=State(T, KEPT.value, (*KEPT.kept[:9], (mark, residue ^ 1), *KEPT.kept[10:])))
    finding = await stand.finds(7)
    assert finding.response == STANDS_BY
    assert holds(finding)


async def test_a_short_one_is_computed_anew(stand: Stand) -> None:
    stand.answered(8, TRAPDOOR.power(3, SHORT), squarings=SHORT, state=None)
    assert holds(await stand.finds(8), SHORT)


async def test_what_nothing_is_kept_of_is_stood_by(stand: Stand) -> None:
    finding = await stand.finds(9)
    assert (finding.response, finding.proof) == (STANDS_BY, b"")
    assert "nothing is kept" in finding.reason


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.01])
async def test_with_too_little_time_it_is_stood_by_without_a_proof(stand: Stand, seconds: float) -> None:
    stand.answered(7, KEPT.value)
    finding = await stand.finds(7, seconds)
    assert (finding.response, finding.proof) == (STANDS_BY, b"")
    assert "longer than there is time" in finding.reason
    assert squarings_done(stand.tally) == 0


async def test_several_take_turns_and_each_is_found(stand: Stand) -> None:
    for number in (1, 2, 3):
        stand.answered(number, KEPT.value)
        stand.witness.look_into(Examine(number, number, int((time.time() + 30) * 1000)))
    async with asyncio.timeout(20):
        findings = [await stand.findings.get() for _ in range(3)]
    assert [finding.complaint for finding in findings] == [1, 2, 3]
    assert all(map(holds, findings))


async def test_a_machine_that_errs_proves_nothing_and_withdraws_nothing(tmp_path: Path) -> None:
    erring = Stand(tmp_path, wrong=1)
    await erring.start()
    erring.answered(7, KEPT.value)
    finding = await erring.finds(7)
    await erring.stop()
    assert (finding.response, finding.proof) == (STANDS_BY, b"")
    assert "no proof came about" in finding.reason


async def test_stopping_gives_up_what_is_under_way(stand: Stand) -> None:
    stand.answered(8, 5, squarings=10**8, state=None)
    stand.witness.look_into(Examine(4, 8, int((time.time() + 1000) * 1000)))
    await asyncio.sleep(0.5)
    async with asyncio.timeout(30):
        await stand.witness.stop()
    assert stand.findings.empty()
