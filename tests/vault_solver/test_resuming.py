"""Real solvers that are killed in the middle of real work: what they had checked is not done again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from protocol.puzzle import commit, make_modulus
from protocol.vault import CancelTask, PuzzleAccepted, PuzzleAnswered, SubmitPuzzle, TaskCancelled
from tests.dialling import Dialled, dial
from tests.processes import LoggingProcess, Server
from tests.vault_solver.test_end_to_end import children
from tests.vault_solver.watched_solver import WatchedSolver

MODULUS, TRAPDOOR = make_modulus(512)
LONG = 8_000_000
"""Squarings: about a second."""
ENDLESS = 10**10
OFTEN = ("--crash-loss", "0.1")

Begin = Callable[..., Awaitable[WatchedSolver]]


def order(squarings: int) -> tuple[SubmitPuzzle, int]:
    answer = TRAPDOOR.power(3, squarings)
    return SubmitPuzzle(t=squarings, baseg=3, product=MODULUS, commitment=commit(answer, MODULUS)), answer


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


@pytest.fixture
def begin(server: Server, processes: list[LoggingProcess], tmp_path: Path) -> Begin:
    """A watched solver that is online."""

    async def start(*arguments: str, wrong: int = 0) -> WatchedSolver:
        solver = WatchedSolver(server, tmp_path, arguments or OFTEN, wrong)
        processes.append(solver)
        await solver.start()
        return solver

    return start


async def half_way(solver: WatchedSolver) -> int:
    """Wait until half is done and two checkpoints are there; returns the squarings done by then."""
    await until(lambda: solver.squarings >= LONG // 2 and len(list(solver.checkpoints.glob("*.previous"))) == 1)
    return solver.squarings


async def answered(client: Dialled, answer: int) -> None:
    assert (await client.take(PuzzleAnswered)).answer == answer


async def test_a_solver_that_is_killed_goes_on_from_its_checkpoint(server: Server, begin: Begin) -> None:
    solver = await begin()
    puzzle, answer = order(LONG)
    async with await dial(server.url) as client:
        await client.ask(puzzle, PuzzleAccepted)
        await half_way(solver)
        solver.end_group()
        done = solver.squarings
        await solver.start()
        resumed = await solver.event("assignment.resumed")
        await answered(client, answer)
    assert resumed["percent"] > 30
    assert solver.squarings - done < LONG * (1 - resumed["percent"] / 100) * 1.1, "nothing before it is done again"
    await solver.event("assignment.verdict", verdict="valid")
    await until(lambda: list(solver.checkpoints.iterdir()) == [])


async def test_a_worker_that_is_killed_costs_what_was_not_checked(server: Server, begin: Begin) -> None:
    solver = await begin()
    puzzle, answer = order(LONG)
    async with await dial(server.url) as client:
        await client.ask(puzzle, PuzzleAccepted)
        await half_way(solver)
        (worker,) = children(solver.pid)
        os.kill(worker, signal.SIGKILL)
        await answered(client, answer)
    assert solver.squarings < LONG * 1.35
    assert len(solver.find("worker.died")) == 1


@pytest.mark.parametrize("damaged", [1, 2])
async def test_damaged_checkpoints_are_refused_and_the_work_is_done_all_the_same(
    server: Server, begin: Begin, damaged: int
) -> None:
    solver = await begin()
    puzzle, answer = order(LONG)
    async with await dial(server.url) as client:
        await client.ask(puzzle, PuzzleAccepted)
        await half_way(solver)
        await solver.kill_between_checkpoints()
        for ending in ("*.checkpoint", "*.previous")[:damaged]:
            (path,) = solver.checkpoints.glob(ending)
            raw = path.read_bytes()
            path.write_bytes(raw[:50] + bytes([raw[50] ^ 1]) + raw[51:])
        await solver.start()
        refused = await solver.event("checkpoint.refused", count=damaged)
        await answered(client, answer)
    assert "damaged" in refused["reason"]
    assert len(solver.find("assignment.resumed")) == 2 - damaged
    await until(lambda: list(solver.checkpoints.iterdir()) == [])


async def test_a_solver_that_cannot_write_works_on_and_says_so(server: Server, begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    solver = await begin(*OFTEN, "--checkpoints", str(tmp_path / "file"))
    puzzle, answer = order(LONG)
    async with await dial(server.url) as client:
        await client.ask(puzzle, PuzzleAccepted)
        await answered(client, answer)
    assert len(solver.find("checkpoint.unwritable")) == 1, "said once, however often it is tried"
    assert not solver.find("checkpoint.written")


async def test_a_folder_that_comes_back_is_written_to_again(server: Server, begin: Begin) -> None:
    solver = await begin()
    async with await dial(server.url) as client:
        accepted = await client.ask(order(ENDLESS)[0], PuzzleAccepted)
        await solver.event("checkpoint.written")
        shutil.rmtree(solver.checkpoints)
        solver.checkpoints.touch()
        await solver.event("checkpoint.unwritable")
        solver.checkpoints.unlink()
        await solver.event("checkpoint.writable")
        assert list(solver.checkpoints.iterdir())
        await client.ask(CancelTask(task=accepted.task), TaskCancelled)
        await solver.event("assignment.ended")


async def test_what_ended_while_the_solver_was_away_leaves_no_file(server: Server, begin: Begin) -> None:
    solver = await begin()
    async with await dial(server.url) as client:
        accepted = await client.ask(order(ENDLESS)[0], PuzzleAccepted)
        await solver.event("checkpoint.written")
        solver.end_group()
        assert list(solver.checkpoints.iterdir())
        await client.ask(CancelTask(task=accepted.task), TaskCancelled)
        await solver.start()
        await solver.event("assignment.ended", outcome="released")
    await until(lambda: list(solver.checkpoints.iterdir()) == [])


async def test_flipped_bits_are_told_and_the_answer_is_right(server: Server, begin: Begin) -> None:
    solver = await begin(*OFTEN, wrong=1000)
    puzzle, answer = order(LONG)
    async with await dial(server.url) as client:
        await client.ask(puzzle, PuzzleAccepted)
        await answered(client, answer)
    assert solver.find("squarings.erred")
    await solver.event("assignment.verdict", verdict="valid")


async def test_a_machine_that_always_errs_hands_the_work_back_and_says_why(server: Server, begin: Begin) -> None:
    solver = await begin(*OFTEN, wrong=1)
    solver.errors_expected |= {"machine.errs", "assignment.handed_back"}
    async with await dial(server.url) as client:
        accepted = await client.ask(order(LONG)[0], PuzzleAccepted)
        told = await solver.event("machine.errs")
        await server.event("assignment.returned", task=accepted.task)
    assert "memory" in told["suggestion"]
    assert len(solver.find("squarings.erred")) == 4
    assert solver.find("assignment.handed_back", reason="machine_errs")


async def test_nothing_in_its_log_or_its_files_names_tells_of_a_puzzle(server: Server, begin: Begin) -> None:
    solver = await begin()
    puzzle, answer = order(LONG)
    async with await dial(server.url) as client:
        await client.ask(puzzle, PuzzleAccepted)
        await half_way(solver)
        names = " ".join(path.name for path in solver.checkpoints.iterdir())
        await answered(client, answer)
    printed = solver.log_path.read_text() + solver.stderr_path.read_text() + names
    for secret in (LONG, MODULUS, answer):
        assert str(secret) not in printed
        assert f"{secret:x}" not in printed.lower()


# stopping in order to come back


@pytest.mark.parametrize("stop", ["at once", "when the time is over"])
async def test_work_that_is_kept_on_stop_goes_on_after_a_restart(server: Server, begin: Begin, stop: str) -> None:
    grace = "0" if stop == "at once" else "30"
    solver = await begin("--on-stop", "keep", "--grace", grace)  # no checkpoint before it is asked to stop
    puzzle, answer = order(LONG)
    async with await dial(server.url) as client:
        await client.ask(puzzle, PuzzleAccepted)
        await until(lambda: solver.squarings >= LONG // 3)
        solver.send(signal.SIGTERM)
        await solver.event("solver.draining")
        solver.send(signal.SIGTERM)
        assert await solver.wait(20) == 0
        done = solver.squarings
        suspended = await solver.event("assignment.suspended")
        await solver.start()
        resumed = await solver.event("assignment.resumed")
        await answered(client, answer)
    assert suspended["percent"] == resumed["percent"] > 30
    assert solver.squarings - done < LONG * 0.75
    assert not server.find("assignment.returned")
