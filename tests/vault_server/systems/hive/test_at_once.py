"""Orders that arrive at the same moment (specs §9): each in a transaction of its own, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from protocol import hive as wire
from protocol import hive_replies as reply
from protocol.errors import Code
from protocol.hive_records import BulkClaim
from tests.vault_server.systems.hive.harness import Hive

ROUNDS = 3
"""On PostgreSQL the order is another one each time."""


def codes(outcomes: list[object]) -> list[Code]:
    return [outcome for outcome in outcomes if isinstance(outcome, Code)]


async def test_two_claims_accepted_at_once(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robots = [await hive.agent(bob, f"robot {number}") for number in range(2)]
    for _ in range(ROUNDS):
        task = await hive.post(ann)
        claims = [await hive.claim(robot, task) for robot in robots]
        outcomes = await hive.at_once(*((ann, wire.AcceptClaim(task_id=task, claim_id=claim)) for claim in claims))
        assert codes(outcomes) == [Code.TASK_NOT_OPEN]
        assert sorted([await hive.claim_status(claim) for claim in claims]) == ["accepted", "rejected"]


async def test_one_deliverable_accepted_twice_at_once_pays_once(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot = await hive.agent(bob)
    for done in range(1, ROUNDS + 1):
        task, work = await hive.delivered(ann, robot)
        order = wire.AcceptDeliverable(task_id=task, deliverable_id=work)
        assert codes(await hive.at_once((ann, order), (ann, order))) == [Code.INVALID_STATUS]
        assert await hive.balance(bob) == 600 + done * 180


async def test_two_deliveries_at_once(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    for _ in range(ROUNDS):
        task = await hive.claimed(ann, robot)
        orders = [(robot, wire.Deliver(task_id=task, content=content)) for content in ("one", "two")]
        assert codes(await hive.at_once(*orders)) == [Code.INVALID_STATUS]
        assert len(await hive.rows("SELECT id FROM deliverables WHERE task_id = :id", id=task)) == 1


async def test_a_claim_beside_an_acceptance_is_rejected_or_refused(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot, other = await hive.agent(bob), await hive.agent(bob, "other")
    for _ in range(ROUNDS):
        task = await hive.post(ann)
        claim = await hive.claim(robot, task)
        _, outcome = await hive.at_once(
            (ann, wire.AcceptClaim(task_id=task, claim_id=claim)),
            (other, wire.ClaimTask(task_id=task, proposed_credits=10)),
        )
        if isinstance(outcome, reply.ClaimShown):
            assert await hive.claim_status(outcome.claim.id) == "rejected"
        else:
            assert outcome == Code.TASK_NOT_OPEN


async def test_one_agents_claim_made_twice_at_once(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    for _ in range(ROUNDS):
        order = wire.ClaimTask(task_id=await hive.post(ann), proposed_credits=10)
        assert codes(await hive.at_once((robot, order), (robot, order))) == [Code.DUPLICATE_CLAIM]


async def test_a_cancellation_beside_an_acceptance(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    for _ in range(ROUNDS):
        task = await hive.post(ann)
        claim = await hive.claim(robot, task)
        accept, cancel = wire.AcceptClaim(task_id=task, claim_id=claim), wire.CancelTask(task_id=task)
        accepted, cancelled = await hive.at_once((ann, accept), (ann, cancel))
        assert isinstance(cancelled, reply.TaskMoved)  # before the acceptance, or right behind it
        assert isinstance(accepted, reply.ClaimAccepted) or accepted == Code.TASK_NOT_OPEN
        assert (await hive.status(task), await hive.claim_status(claim)) == ("cancelled", "rejected")


async def test_a_withdrawal_beside_an_acceptance(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    for _ in range(ROUNDS):
        task = await hive.post(ann)
        claim = await hive.claim(robot, task)
        accept = wire.AcceptClaim(task_id=task, claim_id=claim)
        withdraw = wire.WithdrawClaim(task_id=task, claim_id=claim)
        accepted, withdrawn = await hive.at_once((ann, accept), (robot, withdraw))
        assert isinstance(withdrawn, reply.ClaimShown)
        assert isinstance(accepted, reply.ClaimAccepted) or accepted == Code.INVALID_STATUS
        assert (await hive.status(task), await hive.claim_status(claim)) == ("open", "withdrawn")


async def test_a_dispute_beside_an_acceptance(hive: Hive) -> None:
    ann = await hive.person("ann")
    robot = await hive.agent(await hive.person("bob"))
    for _ in range(ROUNDS):
        task, work = await hive.delivered(ann, robot)
        orders = (
            (ann, wire.AcceptDeliverable(task_id=task, deliverable_id=work)),
            (ann, wire.DisputeTask(task_id=task, reason="No.")),
        )
        assert codes(await hive.at_once(*orders)) == [Code.INVALID_STATUS]
        assert await hive.status(task) in ("completed", "disputed")


async def test_one_dispute_decided_both_ways_at_once(hive: Hive) -> None:
    ann, bob, judge = await hive.person("ann"), await hive.person("bob"), await hive.admin()
    robot = await hive.agent(bob)
    task = await hive.disputed(ann, robot)
    orders = [(judge, wire.ResolveDispute(task_id=task, outcome=outcome)) for outcome in ("agent", "poster")]
    assert codes(await hive.at_once(*orders)) == [Code.INVALID_STATUS]
    assert await hive.balance(bob) == (780 if await hive.status(task) == "completed" else 600)


async def test_many_payments_to_one_operator_at_once_keep_the_chain(hive: Hive) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robot = await hive.agent(bob)
    work = [await hive.delivered(ann, robot) for _ in range(6)]
    orders = [(ann, wire.AcceptDeliverable(task_id=task, deliverable_id=done)) for task, done in work]
    assert codes(await hive.at_once(*orders)) == []
    balances = [balance for _, _, balance in await hive.ledger(bob)]
    assert balances == [500, 600, 780, 960, 1140, 1320, 1500, 1680]
    assert (await hive.agent_row(robot))["tasks_completed"] == 6
    assert await hive.score(robot) == 70.0


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
async def test_two_bulks_over_the_same_tasks_in_any_order(hive: Hive, order: list[int]) -> None:
    ann, bob = await hive.person("ann"), await hive.person("bob")
    robots = [await hive.agent(bob, f"robot {number}") for number in range(2)]
    tasks = [await hive.post(ann) for _ in range(4)]

    def bulk(numbers: list[int]) -> wire.BulkClaims:
        return wire.BulkClaims(claims=[BulkClaim(task_id=number, proposed_credits=10) for number in numbers])

    orders = [(robots[0], bulk(tasks)), (robots[1], bulk(tasks[::-1]))]
    for outcome in await hive.at_once(*(orders[index] for index in order)):
        assert isinstance(outcome, reply.ClaimsMade)
        assert outcome.summary.succeeded == 4


async def test_one_idempotency_key_twice_at_once(hive: Hive) -> None:
    ann = await hive.person("ann")
    for number in range(ROUNDS):
        values: dict[str, Any] = {"title": "Sort numbers", "description": "x" * 20, "budget_credits": 10}
        order = wire.PostTask(**values, idempotency_key=str(number))
        one, two, three = await hive.at_once(*[(ann, order)] * 3)
        assert one == two == three
        assert len(await hive.rows("SELECT id FROM hive_tasks")) == number + 1


async def test_the_last_webhook_that_is_allowed_twice_at_once(hive: Hive) -> None:
    robot = await hive.agent(await hive.person("bob"))
    for number in range(4):
        await hive.give(robot, wire.AddWebhook(url=f"https://example.org/{number}", events=["claim.accepted"]))
    orders = [(robot, wire.AddWebhook(url=f"https://example.org/{n}", events=["claim.accepted"])) for n in (5, 6)]
    assert codes(await hive.at_once(*orders)) == [Code.MAX_WEBHOOKS]
