"""Worker processes of a real server: killed in the middle of a proof, left behind by a killed server, drained."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import psutil
import pytest

from protocol.identity import Identity
from protocol.proof import Statement
from protocol.puzzle import Puzzle
from protocol.vault import AnswerTaken, PuzzleAccepted, PuzzleAnswered, SubmitAnswer
from tests.acceptance.conversation import accept, dial_solver
from tests.acceptance.operators import is_sound
from tests.acceptance.puzzles import Maker
from tests.dialling import Dialled, dial
from tests.processes import Server
from tests.protocol.forging import honest

SQUARINGS = 1_000_003
GONE_SECONDS_MAX = 10.0


@dataclass
class Story:
    """A client and a solver, and a worker of their server that has checked one proof, and now stands still."""

    server: Server
    maker: Maker
    me: Identity
    client: Dialled
    solver: Dialled
    worker: psutil.Process

    async def prove(self) -> int:
        """One more puzzle, answered with its proof, which waits to be checked; the answer."""
        return await prove(self.client, self.solver, self.maker)


async def prove(client: Dialled, solver: Dialled, maker: Maker) -> int:
    order, answer = maker.order(SQUARINGS, committed=False, proof="required")
    await client.ask(order, PuzzleAccepted)
    offer = await accept(solver)
    assert solver.peer._identity is not None
    statement = Statement(Puzzle(offer.t, offer.baseg, offer.product), offer.task, solver.peer._identity.fingerprint)
    proof = honest(statement, maker.trapdoor).encode(offer.product)
    taken = await solver.ask(SubmitAnswer(assignment=offer.assignment, answer=answer, proof=proof), AnswerTaken)
    assert taken.verdict == "pending"
    return answer


@pytest.fixture
async def story(server: Server, maker: Maker) -> Story:
    me = Identity.generate()
    client, solver = await dial(server.url, identity=me), await dial_solver(server)
    assert server.workers == [], "nothing was to be judged yet"
    answer = await prove(client, solver, maker)
    assert (await client.take(PuzzleAnswered)).answer == answer
    [worker] = server.workers
    os.kill(worker.pid, signal.SIGSTOP)
    return Story(server, maker, me, client, solver, worker)


async def answered(server: Server, client: Dialled, answer: int) -> None:
    """The proof was found to hold, and nobody was blamed for what became of the worker."""
    told = await client.take(PuzzleAnswered)
    assert (told.answer, told.judged_by) == (answer, "proof")
    assert all(moved["change"] > 0 for moved in server.find("standing.changed"))
    is_sound(server)


async def test_a_worker_that_is_killed_in_the_middle_of_a_proof_costs_nobody_anything(story: Story) -> None:
    answer = await story.prove()
    story.worker.kill()
    await answered(story.server, story.client, answer)
    await story.server.event("worker.died", pid=story.worker.pid, exit_code=-signal.SIGKILL)
    assert story.worker not in story.server.workers


async def test_a_killed_server_leaves_no_worker_and_judges_after_its_start(story: Story) -> None:
    answer = await story.prove()
    workers = story.server.workers
    await story.server.kill()
    _, left = psutil.wait_procs(workers, timeout=GONE_SECONDS_MAX)
    assert left == []
    await story.server.restart()
    async with await dial(story.server.url, identity=story.me) as client:
        await answered(story.server, client, answer)


async def test_a_server_that_drains_leaves_no_worker_and_loses_nothing(story: Story) -> None:
    answer = await story.prove()
    workers = story.server.workers
    assert await story.server.terminate() == 0
    assert not any(worker.is_running() for worker in workers)
    await story.server.restart()
    async with await dial(story.server.url, identity=story.me) as client:
        await answered(story.server, client, answer)
