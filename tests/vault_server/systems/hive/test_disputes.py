"""Disputes and what an admin makes of them; reviews, reputation, and what is self-dealt."""

from __future__ import annotations

import pytest

from protocol import hive as wire
from protocol import hive_replies as reply
from tests.vault_server.systems.hive.conftest import MakeHive
from tests.vault_server.systems.hive.harness import HOUR_MS, Hive, number_of
from vault_server.core.operation import Caller


@pytest.mark.parametrize("is_rejected", [False, True])
async def test_an_admin_finds_for_the_agent(hive: Hive, is_rejected: bool) -> None:
    ann, bob, judge = await hive.person("ann"), await hive.person("bob"), await hive.admin()
    robot = await hive.agent(bob)
    task, work = await hive.delivered(ann, robot, max_revisions=0)
    if is_rejected:
        await hive.give(ann, wire.RejectDeliverable(task_id=task, deliverable_id=work, reason="Not sorted."))
    else:
        await hive.give(ann, wire.DisputeTask(task_id=task, reason="Not sorted."))
    assert await hive.deliverable_status(work) == ("rejected" if is_rejected else "submitted")
    [*_, event] = await hive.events(robot)
    assert isinstance(event, reply.TaskDisputed)
    assert event.reason == "Not sorted."
    order = wire.ResolveDispute(task_id=task, outcome="agent", note="It is sorted.")
    resolved: reply.TaskShown = await hive.give(judge, order)
    assert resolved.task.status == "completed"
    assert resolved.task.dispute is not None
    assert (resolved.task.dispute.outcome, resolved.task.dispute.note) == ("agent", "It is sorted.")
    assert await hive.deliverable_status(work) == "accepted"
    assert await hive.ledger(bob) == [("bonus", 500, 500), ("bonus", 100, 600), ("payment", 180, 780)]
    assert (await hive.told(robot))[-2:] == ["deliverable.accepted", "dispute.resolved"]
    assert (await hive.told(ann))[-1] == "dispute.resolved"


async def test_an_admin_finds_for_the_poster(hive: Hive) -> None:
    ann, bob, judge = await hive.person("ann"), await hive.person("bob"), await hive.admin()
    robot = await hive.agent(bob)
    task = await hive.disputed(ann, robot)
    await hive.give(judge, wire.ResolveDispute(task_id=task, outcome="poster"))
    assert await hive.status(task) == "cancelled"
    assert (await hive.row("SELECT status FROM deliverables"))["status"] == "rejected"
    assert await hive.ledger(ann) == [("bonus", 500, 500), ("refund", 0, 500)]
    assert await hive.balance(bob) == 600
    assert (await hive.agent_row(robot))["tasks_completed"] == 0
    [row] = await hive.rows("SELECT task_id FROM credit_transactions WHERE type = 'refund'")
    assert row["task_id"] == task


async def test_only_those_concerned_see_a_dispute(hive: Hive) -> None:
    ann, bob, eve, judge = [await hive.person(name) for name in ("ann", "bob", "eve")] + [await hive.admin()]
    task = await hive.disputed(ann, await hive.agent(bob))
    assert (await hive.task(task)).poster.tasks_disputed == 1
    assert [(await hive.task(task, who)).dispute is not None for who in (ann, bob, eve, judge)] == [
        True, True, False, True,
    ]  # fmt: skip
    listed: reply.TaskPage = await hive.give(judge, wire.ListDisputes())
    assert [line.id for line in listed.tasks] == [task]


async def test_work_is_seen_by_those_concerned(hive: Hive) -> None:
    ann, bob, judge = await hive.person("ann"), await hive.person("bob"), await hive.admin()
    robot = await hive.agent(bob)
    task, work = await hive.delivered(ann, robot)
    for who in (ann, bob, robot, judge):
        listed: reply.DeliverableList = await hive.give(who, wire.ListDeliverables(task_id=task))
        assert [each.id for each in listed.deliverables] == [work]
    stranger = await hive.agent(await hive.person("eve"))
    assert await hive.refused(stranger, wire.ListDeliverables(task_id=task)) == "FORBIDDEN"


async def review(hive: Hive, poster: Caller, task: int, rating: int, speed: int | None = None) -> None:
    await hive.give(poster, wire.ReviewTask(task_id=task, rating=rating, quality_score=rating, speed_score=speed))


async def test_reputation_is_counted_from_five_tasks_on(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    for rating, speed in ((5, 5), (5, 4), (4, 5), (5, 4)):
        await review(hive, ann, await hive.completed(ann, robot), rating, speed)
    assert await hive.score(robot) == 50.0
    assert (await hive.agent_row(robot))["avg_rating"] == 4.75
    profile: reply.AgentShown = await hive.give(ann, wire.GetAgent(agent_id=number_of(robot)))
    assert profile.agent.is_new
    await review(hive, ann, await hive.completed(ann, robot), 5, 5)
    assert await hive.score(robot) == 94.0
    assert (await hive.agent_row(robot))["avg_rating"] == 4.8
    changes = await hive.rows(
        "SELECT reason, score_change, score_after, task_id, agent_id FROM score_history ORDER BY id"
    )
    assert [change["reason"] for change in changes] == ["task_completed", "review"]
    assert 50 + sum(change["score_change"] for change in changes) == pytest.approx(94.0)
    assert {change["agent_id"] for change in changes} == {number_of(robot)}


async def test_what_is_lost_or_given_up_counts_against_an_agent(hive: Hive) -> None:
    ann, judge = await hive.person("ann"), await hive.admin()
    robot = await hive.agent(await hive.person("bob"))
    for _ in range(5):
        await hive.completed(ann, robot)
    assert await hive.score(robot) == 70.0
    task = await hive.disputed(ann, robot)
    await hive.give(judge, wire.ResolveDispute(task_id=task, outcome="poster"))
    assert await hive.score(robot) == 63.33
    task = await hive.claimed(ann, robot)
    claim = (await hive.row("SELECT max(id) AS id FROM task_claims"))["id"]
    await hive.give(robot, wire.WithdrawClaim(task_id=task, claim_id=claim))
    assert await hive.score(robot) == 58.57
    task = await hive.claimed(ann, robot)
    await hive.give(ann, wire.RollbackTask(task_id=task))  # the poster's own doing
    task = await hive.claimed(ann, robot)
    await hive.give(ann, wire.CancelTask(task_id=task))
    assert await hive.score(robot) == 58.57


async def test_what_is_self_dealt_pays_and_moves_no_reputation(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(ann)
    for _ in range(6):
        task = await hive.completed(ann, robot)
        await review(hive, ann, task, 5)
    assert (await hive.task(task)).is_self_dealt
    row = await hive.agent_row(robot)
    assert (row["tasks_completed"], row["reputation_score"], row["avg_rating"]) == (6, 50.0, None)
    assert await hive.balance(ann) == 600 + 6 * 180


async def test_an_agent_learns_of_its_review_and_everybody_can_read_it(hive: Hive) -> None:
    ann, eve = await hive.person("ann"), await hive.person("eve")
    robot = await hive.agent(await hive.person("bob"))
    task = await hive.completed(ann, robot)
    order = wire.ReviewTask(task_id=task, rating=4, speed_score=2, comment="Slow, and good.")
    shown: reply.ReviewShown = await hive.give(ann, order)
    assert (shown.review.rating, shown.review.quality_score, shown.review.speed_score) == (4, None, 2)
    [*_, event] = await hive.events(robot)
    assert isinstance(event, reply.ReviewCreated)
    assert (event.review_id, event.rating) == (shown.review.id, 4)
    listed: reply.ReviewPage = await hive.give(eve, wire.ListReviews(agent_id=number_of(robot)))
    assert list(listed.reviews) == [shown.review]


async def test_work_nobody_looks_at_is_accepted_in_time_where_that_is_wanted(make_hive: MakeHive) -> None:
    hive = await make_hive(hive_auto_accept_hours=72)
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot = await hive.agent(bob)
    task, _ = await hive.delivered(ann, robot)
    await hive.wait(72 * HOUR_MS - 1)
    assert await hive.status(task) == "delivered"
    await hive.wait(1)
    assert await hive.status(task) == "completed"
    assert await hive.balance(bob) == 780


@pytest.mark.parametrize("by", ["revision", "dispute", "acceptance"])
async def test_what_was_looked_at_is_not_accepted_by_time(make_hive: MakeHive, by: str) -> None:
    hive = await make_hive(hive_auto_accept_hours=1)
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task, work = await hive.delivered(ann, robot)
    if by == "revision":
        await hive.give(ann, wire.RequestRevision(task_id=task, deliverable_id=work, revision_notes="More."))
    elif by == "dispute":
        await hive.give(ann, wire.DisputeTask(task_id=task, reason="No."))
    else:
        await hive.accept(ann, task, work)
    status = await hive.status(task)
    assert await hive.rows("SELECT * FROM deadlines") == []
    await hive.wait(HOUR_MS)
    assert await hive.status(task) == status


async def test_without_the_setting_nothing_is_accepted_by_time(hive: Hive) -> None:
    task, _ = await hive.delivered(await hive.person("ann"), await hive.agent(await hive.person("bob")))
    await hive.wait(10_000 * HOUR_MS)
    assert await hive.status(task) == "delivered"


async def test_the_agreed_price_is_paid_where_that_is_the_basis(make_hive: MakeHive) -> None:
    hive = await make_hive(hive_payment_basis="agreed")
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot = await hive.agent(bob)
    task = await hive.post(ann)
    await hive.give(ann, wire.AcceptClaim(task_id=task, claim_id=await hive.claim(robot, task, 100)))
    completed = await hive.accept(ann, task, await hive.deliver(robot, task))
    assert (completed.credits_paid, completed.platform_fee, completed.task.agreed_credits) == (90, 10, 100)


async def test_a_fee_of_nothing_is_no_row(make_hive: MakeHive) -> None:
    hive = await make_hive(hive_payment_basis="agreed")
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot = await hive.agent(bob)
    task = await hive.post(ann)
    await hive.give(ann, wire.AcceptClaim(task_id=task, claim_id=await hive.claim(robot, task, 1)))
    completed = await hive.accept(ann, task, await hive.deliver(robot, task))
    assert (completed.credits_paid, completed.platform_fee) == (1, 0)
    assert await hive.rows("SELECT id FROM credit_transactions WHERE type = 'platform_fee'") == []
