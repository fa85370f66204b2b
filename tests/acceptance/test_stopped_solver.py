"""A solver that stands still in the middle of its work loses it to another, and works on once it goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from protocol.vault import PuzzleAccepted, PuzzleAnswered
from tests.acceptance import rows
from tests.acceptance.operators import is_sound
from tests.acceptance.puzzles import Maker
from tests.conftest import StartServer, StartSolver
from tests.dialling import Dialled, dial
from tests.processes import Server, Solver

SQUARINGS = 5_000_000
"""About half a second of work at 512 bits: enough to be stopped in the middle of it, and far less than the deadline."""
SHORT = 10_000
"""Too many for the server to compute, none to wait for."""
DEADLINE_MS = 2500


@contextmanager
def stopped(solver: Solver) -> Iterator[None]:
    """The solver and its workers stand still, as on a machine that is suspended."""
    os.killpg(solver.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(solver.pid, signal.SIGCONT)


async def submit(client: Dialled, maker: Maker, squarings: int) -> tuple[str, int]:
    """A task whose answer is what two solvers agree on, and the right answer."""
    order, right = maker.order(squarings, committed=False)
    return (await client.ask(order, PuzzleAccepted)).task, right


async def assigned(server: Server, task: str, place: int) -> tuple[str, int]:
    """The solver and the number of the task's assignment that was made at that place."""
    event = await server.event("task.assigned", task=task, count=place)
    return event["solver"], event["assignment"]


async def test_a_solver_stopped_at_work_is_blamed_and_replaced_and_works_for_others_when_it_goes_on(
    start_server: StartServer, start_solver: StartSolver
) -> None:
    maker = Maker()
    server = await start_server(deadline_ms_min=DEADLINE_MS, deadline_ms_max=DEADLINE_MS)
    started = await asyncio.gather(*(start_solver(server, arguments=["--calibration", "0.02"]) for _ in range(3)))
    solvers = {solver.fingerprint: solver for solver in started}
    for solver in started:
        await server.event("solver.status", solver=solver.fingerprint, state="ready")
    async with await dial(server.url) as client:
        task, right = await submit(client, maker, SQUARINGS)
        (name, lost), (other, _) = await assigned(server, task, 1), await assigned(server, task, 2)
        victim = solvers.pop(name)
        [third] = solvers.keys() - {other}
        await server.event("assignment.accepted", assignment=lost)
        with stopped(victim):
            await server.event("assignment.answered", task=task, solver=other, verdict="pending")
            blamed = await server.event("assignment.expired", assignment=lost)
            assert (blamed["solver"], blamed["blamed"]) == (name, True)
            assert (await assigned(server, task, 3))[0] == third
            told = await client.take(PuzzleAnswered)
            assert (told.task, told.answer, told.judged_by) == (task, right, "agreed")
            assert rows.look(server.database, "SELECT solver_id, reputation_score FROM solvers ORDER BY 2")[0] == (
                name,
                25.0,
            )
            waiting = f"SELECT kind FROM outbox WHERE receiver = 'key:{name}' ORDER BY kind"
            assert rows.look(server.database, waiting) == [("assignment_ended",), ("standing_changed",)]
            assert not victim.find("assignment.solved")
        ended = await victim.event("assignment.ended")
        assert (ended["assignment"], ended["outcome"]) == (lost, "expired")
        fallen = await victim.event("standing.changed")
        assert (fallen["score_change"], fallen["reason"], fallen["task"]) == (-25.0, "deadline missed", task)
        await rows.until_none(server.database, "SELECT kind FROM outbox")

        again, right = await submit(client, maker, SHORT)
        assert name in {(await assigned(server, again, place))[0] for place in (1, 2)}
        assert (await client.take(PuzzleAnswered)).answer == right
        await server.event("assignment.answered", task=again, solver=name, verdict="unproved")
    assert not victim.find("assignment.solved", assignment=lost), "it stopped working on what it had lost"
    assert len(server.find("solver.online")) == 3, "all on their first connections"
    is_sound(server)
