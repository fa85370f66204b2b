"""Proofs end to end: real solvers prove their answers to a real server, and lose nothing to kill -9 or a flipped bit.

What a watched solver's workers square is counted, so that "nothing is done twice" is a number.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from protocol.identity import Identity
from protocol.proof import Proof, Statement, verify
from protocol.prover import kept_indices, prove
from protocol.puzzle import Puzzle
from protocol.vault import (
    AnswerTaken,
    Complain,
    ComplaintRuled,
    ComplaintTaken,
    PuzzleAccepted,
    PuzzleAnswered,
    PuzzleOffered,
    SubmitAnswer,
    SubmitPuzzle,
)
from tests.acceptance.conversation import accept, dial_solver
from tests.acceptance.operators import is_sound
from tests.acceptance.puzzles import Maker
from tests.conftest import StartServer, StartSolver
from tests.dialling import Dialled, dial
from tests.processes import LoggingProcess, Server
from tests.vault_solver.watched_solver import WatchedSolver

QUICK = ("--calibration", "0.02")
OFTEN = ("--crash-loss", "0.1")
SECOND = 8_000_000
"""Squarings modulo 512 bits: about a second."""
LITTLE_MEMORY = ("--proof-memory", "1")
"""Sixteen residues of 512 bits: the proof takes a sixteenth of the squarings, long enough to be killed in it."""

Begin = Callable[..., Awaitable[WatchedSolver]]


@pytest.fixture
def begin(server: Server, processes: list[LoggingProcess], tmp_path: Path) -> Begin:
    """A watched solver that is online."""

    async def start(*arguments: str, wrong: int = 0) -> WatchedSolver:
        solver = WatchedSolver(server, tmp_path, arguments or OFTEN, wrong)
        processes.append(solver)
        await solver.start()
        return solver

    return start


async def until(holds: Callable[[], bool], seconds: float = 45.0) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


def wanted(maker: Maker, squarings: int, *, proof: str = "required") -> tuple[SubmitPuzzle, int]:
    return maker.order(squarings, committed=False, proof=proof)


async def proved(client: Dialled, order: SubmitPuzzle, answer: int) -> PuzzleAnswered:
    """The answer that comes is right, and so is the proof beside it."""
    told = await client.take(PuzzleAnswered)
    assert (told.answer, told.judged_by) == (answer, "proof")
    assert told.proof is not None
    assert told.solver is not None
    puzzle = Puzzle(order.t, order.baseg, order.product)
    statement = Statement(puzzle, told.task, told.solver)
    assert verify(statement, Proof.decode(told.proof, puzzle)) == answer
    return told


# the plain course


async def test_every_length_is_proved(server: Server, start_solver: StartSolver, maker: Maker) -> None:
    solver = await start_solver(server, arguments=QUICK)
    lengths = (4_097, 50_000, 99_999, 100_000, 2_000_000)
    async with await dial(server.url) as client:
        for squarings in lengths:
            order, answer = wanted(maker, squarings)
            await client.ask(order, PuzzleAccepted)
            await proved(client, order, answer)
    await solver.event("assignment.ended", outcome="valid", count=len(lengths))
    assert len(solver.find("assignment.solved", proved=True)) == len(lengths)
    assert await solver.terminate() == 0
    [summary] = solver.find("solver.summary")
    assert (summary["proofs"], summary["proofs_erred"]) == (len(lengths), 0)
    is_sound(server)


async def test_a_solver_that_errs_sends_no_proof_that_does_not_hold(server: Server, begin: Begin, maker: Maker) -> None:
    solver = await begin("--crash-loss", "30", wrong=100)
    async with await dial(server.url) as client:
        order, answer = wanted(maker, SECOND)
        await client.ask(order, PuzzleAccepted)
        await proved(client, order, answer)
    assert solver.find("proof.erred"), "no check came before the proof, which has found it"
    await solver.event("assignment.ended", outcome="valid")
    assert not server.find("assignment.verdict", verdict="invalid")
    printed = solver.log_path.read_text()
    for secret in (order.t, order.baseg, order.product, answer):
        assert str(secret) not in printed
        assert f"{secret:x}" not in printed


# killed


@pytest.mark.parametrize("when", ["squaring", "proving"])
async def test_a_solver_that_is_killed_proves_its_answer_and_does_nothing_twice(
    server: Server, begin: Begin, maker: Maker, when: str
) -> None:
    squarings = SECOND * 3 // 2
    solver = await begin(*OFTEN, *LITTLE_MEMORY)
    order, answer = wanted(maker, squarings)
    async with await dial(server.url) as client:
        await client.ask(order, PuzzleAccepted)
        if when == "squaring":
            await until(lambda: solver.squarings >= squarings * 6 // 10 and len(previous(solver)) == 1)
        else:
            await until(lambda: squared(solver, squarings))
        solver.end_group()
        assert not solver.find("assignment.solved")
        before = solver.squarings
        await solver.start()
        resumed = await solver.event("assignment.resumed")
        await proved(client, order, answer)
    gap = squarings // 16
    left = squarings * (1 - resumed["percent"] / 100)
    assert resumed["percent"] == 100 if when == "proving" else resumed["percent"] > 40
    assert solver.squarings - before < left * 1.1 + gap * 1.1, "nothing before it is done again"
    await solver.event("assignment.ended", outcome="valid")
    await until(lambda: list(solver.checkpoints.iterdir()) == [])


def previous(solver: WatchedSolver) -> list[Path]:
    return list(solver.checkpoints.glob("*.previous"))


def squared(solver: WatchedSolver, squarings: int) -> bool:
    """All squarings are done, and that is on disk: bytes 68 to 75 of a checkpoint say how many are."""
    with suppress(FileNotFoundError):  # while another takes its place
        return any(done_in(path) == squarings for path in solver.checkpoints.glob("*.checkpoint"))
    return False


async def test_a_proved_answer_that_nobody_has_taken_survives_kill_9_and_is_not_computed_again(
    server: Server, begin: Begin, maker: Maker
) -> None:
    solver = await begin()
    order, answer = wanted(maker, SECOND)
    async with await dial(server.url) as client:
        me = client.peer._identity
        await client.ask(order, PuzzleAccepted)
        await solver.event("assignment.accepted")
        await server.kill()
        await solver.event("assignment.solved", proved=True)
        await until(lambda: squared(solver, SECOND) and small(solver))
        solver.end_group()
    before = solver.squarings
    await server.restart()
    await solver.start()
    async with await dial(server.url, identity=me) as client:
        await proved(client, order, answer)
    await solver.event("assignment.resumed", percent=100.0)
    assert solver.squarings == before
    await until(lambda: list(solver.checkpoints.iterdir()) == [])


def small(solver: WatchedSolver) -> bool:
    """The newest checkpoint holds a proof, and no residue but the answer."""
    [path] = solver.checkpoints.glob("*.checkpoint")
    return path.read_bytes()[144:148] == bytes(4)


def done_in(checkpoint: Path) -> int:
    """The squarings that a checkpoint holds."""
    return int.from_bytes(checkpoint.read_bytes()[68:76], "big")


async def test_when_the_newest_checkpoint_is_damaged_the_one_before_leads_to_the_same_proof(
    server: Server, begin: Begin, maker: Maker
) -> None:
    solver = await begin()
    order, answer = wanted(maker, SECOND)
    async with await dial(server.url) as client:
        await client.ask(order, PuzzleAccepted)
        await until(lambda: solver.squarings >= SECOND // 2 and len(previous(solver)) == 1)
        await solver.kill_between_checkpoints()
        [newest] = solver.checkpoints.glob("*.checkpoint")
        raw = newest.read_bytes()
        newest.write_bytes(raw[:200] + bytes([raw[200] ^ 1]) + raw[201:])
        before = done_in(previous(solver)[0])
        assert before < done_in(newest)
        await solver.start()
        await solver.event("checkpoint.refused")
        resumed = await solver.event("assignment.resumed")
        assert 0 < resumed["percent"] == round(100 * before / SECOND, 1)
        await proved(client, order, answer)


# another was first


def answer_of(maker: Maker, offer: PuzzleOffered, solver: str) -> SubmitAnswer:
    """What an honest solver sends, made through the trapdoor."""
    puzzle = Puzzle(offer.t, offer.baseg, offer.product)
    kept = [(index, maker.trapdoor.power(offer.baseg, index)) for index in kept_indices(offer.t, 3)]

    def power(base: int, squarings: int, _modulus: int) -> int:
        return maker.trapdoor.power(base, squarings)

    proof = prove(Statement(puzzle, offer.task, solver), kept, power).encode(offer.product)
    answer = maker.trapdoor.power(offer.baseg, offer.t)
    return SubmitAnswer(assignment=offer.assignment, answer=answer, proof=proof)


def let_it_have_taken(server: Server, solver: Identity, seconds: int) -> None:
    """As if this solver had had its task for so much longer: a tenth of its time is what others get after it."""
    with closing(sqlite3.connect(server.database, timeout=10)) as connection, connection:
        changed = connection.execute(
            "UPDATE task_assignments SET assigned_at = assigned_at - ? WHERE solver_id = ?",
            (1000 * seconds, solver.fingerprint),
        )
        assert changed.rowcount == 1


@pytest.mark.parametrize(("share", "is_in_time"), [(0.96, True), (0.2, False)], ids=["nearly done", "far from it"])
async def test_who_is_second_by_a_little_still_counts_and_who_is_far_behind_stops(
    server: Server, begin: Begin, maker: Maker, share: float, is_in_time: bool
) -> None:
    order, answer = wanted(maker, 4 * SECOND)
    me = Identity.generate()
    async with await dial(server.url) as client, await dial_solver(server, me) as first:
        second = await begin()
        second.hold_at(int(share * order.t))
        accepted = await client.ask(order, PuzzleAccepted)
        assert accepted.assigned == 2
        offer = await accept(first)
        if is_in_time:
            let_it_have_taken(server, me, seconds=300)
        await until(lambda: second.squarings >= share * order.t)
        verdict = await first.ask(answer_of(maker, offer, me.fingerprint), AnswerTaken)
        assert verdict.verdict == "pending"
        await proved(client, order, answer)
        await second.event("assignment.ended", outcome="released")
        if is_in_time:
            await second.event("assignment.late")
            assert not second.find("assignment.solved")
            second.let_go()
            await second.event("assignment.solved", proved=True)
            await second.event("assignment.ended", outcome="valid")
            await second.event("standing.changed", reason="valid answer")
        else:
            second.let_go()
            await asyncio.sleep(0.5)
            assert not second.find("assignment.late")
            assert not second.find("assignment.solved")
    is_sound(server)


async def test_new_work_is_begun_while_late_work_goes_on_only_if_it_can_wait(
    server: Server, begin: Begin, maker: Maker
) -> None:
    """The server counts the slot as free and gives it new work at once: with hours for it, it waits a moment."""
    order, answer = wanted(maker, 4 * SECOND)
    me = Identity.generate()
    async with await dial(server.url) as client, await dial_solver(server, me) as first:
        second = await begin()
        second.hold_at(int(0.96 * order.t))
        await client.ask(order, PuzzleAccepted)
        offer = await accept(first)
        let_it_have_taken(server, me, seconds=300)
        await until(lambda: second.squarings >= 0.96 * order.t)
        await first.ask(answer_of(maker, offer, me.fingerprint), AnswerTaken)
        await second.event("assignment.late")
        next_order, next_answer = wanted(maker, SECOND)
        await proved(client, order, answer)
        await client.ask(next_order, PuzzleAccepted)
        second.let_go()
        await second.event("assignment.solved", count=2, proved=True)
        await proved(client, next_order, next_answer)
    solved = [event["assignment"] for event in second.find("assignment.solved")]
    assert solved == sorted(solved)
    assert not second.find("assignment.late_dropped")


# complaints


async def test_an_answer_without_a_proof_is_proved_when_somebody_complains_also_after_kill_9(
    start_server: StartServer, start_solver: StartSolver, maker: Maker
) -> None:
    server = await start_server(complaint_response_ms=60_000)
    solvers = [await start_solver(server, arguments=QUICK) for _ in range(2)]
    order, answer = wanted(maker, SECOND // 4, proof="none")
    async with await dial(server.url) as client:
        task = (await client.ask(order, PuzzleAccepted)).task
        told = await client.take(PuzzleAnswered)
        assert (told.answer, told.judged_by, told.proof) == (answer, "agreed", None)
        for solver in solvers:
            await solver.event("assignment.verdict")
            kept = solver.key_path.with_suffix(".checkpoints")
            await until(functools.partial(is_archived, kept))
            solver.end_group()
        for solver in solvers:
            await solver.start()
        began = time.monotonic()
        await client.ask(Complain(task=task, kind="wrong_answer"), ComplaintTaken)
        ruled = await client.take(ComplaintRuled)
        assert (ruled.ruling, ruled.reason) == ("rejected", "a proof shows the answer to be right")
        assert time.monotonic() - began < 30, "long before the hearing ends"
    examined = [event for solver in solvers for event in solver.find("complaint.examined", proved=True)]
    assert examined
    assert {event["response"] for event in examined} == {"stands_by"}


def is_archived(kept: Path) -> bool:
    return [path.suffix for path in kept.iterdir()] == [".answered"]


async def test_nothing_is_kept_of_what_was_proved(server: Server, begin: Begin, maker: Maker) -> None:
    solver = await begin()
    order, answer = wanted(maker, SECOND // 4)
    async with await dial(server.url) as client:
        await client.ask(order, PuzzleAccepted)
        await proved(client, order, answer)
        await solver.event("assignment.verdict")
        await until(lambda: list(solver.checkpoints.iterdir()) == [])
