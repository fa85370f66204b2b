"""Who is told what, on sockets and by webhooks: the same rows, the same events."""

from __future__ import annotations

from typing import Any

from protocol import hive as wire
from protocol import hive_replies as reply
from tests.vault_server.systems.hive.conftest import MakeHive
from tests.vault_server.systems.hive.harness import CODING, HOUR_MS, TITLE, Hive, number_of
from vault_server.core.operation import Query

WRITING = 2


async def webhook_rows(hive: Hive, webhook: int) -> list[dict[str, Any]]:
    return await hive.rows(
        "SELECT kind, subject, detail FROM outbox WHERE receiver = :receiver AND endpoint = 'webhook' ORDER BY seq",
        receiver=f"webhook:{webhook}",
    )


async def test_agents_of_its_category_are_told_of_a_task(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    coder = await hive.agent(bob, "coder", category_ids=(CODING, WRITING))
    writer = await hive.agent(bob, "writer", category_ids=(WRITING,))
    nothing = await hive.agent(bob, "nothing")
    task = await hive.post(ann, category_id=CODING, deadline=hive.now_ms + HOUR_MS)
    [event] = await hive.events(coder)
    assert event == reply.TaskNewMatch(
        timestamp=hive.now_ms,
        task_id=task,
        title=TITLE,
        budget_credits=200,
        category_id=CODING,
        deadline=hive.now_ms + HOUR_MS,
    )
    assert await hive.told(writer) == await hive.told(nothing) == []
    await hive.post(ann)  # of no category
    assert len(await hive.told(coder)) == 1


async def test_an_agent_is_not_told_of_its_own_task_nor_when_it_is_paused(hive: Hive) -> None:
    ann = await hive.person("ann")
    poster = await hive.agent(ann, "poster", category_ids=(CODING,))
    paused = await hive.agent(ann, "paused", category_ids=(CODING,))
    await hive.give(ann, wire.SetAgentStatus(agent_id=number_of(paused), status="paused"))
    await hive.post(poster, category_id=CODING)
    assert await hive.told(poster) == await hive.told(paused) == []


async def test_the_best_are_told_where_there_are_too_many(make_hive: MakeHive) -> None:
    hive = await make_hive(hive_matches_max=2)
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robots = [await hive.agent(bob, f"robot {number}", category_ids=(CODING,)) for number in range(3)]
    for _ in range(5):
        await hive.completed(ann, robots[2])
    await hive.acknowledge(*robots)
    await hive.post(ann, category_id=CODING)
    assert [await hive.told(robot) for robot in robots] == [["task.new_match"], [], ["task.new_match"]]


async def test_the_agent_that_posted_is_told_beside_its_person(hive: Hive) -> None:
    ann = await hive.person("ann")
    manager = await hive.agent(ann, "manager")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.post(manager)
    claim = await hive.claim(robot, task, 120)
    for who in (ann, manager):
        [event] = await hive.events(who)
        assert event == reply.ClaimCreated(
            timestamp=hive.now_ms, task_id=task, claim_id=claim, agent_id=number_of(robot), proposed_credits=120
        )
    await hive.give(robot, wire.WithdrawClaim(task_id=task, claim_id=claim))
    [_, withdrawn] = await hive.events(ann)
    assert isinstance(withdrawn, reply.ClaimWithdrawn)
    assert not withdrawn.reopened


async def test_both_sides_learn_of_what_concerns_both_and_nobody_twice(hive: Hive) -> None:
    ann, judge = await hive.person("ann"), await hive.admin()
    manager, robot = await hive.agent(ann, "manager"), await hive.agent(await hive.person("bob"))
    task, _ = await hive.delivered(manager, robot)
    own, _ = await hive.delivered(manager, manager)
    await hive.acknowledge(ann, manager, robot)
    for number in (task, own):
        await hive.give(manager, wire.DisputeTask(task_id=number, reason="No."))
    await hive.give(judge, wire.ResolveDispute(task_id=task, outcome="agent"))
    await hive.give(manager, wire.ReviewTask(task_id=task, rating=1))
    both = ["task.disputed", "task.disputed", "dispute.resolved", "review.created"]
    assert await hive.told(ann) == await hive.told(manager) == both
    assert await hive.told(robot) == ["task.disputed", "deliverable.accepted", "dispute.resolved", "review.created"]
    await hive.give(ann, wire.CancelTask(task_id=await hive.post(manager)))
    assert (await hive.told(manager))[-1] == "task.cancelled"


async def test_an_event_waits_until_it_is_acknowledged(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    await hive.claimed(ann, robot)
    first = await hive.waiting(robot)
    assert await hive.waiting(robot) == first
    await hive.acknowledge(robot)
    assert await hive.waiting(robot) == []
    assert await hive.told(ann) == ["claim.created"]


async def test_a_webhook_gets_the_events_it_wants_and_the_same_ones(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"), category_ids=(CODING,))
    await hive.give(robot, wire.AddWebhook(url="https://example.org/1", events=("claim.accepted", "task.new_match")))
    await hive.give(robot, wire.AddWebhook(url="https://example.org/2", events=("deliverable.accepted",)))
    await hive.completed(ann, robot, category_id=CODING)
    assert [row["kind"] for row in await webhook_rows(hive, 1)] == ["task.new_match", "claim.accepted"]
    [accepted] = await webhook_rows(hive, 2)
    [on_socket] = await hive.rows(
        "SELECT kind, subject, detail FROM outbox WHERE receiver = 'agent:1' AND kind = 'deliverable.accepted'"
    )
    assert accepted == on_socket


async def test_a_webhook_that_is_off_gets_nothing(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"), webhook_url="https://example.org/all")
    off = Query("off", "UPDATE webhooks SET is_active = 0, failure_count = 10")
    await hive.database.transact([lambda tx: tx.run(off)])
    await hive.claimed(ann, robot)
    assert await webhook_rows(hive, 1) == []


async def test_every_event_can_be_met_and_shown(hive: Hive) -> None:
    ann, bob, judge = await hive.person("ann"), await hive.person("bob"), await hive.admin()
    robot = await hive.agent(bob, category_ids=(CODING,))
    task, work = await hive.delivered(ann, robot, category_id=CODING)
    await hive.give(ann, wire.RequestRevision(task_id=task, deliverable_id=work, revision_notes="More."))
    work = await hive.deliver(robot, task)
    await hive.accept(ann, task, work)
    await hive.give(ann, wire.ReviewTask(task_id=task, rating=5))
    disputed = await hive.disputed(ann, robot)
    await hive.give(judge, wire.ResolveDispute(task_id=disputed, outcome="poster", note="Unsorted."))
    cancelled = await hive.claimed(ann, robot)
    await hive.give(ann, wire.CancelTask(task_id=cancelled))
    lost = await hive.post(ann)
    await hive.claim(robot, lost)
    await hive.give(ann, wire.CancelTask(task_id=lost))
    given_up = await hive.claimed(ann, robot)
    claim = (await hive.row("SELECT max(id) AS id FROM task_claims"))["id"]
    await hive.give(robot, wire.WithdrawClaim(task_id=given_up, claim_id=claim))
    met = {type(event) for who in (ann, robot) for event in await hive.events(who)}
    assert met == set(reply.PUSHED)
    assert all(name in {push.kind for push in hive.system.pushes} for name in await hive.told(robot))


async def test_nobody_is_told_of_what_was_refused(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.post(ann)
    await hive.refused(robot, wire.ClaimTask(task_id=task, proposed_credits=201))
    assert await hive.told(ann) == []


async def test_events_that_nobody_fetches_go_after_a_while(make_hive: MakeHive) -> None:
    hive = await make_hive(hive_events_kept_ms=HOUR_MS)
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"), webhook_url="https://example.org/all")
    await hive.claimed(ann, robot)
    hive.now_ms += HOUR_MS
    assert await hive.tidy() == 0
    hive.now_ms += 1
    assert await hive.tidy() == 3  # claim.created for the poster; claim.accepted for socket and webhook
    assert await hive.rows("SELECT * FROM outbox") == []
