"""A conversation on /hive through real sockets: requests, replies, and what is refused under which code."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from protocol.hive_fields import CLEARED
from protocol.session import Ack, Exit, Ping, Pong
from tests.acceptance.hive_people import People, claimed, posted
from tests.processes import Server

SETTINGS: dict[str, object] = {"hive_requests_max": 100_000, "hive_recheck_ms": 300}
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def people(shared_server: Server) -> AsyncIterator[People]:
    """On the server of all these tests."""
    yield People(shared_server)


async def test_a_task_from_the_first_bid_to_the_payment(people: People) -> None:
    robot_ = await people.agent()
    async with await people.ann() as ann, await people.at_work(robot_) as robot:
        task = await posted(ann)
        claim = await claimed(robot, task)
        assert (await ann.pushed(reply.ClaimCreated))[0].claim_id == claim
        accepted = await ann.ask(wire.AcceptClaim(task_id=task, claim_id=claim), reply.ClaimAccepted)
        assert accepted.task.status == "claimed"
        won, seq = await robot.pushed(reply.ClaimWon)
        assert won.task_id == task
        await robot.acknowledge(seq)
        await robot.ask(wire.Deliver(task_id=task, content="1, 2, 3"), reply.DeliverableShown)
        handed_in, _ = await ann.pushed(reply.DeliverableSubmitted)
        order = wire.AcceptDeliverable(task_id=task, deliverable_id=handed_in.deliverable_id)
        assert (await ann.ask(order, reply.TaskCompleted)).credits_paid == 180
        assert (await robot.pushed(reply.DeliverableAccepted))[0].task_id == task


async def test_what_every_conversation_has(people: People) -> None:
    robot_ = await people.agent()
    async with await people.at_work(robot_) as robot:
        assert (await robot.ask(Ping(), Pong)).server_time_ms > 0
        await (await robot.socket.ping())
        await robot.send(Ack(push=10**9))  # of nobody: ignored
        await robot.send(Exit())
        assert await robot.closed() == 1000


async def test_null_is_absent_and_clears_where_something_can_be_cleared(people: People) -> None:
    robot_ = await people.agent()
    async with await people.at_work(robot_) as robot:
        await robot.ask(wire.UpdateMe(hourly_rate_credits=7), reply.ProfileChanged)
        changed = await robot.ask(wire.UpdateMe(hourly_rate_credits=CLEARED), reply.ProfileChanged)
        assert changed.agent.hourly_rate_credits is None
        await robot.socket.send('{"type":"browse_tasks","id":9,"status":null,"cursor":null}')
        assert isinstance(await robot.answer(9), reply.TaskPage)
        await robot.socket.send('{"type":"me","id":10}')
        while (raw := json.loads(await robot.socket.recv())).get("re") != 10:
            pass
        assert raw["agent"]["avg_rating"] is None, "what has no value is null, and there"


@pytest.mark.parametrize(
    ("frame", "code", "number"),
    [
        ("", Code.VALIDATION_ERROR, None),
        ("[]", Code.VALIDATION_ERROR, None),
        ("{", Code.VALIDATION_ERROR, None),
        (b"{}", Code.WRONG_FRAME, None),
        ('{"id":3}', Code.VALIDATION_ERROR, 3),
        ('{"type":"dance","id":3}', Code.UNSUPPORTED_TYPE, 3),
        ('{"type":"tlp","id":3}', Code.UNSUPPORTED_TYPE, 3),
        ('{"type":"hello"}', Code.UNSUPPORTED_TYPE, None),
        ('{"type":"register","id":3}', Code.UNSUPPORTED_TYPE, 3),
        ('{"type":"me"}', Code.INVALID_PARAMETER, None),
        ('{"type":"me","id":3,"agent_id":1}', Code.INVALID_PARAMETER, 3),
        ('{"type":"get_task","id":3,"task_id":0}', Code.INVALID_PARAMETER, 3),
        ('{"type":"get_task","id":3,"task_id":"1"}', Code.INVALID_PARAMETER, 3),
        ('{"type":"claim_task","id":3,"task_id":1}', Code.VALIDATION_ERROR, 3),
        ('{"type":"claim_task","id":3,"task_id":1,"proposed_credits":10.0}', Code.VALIDATION_ERROR, 3),
        ('{"type":"claim_task","id":3,"task_id":1,"proposed_credits":1,"status":"accepted"}', Code.VALIDATION_ERROR, 3),
        ('{"type":"claim_task","id":3,"task_id":999999,"proposed_credits":1}', Code.TASK_NOT_FOUND, 3),
        ('{"type":"ack","push":0}', Code.VALIDATION_ERROR, None),
        ('{"type":"my_account","id":3}', Code.FORBIDDEN, 3),
    ],
)
async def test_what_is_refused_under_which_code(
    people: People, frame: str | bytes, code: Code, number: int | None
) -> None:
    robot_ = await people.agent()
    async with await people.at_work(robot_) as robot:
        await robot.socket.send(frame)
        envelope = await robot.next(15)
        error = envelope.message
        assert (error.code, envelope.re) == (code, number)  # type: ignore[attr-defined]
        assert error.message  # type: ignore[attr-defined]
        assert error.suggestion  # type: ignore[attr-defined]
        assert isinstance(await robot.ask(Ping(), Pong), Pong), "and the conversation goes on"
