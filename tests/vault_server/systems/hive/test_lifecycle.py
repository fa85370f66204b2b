"""The way of a task, end to end, and every way it can leave that way."""

from __future__ import annotations

import pytest

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from tests.vault_server.systems.hive.harness import CODING, DESCRIPTION, HOUR_MS, TITLE, Hive, number_of, user


async def test_from_the_post_to_the_payment(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot = await hive.agent(bob)
    task = await hive.post(ann, category_id=CODING, requirements="In order.", deadline=hive.now_ms + HOUR_MS)
    claim = await hive.claim(robot, task, 150)
    accepted: reply.ClaimAccepted = await hive.give(ann, wire.AcceptClaim(task_id=task, claim_id=claim))
    assert (accepted.task.status, accepted.claim.status) == ("claimed", "accepted")
    assert accepted.task.claimed_by_agent_id == number_of(robot)
    moved: reply.TaskMoved = await hive.give(robot, wire.StartTask(task_id=task))
    assert (moved.previous_status, moved.status) == ("claimed", "in_progress")
    work = await hive.deliver(robot, task)
    assert await hive.status(task) == "delivered"
    completed = await hive.accept(ann, task, work)
    assert (completed.credits_paid, completed.platform_fee) == (180, 20)
    assert (completed.task.status, completed.deliverable.status) == ("completed", "accepted")
    assert await hive.ledger(bob) == [("bonus", 500, 500), ("bonus", 100, 600), ("payment", 180, 780)]
    assert await hive.ledger(ann) == [("bonus", 500, 500)]
    assert await hive.ledger(user(1)) == [("platform_fee", 20, 20)]
    row = await hive.agent_row(robot)
    assert (row["tasks_completed"], row["reputation_score"]) == (1, 50)
    assert await hive.told(robot) == ["claim.accepted", "deliverable.accepted"]
    assert await hive.told(ann) == ["claim.created", "deliverable.submitted"]


async def test_what_is_shown_of_a_task(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.post(ann, category_id=CODING, max_revisions=0)
    await hive.claim(robot, task)
    seen = await hive.task(task, robot)
    assert (seen.title, seen.description, seen.budget_credits, seen.max_revisions) == (TITLE, DESCRIPTION, 200, 0)
    assert seen.category is not None
    assert (seen.category.id, seen.category.name, seen.category.slug) == (1, "Coding", "coding")
    assert (seen.poster.name, seen.poster.tasks_posted, seen.poster.tasks_completed) == ("ann", 1, 0)
    assert (seen.claims_count, seen.agreed_credits, seen.is_self_dealt) == (1, None, False)
    assert (seen.created_at, seen.updated_at, seen.deadline) == (hive.now_ms, hive.now_ms, None)


async def test_a_revision_and_then_the_acceptance(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task, first = await hive.delivered(ann, robot)
    order = wire.RequestRevision(task_id=task, deliverable_id=first, revision_notes="Descending, please.")
    asked: reply.DeliverableShown = await hive.give(ann, order)
    assert (asked.deliverable.status, asked.deliverable.revision_notes) == ("revision_requested", "Descending, please.")
    assert await hive.status(task) == "in_progress"
    [*_, event] = await hive.events(robot)
    assert isinstance(event, reply.RevisionRequested)
    assert (event.task_id, event.deliverable_id, event.revision_notes) == (task, first, "Descending, please.")
    second = await hive.deliver(robot, task, "3, 2, 1")
    listed: reply.DeliverableList = await hive.give(robot, wire.ListDeliverables(task_id=task))
    assert [(each.id, each.revision_number) for each in listed.deliverables] == [(first, 1), (second, 2)]
    await hive.accept(ann, task, second)


async def test_delivering_begins_a_task_that_was_not_begun(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.claimed(ann, robot)
    await hive.deliver(robot, task)
    steps = [(line["before"], line["status"]) for line in hive.logged("hive.task_moved")]
    assert steps == [("open", "claimed"), ("claimed", "in_progress"), ("in_progress", "delivered")]


async def test_accepting_one_claim_rejects_all_other_pending_ones(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robots = [await hive.agent(bob, f"robot {number}") for number in range(4)]
    task = await hive.post(ann)
    claims = [await hive.claim(robot, task) for robot in robots]
    await hive.give(robots[3], wire.WithdrawClaim(task_id=task, claim_id=claims[3]))
    await hive.give(ann, wire.AcceptClaim(task_id=task, claim_id=claims[1]))
    assert [await hive.claim_status(claim) for claim in claims] == ["rejected", "accepted", "rejected", "withdrawn"]
    assert await hive.told(robots[1]) == ["claim.accepted"]
    [lost] = await hive.events(robots[0])
    assert isinstance(lost, reply.ClaimLost)
    assert (lost.claim_id, lost.reason) == (claims[0], "another_claim_accepted")
    assert await hive.told(robots[3]) == []


async def test_cancelling_an_open_task_rejects_its_claims(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.post(ann)
    claim = await hive.claim(robot, task)
    moved: reply.TaskMoved = await hive.give(ann, wire.CancelTask(task_id=task))
    assert (moved.task_id, moved.previous_status, moved.status) == (task, "open", "cancelled")
    assert await hive.claim_status(claim) == "rejected"
    assert await hive.told(robot) == ["claim.rejected"]


async def test_cancelling_a_claimed_task_moves_no_credits(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot = await hive.agent(bob)
    task = await hive.claimed(ann, robot)
    before = await hive.ledger(ann), await hive.ledger(bob)
    await hive.give(ann, wire.CancelTask(task_id=task))
    assert (await hive.ledger(ann), await hive.ledger(bob)) == before
    assert (await hive.row("SELECT status FROM task_claims"))["status"] == "rejected"
    assert await hive.told(robot) == ["claim.accepted", "task.cancelled"]
    assert (await hive.task(task)).claimed_by_agent_id == number_of(robot)


async def test_a_rollback_opens_the_task_again_and_costs_nobody_anything(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot, other = await hive.agent(bob), await hive.agent(bob, "other")
    task = await hive.post(ann)
    won, lost = await hive.claim(robot, task), await hive.claim(other, task)
    await hive.give(ann, wire.AcceptClaim(task_id=task, claim_id=won))
    moved: reply.TaskMoved = await hive.give(ann, wire.RollbackTask(task_id=task))
    assert (moved.previous_status, moved.status) == ("claimed", "open")
    assert [await hive.claim_status(claim) for claim in (won, lost)] == ["withdrawn", "rejected"]
    row = await hive.row("SELECT is_abandoned FROM task_claims WHERE id = :id", id=won)
    assert row["is_abandoned"] == 0
    assert (await hive.task(task)).claimed_by_agent_id is None
    again = await hive.claim(other, task)
    await hive.give(ann, wire.AcceptClaim(task_id=task, claim_id=again))


@pytest.mark.parametrize("begun", [False, True])
async def test_an_agent_gives_up_what_it_has(hive: Hive, begun: bool) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.claimed(ann, robot)
    if begun:
        await hive.give(robot, wire.StartTask(task_id=task))
    claim = (await hive.row("SELECT id FROM task_claims"))["id"]
    await hive.give(robot, wire.WithdrawClaim(task_id=task, claim_id=claim))
    assert (await hive.status(task), await hive.claim_status(claim)) == ("open", "withdrawn")
    assert (await hive.row("SELECT is_abandoned FROM task_claims"))["is_abandoned"] == 1
    [*_, event] = await hive.events(ann)
    assert isinstance(event, reply.ClaimWithdrawn)
    assert event.reopened


async def test_a_task_whose_deadline_passed_is_reclaimed(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.claimed(ann, robot, deadline=hive.now_ms + HOUR_MS)
    order = wire.ReclaimTask(task_id=task)
    await hive.wait(HOUR_MS + 1)
    assert await hive.refused(ann, order) == Code.INVALID_STATUS  # it is claimed: rolled back, not reclaimed
    await hive.give(robot, wire.StartTask(task_id=task))
    hive.now_ms -= 1
    assert await hive.refused(ann, order) == Code.INVALID_STATUS
    hive.now_ms += 1
    await hive.give(ann, order)
    assert await hive.status(task) == "open"
    row = await hive.row("SELECT status, is_abandoned FROM task_claims")
    assert (row["status"], row["is_abandoned"]) == ("withdrawn", 1)
    [*_, event] = await hive.events(robot)
    assert isinstance(event, reply.ClaimLost)
    assert event.reason == "deadline_passed"


async def test_a_task_without_deadline_is_never_reclaimed(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.claimed(ann, robot)
    await hive.give(robot, wire.StartTask(task_id=task))
    await hive.wait(1000 * HOUR_MS)
    assert await hive.refused(ann, wire.ReclaimTask(task_id=task)) == Code.INVALID_STATUS


async def test_another_agent_counts_its_attempts_from_1(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot, other = await hive.agent(bob), await hive.agent(bob, "other")
    task, work = await hive.delivered(ann, robot)
    await hive.give(ann, wire.RequestRevision(task_id=task, deliverable_id=work, revision_notes="Again."))
    first = (await hive.row("SELECT id FROM task_claims"))["id"]
    await hive.give(robot, wire.WithdrawClaim(task_id=task, claim_id=first))
    claim = await hive.claim(other, task)
    await hive.give(ann, wire.AcceptClaim(task_id=task, claim_id=claim))
    await hive.deliver(other, task)
    rows = await hive.rows("SELECT agent_id, revision_number FROM deliverables ORDER BY id")
    assert [(row["agent_id"], row["revision_number"]) for row in rows] == [
        (number_of(robot), 1),
        (number_of(other), 1),
    ]


@pytest.mark.parametrize(("offset", "is_late"), [(0, False), (1, True)])
async def test_late_work_is_taken_and_said_to_be_late(hive: Hive, offset: int, is_late: bool) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.claimed(ann, robot, deadline=hive.now_ms + HOUR_MS)
    await hive.wait(HOUR_MS + offset)
    taken: reply.DeliverableShown = await hive.give(robot, wire.Deliver(task_id=task, content="at last"))
    assert taken.deliverable.is_late is is_late
