"""How much may be said on /hive, at each limit and one more; nobody is banned."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Close, Code, MessageError
from protocol.session import Ping, Pong
from tests.acceptance import rows
from tests.acceptance.hive_people import People, claimed, posted
from tests.conftest import StartServer
from tests.hive_dialling import HiveSocket
from tests.processes import Server
from vault_server.gateway.connection import REFUSALS_LOGGED
from vault_server.gateway.excess import EXCESS_MAX, FREE_PINGS_MAX

LIMIT = 12
BYTES = 8000
SETTINGS: dict[str, object] = {
    "hive_requests_max": LIMIT,
    "hive_requests_window_ms": 600_000,
    "hive_body_bytes_max": BYTES,
    "bad_messages_max": 4,
}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def people(shared_server: Server) -> People:
    """On one server, each with a limit of his own."""
    return People(shared_server)


async def test_a_message_at_the_limit_of_bytes_and_one_more(people: People) -> None:
    async with await people.ann() as ann:
        empty = '{"type":"ping","id":5}'
        await ann.socket.send(empty + " " * (BYTES - len(empty)))
        assert isinstance(await ann.answer(5), Pong)
        await ann.socket.send(empty + " " * (BYTES + 1 - len(empty)))
        assert (await ann.error()).code == Code.TOO_LARGE
        await ann.socket.send(empty + " " * 2 * BYTES)
        assert await ann.closed() == 1009


async def test_frames_that_are_no_message_close_at_the_limit_and_one_more(people: People) -> None:
    async with await people.ann() as ann:
        for _ in range(LIMIT - 3):
            await ann.ask(Ping(), Pong)
        for number in range(4):
            await ann.socket.send("{")
            refused = await ann.error()
            assert refused.code == (Code.VALIDATION_ERROR if number < 3 else Code.RATE_LIMITED)
        await ann.socket.send("{")
        assert await ann.closed() == Close.BAD_MESSAGE


async def test_the_limit_is_the_account_s_on_all_its_connections_and_bans_nobody(people: People) -> None:
    robot_ = await people.agent()
    async with await people.at_work(robot_) as one, await people.at_work(robot_) as other:
        for number in range(LIMIT):
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
    assert rows.look(people.server.database, "SELECT count(*) FROM bans") == [(0,)]


async def test_a_hundred_requests_a_minute_on_both_doors_together_and_one_more(start_server: StartServer) -> None:
    server = await start_server(hive_requests_window_ms=600_000)
    people = People(server)
    robot_ = await people.agent()
    bearer = {"Authorization": f"Bearer {robot_.key}"}
    rest = httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}/api/v1", headers=bearer)
    async with await people.at_work(robot_) as robot, rest:
        for number in range(50):
            await robot.ask(wire.ListCategories(), reply.CategoryList)
            answer = await rest.get("/categories")
            assert answer.status_code == 200
            assert int(answer.headers["X-RateLimit-Remaining"]) == 98 - 2 * number
        with pytest.raises(MessageError, match="RATE_LIMITED"):
            await robot.ask(wire.ListCategories(), reply.CategoryList)
        assert (await rest.get("/categories")).json()["error"]["code"] == Code.RATE_LIMITED


async def test_one_idempotency_key_on_both_doors_is_one_request(people: People) -> None:
    robot_ = await people.agent()
    bearer = {"Authorization": f"Bearer {robot_.key}", "Idempotency-Key": "bid"}
    url = f"http://127.0.0.1:{people.server.http_port}/api/v1"
    async with await people.ann() as ann, await people.at_work(robot_) as robot, httpx.AsyncClient() as rest:
        task = await posted(ann)
        order = wire.ClaimTask(task_id=task, proposed_credits=10, idempotency_key="bid")
        claim = (await robot.ask(order, reply.ClaimShown)).claim
        answer = await rest.post(f"{url}/tasks/{task}/claims", json={"proposed_credits": 10}, headers=bearer)
        assert (answer.status_code, answer.headers["X-Idempotency-Replayed"]) == (201, "true")
        assert answer.json()["data"]["id"] == claim.id


async def test_acknowledgements_of_what_was_pushed_are_free(people: People) -> None:
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


async def test_whoever_ignores_the_limit_is_held_and_others_are_served(people: People) -> None:
    robot_ = await people.agent()
    async with await people.at_work(robot_) as flooder, await people.ann() as ann:
        flood = asyncio.create_task(_flood(flooder, 5000))
        for _ in range(LIMIT + EXCESS_MAX):
            await flooder.next(15)
        for _ in range(4):
            await ann.ask(Ping(), Pong)
        assert len(await flooder.here(0.5)) < 1000, "it is answered some sixteen times a second, not as fast as it asks"
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)
        flooder.drop()
        await ann.ask(Ping(), Pong)
    account = f"agent:{robot_.id}"
    assert REFUSALS_LOGGED <= len(people.server.find("request.limited", account=account)) < 2 * REFUSALS_LOGGED


async def _flood(socket: HiveSocket, count: int) -> None:
    for _ in range(count):
        await socket.send(Ping())


async def test_pings_of_a_library_count_for_nothing(people: People) -> None:
    async with await people.ann() as ann:
        for _ in range(FREE_PINGS_MAX):
            await (await ann.socket.ping())
        for _ in range(LIMIT):
            await ann.ask(Ping(), Pong)
