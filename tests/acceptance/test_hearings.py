"""A complaint without a factor: real solvers stand by their answers by themselves, and nobody is convicted by counting.

What is said of it waits for whoever is away, also across kill -9; a factor that was taken is compared after a restart.
"""

from __future__ import annotations

import asyncio
import time

from protocol.identity import Identity
from protocol.vault import (
    AskStatus,
    Complain,
    ComplaintHeard,
    ComplaintRaised,
    ComplaintRuled,
    ComplaintTaken,
    PuzzleAccepted,
    PuzzleAnswered,
    RespondToComplaint,
    StandingChanged,
    StatusUpdated,
    SubmitPuzzle,
    TaskFailed,
    TaskState,
    UpdateStatus,
)
from tests.acceptance import rows
from tests.acceptance.conversation import accept, agree, answer, dial_solver
from tests.acceptance.operators import is_sound
from tests.acceptance.puzzles import Maker
from tests.conftest import StartServer, StartSolver
from tests.dialling import Dialled, dial
from tests.processes import Server

AGREED = 100_000
"""Squarings that no server here computes: what two solvers agree on is the answer."""
LONG_FACTOR, OTHER_FACTOR = 2**4253 - 1, 2**3217 - 1
"""Two primes of Mersenne's."""
CALIBRATION = ("--calibration", "0.02")


async def leave(server: Server, client: Dialled, me: Identity) -> None:
    """Go as a pulled cable does, and wait until the server has noticed."""
    closed = len(server.find("connection.closed", fingerprint=me.fingerprint))
    client.drop()
    await server.event("connection.closed", fingerprint=me.fingerprint, count=closed + 1)


# real solvers


async def answered(client: Dialled, order: SubmitPuzzle, right: int) -> str:
    """A task that the solvers who are online answer."""
    task = (await client.ask(order, PuzzleAccepted)).task
    told = await client.take(PuzzleAnswered)
    assert (told.task, told.answer, told.judged_by) == (task, right, "agreed")
    return task


async def test_solvers_prove_their_answer_by_themselves_and_one_that_is_away_is_not_waited_for(
    start_server: StartServer, start_solver: StartSolver, maker: Maker
) -> None:
    server = await start_server(complaint_response_ms=60_000)
    present, absent = await asyncio.gather(*(start_solver(server, arguments=CALIBRATION) for _ in range(2)))
    async with await dial(server.url) as client:
        first = await answered(client, *maker.order(AGREED, committed=False))
        second = await answered(client, *maker.order(AGREED, committed=False))

        await proved(client, first)
        for solver in (present, absent):
            await solver.event("complaint.ruled", task=first, ruling="rejected")

        await absent.terminate()
        await proved(client, second)
        assert await present.event("complaint.heard", response="stands_by")
        await absent.start()
        await absent.event("complaint.ruled", task=second, ruling="rejected")
        assert len(absent.find("complaint.raised")) <= 1, "it is told the ruling, and asked no more"
        states = [await client.ask(AskStatus(task=task), TaskState) for task in (first, second)]
        assert [(state.status, state.judged_by) for state in states] == [("answered", "proof")] * 2
        assert all(state.answer and state.proof and state.solver for state in states)
    await rows.until_none(server.database, "SELECT kind FROM outbox")
    moved = rows.look(server.database, "SELECT standing, reason FROM score_history WHERE score_change < 0")
    assert [tuple(row) for row in moved] == [("client", "complaint rejected")] * 2
    is_sound(server)


async def proved(client: Dialled, task: str) -> None:
    """A complaint without a factor is rejected by a proof, long before its hearing ends."""
    taken = await client.ask(Complain(task=task, kind="wrong_answer"), ComplaintTaken)
    assert taken.status == "asked"
    assert taken.ruling_by is not None
    told = await client.take(ComplaintRuled)
    assert time.time() * 1000 < taken.ruling_by
    assert (told.task, told.ruling, told.reason) == (task, "rejected", "a proof shows the answer to be right")
    assert (await client.take(StandingChanged)).reason == "complaint rejected"


# away, and killed


async def test_a_client_that_was_away_gets_its_answer_and_its_ruling_once_across_kill_9(
    server: Server, maker: Maker
) -> None:
    me, solvers = Identity.generate(), [Identity.generate(), Identity.generate()]
    order, right = maker.order(AGREED, committed=False)
    client = await dial(server.url, identity=me)
    task = (await client.ask(order, PuzzleAccepted)).task
    await leave(server, client, me)
    for solver in solvers:
        async with await dial_solver(server, solver) as dialled:
            await answer(dialled, await accept(dialled))
    await server.kill()
    await server.start()

    client = await dial(server.url, identity=me)
    assert (await client.take(PuzzleAnswered)).answer == right
    await rows.until_none(server.database, "SELECT seq FROM outbox WHERE kind = 'tlp_response'")
    complaint = (await client.ask(Complain(task=task, kind="wrong_answer"), ComplaintTaken)).complaint
    await leave(server, client, me)
    await server.kill()
    await server.start()

    for solver in solvers:
        async with await dial_solver(server, solver) as dialled:
            raised, seq = await dialled.receive(ComplaintRaised)
            assert raised.complaint == complaint
            word = RespondToComplaint(complaint=complaint, assignment=raised.assignment, response="stands_by")
            await dialled.ask(word, ComplaintHeard)
            assert seq is not None
            await dialled.acknowledge(seq)
    await server.event("complaint.ruled", complaint=complaint)
    await server.kill()
    await server.start()

    client = await dial(server.url, identity=me)
    told, seq = await client.receive(ComplaintRuled)
    assert (told.task, told.ruling) == (task, "undecided")
    assert await client.silence() == [], "the answer was acknowledged and does not come again"
    await leave(server, client, me)
    await server.kill()
    await server.start()
    async with await dial(server.url, identity=me) as client:
        assert await client.receive(ComplaintRuled) == (told, seq), "not acknowledged: it comes again"
        assert seq is not None
        await client.acknowledge(seq)
        await rows.until_none(server.database, "SELECT seq FROM outbox WHERE endpoint = 'client'")
    async with await dial(server.url, identity=me) as client:
        assert await client.silence() == []
    is_sound(server)


async def test_a_factor_that_was_taken_is_compared_after_kill_9(start_server: StartServer) -> None:
    """The factors are so long that making sure of them takes a judge half a second: the server is killed before."""
    server = await start_server(modulus_bits_max=8192)
    me, liars = Identity.generate(), [Identity.generate(), Identity.generate()]
    order = SubmitPuzzle(t=AGREED, baseg=3, product=LONG_FACTOR * OTHER_FACTOR, proof="none")
    async with (
        await dial(server.url, identity=me) as client,
        await dial_solver(server, liars[0]) as one,
        await dial_solver(server, liars[1]) as two,
    ):
        for liar in (one, two):
            await liar.ask(UpdateStatus(state="ready", capacity=1, speeds={"8192": 10**5}), StatusUpdated)
        task = await agree(client, [one, two], order, 12_345)
        taken = await client.ask(Complain(task=task, kind="wrong_answer", factor=LONG_FACTOR), ComplaintTaken)
        assert taken.status == "open"
        await server.kill()
    left = rows.look(server.database, "SELECT status, factor IS NOT NULL FROM complaints")
    assert left == [("open", 1)], "killed before it was compared"
    await server.start()
    async with await dial(server.url, identity=me) as client, await dial_solver(server, liars[0]) as liar:
        told = await client.take(ComplaintRuled)
        assert (told.complaint, told.task, told.ruling) == (taken.complaint, task, "upheld")
        assert (await client.take(TaskFailed)).task == task
        assert (await liar.take(StandingChanged)).reason == "answer proved wrong"
    is_sound(server)
