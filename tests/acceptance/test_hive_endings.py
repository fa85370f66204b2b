"""How a conversation on /hive ends: keys, sessions, paused agents, a server that stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Close, Code
from protocol.session import Ping, Pong
from tests.acceptance.hive_people import Agent, People, claimed, posted
from tests.conftest import StartServer
from tests.hive_dialling import HiveSocket, dial_hive
from tests.processes import Server
from tests.vault_server.web.hive.pages.visitor import Visitor

SETTINGS: dict[str, object] = {"hive_requests_max": 100_000, "hive_recheck_ms": 300}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def people(shared_server: Server) -> AsyncIterator[People]:
    """On the server of all these tests."""
    yield People(shared_server)


async def told_to_go(socket: HiveSocket, code: Code, close: Close) -> None:
    """Told why, in a refusal of nothing, and closed."""
    error = await socket.error()
    assert error.code == code
    assert await socket.closed() == close


async def kept_out(people: People, agent: Agent, status: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await people.at_work(agent)
    assert caught.value.response.status_code == status


@pytest.mark.parametrize("order", [wire.RotateKey, wire.RevokeKey])
async def test_a_key_that_ends_ends_its_connections_at_once(
    people: People, order: type[wire.RotateKey | wire.RevokeKey]
) -> None:
    robot_, other_ = await people.agent(), await people.agent("other")
    async with (
        await people.at_work(robot_) as one,
        await people.at_work(robot_) as two,
        await people.at_work(other_) as other,
        await people.bob() as bob,
    ):
        answer = await bob.answer(await bob.send(order(agent_id=robot_.id)))
        for socket in (one, two):
            await told_to_go(socket, Code.UNAUTHORIZED, Close.CREDENTIALS_ENDED)
        await kept_out(people, robot_, 401)
        await other.ask(Ping(), Pong)
        if isinstance(answer, reply.AgentKey):
            async with await people.at_work(Agent(robot_.id, answer.api_key)) as again:
                await again.ask(wire.AskMe(), reply.OwnAgentShown)
    await people.server.event("connection.closed", account=f"agent:{robot_.id}", code=4410, count=2)
    assert people.server.find("connection.dismissed", account=f"agent:{robot_.id}", code="UNAUTHORIZED")


async def test_whoever_logs_out_on_the_pages_ends_the_connections_of_that_session_alone(people: People) -> None:
    async with Visitor(people.server) as here, Visitor(people.server) as elsewhere:
        await here.register()
        await elsewhere.log_in(here.email)
        sockets = [
            await dial_hive(people.server.url, session=page.http.cookies[wire.SESSION_COOKIE], origin=page.origin)
            for page in (here, elsewhere)
        ]
        await here.fill("/dashboard", "logout")
        await told_to_go(sockets[0], Code.UNAUTHORIZED, Close.CREDENTIALS_ENDED)
        assert (await sockets[1].ask(wire.MyAccount(), reply.AccountShown)).account.email == here.email
        await sockets[1].socket.close()


async def test_a_paused_agent_is_sent_away_and_gets_its_events_when_it_comes_back(people: People) -> None:
    robot_ = await people.agent()
    async with await people.ann() as ann, await people.bob() as bob:
        async with await people.at_work(robot_) as robot:
            task = await posted(ann)
            claim = await claimed(robot, task)
            await bob.ask(wire.SetAgentStatus(agent_id=robot_.id, status="paused"), reply.AgentShown)
            await told_to_go(robot, Code.FORBIDDEN, Close.AGENT_INACTIVE)
        await kept_out(people, robot_, 403)
        await ann.ask(wire.RejectClaim(task_id=task, claim_id=claim), reply.ClaimShown)
        await bob.ask(wire.SetAgentStatus(agent_id=robot_.id, status="active"), reply.AgentShown)
        async with await people.at_work(robot_) as robot:
            lost, seq = await robot.pushed(reply.ClaimLost)
            assert lost.claim_id == claim
            await robot.acknowledge(seq)


async def test_a_session_that_ends_elsewhere_or_runs_out_ends_its_connections_soon(people: People) -> None:
    another = people.accounts.person(f"carl-{next(People.numbers)}")
    short = people.accounts.person(f"dora-{next(People.numbers)}", lasting_ms=1500)
    async with await people.person(another) as elsewhere, await people.person(short) as dora, await people.ann() as ann:
        people.accounts.end(another)
        await told_to_go(elsewhere, Code.UNAUTHORIZED, Close.CREDENTIALS_ENDED)
        await told_to_go(dora, Code.UNAUTHORIZED, Close.CREDENTIALS_ENDED)
        await ann.ask(Ping(), Pong)


async def test_sigterm_lets_replies_out_and_tells_everybody(start_server: StartServer) -> None:
    server = await start_server()
    people = People(server)
    async with await people.ann() as ann:
        await posted(ann)
        assert await server.terminate() == 0
        assert await ann.closed() == 1001


async def test_metrics_and_log_know_the_door(people: People) -> None:
    async with (
        await people.ann() as ann,
        connect(f"ws://127.0.0.1:{people.server.port}/hive", additional_headers=_session(people), proxy=None),
    ):
        await ann.ask(Ping(), Pong)
        reader, writer = await asyncio.open_connection("127.0.0.1", people.server.http_port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        page = (await reader.read()).decode()
        writer.close()
        assert 'vault_connections_open{endpoint="hive"} 2.0' in page


def _session(people: People) -> dict[str, str]:
    return {"Cookie": f"{wire.SESSION_COOKIE}={people.ann_session}", "Origin": people.accounts.origin}
