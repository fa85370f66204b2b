"""Limits at their edge: the last that fits is served, one more is refused, and nothing durable is lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TypeVar

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from protocol.envelope import Message
from protocol.errors import Code
from protocol.identity import Identity
from protocol.peer import Acknowledged
from protocol.session import Error, Ping, Pong
from protocol.vault import (
    AskStatus,
    CancelTask,
    PuzzleAccepted,
    PuzzleAnswered,
    PuzzleOffered,
    SubmitPuzzle,
    TaskCancelled,
    TaskState,
)
from tests.acceptance import rows
from tests.acceptance.conversation import (
    accept,
    answer,
    dial_solver,
    goes_on,
    look_at,
    next_envelope,
    refused_message,
    write_at_once,
)
from tests.acceptance.puzzles import COMPUTED, Maker
from tests.conftest import StartServer
from tests.dialling import Dialled, dial
from tests.processes import Server

M = TypeVar("M", bound=Message)


def send_together(client: Dialled, orders: list[SubmitPuzzle]) -> list[int]:
    """All requests in one write, so that the server reads them in one turn of its loop; their numbers."""
    numbers = []
    for order in orders:
        number, frame = client.peer.request(order)
        assert isinstance(frame, bytes)
        client.socket.protocol.send_binary(frame)
        numbers.append(number)
    write_at_once(client.socket)
    return numbers


async def receive_just(dialled: Dialled, kind: type[M], count: int) -> dict[int, M]:
    """So many pushes by `seq`, unacknowledged; nothing comes after them."""
    received: dict[int, M] = {}
    for _ in range(count):
        message, seq = await dialled.receive(kind)
        assert seq is not None
        received[seq] = message
    assert await dialled.silence() == []
    return received


async def test_the_queue_of_one_connection_is_bounded(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(queue_messages_max=4)
    async with await dial(server.url) as client:
        numbers = send_together(client, [maker.order()[0] for _ in range(5)])
        replies = {}
        for _ in numbers:
            envelope = await next_envelope(client)
            assert envelope.re is not None
            replies[envelope.re] = envelope.message
        assert [isinstance(replies[number], PuzzleAccepted) for number in numbers] == [True] * 4 + [False]
        error = replies[numbers[-1]]
        assert isinstance(error, Error)
        look_at(error, Code.QUEUE_FULL)
        assert error.retry_after_ms is not None
        await goes_on(client, maker)
        for number in send_together(client, [maker.order()[0] for _ in range(4)]):
            envelope = await next_envelope(client)
            assert isinstance(envelope.message, PuzzleAccepted), number


async def test_a_client_has_so_many_open_tasks_and_not_one_more(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(open_tasks_max=3)
    async with await dial(server.url) as client, await dial_solver(server, capacity=1) as solver:
        short, right = maker.order(COMPUTED)
        tasks = [(await client.ask(order, PuzzleAccepted)).task for order in (short, *[maker.order()[0]] * 2)]
        await refused_message(client, maker.order()[0], Code.TOO_MANY_OPEN_TASKS, maker.modulus)
        async with await dial(server.url) as other:
            await other.ask(maker.order()[0], PuzzleAccepted)  # the limit is each client's own
        await client.ask(CancelTask(task=tasks[1]), TaskCancelled)
        await client.ask(maker.order()[0], PuzzleAccepted)
        await refused_message(client, maker.order()[0], Code.TOO_MANY_OPEN_TASKS, maker.modulus)
        await answer(solver, await accept(solver))
        assert (await client.take(PuzzleAnswered)).answer == right
        await client.ask(maker.order()[0], PuzzleAccepted)
        await refused_message(client, maker.order()[0], Code.TOO_MANY_OPEN_TASKS, maker.modulus)
        await client.ask(Ping(), Pong)


async def test_the_same_request_again_is_no_task_more(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(open_tasks_max=1)
    async with await dial(server.url) as client:
        order, _ = maker.order(key="once")
        first = await client.ask(order, PuzzleAccepted)
        assert await client.ask(order, PuzzleAccepted) == first
        await refused_message(client, maker.order()[0], Code.TOO_MANY_OPEN_TASKS)


async def test_a_solver_holds_no_more_than_it_announced(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(capacity_max=3)
    async with (
        await dial(server.url) as client,
        await dial_solver(server, capacity=2, trusted=True) as two,
        await dial_solver(server, capacity=1000, trusted=True) as greedy,
    ):
        for _ in range(5):
            await client.ask(maker.order(COMPUTED)[0], PuzzleAccepted)
        await receive_just(two, PuzzleOffered, 2)
        await receive_just(greedy, PuzzleOffered, 3)


async def test_the_server_has_so_many_connections_and_not_one_more(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(connections_max=3)
    opened = [await dial(server.url) for _ in range(3)]
    with pytest.raises(InvalidStatus) as raised:
        await dial(server.url)
    assert raised.value.response.status_code == 503
    for client in opened:
        await goes_on(client, maker)
    await opened[0].close()
    await server.event("connection.closed")
    async with await dial(server.url) as client:
        await goes_on(client, maker)
    for client in opened[1:]:
        await client.close()


# pushes


async def answered_tasks(server: Server, maker: Maker, me: Identity, count: int) -> dict[str, int]:
    """Tasks of a client that is away when they are answered, and their answers."""
    async with await dial(server.url, identity=me) as client, await dial_solver(server, capacity=1) as solver:
        orders = [maker.order(COMPUTED) for _ in range(count)]
        tasks = {(await client.ask(order, PuzzleAccepted)).task: right for order, right in orders}
        await client.close()
        await server.event("connection.closed", fingerprint=me.fingerprint)
        for _ in range(count):
            await answer(solver, await accept(solver))
    return tasks


async def test_who_acknowledges_nothing_gets_the_window_and_no_more(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(push_window=2)  # refilled when half of it is empty: after each of two
    me, acknowledged = Identity.generate(), Acknowledged()
    tasks = await answered_tasks(server, maker, me, 8)
    async with await dial(server.url, identity=me) as client:
        first = await receive_just(client, PuzzleAnswered, 2)
    async with await dial(server.url, identity=me, acknowledged=acknowledged) as client:
        assert await receive_just(client, PuzzleAnswered, 2) == first, "the same, with the same numbers"
        for seq in first:
            await client.acknowledge(seq)
        second = await receive_just(client, PuzzleAnswered, 2)
    async with await dial(server.url, identity=me, acknowledged=acknowledged) as client:
        later = {push.task: push.answer for push in [await client.take(PuzzleAnswered) for _ in range(6)]}
        assert await client.silence() == []
    told = {push.task: push.answer for push in (first | second).values()}
    assert told | later == tasks
    assert len(later) == 6
    await rows.until_none(server.database, "SELECT seq FROM outbox WHERE endpoint = 'client'")


async def test_the_window_holds_for_what_comes_while_one_is_there(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(push_window=2)
    async with await dial(server.url) as client, await dial_solver(server, capacity=1) as solver:
        orders = [maker.order(COMPUTED) for _ in range(5)]
        tasks = {(await client.ask(order, PuzzleAccepted)).task: right for order, right in orders}
        for _ in orders:
            await answer(solver, await accept(solver))
        held = await receive_just(client, PuzzleAnswered, 2)
        for seq in held:
            await client.acknowledge(seq)
        later = [await client.take(PuzzleAnswered) for _ in range(3)]
        assert {push.task: push.answer for push in [*held.values(), *later]} == tasks
        assert await client.silence() == []


async def test_who_reads_too_slowly_is_closed_and_loses_nothing(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(buffer_bytes_max=65_536)
    me = Identity.generate()
    tasks = await answered_tasks(server, maker, me, 3)
    async with await dial(server.url, identity=me) as slow, await dial(server.url) as other:
        task = next(iter(tasks))
        slow.socket.transport.pause_reading()  # as a program that hangs, or a network that is too thin
        until = time.monotonic() + 30
        with contextlib.suppress(ConnectionClosed):
            while not server.find("connection.slow", fingerprint=me.fingerprint):
                assert time.monotonic() < until, "the server keeps whatever is not read"
                for _ in range(200):
                    await slow.send(AskStatus(task=task))
                await asyncio.sleep(0)
        await goes_on(other, maker)
        slow.socket.transport.resume_reading()
        assert await slow.closed() in (4420, 1006)
    closed = await server.event("connection.closed", fingerprint=me.fingerprint, count=2)
    assert closed["code"] in (4420, 1006)
    async with await dial(server.url, identity=me) as again:
        told = [await again.take(PuzzleAnswered) for _ in tasks]
        assert {push.task: push.answer for push in told} == tasks
        assert (await again.ask(AskStatus(task=task), TaskState)).answer == tasks[task]


# silence


async def test_who_is_silent_too_long_is_dropped_and_who_answers_pings_stays(
    start_server: StartServer, maker: Maker
) -> None:
    server = await start_server(silence_ms_max=1500)
    me = Identity.generate()
    async with await dial(server.url) as alive:
        gone = await dial_solver(server, me)
        gone.socket.transport.pause_reading()  # its library answers no ping any more
        await server.event("solver.offline", solver=me.fingerprint, seconds=10)
        await goes_on(alive, maker)
        gone.drop()
