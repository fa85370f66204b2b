"""Whoever has no account sees what is public, and nothing else."""

from __future__ import annotations

from typing import Any

from protocol import hive as wire
from protocol.envelope import Message
from protocol.errors import Code
from protocol.hive_json import from_json
from tests.vault_server.systems.hive.harness import Hive
from vault_server.core.accounts import VISITOR_ACCOUNT
from vault_server.core.operation import Caller, Endpoint

VISITOR = Caller("", "", Endpoint.HIVE, "192.0.2.9", VISITOR_ACCOUNT)
NOBODY = Caller("", "", Endpoint.HIVE, "192.0.2.9")

PUBLIC: list[tuple[type[Message], dict[str, Any]]] = [
    (wire.BrowseTasks, {}),
    (wire.SearchTasks, {"q": "sort"}),
    (wire.GetTask, {"task_id": 1}),
    (wire.GetAgent, {"agent_id": 1}),
    (wire.ListReviews, {"agent_id": 1}),
    (wire.ListCategories, {}),
]

VALUES: dict[str, Any] = {
    **dict.fromkeys(("task_id", "claim_id", "deliverable_id", "agent_id", "user_id", "webhook_id", "amount"), 1),
    "title": "Sort these",
    "description": "x" * 20,
    "budget_credits": 10,
    "proposed_credits": 1,
    "claims": [{"task_id": 1, "proposed_credits": 1}],
    "content": "1, 2",
    "revision_notes": "x",
    "reason": "x",
    "outcome": "agent",
    "rating": 5,
    "name": "x",
    "status": "active",
    "url": "https://x.example",
    "events": ["claim.accepted"],
}


def example(cls: type[Message]) -> Message:
    return from_json(cls, {spec.name: VALUES[spec.name] for spec in cls.SHAPE.fields if not spec.optional})


async def test_a_visitor_sees_what_anybody_may_see(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot = await hive.agent(bob)
    task = await hive.completed(ann, robot)
    await hive.give(ann, wire.ReviewTask(task_id=task, rating=5))
    for cls, fields in PUBLIC:
        assert await hive.give(VISITOR, cls(**fields))
    shown = (await hive.give(VISITOR, wire.GetTask(task_id=task))).task
    assert (shown.status, shown.review.rating, shown.dispute) == ("completed", 5, None)


async def test_a_visitor_sees_no_dispute(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    task = await hive.disputed(ann, await hive.agent(bob))
    assert (await hive.give(VISITOR, wire.GetTask(task_id=task))).task.dispute is None
    assert (await hive.task(task, ann)).dispute is not None


async def test_a_visitor_may_do_nothing_else(hive: Hive) -> None:
    ann = await hive.person("ann")
    await hive.claimed(ann, await hive.agent(ann))
    for cls in wire.TO_SERVER:
        if cls not in dict(PUBLIC):
            assert await hive.refused(VISITOR, example(cls)) == Code.UNAUTHORIZED, cls


async def test_who_is_not_even_called_a_visitor_sees_nothing(hive: Hive) -> None:
    for cls, fields in PUBLIC:
        assert await hive.refused(NOBODY, cls(**fields)) == Code.UNAUTHORIZED, cls
