"""Webhooks of several nodes on one PostgreSQL: each event is sent once, in order, and by another node when one dies."""

from __future__ import annotations

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.hive_records import EVENTS
from tests.acceptance.hive_people import People, claimed, posted
from tests.cluster.conftest import StartCluster
from tests.hive_dialling import dial_hive
from tests.receivers import Receiver, status

SETTINGS: dict[str, object] = {
    "hive_requests_max": 100_000,
    "hive_webhook_allow_private": True,
    "hive_webhook_timeout_ms": 1000,
    "hive_webhook_retry_ms": 20,
}
EVENTS_EACH = 20


async def test_nodes_send_each_event_once_and_for_each_other(start_cluster: StartCluster) -> None:
    cluster = await start_cluster(2, **SETTINGS)
    here, there = cluster.nodes
    people = People(here)
    robot_ = await people.agent()
    with Receiver() as receiver:
        async with await people.ann() as ann, await people.at_work(robot_) as robot:
            order = wire.AddWebhook(url=receiver.url, events=EVENTS)
            hook = await robot.ask(order, reply.WebhookSecret)
            task = await posted(ann)
            claims = []
            async with await dial_hive(
                there.url, session=people.ann_session, origin=f"http://127.0.0.1:{there.http_port}"
            ) as ann_there:
                for number in range(EVENTS_EACH * 2):
                    claims.append(await claimed(robot, task))
                    reject = wire.RejectClaim(task_id=task, claim_id=claims[-1])
                    await (ann, ann_there)[number % 2].ask(reject, reply.ClaimShown)
            received = await receiver.have(len(claims))
            opened = [each.opened(hook.secret) for each in received]
            assert [each["data"]["claim_id"] for each in opened] == claims
            assert len({each.id for each in received}) == len(claims)

            receiver.answer = receiver.hold
            last = await claimed(robot, task)
            await ann.ask(wire.RejectClaim(task_id=task, claim_id=last), reply.ClaimShown)
            await receiver.have(len(claims) + 1)
            await here.kill()
        receiver.answer = status(200)
        *_, one, again = await receiver.have(len(claims) + 2)
        assert (one.id, one.body) == (again.id, again.body)
        assert again.opened(hook.secret)["data"]["claim_id"] == last
        await there.event("webhook.sent", delivery=again.id)
