"""Nothing is lost: pushes wait for who was away, work stays with who returns in time, and a stop is in order."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import replace
from typing import Any

import pytest

from protocol.envelope import Envelope, Message
from protocol.errors import Code
from protocol.identity import Identity
from protocol.peer import Acknowledged
from protocol.session import Ack, Exit
from protocol.vault import (
    AcceptAssignment,
    AskStatus,
    AssignmentAccepted,
    AssignmentEnded,
    PuzzleAccepted,
    PuzzleAnswered,
    PuzzleOffered,
    StandingChanged,
    SubmitAnswer,
    TaskFailed,
    TaskState,
)
from tests.acceptance import rows
from tests.acceptance.conversation import (
    accept,
    answer,
    be_ready,
    dial_solver,
    next_envelope,
    refused_message,
    write_at_once,
)
from tests.acceptance.puzzles import COMPUTED, Maker, solve
from tests.conftest import StartServer
from tests.dialling import Dialled, dial
from tests.processes import Server


async def gone(server: Server, dialled: Dialled, identity: Identity, *, orderly: bool) -> None:
    """Leave, in order or as a pulled cable does, and wait until the server has noticed."""
    closed = len(server.find("connection.closed", fingerprint=identity.fingerprint))
    if orderly:
        await dialled.close()
    else:
        dialled.drop()
    await server.event("connection.closed", fingerprint=identity.fingerprint, count=closed + 1)


# clients


@pytest.mark.parametrize("orderly", [True, False], ids=["closed", "dropped"])
async def test_an_answer_waits_for_its_client_and_comes_until_acknowledged(
    server: Server, maker: Maker, orderly: bool
) -> None:
    me = Identity.generate()
    order, right = maker.order(COMPUTED)
    client = await dial(server.url, identity=me)
    task = (await client.ask(order, PuzzleAccepted)).task
    await gone(server, client, me, orderly=orderly)
    async with await dial_solver(server) as solver:
        await answer(solver, await accept(solver))

    client = await dial(server.url, identity=me)
    first, seq = await client.receive(PuzzleAnswered)
    assert (first.task, first.answer) == (task, right)
    await gone(server, client, me, orderly=orderly)

    await server.restart()
    client = await dial(server.url, identity=me)
    assert await client.receive(PuzzleAnswered) == (first, seq), "not acknowledged: again, with the same number"
    assert seq is not None
    await client.acknowledge(seq)
    await gone(server, client, me, orderly=True)
    await rows.until_none(server.database, "SELECT seq FROM outbox WHERE endpoint = 'client'")

    async with await dial(server.url, identity=me) as client:
        assert await client.silence() == [], "acknowledged: never again"
        assert (await client.ask(AskStatus(task=task), TaskState)).answer == right, "but it can be asked for"


async def test_every_connection_of_a_key_is_told_and_one_acknowledgement_ends_it(server: Server, maker: Maker) -> None:
    me = Identity.generate()
    order, right = maker.order(COMPUTED)
    async with (
        await dial(server.url, identity=me) as first,
        await dial(server.url, identity=me) as second,
        await dial(server.url) as stranger,
        await dial_solver(server) as solver,
    ):
        await first.ask(order, PuzzleAccepted)
        await answer(solver, await accept(solver))
        seen = await first.receive(PuzzleAnswered)
        assert seen[0].answer == right
        assert await second.receive(PuzzleAnswered) == seen
        assert seen[1] is not None
        await stranger.acknowledge(seen[1])  # somebody else's number
        await stranger.ask(maker.order()[0], PuzzleAccepted)
        async with await dial(server.url, identity=me) as third:
            assert await third.receive(PuzzleAnswered) == seen
            await third.acknowledge(seen[1])
        await rows.until_none(server.database, "SELECT seq FROM outbox WHERE endpoint = 'client'")
        async with await dial(server.url, identity=me) as fourth:
            assert await fourth.silence() == []


async def test_what_is_said_in_the_same_segment_as_the_close_is_heard(server: Server, maker: Maker) -> None:
    me = Identity.generate()
    for leave in ("close", "exit"):
        async with await dial(server.url, identity=me) as client, await dial_solver(server) as solver:
            said: list[Message] = []
            for _ in range(3):
                await client.ask(maker.order(COMPUTED)[0], PuzzleAccepted)
                await answer(solver, await accept(solver))
                _, seq = await client.receive(PuzzleAnswered)
                assert seq is not None
                said.append(Ack(push=seq))
            wire = client.socket.protocol
            for message in said if leave == "close" else [*said, Exit()]:
                frame = client.peer.encode(Envelope(message))
                assert isinstance(frame, bytes)
                wire.send_binary(frame)
            if leave == "close":
                wire.send_close(1000)
            write_at_once(client.socket)
            assert await client.closed() == 1000
        await rows.until_none(server.database, "SELECT seq FROM outbox WHERE endpoint = 'client'")
        async with await dial(server.url, identity=me) as client:
            assert await client.silence() == []


# solvers


@pytest.mark.parametrize("how", ["closed", "dropped", "server killed"])
async def test_a_solver_that_returns_has_kept_its_assignments(server: Server, maker: Maker, how: str) -> None:
    me, customer = Identity.generate(), Identity.generate()
    orders = [maker.order(COMPUTED) for _ in range(2)]
    acknowledged = Acknowledged()
    async with await dial(server.url, identity=customer) as client:
        for order, _ in orders:
            await client.ask(order, PuzzleAccepted)
        solver = await dial_solver(server, me, acknowledged=acknowledged, trusted=True)
        taken = await accept(solver)
        offered, _ = await solver.receive(PuzzleOffered)
        if how == "server killed":
            await server.kill()
            await server.restart()
            await solver.closed()
        else:
            await gone(server, solver, me, orderly=how == "closed")
    async with await dial(server.url, identity=customer) as client:
        solver = await dial_solver(server, me, acknowledged=acknowledged)
        assert (await be_ready(solver)).holding == 2
        again = [(await solver.receive(PuzzleOffered))[0] for _ in range(2)]
        held = [taken, offered]
        if how == "server killed":  # which moves a deadline that is near
            assert all(now.deadline >= before.deadline for now, before in zip(again, held, strict=True))
            held = [replace(before, deadline=now.deadline) for now, before in zip(again, held, strict=True)]
        assert again == held, "the same assignments, under the same numbers"
        assert await solver.silence() == []
        for offer in again:
            kept = await solver.ask(AcceptAssignment(assignment=offer.assignment), AssignmentAccepted)
            assert kept.deadline == offer.deadline
            assert await answer(solver, offer) == "valid"
        told = {(await client.take(PuzzleAnswered)).answer for _ in orders}
        assert told == {right for _, right in orders}
        await solver.close()
    await rows.until_none(server.database, "SELECT seq, kind FROM outbox WHERE kind <> 'standing_changed'")
    rows.check(server.database)


IMPATIENT: dict[str, Any] = {"deadline_ms_min": 1500, "deadline_slack": 1.0}
"""A solver that announces great speed gets the shortest deadline: this long, in milliseconds, after it was asked."""


async def test_who_stays_away_past_the_deadline_loses_the_work_to_another(
    start_server: StartServer, maker: Maker
) -> None:
    server = await start_server(**IMPATIENT)
    me = Identity.generate()
    order, right = maker.order(10_000, committed=False)
    async with await dial(server.url) as client:
        solver = await dial_solver(server, me, speed=2**50)
        task = (await client.ask(order, PuzzleAccepted)).task
        lost = await accept(solver)
        assert lost.deadline <= time.time() * 1000 + 1500
        await gone(server, solver, me, orderly=False)
        async with await dial_solver(server, speed=1) as other, await dial_solver(server, speed=1) as third:
            theirs = await accept(other)
            instead = await accept(third)  # both slots are taken until the deadline
            assert server.find("assignment.expired", assignment=lost.assignment, solver=me.fingerprint)
            assert theirs.task == instead.task == task
            async with await dial_solver(server, me) as returned:
                ended = await returned.take(AssignmentEnded)
                assert (ended.assignment, ended.outcome) == (lost.assignment, "expired")
                fallen = await returned.take(StandingChanged)
                assert (fallen.reason, fallen.score_change, fallen.task) == ("deadline missed", -25.0, task)
                message = SubmitAnswer(assignment=lost.assignment, answer=right)
                await refused_message(returned, message, Code.ASSIGNMENT_ENDED, right)
                assert await returned.silence() == [], "it is not asked for the same task again"
            assert await answer(other, theirs) == "pending"
            assert await answer(third, instead) == "unproved"
        assert (await client.take(PuzzleAnswered)).answer == right
    rows.check(server.database)


async def test_a_deadline_that_passes_while_the_server_is_down_is_kept_at_the_start(
    start_server: StartServer, maker: Maker
) -> None:
    server = await start_server(**IMPATIENT, restart_grace_ms=0)
    customer, me = Identity.generate(), Identity.generate()
    order, right = maker.order(COMPUTED)
    async with await dial(server.url, identity=customer) as client:
        solver = await dial_solver(server, me, speed=2**50)
        task = (await client.ask(order, PuzzleAccepted)).task
        lost = await accept(solver)
        await server.kill()
    await asyncio.sleep(max(0.0, lost.deadline / 1000 - time.time() + 0.05))
    await server.restart()
    await server.event("assignment.expired", assignment=lost.assignment, blamed=False)
    async with await dial_solver(server) as other, await dial(server.url, identity=customer) as client:
        instead = await accept(other)
        assert instead.task == task
        await answer(other, instead)
        assert (await client.take(PuzzleAnswered)).answer == right


async def test_who_comes_back_in_the_grace_after_a_restart_delivers_what_was_due_meanwhile(
    start_server: StartServer, maker: Maker
) -> None:
    server = await start_server(**IMPATIENT, restart_grace_ms=60_000)
    customer, me = Identity.generate(), Identity.generate()
    order, right = maker.order(COMPUTED)
    async with await dial(server.url, identity=customer) as client:
        solver = await dial_solver(server, me, speed=2**50)
        await client.ask(order, PuzzleAccepted)
        held = await accept(solver)
        await server.kill()
    await asyncio.sleep(max(0.0, held.deadline / 1000 - time.time() + 0.05))
    await server.restart()
    await server.event("assignment.excused")
    async with await dial_solver(server, me) as solver, await dial(server.url, identity=customer) as client:
        again = await accept(solver)
        assert again.assignment == held.assignment
        assert again.deadline > held.deadline + 30_000
        assert await answer(solver, again) == "valid"
        assert (await client.take(PuzzleAnswered)).answer == right
    assert not server.find("assignment.expired")


async def test_a_task_that_nobody_answers_fails_and_says_so(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(**IMPATIENT, assignments_max=2)
    me = Identity.generate()
    client = await dial(server.url, identity=me)
    async with await dial_solver(server, speed=2**50) as one, await dial_solver(server, speed=2**50) as two:
        task = (await client.ask(maker.order(10_000)[0], PuzzleAccepted)).task
        await accept(one)
        await accept(two)
        await gone(server, client, me, orderly=False)
        await server.event("task.failed", task=task)
    async with await dial(server.url, identity=me) as client:
        failed = await client.take(TaskFailed)
        assert failed.task == task
        assert "2 assignments" in failed.reason
        state = await client.ask(AskStatus(task=task), TaskState)
        assert (state.status, state.reason, state.answer) == ("failed", failed.reason, None)


async def test_an_open_slot_is_filled_when_a_solver_comes_online(server: Server, maker: Maker) -> None:
    order, right = maker.order(10_000, committed=False)
    async with await dial(server.url) as client:
        accepted = await client.ask(order, PuzzleAccepted)
        assert accepted.assigned == 0
        async with await dial_solver(server) as one:
            first = await accept(one)
            assert (await client.ask(AskStatus(task=accepted.task), TaskState)).assigned == 1
            assert await answer(one, first) == "pending"
            async with await dial_solver(server) as two:
                second = await accept(two)
                assert (second.task, second.product) == (first.task, first.product)
                assert await answer(two, second) == "unproved"
                assert (await client.take(PuzzleAnswered)).answer == right
            assert (await one.take(AssignmentEnded)).outcome == "unproved"


# the end


async def test_sigterm_answers_what_has_arrived_and_says_goodbye(server: Server, maker: Maker) -> None:
    me = Identity.generate()
    client = await dial(server.url, identity=me)
    solver = await dial_solver(server)
    orders = {await client.send(order): right for order, right in (maker.order(COMPUTED) for _ in range(5))}
    for _ in orders:
        offer, _ = await solver.receive(PuzzleOffered)
        await solver.send(SubmitAnswer(assignment=offer.assignment, answer=solve(offer)))
    await asyncio.sleep(0)
    server.send(signal.SIGTERM)
    tasks: dict[str, int] = {}
    while len(tasks) < len(orders):
        envelope = await next_envelope(client)
        if isinstance(envelope.message, PuzzleAccepted):
            assert envelope.re is not None
            tasks[envelope.message.task] = orders[envelope.re]
    assert await client.closed() == 1001
    assert await solver.closed() == 1001
    assert await server.wait() == 0
    assert server.find("server.stopped")
    assert server.stderr_path.read_text().count("Traceback") == 0
    await server.start()
    rows.check(server.database)
    async with await dial(server.url, identity=me) as client:
        for task, right in tasks.items():
            state = await client.ask(AskStatus(task=task), TaskState)
            assert state.answer in (right, None)
            assert state.status in ("answered", "assigned")


async def test_a_drain_ends_also_when_a_peer_does_not_answer(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(drain_ms_max=500)
    deaf = await dial(server.url)
    deaf.socket.transport.pause_reading()
    half, writer = await asyncio.open_connection("127.0.0.1", server.port)
    began = time.monotonic()
    assert await server.terminate() == 0
    assert time.monotonic() - began < 9, "drain_ms_max is kept, not the default of 10 s"
    assert await half.read() == b""
    writer.close()
    deaf.drop()
