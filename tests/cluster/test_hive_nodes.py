"""The hive on two servers: events find their way, a key ends on both at once, and nothing happens twice."""

from __future__ import annotations

import pytest
from websockets.exceptions import InvalidStatus

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Close, Code
from protocol.session import Ping, Pong
from tests.acceptance.hive_people import DESCRIPTION, TITLE, Agent, People, claimed, in_order, posted
from tests.acceptance.test_hive_at_once import at_once, codes
from tests.cluster.conftest import StartCluster
from tests.cluster.nodes import Node
from tests.hive_dialling import HiveSocket, dial_hive

ROUNDS = 15
MUCH: dict[str, object] = {"hive_requests_max": 1_000_000, "connections_per_key_max": 16}
HOUR_MS = 3_600_000


async def ann_at(people: People, node: Node) -> HiveSocket:
    """Ann's page on one node."""
    origin = f"http://127.0.0.1:{node.http_port}"
    return await dial_hive(node.url, session=people.ann_session, origin=origin)


async def agent_at(agent: Agent, node: Node) -> HiveSocket:
    return await dial_hive(node.url, key=agent.key)


async def test_events_reach_every_node_and_one_acknowledgement_ends_them(start_cluster: StartCluster) -> None:
    cluster = await start_cluster(2, **MUCH)
    one, two = cluster.nodes
    people = People(one)
    robot_ = await people.agent()
    async with await ann_at(people, one) as here, await ann_at(people, two) as there:
        async with await agent_at(robot_, two) as robot:
            for _ in range(ROUNDS):
                claim = await claimed(robot, await posted(here))
                events = [await ann.pushed(reply.ClaimCreated) for ann in (here, there)]
                assert events[0] == events[1]
                assert events[0][0].claim_id == claim
                await there.acknowledge(events[0][1])
                await here.acknowledge(events[0][1])
        await in_order(here)
        await in_order(there)
    async with await ann_at(people, one) as again:
        assert await again.here() == []


async def test_an_agent_of_a_killed_node_goes_on_at_the_other(start_cluster: StartCluster) -> None:
    cluster = await start_cluster(2, **MUCH)
    one, two = cluster.nodes
    people = People(one)
    robot_ = await people.agent()
    async with await ann_at(people, two) as ann, await agent_at(robot_, one) as robot:
        task = await posted(ann)
        claim = await claimed(robot, task)
        await one.kill()
        await ann.ask(wire.AcceptClaim(task_id=task, claim_id=claim), reply.ClaimAccepted)
        async with await agent_at(robot_, two) as again:
            won, seq = await again.pushed(reply.ClaimWon)
            assert won.claim_id == claim
            await again.acknowledge(seq)
            work = await again.ask(wire.Deliver(task_id=task, content="1, 2"), reply.DeliverableShown)
            order = wire.AcceptDeliverable(task_id=task, deliverable_id=work.deliverable.id)
            assert (await ann.ask(order, reply.TaskCompleted)).credits_paid == 180


@pytest.mark.parametrize("recheck_ms", [HOUR_MS, 300])
async def test_a_key_that_ends_at_one_node_ends_its_connections_at_the_other(
    start_cluster: StartCluster, recheck_ms: int
) -> None:
    """By the hint that the other node is sent; and without it, by looking every now and then."""
    cluster = await start_cluster(2, hive_recheck_ms=recheck_ms, **MUCH)
    one, two = cluster.nodes
    people = People(one)
    robot_, other_ = await people.agent(), await people.agent("other")
    async with await agent_at(robot_, two) as robot, await agent_at(other_, two) as other, await people.bob() as bob:
        if recheck_ms == HOUR_MS:
            await bob.ask(wire.RotateKey(agent_id=robot_.id), reply.AgentKey)
        else:
            with cluster.postgres.connect() as connection:
                connection.execute(
                    "UPDATE agents SET api_key_hash = NULL, api_key_prefix = NULL WHERE id = %s", (robot_.id,)
                )
        assert (await robot.error()).code == Code.UNAUTHORIZED
        assert await robot.closed() == Close.CREDENTIALS_ENDED
        assert isinstance(await other.ask(Ping(), Pong), Pong)


async def test_whoever_comes_while_the_rows_do_not_answer_is_told_to_come_again(start_cluster: StartCluster) -> None:
    cluster = await start_cluster(1, handshake_ms_max=700)
    [node] = cluster.nodes
    robot_ = await People(node).agent()
    with cluster.postgres.connect() as stranger, stranger.transaction():
        stranger.execute("LOCK TABLE agents IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(InvalidStatus) as caught:
            await agent_at(robot_, node)
        assert caught.value.response.status_code == 503
        assert caught.value.response.headers["Retry-After"] == "1"
        assert b"UNAVAILABLE" in (caught.value.response.body or b"")
    async with await agent_at(robot_, node) as robot:
        assert isinstance(await robot.ask(Ping(), Pong), Pong)


async def test_what_meets_on_two_nodes_happens_once(start_cluster: StartCluster) -> None:
    cluster = await start_cluster(2, **MUCH)
    one, two = cluster.nodes
    people = People(one)
    robot_ = await people.agent()
    async with (
        await ann_at(people, one) as here,
        await ann_at(people, two) as there,
        await agent_at(robot_, two) as robot,
    ):
        for number in range(ROUNDS):
            key = f"post {number}"
            order = wire.PostTask(title=TITLE, description=DESCRIPTION, budget_credits=200, idempotency_key=key)
            outcomes = await at_once((here, order), (there, order))
            assert codes(outcomes) == []
            assert outcomes[0] == outcomes[1]
            assert isinstance(outcomes[0], reply.TaskShown)
            task = outcomes[0].task.id
            claim = await claimed(robot, task)
            accept = wire.AcceptClaim(task_id=task, claim_id=claim)
            assert codes(await at_once((here, accept), (there, accept))) == [Code.TASK_NOT_OPEN]
            work = await robot.ask(wire.Deliver(task_id=task, content="1, 2"), reply.DeliverableShown)
            take = wire.AcceptDeliverable(task_id=task, deliverable_id=work.deliverable.id)
            assert codes(await at_once((here, take), (there, take))) == [Code.INVALID_STATUS]
    assert cluster.postgres.one("SELECT count(*) FROM hive_tasks") == ROUNDS
    assert cluster.postgres.one("SELECT count(*) FROM credit_transactions WHERE type = 'payment'") == ROUNDS
