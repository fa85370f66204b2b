"""Everything that is refused, with its code: every operation in every state it does not fit, and by everybody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from protocol import hive as wire
from protocol.envelope import Message
from protocol.errors import Code
from protocol.hive_records import TASK_STATUSES
from tests.vault_server.systems.hive.harness import HOUR_MS, Hive, agent, user
from vault_server.core.operation import Caller

NOT_THERE = 999


class Stage:
    """A task in each state, with its poster, its agent, and somebody who has nothing to do with it."""

    def __init__(self, hive: Hive) -> None:
        self.hive = hive

    async def set(self, status: str) -> Stage:
        hive = self.hive
        self.ann, self.bob, self.eve = [await hive.person(name) for name in ("ann", "bob", "eve")]
        self.robot, self.other = await hive.agent(self.bob), await hive.agent(self.eve)
        self.admin = await hive.admin()
        self.task = await hive.post(self.ann, max_revisions=0)
        self.claim = await hive.claim(self.robot, self.task)
        self.work = 0
        await self._move(status)
        return self

    async def _move(self, status: str) -> None:
        hive, task = self.hive, self.task
        if status == "open":
            return
        await hive.give(self.ann, wire.AcceptClaim(task_id=task, claim_id=self.claim))
        if status == "claimed":
            return
        if status == "cancelled":
            await hive.give(self.ann, wire.CancelTask(task_id=task))
            return
        await hive.give(self.robot, wire.StartTask(task_id=task))
        if status == "in_progress":
            return
        self.work = await hive.deliver(self.robot, task)
        if status == "completed":
            await hive.accept(self.ann, task, self.work)
        elif status == "disputed":
            await hive.give(self.ann, wire.DisputeTask(task_id=task, reason="No."))

    def caller(self, name: str) -> Caller:
        found: Caller = getattr(self, name)
        return found


Order = Callable[[Stage], Message]

ORDERS: dict[str, tuple[str, set[str], Code, Order]] = {
    "claim": ("other", {"open"}, Code.TASK_NOT_OPEN, lambda s: wire.ClaimTask(task_id=s.task, proposed_credits=10)),
    "accept claim": (
        "ann", {"open"}, Code.TASK_NOT_OPEN, lambda s: wire.AcceptClaim(task_id=s.task, claim_id=s.claim)
    ),
    "reject claim": (
        "ann", {"open"}, Code.INVALID_STATUS, lambda s: wire.RejectClaim(task_id=s.task, claim_id=s.claim)
    ),
    "withdraw claim": (
        "robot", {"open", "claimed", "in_progress"}, Code.INVALID_STATUS,
        lambda s: wire.WithdrawClaim(task_id=s.task, claim_id=s.claim),
    ),
    "start": ("robot", {"claimed"}, Code.INVALID_STATUS, lambda s: wire.StartTask(task_id=s.task)),
    "deliver": (
        "robot", {"claimed", "in_progress"}, Code.INVALID_STATUS, lambda s: wire.Deliver(task_id=s.task, content="x")
    ),
    "cancel": ("ann", {"open", "claimed"}, Code.INVALID_STATUS, lambda s: wire.CancelTask(task_id=s.task)),
    "roll back": ("ann", {"claimed"}, Code.TASK_NOT_CLAIMED, lambda s: wire.RollbackTask(task_id=s.task)),
    "dispute": (
        "ann", {"delivered"}, Code.INVALID_STATUS, lambda s: wire.DisputeTask(task_id=s.task, reason="No.")
    ),
    "resolve": (
        "admin", {"disputed"}, Code.INVALID_STATUS, lambda s: wire.ResolveDispute(task_id=s.task, outcome="agent")
    ),
    "review": ("ann", {"completed"}, Code.INVALID_STATUS, lambda s: wire.ReviewTask(task_id=s.task, rating=5)),
}  # fmt: skip
"""Who gives an order, in which states it is taken, and what it is told in all others."""

OF_WORK: dict[str, Order] = {
    "accept": lambda s: wire.AcceptDeliverable(task_id=s.task, deliverable_id=s.work),
    "request revision": lambda s: wire.RequestRevision(task_id=s.task, deliverable_id=s.work, revision_notes="More."),
    "reject": lambda s: wire.RejectDeliverable(task_id=s.task, deliverable_id=s.work, reason="No."),
}


@pytest.mark.parametrize("status", TASK_STATUSES)
async def test_an_order_is_taken_in_its_states_alone(hive: Hive, status: str) -> None:
    stage = await Stage(hive).set(status)
    before = await snapshot(hive)
    for who, states, code, order in ORDERS.values():
        if status not in states:
            assert await hive.refused(stage.caller(who), order(stage)) == code, order(stage)
    assert await snapshot(hive) == before


async def snapshot(hive: Hive) -> list[Any]:
    """All that a refusal must leave as it was."""
    tables = ("hive_tasks", "task_claims", "deliverables", "disputes", "reviews", "credit_transactions", "outbox")
    return [await hive.rows(f"SELECT * FROM {table} ORDER BY 1") for table in tables]


@pytest.mark.parametrize("name", ORDERS)
async def test_an_order_is_taken_in_every_one_of_its_states(hive: Hive, name: str) -> None:
    who, states, _, order = ORDERS[name]
    for status in sorted(states):
        stage = Stage(hive)
        people = [f"{role}-{status}" for role in ("ann", "bob", "eve")]
        stage.ann, stage.bob, stage.eve = [await hive.person(person) for person in people]
        stage.robot, stage.other = await hive.agent(stage.bob), await hive.agent(stage.eve)
        stage.admin = await hive.admin(f"admin-{status}")
        stage.task = await hive.post(stage.ann)
        stage.claim = await hive.claim(stage.robot, stage.task)
        await stage._move(status)
        await hive.give(stage.caller(who), order(stage))


@pytest.mark.parametrize("name", OF_WORK)
@pytest.mark.parametrize("status", ["completed", "disputed"])
async def test_what_is_decided_is_not_decided_again(hive: Hive, name: str, status: str) -> None:
    stage = await Stage(hive).set(status)
    assert await hive.refused(stage.ann, OF_WORK[name](stage)) == Code.INVALID_STATUS


@pytest.mark.parametrize("name", OF_WORK)
async def test_what_is_not_there_is_not_decided(hive: Hive, name: str) -> None:
    stage = await Stage(hive).set("delivered")
    stage.work = NOT_THERE
    assert await hive.refused(stage.ann, OF_WORK[name](stage)) == Code.DELIVERABLE_NOT_FOUND


async def test_revisions_run_out_and_only_then_work_is_rejected_for_good(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    task, work = await hive.delivered(ann, robot, max_revisions=2)
    for _ in range(2):
        reject = wire.RejectDeliverable(task_id=task, deliverable_id=work, reason="No.")
        assert await hive.refused(ann, reject) == Code.REVISIONS_REMAINING
        await hive.give(ann, wire.RequestRevision(task_id=task, deliverable_id=work, revision_notes="More."))
        work = await hive.deliver(robot, task)
    again = wire.RequestRevision(task_id=task, deliverable_id=work, revision_notes="More.")
    assert await hive.refused(ann, again) == Code.MAX_REVISIONS
    await hive.give(ann, wire.RejectDeliverable(task_id=task, deliverable_id=work, reason="No."))
    assert (await hive.status(task), await hive.deliverable_status(work)) == ("disputed", "rejected")


POSTERS_ALONE: list[Order] = [
    lambda s: wire.AcceptClaim(task_id=s.task, claim_id=s.claim),
    lambda s: wire.RejectClaim(task_id=s.task, claim_id=s.claim),
    lambda s: wire.CancelTask(task_id=s.task),
    lambda s: wire.RollbackTask(task_id=s.task),
    lambda s: wire.ReclaimTask(task_id=s.task),
    lambda s: wire.DisputeTask(task_id=s.task, reason="No."),
    lambda s: wire.ReviewTask(task_id=s.task, rating=5),
    *OF_WORK.values(),
]


@pytest.mark.parametrize("status", ["open", "delivered"])
async def test_only_the_poster_decides(hive: Hive, status: str) -> None:
    stage = await Stage(hive).set(status)
    for who in (stage.eve, stage.other, stage.robot, stage.bob, stage.admin):
        for order in POSTERS_ALONE:
            assert await hive.refused(who, order(stage)) == Code.FORBIDDEN


async def test_every_active_agent_of_the_poster_decides_for_him(hive: Hive) -> None:
    stage = await Stage(hive).set("open")
    manager = await hive.agent(stage.ann, "manager")
    await hive.give(manager, wire.AcceptClaim(task_id=stage.task, claim_id=stage.claim))


async def test_only_the_agent_that_has_it_works_on_a_task(hive: Hive) -> None:
    stage = await Stage(hive).set("claimed")
    for order in (wire.StartTask(task_id=stage.task), wire.Deliver(task_id=stage.task, content="x")):
        assert await hive.refused(stage.other, order) == Code.NOT_CLAIMED_BY_YOU
        assert await hive.refused(stage.bob, order) == Code.FORBIDDEN  # a person delivers nothing


async def test_the_state_is_looked_at_before_whose_a_task_is(hive: Hive) -> None:
    stage = await Stage(hive).set("open")
    assert await hive.refused(stage.other, wire.Deliver(task_id=stage.task, content="x")) == Code.INVALID_STATUS


async def test_claims_are_withdrawn_by_whose_they_are(hive: Hive) -> None:
    stage = await Stage(hive).set("open")
    order = wire.WithdrawClaim(task_id=stage.task, claim_id=stage.claim)
    for who in (stage.ann, stage.eve, stage.other):
        assert await hive.refused(who, order) == Code.FORBIDDEN
    await hive.give(stage.bob, order)  # its operator in person


async def test_a_second_pending_claim_is_refused_and_a_later_one_is_not(hive: Hive) -> None:
    stage = await Stage(hive).set("open")
    order = wire.ClaimTask(task_id=stage.task, proposed_credits=10)
    assert await hive.refused(stage.robot, order) == Code.DUPLICATE_CLAIM
    await hive.give(stage.ann, wire.RejectClaim(task_id=stage.task, claim_id=stage.claim))
    await hive.give(stage.robot, order)


@pytest.mark.parametrize(("credits", "code"), [(200, None), (201, Code.INVALID_CREDITS)])
async def test_a_claim_is_within_the_budget(hive: Hive, credits: int, code: Code | None) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    order = wire.ClaimTask(task_id=await hive.post(ann), proposed_credits=credits)
    if code is None:
        await hive.give(robot, order)
    else:
        assert await hive.refused(robot, order) == code


async def test_only_agents_claim(hive: Hive) -> None:
    ann = await hive.person("ann")
    task = await hive.post(ann)
    assert await hive.refused(ann, wire.ClaimTask(task_id=task, proposed_credits=10)) == Code.FORBIDDEN


async def test_a_claim_of_an_agent_that_is_not_active_is_not_accepted(hive: Hive) -> None:
    stage = await Stage(hive).set("open")
    await hive.give(stage.bob, wire.SetAgentStatus(agent_id=1, status="paused"))
    order = wire.AcceptClaim(task_id=stage.task, claim_id=stage.claim)
    assert await hive.refused(stage.ann, order) == Code.INVALID_STATUS
    await hive.give(stage.bob, wire.SetAgentStatus(agent_id=1, status="active"))
    await hive.give(stage.ann, order)


async def test_a_claim_of_another_task_is_not_found(hive: Hive) -> None:
    stage = await Stage(hive).set("open")
    other = await hive.post(stage.ann)
    for order in (
        wire.AcceptClaim(task_id=other, claim_id=stage.claim),
        wire.RejectClaim(task_id=stage.task, claim_id=NOT_THERE),
    ):
        assert await hive.refused(stage.ann, order) == Code.CLAIM_NOT_FOUND


MISSING: list[tuple[str, Message]] = [
    ("ann", wire.GetTask(task_id=NOT_THERE)),
    ("ann", wire.CancelTask(task_id=NOT_THERE)),
    ("ann", wire.AcceptClaim(task_id=NOT_THERE, claim_id=1)),
    ("ann", wire.ListClaims(task_id=NOT_THERE)),
    ("ann", wire.ListDeliverables(task_id=NOT_THERE)),
    ("ann", wire.AcceptDeliverable(task_id=NOT_THERE, deliverable_id=1)),
    ("ann", wire.ReviewTask(task_id=NOT_THERE, rating=1)),
    ("robot", wire.ClaimTask(task_id=NOT_THERE, proposed_credits=1)),
    ("robot", wire.Deliver(task_id=NOT_THERE, content="x")),
    ("robot", wire.StartTask(task_id=NOT_THERE)),
    ("admin", wire.ResolveDispute(task_id=NOT_THERE, outcome="agent")),
]


async def test_tasks_that_are_not_there(hive: Hive) -> None:
    stage = await Stage(hive).set("open")
    for who, order in MISSING:
        assert await hive.refused(stage.caller(who), order) == Code.TASK_NOT_FOUND


async def test_a_category_and_a_deadline_have_to_fit(hive: Hive) -> None:
    ann = await hive.person("ann")
    values: dict[str, Any] = {"title": "Sort numbers", "description": "x" * 20, "budget_credits": 10}
    unfit: list[dict[str, Any]] = [
        {"category_id": 8},
        {"deadline": hive.now_ms},
        {"deadline": hive.now_ms - HOUR_MS},
    ]
    for wrong in unfit:
        assert await hive.refused(ann, wire.PostTask(**values, **wrong)) == Code.VALIDATION_ERROR
    await hive.post(ann, category_id=7, deadline=hive.now_ms + 1)


@pytest.mark.parametrize(
    ("role", "posts", "operates"), [("poster", True, False), ("operator", False, True), ("both", True, True)]
)
async def test_roles_say_who_posts_and_who_has_agents(hive: Hive, role: str, posts: bool, operates: bool) -> None:
    who = await hive.person("ann", role)
    post = wire.PostTask(title="Sort numbers", description="x" * 20, budget_credits=10)
    register = wire.RegisterAgent(name="robot", description="It does things.")
    for order, allowed in ((post, posts), (register, operates)):
        if allowed:
            await hive.give(who, order)
        else:
            assert await hive.refused(who, order) == Code.FORBIDDEN


async def test_an_operators_agents_post_nothing(hive: Hive) -> None:
    robot = await hive.agent(await hive.person("bob", "operator"))
    post = wire.PostTask(title="Sort numbers", description="x" * 20, budget_credits=10)
    assert await hive.refused(robot, post) == Code.FORBIDDEN


async def test_who_is_not_known_or_has_no_key_is_told_so(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(ann)
    await hive.give(ann, wire.RevokeKey(agent_id=1))
    for who in (user(NOT_THERE), agent(NOT_THERE), robot):
        assert await hive.refused(who, wire.BrowseTasks()) == Code.UNAUTHORIZED


@pytest.mark.parametrize("status", ["paused", "suspended"])
async def test_an_agent_that_is_not_active_does_nothing(hive: Hive, status: str) -> None:
    ann, admin = await hive.person("ann"), await hive.admin()
    robot = await hive.agent(ann)
    await hive.give(ann if status == "paused" else admin, wire.SetAgentStatus(agent_id=1, status=status))
    for order in (
        wire.BrowseTasks(),
        wire.AskMe(),
        wire.PostTask(title="x" * 5, description="x" * 20, budget_credits=10),
    ):
        assert await hive.refused(robot, order) == Code.FORBIDDEN


async def test_only_admins_decide_and_deposit(hive: Hive) -> None:
    stage = await Stage(hive).set("disputed")
    admins_robot = await hive.agent(stage.admin, "admin's")
    for who in (stage.ann, stage.bob, stage.robot, admins_robot):
        for order in (
            wire.ResolveDispute(task_id=stage.task, outcome="agent"),
            wire.ListDisputes(),
            wire.Deposit(user_id=2, amount=5),
        ):
            assert await hive.refused(who, order) == Code.FORBIDDEN


async def test_nobody_decides_his_own_case(hive: Hive) -> None:
    judge, ann = await hive.admin(), await hive.person("ann")
    robot, other = await hive.agent(judge), await hive.agent(ann)
    for task in (await hive.disputed(judge, other), await hive.disputed(ann, robot)):
        assert await hive.refused(judge, wire.ResolveDispute(task_id=task, outcome="poster")) == Code.FORBIDDEN


async def test_a_task_has_one_review(hive: Hive) -> None:
    stage = await Stage(hive).set("completed")
    await hive.give(stage.ann, wire.ReviewTask(task_id=stage.task, rating=5))
    assert await hive.refused(stage.ann, wire.ReviewTask(task_id=stage.task, rating=4)) == Code.DUPLICATE_REVIEW
