"""How much may be said on /hive, at each limit and one more; nobody is banned."""

from __future__ import annotations

import asyncio

import pytest

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Close, Code, MessageError
from protocol.session import Ping, Pong
from tests.acceptance import rows
from tests.acceptance.hive_people import People, claimed, posted
from tests.conftest import StartServer
from tests.hive_dialling import HiveSocket


async def test_a_message_at_the_limit_of_bytes_and_one_more(start_server: StartServer) -> None:
    server = await start_server(hive_body_bytes_max=70_000)
    people = People(server)
    async with await people.ann() as ann:
        empty = '{"type":"ping","id":5}'
        await ann.socket.send(empty + " " * (70_000 - len(empty)))
        assert isinstance(await ann.answer(5), Pong)
        await ann.socket.send(empty + " " * (70_001 - len(empty)))
        assert (await ann.error()).code == Code.TOO_LARGE
        await ann.socket.send(empty + " " * 140_000)
        assert await ann.closed() == 1009


async def test_frames_that_are_no_message_close_at_the_limit_and_one_more(start_server: StartServer) -> None:
    server = await start_server(bad_messages_max=4, hive_requests_max=3)
    people = People(server)
    async with await people.ann() as ann:
        for number in range(4):
            await ann.socket.send("{")
            refused = await ann.error()
            assert refused.code == (Code.VALIDATION_ERROR if number < 3 else Code.RATE_LIMITED)
        await ann.socket.send("{")
        assert await ann.closed() == Close.BAD_MESSAGE


async def test_the_limit_is_the_account_s_on_all_its_connections_and_bans_nobody(start_server: StartServer) -> None:
    server = await start_server(hive_requests_max=10, hive_requests_window_ms=600_000)
    people = People(server)
    robot_ = await people.agent()
    async with await people.at_work(robot_) as one, await people.at_work(robot_) as other:
        for number in range(10):
            await (one, other)[number % 2].ask(Ping(), Pong)
        for socket in (one, other, one):
            with pytest.raises(MessageError) as caught:
                await socket.ask(wire.AskMe(), reply.OwnAgentShown)
            assert caught.value.code == Code.RATE_LIMITED
            assert caught.value.retry_after_ms is not None
            assert 590_000 < caught.value.retry_after_ms <= 600_000
        await (await one.socket.ping())
    async with await people.at_work(robot_) as again, await people.ann() as ann:
        with pytest.raises(MessageError, match="RATE_LIMITED"):
            await again.ask(Ping(), Pong)
        await ann.ask(Ping(), Pong)
    assert rows.look(server.database, "SELECT count(*) FROM bans") == [(0,)]


async def test_a_hundred_requests_a_minute_and_one_more(start_server: StartServer) -> None:
    server = await start_server(hive_requests_window_ms=600_000)
    people = People(server)
    robot_ = await people.agent()
    async with await people.at_work(robot_) as robot:
        for _ in range(100):
            await robot.ask(wire.ListCategories(), reply.CategoryList)
        with pytest.raises(MessageError, match="RATE_LIMITED"):
            await robot.ask(wire.ListCategories(), reply.CategoryList)


async def test_acknowledgements_of_what_was_pushed_are_free(start_server: StartServer) -> None:
    server = await start_server(hive_requests_max=12, hive_requests_window_ms=600_000)
    people = People(server)
    robot_ = await people.agent()
    async with await people.ann() as ann, await people.at_work(robot_) as robot:
        for _ in range(6):
            await claimed(robot, await posted(ann))
            _, seq = await ann.pushed(reply.ClaimCreated)
            await ann.acknowledge(seq)
        for _ in range(6):
            await ann.ask(Ping(), Pong)
        await ann.acknowledge(seq)  # again: this one counts
        assert (await ann.error()).code == Code.RATE_LIMITED


async def test_whoever_ignores_the_limit_is_held_and_others_are_served(start_server: StartServer) -> None:
    server = await start_server(hive_requests_max=5, hive_requests_window_ms=600_000)
    people = People(server)
    robot_ = await people.agent()
    async with await people.at_work(robot_) as flooder, await people.ann() as ann:
        flood = asyncio.create_task(_flood(flooder, 5000))
        for _ in range(4):
            await ann.ask(Ping(), Pong)
        answers = await flooder.here(0.5)
        assert 5 + 16 <= len(answers) <= 5 + 3 * 16, "five are answered, then sixteen a second are refused"
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)
        flooder.drop()
        await ann.ask(Ping(), Pong)
    assert len(server.find("request.limited")) <= 64


async def _flood(socket: HiveSocket, count: int) -> None:
    for _ in range(count):
        await socket.send(Ping())


async def test_pings_of_a_library_count_for_nothing(start_server: StartServer) -> None:
    server = await start_server(hive_requests_max=1, hive_requests_window_ms=600_000)
    people = People(server)
    async with await people.ann() as ann:
        for _ in range(19):
            await (await ann.socket.ping())
        await ann.ask(Ping(), Pong)
