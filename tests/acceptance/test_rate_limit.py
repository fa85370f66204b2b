"""Who says too much is told to wait, then banned; on every connection, across kill -9, and free again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from subprocess import run
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from protocol.envelope import Message
from protocol.errors import Close, Code, MessageError
from protocol.identity import Identity
from protocol.peer import PLAIN_MSGPACK, SEALED, HandshakeRefused
from protocol.session import Error, Ping, Pong
from protocol.vault import (
    CLIENT_PATH,
    SOLVER_PATH,
    AcceptAssignment,
    AnswerTaken,
    AssignmentAccepted,
    PuzzleAccepted,
    PuzzleAnswered,
    PuzzleOffered,
    ReportProgress,
    StandingChanged,
    StatusUpdated,
    SubmitAnswer,
    TaskProgress,
    UpdateStatus,
)
from tests.acceptance import rows
from tests.acceptance.conversation import dial_solver, look_at, next_envelope
from tests.acceptance.operators import is_sound
from tests.acceptance.puzzles import COMPUTED, Maker, solve
from tests.conftest import StartServer
from tests.dialling import Dialled, dial
from tests.processes import Server
from vault_server.gateway.arrival import EARLY_PINGS_MAX

LIMIT = 3
BAN_SECONDS = 12
"""A ban that is waited for, but outlasts the kill and the start of a server on a loaded machine."""
PATIENT: dict[str, Any] = {"rate_limit_window": 600, "ban_duration": 600}
"""A window and a ban that outlast every test."""


async def limited(dialled: Dialled, message: Message) -> Error:
    """Send one too many; its refusal."""
    with pytest.raises(MessageError) as raised:
        await dialled.ask(message, Pong)
    look_at(Error.of(raised.value), Code.RATE_LIMITED)
    return Error.of(raised.value)


async def shown_out(dialled: Dialled) -> Error:
    """The connection is told that the key is banned, and closed; nothing else is said."""
    error = await dialled.error()
    look_at(error, Code.BANNED)
    assert await dialled.closed() == Close.BANNED
    return error


async def refused_at_hello(server: Server, path: str, me: Identity) -> HandshakeRefused:
    with pytest.raises(HandshakeRefused) as raised:
        await dial(server.url, path, me)
    assert raised.value.code is Code.BANNED
    return raised.value


async def test_limited_then_banned_then_kept_out_across_kill_9_then_free_again(start_server: StartServer) -> None:
    server = await start_server(max_requests_per_window=LIMIT, rate_limit_window=600, ban_duration=BAN_SECONDS)
    me, started_ms = Identity.generate(), time.time() * 1000
    async with await dial(server.url, SOLVER_PATH, me) as peer:
        assert peer.welcome.limits["max_requests_per_window"] == LIMIT
        for _ in range(LIMIT):
            await peer.ask(Ping(), Pong)
        refused = await limited(peer, Ping())
        assert refused.retry_after_ms is not None
        assert 590_000 < refused.retry_after_ms <= 600_000
        await peer.send(Ping())
        told = await shown_out(peer)
        assert told.retry_after_ms is not None
        assert 0 < told.retry_after_ms <= 1000 * BAN_SECONDS
    await server.event("request.limited", fingerprint=me.fingerprint)
    banned = await server.event("key.banned", fingerprint=me.fingerprint, cause="rate_limit")
    assert started_ms <= banned["until"] - 1000 * BAN_SECONDS <= time.time() * 1000
    first = await refused_at_hello(server, SOLVER_PATH, me)
    await server.kill()
    await server.start()
    second = await refused_at_hello(server, SOLVER_PATH, me)
    assert first.retry_after_ms is not None
    assert second.retry_after_ms is not None
    assert second.retry_after_ms < first.retry_after_ms, "the time left goes on across the restart"
    await asyncio.sleep(max(0.0, banned["until"] / 1000 - time.time()))
    async with await dial(server.url, SOLVER_PATH, me) as free:
        for _ in range(LIMIT):
            await free.ask(Ping(), Pong)
    assert rows.look(server.database, "SELECT count(*) FROM bans") == [(1,)]
    is_sound(server)


async def test_a_ban_is_for_the_key_on_every_endpoint_and_connection(start_server: StartServer) -> None:
    server = await start_server(max_requests_per_window=LIMIT, **PATIENT)
    me, other = Identity.generate(), Identity.generate()
    async with (
        await dial(server.url, SOLVER_PATH, me) as solver,
        await dial(server.url, CLIENT_PATH, me) as first,
        await dial(server.url, CLIENT_PATH, me) as second,
        await dial(server.url, CLIENT_PATH, other) as bystander,
        await dial(server.url, SOLVER_PATH, other) as worker,
    ):
        for _ in range(LIMIT):
            await solver.ask(Ping(), Pong)
        await limited(solver, Ping())
        await solver.send(Ping())
        for connection in (solver, first, second):
            await shown_out(connection)
        await bystander.ask(Ping(), Pong)
        await worker.ask(Ping(), Pong)
    for path in (SOLVER_PATH, CLIENT_PATH):
        await refused_at_hello(server, path, me)
    await server.event("solver.offline", solver=me.fingerprint)


async def test_an_operators_ban_shows_out_who_is_there(start_server: StartServer) -> None:
    server = await start_server()
    me = Identity.generate()
    arguments = [me.fingerprint, "--for", "60s", "--reason", "floods us", "--database", str(server.database)]
    async with await dial(server.url, identity=me) as client, await dial(server.url, SOLVER_PATH, me) as solver:
        await solver.ask(Ping(), Pong)
        await asyncio.to_thread(run, [sys.executable, "-m", "vault_server", "ban", *arguments], check=True)
        for connection in (client, solver):
            assert "floods us" in (await shown_out(connection)).message
        assert (await refused_at_hello(server, CLIENT_PATH, me)).retry_after_ms is not None


async def test_all_connections_of_a_key_share_the_window(start_server: StartServer) -> None:
    server = await start_server(max_requests_per_window_client=LIMIT, **PATIENT)
    me = Identity.generate()
    async with await dial(server.url, identity=me) as first, await dial(server.url, identity=me) as second:
        for connection in (first, second, first):
            await connection.ask(Ping(), Pong)
        await limited(second, Ping())
        async with await dial(server.url) as other:
            await other.ask(Ping(), Pong)


async def test_who_waits_as_told_is_served_again(start_server: StartServer) -> None:
    server = await start_server(max_requests_per_window_client=1, rate_limit_window=1)
    async with await dial(server.url) as client:
        await client.ask(Ping(), Pong)
        for _ in range(2):
            refused = await limited(client, Ping())
            assert refused.retry_after_ms is not None
            await asyncio.sleep(refused.retry_after_ms / 1000)
            await client.ask(Ping(), Pong)
    assert server.find("key.banned") == []


async def test_nothing_that_came_after_the_violation_is_carried_out(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(max_requests_per_window_client=1, **PATIENT)
    async with await dial(server.url) as client:
        task = (await client.ask(maker.order()[0], PuzzleAccepted)).task
        for order in [maker.order()[0] for _ in range(10)]:
            await client.send(order)
        look_at(await client.error(), Code.RATE_LIMITED)
        await shown_out(client)
    assert rows.look(server.database, "SELECT fingerprint FROM tasks") == [(task,)]


async def test_frames_that_are_no_message_and_unknown_types_count(start_server: StartServer) -> None:
    server = await start_server(max_requests_per_window=2, **PATIENT)
    async with await dial(server.url, SOLVER_PATH, subprotocol=PLAIN_MSGPACK) as solver:
        codes = []
        for frame in (b"\xc1", b"\x82\xa4type\xa1x\xa2id\x01", b"\x82\xa4type\xa1x\xa2id\x02"):
            await solver.socket.send(frame)
            envelope = await next_envelope(solver)
            assert isinstance(envelope.message, Error)
            codes.append((envelope.message.code, envelope.re))
        assert codes == [("MALFORMED", None), ("UNSUPPORTED_TYPE", 1), ("RATE_LIMITED", 2)]
        await solver.socket.send(b"\xc1")
        await shown_out(solver)


async def test_the_second_ban_in_a_day_is_twice_as_long_and_costs_reputation(start_server: StartServer) -> None:
    server = await start_server(max_requests_per_window=1, rate_limit_window=600, ban_duration=1)
    me = Identity.generate()
    for count in (1, 2):
        async with await dial(server.url, SOLVER_PATH, me) as solver:
            await solver.ask(Ping(), Pong)
            await limited(solver, Ping())
            await solver.send(Ping())
            await shown_out(solver)
        until = (await server.event("key.banned", count=count))["until"]
        await server.kill()  # it is the file that remembers the first one
        await server.start()
        await asyncio.sleep(max(0.0, until / 1000 - time.time()))
    [(first,), (second,)] = rows.look(server.database, "SELECT until - created_at FROM bans ORDER BY id")
    assert (first, second) == (1000, 2000)
    [(change, standing)] = rows.look(server.database, "SELECT score_change, standing FROM score_history")
    assert standing == "solver"
    assert isinstance(change, float)
    assert change < 0
    async with await dial_solver(server, me, capacity=1) as solver:
        assert (await solver.take(StandingChanged)).score_change == change
    is_sound(server)


# what is free


async def test_a_solver_works_through_its_assignments_at_a_limit_of_one(
    start_server: StartServer, maker: Maker
) -> None:
    server = await start_server(max_requests_per_window=1, **PATIENT)
    async with await dial(server.url) as client, await dial_solver(server, capacity=4) as solver:
        orders = [maker.order(COMPUTED) for _ in range(4)]
        tasks = {(await client.ask(order, PuzzleAccepted)).task: right for order, right in orders}
        for _ in orders:
            offer, _ = await solver.receive(PuzzleOffered)
            await solver.ask(AcceptAssignment(assignment=offer.assignment), AssignmentAccepted)
            answer = SubmitAnswer(assignment=offer.assignment, answer=solve(offer))
            assert (await solver.ask(answer, AnswerTaken)).verdict == "valid"
        told = [await client.take(PuzzleAnswered) for _ in orders]
        assert {push.task: push.answer for push in told} == tasks
        again = SubmitAnswer(assignment=offer.assignment, answer=solve(offer))
        with pytest.raises(MessageError) as raised:
            await solver.ask(again, AnswerTaken)
        assert raised.value.code is Code.RATE_LIMITED, "a second answer to the same assignment counts"


async def test_a_new_connection_renews_what_its_assignments_allow(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(max_requests_per_window=2, **PATIENT)
    me = Identity.generate()
    async with await dial(server.url) as client:
        async with await dial_solver(server, me, capacity=1) as solver:
            order, right = maker.order(COMPUTED)
            await client.ask(order, PuzzleAccepted)
            offer, _ = await solver.receive(PuzzleOffered)
            await solver.ask(AcceptAssignment(assignment=offer.assignment), AssignmentAccepted)
        async with await dial(server.url, SOLVER_PATH, me) as solver:
            await solver.ask(UpdateStatus(state="ready", capacity=1, speeds={"512": 10**7}), StatusUpdated)
            again, _ = await solver.receive(PuzzleOffered)
            assert again == offer
            await solver.ask(AcceptAssignment(assignment=offer.assignment), AssignmentAccepted)
            await solver.ask(SubmitAnswer(assignment=offer.assignment, answer=right), AnswerTaken)
            await limited(solver, Ping())


async def test_progress_counts(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(max_requests_per_window=2, **PATIENT)
    async with await dial(server.url) as client, await dial_solver(server) as solver:
        await client.ask(maker.order()[0], PuzzleAccepted)
        offer, _ = await solver.receive(PuzzleOffered)
        await solver.signal(ReportProgress(assignment=offer.assignment, done=1))
        await solver.signal(ReportProgress(assignment=offer.assignment, done=2))
        look_at(await solver.error(), Code.RATE_LIMITED)


async def test_a_client_sees_progress_at_a_bounded_rate(start_server: StartServer, maker: Maker) -> None:
    server = await start_server(progress_ms_min=700)
    async with await dial(server.url) as client, await dial_solver(server) as solver:
        await client.ask(maker.order()[0], PuzzleAccepted)
        offer, _ = await solver.receive(PuzzleOffered)
        for done in range(1, 21):
            await solver.signal(ReportProgress(assignment=offer.assignment, done=done))
        seen = [(await client.receive(TaskProgress))[0].done for _ in range(2)]
        assert seen == [1, 20], "the first at once, and the last before the pause"
        assert await client.silence() == []


async def test_acknowledging_what_nobody_sent_counts(start_server: StartServer) -> None:
    server = await start_server(max_requests_per_window_client=2, **PATIENT)
    async with await dial(server.url) as client:
        for seq in (1, 2, 3):
            await client.acknowledge(seq)
        look_at(await client.error(), Code.RATE_LIMITED)


async def test_the_websockets_own_pings_count_and_the_answers_to_ours_do_not(start_server: StartServer) -> None:
    server = await start_server(max_requests_per_window_client=2, silence_ms_max=1000, **PATIENT)
    async with await dial(server.url) as client:
        await client.silence(1.5)  # the library has answered some pings of the server by now
        for _ in range(2):
            await (await client.socket.ping())
        await client.socket.pong()  # nobody asked for it
        look_at(await client.error(), Code.RATE_LIMITED)
        await client.socket.ping()
        await shown_out(client)


async def test_who_pings_instead_of_saying_hello_is_cut_off(start_server: StartServer) -> None:
    server = await start_server(failed_hellos_per_address_max=1)
    async with connect(f"{server.url}/client", subprotocols=[Subprotocol(SEALED.name)], proxy=None) as socket:
        for _ in range(EARLY_PINGS_MAX):
            await (await socket.ping())
        with contextlib.suppress(ConnectionClosed):
            await socket.ping()
        await socket.wait_closed()
    assert socket.close_code == 1006
    with pytest.raises(InvalidStatus):
        await dial(server.url)
