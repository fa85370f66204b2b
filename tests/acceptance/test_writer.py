"""The process that writes the embedded database: it ends with its server, the server with it, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil
import pytest

from protocol.errors import Code, MessageError
from protocol.identity import Identity
from protocol.puzzle import square_repeatedly
from protocol.session import Ping, Pong
from protocol.vault import (
    AcceptAssignment,
    AnswerTaken,
    AskStatus,
    AssignmentAccepted,
    PuzzleAccepted,
    PuzzleAnswered,
    PuzzleOffered,
    SubmitAnswer,
    TaskState,
)
from tests.acceptance import rows
from tests.acceptance.conversation import accept, answer, dial_solver, next_envelope
from tests.acceptance.operators import is_sound
from tests.acceptance.puzzles import Maker
from tests.dialling import dial
from tests.processes import Server

STANDS_STILL_SECONDS = 0.5


async def test_a_server_whose_writer_is_killed_ends_says_so_and_has_lost_nothing(server: Server, maker: Maker) -> None:
    me, order, right = Identity.generate(), *maker.order(1000)
    server.errors_expected |= {"writer.died", "storage.failed", "presence.failed"}
    async with await dial(server.url, identity=me) as client:
        task = (await client.ask(order, PuzzleAccepted)).task
        writer = server.writer
        writer.send_signal(signal.SIGKILL)
        assert await server.wait() == 1
    assert server.find("writer.died", reason=f"process {writer.pid} ended with exit code -9")
    assert "start the server again" in server.stderr_path.read_text()
    await server.restart()
    async with await dial(server.url, identity=me) as client, await dial_solver(server) as solver:
        assert (await client.ask(AskStatus(task=task), TaskState)).task == task
        await answer(solver, await accept(solver))
        assert (await client.take(PuzzleAnswered)).answer == right
    is_sound(server)


async def test_what_the_writer_had_not_answered_is_in_doubt_and_may_be_repeated(server: Server, maker: Maker) -> None:
    me, (order, _) = Identity.generate(), maker.order(key="once")
    server.errors_expected |= {"writer.died", "storage.failed", "presence.failed"}
    async with await dial(server.url, identity=me) as client:
        await client.ask(Ping(), Pong)
        os.kill(server.writer.pid, signal.SIGSTOP)
        asked = asyncio.create_task(client.ask(order, PuzzleAccepted))
        await asyncio.sleep(STANDS_STILL_SECONDS)
        assert not asked.done()
        os.kill(server.writer.pid, signal.SIGKILL)
        with pytest.raises(MessageError, match="whether it did is not known") as refused:
            await asked
        assert refused.value.code is Code.UNAVAILABLE
        assert await server.wait() == 1
    await server.restart()
    async with await dial(server.url, identity=me) as client:
        task = (await client.ask(order, PuzzleAccepted)).task
        assert (await client.ask(order, PuzzleAccepted)).task == task
    assert rows.count(server.database, "SELECT count(*) FROM tasks") == 1


async def test_a_killed_server_takes_its_writer_along(server: Server) -> None:
    writer = server.writer
    await server.kill()
    psutil.wait_procs([writer], timeout=10)
    assert not writer.is_running()
    await server.restart()
    assert server.writer.pid != writer.pid


async def test_while_the_writer_stands_still_peers_wait_and_are_heard(server: Server, maker: Maker) -> None:
    order, _ = maker.order()
    async with await dial(server.url) as client:
        writer = server.writer
        writer.suspend()
        asked = asyncio.create_task(client.ask(order, PuzzleAccepted))
        await asyncio.sleep(STANDS_STILL_SECONDS)
        assert not asked.done()
        writer.resume()
        assert (await asked).task
        async with await dial(server.url) as other:
            await other.ask(Ping(), Pong)


async def test_ctrl_c_reaches_the_writer_too_and_it_writes_to_the_end(server: Server, maker: Maker) -> None:
    me, (order, _) = Identity.generate(), maker.order()
    async with await dial(server.url, identity=me) as client:
        task = (await client.ask(order, PuzzleAccepted)).task
        writer = server.writer
        os.killpg(os.getpgid(server.pid), signal.SIGINT)
        assert await server.wait() == 0
    assert not writer.is_running()
    assert not server.database.with_name(server.database.name + "-wal").exists(), "its log is folded into the file"
    assert rows.count(server.database, f"SELECT count(*) FROM tasks WHERE fingerprint = '{task}'") == 1


async def test_a_reply_comes_before_the_pushes_of_its_transaction(server: Server, maker: Maker) -> None:
    """Else a solver with one hand is offered the next puzzle while it still holds the one that it has answered."""
    async with await dial(server.url) as client, await dial_solver(server) as solver:
        for _ in range(20):
            await client.ask(maker.order(1000)[0], PuzzleAccepted)
        offer = await accept(solver)
        for _ in range(19):
            asked = await solver.send(SubmitAnswer(assignment=offer.assignment, answer=right_answer(offer)))
            reply = await next_envelope(solver)
            assert (reply.re, type(reply.message)) == (asked, AnswerTaken)
            offer = await solver.take(PuzzleOffered)
            await solver.ask(AcceptAssignment(assignment=offer.assignment), AssignmentAccepted)
            assert (await client.take(PuzzleAnswered)).judged_by == "computed"


def right_answer(offer: PuzzleOffered) -> int:
    return square_repeatedly(offer.baseg, offer.t, offer.product)
